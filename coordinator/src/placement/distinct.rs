//! Each value once: what many hosts have alike is looked at once for all of them.
//!
//! Knows values and their numbers. Must not know hosts.

use std::{collections::HashMap, hash::Hash, sync::Arc};

/// The number of what is not known.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// Values in the order in which they were first met.
#[derive(Debug)]
pub(super) struct Distinct<T> {
    numbers: HashMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), values: Vec::new() }
    }
}

impl<T: Eq + Hash> Distinct<T> {
    /// Of this value; a new one if it was not met yet.
    pub(super) fn number(&mut self, value: &Arc<T>) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        // As many values as hosts, at most some million: far from the end.
        let number = u32::try_from(self.values.len()).unwrap_or(UNKNOWN - 1);
        self.values.push(Arc::clone(value));
        self.numbers.insert(Arc::clone(value), number);
        number
    }

    /// All, each at its number.
    pub(super) fn values(&self) -> &[Arc<T>] {
        &self.values
    }
}
