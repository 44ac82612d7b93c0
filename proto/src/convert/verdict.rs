//! Yes, no, or not known.

use super::DecodeError;
use crate::{model::VerdictKind, pb};

impl From<VerdictKind> for pb::Verdict {
    fn from(verdict: VerdictKind) -> Self {
        match verdict {
            VerdictKind::Yes => Self::Yes,
            VerdictKind::No => Self::No,
            VerdictKind::Unknown => Self::Unknown,
        }
    }
}

/// A verdict of an answer. One that only a newer peer knows is not known here.
pub(super) fn verdict(field: &str, value: i32) -> Result<VerdictKind, DecodeError> {
    match pb::Verdict::try_from(value) {
        Ok(pb::Verdict::Yes) => Ok(VerdictKind::Yes),
        Ok(pb::Verdict::No) => Ok(VerdictKind::No),
        Ok(pb::Verdict::Unknown) | Err(_) => Ok(VerdictKind::Unknown),
        Ok(pb::Verdict::Unspecified) => Err(DecodeError::new(field, "must be set")),
    }
}
