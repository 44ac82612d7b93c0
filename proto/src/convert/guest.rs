//! What a hypervisor can give guests.

use super::{DecodeError, features, keyed, list, names, optional_text, section, text, text_map};
use crate::{
    model::{CpuComparison, CpuDefinition, CpuFeature, GuestCpu, GuestCpuModel, Hypervisor},
    pb,
};

impl From<&GuestCpu> for pb::GuestCpu {
    fn from(value: &GuestCpu) -> Self {
        let GuestCpu {
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
        } = value.clone();
        Self {
            virt_type,
            machine_type,
            features: features.as_ref().map(names),
            unrecognized_features: unrecognized_features.as_ref().map(names),
            model,
            vendor,
            physical_address_bits,
            host_model: host_model.as_ref().map(Into::into),
            usable_models,
            models: models.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::GuestCpu> for GuestCpu {
    type Error = DecodeError;

    fn try_from(value: pb::GuestCpu) -> Result<Self, DecodeError> {
        Ok(Self {
            virt_type: optional_text("virt_type", value.virt_type)?,
            machine_type: optional_text("machine_type", value.machine_type)?,
            features: features("features", value.features)?,
            unrecognized_features: features("unrecognized_features", value.unrecognized_features)?,
            model: optional_text("model", value.model)?,
            vendor: optional_text("vendor", value.vendor)?,
            physical_address_bits: value.physical_address_bits,
            host_model: section("host_model", value.host_model)?,
            usable_models: list("usable_models", value.usable_models, |one| text("usable_models", one))?,
            models: list("models", value.models, GuestCpuModel::try_from)?,
        })
    }
}

impl From<&GuestCpuModel> for pb::GuestCpuModel {
    fn from(value: &GuestCpuModel) -> Self {
        let GuestCpuModel { name, usable, deprecated, vendor, canonical, blockers } = value.clone();
        Self { name, usable, deprecated, vendor, canonical, blockers: blockers.as_ref().map(names) }
    }
}

impl TryFrom<pb::GuestCpuModel> for GuestCpuModel {
    type Error = DecodeError;

    fn try_from(value: pb::GuestCpuModel) -> Result<Self, DecodeError> {
        Ok(Self {
            name: text("name", value.name)?,
            usable: value.usable,
            deprecated: value.deprecated,
            vendor: optional_text("vendor", value.vendor)?,
            canonical: optional_text("canonical", value.canonical)?,
            blockers: features("blockers", value.blockers)?,
        })
    }
}

impl From<&CpuDefinition> for pb::CpuDefinition {
    fn from(value: &CpuDefinition) -> Self {
        let CpuDefinition {
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
        } = value.clone();
        Self {
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
            features: features.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::CpuDefinition> for CpuDefinition {
    type Error = DecodeError;

    fn try_from(value: pb::CpuDefinition) -> Result<Self, DecodeError> {
        Ok(Self {
            arch: optional_text("arch", value.arch)?,
            mode: optional_text("mode", value.mode)?,
            r#match: optional_text("match", value.r#match)?,
            check: optional_text("check", value.check)?,
            migratable: value.migratable,
            model: optional_text("model", value.model)?,
            fallback: optional_text("fallback", value.fallback)?,
            vendor: optional_text("vendor", value.vendor)?,
            physical_address_bits: value.physical_address_bits,
            physical_address_mode: optional_text("physical_address_mode", value.physical_address_mode)?,
            features: list("features", value.features, CpuFeature::try_from)?,
        })
    }
}

impl From<&CpuFeature> for pb::CpuFeature {
    fn from(value: &CpuFeature) -> Self {
        let CpuFeature { name, policy } = value.clone();
        Self { name, policy }
    }
}

impl TryFrom<pb::CpuFeature> for CpuFeature {
    type Error = DecodeError;

    fn try_from(value: pb::CpuFeature) -> Result<Self, DecodeError> {
        Ok(Self { name: text("name", value.name)?, policy: optional_text("policy", value.policy)? })
    }
}

impl From<&Hypervisor> for pb::Hypervisor {
    fn from(value: &Hypervisor) -> Self {
        let Hypervisor {
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
        } = value.clone();
        Self {
            driver,
            libvirt_version,
            qemu_version,
            emulator,
            virt_types,
            machine_types,
            machine_aliases: machine_aliases.into_iter().collect(),
            machine_max_vcpus: machine_max_vcpus.into_iter().collect(),
            deprecated_machine_types,
            firmwares,
            kvm_parameters: kvm_parameters.into_iter().collect(),
        }
    }
}

impl TryFrom<pb::Hypervisor> for Hypervisor {
    type Error = DecodeError;

    fn try_from(value: pb::Hypervisor) -> Result<Self, DecodeError> {
        Ok(Self {
            driver: optional_text("driver", value.driver)?,
            libvirt_version: optional_text("libvirt_version", value.libvirt_version)?,
            qemu_version: optional_text("qemu_version", value.qemu_version)?,
            emulator: optional_text("emulator", value.emulator)?,
            virt_types: list("virt_types", value.virt_types, |one| text("virt_types", one))?,
            machine_types: list("machine_types", value.machine_types, |one| text("machine_types", one))?,
            machine_aliases: text_map("machine_aliases", value.machine_aliases)?,
            machine_max_vcpus: keyed("machine_max_vcpus", value.machine_max_vcpus, Ok)?,
            deprecated_machine_types: list(
                "deprecated_machine_types",
                value.deprecated_machine_types,
                |one| text("deprecated_machine_types", one),
            )?,
            firmwares: list("firmwares", value.firmwares, |one| text("firmwares", one))?,
            kvm_parameters: text_map("kvm_parameters", value.kvm_parameters)?,
        })
    }
}

impl From<CpuComparison> for pb::CpuComparison {
    fn from(value: CpuComparison) -> Self {
        match value {
            CpuComparison::Incompatible => Self::Incompatible,
            CpuComparison::Identical => Self::Identical,
            CpuComparison::Superset => Self::Superset,
        }
    }
}

/// A verdict from the wire.
///
/// # Errors
/// It is none that is known: what is not known is no "yes".
pub fn cpu_comparison(field: &str, value: i32) -> Result<CpuComparison, DecodeError> {
    match pb::CpuComparison::try_from(value) {
        Ok(pb::CpuComparison::Incompatible) => Ok(CpuComparison::Incompatible),
        Ok(pb::CpuComparison::Identical) => Ok(CpuComparison::Identical),
        Ok(pb::CpuComparison::Superset) => Ok(CpuComparison::Superset),
        Ok(pb::CpuComparison::Unspecified) | Err(_) => {
            Err(DecodeError::new(field, format!("{value} is no verdict")))
        }
    }
}
