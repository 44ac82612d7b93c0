//! One host in one document, as `vmuster-agent collect` prints and `vmuster --snapshots` reads it.

use serde::{Deserialize, Serialize};

use super::{Inventory, Issue, Usage};

/// The document's `schema`.
pub const SNAPSHOT_SCHEMA: &str = "vmuster.v1";

/// Inventory, usage and issues of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Snapshot {
    /// [`SNAPSHOT_SCHEMA`]; readers refuse others.
    pub schema: String,
    /// The name the host goes by.
    pub name: String,
    /// Facts.
    pub inventory: Inventory,
    /// Figures of the moment; None where an issue says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What is absent or doubtful, and why.
    #[serde(default)]
    pub issues: Vec<Issue>,
}
