//! Filters of where an instance may be beside others.
//!
//! Knows what rules said of each host. Must not know members: that is said before these are asked.

use super::{Columns, Filter, FilterName, Lack, Need};

/// By members of its groups.
#[derive(Debug, Clone, Copy)]
pub(super) enum Beside {
    /// Near them.
    Together,
    /// Apart from them.
    Apart,
}

impl Beside {
    /// Why the host is refused, and whether that is for want of a label.
    fn refusal(self, need: &Need, host: usize) -> Option<&(String, bool)> {
        let verdict = need.verdicts.as_ref()?.get(&host)?;
        match self {
            Self::Together => verdict.together.as_ref(),
            Self::Apart => verdict.apart.as_ref(),
        }
    }
}

impl Filter for Beside {
    fn name(&self) -> FilterName {
        match self {
            Self::Together => FilterName::Affinity,
            Self::Apart => FilterName::AntiAffinity,
        }
    }

    fn asks(&self, need: &Need) -> bool {
        need.verdicts.is_some()
    }

    fn passes(&self, need: &Need, _: &Columns, host: usize) -> bool {
        self.refusal(need, host).is_none()
    }

    fn lack(&self, need: &Need, _: &Columns, host: usize) -> Option<Lack> {
        // A label that is missing says nothing of where the host is.
        let lack = |(_, is_unknown): &(String, bool)| if *is_unknown { Lack::Unknown } else { Lack::Other };
        self.refusal(need, host).map(lack)
    }

    fn text(&self, need: &Need, _: &Columns, host: usize) -> String {
        self.refusal(need, host).map(|(text, _)| text.clone()).unwrap_or_default()
    }
}
