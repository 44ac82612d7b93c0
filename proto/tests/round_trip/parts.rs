//! Any value of the smaller types.

use proptest::{collection, option, prelude::*};
use vmuster_proto::model::{
    Bytes, CoreType, CpuCache, CpuFrequency, CpuSet, Disk, FeatureSet, Filesystem, Hundredths, LoadAverage,
    Nic, Partition, PciDevice, Pressure, PressureShare, PressureStall, Timestamp,
};

pub(crate) fn text() -> impl Strategy<Value = String> {
    "[ -~äß€]{0,12}"
}

pub(crate) fn maybe_text() -> impl Strategy<Value = Option<String>> {
    option::of(text())
}

pub(crate) fn time() -> impl Strategy<Value = Option<Timestamp>> {
    option::of(
        (0..253_402_300_800_000_u64)
            .prop_map(|millis| Timestamp::from_unix_millis(millis).expect("in range")),
    )
}

pub(crate) fn cpu_set() -> impl Strategy<Value = CpuSet> {
    collection::btree_set(0..200_u32, 0..8).prop_map(CpuSet::from_iter)
}

pub(crate) fn features() -> impl Strategy<Value = FeatureSet> {
    collection::btree_set("[a-z][a-z0-9_.-]{0,6}", 0..6)
        .prop_map(|names| FeatureSet::from_names(names.iter().map(String::as_str)).expect("valid"))
}

pub(crate) fn bytes() -> impl Strategy<Value = Option<Bytes>> {
    option::of(any::<u64>().prop_map(Bytes))
}

pub(crate) fn hundredths() -> impl Strategy<Value = Hundredths> {
    any::<u32>().prop_map(Hundredths)
}

pub(crate) fn cpu_frequency() -> impl Strategy<Value = CpuFrequency> {
    (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>(), cpu_set()).prop_map(
        |(base_khz, minimum_khz, maximum_khz, cpus)| CpuFrequency {
            base_khz,
            minimum_khz,
            maximum_khz,
            cpus,
        },
    )
}

pub(crate) fn core_type() -> impl Strategy<Value = CoreType> {
    (text(), any::<Option<u32>>(), cpu_set()).prop_map(|(kind, capacity, cpus)| CoreType {
        kind,
        capacity,
        cpus,
    })
}

pub(crate) fn cpu_cache() -> impl Strategy<Value = CpuCache> {
    (any::<Option<u32>>(), maybe_text(), bytes(), collection::vec(cpu_set(), 0..3)).prop_map(
        |(level, kind_, size_bytes, shared_by)| CpuCache { level, r#type: kind_, size_bytes, shared_by },
    )
}
pub(crate) fn nic() -> impl Strategy<Value = Nic> {
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
}

pub(crate) fn pci_device() -> impl Strategy<Value = PciDevice> {
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
}

pub(crate) fn partition() -> impl Strategy<Value = Partition> {
    (text(), any::<Option<u32>>(), bytes(), bytes(), any::<Option<bool>>()).prop_map(
        |(name, number, start_bytes, size_bytes, read_only)| Partition {
            name,
            number,
            start_bytes,
            size_bytes,
            read_only,
        },
    )
}

pub(crate) fn disk() -> impl Strategy<Value = Disk> {
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
}
pub(crate) fn pressure_share() -> impl Strategy<Value = PressureShare> {
    (option::of(hundredths()), option::of(hundredths()), option::of(hundredths()), any::<Option<u64>>())
        .prop_map(|(average_10s, average_60s, average_300s, total_microseconds)| PressureShare {
            average_10s,
            average_60s,
            average_300s,
            total_microseconds,
        })
}

pub(crate) fn pressure_stall() -> impl Strategy<Value = PressureStall> {
    (option::of(pressure_share()), option::of(pressure_share()))
        .prop_map(|(some, full)| PressureStall { some, full })
}

pub(crate) fn pressure() -> impl Strategy<Value = Pressure> {
    (option::of(pressure_stall()), option::of(pressure_stall()), option::of(pressure_stall()))
        .prop_map(|(cpu, memory, io)| Pressure { cpu, memory, io })
}

pub(crate) fn load_average() -> impl Strategy<Value = LoadAverage> {
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
}

pub(crate) fn filesystem() -> impl Strategy<Value = Filesystem> {
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
}
