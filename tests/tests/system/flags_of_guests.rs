//! `vmuster flags` in the guest layer, its default: of what a real libvirt said, recorded with KVM and without.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use vmuster_tests::{
    fixtures::{host, workspace},
    programs::{Ended, program, run, vmuster},
};

struct Snapshots(TempDir);

impl Snapshots {
    /// Of two hosts that recorded libvirt, one that did not, and one of another architecture.
    fn collect() -> Self {
        let snapshots = Self(tempdir().expect("a home"));
        let guests = workspace().join("tests/fixtures/guests");
        for (name, recorded) in [
            ("kvm", guests.join("kvm")),
            ("tcg", guests.join("tcg")),
            ("bare", host("rome-2s")),
            ("arm", host("arm-n1")),
        ] {
            snapshots.save(name, &recorded);
        }
        snapshots
    }

    fn save(&self, name: &str, recorded: &Path) {
        let collected =
            run(Command::new(program("vmuster-agent")).args(["collect", "--recorded"]).arg(recorded));
        assert_eq!(collected.code, 0, "{}", collected.stderr);
        let mut snapshot: Value = serde_json::from_str(&collected.stdout).expect("a snapshot");
        snapshot["name"] = json!(name);
        self.write(name, &snapshot);
    }

    fn read(&self, name: &str) -> Value {
        let text = fs::read_to_string(self.0.path().join(name).with_extension("json")).expect("a snapshot");
        serde_json::from_str(&text).expect("JSON")
    }

    fn write(&self, name: &str, snapshot: &Value) {
        let path = self.0.path().join(name).with_extension("json");
        fs::write(path, snapshot.to_string()).expect("a snapshot");
    }

    /// The same host, but for one fact.
    fn alter(&self, name: &str, from: &str, pointer: &str, fact: Value) {
        let mut snapshot = self.read(from);
        snapshot["name"] = json!(name);
        *snapshot.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is there")) = fact;
        self.write(name, &snapshot);
    }

    fn ask(&self, names: &[&str], question: &str) -> Ended {
        let files =
            names.iter().map(|name| self.0.path().join(name).with_extension("json").display().to_string());
        let mut arguments = vec!["--snapshots".to_owned()];
        arguments.extend(files);
        arguments.extend(question.split(' ').map(str::to_owned));
        vmuster(self.0.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn json(&self, names: &[&str], question: &str, code: i32) -> Value {
        let ended = self.ask(names, &format!("{question} -o json"));
        assert_eq!(ended.code, code, "{question}: {ended:?}");
        serde_json::from_str(&ended.stdout).expect("JSON")
    }
}

/// libvirt's own expansion of what a host can give, by a way of its own.
fn expanded(name: &str) -> BTreeSet<String> {
    let file = workspace().join("tests/fixtures/guests").join(name).join("libvirt/host-model-expanded.xml");
    let text = fs::read_to_string(file).expect("it is recorded");
    let required = text.lines().filter(|line| line.contains("policy='require'"));
    required.map(|line| line.split('\'').nth(3).expect("a name").to_owned()).collect()
}

fn strings(value: &Value) -> BTreeSet<String> {
    value.as_array().expect("a list").iter().map(|text| text.as_str().expect("text").to_owned()).collect()
}

#[test]
fn of_one_vendor() {
    let snapshots = Snapshots::collect();
    // As if what is emulated were of the vendor that is there.
    snapshots.alter("intel", "tcg", "/inventory/cpu/guest/vendor", json!("Intel"));
    let common: BTreeSet<_> = expanded("kvm").intersection(&expanded("tcg")).cloned().collect();
    assert!(!common.is_empty());
    let plain = snapshots.ask(&["kvm", "intel"], "flags -o plain");
    assert_eq!((plain.code, plain.stderr.as_str()), (0, ""));
    assert_eq!(plain.stdout.lines().map(str::to_owned).collect::<BTreeSet<_>>(), common);

    let answer = snapshots.json(&["kvm", "intel"], "flags", 0);
    assert_eq!((&answer["layer"], &answer["complete"]), (&json!("guest"), &json!(true)));
    let group = &answer["groups"][0];
    assert_eq!(strings(&group["features"]), common);
    assert!(group["psabi_level"].as_u64().is_some_and(|level| (1..=2).contains(&level)), "{group}");
    assert!(strings(&group["machine_types"]).contains("pc-q35-7.2"));
    let models = |name: &str| strings(&snapshots.read(name)["inventory"]["cpu"]["guest"]["usable_models"]);
    let both: BTreeSet<_> = models("kvm").intersection(&models("tcg")).cloned().collect();
    assert_eq!(strings(&group["usable_models"]), both);
    // All of it from another libvirt's word for the vendor, too.
    let mut unnamed = snapshots.read("kvm");
    unnamed["inventory"]["cpu"].as_object_mut().expect("a CPU").remove("vendor");
    snapshots.write("kvm", &unnamed);
    assert_eq!(snapshots.json(&["kvm", "intel"], "flags", 0)["groups"], answer["groups"]);
}

#[test]
fn of_two_vendors_there_is_no_common_baseline() {
    let snapshots = Snapshots::collect();
    for form in ["table", "plain", "json", "yaml"] {
        let ended = snapshots.ask(&["kvm", "tcg"], &format!("flags -o {form}"));
        assert_eq!(ended.code, 1, "{form}: {ended:?}");
        assert!(ended.stderr.contains("no common guest baseline"), "{form}: {ended:?}");
        assert!(ended.stderr.contains("AuthenticAMD and GenuineIntel"), "{form}: {ended:?}");
        assert_eq!(ended.stdout.is_empty(), form == "plain", "{form}: {ended:?}");
    }
    let answer = snapshots.json(&["kvm", "tcg"], "flags", 1);
    assert_eq!(answer["groups"].as_array().map(Vec::len), Some(2), "a group each");
    let host_layer = snapshots.json(&["kvm", "tcg"], "flags --layer host", 0);
    assert_eq!(
        host_layer["groups"].as_array().map(Vec::len),
        Some(1),
        "kernels' flags have one across vendors"
    );
    let lacking = snapshots.ask(&["kvm", "tcg"], "flags --why avx2 -o plain");
    assert_eq!((lacking.code, lacking.stdout.as_str()), (0, "kvm\n"), "who lacks it is told across vendors");
    // A vendor that nobody can tell is no vendor to mix with.
    let mut unknown = snapshots.read("kvm");
    unknown["name"] = json!("unknown");
    let cpu = unknown["inventory"]["cpu"].as_object_mut().expect("a CPU");
    cpu.remove("vendor");
    cpu["guest"].as_object_mut().expect("a guest layer").remove("vendor");
    snapshots.write("unknown", &unknown);
    let ended = snapshots.ask(&["kvm", "unknown"], "flags -o plain");
    assert!(ended.code == 3 && ended.stderr.contains("does not report its CPU's vendor"), "{ended:?}");
}

#[test]
fn who_has_no_guest_features_is_missing_with_the_reason() {
    let snapshots = Snapshots::collect();
    let ended = snapshots.ask(&["kvm", "bare"], "flags");
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("bare is missing") && ended.stderr.contains("--layer host"), "{ended:?}");
    let ended = snapshots.ask(&["kvm", "arm"], "flags -o plain");
    assert!(ended.code == 3 && !ended.stdout.is_empty(), "{ended:?}");
    assert!(ended.stderr.contains("libvirt makes no CPU baseline for aarch64"), "{ended:?}");
    let ended = snapshots.ask(&["arm"], "flags");
    assert!(ended.code == 4 && ended.stderr.contains("no CPU baseline for aarch64"), "{ended:?}");
    assert_eq!(snapshots.ask(&["arm"], "flags --layer host").code, 0);
}

#[test]
fn a_feature_is_found_by_any_of_its_names() {
    let snapshots = Snapshots::collect();
    let why = |word: &str| snapshots.json(&["kvm", "tcg"], &format!("flags --why {word}"), 0)["why"].clone();
    // The two differ in some feature that Linux or QEMU spells in its own way.
    for (words, name) in
        [(["sse4.1", "sse4_1", "sse4-1"], "sse4.1"), (["lahf_lm", "lahf_lm", "lahf-lm"], "lahf_lm")]
    {
        let told = words.map(why);
        assert!(told.iter().all(|one| *one == told[0] && one["feature"] == name), "{told:?}");
    }
    let ended = snapshots.ask(&["kvm", "tcg"], "flags --why lahf-lm");
    assert!(ended.stderr.contains("QEMU's lahf-lm is libvirt's lahf_lm"), "{ended:?}");
    let ended = snapshots.ask(&["kvm", "tcg"], "flags --why constant_tsc");
    assert!(ended.code == 2 && ended.stderr.contains("libvirt has no feature constant_tsc"), "{ended:?}");
    assert!(ended.stderr.contains("invtsc"), "{ended:?}");
    let ended = snapshots.ask(&["kvm", "tcg"], "flags --layer host --why spec-ctrl");
    assert!(ended.code == 2 && ended.stderr.contains("/proc/cpuinfo never shows spec-ctrl"), "{ended:?}");
    let ended = snapshots.ask(&["arm"], "flags --layer host --why sm3");
    assert_eq!(ended.code, 0, "another architecture's words are its own: {ended:?}");
}

#[test]
fn two_hosts_are_compared() {
    let snapshots = Snapshots::collect();
    let answer = snapshots.json(&["kvm", "tcg"], "flags diff kvm tcg", 0);
    assert_eq!(answer["schema"], "vmuster.flags_diff.v1");
    for (index, (name, other)) in [("kvm", "tcg"), ("tcg", "kvm")].into_iter().enumerate() {
        let host = &answer["hosts"][index];
        let only: BTreeSet<_> = expanded(name).difference(&expanded(other)).cloned().collect();
        assert_eq!((&host["name"], strings(&host["only_it"])), (&json!(name), only));
    }
    let ended = snapshots.ask(&["kvm", "tcg"], "flags diff kvm tcg --layer host -o plain");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "one machine recorded both: {ended:?}");
    assert_eq!(snapshots.ask(&["kvm", "bare"], "flags diff kvm bare").code, 3);
    assert_eq!(snapshots.ask(&["kvm", "bare"], "flags diff kvm kvm").code, 2);
    assert_eq!(snapshots.ask(&["kvm", "bare"], "flags diff kvm nobody").code, 2);
    assert_eq!(snapshots.ask(&["kvm", "tcg"], "flags --matrix diff kvm tcg").code, 2);
}

#[test]
fn what_if_and_suggestions() {
    let snapshots = Snapshots::collect();
    let features: BTreeSet<_> = expanded("kvm").into_iter().skip(3).collect();
    snapshots.alter("old", "kvm", "/inventory/cpu/guest/features", json!(features));
    let lost: BTreeSet<_> = expanded("kvm").into_iter().take(3).collect();
    snapshots.alter("kvm-2", "kvm", "/inventory/fingerprint", json!("another"));
    let fleet = ["kvm", "kvm-2", "old"];
    let what_if = snapshots.json(&fleet, "flags --what-if old", 0)["groups"][0]["what_if"].clone();
    assert_eq!((strings(&what_if["gained"]), &what_if["host_count"]), (lost.clone(), &json!(2)));
    let suggestions = snapshots.json(&fleet, "flags --suggest", 0)["groups"][0]["suggestions"].clone();
    let [division] = suggestions.as_array().expect("a list").as_slice() else { panic!("{suggestions}") };
    assert_eq!(division["parts"][0]["hosts"], json!(["kvm", "kvm-2"]));
    assert_eq!(strings(&division["parts"][0]["gained"]), lost);
    for (question, code, words) in [
        ("flags --what-if nobody", 2, "no such host: nobody"),
        ("flags --hosts kvm --what-if old", 2, "not in scope: old"),
        ("flags --suggest 9", 2, "9 is not in 2..=8"),
        ("flags --suggest -o plain", 2, "no plain form"),
    ] {
        let ended = snapshots.ask(&fleet, question);
        assert!(ended.code == code && ended.stderr.contains(words), "{question}: {ended:?}");
    }
}
