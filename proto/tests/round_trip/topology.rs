//! Guest topologies survive the wire, or are refused.

use vmuster_proto::{
    convert,
    model::{Bytes, CpuPolicy, EmulatorThreads, GuestTopology, GuestTopologyCell, PageChoice, ThreadPolicy},
    pb,
};

use super::placement::request;

pub(super) fn topology() -> GuestTopology {
    let cell = |vcpus, gib: u64, dedicated_vcpus| GuestTopologyCell {
        vcpus,
        memory_bytes: Bytes(gib << 30),
        dedicated_vcpus,
    };
    GuestTopology {
        cells: vec![cell(3, 5, 2), cell(1, 3, 0)],
        cpu_policy: CpuPolicy::Mixed,
        thread_policy: ThreadPolicy::Isolate,
        emulator_threads: EmulatorThreads::Share,
        pages: PageChoice::Bytes(Bytes(2 << 20)),
    }
}

#[test]
fn a_topology_that_makes_no_sense_is_refused() {
    let refused = |change: fn(&mut pb::GuestTopology)| {
        let mut request = pb::PlaceRequest::from(&request());
        let template = request.groups[0].template.as_mut().expect("set");
        change(template.numa.as_mut().expect("set"));
        convert::place_request(request, String::new).expect_err("refused").field
    };
    let within = |field: &str| format!("groups[0].template.numa.{field}");
    assert_eq!(refused(|numa| numa.cells.clear()), within("cells"));
    assert_eq!(refused(|numa| numa.cells[0].vcpus = 4), within("cells"), "more than the template");
    assert_eq!(refused(|numa| numa.cells[1].memory_bytes += 1), within("cells"));
    assert_eq!(refused(|numa| numa.cells[1].vcpus = 0), within("cells[1].vcpus"));
    assert_eq!(refused(|numa| numa.cells[0].memory_bytes = 1), within("cells[0].memory_bytes"));
    assert_eq!(refused(|numa| numa.cells[1].dedicated_vcpus = 2), within("cells[1].dedicated_vcpus"));
    assert_eq!(
        refused(|numa| numa.set_cpu_policy(pb::CpuPolicy::Dedicated)),
        within("cells[0].dedicated_vcpus")
    );
    assert_eq!(refused(|numa| numa.page_size_bytes = Some(3)), within("page_size_bytes"));
    assert_eq!(refused(|numa| numa.set_pages(pb::PageChoice::Any)), within("page_size_bytes"));
    let isolated = |numa: &mut pb::GuestTopology| {
        numa.cells[0].dedicated_vcpus = 0;
        numa.set_cpu_policy(pb::CpuPolicy::Shared);
        numa.set_emulator_threads(pb::EmulatorThreads::Isolate);
    };
    assert_eq!(refused(isolated), within("emulator_threads"));
}

#[test]
fn sorts_with_a_topology_are_few_in_a_request_and_instances_of_them_are_not() {
    let of_sorts = |sorts: u64| {
        let mut request = pb::PlaceRequest::from(&request());
        let mut group = request.groups[0].clone();
        (group.uuids, group.count) = (Vec::new(), 1);
        let groups = (0..100).map(|number| {
            let mut group = pb::InstanceGroup { name: format!("g{number}"), ..group.clone() };
            // A disk more: the topology is the same, and what is asked of each host is not.
            let disk = &mut group.template.as_mut().expect("set").disks[0];
            disk.size_bytes += number % sorts;
            group
        });
        request.groups = groups.collect();
        convert::place_request(request, {
            let mut number = 0_u64;
            move || {
                number += 1;
                format!("6f1d2c3b-0000-4000-8000-{number:012x}")
            }
        })
        .map(|request| request.groups.len())
        .map_err(|error| error.field)
    };
    assert_eq!(of_sorts(64), Ok(100));
    assert_eq!(of_sorts(65), Err("groups".to_owned()));
}
