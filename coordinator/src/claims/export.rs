//! All claims as JSON: for people, and for the day the store is lost.
//!
//! Knows the document's form. Must not know where it goes.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use super::{
    book::{ClaimBook, HOSTS_MAX},
    claim::{Claim, ClaimId, ClaimState},
};

/// What this vmuster writes and reads.
pub const EXPORT_SCHEMA: &str = "vmuster.claims.backup.v1";

/// Why a document is no export.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not the JSON it should be.
    #[error("the document is no export of claims")]
    Json(#[source] serde_json::Error),
    /// Of another version.
    #[error("the document's schema is '{0}', this program reads '{EXPORT_SCHEMA}'")]
    OtherVersion(String),
    /// A name is there twice.
    #[error("claim {0} is there twice")]
    Twice(ClaimId),
    /// A held one without an end would be held for ever.
    #[error("claim {0} is held without expires_at, or has one and is not held")]
    NoEnd(ClaimId),
    /// Two claims on one host, or on more hosts than an instance may have.
    #[error("claim {0} is one too many for its instance: it has one on that host, or on two others")]
    TooMany(ClaimId),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    schema: Cow<'a, str>,
    claims: Vec<Cow<'a, Claim>>,
}

#[derive(Deserialize)]
struct Version {
    schema: String,
}

impl ClaimBook {
    /// All claims, by name.
    ///
    /// # Errors
    /// Never, as long as claims have texts for keys.
    pub fn export_json(&self) -> Result<String, serde_json::Error> {
        let claims = self.all().map(|claim| Cow::Borrowed(&**claim)).collect();
        serde_json::to_string_pretty(&Document { schema: Cow::Borrowed(EXPORT_SCHEMA), claims })
    }
}

/// The claims of an export, by name.
///
/// # Errors
/// Anything but what [`ClaimBook::export_json`] writes.
pub fn import_json(text: &str) -> Result<Vec<Claim>, ImportError> {
    let version: Version = serde_json::from_str(text).map_err(ImportError::Json)?;
    if version.schema != EXPORT_SCHEMA {
        return Err(ImportError::OtherVersion(version.schema));
    }
    let document: Document<'_> = serde_json::from_str(text).map_err(ImportError::Json)?;
    let mut claims: Vec<Claim> = document.claims.into_iter().map(Cow::into_owned).collect();
    claims.sort_by_key(|claim| claim.id);
    check(&claims)?;
    Ok(claims)
}

/// What holds of all claims together, however they come.
pub(super) fn check(sorted: &[Claim]) -> Result<(), ImportError> {
    let mut hosts: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    let mut last = None;
    for claim in sorted {
        if last == Some(claim.id) {
            return Err(ImportError::Twice(claim.id));
        }
        last = Some(claim.id);
        if (claim.state == ClaimState::Held) != claim.expires_at.is_some() {
            return Err(ImportError::NoEnd(claim.id));
        }
        let hosts = hosts.entry(claim.instance).or_default();
        if !hosts.insert(&claim.host) || hosts.len() > HOSTS_MAX {
            return Err(ImportError::TooMany(claim.id));
        }
    }
    Ok(())
}
