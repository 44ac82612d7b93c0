//! Whatever model is chosen, a guest gets exactly what was asked for.

use proptest::{collection, prelude::*};
use vmuster_proto::model::{CpuDefinition, CpuFeature, Domain, FeatureSet, GuestCpu, GuestCpuModel, Verdict};

use super::*;

const MODELS: [&str; 4] = ["Alpha", "Beta", "Gamma", "Delta"];

fn set(names: &[&str]) -> FeatureSet {
    FeatureSet::from_names(names.iter().copied()).expect("valid")
}

fn definition(model: &str, require: &FeatureSet, disable: &FeatureSet) -> CpuDefinition {
    let named = |set: &FeatureSet, policy: &str| -> Vec<CpuFeature> {
        let names = set.names().into_iter();
        names.map(|name| CpuFeature { name: name.to_owned(), policy: Some(policy.to_owned()) }).collect()
    };
    let features = [named(require, "require"), named(disable, "disable")].concat();
    CpuDefinition { model: Some(model.to_owned()), features, ..CpuDefinition::default() }
}

/// What a libvirt whose models are these makes of a definition.
fn expand(cpu: &CpuDefinition, models: &[FeatureSet; 4]) -> FeatureSet {
    let model = MODELS.iter().position(|name| Some(*name) == cpu.model.as_deref()).expect("a model");
    let required = with_policy(cpu, |policy| policy == "require");
    models[model].union(&required).difference(&with_policy(cpu, |policy| policy == "disable"))
}

/// A host that can give these features, as its libvirt would describe it.
fn guest(features: &FeatureSet, model: usize, models: &[FeatureSet; 4]) -> GuestCpu {
    let stands = &models[model];
    let host_model = definition(MODELS[model], &features.difference(stands), &stands.difference(features));
    let named = (0..4).map(|at| GuestCpuModel {
        name: MODELS[at].to_owned(),
        usable: Some(models[at].is_subset(features)),
        blockers: Some(models[at].difference(features)),
        ..GuestCpuModel::default()
    });
    let models: Vec<_> = named.collect();
    let usable = models.iter().filter(|model| model.usable == Some(true));
    GuestCpu {
        features: Some(features.clone()),
        usable_models: usable.map(|model| model.name.clone()).collect(),
        host_model: Some(host_model),
        models,
        ..GuestCpu::default()
    }
}

fn hosts(guests: &[GuestCpu]) -> Vec<GuestHost<'_>> {
    guests.iter().map(|guest| GuestHost { name: "h", guest }).collect()
}

fn common(guests: &[GuestCpu]) -> FeatureSet {
    let mut sets = guests.iter().map(|guest| guest.features.clone().expect("features"));
    let first = sets.next().expect("a host");
    sets.fold(first, |common, set| common.intersection(&set))
}

fn known_of(guests: &[GuestCpu]) -> Known {
    let mut known = Known::default();
    known.add_hosts(&hosts(guests));
    known
}

fn feature_sets() -> impl Strategy<Value = FeatureSet> {
    collection::btree_set("[a-h]", 0..8)
        .prop_map(|names| FeatureSet::from_names(names.iter().map(String::as_str)).expect("valid"))
}

fn models() -> impl Strategy<Value = [FeatureSet; 4]> {
    [feature_sets(), feature_sets(), feature_sets(), feature_sets()]
}

proptest! {
    #[test]
    fn a_guest_gets_exactly_what_all_hosts_can_give(
        models in models(), hosts_ in collection::vec((feature_sets(), 0usize..4), 1..5), chosen in any::<bool>()
    ) {
        let guests: Vec<_> = hosts_.iter().map(|(features, model)| guest(features, *model, &models)).collect();
        let features = common(&guests);
        let chosen = chosen.then(|| MODELS[hosts_[0].1]);
        let composed = compose(&features, Some("V"), &hosts(&guests), &known_of(&guests), chosen);
        if features.is_empty() {
            prop_assert_eq!(composed, Err(Refusal::Empty));
            return Ok(());
        }
        let composed = composed.expect("each host's own model is known");
        prop_assert_eq!(expand(&composed.cpu, &models), features.clone());
        prop_assert!(chosen.is_none_or(|chosen| Some(chosen) == composed.cpu.model.as_deref()));
        for host in hosts(&guests) {
            prop_assert_eq!(runs(&host, &features, &composed.cpu), Verdict::Yes);
        }
    }

    #[test]
    fn it_does_so_whichever_of_two_libvirts_expands_it(
        old in models(), new in models(), hosts_ in collection::vec((feature_sets(), 0usize..4, any::<bool>()), 1..5)
    ) {
        let guests: Vec<_> = hosts_
            .iter()
            .map(|(features, model, is_old)| guest(features, *model, if *is_old { &old } else { &new }))
            .collect();
        let features = common(&guests);
        prop_assume!(!features.is_empty());
        let composed = compose(&features, None, &hosts(&guests), &known_of(&guests), None).expect("a model is known");
        let is_of = |is_old: bool| hosts_.iter().any(|(_, model, old)| {
            *old == is_old && Some(MODELS[*model]) == composed.cpu.model.as_deref()
        });
        if is_of(true) {
            prop_assert_eq!(expand(&composed.cpu, &old), features.clone());
        }
        if is_of(false) {
            prop_assert_eq!(expand(&composed.cpu, &new), features);
        }
    }

    #[test]
    fn the_order_of_hosts_does_not_matter(models in models(), hosts_ in collection::vec((feature_sets(), 0usize..4), 1..5)) {
        let guests: Vec<_> = hosts_.iter().map(|(features, model)| guest(features, *model, &models)).collect();
        let turned: Vec<_> = guests.iter().rev().cloned().collect();
        let cpu = |guests: &[GuestCpu]| {
            compose(&common(guests), None, &hosts(guests), &known_of(guests), None).map(|composed| composed.cpu)
        };
        prop_assert_eq!(cpu(&guests), cpu(&turned));
    }
}

#[test]
fn a_model_all_can_run_is_best() {
    // Beta is nearer to what is common, but no host can run it as it is.
    let models = [set(&["a"]), set(&["a", "b", "c", "x"]), set(&[]), set(&["z"])];
    let guests = [guest(&set(&["a", "b", "c"]), 1, &models), guest(&set(&["a", "b", "c", "d"]), 1, &models)];
    let mut known = known_of(&guests);
    let of_map = |at: usize| Stands {
        source: Source::CpuMap,
        vendor: None,
        surely: models[at].clone(),
        perhaps: FeatureSet::default(),
        place: Some(at),
    };
    for (at, model) in MODELS.iter().enumerate() {
        known.add(model, of_map(at));
    }
    let composed = compose(&common(&guests), None, &hosts(&guests), &known, None).expect("a model");
    assert_eq!((composed.cpu.model.as_deref(), composed.is_usable), (Some("Alpha"), true));
    assert_eq!(composed.source, Source::CpuMap);
    let composed = compose(&common(&guests), None, &hosts(&guests), &known, Some("Beta")).expect("libvirt's");
    assert_eq!((composed.cpu.model.as_deref(), composed.is_usable), (Some("Beta"), false));
    assert_eq!(composed.cpu.features, definition("Beta", &set(&[]), &set(&["x"])).features);
}

#[test]
fn a_hosts_own_model_is_tried_before_others_that_nobody_ran() {
    let models = [set(&["a", "b"]), set(&["a", "b", "c"]), set(&[]), set(&[])];
    let of_map = |at: usize| Stands {
        source: Source::CpuMap,
        vendor: None,
        surely: models[at].clone(),
        perhaps: FeatureSet::default(),
        place: Some(at),
    };
    let mut guest = guest(&set(&["a", "b", "c", "d"]), 0, &models);
    // Nobody says what can be used.
    (guest.models, guest.usable_models) = (Vec::new(), Vec::new());
    let mut known = Known::default();
    known.add("Alpha", of_map(0));
    known.add("Beta", of_map(1));
    let hosts = [GuestHost { name: "h", guest: &guest }];
    known.add_hosts(&hosts);
    let composed = compose(&set(&["a", "b", "c", "d"]), None, &hosts, &known, None).expect("a model");
    assert_eq!(
        composed.cpu.model.as_deref(),
        Some("Alpha"),
        "cpu_map says the same of it, and Beta is nearer"
    );
}

#[test]
fn what_is_no_name_is_written_nowhere() {
    let models = [set(&["a"]), set(&["a"]), set(&["a"]), set(&["a"])];
    let mut guest = guest(&set(&["a"]), 0, &models);
    let named = guest.host_model.as_mut().expect("a host-model");
    named.model = Some("Alpha\nimages_type = raw".to_owned());
    let hosts = [GuestHost { name: "h", guest: &guest }];
    let mut known = Known::default();
    known.add_hosts(&hosts);
    assert_eq!(compose(&set(&["a"]), None, &hosts, &known, None), Err(Refusal::NoModel));
    let refused = compose(&set(&["a;b"]), None, &[], &known_of(&[]), None);
    assert_eq!(refused, Err(Refusal::NoModel));
    let mut known = Known::default();
    let stands = Stands::derived(&definition("Beta", &set(&[]), &set(&[])), &set(&[]), Source::CpuMap);
    known.add("Beta", stands);
    let refused = compose(&set(&["a;b"]), None, &[], &known, None).expect_err("no such feature");
    assert!(matches!(&refused, Refusal::Name(why) if why.contains("a;b")), "{refused}");
}

#[test]
fn models_of_another_vendor_or_unknown_to_a_host_are_none() {
    let models = [set(&["a"]), set(&["a"]), set(&["a"]), set(&["a"])];
    let mut guests = [guest(&set(&["a"]), 0, &models), guest(&set(&["a"]), 0, &models)];
    guests[1].models.retain(|model| model.name != "Alpha");
    let known = known_of(&guests);
    let composed = |known: &Known| compose(&set(&["a"]), Some("AMD"), &hosts(&guests), known, None);
    assert_eq!(composed(&known), Err(Refusal::NoModel));
    let mut known = known;
    let of = |vendor: &str| Stands {
        source: Source::CpuMap,
        vendor: Some(vendor.to_owned()),
        surely: set(&["a"]),
        perhaps: FeatureSet::default(),
        place: None,
    };
    known.add("Beta", of("Intel"));
    assert_eq!(composed(&known), Err(Refusal::NoModel));
    known.add("Gamma", of("AMD"));
    assert_eq!(composed(&known).map(|composed| composed.cpu.model), Ok(Some("Gamma".to_owned())));
    let alpha = definition("Alpha", &set(&[]), &set(&[]));
    let no = |reason: &str| Verdict::No { reasons: vec![reason.to_owned()] };
    assert_eq!(runs(&hosts(&guests)[1], &set(&["a"]), &alpha), no("its hypervisor has no model Alpha"));
    assert_eq!(runs(&hosts(&guests)[0], &set(&["a", "b"]), &alpha), no("it cannot give b"));
}

#[test]
fn other_architectures_are_refused() {
    assert_eq!((refusal_of_arch("x86_64"), refusal_of_arch("i686")), (None, None));
    assert!(refusal_of_arch("aarch64").expect("refused").to_string().contains("host-passthrough"));
    assert!(refusal_of_arch("s390x").expect("refused").to_string().contains("virsh hypervisor-cpu-baseline"));
}

#[test]
fn guests_keep_what_they_were_started_with() {
    let running = |name: &str, cpu: Option<CpuDefinition>| Domain {
        uuid: name.to_owned(),
        name: name.to_owned(),
        state: Some("running".to_owned()),
        cpu,
        ..Domain::default()
    };
    let mut known = Known::default();
    let stands = Stands {
        source: Source::CpuMap,
        vendor: None,
        surely: set(&["a", "b"]),
        perhaps: FeatureSet::default(),
        place: None,
    };
    known.add("Alpha", stands);
    let mode = |mode: &str| CpuDefinition { mode: Some(mode.to_owned()), ..CpuDefinition::default() };
    let mut domains = vec![
        running("within", Some(definition("Alpha", &set(&[]), &set(&["b"])))),
        running("by-model", Some(definition("Alpha", &set(&[]), &set(&[])))),
        running("by-name", Some(definition("Alpha", &set(&["c"]), &set(&["b"])))),
        running("passed-through", Some(mode("host-passthrough"))),
        running("unknown", Some(definition("Omega", &set(&["a"]), &set(&[])))),
        running("default", None),
        running("off", Some(mode("host-passthrough"))),
        running("topology-only", Some(CpuDefinition::default())),
        running("emulated", Some(mode("maximum"))),
    ];
    domains[7].virt_type = Some("kvm".to_owned());
    domains[8].virt_type = Some("qemu".to_owned());
    domains[6].state = Some("shut_off".to_owned());
    let can_give = |names: &[&str]| GuestCpu {
        features: Some(set(names)),
        virt_type: Some("kvm".to_owned()),
        ..GuestCpu::default()
    };
    let guest = can_give(&["a", "b", "c"]);
    let found = exceeding(&GuestHost { name: "h", guest: &guest }, &domains, &set(&["a"]), &known);
    let told: Vec<_> = found
        .iter()
        .map(|one| (one.name.as_str(), one.features.names().join(" "), one.detail.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("by-model", "b".to_owned(), ""),
            ("by-name", "c".to_owned(), ""),
            (
                "default",
                String::new(),
                "its definition names no CPU: it has QEMU's default one, whose features are not known"
            ),
            ("passed-through", String::new(), "it has its host's own CPU"),
            (
                "topology-only",
                String::new(),
                "its definition names no CPU: it has QEMU's default one, whose features are not known"
            ),
            ("unknown", String::new(), "what its model Omega stands for is not known here"),
        ]
    );
    // What the host lacks QEMU leaves out, unless libvirt was to check.
    let guest = can_give(&["a"]);
    let mut by_model = vec![domains.swap_remove(1)];
    let found = |domains: &[Domain]| {
        exceeding(&GuestHost { name: "h", guest: &guest }, domains, &set(&["a"]), &known).len()
    };
    assert_eq!(found(&by_model), 0);
    by_model[0].cpu.as_mut().expect("a CPU").check = Some("full".to_owned());
    assert_eq!(found(&by_model), 1);
}

#[test]
fn every_form_says_the_same() {
    let mut cpu = definition("EPYC", &set(&["tsc_adjust", "lahf_lm", "sse4.1"]), &set(&["topoext"]));
    cpu.vendor = Some("AMD".to_owned());
    let (told, notes) = forms(&cpu);
    assert_eq!(told.qemu_cpu, "EPYC,lahf-lm=on,sse4.1=on,tsc-adjust=on,topoext=off,enforce=on");
    assert_eq!(
        told.proxmox_conf.as_deref(),
        Some("cpu-model: vmuster\n\tflags +lahf-lm;+sse4.1;+tsc-adjust;-topoext\n\treported-model EPYC\n")
    );
    assert_eq!(
        told.nova_conf,
        "[libvirt]\ncpu_mode = custom\ncpu_models = EPYC\ncpu_model_extra_flags = +lahf_lm, +sse4.1, +tsc_adjust, -topoext\n"
    );
    assert_eq!((told.incus_conf, notes.len()), (None, 1), "{notes:?}");
    cpu.features.retain(|feature| feature.policy.as_deref() == Some("require"));
    let incus = forms(&cpu).0.incus_conf;
    assert_eq!(
        incus.as_deref(),
        Some(
            "instances.vm.cpu.x86_64.baseline: EPYC\ninstances.vm.cpu.x86_64.flags: lahf-lm,sse4.1,tsc-adjust\n"
        )
    );
}
