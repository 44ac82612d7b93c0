//! Answers about baselines.

use super::{
    DecodeError,
    answer::{name_list, name_list_to_pb},
    feature_set, list, optional_text, owned_names, section, text,
    verdict::verdict,
};
use crate::{
    model::{
        BaselineAnswer, BaselineForms, BaselineVerdict, CpuBaseline, ExceedingDomain, HostStanding,
        MissingHost, Verdict, VerdictKind, VerdictSource,
    },
    pb,
};

/// An answer for the wire.
#[must_use]
pub fn baseline_answer_to_pb(
    answer: &BaselineAnswer,
    cluster_generation: String,
) -> pb::ClusterServiceComputeCpuBaselineResponse {
    let BaselineAnswer { complete, baselines, host_count, fresh_host_count, hosts, missing } = answer;
    pb::ClusterServiceComputeCpuBaselineResponse {
        cluster_generation,
        unchanged: false,
        complete: *complete,
        baselines: baselines.iter().map(Into::into).collect(),
        host_count: *host_count,
        fresh_host_count: *fresh_host_count,
        hosts: hosts.iter().map(Into::into).collect(),
        missing: missing.iter().map(Into::into).collect(),
    }
}

impl TryFrom<pb::ClusterServiceComputeCpuBaselineResponse> for BaselineAnswer {
    type Error = DecodeError;

    /// Generation and `unchanged` are for the caller to look at first.
    fn try_from(answer: pb::ClusterServiceComputeCpuBaselineResponse) -> Result<Self, DecodeError> {
        Ok(Self {
            complete: answer.complete,
            baselines: list("baselines", answer.baselines, CpuBaseline::try_from)?,
            host_count: answer.host_count,
            fresh_host_count: answer.fresh_host_count,
            hosts: list("hosts", answer.hosts, HostStanding::try_from)?,
            missing: list("missing", answer.missing, MissingHost::try_from)?,
        })
    }
}

impl From<&CpuBaseline> for pb::CpuBaseline {
    fn from(baseline: &CpuBaseline) -> Self {
        let CpuBaseline {
            arch,
            vendor,
            hosts,
            features,
            cpu,
            refusal,
            model_source,
            psabi_level,
            physical_address_bits,
            machine_types,
            usable_models,
            forms,
            verdicts,
            exceeding_domains,
            exceeding_domain_count,
            unseen_domains,
            notes,
        } = baseline;
        Self {
            arch: arch.clone(),
            vendor: vendor.clone(),
            hosts: hosts.clone(),
            features: owned_names(features),
            cpu: cpu.as_ref().map(Into::into),
            refusal: refusal.clone().unwrap_or_default(),
            model_source: model_source.clone().unwrap_or_default(),
            psabi_level: *psabi_level,
            physical_address_bits: *physical_address_bits,
            machine_types: name_list_to_pb(machine_types.as_ref()),
            usable_models: name_list_to_pb(usable_models.as_ref()),
            forms: forms.as_ref().map(Into::into),
            verdicts: verdicts.iter().map(Into::into).collect(),
            exceeding_domains: exceeding_domains.iter().map(Into::into).collect(),
            exceeding_domain_count: *exceeding_domain_count,
            unseen_domains: unseen_domains.iter().map(Into::into).collect(),
            notes: notes.clone(),
        }
    }
}

impl TryFrom<pb::CpuBaseline> for CpuBaseline {
    type Error = DecodeError;

    fn try_from(baseline: pb::CpuBaseline) -> Result<Self, DecodeError> {
        Ok(Self {
            arch: text("arch", baseline.arch)?,
            vendor: optional_text("vendor", baseline.vendor)?,
            hosts: list("hosts", baseline.hosts, |name| text("hosts", name))?,
            features: feature_set("features", &baseline.features)?,
            cpu: section("cpu", baseline.cpu)?,
            refusal: unless_empty("refusal", &baseline.refusal)?,
            model_source: unless_empty("model_source", &baseline.model_source)?,
            psabi_level: baseline.psabi_level,
            physical_address_bits: baseline.physical_address_bits,
            machine_types: name_list("machine_types", baseline.machine_types)?,
            usable_models: name_list("usable_models", baseline.usable_models)?,
            forms: section("forms", baseline.forms)?,
            verdicts: list("verdicts", baseline.verdicts, BaselineVerdict::try_from)?,
            exceeding_domains: list(
                "exceeding_domains",
                baseline.exceeding_domains,
                ExceedingDomain::try_from,
            )?,
            exceeding_domain_count: baseline.exceeding_domain_count,
            unseen_domains: list("unseen_domains", baseline.unseen_domains, MissingHost::try_from)?,
            notes: list("notes", baseline.notes, |note| text("notes", note))?,
        })
    }
}

fn unless_empty(field: &str, value: &str) -> Result<Option<String>, DecodeError> {
    Ok(Some(long_text(field, value)?).filter(|text| !text.is_empty()))
}

/// A definition with 2,000 features has some 90 KB in any form.
const FORM_MAX_BYTES: usize = 256 << 10;

/// Text that may be longer than a name or a reason.
fn long_text(field: &str, value: &str) -> Result<String, DecodeError> {
    if value.len() > FORM_MAX_BYTES {
        return Err(DecodeError::new(field, format!("{} bytes, limit {FORM_MAX_BYTES}", value.len())));
    }
    // They have lines; nothing else in them may move a terminal's cursor.
    Ok(value
        .chars()
        .map(|c| if c.is_control() && !"\n\t".contains(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect())
}

impl From<&BaselineForms> for pb::BaselineForms {
    fn from(forms: &BaselineForms) -> Self {
        let BaselineForms { libvirt_xml, qemu_cpu, proxmox_conf, nova_conf, incus_conf } = forms.clone();
        Self {
            libvirt_xml,
            qemu_cpu,
            proxmox_conf: proxmox_conf.unwrap_or_default(),
            nova_conf,
            incus_conf: incus_conf.unwrap_or_default(),
        }
    }
}

impl TryFrom<pb::BaselineForms> for BaselineForms {
    type Error = DecodeError;

    fn try_from(forms: pb::BaselineForms) -> Result<Self, DecodeError> {
        Ok(Self {
            libvirt_xml: long_text("libvirt_xml", &forms.libvirt_xml)?,
            qemu_cpu: long_text("qemu_cpu", &forms.qemu_cpu)?,
            proxmox_conf: unless_empty("proxmox_conf", &forms.proxmox_conf)?,
            nova_conf: long_text("nova_conf", &forms.nova_conf)?,
            incus_conf: unless_empty("incus_conf", &forms.incus_conf)?,
        })
    }
}

impl From<&BaselineVerdict> for pb::HostVerdict {
    fn from(of_host: &BaselineVerdict) -> Self {
        let BaselineVerdict { host, source, verdict } = of_host;
        let reasons = match verdict {
            Verdict::Yes => Vec::new(),
            Verdict::No { reasons } => reasons.clone(),
            Verdict::Unknown { missing } => missing.clone(),
        };
        let source = match source {
            VerdictSource::Libvirt => "libvirt",
            VerdictSource::Features => "features",
        };
        Self {
            host: host.clone(),
            verdict: pb::Verdict::from(verdict.kind()).into(),
            source: source.to_owned(),
            reasons,
        }
    }
}

impl TryFrom<pb::HostVerdict> for BaselineVerdict {
    type Error = DecodeError;

    fn try_from(of_host: pb::HostVerdict) -> Result<Self, DecodeError> {
        let reasons = list("reasons", of_host.reasons, |reason| text("reasons", reason))?;
        Ok(Self {
            host: text("host", of_host.host)?,
            // Whoever a newer peer may mean, it is not this host's libvirt.
            source: if of_host.source == "libvirt" {
                VerdictSource::Libvirt
            } else {
                VerdictSource::Features
            },
            verdict: match verdict("verdict", of_host.verdict)? {
                VerdictKind::Yes => Verdict::Yes,
                VerdictKind::No => Verdict::No { reasons },
                VerdictKind::Unknown => Verdict::Unknown { missing: reasons },
            },
        })
    }
}

impl From<&ExceedingDomain> for pb::ExceedingDomain {
    fn from(domain: &ExceedingDomain) -> Self {
        let ExceedingDomain { host, uuid, name, state, features, detail } = domain.clone();
        Self { host, uuid, name, state, features: owned_names(&features), detail }
    }
}

impl TryFrom<pb::ExceedingDomain> for ExceedingDomain {
    type Error = DecodeError;

    fn try_from(domain: pb::ExceedingDomain) -> Result<Self, DecodeError> {
        Ok(Self {
            host: text("host", domain.host)?,
            uuid: text("uuid", domain.uuid)?,
            name: text("name", domain.name)?,
            state: text("state", domain.state)?,
            features: feature_set("features", &domain.features)?,
            detail: text("detail", domain.detail)?,
        })
    }
}
