//! What hosts have and have promised, by examples.

use std::{collections::BTreeMap, sync::Arc};

use vmuster_proto::model::{
    AllocationSettings, Cpu, DomainDisk, DomainHugepages, Filesystem, HugepagePool, Memory, Ratio,
    StoragePool,
};

use super::*;
use crate::{accounting::Profile, hosts::resolve};

const GIB: u64 = 1 << 30;

struct Host {
    settings: HostSettings,
    inventory: Inventory,
    usage: Usage,
}

fn domain(uuid: &str, vcpus: u32, gib: u64) -> Domain {
    Domain {
        uuid: uuid.to_owned(),
        name: format!("guest-{uuid}"),
        vcpus_max: Some(vcpus),
        memory_max_bytes: Some(Bytes(gib * GIB)),
        ..Domain::default()
    }
}

fn host(domains: Vec<Domain>) -> Host {
    let settings = resolve(&AllocationSettings::default(), &BTreeMap::new(), &[], Profile::Standard);
    let cpu = Cpu { online: Some("0-7".parse().expect("CPUs")), ..Cpu::default() };
    let memory = Memory { total_bytes: Some(Bytes(100 * GIB)), ..Memory::default() };
    let inventory = Inventory { cpu: Some(Arc::new(cpu)), memory: Some(memory), ..Inventory::default() };
    let pool = StoragePool {
        name: "default".to_owned(),
        state: Some("running".to_owned()),
        capacity_bytes: Some(Bytes(200 * GIB)),
        mount_point: Some("/".to_owned()),
        ..StoragePool::default()
    };
    let root = Filesystem { mount_point: "/".to_owned(), ..Filesystem::default() };
    let usage = Usage {
        domains: Some(domains),
        pools: Some(vec![pool]),
        filesystems: Some(vec![root]),
        ..Usage::default()
    };
    Host { settings, inventory, usage }
}

impl Host {
    fn facts(&self) -> AccountedHost<'_> {
        AccountedHost {
            name: "h",
            settings: &self.settings,
            inventory: &self.inventory,
            usage: Some(&self.usage),
        }
    }

    fn accounted(&self, claims: &[(&str, u64, u64, &BTreeMap<String, Bytes>)]) -> HostAccount {
        let claims = claims.iter().map(|(instance, vcpus, gib, disks)| ClaimedBy {
            instance,
            vcpus: *vcpus,
            memory_bytes: Bytes(gib * GIB),
            disks,
        });
        account(self.facts(), claims)
    }
}

fn promised(account: &HostAccount) -> (u64, u64) {
    let vcpus = account.vcpus.as_ref().expect("known").promised;
    (vcpus, account.memory.as_ref().expect("known").promised / GIB)
}

#[test]
fn guests_count_at_their_most_whatever_their_state_and_claims_beside_them() {
    let off = Domain { state: Some("shut_off".to_owned()), vcpus: Some(1), ..domain("a", 4, 8) };
    let ballooned = Domain { memory_bytes: Some(Bytes(1)), ..domain("b", 2, 16) };
    let host = host(vec![off, ballooned]);
    assert_eq!(promised(&host.accounted(&[])), (6, 24));
    let none = BTreeMap::new();
    assert_eq!(promised(&host.accounted(&[("c", 8, 32, &none)])), (14, 56));
}

#[test]
fn a_guest_and_its_claim_are_one_promise_the_larger_of_both() {
    let host = host(vec![domain("a", 4, 8)]);
    let disks = BTreeMap::from([("h /".to_owned(), Bytes(30 * GIB))]);
    let account = host.accounted(&[("a", 2, 16, &disks)]);
    assert_eq!(promised(&account), (4, 16), "resource by resource");
    let pools = account.pools.expect("known");
    let figures = pools["h /"].figures(&host.settings).expect("known");
    assert_eq!((figures.promised, figures.reserved), (30 * GIB, 20 * GIB));
    assert_eq!(figures.headroom(Profile::Standard), 150 * (1 << 30));
}

#[test]
fn an_instance_that_would_come_finds_all_but_itself() {
    let host = host(vec![domain("a", 4, 8), domain("b", 2, 2)]);
    let (facts, none) = (host.facts(), BTreeMap::new());
    let claims = [("a", 6, 4), ("c", 3, 16)].map(|(instance, vcpus, gib)| ClaimedBy {
        instance,
        vcpus,
        memory_bytes: Bytes(gib * GIB),
        disks: &none,
    });
    let found = |instance: &str| {
        let Room { vcpus, memory } = room_for(instance, facts, claims);
        let (vcpus, memory) = (vcpus.expect("known"), memory.expect("known"));
        let of_memory = (memory.figures.promised / GIB, memory.by_claims / GIB);
        ((vcpus.figures.promised, vcpus.by_claims), of_memory)
    };
    assert_eq!(found("d"), ((11, 5), (26, 16)), "a's claim has 2 vCPUs beyond a, and c is only a claim");
    assert_eq!(found("a"), ((5, 3), (18, 16)));
    assert_eq!(found("b"), ((9, 5), (24, 16)));
    assert_eq!(found("c"), ((8, 2), (10, 0)));
    let all = account(facts, claims);
    let room = room_for("d", facts, claims);
    assert_eq!(room.vcpus.map(|found| found.figures), all.vcpus, "as placement counts");
    assert_eq!(room.memory.map(|found| found.figures), all.memory);
    let silent = room_for("a", AccountedHost { usage: None, ..facts }, claims);
    assert_eq!(silent.vcpus.expect_err("unknown"), "what is used there is not known");
}

#[test]
fn what_is_set_aside_as_huge_pages_is_for_guests_that_ask_for_them() {
    let backed = Domain { hugepages: vec![DomainHugepages::default()], ..domain("a", 2, 40) };
    let mut host = host(vec![backed, domain("b", 2, 10)]);
    let memory = host.inventory.memory.as_mut().expect("memory");
    memory.hugepages = vec![HugepagePool { size_bytes: Bytes(GIB), total: Some(64) }];
    let account = host.accounted(&[]);
    let figures = account.memory.expect("known");
    assert_eq!((figures.total, figures.promised), (36 * GIB, 10 * GIB));
    host.inventory.memory.as_mut().expect("memory").hugepages[0].total = None;
    assert!(host.accounted(&[]).memory.is_err(), "unknown is not none");
}

#[test]
fn guests_on_dedicated_cpus_leave_the_others_alone() {
    let pinned = Domain {
        vcpu_pins: BTreeMap::from([(0, "4".parse().expect("a CPU")), (1, "5".parse().expect("a CPU"))]),
        ..domain("a", 2, 1)
    };
    let half = Domain { vcpu_pins: BTreeMap::from([(0, "6".parse().expect("a CPU"))]), ..domain("b", 2, 1) };
    let whole = Domain { cpus: Some("6-7".parse().expect("CPUs")), ..domain("c", 64, 1) };
    let mut host = host(vec![pinned, half, whole]);
    host.settings.dedicated_cpus = "4-7".parse().expect("CPUs");
    let figures = host.accounted(&[]).vcpus.expect("known");
    assert_eq!((figures.total, figures.promised), (4, 2), "half pinned floats");
    host.settings.dedicated_cpus = CpuSet::default();
    let figures = host.accounted(&[]).vcpus.expect("known");
    assert_eq!((figures.total, figures.promised), (8, 68));
}

#[test]
fn what_is_not_known_is_said_and_never_nothing() {
    let mut one = domain("a", 1, 1);
    one.vcpus_max = None;
    one.disks = vec![DomainDisk {
        r#type: Some("file".to_owned()),
        source: Some("/a".to_owned()),
        ..DomainDisk::default()
    }];
    let account = host(vec![one]).accounted(&[]);
    let said = account.vcpus.expect_err("unknown");
    assert_eq!(said, "how much vCPUs its guest guest-a (a) may use is not known");
    assert!(account.memory.is_ok());
    let pools = account.pools.expect("which there are is known");
    let settings = host(vec![]).settings;
    let said = pools["h /"].figures(&settings).expect_err("unknown");
    assert_eq!(said, "how much of the pool default the disks of guest a may use is not known");

    let mut silent = host(vec![]);
    silent.usage.domains = None;
    assert_eq!(silent.accounted(&[]).memory, Err("its guests are not known".to_owned()));
    let nothing =
        AccountedHost { name: "h", settings: &silent.settings, inventory: &silent.inventory, usage: None };
    let account = super::account(nothing, []);
    let said = Err("what is used there is not known".to_owned());
    assert_eq!((account.memory, account.pools.is_err()), (said, true));
}

#[test]
fn the_host_of_100_gib_in_the_docs() {
    let mut host = host(vec![domain("a", 4, 60), domain("b", 4, 60)]);
    host.settings.memory_ratio = Ratio::from_hundredths(150);
    host.settings.reserved_memory_bytes = Bytes(10 * GIB);
    let figures = host.accounted(&[]).memory.expect("known");
    assert_eq!(figures.free_physical(), -30 * (1 << 30));
    assert_eq!(figures.headroom(Profile::Standard), 15 * (1 << 30));
    assert_eq!(figures.headroom(Profile::Kilo), 20 * (1 << 30));
}
