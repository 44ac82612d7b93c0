//! A CPU definition against the features that a host can give, by their names.
//!
//! Policies as libvirt's own comparison takes them (x86Compute): what is required must be there, what is forbidden must
//! not; what is forced, optional or disabled is taken out of what the model needs.

use vmuster_proto::{
    features::{Spelling, lookup},
    model::{CpuDefinition, FeatureSet, GuestCpu, GuestCpuModel},
};

use super::{HostFacts, Said, named, no, unknown};
use crate::baseline::with_policy;

/// Given only to guests that stay, so it is never among the features a host can give and migrate.
pub(super) const INVARIANT_TSC: &str = "invtsc";

/// What names tell.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Of the features the definition lists.
    pub(super) features: Said,
    /// Of those that must not be there.
    pub(super) forbidden: Said,
    /// Of those its model stands for.
    pub(super) model: Said,
    /// The definition has a name that no libvirt knows, or not the one there: then it starts nowhere.
    pub(super) has_strange_name: bool,
}

impl Known {
    /// Of what the definition lists.
    pub(super) fn listed(self) -> Said {
        self.features.into_iter().chain(self.forbidden).collect()
    }

    pub(super) fn all(self) -> Said {
        self.features.into_iter().chain(self.forbidden).chain(self.model).collect()
    }
}

/// `had`: what the guest may have at most, if that is less than its definition says.
pub(super) fn judge(definition: &CpuDefinition, target: &HostFacts<'_>, had: Option<&FeatureSet>) -> Known {
    let Some(guest) = target.guest_cpu() else {
        let features = target.silent("cpu.guest", "what CPU guests can have");
        return Known { features, ..Known::default() };
    };
    let mut known = match &guest.features {
        Some(given) => listed(definition, given, target, had),
        None => Known {
            features: target.silent("cpu.guest.features", "the features guests can have"),
            ..Known::default()
        },
    };
    if let Some(name) = definition.model.as_deref() {
        known.model = model(name, definition, guest, target, had);
        let is_listed = || guest.models.iter().any(|model| is_called(model, name));
        known.has_strange_name |= !guest.models.is_empty() && !is_listed();
    }
    known
}

/// Whether a definition requires or forces a feature.
pub(super) fn asks_for(definition: &CpuDefinition, name: &str) -> bool {
    with_policy(definition, |policy| matches!(policy, "require" | "force")).contains(name)
}

fn is_called(model: &GuestCpuModel, name: &str) -> bool {
    model.name == name || model.canonical.as_deref() == Some(name)
}

fn listed(
    definition: &CpuDefinition,
    given: &FeatureSet,
    target: &HostFacts<'_>,
    had: Option<&FeatureSet>,
) -> Known {
    let has_tsc = target.cpu().and_then(|cpu| cpu.cpuid_features.as_ref());
    let is_given = |name: &str| {
        // Whoever starts here can have it if the CPU has.
        given.contains(name) || name == INVARIANT_TSC && has_tsc.is_none_or(|has| has.contains(name))
    };
    let (required, forced) = (
        with_policy(definition, |policy| policy == "require"),
        with_policy(definition, |policy| policy == "force"),
    );
    let lacking = |asked| -> Vec<&str> {
        let asked: &FeatureSet = asked;
        let missing = asked.names().into_iter().filter(|name| !is_given(name));
        missing.filter(|name| had.is_none_or(|had| had.contains(name))).collect()
    };
    let mut said = Said::new();
    let required = lacking(&required);
    if !required.is_empty() {
        said.extend(no(format!("the host cannot give {}", named(&required))));
    }
    let forced = lacking(&forced);
    let is_strange = |name: &&str| lookup(name, Spelling::Libvirt).feature().is_none();
    let has_strange_name = required.iter().chain(&forced).any(is_strange);
    if !forced.is_empty() {
        let forced = named(&forced);
        said.extend(if definition.check.as_deref() == Some("full") {
            no(format!("it insists on {forced}, which the host cannot give"))
        } else {
            unknown(format!("it forces {forced}: libvirt starts it there without them"))
        });
    }
    let forbidden = with_policy(definition, |policy| policy == "forbid").intersection(given);
    let forbidden = if forbidden.is_empty() {
        Said::new()
    } else {
        no(format!("it must not run where there is {}", named(&forbidden.names())))
    };
    if definition.r#match.as_deref() == Some("strict") {
        said.extend(unknown("match='strict': whether the host has nothing more, only its libvirt can tell"));
    }
    Known { features: said, forbidden, has_strange_name, ..Known::default() }
}

fn model(
    name: &str,
    definition: &CpuDefinition,
    guest: &GuestCpu,
    target: &HostFacts<'_>,
    had: Option<&FeatureSet>,
) -> Said {
    let given_up =
        with_policy(definition, |policy| matches!(policy, "disable" | "forbid" | "optional" | "force"));
    let rest = |lacking: Vec<&str>| -> Said {
        let had = |name: &&str| had.is_none_or(|had| had.contains(name));
        let rest: Vec<_> = lacking.into_iter().filter(|name| !given_up.contains(name)).filter(had).collect();
        if rest.is_empty() {
            return Said::new();
        }
        no(format!("its model {name} has {}, which the host cannot give", named(&rest)))
    };
    let entry = guest.models.iter().find(|model| is_called(model, name));
    if guest.usable_models.iter().any(|usable| usable == name)
        || entry.is_some_and(|entry| entry.usable == Some(true))
    {
        return Said::new();
    }
    let blockers = entry.and_then(|entry| entry.blockers.as_ref()).filter(|blockers| !blockers.is_empty());
    if let Some(blockers) = blockers {
        return rest(blockers.names());
    }
    // The host's own model: what it lacks of it, host-model disables.
    let own = guest.host_model.as_ref().filter(|own| own.model.as_deref() == Some(name));
    if let Some(own) = own {
        return rest(with_policy(own, |policy| policy == "disable").names());
    }
    match entry {
        Some(GuestCpuModel { usable: Some(false), .. }) if given_up.is_empty() && had.is_none() => {
            no(format!("libvirt there says that its model {name} is not usable, and not why"))
        }
        Some(_) => unknown(format!("what the host lacks of its model {name} is not known")),
        None if guest.models.is_empty() => {
            target.silent("cpu.guest.models", &format!("whether it can run the model {name}"))
        }
        None => no(format!("libvirt there knows no model {name}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vmuster_proto::model::{CpuFeature, VerdictKind};

    use super::*;
    use crate::migration::testing::{facts, features, set};

    fn definition(model: &str, listed: &[(&str, &str)]) -> CpuDefinition {
        CpuDefinition {
            model: Some(model.to_owned()),
            features: features(listed),
            ..CpuDefinition::default()
        }
    }

    fn judged(definition: &CpuDefinition) -> Vec<String> {
        let facts = facts();
        let said = judge(definition, &facts.target.facts(), None).all();
        said.into_iter().map(|(verdict, detail)| format!("{verdict}: {detail}")).collect()
    }

    fn worst(known: &Known) -> VerdictKind {
        let said = known.features.iter().chain(&known.forbidden).chain(&known.model);
        said.map(|(verdict, _)| *verdict).max().unwrap_or(VerdictKind::Yes)
    }

    #[test]
    fn features_by_policy() {
        let one = |policy: &str, name: &str| judged(&definition("Rome", &[(policy, name)])).pop();
        let lacks = |text: &str| Some(text.to_owned());
        assert_eq!(one("require", "aes"), None);
        assert_eq!(one("require", "avx512f"), lacks("no: the host cannot give avx512f"));
        for policy in ["optional", "disable"] {
            assert_eq!(one(policy, "avx512f"), None, "{policy}");
        }
        assert_eq!(
            one("force", "avx512f"),
            lacks("unknown: it forces avx512f: libvirt starts it there without them")
        );
        let full =
            CpuDefinition { check: Some("full".to_owned()), ..definition("Rome", &[("force", "avx512f")]) };
        assert_eq!(judged(&full), ["no: it insists on avx512f, which the host cannot give"]);
        assert_eq!(one("forbid", "aes"), lacks("no: it must not run where there is aes"));
        assert_eq!(one("forbid", "avx512f"), None);
        assert_eq!(one("require", "invtsc"), None, "whether it may move is another rule's");
        let plain = CpuFeature { name: "avx512f".to_owned(), policy: None };
        let plain = CpuDefinition { features: vec![plain], ..definition("Rome", &[]) };
        assert_eq!(judged(&plain), ["no: the host cannot give avx512f"]);
    }

    #[test]
    fn models() {
        assert_eq!(judged(&definition("Rome", &[])), [""; 0], "usable");
        assert_eq!(
            judged(&definition("Milan", &[])),
            ["no: its model Milan has pcid, pku, which the host cannot give"]
        );
        let without = definition("Milan", &[("disable", "pku"), ("optional", "pcid")]);
        assert_eq!(judged(&without), [""; 0]);
        assert_eq!(
            judged(&definition("Own", &[])),
            ["no: its model Own has svm, which the host cannot give"]
        );
        assert_eq!(judged(&definition("Own", &[("disable", "svm")])), [""; 0]);
        assert_eq!(judged(&definition("Never", &[])), ["no: libvirt there knows no model Never"]);
        assert_eq!(
            judged(&definition("Odd", &[])),
            ["no: libvirt there says that its model Odd is not usable, and not why"]
        );
        assert_eq!(
            judged(&definition("Odd", &[("disable", "x")])),
            ["unknown: what the host lacks of its model Odd is not known"]
        );
    }

    #[test]
    fn a_host_that_does_not_report_features() {
        let mut facts = facts();
        facts.guest_cpu().features = None;
        let known = judge(&definition("Rome", &[]), &facts.target.facts(), None);
        assert_eq!(worst(&known), VerdictKind::Unknown);
        facts.cpu().guest = None;
        let known = judge(&definition("Rome", &[]), &facts.target.facts(), None);
        assert_eq!(worst(&known), VerdictKind::Unknown);
    }

    proptest! {
        /// A host that can do less never runs more, but for what must not be there.
        #[test]
        fn taking_a_feature_away_never_makes_it_run(
            given in prop::collection::btree_set("[a-e]", 0..5),
            taken in "[a-e]",
            asked in prop::collection::btree_map("[a-e]", prop::sample::select(vec!["require", "force", "optional", "disable"]), 0..5),
        ) {
            let asked: Vec<(&str, &str)> = asked.iter().map(|(name, policy)| (*policy, name.as_str())).collect();
            let definition = definition("Rome", &asked);
            let verdict = |given: Vec<&str>| {
                let mut facts = facts();
                facts.guest_cpu().features = Some(set(&given));
                worst(&judge(&definition, &facts.target.facts(), None))
            };
            let less = given.iter().map(String::as_str).filter(|name| *name != taken).collect();
            let all = given.iter().map(String::as_str).collect();
            prop_assert!(verdict(less) >= verdict(all));
        }
    }
}
