//! What named models stand for, as far as it is known: from cpu_map, from hosts' host-models, from libvirt's own answer.

use std::collections::{BTreeMap, HashSet};

use vmuster_proto::{
    libvirt::{cpu::is_name, cpu_map::CpuMap},
    model::{CpuDefinition, FeatureSet},
};

use super::GuestHost;

/// Where something about a model is known from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A host's libvirt was asked: "libvirt 9.0.0 on kvm-01".
    Libvirt {
        /// Its version, if the host reports it.
        version: Option<String>,
        /// Which host.
        host: String,
    },
    /// cpu_map files.
    CpuMap,
    /// The host-model of a host, beside what it expands to.
    HostModel {
        /// Which host.
        host: String,
    },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Libvirt { version, host } => {
                let version = version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
                write!(f, "libvirt{version} on {host}")
            }
            Self::CpuMap => f.write_str("cpu_map"),
            Self::HostModel { host } => write!(f, "host-model of {host}"),
        }
    }
}

/// What one source says that a model stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stands {
    /// Who says so.
    pub source: Source,
    /// libvirt's name of the vendor; None: of any, or not said.
    pub vendor: Option<String>,
    /// Of the features in question, those it surely has.
    pub surely: FeatureSet,
    /// Those it may have besides.
    pub perhaps: FeatureSet,
    /// Newer models have greater ones; None: not said.
    pub place: Option<usize>,
}

impl Stands {
    /// From a definition as libvirt writes it, which names only what differs from its model, and what it expands to on its
    /// host: what was neither asked for nor taken away is the model's. What was taken away the model may have had.
    #[must_use]
    pub fn derived(definition: &CpuDefinition, expanded: &FeatureSet, source: Source) -> Self {
        let asked = with_policy(definition, |policy| matches!(policy, "require" | "force" | "optional"));
        let taken = with_policy(definition, |policy| matches!(policy, "disable" | "forbid"));
        Self {
            source,
            vendor: None,
            surely: expanded.difference(&asked).difference(&taken),
            perhaps: taken,
            place: None,
        }
    }
}

/// Names of a definition's features with such a policy; without one it is "require", as libvirt reads it.
#[must_use]
pub fn with_policy(definition: &CpuDefinition, is_wanted: impl Fn(&str) -> bool) -> FeatureSet {
    let named = definition.features.iter();
    let wanted = named.filter(|feature| is_wanted(feature.policy.as_deref().unwrap_or("require")));
    // Names no libvirt would use decide nothing.
    let names =
        wanted.map(|feature| feature.name.as_str()).filter(|name| FeatureSet::from_names([*name]).is_ok());
    FeatureSet::from_names(names).unwrap_or_default()
}

/// Everything known, by model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known(BTreeMap<String, Vec<Stands>>);

impl Known {
    /// From cpu_map files.
    #[must_use]
    pub fn of_map(map: &CpuMap) -> Self {
        let mut known = Self::default();
        for (name, expansion) in map.iter() {
            let stands = Stands {
                source: Source::CpuMap,
                vendor: expansion.vendor.clone(),
                surely: expansion.features.clone(),
                perhaps: FeatureSet::default(),
                place: Some(expansion.place),
            };
            known.add(name, stands);
        }
        known
    }

    /// What hosts' own models stand for: each host says what its host-model expands to.
    pub fn add_hosts(&mut self, hosts: &[GuestHost<'_>]) {
        let mut said = HashSet::new();
        for host in hosts {
            let (Some(definition), Some(expanded)) = (&host.guest.host_model, &host.guest.features) else {
                continue;
            };
            let Some(model) = &definition.model else { continue };
            let source = Source::HostModel { host: host.name.to_owned() };
            let stands = Stands::derived(definition, expanded, source);
            // Like hosts say the same, and the first is named.
            if said.insert((model.clone(), stands.surely.clone(), stands.perhaps.clone())) {
                self.add(model, stands);
            }
        }
    }

    /// One more voice. What is no name for a model is not taken: it would be written into others' files.
    pub fn add(&mut self, model: &str, stands: Stands) {
        if !is_name(model) {
            return;
        }
        self.0.entry(model.to_owned()).or_default().push(stands);
    }

    /// Every model, by name.
    pub fn models(&self) -> impl Iterator<Item = (&str, &[Stands])> {
        self.0.iter().map(|(model, stands)| (model.as_str(), stands.as_slice()))
    }

    /// What is known of one.
    #[must_use]
    pub fn of(&self, model: &str) -> &[Stands] {
        self.0.get(model).map(Vec::as_slice).unwrap_or_default()
    }
}
