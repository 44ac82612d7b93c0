//! Model → wire → model and model → JSON → model lose nothing; hostile wire values are refused by field name.

#![allow(clippy::expect_used, reason = "a test")]

use proptest::{collection, option, prelude::*};
use prost::Message as _;
use vmuster_proto::{
    convert,
    model::{
        AbsentFeature, Bytes, Cpu, CpuSet, CpuTopology, FeatureSet, FlagsAnswer, FlagsGroup, FreeHugepages,
        Freshness, HostClass, HostStanding, HostSummary, HugepagePool, Inventory, Issue, IssueKind, Layer,
        Memory, MemoryUsage, MissingHost, Numa, NumaNode, NumaNodeUsage, NumaUsage, OwnProcess, Problem,
        ProblemKind, SNAPSHOT_SCHEMA, Snapshot, System, Timestamp, Usage,
    },
    pb,
};

fn text() -> impl Strategy<Value = String> {
    "[ -~äß€]{0,12}"
}

fn maybe_text() -> impl Strategy<Value = Option<String>> {
    option::of(text())
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    option::of(
        (0..253_402_300_800_000_u64)
            .prop_map(|millis| Timestamp::from_unix_millis(millis).expect("in range")),
    )
}

fn cpu_set() -> impl Strategy<Value = CpuSet> {
    collection::btree_set(0..200_u32, 0..8).prop_map(CpuSet::from_iter)
}

fn features() -> impl Strategy<Value = FeatureSet> {
    collection::btree_set("[a-z][a-z0-9_.-]{0,6}", 0..6)
        .prop_map(|names| FeatureSet::from_names(names.iter().map(String::as_str)).expect("valid"))
}

fn bytes() -> impl Strategy<Value = Option<Bytes>> {
    option::of(any::<u64>().prop_map(Bytes))
}

fn pools() -> impl Strategy<Value = Vec<HugepagePool>> {
    let pool = (any::<u64>(), any::<Option<u64>>());
    collection::vec(pool.prop_map(|(size, total)| HugepagePool { size_bytes: Bytes(size), total }), 0..3)
}

fn free() -> impl Strategy<Value = Vec<FreeHugepages>> {
    let pool = (any::<u64>(), any::<Option<u64>>());
    collection::vec(pool.prop_map(|(size, free)| FreeHugepages { size_bytes: Bytes(size), free }), 0..3)
}

prop_compose! {
    fn system()(arch in maybe_text(), kernel_release in maybe_text(), boot_id in maybe_text(), hostname in maybe_text(),
        vendor in maybe_text(), product in maybe_text(), booted_at in time()) -> System {
        System { arch, kernel_release, boot_id, hostname, vendor, product, booted_at }
    }
}

prop_compose! {
    fn cpu()(names in (maybe_text(), maybe_text(), maybe_text()),
        numbers in any::<[Option<u32>; 9]>(),
        sets in (option::of(cpu_set()), option::of(cpu_set()), option::of(cpu_set()), option::of(cpu_set())),
        topology in collection::vec((any::<u32>(), any::<[Option<u32>; 5]>()), 0..4),
        host_flags in option::of(features()), cpuid_features in option::of(features()),
        host_flags_not_on_all in collection::btree_map(text(), cpu_set(), 0..3)) -> Cpu {
        let (vendor, model_name, microcode) = names;
        let [family, model, stepping, physical_address_bits, virtual_address_bits, socket_count, core_count,
            thread_count, threads_per_core] = numbers;
        let (present, online, offline, isolated) = sets;
        let topology = topology.into_iter()
            .map(|(cpu, [socket, die, cluster, core, node])| CpuTopology { cpu, socket, die, cluster, core, node });
        Cpu { vendor, model_name, family, model, stepping, microcode, physical_address_bits, virtual_address_bits,
            present, online, offline, isolated, socket_count, core_count, thread_count, threads_per_core,
            topology: topology.collect(), host_flags, host_flags_not_on_all, cpuid_features }
    }
}

fn numa() -> impl Strategy<Value = Numa> {
    let distances = collection::btree_map(any::<u32>(), any::<u32>(), 0..3);
    let node = (any::<u32>(), option::of(cpu_set()), bytes(), pools(), distances).prop_map(
        |(id, cpus, memory_total_bytes, hugepages, distances)| NumaNode {
            id,
            cpus,
            memory_total_bytes,
            hugepages,
            distances,
        },
    );
    collection::vec(node, 0..3).prop_map(|nodes| Numa { nodes })
}

prop_compose! {
    fn inventory()(collected_at in time(), fingerprint in text(), agent_version in text(), system in option::of(system()),
        cpu in option::of(cpu()), numa in option::of(numa()),
        memory in option::of((bytes(), pools()).prop_map(|(total_bytes, hugepages)| Memory { total_bytes, hugepages }))
    ) -> Inventory {
        Inventory { collected_at, fingerprint, agent_version, system, cpu, numa, memory }
    }
}

fn usage() -> impl Strategy<Value = Usage> {
    let memory = (bytes(), bytes(), free()).prop_map(|(available_bytes, free_bytes, hugepages)| {
        MemoryUsage { available_bytes, free_bytes, hugepages }
    });
    let node = (any::<u32>(), bytes(), free()).prop_map(|(id, memory_free_bytes, hugepages)| NumaNodeUsage {
        id,
        memory_free_bytes,
        hugepages,
    });
    let numa = collection::vec(node, 0..3).prop_map(|nodes| NumaUsage { nodes });
    let agent =
        (bytes(), time()).prop_map(|(resident_bytes, started_at)| OwnProcess { resident_bytes, started_at });
    (time(), option::of(memory), option::of(numa), option::of(agent))
        .prop_map(|(collected_at, memory, numa, agent)| Usage { collected_at, memory, numa, agent })
}

fn issue() -> impl Strategy<Value = Issue> {
    use IssueKind::{Denied, Malformed, Missing, Stale, Timeout, Unrecognized, Unsupported};
    let kinds = vec![Unsupported, Denied, Malformed, Timeout, Missing, Stale, Unrecognized];
    (text(), text(), prop::sample::select(kinds), text()).prop_map(|(section, source, kind, detail)| Issue {
        section,
        source,
        kind,
        detail,
    })
}

fn problem() -> impl Strategy<Value = Problem> {
    use ProblemKind::{Denied, Failed, Malformed, Timeout, Unreachable, Unsupported};
    let kinds = vec![Unreachable, Timeout, Malformed, Denied, Unsupported, Failed];
    (prop::sample::select(kinds), text()).prop_map(|(kind, detail)| Problem { kind, detail })
}

prop_compose! {
    fn standing()(name in text(), address in text(), reported_name in text(),
        freshness in prop::sample::select(vec![Freshness::Fresh, Freshness::Stale, Freshness::Missing]),
        fetched_at in time(), validated_at in time(), collected_at in time(), problem in option::of(problem())
    ) -> HostStanding {
        HostStanding { name, address, reported_name, freshness, fetched_at, validated_at, collected_at, problem }
    }
}

prop_compose! {
    fn summary()(standing in standing(), labels in collection::btree_map(text(), text(), 0..3), maintenance: bool,
        names in (maybe_text(), maybe_text(), maybe_text()), numbers in any::<[Option<u32>; 5]>(),
        memory_total_bytes in bytes(), issue_count: u32) -> HostSummary {
        let (arch, cpu_vendor, cpu_model_name) = names;
        let [socket_count, core_count, thread_count, numa_node_count, host_flag_count] = numbers;
        HostSummary { standing, labels, maintenance, arch, cpu_vendor, cpu_model_name, socket_count, core_count,
            thread_count, numa_node_count, memory_total_bytes, host_flag_count, issue_count }
    }
}

prop_compose! {
    fn group()(arch in text(), vendor in maybe_text(), vendors in collection::btree_set(text(), 0..3),
        features_ in features(), host_count: u32, hosts in collection::vec(text(), 0..3),
        sole_blockers in collection::btree_map(text(), features(), 0..3), physical_address_bits: Option<u32>,
        classes in collection::vec((collection::vec(text(), 0..3), any::<u32>()), 1..3), names in collection::vec(text(), 0..3)
    ) -> FlagsGroup {
        let classes = classes.into_iter().map(|(hosts, feature_count)| HostClass { hosts, feature_count }).collect();
        let absent = names.into_iter().map(|name| AbsentFeature { name, lacking_classes: vec![0] }).collect();
        FlagsGroup { arch, vendor, vendors, features: features_, host_count, hosts, sole_blockers,
            physical_address_bits, classes, absent }
    }
}

prop_compose! {
    fn answer()(layer in prop::sample::select(vec![Layer::Host, Layer::Guest]), complete: bool,
        groups in collection::vec(group(), 0..3), host_count: u32, fresh_host_count: u32,
        hosts in collection::vec(standing(), 0..3),
        missing in collection::vec((text(), problem()).prop_map(|(name, problem)| MissingHost { name, problem }), 0..3)
    ) -> FlagsAnswer {
        FlagsAnswer { layer, complete, groups, host_count, fresh_host_count, hosts, missing }
    }
}

/// Through the bytes, not only the structs.
fn over_the_wire<M: prost::Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).expect("own encoding")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn inventory_survives_the_wire(inventory in inventory()) {
        let wire: pb::Inventory = (&inventory).into();
        prop_assert_eq!(Inventory::try_from(over_the_wire(&wire)), Ok(inventory));
    }

    #[test]
    fn usage_survives_the_wire(usage in usage()) {
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
    fn answers_survive_the_wire(answer in answer()) {
        let wire = convert::flags_answer_to_pb(&answer, "g".to_owned());
        prop_assert_eq!(FlagsAnswer::try_from(over_the_wire(&wire)), Ok(answer));
    }

    #[test]
    fn snapshots_survive_json(inventory in inventory(), usage in option::of(usage()), name in text(), issues in collection::vec(issue(), 0..3)) {
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
fn what_only_a_newer_peer_knows_is_kept_readable() {
    let wire =
        pb::Issue { section: "cpu".to_owned(), source: "x".to_owned(), kind: 4711, detail: String::new() };
    assert_eq!(Issue::try_from(wire).expect("tolerated").kind, IssueKind::Unrecognized);
}
