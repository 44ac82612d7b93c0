//! What changed since when: hosts or pools in the order of their last change.
//!
//! Knows indices and generations. Must not know what they stand for. A log that is read from its end: who catches up meets
//! each changed thing once, however often it changed, and nothing that did not.

/// Entries before it is worth looking for those that later ones made worthless.
const LOG_MIN: usize = 1024;

/// See above.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Of the last change of each; 0: none yet.
    last: Vec<u64>,
    /// Generation and index, the latest at the end. Of what changed again since, the later entry counts.
    log: Vec<(u64, u32)>,
}

impl Changes {
    /// So many things; new ones have not changed.
    pub(super) fn resize(&mut self, len: usize) {
        self.last.resize(len, 0);
    }

    /// This one changed at this generation, which is later than all before.
    pub(super) fn mark(&mut self, index: u32, generation: u64) {
        if self.log.len() > LOG_MIN + 4 * self.last.len() {
            let last = &self.last;
            self.log.retain(|(generation, index)| last[*index as usize] == *generation);
        }
        self.last[index as usize] = generation;
        self.log.push((generation, index));
    }

    /// Those that changed after this generation, the latest first.
    #[inline]
    pub(super) fn since(&self, generation: u64) -> impl Iterator<Item = usize> {
        let later = self.log.iter().rev().take_while(move |(at, _)| *at > generation);
        later.filter(|(at, index)| self.last[*index as usize] == *at).map(|(_, index)| *index as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_that_changed_is_met_once(marks in prop::collection::vec(0_u32..8, 0..3000), seen in 0_u64..3000) {
            let mut changes = Changes::default();
            changes.resize(8);
            let mut last = [0_u64; 8];
            for (generation, index) in (1..).zip(&marks) {
                changes.mark(*index, generation);
                last[*index as usize] = generation;
            }
            let mut expected: Vec<usize> = (0..8).filter(|index| last[*index] > seen).collect();
            expected.sort_by_key(|index| std::cmp::Reverse(last[*index]));
            prop_assert_eq!(changes.since(seen).collect::<Vec<_>>(), expected);
        }
    }
}
