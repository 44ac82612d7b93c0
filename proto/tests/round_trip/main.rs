//! Model → wire → model and model → JSON → model lose nothing; hostile wire values are refused by field name.

#![allow(clippy::expect_used, reason = "a test")]

mod allocation;
mod answers;
mod baselines;
mod guests;
mod parts;
mod placement;
mod strategies;
mod topology;

use proptest::{collection, option, prelude::*};
use prost::Message as _;
use vmuster_proto::{
    convert,
    model::{
        BaselineAnswer, FlagsAnswer, HostSummary, Inventory, Issue, IssueKind, SNAPSHOT_SCHEMA, Snapshot,
        Usage,
    },
    pb,
};

use crate::{
    answers::answer,
    baselines::baseline_answer,
    parts::text,
    strategies::{inventory, issue, summary, usage},
};

/// Through the bytes, not only the structs.
fn over_the_wire<M: prost::Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).expect("own encoding")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn inventory_survives_the_wire(inventory in inventory().boxed()) {
        let wire: pb::Inventory = (&inventory).into();
        prop_assert_eq!(Inventory::try_from(over_the_wire(&wire)), Ok(inventory));
    }

    #[test]
    fn usage_survives_the_wire(usage in usage().boxed()) {
        let wire: pb::Usage = (&usage).into();
        prop_assert_eq!(Usage::try_from(over_the_wire(&wire)), Ok(usage));
    }

    #[test]
    fn issues_survive_the_wire(list in collection::vec(issue(), 0..4)) {
        let wire = pb::CollectedInventory { inventory: None, issues: convert::issues_to_pb(&list) };
        prop_assert_eq!(convert::issues(over_the_wire(&wire).issues), Ok(list));
    }

    #[test]
    fn summaries_survive_the_wire(summary in summary()) {
        let wire: pb::HostSummary = (&summary).into();
        prop_assert_eq!(HostSummary::try_from(over_the_wire(&wire)), Ok(summary));
    }

    #[test]
    fn baselines_survive_the_wire(answer in baseline_answer()) {
        let wire = convert::baseline_answer_to_pb(&answer, "g".to_owned());
        prop_assert_eq!(BaselineAnswer::try_from(over_the_wire(&wire)), Ok(answer));
    }

    #[test]
    fn answers_survive_the_wire(answer in answer()) {
        let wire = convert::flags_answer_to_pb(&answer, "g".to_owned());
        prop_assert_eq!(FlagsAnswer::try_from(over_the_wire(&wire)), Ok(answer));
    }

    #[test]
    fn snapshots_survive_json(inventory in inventory().boxed(), usage in option::of(usage().boxed()), name in text(), issues in collection::vec(issue(), 0..3)) {
        let snapshot = Snapshot { schema: SNAPSHOT_SCHEMA.to_owned(), name, inventory, usage, issues };
        let json = serde_json::to_string(&snapshot).expect("serializes");
        prop_assert_eq!(serde_json::from_str::<Snapshot>(&json).expect("own JSON"), snapshot);
    }

    #[test]
    fn arbitrary_bytes_decode_or_are_refused(bytes: Vec<u8>) {
        if let Ok(wire) = pb::Inventory::decode(bytes.as_slice()) {
            let _ = Inventory::try_from(wire);
        }
        if let Ok(wire) = pb::ComputeCommonCpuFlagsResponse::decode(bytes.as_slice()) {
            let _ = FlagsAnswer::try_from(wire);
        }
    }
}

#[test]
fn a_refusal_names_the_field() {
    let node = pb::NumaNode { id: 1, cpus: Some("0-".to_owned()), ..Default::default() };
    let wire = pb::Inventory {
        numa: Some(pb::Numa { nodes: vec![pb::NumaNode::default(), node] }),
        ..Default::default()
    };
    let error = Inventory::try_from(wire).expect_err("refused");
    assert_eq!(error.to_string(), "field numa.nodes[1].cpus: '0-' is not a CPU number or range");

    let flags = pb::FeatureNames { names: vec!["two words".to_owned()] };
    let wire = pb::Inventory {
        cpu: Some(pb::Cpu { host_flags: Some(flags), ..Default::default() }),
        ..Default::default()
    };
    assert_eq!(Inventory::try_from(wire).expect_err("refused").field, "cpu.host_flags");

    let wire = pb::Inventory {
        collected_at: Some(prost_types::Timestamp { seconds: -1, nanos: 0 }),
        ..Default::default()
    };
    assert_eq!(Inventory::try_from(wire).expect_err("refused").field, "collected_at");

    let wire = pb::Inventory { fingerprint: "x".repeat(convert::TEXT_MAX_BYTES + 1), ..Default::default() };
    assert_eq!(Inventory::try_from(wire).expect_err("refused").field, "fingerprint");
}

#[test]
fn a_small_message_does_not_take_much_memory() {
    let vast = |count: usize, list: &str| {
        let cache = pb::CpuCache { shared_by: vec![list.to_owned(); count], ..Default::default() };
        let cpu = pb::Cpu { caches: vec![cache], ..Default::default() };
        Inventory::try_from(pb::Inventory { cpu: Some(cpu), ..Default::default() }).map(drop)
    };
    assert_eq!(vast(60_000, "0-65535").expect_err("refused").field, "cpu");
    assert_eq!(vast(60_000, "65535,0").expect_err("refused").field, "cpu");
    assert_eq!(vast(24_576, "8190-8191"), Ok(()), "the largest host Linux can be built for");
}

#[test]
fn what_only_a_newer_peer_knows_is_kept_readable() {
    let wire =
        pb::Issue { section: "cpu".to_owned(), source: "x".to_owned(), kind: 4711, detail: String::new() };
    assert_eq!(Issue::try_from(wire).expect("tolerated").kind, IssueKind::Unrecognized);
}
