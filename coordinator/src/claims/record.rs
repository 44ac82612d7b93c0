//! Claims and remembered requests as bytes: protobuf, behind a CRC-32 of its key and itself.
//!
//! The checksum finds accidents, not forgery. Must not know where the bytes are kept.

use prost::Message;
use vmuster_proto::model::{AffinityPolicy, AffinityRule, Bytes, Timestamp};

use super::{
    claim::{
        Claim, ClaimId, ClaimState, ClaimedCell, ClaimedDisk, ClaimedPages, ClaimedResources, InstanceId,
        Purpose,
    },
    requests::Remembered,
};

const CRC_BYTES: usize = 4;

/// Why bytes are no record.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    /// They changed after they were written.
    #[error("its checksum does not match")]
    Checksum,
    /// The protobuf is broken although the checksum matches.
    #[error("it is no record")]
    Body(#[source] prost::DecodeError),
    /// A field makes no sense.
    #[error("its field {0} makes no sense")]
    Field(&'static str),
}

#[derive(Clone, PartialEq, Message)]
struct DiskBody {
    #[prost(string, tag = "1")]
    pool: String,
    #[prost(uint64, tag = "2")]
    size_bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
struct CellBody {
    #[prost(uint32, tag = "1")]
    host_cell: u32,
    /// As the kernel lists CPUs.
    #[prost(string, tag = "2")]
    pinned_cpus: String,
    #[prost(uint64, tag = "3")]
    shared_vcpus: u64,
    #[prost(uint64, tag = "4")]
    memory_bytes: u64,
    #[prost(uint64, optional, tag = "5")]
    page_size_bytes: Option<u64>,
    #[prost(uint64, tag = "6")]
    page_count: u64,
}

#[derive(Clone, PartialEq, Message)]
struct RuleBody {
    #[prost(string, tag = "1")]
    group: String,
    /// 1 affinity, 2 anti-affinity, 3 and 4 the same, soft.
    #[prost(uint32, tag = "2")]
    policy: u32,
    #[prost(string, optional, tag = "3")]
    topology_key: Option<String>,
    #[prost(string, optional, tag = "4")]
    partition: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ClaimBody {
    /// Sixteen bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    instance: Vec<u8>,
    #[prost(string, tag = "2")]
    host: String,
    /// 1 held, 2 confirmed, 3 observed.
    #[prost(uint32, tag = "3")]
    state: u32,
    #[prost(uint64, tag = "4")]
    vcpus: u64,
    #[prost(uint64, tag = "5")]
    memory_bytes: u64,
    #[prost(message, repeated, tag = "6")]
    disks: Vec<DiskBody>,
    /// 1 new, 2 move.
    #[prost(uint32, tag = "7")]
    purpose: u32,
    #[prost(string, tag = "8")]
    request_id: String,
    #[prost(string, tag = "9")]
    signature: String,
    #[prost(string, repeated, tag = "10")]
    groups: Vec<String>,
    #[prost(bool, tag = "11")]
    over_committed: bool,
    #[prost(uint64, tag = "12")]
    created_at_unix_millis: u64,
    #[prost(uint64, optional, tag = "13")]
    expires_at_unix_millis: Option<u64>,
    #[prost(uint64, optional, tag = "14")]
    observed_at_unix_millis: Option<u64>,
    #[prost(uint64, optional, tag = "15")]
    first_missing_at_unix_millis: Option<u64>,
    #[prost(message, repeated, tag = "21")]
    cells: Vec<CellBody>,
    /// Not in records of vmusters that kept names of groups only.
    #[prost(message, repeated, tag = "20")]
    rules: Vec<RuleBody>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestBody {
    #[prost(string, tag = "1")]
    request_id: String,
    #[prost(bytes = "vec", tag = "2")]
    body_digest: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    answer: Vec<u8>,
    #[prost(uint64, tag = "4")]
    when_unix_millis: u64,
}

/// The checksum that stands before the body.
fn checksum(key: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&key.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// A body behind its checksum.
pub(super) fn seal(key: u64, body: &impl Message) -> Vec<u8> {
    let mut bytes = vec![0; CRC_BYTES];
    bytes.reserve(body.encoded_len());
    // A vector has room for everything.
    let _ = body.encode(&mut bytes);
    let crc = checksum(key, &bytes[CRC_BYTES..]);
    bytes[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The body behind its checksum.
pub(super) fn unseal<M: Message + Default>(key: u64, bytes: &[u8]) -> Result<M, RecordError> {
    let (crc, body) = bytes.split_first_chunk().ok_or(RecordError::Checksum)?;
    if u32::from_le_bytes(*crc) != checksum(key, body) {
        return Err(RecordError::Checksum);
    }
    M::decode(body).map_err(RecordError::Body)
}

/// A number that is another for nearly every other record: sums of them show that one is missing or of old.
pub(super) fn fingerprint(key: u64, sealed: &[u8]) -> u64 {
    let crc = sealed.first_chunk().map_or(0, |crc| u32::from_le_bytes(*crc));
    (u64::from(crc) << 32) ^ key
}

fn millis(time: Option<Timestamp>) -> Option<u64> {
    time.map(Timestamp::unix_millis)
}

fn time(field: &'static str, millis: u64) -> Result<Timestamp, RecordError> {
    Timestamp::from_unix_millis(millis).map_err(|_| RecordError::Field(field))
}

fn encode_cell(cell: &ClaimedCell) -> CellBody {
    CellBody {
        host_cell: cell.host_cell,
        pinned_cpus: cell.pinned_cpus.to_string(),
        shared_vcpus: cell.shared_vcpus,
        memory_bytes: cell.memory_bytes.0,
        page_size_bytes: cell.pages.map(|pages| pages.size_bytes.0),
        page_count: cell.pages.map_or(0, |pages| pages.count),
    }
}

fn decode_cell(body: &CellBody) -> Result<ClaimedCell, RecordError> {
    let pages = |size| ClaimedPages { size_bytes: Bytes(size), count: body.page_count };
    Ok(ClaimedCell {
        host_cell: body.host_cell,
        pinned_cpus: body.pinned_cpus.parse().map_err(|_| RecordError::Field("pinned_cpus"))?,
        shared_vcpus: body.shared_vcpus,
        memory_bytes: Bytes(body.memory_bytes),
        pages: body.page_size_bytes.map(pages),
    })
}

fn rule_body(rule: &AffinityRule) -> RuleBody {
    RuleBody {
        group: rule.group.clone(),
        policy: match rule.policy {
            AffinityPolicy::Affinity => 1,
            AffinityPolicy::AntiAffinity => 2,
            AffinityPolicy::SoftAffinity => 3,
            AffinityPolicy::SoftAntiAffinity => 4,
        },
        topology_key: rule.topology_key.clone(),
        partition: rule.partition.clone(),
    }
}

fn rule(body: RuleBody) -> Result<AffinityRule, RecordError> {
    let policy = match body.policy {
        1 => AffinityPolicy::Affinity,
        2 => AffinityPolicy::AntiAffinity,
        3 => AffinityPolicy::SoftAffinity,
        4 => AffinityPolicy::SoftAntiAffinity,
        _ => return Err(RecordError::Field("rules.policy")),
    };
    let RuleBody { group, topology_key, partition, .. } = body;
    Ok(AffinityRule { group, policy, topology_key, partition })
}

pub(super) fn encode_claim(claim: &Claim) -> Vec<u8> {
    let disk = |disk: &ClaimedDisk| DiskBody { pool: disk.pool.clone(), size_bytes: disk.size_bytes.0 };
    let body = ClaimBody {
        instance: claim.instance.0.to_be_bytes().to_vec(),
        host: claim.host.clone(),
        state: match claim.state {
            ClaimState::Held => 1,
            ClaimState::Confirmed => 2,
            ClaimState::Observed => 3,
        },
        vcpus: claim.resources.vcpus,
        memory_bytes: claim.resources.memory_bytes.0,
        disks: claim.resources.disks.iter().map(disk).collect(),
        purpose: match claim.purpose {
            Purpose::New => 1,
            Purpose::Move => 2,
        },
        request_id: claim.request_id.clone(),
        signature: claim.signature.clone(),
        groups: claim.groups.iter().map(ToString::to_string).collect(),
        over_committed: claim.over_committed,
        created_at_unix_millis: claim.created_at.unix_millis(),
        expires_at_unix_millis: millis(claim.expires_at),
        observed_at_unix_millis: millis(claim.observed_at),
        first_missing_at_unix_millis: millis(claim.first_missing_at),
        cells: claim.resources.cells.iter().map(encode_cell).collect(),
        rules: claim.rules.iter().map(rule_body).collect(),
    };
    seal(claim.id.0, &body)
}

pub(super) fn decode_claim(id: ClaimId, bytes: &[u8]) -> Result<Claim, RecordError> {
    let body: ClaimBody = unseal(id.0, bytes)?;
    let field = RecordError::Field;
    let instance = body.instance.try_into().map_err(|_| field("instance"))?;
    let state = match body.state {
        1 => ClaimState::Held,
        2 => ClaimState::Confirmed,
        3 => ClaimState::Observed,
        _ => return Err(field("state")),
    };
    let purpose = match body.purpose {
        1 => Purpose::New,
        2 => Purpose::Move,
        _ => return Err(field("purpose")),
    };
    let disk = |disk: DiskBody| ClaimedDisk { pool: disk.pool, size_bytes: Bytes(disk.size_bytes) };
    let resources = ClaimedResources {
        vcpus: body.vcpus,
        memory_bytes: Bytes(body.memory_bytes),
        disks: body.disks.into_iter().map(disk).collect(),
        cells: body.cells.iter().map(decode_cell).collect::<Result<_, _>>()?,
    };
    let maybe = |field, millis: Option<u64>| millis.map(|millis| time(field, millis)).transpose();
    Ok(Claim {
        id,
        instance: InstanceId(u128::from_be_bytes(instance)),
        host: body.host,
        state,
        resources,
        purpose,
        request_id: body.request_id,
        signature: body.signature,
        groups: body.groups.iter().map(|text| text.as_str().into()).collect(),
        rules: body.rules.into_iter().map(rule).collect::<Result<_, _>>()?,
        over_committed: body.over_committed,
        created_at: time("created_at", body.created_at_unix_millis)?,
        expires_at: maybe("expires_at", body.expires_at_unix_millis)?,
        observed_at: maybe("observed_at", body.observed_at_unix_millis)?,
        first_missing_at: maybe("first_missing_at", body.first_missing_at_unix_millis)?,
    })
}

pub(super) fn encode_request(row: u64, request_id: &str, remembered: &Remembered) -> Vec<u8> {
    let body = RequestBody {
        request_id: request_id.to_owned(),
        body_digest: remembered.body_digest.to_vec(),
        answer: remembered.answer.clone(),
        when_unix_millis: remembered.when.unix_millis(),
    };
    seal(row, &body)
}

pub(super) fn decode_request(row: u64, bytes: &[u8]) -> Result<(String, Remembered), RecordError> {
    let body: RequestBody = unseal(row, bytes)?;
    let body_digest = body.body_digest.try_into().map_err(|_| RecordError::Field("body_digest"))?;
    let when = time("when", body.when_unix_millis)?;
    Ok((body.request_id, Remembered { body_digest, answer: body.answer, when }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::testing::new_claim;

    #[test]
    fn rules_are_kept_and_those_of_before_are_members_without_any() {
        let rule = |policy, key: Option<&str>| AffinityRule {
            group: "g".to_owned(),
            policy,
            topology_key: key.map(str::to_owned),
            partition: key.map(|_| "1".to_owned()),
        };
        let rules = vec![
            rule(AffinityPolicy::Affinity, None),
            rule(AffinityPolicy::AntiAffinity, Some("rack")),
            rule(AffinityPolicy::SoftAffinity, None),
            rule(AffinityPolicy::SoftAntiAffinity, Some("zone")),
        ];
        let mut claim = new_claim(1, "h").with_id(ClaimId(7));
        let before = encode_claim(&claim);
        assert_eq!(decode_claim(claim.id, &before).expect("a record"), claim);
        let body: ClaimBody = unseal(7, &before).expect("sealed");
        assert!(body.rules.is_empty() && !body.groups.is_empty());
        claim.rules = rules;
        assert_eq!(decode_claim(claim.id, &encode_claim(&claim)).expect("a record"), claim);
        let strange = RuleBody { policy: 9, ..rule_body(&claim.rules[0]) };
        let sealed = seal(7, &ClaimBody { rules: vec![strange], ..body });
        let refused = decode_claim(claim.id, &sealed).expect_err("no policy").to_string();
        assert_eq!(refused, "its field rules.policy makes no sense");
    }
}
