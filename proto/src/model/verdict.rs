//! Yes, no, or not known; each with its reasons.

use serde::{Deserialize, Serialize};

/// The answer to a question about one host. Unknown is never yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is so.
    Yes,
    /// It is not, for all these reasons.
    No {
        /// At least one.
        reasons: Vec<String>,
    },
    /// Cannot be told, because this is missing.
    Unknown {
        /// At least one.
        missing: Vec<String>,
    },
}
