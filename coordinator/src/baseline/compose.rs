//! Which named model, and which features beside it.

use std::cmp::Reverse;

use vmuster_proto::{
    libvirt::cpu::validate,
    model::{CpuDefinition, CpuFeature, FeatureSet, GuestCpuModel, Verdict},
};

use super::{GuestHost, Known, Source, Stands, known::with_policy};

/// What a feature taken away counts beside one that is added: libvirt, too, would rather add. A guest's family and model
/// then promise less than it has, not more.
const DISABLED_WEIGHT: usize = 2;

/// 64 bits.
const LONG_MODE: &str = "lm";

/// Architectures whose guests libvirt makes x86 baselines of.
const X86: [&str; 2] = ["x86_64", "i686"];

/// Why there is no definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing in common.
    #[error("the hosts share no guest feature")]
    Empty,
    /// Nobody knows what any usable model stands for.
    #[error(
        "what the hosts' named CPU models stand for is not known here: let vmuster read libvirt's cpu_map files (of package \
         libvirt-common or libvirt-daemon), or ask with agents whose libvirt answers"
    )]
    NoModel,
    /// A host reports names that libvirt would not have.
    #[error("what hosts report makes no definition: {0}")]
    Name(String),
    /// The architecture has none.
    #[error(
        "libvirt makes no CPU baseline for {0} guests: give them host-passthrough and move them between equal machines only"
    )]
    Arch(String),
    /// QEMU on a host computes it.
    #[error(
        "a CPU baseline for s390x is computed by QEMU on a host, not from sets of features: ask one with `virsh \
         hypervisor-cpu-baseline`"
    )]
    S390x,
}

/// Why hosts of this architecture have no baseline; None: they can have one.
#[must_use]
pub fn refusal_of_arch(arch: &str) -> Option<Refusal> {
    match arch {
        arch if X86.contains(&arch) => None,
        "s390x" => Some(Refusal::S390x),
        arch => Some(Refusal::Arch(arch.to_owned())),
    }
}

/// A definition and where its model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The model with what is to be added and taken away.
    pub cpu: CpuDefinition,
    /// Who said what the model stands for.
    pub source: Source,
    /// Whether every host can run the model as it is.
    pub is_usable: bool,
}

/// A model with what makes it exactly the wanted features.
struct Candidate<'a> {
    model: &'a str,
    stands: &'a [Stands],
    require: FeatureSet,
    disable: FeatureSet,
    is_usable: bool,
}

/// The definition of exactly `features` for these hosts. `known`: what models stand for, by these hosts' own account too
/// ([`Known::add_hosts`]). `chosen`: the model libvirt proposed; it is known.
///
/// # Errors
/// There is none.
pub fn compose(
    features: &FeatureSet,
    vendor: Option<&str>,
    hosts: &[GuestHost<'_>],
    known: &Known,
    chosen: Option<&str>,
) -> Result<Composed, Refusal> {
    if features.is_empty() {
        return Err(Refusal::Empty);
    }
    let models = Models::of(hosts);
    let fits = |(model, stands): &(&str, &[Stands])| {
        let is_of_vendor =
            stands.iter().filter_map(|stands| stands.vendor.as_deref()).all(|of| Some(of) == vendor);
        chosen.is_none_or(|chosen| chosen == *model) && is_of_vendor && models.are_known(model)
    };
    let candidates =
        known.models().filter(fits).map(|(model, stands)| candidate(model, stands, features, &models));
    // Best first: usable everywhere, else some host's own; least to say beside the name; a host's own, newest; then by name.
    let best = candidates.min_by_key(|one| {
        let weight = one.require.len() + DISABLED_WEIGHT * one.disable.len();
        let is_a_hosts = one.stands.iter().any(|stands| matches!(stands.source, Source::HostModel { .. }));
        let place = one.stands.iter().filter_map(|stands| stands.place).max();
        let is_tried = one.is_usable || is_a_hosts;
        (Reverse(one.is_usable), Reverse(is_tried), weight, Reverse(is_a_hosts), Reverse(place), one.model)
    });
    let best = best.ok_or(Refusal::NoModel)?;
    // Each model has somebody who knows it.
    let source = best.stands.first().map(|stands| stands.source.clone()).ok_or(Refusal::NoModel)?;
    let cpu = definition(&best, vendor);
    validate(&cpu).map_err(|error| Refusal::Name(error.to_string()))?;
    Ok(Composed { cpu, source, is_usable: best.is_usable })
}

/// The models that hosts' hypervisors have. Hosts of one sort have the same, and count once.
struct Models<'a> {
    known: Vec<&'a [GuestCpuModel]>,
    usable: Vec<&'a [String]>,
}

impl<'a> Models<'a> {
    fn of(hosts: &[GuestHost<'a>]) -> Self {
        let mut models = Self { known: Vec::new(), usable: Vec::new() };
        for host in hosts {
            let (known, usable) = (host.guest.models.as_slice(), host.guest.usable_models.as_slice());
            let names = |list: &'a [GuestCpuModel]| list.iter().map(|model| model.name.as_str());
            // None: it does not say.
            if !known.is_empty() && !models.known.iter().any(|other| names(other).eq(names(known))) {
                models.known.push(known);
            }
            if !models.usable.contains(&usable) {
                models.usable.push(usable);
            }
        }
        models
    }

    /// No host says that it does not have it.
    fn are_known(&self, model: &str) -> bool {
        self.known.iter().all(|known| known.iter().any(|one| one.name == model))
    }

    /// Every host says that it can run it as it is.
    fn are_usable(&self, model: &str) -> bool {
        self.usable.iter().all(|usable| usable.iter().any(|one| one == model))
    }
}

/// Adds whatever any source does not surely give, and takes away whatever any source may give beyond: whoever of them is
/// right, the guest has exactly the wanted features.
fn candidate<'a>(
    model: &'a str,
    stands: &'a [Stands],
    features: &FeatureSet,
    models: &Models<'_>,
) -> Candidate<'a> {
    let mut require = FeatureSet::default();
    let mut disable = FeatureSet::default();
    for one in stands {
        require = require.union(&features.difference(&one.surely));
        disable = disable.union(&one.surely.union(&one.perhaps).difference(features));
    }
    // A 32-bit model is usable nearly everywhere, and no model for a 64-bit guest.
    let is_wide_enough =
        !features.contains(LONG_MODE) || stands.iter().all(|one| one.surely.contains(LONG_MODE));
    let is_usable = is_wide_enough && models.are_usable(model);
    Candidate { model, stands, require, disable, is_usable }
}

fn definition(of: &Candidate<'_>, vendor: Option<&str>) -> CpuDefinition {
    let named = |set: &FeatureSet, policy: &str| -> Vec<CpuFeature> {
        let feature = |name: &str| CpuFeature { name: name.to_owned(), policy: Some(policy.to_owned()) };
        set.names().into_iter().map(feature).collect()
    };
    let mut features = named(&of.require, "require");
    features.extend(named(&of.disable, "disable"));
    features.sort_by(|a, b| a.name.cmp(&b.name));
    CpuDefinition {
        mode: Some("custom".to_owned()),
        r#match: Some("exact".to_owned()),
        // Else libvirt drops what QEMU cannot give and starts the guest all the same.
        check: Some("full".to_owned()),
        model: Some(of.model.to_owned()),
        fallback: Some("forbid".to_owned()),
        vendor: vendor.map(str::to_owned),
        features,
        ..CpuDefinition::default()
    }
}

/// Whether a host can run a definition made of features that it can give, by what it reports.
#[must_use]
pub fn runs(host: &GuestHost<'_>, features: &FeatureSet, cpu: &CpuDefinition) -> Verdict {
    let mut reasons = Vec::new();
    let lacking = features.difference(&host.features());
    if !lacking.is_empty() {
        reasons.push(format!("it cannot give {}", lacking.names().join(", ")));
    }
    let model = cpu.model.as_deref().unwrap_or_default();
    if host.has(model) == Some(false) {
        reasons.push(format!("its hypervisor has no model {model}"));
    }
    // A model's blockers that are taken away block nothing.
    let disabled = with_policy(cpu, |policy| policy == "disable");
    let blockers =
        host.guest.models.iter().find(|known| known.name == model).and_then(|known| known.blockers.as_ref());
    if let Some(blockers) =
        blockers.map(|blockers| blockers.difference(&disabled)).filter(|left| !left.is_empty())
    {
        reasons.push(format!("model {model} needs {}, which it lacks", blockers.names().join(", ")));
    }
    if reasons.is_empty() { Verdict::Yes } else { Verdict::No { reasons } }
}
