//! A record as bytes: a header that proves the rest, then protobuf.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | magic |
//! | 8..12 | version, little-endian |
//! | 12..16 | length of the body |
//! | 16..20 | CRC-32 of bytes 8..16 and the body |
//! | 20.. | body: [`Body`] |
//!
//! The checksum finds accidents (torn writes, flipped bits), not forgery: the directory is 0700.

use std::sync::Arc;

use prost::{Message, bytes::Bytes};
use vmuster_proto::{
    convert::{self, DecodeError},
    model::{Cpu, Hypervisor, Inventory, Numa, PciDevice, Timestamp},
    pb,
};

use super::{
    GuestNames, HostRecord, Parts,
    parts::{Part, Table},
};

const MAGIC: [u8; 8] = *b"VMUSTINV";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 20;

/// Why bytes are not an entry.
#[derive(Debug, thiserror::Error)]
pub enum DecodeEntryError {
    /// Shorter than its header, or than the header says.
    #[error("truncated: {have} bytes of {want}")]
    Truncated {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        want: usize,
    },
    /// More bytes than the header says.
    #[error("{0} bytes too many")]
    Trailing(usize),
    /// Not one of our files.
    #[error("not a vmuster cache entry")]
    Magic,
    /// Written by another version.
    #[error("format version {0}, this program reads {VERSION}")]
    Version(u32),
    /// Bytes changed after they were written.
    #[error("checksum does not match")]
    Checksum,
    /// The protobuf is broken although the checksum matches.
    #[error("the body is not an entry")]
    Body(#[source] prost::DecodeError),
    /// A field makes no sense.
    #[error("the body is not an entry")]
    Field(#[source] DecodeError),
    /// The entry is another host's.
    #[error("the entry is host '{0}'s")]
    WrongHost(String),
}

#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(string, tag = "2")]
    address: String,
    #[prost(string, tag = "3")]
    reported_name: String,
    #[prost(uint64, optional, tag = "4")]
    fetched_at_unix_millis: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    validated_at_unix_millis: Option<u64>,
    #[prost(message, optional, tag = "6")]
    inventory: Option<InventoryBytes>,
    #[prost(message, repeated, tag = "7")]
    issues: Vec<pb::Issue>,
    #[prost(bool, tag = "8")]
    superseded: bool,
}

/// As [`pb::Inventory`], with those sections left as bytes that many hosts have alike: one that is there already needs no
/// decoding.
#[derive(Clone, PartialEq, Message)]
struct InventoryBytes {
    #[prost(message, optional, tag = "1")]
    collected_at: Option<prost_types::Timestamp>,
    #[prost(string, tag = "2")]
    fingerprint: String,
    #[prost(string, tag = "3")]
    agent_version: String,
    #[prost(message, optional, tag = "4")]
    system: Option<pb::System>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    cpu: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    numa: Option<Bytes>,
    #[prost(message, optional, tag = "7")]
    memory: Option<pb::Memory>,
    #[prost(message, optional, tag = "8")]
    disks: Option<pb::Disks>,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pci: Option<Bytes>,
    #[prost(message, optional, tag = "10")]
    nics: Option<pb::Nics>,
    #[prost(bytes = "bytes", optional, tag = "11")]
    hypervisor: Option<Bytes>,
}

impl From<&Inventory> for InventoryBytes {
    fn from(inventory: &Inventory) -> Self {
        // Whole, so that a new section cannot be forgotten here.
        let pb::Inventory {
            collected_at,
            fingerprint,
            agent_version,
            system,
            cpu,
            numa,
            memory,
            disks,
            pci,
            nics,
            hypervisor,
        } = inventory.into();
        Self {
            collected_at,
            fingerprint,
            agent_version,
            system,
            cpu: cpu.map(|cpu| cpu.encode_to_vec().into()),
            numa: numa.map(|numa| numa.encode_to_vec().into()),
            memory,
            disks,
            pci: pci.map(|pci| pci.encode_to_vec().into()),
            nics,
            hypervisor: hypervisor.map(|hypervisor| hypervisor.encode_to_vec().into()),
        }
    }
}

impl InventoryBytes {
    fn decode_with(self, parts: &Parts) -> Result<Inventory, DecodeEntryError> {
        let Self {
            collected_at,
            fingerprint,
            agent_version,
            system,
            cpu,
            numa,
            memory,
            disks,
            pci,
            nics,
            hypervisor,
        } = self;
        let own = decoded(pb::Inventory {
            collected_at,
            fingerprint,
            agent_version,
            system,
            memory,
            disks,
            nics,
            ..pb::Inventory::default()
        })?;
        let cpu = shared(&parts.cpus, cpu, |cpu| {
            Ok(decoded(pb::Inventory { cpu: Some(message(cpu)?), ..pb::Inventory::default() })?.cpu)
        });
        let numa = shared(&parts.numas, numa, |numa| {
            Ok(decoded(pb::Inventory { numa: Some(message(numa)?), ..pb::Inventory::default() })?.numa)
        });
        let pci = shared(&parts.pcis, pci, |pci| {
            Ok(decoded(pb::Inventory { pci: Some(message(pci)?), ..pb::Inventory::default() })?.pci)
        });
        let hypervisor = shared(&parts.hypervisors, hypervisor, |hypervisor| {
            let hypervisor = Some(message(hypervisor)?);
            Ok(decoded(pb::Inventory { hypervisor, ..pb::Inventory::default() })?.hypervisor)
        });
        Ok(Inventory { cpu: cpu?, numa: numa?, pci: pci?, hypervisor: hypervisor?, ..own })
    }
}

impl Part for Cpu {
    fn wire_bytes(&self) -> Vec<u8> {
        pb::Cpu::from(self).encode_to_vec()
    }
}

impl Part for Numa {
    fn wire_bytes(&self) -> Vec<u8> {
        pb::Numa::from(self).encode_to_vec()
    }
}

impl Part for [PciDevice] {
    fn wire_bytes(&self) -> Vec<u8> {
        pb::PciDevices::from(self).encode_to_vec()
    }
}

impl Part for Hypervisor {
    fn wire_bytes(&self) -> Vec<u8> {
        pb::Hypervisor::from(self).encode_to_vec()
    }
}

fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, DecodeEntryError> {
    M::decode(bytes).map_err(DecodeEntryError::Body)
}

fn decoded(inventory: pb::Inventory) -> Result<Inventory, DecodeEntryError> {
    inventory.try_into().map_err(DecodeEntryError::Field)
}

fn invalid(field: &str, problem: &str) -> DecodeEntryError {
    DecodeEntryError::Field(DecodeError { field: field.to_owned(), problem: problem.to_owned() })
}

fn shared<T: Part + ?Sized>(
    table: &Table<T>,
    bytes: Option<Bytes>,
    decode: impl FnOnce(&[u8]) -> Result<Option<Arc<T>>, DecodeEntryError>,
) -> Result<Option<Arc<T>>, DecodeEntryError> {
    let decode = |bytes: &[u8]| decode(bytes)?.ok_or_else(|| invalid("inventory", "lost while decoding"));
    bytes.map(|bytes| table.decoded(&bytes, decode)).transpose()
}

fn checksum(version_and_length: &[u8], body: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(version_and_length);
    hasher.update(body);
    hasher.finalize().to_le_bytes()
}

/// The record as a file's content.
#[must_use]
pub fn encode_entry(record: &HostRecord) -> Vec<u8> {
    let body = Body {
        host: record.host.clone(),
        address: record.address.clone(),
        reported_name: record.reported_name.clone(),
        fetched_at_unix_millis: record.fetched_at.map(Timestamp::unix_millis),
        validated_at_unix_millis: record.validated_at.map(Timestamp::unix_millis),
        inventory: Some((&*record.inventory).into()),
        issues: convert::issues_to_pb(&record.issues),
        superseded: record.superseded,
    }
    .encode_to_vec();
    // Records come over a wire that caps them at 8 MiB.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    let proof = checksum(&bytes[8..16], &body);
    bytes.extend(proof);
    bytes.extend(body);
    bytes
}

/// The record of `host` in a file's content, with the parts that are there already.
///
/// # Errors
/// Anything but exactly what [`encode_entry`] wrote.
pub fn decode_entry(host: &str, bytes: Vec<u8>, parts: &Parts) -> Result<HostRecord, DecodeEntryError> {
    // Shared, so that sections are taken out of it without a copy.
    let bytes = Bytes::from(bytes);
    let truncated = |want| DecodeEntryError::Truncated { have: bytes.len(), want };
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| truncated(HEADER_BYTES))?;
    let number = |at: usize| header[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
    if header[..8] != MAGIC {
        return Err(DecodeEntryError::Magic);
    }
    if number(8) != VERSION {
        return Err(DecodeEntryError::Version(number(8)));
    }
    let length = number(12) as usize;
    if body.len() < length {
        return Err(truncated(HEADER_BYTES + length));
    }
    if body.len() > length {
        return Err(DecodeEntryError::Trailing(body.len() - length));
    }
    if header[16..20] != checksum(&header[8..16], body) {
        return Err(DecodeEntryError::Checksum);
    }
    let body = Body::decode(bytes.slice(HEADER_BYTES..)).map_err(DecodeEntryError::Body)?;
    if body.host != host {
        return Err(DecodeEntryError::WrongHost(body.host));
    }
    let time = |field: &str, millis: Option<u64>| {
        let time = millis.map(Timestamp::from_unix_millis).transpose();
        time.map_err(|error| invalid(field, &error.to_string()))
    };
    let inventory = body.inventory.ok_or_else(|| invalid("inventory", "not set"))?;
    Ok(HostRecord {
        host: body.host,
        address: body.address,
        reported_name: body.reported_name,
        fetched_at: time("fetched_at", body.fetched_at_unix_millis)?,
        validated_at: time("validated_at", body.validated_at_unix_millis)?,
        inventory: Arc::new(inventory.decode_with(parts)?),
        issues: convert::issues(body.issues).map_err(DecodeEntryError::Field)?.into(),
        superseded: body.superseded,
        saved_usage: None,
        guest_names: GuestNames::default(),
    })
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
