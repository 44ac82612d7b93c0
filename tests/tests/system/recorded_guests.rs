//! What a real libvirt said of real guests, recorded with KVM and without: what becomes of it, whole.

use std::{fs, process::Command};

use serde_json::{Value, json};
use vmuster_tests::{
    fixtures::workspace,
    programs::{program, run},
};

fn snapshot(name: &str) -> Value {
    let directory = workspace().join("tests/fixtures/guests").join(name);
    let collected =
        run(Command::new(program("vmuster-agent")).args(["collect", "--recorded"]).arg(&directory));
    assert_eq!(collected.code, 0, "{}", collected.stderr);
    serde_json::from_str(&collected.stdout).expect("a snapshot")
}

/// Names in libvirt's own expansion, by a way of its own.
fn expanded(name: &str) -> Vec<String> {
    let file = workspace().join("tests/fixtures/guests").join(name).join("libvirt/host-model-expanded.xml");
    let text = fs::read_to_string(file).expect("it is recorded");
    let required = text.lines().filter(|line| line.contains("policy='require'"));
    let mut names: Vec<String> = required
        .map(|line| {
            line.split("name='").nth(1).and_then(|rest| rest.split('\'').next()).expect("a name").to_owned()
        })
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn with_kvm_and_without() {
    for (name, virt_type, model, usable) in [("kvm", "kvm", "kvm64", 4), ("tcg", "qemu", "EPYC", 18)] {
        let snapshot = snapshot(name);
        let guest = &snapshot["inventory"]["cpu"]["guest"];
        assert_eq!((&guest["virt_type"], &guest["model"]), (&json!(virt_type), &json!(model)));
        assert_eq!(guest["features"], json!(expanded(name)));
        assert_eq!(guest["usable_models"].as_array().map(Vec::len), Some(usable));
        assert_eq!(guest["unrecognized_features"], json!([]), "libvirt 9.0 has no name we do not know");
        let hypervisor = &snapshot["inventory"]["hypervisor"];
        assert_eq!(
            (&hypervisor["libvirt_version"], &hypervisor["driver"]),
            (&json!("9.0.0"), &json!("QEMU"))
        );
        assert_eq!(hypervisor["machine_aliases"]["q35"], "pc-q35-7.2");
        assert_eq!(hypervisor["machine_max_vcpus"]["pc-q35-7.2"], 288);
        let issues = snapshot["issues"].as_array().expect("issues").iter();
        let about: Vec<_> =
            issues.filter(|issue| issue["source"].as_str().is_some_and(|s| s.contains("libvirt"))).collect();
        assert_eq!(about.len(), usize::from(name == "tcg"), "{about:?}");
        assert!(
            about.iter().all(|issue| issue["detail"].as_str().is_some_and(|text| text.contains("no KVM")))
        );
    }
}

#[test]
fn guests_in_every_state_and_their_promises() {
    for (name, virt_type) in [("kvm", "kvm"), ("tcg", "qemu")] {
        let usage = &snapshot(name)["usage"];
        let mut told: Vec<Value> = usage["domains"]
            .as_array()
            .expect("domains")
            .iter()
            .map(|domain| {
                assert_eq!(domain["virt_type"], virt_type);
                let (mib, gib) = (1u64 << 20, 1u64 << 30);
                let memory = domain["memory_max_bytes"].as_u64().expect("memory") / mib;
                let disk = domain["disk_virtual_bytes"].as_u64().expect("a size") / gib;
                json!([domain["state"], domain["persistent"], domain["vcpus_max"], memory, disk])
            })
            .collect();
        told.sort_by_key(ToString::to_string);
        let expected = [
            json!(["paused", false, 1, 64, 0]),
            json!(["running", true, 2, 128, 20]),
            json!(["shut_off", true, 4, 256, 2]),
        ];
        assert_eq!(told, expected, "{name}");
        let promised = json!({"domain_count": 3, "vcpus": 7, "memory_bytes": 448u64 << 20, "disk_virtual_bytes": 22u64 << 30});
        assert_eq!(usage["promised"], promised, "{name}");
        let tuned =
            usage["domains"].as_array().expect("domains").iter().find(|domain| domain["vcpus_max"] == 4);
        let tuned = tuned.expect("the pinned guest");
        assert_eq!(tuned["hugepages"], json!([{"size_bytes": 2 << 20}]));
        assert_eq!((&tuned["vcpu_pins"], &tuned["emulator_cpus"]), (&json!({"0": "0"}), &json!("0-1")));
        assert_eq!(tuned["numa"]["cells"][1]["memory_bytes"], 128 << 20);
        let states: Vec<_> =
            usage["pools"].as_array().expect("pools").iter().map(|pool| &pool["state"]).collect();
        assert_eq!(states.len(), 2);
        assert!(states.contains(&&json!("inactive")) && states.contains(&&json!("running")), "{states:?}");
        let shared = usage["pools"].as_array().expect("pools").iter().find(|pool| pool["type"] == "netfs");
        let identity = shared.expect("a shared pool")["identity"].as_str().expect("its identity");
        assert!(identity.starts_with("nfs://"), "{identity}");
        assert_eq!(usage["images"].as_array().map(Vec::len), Some(2));
    }
}
