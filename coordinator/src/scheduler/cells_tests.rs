//! What guests and claims leave of cells.

use std::sync::Arc;

use vmuster_proto::model::{
    DomainHugepages, DomainNuma, FreeHugepages, GuestCell, HostSettings, HugepagePool, Memory, Numa,
    NumaNodeUsage, NumaUsage, Ratio, Timestamp,
};

use super::*;
use crate::claims::{ClaimId, ClaimState, ClaimedCell, ClaimedPages, ClaimedResources, Purpose};

const GIB: u64 = 1 << 30;
const PAGE: Bytes = Bytes(2 << 20);

fn cpus(text: &str) -> CpuSet {
    text.parse().expect("CPUs")
}

/// Two cells of 8 CPUs and 16 GiB each, 1024 huge pages of 2 MiB on the second; CPUs 4-7 and 12-15 are dedicated.
struct House {
    settings: HostSettings,
    inventory: Inventory,
    usage: Usage,
}

impl House {
    fn new() -> Self {
        let node = |id: u32, cpus: &str, pages: u64| NumaNode {
            id,
            cpus: Some(cpus.parse().expect("CPUs")),
            memory_total_bytes: Some(Bytes(16 * GIB)),
            hugepages: vec![HugepagePool { size_bytes: PAGE, total: Some(pages) }],
            ..NumaNode::default()
        };
        let at = |cpu: u32| CpuTopology {
            cpu,
            socket: Some(cpu / 8),
            core: Some(cpu % 8 / 2),
            ..CpuTopology::default()
        };
        let cpu = Cpu { online: Some(cpus("0-15")), topology: (0..16).map(at).collect(), ..Cpu::default() };
        let free = |id: u32, free: u64| NumaNodeUsage {
            id,
            memory_free_bytes: None,
            hugepages: vec![FreeHugepages { size_bytes: PAGE, free: Some(free), ..FreeHugepages::default() }],
        };
        Self {
            settings: HostSettings {
                vcpu_ratio: Ratio::from_hundredths(400),
                memory_ratio: Ratio::from_hundredths(100),
                disk_ratio: Ratio::from_hundredths(100),
                reserved_memory_bytes: Bytes(2 * GIB),
                reserved_disk_bytes: Bytes(0),
                dedicated_cpus: cpus("4-7,12-15"),
                mixed_numa: false,
                sources: BTreeMap::new(),
            },
            inventory: Inventory {
                cpu: Some(Arc::new(cpu)),
                numa: Some(Arc::new(Numa { nodes: vec![node(0, "0-7", 0), node(1, "8-15", 1024)] })),
                memory: Some(Memory { default_hugepage_size_bytes: Some(PAGE), ..Memory::default() }),
                ..Inventory::default()
            },
            usage: Usage {
                domains: Some(Vec::new()),
                numa: Some(NumaUsage { nodes: vec![free(0, 0), free(1, 1024)] }),
                ..Usage::default()
            },
        }
    }

    fn with(mut self, domain: Domain) -> Self {
        self.usage.domains.get_or_insert_default().push(domain);
        self
    }

    fn cells(&self, claims: &[Claim]) -> Option<HostCells> {
        let host = AccountedHost {
            name: "a",
            settings: &self.settings,
            inventory: &self.inventory,
            usage: Some(&self.usage),
        };
        host_cells(host, claims.iter(), Profile::Standard)
    }
}

fn domain() -> Domain {
    Domain {
        uuid: InstanceId(7).to_string(),
        name: "g".to_owned(),
        state: Some("running".to_owned()),
        vcpus_max: Some(4),
        memory_max_bytes: Some(Bytes(GIB)),
        ..Domain::default()
    }
}

/// On cell 1: two vCPUs on CPUs of their own, two that float there, all memory in huge pages.
fn bound() -> Domain {
    let cell = GuestCell {
        id: 0,
        vcpus: Some(cpus("0-3")),
        memory_bytes: Some(Bytes(GIB)),
        mode: Some("strict".to_owned()),
        host_nodes: Some(cpus("1")),
    };
    Domain {
        vcpu_pins: [(0, cpus("12")), (1, cpus("13")), (2, cpus("8-11")), (3, cpus("8-11"))].into(),
        emulator_cpus: Some(cpus("14")),
        numa: Some(DomainNuma { cells: vec![cell], ..DomainNuma::default() }),
        hugepages: vec![DomainHugepages::default()],
        ..domain()
    }
}

fn claim(instance: u128, cells: Vec<ClaimedCell>) -> Claim {
    Claim {
        id: ClaimId(1),
        instance: InstanceId(instance),
        host: "a".to_owned(),
        state: ClaimState::Held,
        resources: ClaimedResources { memory_bytes: Bytes(GIB), cells, ..ClaimedResources::default() },
        purpose: Purpose::New,
        request_id: String::new(),
        signature: String::new(),
        groups: Vec::new(),
        rules: Vec::new(),
        over_committed: false,
        created_at: Timestamp::default(),
        expires_at: None,
        observed_at: None,
        first_missing_at: None,
    }
}

#[test]
fn an_empty_host_has_what_the_kernel_says_less_what_is_set_aside() {
    let cells = House::new().cells(&[]).expect("known");
    assert_eq!((cells.is_mixed, cells.bound_count, cells.floating_count), (false, 0, 0));
    let [first, second] = &cells.topology.cells[..] else { panic!("two cells") };
    assert_eq!((&first.shared_cpus, &first.dedicated_cpus), (&cpus("0-3"), &cpus("4-7")));
    assert_eq!(first.siblings, [cpus("4-5"), cpus("6-7")]);
    assert_eq!((first.socket, second.socket), (Some(0), Some(1)));
    assert_eq!(first.shared_vcpus.promisable, 16);
    // Half of the reserve each.
    assert_eq!(first.memory.total_bytes, 15 * GIB);
    assert_eq!(second.memory.total_bytes, 13 * GIB, "2 GiB are huge pages");
    assert_eq!(second.hugepages, [PagePool { size: PAGE, total: 1024, used: 0 }]);
}

#[test]
fn a_bound_guest_takes_of_its_cell_alone() {
    let mut house = House::new().with(bound());
    // Its 512 pages, and 100 of somebody else.
    let free = &mut house.usage.numa.as_mut().expect("nodes").nodes[1].hugepages[0].free;
    *free = Some(1024 - 512 - 100);
    let cells = house.cells(&[]).expect("known");
    assert_eq!((cells.bound_count, cells.floating_count), (1, 0));
    let [first, second] = &cells.topology.cells[..] else { panic!("two cells") };
    assert!(first.pinned.is_empty());
    assert_eq!(second.pinned, cpus("12-14"));
    assert_eq!((second.shared_vcpus.promised, second.memory.promised_bytes), (2, 0));
    assert_eq!(second.hugepages[0].used, 612);
    // One that is shut off has none now, and all when it starts.
    let mut house = House::new().with(Domain { state: Some("shut_off".to_owned()), ..bound() });
    assert_eq!(house.cells(&[]).expect("known").topology.cells[1].hugepages[0].used, 512);
    house.usage.numa = None;
    assert_eq!(house.cells(&[]), None, "who else has pages is not known");
}

#[test]
fn a_guest_whose_memory_may_be_on_several_nodes_floats() {
    let everywhere =
        DomainNuma { mode: Some("strict".to_owned()), host_nodes: Some(cpus("0-1")), cells: Vec::new() };
    let preferred =
        DomainNuma { mode: Some("preferred".to_owned()), host_nodes: Some(cpus("1")), cells: Vec::new() };
    for numa in [None, Some(everywhere), Some(preferred)] {
        let mut house = House::new().with(Domain { numa, ..domain() });
        let cells = house.cells(&[]).expect("known");
        assert_eq!((cells.bound_count, cells.floating_count), (0, 1));
        assert_eq!(cells.topology.cells[0].memory.promised_bytes, 0, "nobody is bound beside it");
        house.settings.mixed_numa = true;
        let cells = house.cells(&[]).expect("known");
        let promised = cells.topology.cells.iter().map(|cell| cell.memory.promised_bytes);
        assert_eq!(promised.collect::<Vec<_>>(), [GIB, GIB], "all of it may be on either");
    }
    let house = House::new().with(Domain { memory_max_bytes: None, ..domain() });
    assert_eq!(house.cells(&[]), None);
}

#[test]
fn a_guest_and_its_claim_are_one() {
    let held = ClaimedCell {
        host_cell: 1,
        pinned_cpus: cpus("12-14"),
        shared_vcpus: 2,
        memory_bytes: Bytes(0),
        pages: Some(ClaimedPages { size_bytes: PAGE, count: 512 }),
    };
    let of_guest = House::new().with(bound());
    let alone = of_guest.cells(&[]).expect("known");
    let both = of_guest.cells(&[claim(7, vec![held.clone()])]).expect("known");
    assert_eq!(alone.topology, both.topology);
    assert_eq!(both.bound_count, 1);
    let claimed = House::new().cells(&[claim(7, vec![held.clone()])]).expect("known");
    assert_eq!(claimed.topology.cells[1].pinned, cpus("12-14"));
    assert_eq!(claimed.topology.cells[1].hugepages[0].used, 512);
    let two = of_guest.cells(&[claim(8, vec![held])]).expect("known");
    assert_eq!((two.bound_count, two.topology.cells[1].hugepages[0].used), (2, 1024));
    // Placed to float, and bound by somebody: what it was promised beyond that is free again.
    assert_eq!(of_guest.cells(&[claim(7, Vec::new())]).expect("known"), alone);
}

#[test]
fn cells_with_a_figure_that_is_not_known_are_none() {
    let node = |change: fn(&mut NumaNode)| {
        let mut house = House::new();
        let numa = house.inventory.numa.as_mut().expect("nodes");
        change(&mut Arc::make_mut(numa).nodes[1]);
        house.cells(&[])
    };
    assert_eq!(node(|node| node.cpus = None), None);
    assert_eq!(node(|node| node.memory_total_bytes = None), None);
    assert_eq!(node(|node| node.hugepages[0].total = None), None);
    let memory_only = node(|node| node.cpuless = Some(true)).expect("known");
    assert!(memory_only.is_mixed && memory_only.topology.cells.len() == 1, "one cell: floating is bound");
}

#[test]
fn pages_named_for_a_cell_win_over_those_for_all() {
    let named = DomainHugepages { size_bytes: Some(Bytes(GIB)), guest_nodes: Some(cpus("0")) };
    let shut_off = || Domain { state: Some("shut_off".to_owned()), ..bound() };
    let guest = Domain {
        hugepages: vec![DomainHugepages { size_bytes: Some(PAGE), guest_nodes: None }, named],
        ..shut_off()
    };
    let mut house = House::new().with(guest);
    let node = &mut Arc::make_mut(house.inventory.numa.as_mut().expect("nodes")).nodes[1];
    node.hugepages.push(HugepagePool { size_bytes: Bytes(GIB), total: Some(4) });
    let free = &mut house.usage.numa.as_mut().expect("nodes").nodes[1].hugepages;
    free.push(FreeHugepages { size_bytes: Bytes(GIB), free: Some(4), ..FreeHugepages::default() });
    let cells = house.cells(&[]).expect("known");
    let used = |size| {
        let pools = &cells.topology.cells[1].hugepages;
        pools.iter().find(|pool| pool.size == size).expect("listed").used
    };
    assert_eq!((used(PAGE), used(Bytes(GIB))), (0, 1));
}

#[test]
fn a_guest_cell_of_memory_alone_has_no_vcpus() {
    let mut guest = bound();
    let memory_only =
        GuestCell { id: 1, vcpus: None, ..guest.numa.as_ref().expect("cells").cells[0].clone() };
    guest.numa.as_mut().expect("cells").cells.push(memory_only);
    let cells = House::new().with(guest).cells(&[]).expect("known");
    assert_eq!(cells.topology.cells[1].shared_vcpus.promised, 2);
}
