//! Worked examples, and the search's bounds.

use fastrand::Rng;
use vmuster_proto::model::Bytes;

use super::{
    super::{matching::STEPS_MAX, *},
    world::{GIANT, HUGE, PAGE, set},
};

/// Two-thread cores, four CPUs of dedicated from `first`, roomy memory.
fn cell(id: u32, first: u32) -> HostCell {
    let pair = |cpu: u32| [cpu, cpu + 1].into_iter().collect();
    let memory = CellMemory { total_bytes: 1 << 30, promisable_bytes: 1 << 30, promised_bytes: 0 };
    HostCell {
        id,
        dedicated_cpus: (first..first + 6).collect(),
        siblings: [first, first + 2, first + 4].map(pair).to_vec(),
        shared_cpus: (first + 6..first + 8).collect(),
        shared_vcpus: SharedVcpus { promisable: 8, promised: 0 },
        memory,
        socket: Some(id / 2),
        ..HostCell::default()
    }
}

fn host(cells: u32) -> HostTopology {
    let cells = (0..cells).map(|id| cell(id, id * 8)).collect();
    HostTopology { cells, page_size: Bytes(PAGE), unplaced_devices: Vec::new() }
}

fn pinned(vcpus: u32, threads: ThreadPolicy) -> GuestTopology {
    let cells = vec![GuestCell { dedicated_vcpus: vcpus, memory: Bytes(GIANT), ..GuestCell::default() }];
    GuestTopology { cells, threads, ..GuestTopology::default() }
}

fn pins(host: &HostTopology, guest: &GuestTopology) -> (Vec<u32>, String) {
    let placed = place(host, guest).expect("fits");
    let pins = placed.cells[0].pins.iter().map(|(_, cpu)| *cpu).collect();
    (pins, placed.taken.cells[0].pinned.to_string())
}

#[test]
fn numa_thread_policies_take_the_cores_they_say() {
    let mut host = host(1);
    host.cells[0].pinned = set("0");
    assert_eq!(pins(&host, &pinned(2, ThreadPolicy::Prefer)), (vec![2, 3], "2-3".to_owned()));
    assert_eq!(pins(&host, &pinned(3, ThreadPolicy::Prefer)), (vec![2, 3, 1], "1-3".to_owned()));
    assert_eq!(pins(&host, &pinned(3, ThreadPolicy::Require)), (vec![2, 3, 4], "2-5".to_owned()));
    assert_eq!(pins(&host, &pinned(2, ThreadPolicy::Isolate)), (vec![2, 4], "2-5".to_owned()));
    let refusal = place(&host, &pinned(3, ThreadPolicy::Isolate)).expect_err("two whole cores");
    let lack = CellLack::WholeCores { asked: 3, free: 2 };
    assert_eq!(refusal, NumaRefusal::Cell { guest_cell: 0, nearest: 0, lack });
    let mut isolated = pinned(2, ThreadPolicy::Isolate);
    isolated.emulator = EmulatorThreads::Isolate;
    assert_eq!(place(&host, &isolated).expect("fits").emulator_cpus, set("1"));
}

#[test]
fn numa_page_sizes_are_the_largest_that_fit() {
    let mut host = host(1);
    host.cells[0].hugepages = vec![
        PagePool { size: Bytes(HUGE), total: 4, used: 0 },
        PagePool { size: Bytes(GIANT), total: 1, used: 1 },
    ];
    let mut guest = pinned(1, ThreadPolicy::Prefer);
    let pages = |guest: &GuestTopology| {
        let placed = place(&host, guest).expect("fits");
        (placed.cells[0].page_size.0, placed.cells[0].page_count, placed.taken.cells[0].memory_bytes)
    };
    assert_eq!(pages(&guest), (PAGE, 32, GIANT));
    guest.pages = PageRequest::Large;
    assert_eq!(pages(&guest), (HUGE, 4, 0));
    guest.cells[0].memory = Bytes(2 * GIANT);
    let lack = CellLack::Hugepages { size: Bytes(HUGE), asked: 8, free: 4 };
    let refusal = NumaRefusal::Cell { guest_cell: 0, nearest: 0, lack };
    assert_eq!(place(&host, &guest), Err(refusal));
    guest.pages = PageRequest::Any;
    assert_eq!(pages(&guest).0, PAGE);
}

#[test]
fn numa_device_policies_say_how_near() {
    let mut host = host(4);
    let key = DeviceKey(0);
    host.cells[3].devices = vec![DevicePool { key, free: 1 }];
    host.cells[3].pinned = set("24-29");
    let mut guest = pinned(2, ThreadPolicy::Prefer);
    let mut ask = |policy| {
        guest.devices = vec![DeviceRequest { key, count: 1, policy }];
        place(&host, &guest).map(|placed| (placed.cells[0].host_cell, placed.devices[0][0].host_cell))
    };
    assert_eq!(ask(DevicePolicy::Socket), Ok((2, Some(3))));
    assert_eq!(ask(DevicePolicy::Preferred), Ok((0, Some(3))));
    let refusal = NumaRefusal::Devices { key, lacking: 1, host_cells: vec![0] };
    assert_eq!(ask(DevicePolicy::Required), Err(refusal.clone()));
    assert_eq!(ask(DevicePolicy::Legacy), Err(refusal));
    host.unplaced_devices = vec![DevicePool { key, free: 1 }];
    guest.devices = vec![DeviceRequest { key, count: 1, policy: DevicePolicy::Legacy }];
    assert_eq!(place(&host, &guest).expect("fits").devices[0][0].host_cell, None);
}

#[test]
fn numa_sixteen_cells_take_few_steps() {
    let mut rng = Rng::with_seed(9);
    let guest = |devices| GuestTopology {
        cells: pinned(2, ThreadPolicy::Prefer).cells.repeat(8),
        devices,
        ..GuestTopology::default()
    };
    let steps = |host: &HostTopology, guest: &GuestTopology| {
        choose(host, guest, &Devices::new(host, guest)).expect("fits").steps
    };
    assert!(steps(&host(16), &guest(Vec::new())) <= 16);
    let mut most = [0, 0];
    for _ in 0..300 {
        let mut host = host(16);
        let mut requests = Vec::new();
        for key in (0..4).map(DeviceKey) {
            for cell in &mut host.cells {
                cell.devices.push(DevicePool { key, free: rng.u32(0..6) });
            }
            requests.push(DeviceRequest { key, count: rng.u32(20..28), policy: DevicePolicy::Required });
        }
        let guest = guest(requests);
        let devices = Devices::new(&host, &guest);
        let order: Vec<usize> = (0..16).collect();
        let admits = vec![(0..8).collect::<Vec<usize>>(); 16];
        let mut search = Search::new(&order, &admits, 8, &devices);
        let found = matches!(search.run(), Outcome::Found(_));
        assert!(search.steps < STEPS_MAX);
        most[usize::from(found)] = search.steps.max(most[usize::from(found)]);
    }
    println!("steps at most: refused {}, found {}", most[0], most[1]);
}
