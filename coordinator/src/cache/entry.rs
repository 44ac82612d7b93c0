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

use prost::Message;
use vmuster_proto::{
    convert::{self, DecodeError},
    model::{Inventory, Timestamp},
    pb,
};

use super::{GuestNames, HostRecord};

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
    inventory: Option<pb::Inventory>,
    #[prost(message, repeated, tag = "7")]
    issues: Vec<pb::Issue>,
    #[prost(bool, tag = "8")]
    superseded: bool,
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

/// The record of `host` in a file's content.
///
/// # Errors
/// Anything but exactly what [`encode_entry`] wrote.
pub fn decode_entry(host: &str, bytes: &[u8]) -> Result<HostRecord, DecodeEntryError> {
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
    let body = Body::decode(body).map_err(DecodeEntryError::Body)?;
    if body.host != host {
        return Err(DecodeEntryError::WrongHost(body.host));
    }
    let invalid = |field: &str, problem: &str| {
        DecodeEntryError::Field(DecodeError { field: field.to_owned(), problem: problem.to_owned() })
    };
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
        inventory: Arc::new(Inventory::try_from(inventory).map_err(DecodeEntryError::Field)?),
        issues: convert::issues(body.issues).map_err(DecodeEntryError::Field)?.into(),
        superseded: body.superseded,
        saved_usage: None,
        guest_names: GuestNames::default(),
    })
}
