//! Any guest CPU, hypervisor, domain, pool and image.

use proptest::{collection, option, prelude::*};
use vmuster_proto::model::{
    CpuDefinition, CpuFeature, Domain, DomainDisk, DomainHugepages, DomainNuma, GuestCell, GuestCpu,
    GuestCpuModel, Hypervisor, Image, Promised, StoragePool,
};

use crate::parts::{bytes, cpu_set, features, maybe_text, text};

pub(crate) fn guest_cpu() -> BoxedStrategy<GuestCpu> {
    (
        (
            maybe_text(),
            maybe_text(),
            option::of(features()),
            option::of(features()),
            maybe_text(),
            maybe_text(),
            any::<Option<u32>>(),
            option::of(cpu_definition()),
        ),
        (collection::vec(text(), 0..3), collection::vec(guest_cpu_model(), 0..3)),
    )
        .prop_map(
            |(
                (
                    virt_type,
                    machine_type,
                    features,
                    unrecognized_features,
                    model,
                    vendor,
                    physical_address_bits,
                    host_model,
                ),
                (usable_models, models),
            )| GuestCpu {
                virt_type,
                machine_type,
                features,
                unrecognized_features,
                model,
                vendor,
                physical_address_bits,
                host_model,
                usable_models,
                models,
            },
        )
        .boxed()
}

pub(crate) fn guest_cpu_model() -> BoxedStrategy<GuestCpuModel> {
    (text(), any::<Option<bool>>(), any::<Option<bool>>(), maybe_text(), maybe_text(), option::of(features()))
        .prop_map(|(name, usable, deprecated, vendor, canonical, blockers)| GuestCpuModel {
            name,
            usable,
            deprecated,
            vendor,
            canonical,
            blockers,
        })
        .boxed()
}

pub(crate) fn cpu_definition() -> BoxedStrategy<CpuDefinition> {
    (
        (
            maybe_text(),
            maybe_text(),
            maybe_text(),
            maybe_text(),
            any::<Option<bool>>(),
            maybe_text(),
            maybe_text(),
            maybe_text(),
        ),
        (any::<Option<u32>>(), maybe_text(), collection::vec(cpu_feature(), 0..3)),
    )
        .prop_map(
            |(
                (arch, mode, r#match, check, migratable, model, fallback, vendor),
                (physical_address_bits, physical_address_mode, features),
            )| CpuDefinition {
                arch,
                mode,
                r#match,
                check,
                migratable,
                model,
                fallback,
                vendor,
                physical_address_bits,
                physical_address_mode,
                features,
            },
        )
        .boxed()
}

pub(crate) fn cpu_feature() -> BoxedStrategy<CpuFeature> {
    (text(), maybe_text()).prop_map(|(name, policy)| CpuFeature { name, policy }).boxed()
}

pub(crate) fn hypervisor() -> BoxedStrategy<Hypervisor> {
    (
        (
            maybe_text(),
            maybe_text(),
            maybe_text(),
            maybe_text(),
            collection::vec(text(), 0..3),
            collection::vec(text(), 0..3),
            collection::btree_map(text(), text(), 0..3),
            collection::btree_map(text(), any::<u32>(), 0..3),
        ),
        (
            collection::vec(text(), 0..3),
            collection::vec(text(), 0..3),
            collection::btree_map(text(), text(), 0..3),
        ),
    )
        .prop_map(
            |(
                (
                    driver,
                    libvirt_version,
                    qemu_version,
                    emulator,
                    virt_types,
                    machine_types,
                    machine_aliases,
                    machine_max_vcpus,
                ),
                (deprecated_machine_types, firmwares, kvm_parameters),
            )| Hypervisor {
                driver,
                libvirt_version,
                qemu_version,
                emulator,
                virt_types,
                machine_types,
                machine_aliases,
                machine_max_vcpus,
                deprecated_machine_types,
                firmwares,
                kvm_parameters,
            },
        )
        .boxed()
}

pub(crate) fn domain() -> BoxedStrategy<Domain> {
    (
        (
            text(),
            text(),
            maybe_text(),
            any::<Option<bool>>(),
            any::<Option<u32>>(),
            any::<Option<u32>>(),
            bytes(),
            bytes(),
        ),
        (
            bytes(),
            maybe_text(),
            maybe_text(),
            maybe_text(),
            option::of(cpu_definition()),
            collection::vec(domain_disk(), 0..3),
            collection::vec(domain_hugepages(), 0..3),
            option::of(cpu_set()),
        ),
        (
            collection::btree_map(any::<u32>(), cpu_set(), 0..3),
            option::of(cpu_set()),
            option::of(domain_numa()),
            collection::vec(text(), 0..3),
            collection::vec(text(), 0..3),
        ),
    )
        .prop_map(
            |(
                (uuid, name, state, persistent, vcpus, vcpus_max, memory_bytes, memory_max_bytes),
                (disk_virtual_bytes, virt_type, arch, machine_type, cpu, disks, hugepages, cpus),
                (vcpu_pins, emulator_cpus, numa, host_devices, host_bound),
            )| Domain {
                uuid,
                name,
                state,
                persistent,
                vcpus,
                vcpus_max,
                memory_bytes,
                memory_max_bytes,
                disk_virtual_bytes,
                virt_type,
                arch,
                machine_type,
                cpu,
                disks,
                hugepages,
                cpus,
                vcpu_pins,
                emulator_cpus,
                numa,
                host_devices,
                host_bound,
            },
        )
        .boxed()
}

pub(crate) fn domain_disk() -> BoxedStrategy<DomainDisk> {
    (
        (text(), maybe_text(), maybe_text(), maybe_text(), maybe_text(), maybe_text(), maybe_text(), bytes()),
        (bytes(), any::<Option<bool>>(), any::<Option<bool>>(), any::<Option<bool>>()),
    )
        .prop_map(
            |(
                (target, device, r#type, source, pool, volume, format, virtual_bytes),
                (allocation_bytes, read_only, shareable, shared_storage),
            )| DomainDisk {
                target,
                device,
                r#type,
                source,
                pool,
                volume,
                format,
                virtual_bytes,
                allocation_bytes,
                read_only,
                shareable,
                shared_storage,
            },
        )
        .boxed()
}

pub(crate) fn domain_hugepages() -> BoxedStrategy<DomainHugepages> {
    (bytes(), option::of(cpu_set()))
        .prop_map(|(size_bytes, guest_nodes)| DomainHugepages { size_bytes, guest_nodes })
        .boxed()
}

pub(crate) fn domain_numa() -> BoxedStrategy<DomainNuma> {
    (maybe_text(), option::of(cpu_set()), collection::vec(guest_cell(), 0..3))
        .prop_map(|(mode, host_nodes, cells)| DomainNuma { mode, host_nodes, cells })
        .boxed()
}

pub(crate) fn guest_cell() -> BoxedStrategy<GuestCell> {
    (any::<u32>(), option::of(cpu_set()), bytes(), maybe_text(), option::of(cpu_set()))
        .prop_map(|(id, vcpus, memory_bytes, mode, host_nodes)| GuestCell {
            id,
            vcpus,
            memory_bytes,
            mode,
            host_nodes,
        })
        .boxed()
}

pub(crate) fn storage_pool() -> BoxedStrategy<StoragePool> {
    (
        (text(), maybe_text(), maybe_text(), maybe_text(), bytes(), bytes(), bytes(), maybe_text()),
        (maybe_text(), maybe_text()),
    )
        .prop_map(
            |(
                (name, uuid, r#type, state, capacity_bytes, allocation_bytes, available_bytes, target_path),
                (identity, mount_point),
            )| StoragePool {
                name,
                uuid,
                r#type,
                state,
                capacity_bytes,
                allocation_bytes,
                available_bytes,
                target_path,
                identity,
                mount_point,
            },
        )
        .boxed()
}

pub(crate) fn image() -> BoxedStrategy<Image> {
    (text(), text(), bytes())
        .prop_map(|(id, location, size_bytes)| Image { id, location, size_bytes })
        .boxed()
}

pub(crate) fn promised() -> BoxedStrategy<Promised> {
    (any::<u32>(), any::<Option<u64>>(), bytes(), bytes())
        .prop_map(|(domain_count, vcpus, memory_bytes, disk_virtual_bytes)| Promised {
            domain_count,
            vcpus,
            memory_bytes,
            disk_virtual_bytes,
        })
        .boxed()
}
