//! Nodes, pins and huge pages.

use vmuster_proto::model::{
    GuestCell, NumaNodeUsage, NumaUsage,
    VerdictKind::{No, Unknown},
};

use super::*;
use crate::migration::testing::{Facts, cpus, facts, told};

fn bound_to(nodes: &str, mode: &str) -> Facts {
    let mut facts = facts();
    facts.domain.numa =
        Some(DomainNuma { mode: Some(mode.to_owned()), host_nodes: Some(cpus(nodes)), cells: vec![] });
    facts
}

#[test]
fn nodes_must_be_there_with_memory() {
    assert_eq!(told(numa, &facts()), []);
    assert_eq!(told(numa, &bound_to("0-1", "strict")), []);
    let absent = "its memory is bound to nodes 2, which the host does not have";
    assert_eq!(told(numa, &bound_to("0,2", "preferred")), [(No, absent.to_owned())]);
    let mut large = bound_to("1", "strict");
    large.domain.memory_max_bytes = Some(Bytes(9 << 30));
    let small = "9.0 GiB of its memory is bound to nodes 1, which have 8.0 GiB there";
    assert_eq!(told(numa, &large), [(No, small.to_owned())]);
    large.domain.numa.as_mut().expect("nodes").mode = Some("preferred".to_owned());
    assert_eq!(told(numa, &large), [], "the rest comes from elsewhere");
    let mut empty = bound_to("1", "strict");
    empty.nodes()[1].memoryless = Some(true);
    let none = "its memory is bound to nodes 1, which have none there";
    assert_eq!(told(numa, &empty), [(No, none.to_owned())]);
    let mut silent = bound_to("1", "strict");
    silent.target.inventory.numa = None;
    assert_eq!(told(numa, &silent)[0].0, Unknown);
    let mut unmeasured = bound_to("1", "strict");
    unmeasured.nodes()[1].memory_total_bytes = None;
    assert_eq!(told(numa, &unmeasured)[0].0, Unknown);
}

#[test]
fn pins_must_be_online() {
    let mut facts = facts();
    facts.domain.cpus = Some(cpus("0-7"));
    assert_eq!(told(numa, &facts), []);
    facts.domain.vcpu_pins.insert(0, cpus("8"));
    facts.domain.emulator_cpus = Some(cpus("9"));
    let absent = "it is pinned to CPUs 8-9, which are not online there";
    assert_eq!(told(numa, &facts), [(No, absent.to_owned())]);
    facts.cpu().online = None;
    assert_eq!(told(numa, &facts)[0].0, Unknown);
}

fn with_pages(size: Option<u64>, free: u64) -> Facts {
    let mut facts = facts();
    facts.domain.hugepages = vec![DomainHugepages { size_bytes: size.map(Bytes), guest_nodes: None }];
    let pages = FreeHugepages { size_bytes: Bytes(2 << 20), free: Some(free), ..FreeHugepages::default() };
    facts.target.usage.memory.as_mut().expect("memory").hugepages = vec![pages];
    facts
}

#[test]
fn huge_pages_must_be_free() {
    assert_eq!(told(hugepages, &with_pages(Some(2 << 20), 1024)), [], "2 GiB");
    let few = "it needs 1024 huge pages of 2.0 MiB, and 1023 are free there";
    assert_eq!(told(hugepages, &with_pages(Some(2 << 20), 1023)), [(No, few.to_owned())]);
    let none = "it needs 2 huge pages of 1.0 GiB, and 0 are free there";
    assert_eq!(told(hugepages, &with_pages(Some(1 << 30), 1024)), [(No, none.to_owned())]);
    assert_eq!(told(hugepages, &with_pages(None, 1024))[0].0, Unknown, "the default size is not known");
    let mut known = with_pages(None, 1024);
    known.target.inventory.memory.as_mut().expect("memory").default_hugepage_size_bytes =
        Some(Bytes(2 << 20));
    assert_eq!(told(hugepages, &known), []);
    let mut mapped = with_pages(Some(2 << 20), 1024);
    mapped.target.usage.memory.as_mut().expect("memory").hugepages[0].reserved = Some(1);
    assert_eq!(told(hugepages, &mapped)[0].0, No);
    let mut silent = with_pages(Some(2 << 20), 1024);
    silent.target.usage.memory = None;
    assert_eq!(told(hugepages, &silent)[0].0, Unknown);
}

#[test]
fn huge_pages_are_counted_on_their_nodes() {
    let mut facts = with_pages(Some(2 << 20), 2048);
    let cell = |id: u32| GuestCell {
        id,
        memory_bytes: Some(Bytes(1 << 30)),
        host_nodes: Some(cpus("1")),
        ..GuestCell::default()
    };
    let cells = vec![cell(0), cell(1)];
    facts.domain.numa = Some(DomainNuma { mode: None, host_nodes: None, cells });
    let node = |id: u32, free: u64| {
        let pages =
            FreeHugepages { size_bytes: Bytes(2 << 20), free: Some(free), ..FreeHugepages::default() };
        NumaNodeUsage { id, memory_free_bytes: None, hugepages: vec![pages] }
    };
    facts.target.usage.numa = Some(NumaUsage { nodes: vec![node(0, 1024), node(1, 1024)] });
    assert_eq!(told(hugepages, &facts), []);
    facts.target.usage.numa = Some(NumaUsage { nodes: vec![node(0, 1024), node(1, 1000)] });
    let few = "it needs 1024 huge pages of 2.0 MiB on nodes 1, and 1000 are free there";
    assert_eq!(told(hugepages, &facts), [(No, few.to_owned())], "both parts are bound to one node");
    facts.domain.numa.as_mut().expect("nodes").cells[1].memory_bytes = None;
    assert_eq!(told(hugepages, &facts)[0].0, Unknown);
}
