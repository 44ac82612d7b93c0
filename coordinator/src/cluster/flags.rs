//! Which flags do the hosts of a scope share?

use std::{collections::BTreeSet, sync::Arc};

use sha2::{Digest as _, Sha256};
use vmuster_proto::model::{Cpu, FlagsAnswer, Freshness, Layer, MissingHost, Problem, ProblemKind};

use super::{Cluster, kept::Moment, none_of_arch, vendor};
use crate::{
    cache::{HostRecord, HostView, ReadOptions},
    flags::{Detail, HostFeatures, common_flags},
    hosts::{Registry, Scope, ScopeError, registered},
};

/// A question about common flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagsQuestion {
    /// Which view.
    pub layer: Layer,
    /// Which hosts.
    pub scope: Scope,
    /// How much to tell.
    pub detail: Detail,
}

impl Cluster {
    /// The flags that hosts in scope share, with a digest that changes whenever the answer may.
    ///
    /// # Errors
    /// The scope is wrong.
    pub async fn common_flags(
        &self,
        question: &FlagsQuestion,
        options: ReadOptions,
    ) -> Result<Arc<(FlagsAnswer, String)>, ScopeError> {
        // Before anything is read: what changes meanwhile makes the answer one of a moment that has passed.
        let moment = Moment::now(&self.registry.load(), &self.cache);
        if let Some(answer) = self.kept.find(question, options.max_age, &moment) {
            return Ok(answer);
        }
        let views = self.read(&question.scope, options).await?;
        if views.is_empty() {
            return Err(none_of_arch(&question.scope));
        }
        let detail = Detail {
            without: in_scope(&question.detail, &moment.registry, &views)?,
            ..question.detail.clone()
        };
        let answered = Arc::new((answer(question.layer, &views, &detail), generation(question, &views)));
        if let Some(until) = self.cache.settled_until(&views, options) {
            self.kept.keep(question, options.max_age, moment, until, Arc::clone(&answered));
        }
        Ok(answered)
    }
}

/// The hosts to leave out in thought, as the registry spells them.
fn in_scope(
    detail: &Detail,
    registry: &Registry,
    views: &[HostView],
) -> Result<BTreeSet<String>, ScopeError> {
    let without = registered(&detail.without, registry);
    let unknown: Vec<_> = without.iter().filter(|name| registry.get(name).is_none()).cloned().collect();
    if !unknown.is_empty() {
        return Err(ScopeError::NotRegistered(unknown));
    }
    // Views come in the registry's order: by name.
    let is_out = |name: &&String| views.binary_search_by(|view| view.entry.name.cmp(*name)).is_err();
    let out: Vec<_> = without.iter().filter(is_out).cloned().collect();
    if out.is_empty() { Ok(without) } else { Err(ScopeError::NotInScope(out)) }
}

/// What a view brings to a question about flags, or why it brings nothing.
pub(super) fn features_of(view: &HostView, layer: Layer) -> Result<HostFeatures<'_>, Problem> {
    let Some(record) = &view.record else {
        let unknown = || Problem::new(ProblemKind::Failed, "nothing is known of this host");
        return Err(view.problem.clone().unwrap_or_else(unknown));
    };
    let arch =
        record.inventory.arch().ok_or_else(|| unreported(record, "system.arch", "its architecture"))?;
    let cpu = record.inventory.cpu.as_ref().ok_or_else(|| unreported(record, "cpu", "its CPU"))?;
    let guest = cpu.guest.as_ref();
    let (features, vendor) = match layer {
        Layer::Host => {
            let flags = cpu.host_flags.as_ref();
            (flags.ok_or_else(|| unreported(record, "cpu.host_flags", "CPU flags"))?, cpu.vendor.as_deref())
        }
        Layer::Guest => {
            let features = guest.and_then(|guest| guest.features.as_ref());
            let features = features.ok_or_else(|| no_guest_features(record, arch))?;
            let vendor = vendor_of_guests(cpu).ok_or_else(|| unreported(record, "cpu.vendor", NO_VENDOR))?;
            (features, Some(vendor))
        }
    };
    let of_guests = guest.filter(|_| layer == Layer::Guest);
    Ok(HostFeatures {
        host: &view.entry.name,
        arch,
        vendor,
        features,
        physical_address_bits: of_guests
            .and_then(|guest| guest.physical_address_bits)
            .or(cpu.physical_address_bits),
        machine_types: of_guests.and_then(|_| record.machine_types()),
        usable_models: of_guests.and_then(|_| record.usable_models()),
    })
}

/// The advice first: a long reason is cut at its end.
const NO_VENDOR: &str = "its CPU's vendor, and guests do not move between vendors; ask for --layer host";

/// The vendor of the guests' CPUs, in cpuinfo's words. It is the host's own, but for guests that are emulated.
fn vendor_of_guests(cpu: &Cpu) -> Option<&str> {
    let of_guests = cpu.guest.as_ref().and_then(|guest| vendor::to_cpuinfo(guest.vendor.as_deref()?));
    of_guests.or(cpu.vendor.as_deref())
}

fn no_guest_features(record: &HostRecord, arch: &str) -> Problem {
    match arch {
        "x86_64" | "i686" => {
            // The advice first: a long reason is cut at its end.
            unreported(record, "cpu.guest", "guest features; ask for --layer host")
        }
        "s390x" => Problem::new(
            ProblemKind::Unsupported,
            "on s390x only the hosts' own libvirt can make a CPU baseline, and vmuster does not ask it to; \
             ask for --layer host",
        ),
        _ => Problem::new(
            ProblemKind::Unsupported,
            format!(
                "libvirt makes no CPU baseline for {arch}, so there are no guest features; ask for --layer host"
            ),
        ),
    }
}

fn unreported(record: &HostRecord, section: &str, what: &str) -> Problem {
    // The field's own issue, else its section's: a neighbour's reason would mislead.
    let parent = section.split('.').next().unwrap_or(section);
    let about = |section: &str| record.issues.iter().find(|issue| issue.section == section);
    let why = about(section).or_else(|| about(parent)).map_or(String::new(), |issue| {
        let kind = format!("{:?}", issue.kind).to_lowercase();
        format!(" ({kind}, {}: {})", issue.source, issue.detail)
    });
    Problem::new(ProblemKind::Unsupported, format!("the host does not report {what}{why}"))
}

fn answer(layer: Layer, views: &[HostView], detail: &Detail) -> FlagsAnswer {
    let (mut counted, mut missing, mut hosts) = (Vec::with_capacity(views.len()), Vec::new(), Vec::new());
    let mut fresh_host_count = 0;
    for view in views {
        match features_of(view, layer) {
            Ok(features) => {
                counted.push(features);
                let fresh = view.freshness == Freshness::Fresh;
                fresh_host_count += u32::from(fresh);
                if detail.hosts || !fresh {
                    hosts.push(view.standing());
                }
            }
            Err(problem) => missing.push(MissingHost { name: view.entry.name.clone(), problem }),
        }
    }
    let host_count = u32::try_from(counted.len()).unwrap_or(u32::MAX);
    FlagsAnswer {
        layer,
        complete: missing.is_empty() && fresh_host_count == host_count,
        groups: common_flags(layer, &counted, detail),
        host_count,
        fresh_host_count,
        hosts,
        missing,
    }
}

/// Hex digest of the question, of who is in scope, what they are, how fresh, and why not. Renewals without a change do not count.
fn generation(question: &FlagsQuestion, views: &[HostView]) -> String {
    // Hashed in one go: of 10,000 hosts' fields each would cost more by itself than its bytes.
    let mut bytes = Vec::with_capacity(views.len() * GENERATION_HOST_BYTES);
    // Lengths first, so that no two lists of fields run into the same bytes.
    let mut field = |text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    // What was asked, so that another question never hears "unchanged".
    field(&format!("{:?} {:?} {:?}", question.layer, question.detail, question.scope.arch));
    for view in views {
        field(&view.entry.name);
        field(view.record.as_ref().map_or("", |record| &record.inventory.fingerprint));
        field(match view.freshness {
            Freshness::Fresh => "fresh",
            Freshness::Stale => "stale",
            Freshness::Missing => "missing",
        });
        field(view.problem.as_ref().map_or("", |problem| &problem.detail));
    }
    digest(&bytes)
}

/// In hex; half of it is enough to tell answers apart.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A short name, a fingerprint, a word and their lengths.
const GENERATION_HOST_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use vmuster_proto::model::{FeatureSet, GuestCpu, Hypervisor, Inventory, Issue, IssueKind, System};

    use super::*;
    use crate::{
        cache::{GuestNames, HostRecord, Outcome},
        hosts::HostEntry,
    };

    fn view(arch: &str, cpu: Cpu, issues: &[Issue]) -> HostView {
        let system = System { arch: Some(arch.to_owned()), ..System::default() };
        let hypervisor = Hypervisor { machine_types: vec!["pc-q35-7.2".to_owned()], ..Hypervisor::default() };
        let inventory = Inventory {
            system: Some(system),
            cpu: Some(Arc::new(cpu)),
            hypervisor: Some(Arc::new(hypervisor)),
            ..Inventory::default()
        };
        let record = HostRecord {
            host: "a".to_owned(),
            address: String::new(),
            reported_name: String::new(),
            fetched_at: None,
            validated_at: None,
            inventory: Arc::new(inventory),
            issues: issues.into(),
            superseded: false,
            saved_usage: None,
            guest_names: GuestNames::default(),
        };
        let entry = Arc::new(HostEntry::new("a", None));
        HostView::fresh(&entry, Arc::new(record), Outcome::StillFresh)
    }

    fn problem(view: &HostView) -> String {
        features_of(view, Layer::Guest).map(|_| ()).expect_err("it brings nothing").detail
    }

    #[test]
    fn a_host_without_guest_features_says_why() {
        let issue = Issue::new("cpu.guest", "virConnectOpen", IssueKind::Denied, "join the group");
        let detail = problem(&view("x86_64", Cpu::default(), &[issue]));
        assert!(detail.contains("--layer host"), "{detail}");
        assert!(detail.contains("(denied, virConnectOpen: join the group)"), "{detail}");
        for (arch, reason) in [
            ("aarch64", "libvirt makes no CPU baseline for aarch64"),
            ("ppc64le", "libvirt makes no CPU baseline for ppc64le"),
            ("s390x", "on s390x only the hosts' own libvirt"),
        ] {
            let detail = problem(&view(arch, Cpu::default(), &[]));
            assert!(detail.contains(reason) && detail.contains("--layer host"), "{detail}");
        }
    }

    #[test]
    fn the_guest_layer_takes_what_libvirt_says_and_the_guests_vendor() {
        let guest = |vendor: Option<&str>| {
            Some(GuestCpu {
                features: Some(FeatureSet::from_names(["sse4.1"]).expect("valid")),
                vendor: vendor.map(str::to_owned),
                ..GuestCpu::default()
            })
        };
        let bits = Some(46);
        let cpu = Cpu { physical_address_bits: bits, guest: guest(Some("Hygon")), ..Cpu::default() };
        let of_libvirt = view("x86_64", cpu.clone(), &[]);
        let host = features_of(&of_libvirt, Layer::Guest).expect("it has features");
        assert_eq!((host.vendor, host.physical_address_bits), (Some("HygonGenuine"), bits));
        assert_eq!(host.features.names(), ["sse4.1"]);
        assert_eq!(host.machine_types.map(FeatureSet::names), Some(vec!["pc-q35-7.2"]));
        assert_eq!(host.usable_models, None, "an empty list is not reported");
        // An emulated guest's CPU may be of another vendor than its host's, and guests move by theirs.
        for (of_guests, vendor) in
            [(Some("Hygon"), "HygonGenuine"), (Some("Transmeta"), "AuthenticAMD"), (None, "AuthenticAMD")]
        {
            let named =
                Cpu { vendor: Some("AuthenticAMD".to_owned()), guest: guest(of_guests), ..cpu.clone() };
            let named = view("x86_64", named, &[]);
            assert_eq!(features_of(&named, Layer::Guest).expect("features").vendor, Some(vendor));
        }
        for unknown in [None, Some("Transmeta")] {
            let detail = problem(&view("x86_64", Cpu { guest: guest(unknown), ..cpu.clone() }, &[]));
            assert!(detail.contains("does not report its CPU's vendor"), "{detail}");
        }
        let flags = Cpu { host_flags: Some(FeatureSet::default()), ..cpu };
        let flags = view("x86_64", flags, &[]);
        let host = features_of(&flags, Layer::Host).expect("it has flags");
        assert_eq!((host.vendor, host.machine_types), (None, None), "the layers are never mixed");
    }
}
