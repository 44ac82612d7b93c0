//! What users see of a migration check, word for word.

use insta::assert_snapshot;
use vmuster_proto::model::{
    Domain, Finding, Freshness, HostStanding, MigrationAnswer, MigrationVerdict, VerdictKind,
};

use super::{json, migrate::*, yaml};

const WIDTH: u16 = 80;

fn verdict(name: &str, findings: &[(&str, VerdictKind, &str)]) -> MigrationVerdict {
    let host = HostStanding {
        name: name.to_owned(),
        address: format!("{name}:9440"),
        reported_name: name.to_owned(),
        freshness: Freshness::Fresh,
        fetched_at: None,
        validated_at: None,
        collected_at: None,
        problem: None,
    };
    let finding = |(rule, verdict, detail): &(&str, VerdictKind, &str)| Finding::new(rule, *verdict, detail);
    MigrationVerdict::of(host, findings.iter().map(finding).collect())
}

fn answer() -> MigrationAnswer {
    use VerdictKind::{No, Unknown, Yes};
    let domain = Domain {
        uuid: "7c9f57ce-50b5-4207-9f43-89aac77ba169".to_owned(),
        name: "db-1".to_owned(),
        ..Domain::default()
    };
    let words = "libvirt there says that the host cannot run it: the CPU is incompatible with host CPU: Host CPU does \
                 not provide required features: avx512f";
    let memory = "it may have 8.0 GiB: of 16.0 GiB, 2.0 GiB are the host's own and 7.0 GiB promised, which leaves \
                  7.0 GiB";
    let network = "vda (rbd:vms/db-1) is on the network; that this host reaches it was not tried";
    let silent = "nothing is known of this host (unreachable: cannot connect to kvm-05:9440: Connection refused (os \
                  error 111))";
    MigrationAnswer {
        domain,
        source_host: Some("kvm-01".to_owned()),
        verdicts: vec![
            verdict("kvm-02", &[]),
            verdict("kvm-03", &[("storage", Yes, network)]),
            verdict(
                "kvm-04",
                &[
                    ("cpu", No, words),
                    ("cpu", No, "the host cannot give avx512f"),
                    ("memory", No, memory),
                    ("storage", Unknown, "whether other hosts reach vdb (/dev/mapper/lun) is not known"),
                ],
            ),
            verdict("kvm-05", &[("freshness", Unknown, silent)]),
        ],
    }
}

#[test]
fn every_reason_is_in_the_table() {
    assert_snapshot!(table(&answer(), WIDTH));
}

#[test]
fn a_definition_alone() {
    let mut answer = answer();
    answer.source_host = None;
    answer.domain.uuid = String::new();
    answer.verdicts.truncate(1);
    assert_snapshot!(table(&answer, WIDTH));
    assert_snapshot!(json(&Document::new(&answer)).expect("JSON"));
}

#[test]
fn documents() {
    let mut answer = answer();
    answer.verdicts.remove(1);
    assert_snapshot!(json(&Document::new(&answer)).expect("JSON"));
    assert_snapshot!(yaml(&Document::new(&answer)).expect("YAML"));
}

#[test]
fn plain_names_hosts_that_can() {
    assert_eq!(plain(&answer()), "kvm-02\nkvm-03\n");
}
