//! What changed since when: hosts or pools in the order of their last change.
//!
//! Knows indices and generations. Must not know what they stand for. A list in which what changes moves to the front: who
//! catches up meets each changed thing once, however often it changed, and nothing that did not.

/// The end of the list, and the place of what never changed.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Link {
    newer: u32,
    older: u32,
    /// Of the last change; 0: none yet.
    generation: u64,
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct Changes {
    links: Vec<Link>,
    /// None while nothing changed.
    newest: Option<u32>,
}

impl Changes {
    /// So many things, none of them changed.
    pub(super) fn resize(&mut self, len: usize) {
        self.links.resize(len, Link { newer: NONE, older: NONE, generation: 0 });
    }

    /// This one changed at this generation, which is later than all before.
    pub(super) fn mark(&mut self, index: u32, generation: u64) {
        let link = self.links[index as usize];
        if self.newest == Some(index) {
            self.links[index as usize].generation = generation;
            return;
        }
        if link.generation > 0 {
            // Not the newest, so there is a newer one.
            self.links[link.newer as usize].older = link.older;
            if link.older != NONE {
                self.links[link.older as usize].newer = link.newer;
            }
        }
        let older = self.newest.unwrap_or(NONE);
        if older != NONE {
            self.links[older as usize].newer = index;
        }
        self.links[index as usize] = Link { newer: NONE, older, generation };
        self.newest = Some(index);
    }

    /// Those that changed after this generation, the latest first.
    pub(super) fn since(&self, generation: u64) -> impl Iterator<Item = usize> {
        let mut next = self.newest.unwrap_or(NONE);
        std::iter::from_fn(move || {
            let link = self.links.get(next as usize).filter(|link| link.generation > generation)?;
            let index = next as usize;
            next = link.older;
            Some(index)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_that_changed_is_met_once(marks in prop::collection::vec(0_u32..8, 0..60), seen in 0_u64..60) {
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
