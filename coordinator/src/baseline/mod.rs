//! One CPU for guests that can run on every host of a group: exactly the features all can give. Pure: facts in, definition
//! out.
//!
//! Knows models and what they stand for. Must not know hosts' addresses, files, or how libvirt is asked.

mod compose;
mod exceeding;
mod forms;
mod known;
#[cfg(test)]
mod tests;

use vmuster_proto::model::{FeatureSet, GuestCpu};

pub use compose::{Composed, Refusal, compose, refusal_of_arch, runs};
pub use exceeding::exceeding;
pub use forms::forms;
pub use known::{Known, Source, Stands, with_policy};

/// A host of a group, for choosing a model.
#[derive(Debug, Clone, Copy)]
pub struct GuestHost<'a> {
    /// The registry's name.
    pub name: &'a str,
    /// What it can give.
    pub guest: &'a GuestCpu,
}

impl GuestHost<'_> {
    /// Whether its hypervisor has a model of this name; None: it does not say.
    fn has(&self, model: &str) -> Option<bool> {
        let models = &self.guest.models;
        (!models.is_empty()).then(|| models.iter().any(|known| known.name == model))
    }

    fn features(&self) -> FeatureSet {
        self.guest.features.clone().unwrap_or_default()
    }
}
