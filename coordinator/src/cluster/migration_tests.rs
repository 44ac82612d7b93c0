//! Questions about saved snapshots: nobody is asked.

use vmuster_proto::{
    clock::SystemClock,
    model::{Inventory, System},
};

use super::*;
use crate::{cache::HostCache, cluster::read_within, hosts::Registry};

fn record(name: &str, arch: &str, domains: Option<Vec<Domain>>) -> HostRecord {
    let system = System { arch: Some(arch.to_owned()), ..System::default() };
    HostRecord {
        host: name.to_owned(),
        address: String::new(),
        reported_name: name.to_owned(),
        fetched_at: None,
        validated_at: None,
        inventory: Arc::new(Inventory { system: Some(system), ..Inventory::default() }),
        issues: [].into(),
        superseded: false,
        saved_usage: Some(Arc::new(Usage { domains, ..Usage::default() })),
        guest_names: crate::cache::GuestNames::default(),
    }
}

fn guest(uuid: &str, name: &str) -> Domain {
    let text = |text: &str| Some(text.to_owned());
    Domain {
        uuid: uuid.to_owned(),
        name: name.to_owned(),
        arch: text("x86_64"),
        virt_type: text("kvm"),
        ..Domain::default()
    }
}

/// A host with guests, one like it, one of another architecture, and one that says nothing.
fn cluster() -> Cluster {
    let guests = vec![guest("u-1", "db"), guest("u-2", "u-1"), guest("u-3", "twin"), guest("u-4", "twin")];
    let records = [
        record("a", "x86_64", Some(guests)),
        record("b", "x86_64", Some(vec![])),
        record("c", "aarch64", Some(vec![])),
        record("d", "x86_64", None),
    ];
    let registry = Registry::new(records.iter().map(|record| HostEntry::new(record.host.as_str(), None)));
    Cluster::new(registry.expect("distinct"), Arc::new(HostCache::of_records(records, Arc::new(SystemClock))))
}

async fn ask(guest: Guest, scope: Scope) -> Result<MigrationAnswer, MigrationError> {
    let options = read_within(None, std::time::Duration::from_secs(5));
    cluster().check_migration(&MigrationQuestion { guest, scope }, &|_| Vec::new(), options).await
}

async fn of(host: &str, domain: &str) -> Result<MigrationAnswer, MigrationError> {
    ask(Guest::OnHost { host: host.to_owned(), domain: domain.to_owned() }, Scope::default()).await
}

#[tokio::test]
async fn every_candidate_has_a_verdict_and_the_source_none() {
    let answer = of("a", "db").await.expect("an answer");
    assert_eq!((answer.domain.uuid.as_str(), answer.source_host.as_deref()), ("u-1", Some("a")));
    let hosts: Vec<_> = answer.verdicts.iter().map(|verdict| verdict.host.name.as_str()).collect();
    assert_eq!(hosts, ["b", "c", "d"]);
    let kinds: Vec<_> = answer.verdicts.iter().map(|verdict| verdict.verdict).collect();
    assert_eq!(kinds, [VerdictKind::Unknown, VerdictKind::No, VerdictKind::Unknown]);
}

#[tokio::test]
async fn a_uuid_comes_first_and_a_name_must_be_one_guests() {
    assert_eq!(of("a", "U-1").await.expect("by UUID").domain.name, "db");
    assert_eq!(of("a", "db").await.expect("by name").domain.uuid, "u-1");
    let problem = |error: Result<MigrationAnswer, MigrationError>| error.expect_err("no answer").to_string();
    assert_eq!(problem(of("a", "twin").await), "2 domains on 'a' are called 'twin': give a UUID");
    assert!(problem(of("b", "db").await).starts_with("there is no domain 'db' on 'b'"));
    assert!(problem(of("d", "db").await).starts_with("the guests of 'd' are not known"));
    assert!(matches!(
        of("x", "db").await,
        Err(MigrationError::Scope(ScopeError::NotRegistered(names))) if names == ["x"]
    ));
}

#[tokio::test]
async fn scopes() {
    let on_a = || Guest::OnHost { host: "a".to_owned(), domain: "db".to_owned() };
    let only_own = ask(on_a(), Scope::of("a")).await.expect_err("nowhere to go").to_string();
    assert_eq!(only_own, "no host matches: the guest is on a, and no other host is in scope");
    let arm = Scope { arch: Some("aarch64".to_owned()), ..Scope::default() };
    let answer = ask(on_a(), arm).await.expect("an answer");
    assert_eq!(answer.verdicts.len(), 1);
    let none = Scope { arch: Some("s390x".to_owned()), ..Scope::default() };
    assert!(matches!(ask(on_a(), none).await, Err(MigrationError::Scope(ScopeError::Empty(_)))));
}

#[tokio::test]
async fn a_definition_has_no_source() {
    let xml = "<domain type='kvm'><name>new</name><memory>1024</memory><vcpu>1</vcpu>\
               <os><type arch='x86_64'>hvm</type></os></domain>";
    let answer = ask(Guest::Xml(xml.to_owned()), Scope::default()).await.expect("an answer");
    assert_eq!((answer.verdicts.len(), answer.source_host), (4, None));
    let wrong = ask(Guest::Xml("<cpu/>".to_owned()), Scope::default()).await.expect_err("no domain");
    assert_eq!(wrong.to_string(), "the definition makes no sense: its root is <cpu> and should be <domain>");
}

#[tokio::test]
async fn a_definition_that_no_libvirt_takes_is_refused_before_anybody_is_asked() {
    let with = async |features: String| {
        let xml = format!(
            "<domain type='kvm'><name>new</name><cpu mode='custom'><model>Rome</model>{features}</cpu></domain>"
        );
        ask(Guest::Xml(xml), Scope::default()).await.expect_err("no guest").to_string()
    };
    let bogus = with("<feature name='aes' policy='bogus'/>".to_owned()).await;
    assert!(
        bogus.starts_with("the definition makes no sense: <feature policy=>: 'bogus' is none of"),
        "{bogus}"
    );
    let many = with((0..20_000).map(|at| format!("<feature name='f{at}'/>")).collect()).await;
    assert_eq!(many, "the definition makes no sense: <feature>: there are 20000, limit 2000");
}

#[test]
fn each_question_has_its_share_of_the_time() {
    let options = read_within(None, std::time::Duration::from_secs(8));
    let first = sooner(options).deadline.saturating_duration_since(Instant::now());
    assert!((5_900..=6_000).contains(&first.as_millis()), "{first:?}");
}
