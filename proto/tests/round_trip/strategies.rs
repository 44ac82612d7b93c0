//! Any inventory, usage and answer.

use std::sync::Arc;

use proptest::{collection, option, prelude::*};
use vmuster_proto::model::{
    Bytes, Cpu, CpuTopology, FreeHugepages, Freshness, HostFailure, HostStanding, HostSummary, HugepagePool,
    Inventory, Issue, IssueKind, Memory, MemoryUsage, Numa, NumaNode, NumaNodeUsage, NumaUsage, OwnProcess,
    Problem, ProblemKind, System, Usage,
};

use crate::{
    allocation::{host_settings, origin},
    guests::{domain, guest_cpu, hypervisor, image, promised, storage_pool},
    parts::{
        bytes, core_type, cpu_cache, cpu_frequency, cpu_set, disk, features, filesystem, load_average,
        maybe_text, nic, pci_device, pressure, text, time,
    },
};

pub(crate) fn pools() -> impl Strategy<Value = Vec<HugepagePool>> {
    let pool = (any::<u64>(), any::<Option<u64>>());
    collection::vec(pool.prop_map(|(size, total)| HugepagePool { size_bytes: Bytes(size), total }), 0..3)
}

pub(crate) fn free() -> impl Strategy<Value = Vec<FreeHugepages>> {
    let pool = (any::<u64>(), any::<[Option<u64>; 3]>());
    let free = |(size, [free, reserved, surplus]): (u64, [Option<u64>; 3])| FreeHugepages {
        size_bytes: Bytes(size),
        free,
        reserved,
        surplus,
    };
    collection::vec(pool.prop_map(free), 0..3)
}

prop_compose! {
    pub fn system()(arch in maybe_text(), kernel_release in maybe_text(), boot_id in maybe_text(), hostname in maybe_text(),
        vendor in maybe_text(), product in maybe_text(), booted_at in time(),
        more in collection::vec(maybe_text(), 13)) -> System {
        let [product_version, product_serial, product_uuid, board_vendor, board_name, firmware_vendor, firmware_version,
            firmware_date, machine_id, os_id, os_version, os_name, virtualization] =
            <[Option<String>; 13]>::try_from(more).expect("thirteen");
        System { arch, kernel_release, boot_id, hostname, vendor, product, booted_at, product_version, product_serial,
            product_uuid, board_vendor, board_name, firmware_vendor, firmware_version, firmware_date, machine_id,
            os_id, os_version, os_name, virtualization }
    }
}

prop_compose! {
    pub fn cpu()(names in (maybe_text(), maybe_text(), maybe_text()),
        numbers in any::<[Option<u32>; 9]>(),
        sets in (option::of(cpu_set()), option::of(cpu_set()), option::of(cpu_set()), option::of(cpu_set())),
        topology in collection::vec((any::<u32>(), any::<[Option<u32>; 7]>()), 0..4),
        more in (any::<Option<bool>>(), maybe_text(), collection::vec(cpu_cache(), 0..3), collection::vec(core_type(), 0..3),
            collection::vec(cpu_frequency(), 0..3), collection::btree_map(text(), text(), 0..3), option::of(guest_cpu())),
        host_flags in option::of(features()), cpuid_features in option::of(features()),
        host_flags_not_on_all in collection::btree_map(text(), cpu_set(), 0..3)) -> Cpu {
        let (vendor, model_name, microcode) = names;
        let [family, model, stepping, physical_address_bits, virtual_address_bits, socket_count, core_count,
            thread_count, threads_per_core] = numbers;
        let (present, online, offline, isolated) = sets;
        let topology = topology.into_iter()
            .map(|(cpu, [socket, die, cluster, core, node, book, drawer])|
                CpuTopology { cpu, socket, die, cluster, core, node, book, drawer });
        let (smt_active, smt_control, caches, core_types, frequencies, vulnerabilities, guest) = more;
        Cpu { vendor, model_name, family, model, stepping, microcode, physical_address_bits, virtual_address_bits,
            present, online, offline, isolated, socket_count, core_count, thread_count, threads_per_core,
            topology: topology.collect(), host_flags, host_flags_not_on_all, cpuid_features,
            smt_active, smt_control, caches, core_types, frequencies, vulnerabilities, guest }
    }
}

pub(crate) fn numa() -> impl Strategy<Value = Numa> {
    let distances = collection::btree_map(any::<u32>(), any::<u32>(), 0..3);
    let marks = (any::<Option<bool>>(), any::<Option<bool>>(), any::<Option<u32>>());
    let node = (any::<u32>(), option::of(cpu_set()), bytes(), pools(), distances, marks).prop_map(
        |(id, cpus, memory_total_bytes, hugepages, distances, (cpuless, memoryless, memory_tier))| NumaNode {
            id,
            cpus,
            memory_total_bytes,
            hugepages,
            distances,
            cpuless,
            memoryless,
            memory_tier,
        },
    );
    collection::vec(node, 0..3).prop_map(|nodes| Numa { nodes })
}

prop_compose! {
    pub fn inventory()(collected_at in time(), fingerprint in text(), agent_version in text(), system in option::of(system().boxed()),
        cpu in option::of(cpu().boxed()), numa in option::of(numa().boxed()),
        memory in option::of((bytes(), pools(), bytes(), bytes()).prop_map(
            |(total_bytes, hugepages, default_hugepage_size_bytes, swap_total_bytes)|
                Memory { total_bytes, hugepages, default_hugepage_size_bytes, swap_total_bytes })),
        disks in option::of(collection::vec(disk(), 0..3)), pci in option::of(collection::vec(pci_device(), 0..3)),
        nics in option::of(collection::vec(nic(), 0..3)), hypervisor in option::of(hypervisor())
    ) -> Inventory {
        let (cpu, numa, hypervisor) = (cpu.map(Arc::new), numa.map(Arc::new), hypervisor.map(Arc::new));
        let pci = pci.map(Arc::from);
        Inventory { collected_at, fingerprint, agent_version, system, cpu, numa, memory, disks, pci, nics, hypervisor }
    }
}

pub(crate) fn usage() -> impl Strategy<Value = Usage> {
    let memory = (bytes(), bytes(), free(), bytes(), bytes(), bytes(), bytes()).prop_map(
        |(
            available_bytes,
            free_bytes,
            hugepages,
            cached_bytes,
            buffers_bytes,
            shared_bytes,
            swap_free_bytes,
        )| {
            MemoryUsage {
                available_bytes,
                free_bytes,
                hugepages,
                cached_bytes,
                buffers_bytes,
                shared_bytes,
                swap_free_bytes,
            }
        },
    );
    let node = (any::<u32>(), bytes(), free()).prop_map(|(id, memory_free_bytes, hugepages)| NumaNodeUsage {
        id,
        memory_free_bytes,
        hugepages,
    });
    let numa = collection::vec(node, 0..3).prop_map(|nodes| NumaUsage { nodes });
    let agent =
        (bytes(), time()).prop_map(|(resident_bytes, started_at)| OwnProcess { resident_bytes, started_at });
    let more =
        (option::of(collection::vec(filesystem(), 0..3)), option::of(load_average()), option::of(pressure()));
    let guests = (
        option::of(collection::vec(domain(), 0..3)),
        option::of(collection::vec(storage_pool(), 0..3)),
        option::of(collection::vec(image(), 0..3)),
        option::of(promised()),
        time(),
    );
    (
        time(),
        option::of(memory.boxed()),
        option::of(numa.boxed()),
        option::of(agent.boxed()),
        more,
        guests.boxed(),
    )
        .prop_map(|(collected_at, memory, numa, agent, (filesystems, load, pressure), guests)| {
            let (domains, pools, images, promised, hypervisor_collected_at) = guests;
            Usage {
                collected_at,
                memory,
                numa,
                agent,
                filesystems,
                load,
                pressure,
                domains,
                pools,
                images,
                promised,
                hypervisor_collected_at,
            }
        })
}

pub(crate) fn issue() -> impl Strategy<Value = Issue> {
    use IssueKind::{Denied, Malformed, Missing, Stale, Timeout, Unrecognized, Unsupported};
    let kinds = vec![Unsupported, Denied, Malformed, Timeout, Missing, Stale, Unrecognized];
    (text(), text(), prop::sample::select(kinds), text()).prop_map(|(section, source, kind, detail)| Issue {
        section,
        source,
        kind,
        detail,
    })
}

pub(crate) fn problem() -> impl Strategy<Value = Problem> {
    use ProblemKind::{Denied, Failed, Malformed, Timeout, Unreachable, Unsupported};
    let kinds = vec![Unreachable, Timeout, Malformed, Denied, Unsupported, Failed];
    (prop::sample::select(kinds), text()).prop_map(|(kind, detail)| Problem { kind, detail })
}

prop_compose! {
    pub fn standing()(name in text(), address in text(), reported_name in text(),
        freshness in prop::sample::select(vec![Freshness::Fresh, Freshness::Stale, Freshness::Missing]),
        fetched_at in time(), validated_at in time(), collected_at in time(), problem in option::of(problem())
    ) -> HostStanding {
        HostStanding { name, address, reported_name, freshness, fetched_at, validated_at, collected_at, problem }
    }
}

prop_compose! {
    pub fn failure()(problem in problem(), failed_at in time(), consecutive_count: u32) -> Option<HostFailure> {
        failed_at.map(|failed_at| HostFailure { problem, failed_at, consecutive_count })
    }
}

prop_compose! {
    pub fn summary()(standing in standing(), labels in collection::btree_map(text(), text(), 0..3), maintenance: bool,
        names in (maybe_text(), maybe_text(), maybe_text()), numbers in any::<[Option<u32>; 5]>(),
        memory_total_bytes in bytes(), issue_count: u32, origin in origin(),
        settings in option::of(host_settings()), last_failure in failure()) -> HostSummary {
        let (arch, cpu_vendor, cpu_model_name) = names;
        let [socket_count, core_count, thread_count, numa_node_count, host_flag_count] = numbers;
        HostSummary { standing, labels, maintenance, arch, cpu_vendor, cpu_model_name, socket_count, core_count,
            thread_count, numa_node_count, memory_total_bytes, host_flag_count, issue_count, origin, settings, last_failure }
    }
}
