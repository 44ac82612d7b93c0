//! Any value of the smaller types.

use proptest::{collection, option, prelude::*};
use vmuster_proto::model::{
    Bytes, CoreType, CpuCache, CpuFrequency, CpuSet, Disk, FeatureSet, Filesystem, Hundredths, LoadAverage,
    Nic, Partition, PciDevice, Pressure, PressureShare, PressureStall, Timestamp,
};

pub(crate) fn text() -> BoxedStrategy<String> {
    "[ -~äß€]{0,12}".boxed()
}

pub(crate) fn maybe_text() -> BoxedStrategy<Option<String>> {
    option::of(text()).boxed()
}

pub(crate) fn time() -> BoxedStrategy<Option<Timestamp>> {
    option::of(
        (0..253_402_300_800_000_u64)
            .prop_map(|millis| Timestamp::from_unix_millis(millis).expect("in range")),
    )
    .boxed()
}

pub(crate) fn cpu_set() -> BoxedStrategy<CpuSet> {
    collection::btree_set(0..200_u32, 0..8).prop_map(CpuSet::from_iter).boxed()
}

pub(crate) fn features() -> BoxedStrategy<FeatureSet> {
    collection::btree_set("[a-z][a-z0-9_.-]{0,6}", 0..6)
        .prop_map(|names| FeatureSet::from_names(names.iter().map(String::as_str)).expect("valid"))
        .boxed()
}

pub(crate) fn bytes() -> BoxedStrategy<Option<Bytes>> {
    option::of(any::<u64>().prop_map(Bytes)).boxed()
}

pub(crate) fn hundredths() -> BoxedStrategy<Hundredths> {
    any::<u32>().prop_map(Hundredths).boxed()
}

pub(crate) fn cpu_frequency() -> BoxedStrategy<CpuFrequency> {
    (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>(), cpu_set())
        .prop_map(|(base_khz, minimum_khz, maximum_khz, cpus)| CpuFrequency {
            base_khz,
            minimum_khz,
            maximum_khz,
            cpus,
        })
        .boxed()
}

pub(crate) fn core_type() -> BoxedStrategy<CoreType> {
    (text(), any::<Option<u32>>(), cpu_set())
        .prop_map(|(kind, capacity, cpus)| CoreType { kind, capacity, cpus })
        .boxed()
}

pub(crate) fn cpu_cache() -> BoxedStrategy<CpuCache> {
    (any::<Option<u32>>(), maybe_text(), bytes(), collection::vec(cpu_set(), 0..3))
        .prop_map(|(level, kind_, size_bytes, shared_by)| CpuCache {
            level,
            r#type: kind_,
            size_bytes,
            shared_by,
        })
        .boxed()
}
pub(crate) fn nic() -> BoxedStrategy<Nic> {
    (
        (
            text(),
            maybe_text(),
            maybe_text(),
            any::<Option<u32>>(),
            any::<Option<u32>>(),
            any::<Option<bool>>(),
            maybe_text(),
            maybe_text(),
        ),
        (maybe_text(), any::<Option<u32>>(), maybe_text()),
    )
        .prop_map(
            |(
                (name, kind, mac, mtu, speed_mbps, carrier, operstate, driver),
                (pci_address, numa_node, master),
            )| Nic {
                name,
                kind,
                mac,
                mtu,
                speed_mbps,
                carrier,
                operstate,
                driver,
                pci_address,
                numa_node,
                master,
            },
        )
        .boxed()
}

pub(crate) fn pci_device() -> BoxedStrategy<PciDevice> {
    (
        (
            text(),
            maybe_text(),
            maybe_text(),
            maybe_text(),
            maybe_text(),
            maybe_text(),
            maybe_text(),
            maybe_text(),
        ),
        (
            maybe_text(),
            maybe_text(),
            maybe_text(),
            any::<Option<u32>>(),
            any::<Option<u32>>(),
            any::<Option<u32>>(),
            any::<Option<u32>>(),
            maybe_text(),
        ),
        (maybe_text(),),
    )
        .prop_map(
            |(
                (
                    address,
                    vendor_id,
                    device_id,
                    subsystem_vendor_id,
                    subsystem_device_id,
                    class,
                    revision,
                    vendor_name,
                ),
                (
                    device_name,
                    class_name,
                    driver,
                    numa_node,
                    iommu_group,
                    sriov_total_vfs,
                    sriov_vfs,
                    physical_function,
                ),
                (parent,),
            )| PciDevice {
                address,
                vendor_id,
                device_id,
                subsystem_vendor_id,
                subsystem_device_id,
                class,
                revision,
                vendor_name,
                device_name,
                class_name,
                driver,
                numa_node,
                iommu_group,
                sriov_total_vfs,
                sriov_vfs,
                physical_function,
                parent,
            },
        )
        .boxed()
}

pub(crate) fn partition() -> BoxedStrategy<Partition> {
    (text(), any::<Option<u32>>(), bytes(), bytes(), any::<Option<bool>>())
        .prop_map(|(name, number, start_bytes, size_bytes, read_only)| Partition {
            name,
            number,
            start_bytes,
            size_bytes,
            read_only,
        })
        .boxed()
}

pub(crate) fn disk() -> BoxedStrategy<Disk> {
    (
        (
            text(),
            maybe_text(),
            maybe_text(),
            bytes(),
            any::<Option<bool>>(),
            any::<Option<bool>>(),
            any::<Option<bool>>(),
            maybe_text(),
        ),
        (
            maybe_text(),
            maybe_text(),
            any::<Option<u32>>(),
            maybe_text(),
            bytes(),
            bytes(),
            collection::vec(partition(), 0..3),
            collection::vec(text(), 0..3),
        ),
    )
        .prop_map(
            |(
                (name, device, kind, size_bytes, rotational, removable, read_only, model),
                (
                    serial,
                    wwn,
                    numa_node,
                    pci_address,
                    logical_block_bytes,
                    physical_block_bytes,
                    partitions,
                    members,
                ),
            )| Disk {
                name,
                device,
                kind,
                size_bytes,
                rotational,
                removable,
                read_only,
                model,
                serial,
                wwn,
                numa_node,
                pci_address,
                logical_block_bytes,
                physical_block_bytes,
                partitions,
                members,
            },
        )
        .boxed()
}
pub(crate) fn pressure_share() -> BoxedStrategy<PressureShare> {
    (option::of(hundredths()), option::of(hundredths()), option::of(hundredths()), any::<Option<u64>>())
        .prop_map(|(average_10s, average_60s, average_300s, total_microseconds)| PressureShare {
            average_10s,
            average_60s,
            average_300s,
            total_microseconds,
        })
        .boxed()
}

pub(crate) fn pressure_stall() -> BoxedStrategy<PressureStall> {
    (option::of(pressure_share()), option::of(pressure_share()))
        .prop_map(|(some, full)| PressureStall { some, full })
        .boxed()
}

pub(crate) fn pressure() -> BoxedStrategy<Pressure> {
    (option::of(pressure_stall()), option::of(pressure_stall()), option::of(pressure_stall()))
        .prop_map(|(cpu, memory, io)| Pressure { cpu, memory, io })
        .boxed()
}

pub(crate) fn load_average() -> BoxedStrategy<LoadAverage> {
    (
        option::of(hundredths()),
        option::of(hundredths()),
        option::of(hundredths()),
        any::<Option<u32>>(),
        any::<Option<u32>>(),
    )
        .prop_map(|(average_1m, average_5m, average_15m, runnable, threads)| LoadAverage {
            average_1m,
            average_5m,
            average_15m,
            runnable,
            threads,
        })
        .boxed()
}

pub(crate) fn filesystem() -> BoxedStrategy<Filesystem> {
    (
        (text(), maybe_text(), maybe_text(), maybe_text(), bytes(), bytes(), bytes(), any::<Option<u64>>()),
        (any::<Option<u64>>(), any::<Option<bool>>(), maybe_text()),
    )
        .prop_map(
            |(
                (mount_point, source, kind_, device, size_bytes, free_bytes, available_bytes, inodes),
                (inodes_free, read_only, pool),
            )| Filesystem {
                mount_point,
                source,
                r#type: kind_,
                device,
                size_bytes,
                free_bytes,
                available_bytes,
                inodes,
                inodes_free,
                read_only,
                pool,
            },
        )
        .boxed()
}
