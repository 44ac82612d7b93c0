//! What guests can be given, against virsh on the same daemon; and what must not reach it.

use std::{collections::BTreeSet, fs, time::Duration};

use tonic::Code;
use vmuster_proto::libvirt::{cpu, domain_capabilities, render};
use vmuster_proto::{
    model::{CpuDefinition, FeatureSet, IssueKind},
    pb::{AgentServiceComputeCpuBaselineRequest, CompareCpuRequest, CpuComparison},
};
use vmuster_tests::{private_libvirt::PrivateLibvirt, waiting::until_within};

use super::{Host, about_guests, kept};

/// QEMU is asked three times, and the machine may be busy with other tests.
const PROBING_MAX: Duration = Duration::from_secs(180);

/// Names of what a definition gives.
fn given(definition: &CpuDefinition) -> BTreeSet<&str> {
    let given = |policy: Option<&str>| matches!(policy, None | Some("require"));
    let features = definition.features.iter().filter(|feature| given(feature.policy.as_deref()));
    features.map(|feature| feature.name.as_str()).collect()
}

fn virsh_cpu(host: &Host, name: &str, arguments: &str, xml: &str) -> (i32, String) {
    let file = host.libvirt.path(name);
    fs::write(&file, xml).expect("a file");
    let words: Vec<&str> = arguments.split(' ').collect();
    let ended = host.libvirt.virsh(&[&words[..], &[&file.display().to_string()]].concat());
    (ended.code, ended.stdout + &ended.stderr)
}

/// Definitions that this host can run and some that it cannot.
fn definitions(host_model: &CpuDefinition) -> Vec<String> {
    let custom = |model: &str, features: &str| {
        format!("<cpu mode='custom' match='exact'><model fallback='forbid'>{model}</model>{features}</cpu>")
    };
    let as_guest = CpuDefinition {
        mode: Some("custom".to_owned()),
        r#match: Some("exact".to_owned()),
        physical_address_bits: None,
        physical_address_mode: None,
        ..host_model.clone()
    };
    vec![
        render::cpu(&as_guest),
        custom("qemu64", ""),
        custom("486", ""),
        custom("Skylake-Server", ""),
        custom("486", "<feature policy='require' name='avx512f'/>"),
        custom("qemu64", "<feature policy='disable' name='svm'/>"),
        "<cpu><arch>x86_64</arch><model>qemu64</model></cpu>".to_owned(),
    ]
}

#[tokio::test]
async fn the_guest_layer_and_verdicts_are_virshs() {
    let Some(mut host) = Host::start().await else { return };
    let capabilities =
        domain_capabilities::parse(&host.libvirt.printed("domcapabilities")).expect("capabilities");
    let host_model = capabilities.host_model.expect("host-model");
    let expanded = host.libvirt.path("host-model.xml");
    fs::write(&expanded, host.libvirt.printed("domcapabilities")).expect("a file");
    let line = format!("hypervisor-cpu-baseline --features --migratable {}", expanded.display());
    let expanded = cpu::answer(&host.libvirt.printed(&line)).expect("a CPU");
    let (inventory, issues) = host.inventory().await;
    assert_eq!(super::about_guests(&issues).len(), 0, "{issues:?}");
    let guest = inventory.cpu.and_then(|cpu| cpu.guest.clone()).expect("a guest layer");
    let features = guest.features.as_ref().map(FeatureSet::names).expect("features");
    assert_eq!(BTreeSet::from_iter(features), given(&expanded));
    assert_eq!((&guest.model, guest.virt_type.as_deref()), (&host_model.model, Some("kvm")));
    let usable = |usable: Option<bool>| usable == Some(true);
    let models = capabilities.models.expect("models");
    let usable: Vec<_> =
        models.iter().filter(|model| usable(model.usable)).map(|model| &model.name).collect();
    assert_eq!(Vec::from_iter(&guest.usable_models), usable);
    let hypervisor = inventory.hypervisor.expect("a hypervisor");
    let versions = host.libvirt.printed("version --daemon");
    for version in [&hypervisor.libvirt_version, &hypervisor.qemu_version] {
        let version = version.as_deref().expect("a version");
        assert!(versions.contains(version), "{version}: {versions}");
    }
    assert!(hypervisor.machine_types.iter().any(|name| name.starts_with("pc-q35-")));
    for (xml, place) in definitions(&host_model).iter().zip(0..) {
        same_verdict(&mut host, xml, place).await;
    }
}

async fn same_verdict(host: &mut Host, xml: &str, place: usize) {
    let (_, theirs) = virsh_cpu(host, &format!("{place}.xml"), "hypervisor-cpu-compare", xml);
    let request = CompareCpuRequest { cpu_xml: xml.to_owned() };
    let ours = host.agent.compare_cpu(request).await;
    let expected = if theirs.contains("is incompatible with") {
        CpuComparison::Incompatible
    } else if theirs.contains("is identical to") {
        CpuComparison::Identical
    } else if theirs.contains("is a superset of") {
        CpuComparison::Superset
    } else {
        assert_eq!(ours.expect_err("virsh fails too").code(), Code::FailedPrecondition, "{xml}: {theirs}");
        return;
    };
    let ours = ours.unwrap_or_else(|error| panic!("{xml}: virsh says {theirs}, we {error:?}")).into_inner();
    assert_eq!(ours.comparison(), expected, "{xml}: {theirs}");
    assert_eq!(ours.detail.is_empty(), expected != CpuComparison::Incompatible, "{}", ours.detail);
}

#[tokio::test]
async fn our_baseline_is_virshs() {
    let Some(mut host) = Host::start().await else { return };
    let capabilities =
        domain_capabilities::parse(&host.libvirt.printed("domcapabilities")).expect("capabilities");
    let all = definitions(&capabilities.host_model.expect("host-model"));
    let sets: [&[usize]; 6] = [&[0], &[1], &[0, 1], &[1, 2], &[0, 1, 2, 3, 4], &[0, 6]];
    for (place, set) in sets.into_iter().enumerate() {
        let cpus: Vec<String> = set.iter().map(|index| all[*index].clone()).collect();
        for expand_features in [false, true] {
            let options = if expand_features { "--features --migratable" } else { "--migratable" };
            let name = format!("set-{place}-{expand_features}.xml");
            let arguments = format!("hypervisor-cpu-baseline {options}");
            let (code, theirs) = virsh_cpu(&host, &name, &arguments, &cpus.concat());
            let request = AgentServiceComputeCpuBaselineRequest { cpu_xml: cpus.clone(), expand_features };
            match host.agent.compute_cpu_baseline(request).await {
                Ok(ours) => {
                    let ours = cpu::answer(&ours.into_inner().cpu_xml).expect("a CPU");
                    assert_eq!(code, 0, "virsh fails: {theirs}");
                    assert_eq!(ours, cpu::answer(theirs.trim()).expect("a CPU"), "{cpus:?}");
                }
                Err(error) => {
                    assert_eq!((error.code(), code), (Code::FailedPrecondition, 1), "{error:?} {theirs}");
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_of_a_callers_text_reaches_libvirt() {
    let Some(mut host) = Host::start().await else { return };
    let bomb =
        "<!DOCTYPE cpu [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><cpu><model>&b;</model></cpu>";
    let deep = "<cpu>".to_owned() + &"<a>".repeat(9000) + &"</a>".repeat(9000) + "</cpu>";
    let huge = format!("<cpu><model>{}</model></cpu>", "a".repeat(100_000));
    let emulator = "<cpu><model>486</model><emulator>/bin/sh</emulator></cpu>";
    let broken = "<cpu><model>486</cpu>";
    for hostile in [bomb, &deep, &huge, emulator, broken, "", "<cpu><model>a b</model></cpu>"] {
        let shown: String = hostile.chars().take(60).collect();
        let compared = host.agent.compare_cpu(CompareCpuRequest { cpu_xml: hostile.to_owned() }).await;
        let error = compared.expect_err(&shown);
        assert_eq!(error.code(), Code::InvalidArgument, "{shown}: {error:?}");
        assert!(error.message().len() < 500, "{shown}: {} bytes", error.message().len());
        let request = AgentServiceComputeCpuBaselineRequest {
            cpu_xml: vec!["<cpu><model>486</model></cpu>".to_owned(), hostile.to_owned()],
            expand_features: true,
        };
        let error = host.agent.compute_cpu_baseline(request).await.expect_err(&shown);
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("cpu_xml[1]"), "{shown}: {}", error.message());
    }
    let none = AgentServiceComputeCpuBaselineRequest::default();
    assert_eq!(host.agent.compute_cpu_baseline(none).await.expect_err("none").code(), Code::InvalidArgument);
    let log = fs::read_to_string(host.libvirt.path("log/libvirtd.log")).unwrap_or_default();
    assert!(!log.contains("aaaaaaaa") && !log.contains("/bin/sh"), "{log}");
}

/// A libvirt that asks QEMU anew each time takes longer than an inventory waits: the reader keeps what it found for who
/// asks again.
#[tokio::test]
async fn a_host_without_kvm_says_so_once_libvirt_knows() {
    let Some(libvirt) = PrivateLibvirt::start_without_kvm(kept()).await else { return };
    let mut host = Host::on(libvirt, "2min", None).await;
    until_within(PROBING_MAX, "the guest layer is there", async || {
        let (inventory, issues) = host.inventory().await;
        let Some(guest) =
            inventory.cpu.and_then(|cpu| cpu.guest.clone()).filter(|guest| guest.features.is_some())
        else {
            assert!(about_guests(&issues).iter().all(|issue| issue.kind == IssueKind::Timeout), "{issues:?}");
            return false;
        };
        assert_eq!(guest.virt_type.as_deref(), Some("qemu"));
        let about = about_guests(&issues);
        assert_eq!((about.len(), about[0].kind), (1, IssueKind::Unsupported), "{about:?}");
        assert!(about[0].detail.contains("no KVM"), "{}", about[0].detail);
        true
    })
    .await;
}
