//! What a claim is: so much of a host, promised to an instance.
//!
//! Knows how claims are written and shown. Must not know when one ends, nor where they are kept.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::{Uuid, fmt::Hyphenated};
use vmuster_proto::model::{AffinityRule, Bytes, CpuSet, Timestamp};
pub use vmuster_proto::model::{ClaimState, Purpose};

/// Text that names no claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a claim: write it as it is listed, c and a number")]
pub struct ParseClaimIdError(String);

/// Names a claim for ever: numbers rise, and none is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub u64);

impl fmt::Display for ClaimId {
    /// As in `c42`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("c{}", self.0))
    }
}

impl FromStr for ClaimId {
    type Err = ParseClaimIdError;

    /// As it is shown, and in no other form: `c042` is nobody's name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.strip_prefix('c').and_then(|digits| digits.parse().ok()).map(Self);
        id.filter(|id| id.to_string() == text).ok_or_else(|| ParseClaimIdError(text.to_owned()))
    }
}

impl Serialize for ClaimId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClaimId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Text that is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a UUID: write 8-4-4-4-12 hexadecimal digits")]
pub struct ParseInstanceIdError(String);

/// An instance's UUID. A number, because there are many and each is compared often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u128);

impl fmt::Display for InstanceId {
    /// The canonical form, in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Uuid::from_u128(self.0).hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl FromStr for InstanceId {
    type Err = ParseInstanceIdError;

    /// Digits of either case, and the hyphens.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = Uuid::try_parse(text).ok().filter(|_| text.len() == Hyphenated::LENGTH);
        uuid.map(|uuid| Self(uuid.as_u128())).ok_or_else(|| ParseInstanceIdError(text.to_owned()))
    }
}

impl Serialize for InstanceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InstanceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Room in a pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimedDisk {
    /// Key of the pool.
    pub pool: String,
    /// The most the disk can grow to.
    pub size_bytes: Bytes,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimedPages {
    /// Of one page.
    pub size_bytes: Bytes,
    /// Pages.
    pub count: u64,
}

/// What is promised of one NUMA cell of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimedCell {
    /// The cell's id.
    pub host_cell: u32,
    /// CPUs of its own, and those that are kept free for their sake.
    pub pinned_cpus: CpuSet,
    /// vCPUs that float over the cell.
    pub shared_vcpus: u64,
    /// In ordinary pages.
    pub memory_bytes: Bytes,
    /// Of memory in huge pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<ClaimedPages>,
}

/// What is promised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimedResources {
    /// At most so many vCPUs; of an instance with CPUs of its own those that float.
    pub vcpus: u64,
    /// At most so much memory; in ordinary pages, where it has others.
    pub memory_bytes: Bytes,
    /// Disks, in the order asked.
    pub disks: Vec<ClaimedDisk>,
    /// NUMA cells it is bound to, by id; none: it floats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<ClaimedCell>,
}

/// That an instance is in an affinity group. Written as `db`, or `db=1` with a partition; names have no `=`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Membership {
    /// The group's name.
    pub group: String,
    /// Of the group.
    pub partition: Option<String>,
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.partition {
            None => f.write_str(&self.group),
            Some(partition) => write!(f, "{}={partition}", self.group),
        }
    }
}

impl From<&str> for Membership {
    fn from(text: &str) -> Self {
        let (group, partition) =
            text.split_once('=').map_or((text, None), |(group, part)| (group, Some(part.to_owned())));
        Self { group: group.to_owned(), partition }
    }
}

impl Serialize for Membership {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Membership {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(String::deserialize(deserializer)?.as_str().into())
    }
}

/// A promise of resources on a host to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Its name.
    pub id: ClaimId,
    /// Whose it is.
    pub instance: InstanceId,
    /// Name of the host.
    pub host: String,
    /// Where it is in its life.
    pub state: ClaimState,
    /// What is promised.
    pub resources: ClaimedResources,
    /// Why.
    pub purpose: Purpose,
    /// The request that made it; empty if it had no id.
    pub request_id: String,
    /// Digest of what was asked.
    pub signature: String,
    /// Affinity groups the instance is in.
    pub groups: Vec<Membership>,
    /// What it asked of them, for the day when it must go elsewhere. Of a claim of before these were kept there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AffinityRule>,
    /// Made without regard to capacity, by an administrator's word.
    pub over_committed: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a held one ends, if its guest is not there by then; None of others.
    pub expires_at: Option<Timestamp>,
    /// When the host was asked that first showed the guest, or showed it again after it was missing.
    pub observed_at: Option<Timestamp>,
    /// When the host was asked that first did not show the guest any more; None while it is there.
    pub first_missing_at: Option<Timestamp>,
}

/// A claim that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClaim {
    /// Whose it is.
    pub instance: InstanceId,
    /// Name of the host.
    pub host: String,
    /// What is promised.
    pub resources: ClaimedResources,
    /// Why.
    pub purpose: Purpose,
    /// The request that makes it.
    pub request_id: String,
    /// Digest of what was asked.
    pub signature: String,
    /// Affinity groups the instance is in.
    pub groups: Vec<Membership>,
    /// What it asks of them.
    pub rules: Vec<AffinityRule>,
    /// Made without regard to capacity.
    pub over_committed: bool,
    /// Now.
    pub created_at: Timestamp,
    /// When it ends, if its guest is not there by then; see [`super::life::hold_until`].
    pub expires_at: Timestamp,
}

impl NewClaim {
    pub(super) fn with_id(self, id: ClaimId) -> Claim {
        Claim {
            id,
            instance: self.instance,
            host: self.host,
            state: ClaimState::Held,
            resources: self.resources,
            purpose: self.purpose,
            request_id: self.request_id,
            signature: self.signature,
            groups: self.groups,
            rules: self.rules,
            over_committed: self.over_committed,
            created_at: self.created_at,
            expires_at: Some(self.expires_at),
            observed_at: None,
            first_missing_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_has_one_name() {
        assert_eq!(ClaimId(42).to_string(), "c42");
        for id in [0, 42, u64::MAX] {
            assert_eq!(ClaimId(id).to_string().parse(), Ok(ClaimId(id)));
        }
        for wrong in ["", "c", "42", "C42", "c042", "c+42", "c-1", "c 42", "c18446744073709551616"] {
            assert!(wrong.parse::<ClaimId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_membership_is_one_text() {
        for (text, group, partition) in [("db", "db", None), ("db=1", "db", Some("1"))] {
            let membership = Membership::from(text);
            assert_eq!((membership.group.as_str(), membership.partition.as_deref()), (group, partition));
            assert_eq!(membership.to_string(), text);
        }
    }

    #[test]
    fn an_instance_is_a_uuid_in_one_form() {
        let shown = "00e1a2b3-0042-4f00-8abc-0123456789ab";
        let id: InstanceId = shown.parse().expect("a UUID");
        assert_eq!(id.to_string(), shown);
        assert_eq!(shown.to_uppercase().parse(), Ok(id));
        for wrong in [
            "",
            "00e1a2b300424f008abc0123456789ab",
            "00e1a2b3-0042-4f00-8abc-0123456789a",
            "00e1a2b3-0042-4f00-8abc-0123456789abc",
            "+0e1a2b3-0042-4f00-8abc-0123456789ab",
            "{0e1a2b3-0042-4f00-8abc-0123456789a}",
            "00e1a2b30-042-4f00-8abc-0123456789ab",
            "00e1a2b3-0042-4f00-8abc-0123456789äb",
            "00e1a2b3-0042-4f00-8abc-0123456789ab-",
        ] {
            assert!(wrong.parse::<InstanceId>().is_err(), "{wrong}");
        }
    }
}
