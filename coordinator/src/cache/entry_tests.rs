//! Entries as bytes: whole, in older writing, and damaged.

use super::*;
use crate::cache::testing::{are_shared, record};

/// As entries were written before sections were shared: one message, maps in any order.
#[derive(Clone, PartialEq, Message)]
struct OldBody {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(string, tag = "2")]
    address: String,
    #[prost(string, tag = "3")]
    reported_name: String,
    #[prost(uint64, optional, tag = "4")]
    fetched_at: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    validated_at: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "6")]
    inventory: Option<Vec<u8>>,
}

fn sealed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short");
    let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &length.to_le_bytes()].concat();
    bytes.extend(checksum(&bytes[8..16], body));
    bytes.extend(body);
    bytes
}

#[test]
fn a_record_is_the_same_after_it_was_written_and_shared() {
    let parts = Parts::default();
    let read = |host: &str| decode_entry(host, encode_entry(&record(host, 1)), &parts).expect("an entry");
    let (a, b) = (read("a"), read("b"));
    assert_eq!((&a, &b), (&record("a", 1), &record("b", 1)));
    assert_eq!(are_shared(&a, &b), [true; 4]);
}

#[test]
fn entries_of_earlier_programs_are_read_and_share_too() {
    let new = record("a", 1);
    let mut message = pb::Inventory::from(&*new.inventory);
    let whole = OldBody {
        host: new.host.clone(),
        address: new.address.clone(),
        reported_name: new.reported_name.clone(),
        fetched_at: new.fetched_at.map(Timestamp::unix_millis),
        validated_at: new.validated_at.map(Timestamp::unix_millis),
        inventory: Some(message.encode_to_vec()),
    };
    assert_eq!(encode_entry(&new), sealed(&whole.encode_to_vec()), "the bytes are what they were");

    // A map's entries may come in any order: here the last one first.
    let cpu = message.cpu.as_mut().expect("a CPU");
    let last = cpu.vulnerabilities.pop_last().expect("some");
    let rest = std::mem::take(&mut cpu.vulnerabilities);
    let mut section = cpu.encode_to_vec();
    section.extend(pb::Cpu { vulnerabilities: [last].into(), ..pb::Cpu::default() }.encode_to_vec());
    section.extend(pb::Cpu { vulnerabilities: rest, ..pb::Cpu::default() }.encode_to_vec());
    message.cpu = None;
    let in_order = InventoryBytes::from(&*new.inventory);
    assert_ne!(in_order.cpu.as_deref(), Some(&*section));
    let inventory = InventoryBytes { cpu: Some(section.into()), ..in_order }.encode_to_vec();
    let old = sealed(&OldBody { inventory: Some(inventory), ..whole }.encode_to_vec());
    let parts = Parts::default();
    let b = decode_entry("b", encode_entry(&record("b", 1)), &parts).expect("an entry");
    let a = decode_entry("a", old, &parts).expect("an entry");
    assert_eq!((&a, are_shared(&a, &b)), (&new, [true; 4]));
}

#[test]
fn damage_that_no_checksum_finds_stays_in_its_own_record() {
    let (a, b) = (record("a", 1), record("b", 1));
    let (bytes, good) = (encode_entry(&a), encode_entry(&b));
    for at in HEADER_BYTES..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let parts = Parts::default();
            let mut body = bytes[HEADER_BYTES..].to_vec();
            body[at - HEADER_BYTES] ^= flip;
            // What can be read of it may be wrong, and is a's alone.
            let damaged = decode_entry("a", sealed(&body), &parts).ok();
            let read = decode_entry("b", good.clone(), &parts).expect("an entry");
            assert_eq!(read, b, "byte {at} ^ {flip:#x}");
            drop((damaged, read));
            parts.sweep();
            assert!(parts.is_empty());
        }
    }
}

#[test]
fn damage_is_found_before_anything_is_shared() {
    let bytes = encode_entry(&record("a", 1));
    let parts = Parts::default();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(decode_entry("a", damaged, &parts).is_err(), "byte {at}");
    }
    assert!(
        matches!(decode_entry("b", bytes, &parts), Err(DecodeEntryError::WrongHost(host)) if host == "a")
    );
    assert!(parts.is_empty());
}
