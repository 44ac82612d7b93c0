//! The search and the oracle agree, and what is placed keeps the rules through whole batches.

use fastrand::Rng;

use super::{super::*, oracle, world};

/// What was placed keeps all rules, looked at without the search's own words.
fn check(host: &HostTopology, guest: &GuestTopology, placed: &NumaPlacement) {
    let mut chosen = Vec::new();
    let mut vcpu = 0;
    assert_eq!(placed.cells.len(), guest.cells.len());
    for (place, (cell, asked)) in placed.cells.iter().zip(&guest.cells).enumerate() {
        let at = host.cells.iter().position(|other| other.id == cell.host_cell).expect("a cell");
        assert!(!chosen.contains(&at), "one host cell each");
        chosen.push(at);
        let pins: Vec<u32> = cell.pins.iter().map(|(_, cpu)| *cpu).collect();
        let isolates = guest.emulator == EmulatorThreads::Isolate && place == 0;
        let emulator = isolates.then(|| placed.emulator_cpus.first().expect("a CPU"));
        assert_eq!(pins.len(), asked.dedicated_vcpus as usize);
        let mut once = pins.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), pins.len());
        assert!(oracle::are_pins_right(&host.cells[at], guest.threads, &pins, emulator), "{placed:?}");
        let part = placed.taken.cells.iter().find(|part| part.host_cell == cell.host_cell);
        let gone = part.map(|part| part.pinned.clone()).unwrap_or_default();
        assert!(pins.iter().chain(&emulator).all(|cpu| gone.contains(*cpu)));
        if guest.threads == ThreadPolicy::Prefer {
            assert_eq!(gone.len() as usize, pins.len() + emulator.iter().len());
        }
        let vcpus: Vec<u32> = cell.pins.iter().map(|(vcpu, _)| *vcpu).collect();
        assert_eq!(vcpus, (vcpu..vcpu + asked.dedicated_vcpus).collect::<Vec<u32>>());
        vcpu += asked.dedicated_vcpus + asked.shared_vcpus;
        assert!(cell.page_count * cell.page_size.0 >= asked.memory.0);
    }
    for (request, sources) in guest.devices.iter().zip(&placed.devices) {
        assert_eq!(sources.iter().map(|source| source.count).sum::<u32>(), request.count);
        for source in sources {
            let from = source.host_cell.and_then(|id| host.cells.iter().position(|cell| cell.id == id));
            assert!(oracle::may_use(host, &chosen, request.policy, from), "{placed:?}");
        }
    }
}

#[test]
fn numa_fits_exactly_where_trying_everything_does() {
    let mut rng = Rng::with_seed(20_111);
    let (mut fitting, mut with_devices, mut steps_max) = (0, 0, 0);
    for case in 0..20_000 {
        let host = world::host(&mut rng);
        let guest = world::guest(&mut rng);
        let expected = oracle::fits(&host, &guest);
        let answer = place(&host, &guest);
        assert_eq!(answer.is_ok(), expected, "case {case}: {host:#?} {guest:#?} {answer:?}");
        assert_eq!(fits(&host, &guest), expected);
        assert_eq!(answer, place(&host, &guest), "same input, same answer");
        if let Ok(placed) = &answer {
            fitting += 1;
            with_devices += usize::from(placed.devices.iter().any(|sources| !sources.is_empty()));
            check(&host, &guest, placed);
            let choice = choose(&host, &guest, &Devices::new(&host, &guest)).expect("fits");
            steps_max = steps_max.max(choice.steps);
        }
    }
    println!("{fitting} fit, {with_devices} of them with devices, {steps_max} steps at most");
    assert!(fitting > 2_000 && with_devices > 300, "{fitting} {with_devices}");
}

#[test]
fn numa_batches_pin_nothing_twice_and_are_undone() {
    let mut rng = Rng::with_seed(5);
    for _ in 0..2_000 {
        let start = world::host(&mut rng);
        let mut host = start.clone();
        let mut batch = Vec::new();
        for guest in (0..12).map(|_| world::guest(&mut rng)) {
            let Ok(placed) = place(&host, &guest) else { continue };
            check(&host, &guest, &placed);
            let before = host.clone();
            assert!(host.apply(&placed.taken));
            let mut undone = host.clone();
            assert!(undone.undo(&placed.taken));
            assert_eq!(undone, before);
            let pins = placed.taken.cells.iter().any(|part| !part.pinned.is_empty());
            assert!(!pins || !host.clone().apply(&placed.taken), "pins are given once");
            batch.push(placed.taken);
        }
        rng.shuffle(&mut batch);
        assert!(batch.iter().all(|taken| host.undo(taken)));
        assert_eq!(host, start);
    }
}
