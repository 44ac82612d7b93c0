//! Placement and claims.

use std::{collections::BTreeMap, time::Duration};

use vmuster_proto::{
    convert::{self, place_request},
    model::{
        AffinityPolicy, AffinityRule, Bytes, Candidate, ClaimReport, ClaimState, ClaimedCell, Completeness,
        CpuSet, DiskDemand, DiskPlace, EvacuatedInstance, FeatureSet, FilterCount, Freshness,
        GroupExplanation, HintProblem, HostStanding, InstanceGroup, InstanceTemplate, JudgedHost,
        LeavingInstances, NearMiss, Nomination, PlaceAnswer, PlaceRequest, PlacedCell, Placement, Problem,
        ProblemKind, Purpose, Refusal, Shortage, StaleHint, Timestamp, WeigherProfile,
    },
    pb,
};

fn placement() -> Placement {
    Placement {
        uuid: UUID.to_owned(),
        group: 0,
        host: "kvm-01".to_owned(),
        claim_id: "c7".to_owned(),
        pools: vec!["default".to_owned()],
        score: 0.25,
        cells: vec![PlacedCell {
            host_cell: 1,
            vcpus: cpus("0-2"),
            pins: BTreeMap::from([(0, 4), (1, 20)]),
            shared_cpus: cpus("8-11"),
            memory_bytes: Bytes(1 << 30),
            page_size_bytes: Bytes(2 << 20),
            huge_pages: true,
        }],
        emulator_cpus: cpus("4,20"),
    }
}

fn cpus(text: &str) -> CpuSet {
    text.parse().expect("CPUs")
}

const UUID: &str = "8c1f4ce1-1111-4222-8333-944444444444";

fn template() -> InstanceTemplate {
    let disk = |gib: u64, on| DiskDemand { size_bytes: Bytes(gib << 30), on };
    InstanceTemplate {
        vcpus: 4,
        memory_bytes: Bytes(8 << 30),
        disks: vec![
            disk(10, DiskPlace::Default),
            disk(20, DiskPlace::Pool("fast".to_owned())),
            disk(30, DiskPlace::StorageClass("ssd".to_owned())),
        ],
        required_features: FeatureSet::from_names(["avx2", "aes"]).expect("names"),
        forbidden_features: FeatureSet::from_names(["vmx"]).expect("names"),
        cpu_model: Some("EPYC-Rome".to_owned()),
        arch: Some("x86_64".to_owned()),
        labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
        numa: Some(super::topology::topology()),
    }
}

fn rule(group: &str, policy: AffinityPolicy, topology_key: Option<&str>) -> AffinityRule {
    AffinityRule {
        group: group.to_owned(),
        policy,
        topology_key: topology_key.map(str::to_owned),
        partition: Some("1".to_owned()),
    }
}

pub(super) fn request() -> PlaceRequest {
    PlaceRequest {
        request_id: "one".to_owned(),
        claim: true,
        groups: vec![InstanceGroup {
            name: "web".to_owned(),
            template: template(),
            uuids: vec![UUID.to_owned()],
            rules: vec![
                rule("db", AffinityPolicy::AntiAffinity, Some("rack")),
                rule("db", AffinityPolicy::SoftAntiAffinity, None),
                AffinityRule { partition: None, ..rule("app", AffinityPolicy::Affinity, None) },
                AffinityRule { partition: None, ..rule("app/x", AffinityPolicy::SoftAffinity, None) },
            ],
        }],
        completeness: Completeness::AtLeast(1),
        hosts: vec!["kvm-01".to_owned()],
        exclude_hosts: vec!["kvm-02".to_owned()],
        forced_host: Some("kvm-01".to_owned()),
        ignore_capacity: true,
        profile: WeigherProfile {
            name: "pack".to_owned(),
            multipliers: BTreeMap::from([("ram".to_owned(), -2.0)]),
        },
        hold: Some(Duration::from_secs(90)),
        purpose: Purpose::Move,
        max_candidates: 3,
        explain: true,
        evacuate_host: None,
        releasing: vec![UUID.replace('8', "9")],
        hints: vec![nomination()],
    }
}

fn evacuation() -> PlaceRequest {
    PlaceRequest {
        groups: Vec::new(),
        forced_host: None,
        evacuate_host: Some("kvm-03".to_owned()),
        ..request()
    }
}

fn nomination() -> Nomination {
    Nomination {
        uuid: UUID.to_owned(),
        group: 1,
        host: "kvm-01".to_owned(),
        host_fingerprint: "f0".to_owned(),
        request_signature: "51".to_owned(),
        expires_at: Timestamp::from_unix_millis(4000).expect("in range"),
    }
}

fn decoded(wire: pb::PlaceRequest) -> Result<PlaceRequest, String> {
    place_request(wire, || UUID.to_owned()).map_err(|error| error.field)
}

#[test]
fn requests_come_through_as_they_are() {
    for completeness in [Completeness::All, Completeness::BestEffort, Completeness::AtLeast(1)] {
        let request = PlaceRequest { completeness, ..request() };
        assert_eq!(decoded((&request).into()), Ok(request));
        let request = PlaceRequest { completeness, ..evacuation() };
        assert_eq!(decoded((&request).into()), Ok(request));
    }
    let unsaid = pb::PlaceRequest { purpose: 0, ..(&evacuation()).into() };
    assert_eq!(decoded(unsaid).map(|request| request.purpose), Ok(Purpose::Move), "it is nothing else");
}

#[test]
fn a_count_makes_uuids_and_capitals_are_no_other_instance() {
    let mut wire = pb::PlaceRequest::from(&request());
    wire.groups[0].uuids = vec![UUID.to_uppercase()];
    assert_eq!(decoded(wire.clone()).expect("valid").groups[0].uuids, [UUID]);
    (wire.groups[0].uuids, wire.groups[0].count) = (Vec::new(), 1);
    assert_eq!(decoded(wire).expect("valid").groups[0].uuids, [UUID]);
}

#[test]
fn what_makes_no_sense_is_named() {
    fn template(request: &mut pb::PlaceRequest) -> &mut pb::InstanceTemplate {
        request.groups[0].template.as_mut().expect("there")
    }
    let cases: &[(&str, Change)] = &[
        ("mode", |r| r.mode = 0),
        ("request_id", |r| r.request_id.clear()),
        ("request_id", |r| r.request_id = "x".repeat(129)),
        ("request_id", |r| r.request_id = "a b".to_owned()),
        ("min_count", |r| r.min_count = 0),
        ("min_count", |r| r.min_count = 2),
        ("min_count", |r| r.completeness = pb::PlaceCompleteness::All.into()),
        ("groups", |r| r.groups.clear()),
        ("groups", |r| {
            r.groups[0].uuids.clear();
            r.groups[0].count = 1_000_000;
        }),
        ("evacuate_host", |r| r.evacuate_host = "kvm-03".to_owned()),
        ("evacuate_host", |r| {
            r.groups.clear();
            r.evacuate_host = "kvm-03".to_owned();
        }),
        ("max_candidates", |r| r.max_candidates = 101),
        ("profile.multipliers", |r| {
            r.profile.get_or_insert_default().multipliers.insert("ram".to_owned(), f64::NAN);
        }),
        ("groups[0].uuids[0].uuid", |r| r.groups[0].uuids[0] = "{8c1f4ce1}".to_owned()),
        ("groups[0].uuids", |r| r.groups[0].count = 1),
        ("groups[0].uuids", |r| r.groups[0].uuids.push(UUID.to_uppercase())),
        ("groups[1].name", |r| {
            let mut other = r.groups[0].clone();
            other.uuids = vec![UUID.replace('8', "9")];
            r.groups.push(other);
        }),
        ("groups[0].template", |r| r.groups[0].template = None),
        ("groups[0].template.vcpus", |r| template(r).vcpus = 0),
        ("groups[0].template.memory_bytes", |r| template(r).memory_bytes = 1),
        ("groups[0].template.disks", |r| template(r).disks = vec![template(r).disks[0].clone(); 65]),
        ("groups[0].template.disks[0].size_bytes", |r| template(r).disks[0].size_bytes = 0),
        ("groups[0].template.disks[1].pool", |r| {
            template(r).disks[1].on = Some(pb::disk_demand::On::Pool(String::new()));
        }),
        ("groups[0].template.forbidden_features", |r| {
            template(r).forbidden_features.push("aes".to_owned());
        }),
        ("groups[0].rules[0].policy", |r| r.groups[0].rules[0].policy = 0),
        ("groups[0].rules[0].group", |r| r.groups[0].rules[0].group = "a=b".to_owned()),
        ("groups[0].rules[0].group", |r| r.groups[0].rules[0].group = "x".repeat(64)),
        ("groups[0].rules[1].group", |r| r.groups[0].rules[1] = r.groups[0].rules[0].clone()),
        ("groups[0].rules[2].policy", |r| {
            let opposite = pb::AffinityRule { policy: 1, ..r.groups[0].rules[0].clone() };
            r.groups[0].rules.insert(2, opposite);
        }),
        ("groups[0].rules[0].topology_key", |r| r.groups[0].rules[0].topology_key = Some(String::new())),
        ("groups[0].rules[1].partition", |r| r.groups[0].rules[1].partition = Some("2".to_owned())),
        ("groups[0].rules[0].partition", |r| r.groups[0].rules[0].partition = Some("a b".to_owned())),
        ("groups[0].rules", |r| r.groups[0].rules = vec![r.groups[0].rules[0].clone(); 9]),
        ("groups[0].template.arch", |r| template(r).arch = Some(String::new())),
    ];
    assert_named(cases);
}

#[test]
fn hints_that_make_no_sense_are_named() {
    assert_named(&[
        ("releasing[0].uuid", |r| r.releasing[0] = "one".to_owned()),
        ("releasing", |r| r.releasing = vec![UUID.to_owned(); 10_001]),
        ("hints[0].uuid", |r| r.hints[0].uuid.clear()),
        ("hints[0].expires_at", |r| r.hints[0].expires_at = None),
        ("hints[0].host_fingerprint", |r| r.hints[0].host_fingerprint = "f".repeat(65)),
        ("hints[1].uuid", |r| r.hints.push(r.hints[0].clone())),
        ("hints", |r| r.hints = vec![r.hints[0].clone(); 10_001]),
    ]);
}

/// The field that each change makes senseless.
type Change = fn(&mut pb::PlaceRequest);

fn assert_named(cases: &[(&str, Change)]) {
    for (number, (field, change)) in cases.iter().enumerate() {
        let mut wire = pb::PlaceRequest::from(&request());
        change(&mut wire);
        assert_eq!(decoded(wire), Err((*field).to_owned()), "case {number}");
    }
}

fn standing() -> HostStanding {
    HostStanding {
        name: "kvm-01".to_owned(),
        address: "h:1".to_owned(),
        reported_name: "kvm-01".to_owned(),
        freshness: Freshness::Stale,
        fetched_at: Timestamp::from_unix_millis(1000).ok(),
        validated_at: None,
        collected_at: None,
        problem: Some(Problem::new(ProblemKind::Timeout, "late")),
    }
}

fn stale_hints() -> Vec<StaleHint> {
    let problems = [
        HintProblem::Expired,
        HintProblem::HostGone,
        HintProblem::HostChanged,
        HintProblem::RequestChanged,
        HintProblem::NoRoom,
        HintProblem::Refused,
        HintProblem::Gang,
    ];
    let stale = |problem| StaleHint {
        uuid: UUID.to_owned(),
        host: "kvm-01".to_owned(),
        problem,
        detail: "so it is".to_owned(),
    };
    problems.map(stale).into()
}

#[test]
fn answers_come_through_as_they_are() {
    let shortage = Shortage {
        filter: "memory".to_owned(),
        lacking: 7,
        unit: "bytes".to_owned(),
        detail: "7 B are lacking".to_owned(),
    };
    let answer = PlaceAnswer {
        granted: true,
        placed_count: 1,
        placements: vec![placement()],
        refusals: vec![Refusal {
            group: 1,
            uuids: vec![UUID.to_owned()],
            filters: vec![FilterCount {
                filter: "memory".to_owned(),
                rejected_host_count: 3,
                unknown_host_count: 1,
            }],
            nearest: vec![NearMiss { host: "kvm-02".to_owned(), shortages: vec![shortage] }],
            summary: "0 of 3 hosts".to_owned(),
        }],
        explanations: vec![GroupExplanation {
            group: 0,
            filters: Vec::new(),
            nearest: vec![NearMiss { host: "kvm-03".to_owned(), shortages: Vec::new() }],
            summary: "3 of 3 hosts".to_owned(),
        }],
        nominations: vec![nomination()],
        leaving: vec![LeavingInstances { host: "kvm-01".to_owned(), uuids: vec![UUID.to_owned()] }],
        stale_hints: stale_hints(),
        hints_used: true,
        expires_at: Timestamp::from_unix_millis(2000).ok(),
        hosts: vec![JudgedHost {
            standing: standing(),
            usage_asked_at: Timestamp::from_unix_millis(3000).ok(),
            usage_problem: Some(Problem::new(ProblemKind::Unreachable, "gone")),
        }],
        candidates: BTreeMap::from([(
            0,
            vec![Candidate {
                host: "kvm-01".to_owned(),
                score: 1.5,
                weights: BTreeMap::from([("ram".to_owned(), 0.5)]),
            }],
        )]),
        skipped_filters: vec!["labels".to_owned()],
        over_committed: true,
        notes: vec!["fence it".to_owned()],
        evacuated: vec![EvacuatedInstance {
            uuid: UUID.to_owned(),
            name: "web".to_owned(),
            state: "running".to_owned(),
            group: 1,
            elsewhere: "kvm-04".to_owned(),
            disks: vec!["vda".to_owned()],
            doubts: vec!["it has host devices".to_owned()],
        }],
        cluster_generation: "2a".to_owned(),
    };
    assert_eq!(PlaceAnswer::try_from(pb::PlaceResponse::from(answer.clone())), Ok(answer));
}

#[test]
fn claims_come_through_as_they_are() {
    let at = |seconds: u64| Timestamp::from_unix_millis(seconds * 1000).expect("in range");
    for (state, purpose) in [
        (ClaimState::Held, Purpose::New),
        (ClaimState::Confirmed, Purpose::Move),
        (ClaimState::Observed, Purpose::New),
    ] {
        let claim = ClaimReport {
            id: "c1".to_owned(),
            uuid: UUID.to_owned(),
            host: "kvm-01".to_owned(),
            state,
            vcpus: 4,
            memory_bytes: Bytes(8 << 30),
            disk_bytes: BTreeMap::from([("rbd://mon/vms".to_owned(), Bytes(5))]),
            purpose,
            request_id: "one".to_owned(),
            over_committed: true,
            created_at: at(1),
            expires_at: Some(at(2)),
            observed_at: Some(at(3)),
            first_missing_at: Some(at(4)),
            groups: vec!["db".to_owned(), "db=1".to_owned()],
            cells: vec![ClaimedCell {
                host_cell: 1,
                pinned_cpus: cpus("4-7"),
                shared_vcpus: 2,
                memory_bytes: Bytes(3),
                page_size_bytes: Some(Bytes(2 << 20)),
                page_count: 4,
            }],
        };
        assert_eq!(convert::claims(vec![(&claim).into()]), Ok(vec![claim]));
    }
    let bare = pb::Claim { created_at: Some(prost_types::Timestamp::default()), ..Default::default() };
    assert_eq!(convert::claims(vec![bare]).expect_err("no state").field, "claims[0].state");
}
