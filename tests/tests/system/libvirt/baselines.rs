//! Baselines as their consumers take them: libvirt starts guests of them, QEMU runs them under `enforce`.

use std::{fs, process::Command, time::Duration};

use serde_json::{Value, json};
use tempfile::tempdir;
use vmuster_tests::{
    private_libvirt::PrivateLibvirt,
    programs::{Ended, Signal, run, vmuster},
    waiting::until_within,
};

use super::{Host, kept};

/// QEMU is asked three times, and the machine may be busy with other tests.
const PROBING_MAX: Duration = Duration::from_secs(180);

/// Features that every libvirt and QEMU knows, and no host has all of: Intel's and AMD's, old and new.
const RARE: [&str; 4] = ["sse4a", "avx512f", "xop", "avx512-fp16"];

/// A host whose libvirt has told what guests can have; None where there can be none.
async fn probed(libvirt: Option<PrivateLibvirt>) -> Option<Host> {
    let mut host = Host::on(libvirt?, "2min", None).await;
    until_within(PROBING_MAX, "the guest layer is there", async || {
        let (inventory, _) = host.inventory().await;
        let guest = inventory.cpu.and_then(|cpu| cpu.guest.clone());
        guest.is_some_and(|guest| guest.features.is_some())
    })
    .await;
    Some(host)
}

fn asked(host: &Host, words: &[&str]) -> Ended {
    let home = tempdir().expect("a home");
    vmuster(home.path(), &[&["--agents", &host.daemon.address, "baseline"], words].concat())
}

fn baseline(host: &Host) -> Value {
    let answered = asked(host, &["-o", "json"]);
    assert_eq!(answered.code, 0, "{}", answered.stderr);
    let document: Value = serde_json::from_str(&answered.stdout).expect("JSON");
    assert_eq!((&document["schema"], &document["complete"]), (&json!("vmuster.baseline.v1"), &json!(true)));
    document["baselines"][0].clone()
}

fn guest_with(cpu: &str, kind: &str, name: &str) -> String {
    super::guest(name, kind, 64, 1, "").replace("<devices>", &format!("{cpu}<devices>"))
}

/// Whether libvirt starts it, and what it says.
fn start(host: &Host, name: &str, xml: &str) -> Result<(), String> {
    let file = host.libvirt.path(&format!("{name}.xml"));
    fs::write(&file, xml).expect("a file");
    let ended = host.libvirt.virsh(&["create", &file.display().to_string()]);
    if ended.code == 0 { Ok(()) } else { Err(ended.stderr) }
}

/// The same definition, asking for one more feature.
fn with_more(xml: &str, feature: &str) -> String {
    xml.replace("</cpu>", &format!("<feature policy='require' name='{feature}'/></cpu>"))
}

/// A feature that a guest of this baseline does not have.
fn lacking(one: &Value) -> &'static str {
    let features = one["features"].as_array().expect("features");
    RARE.into_iter().find(|name| !features.contains(&json!(name))).expect("nobody has all")
}

async fn starts_and_refuses(host: &mut Host, kind: &str) {
    let one = baseline(host);
    let source = one["model_source"].as_str().expect("a source");
    assert!(source.starts_with("libvirt 9."), "{source}");
    let (inventory, _) = host.inventory().await;
    let guest = inventory.cpu.and_then(|cpu| cpu.guest.clone()).expect("a guest layer");
    assert_eq!(one["features"], json!(guest.features), "the only host's are all in common");
    let verdict = json!({ "host": host.daemon.address, "source": "libvirt", "verdict": "yes" });
    assert_eq!(one["verdicts"], json!([verdict]));
    let xml = asked(host, &["-o", "xml"]).stdout;
    assert_eq!(json!(xml), one["forms"]["libvirt_xml"]);
    start(host, "as-printed", &guest_with(&xml, kind, "as-printed")).expect("libvirt starts it");
    let live = host.libvirt.printed("dumpxml as-printed");
    assert!(live.contains("check='full'"), "{live}");
    host.libvirt.printed("destroy as-printed");
    let lacking = lacking(&one);
    let refused = start(host, "more", &guest_with(&with_more(&xml, lacking), kind, "more"));
    let refused = refused.expect_err("it needs more than there is");
    assert!(refused.contains(lacking), "{refused}");
}

#[tokio::test]
async fn libvirt_starts_a_kvm_guest_of_it_and_none_with_more() {
    let Some(mut host) = probed(PrivateLibvirt::start(kept()).await).await else { return };
    starts_and_refuses(&mut host, "kvm").await;
}

#[tokio::test]
async fn libvirt_and_qemu_start_an_emulated_guest_of_it_and_none_with_more() {
    let Some(mut host) = probed(PrivateLibvirt::start_without_kvm(kept()).await).await else { return };
    starts_and_refuses(&mut host, "qemu").await;
    let cpu = asked(&host, &["-o", "qemu"]).stdout;
    let qemu = |cpu: &str| {
        let mut command = Command::new("qemu-system-x86_64");
        command.args([
            "-accel",
            "tcg",
            "-machine",
            "q35",
            "-m",
            "64",
            "-display",
            "none",
            "-nodefaults",
            "-S",
        ]);
        // Its monitor ends with its input, and so does QEMU once it is told to quit.
        command.args(["-monitor", "stdio", "-cpu", cpu]).stdin(quit());
        run(&mut command)
    };
    let started = qemu(cpu.trim());
    assert_eq!((started.code, started.stderr.as_str()), (0, ""), "{cpu}");
    let lacking = lacking(&baseline(&host));
    let refused = qemu(&format!("{},{lacking}=on", cpu.trim()));
    assert!(refused.code != 0 && refused.stderr.contains(lacking), "{}", refused.stderr);
}

fn quit() -> fs::File {
    let directory = tempdir().expect("a directory");
    let file = directory.path().join("quit");
    fs::write(&file, "quit\n").expect("a file");
    fs::File::open(file).expect("it was just made")
}

/// The oldest libvirt is asked first, and of two like ones that of the first name; if it hangs, the other's turn comes.
#[tokio::test]
async fn a_libvirt_that_hangs_costs_its_own_verdict_only() {
    let Some(mut hung) = probed(PrivateLibvirt::start(kept()).await).await else { return };
    let Some(other) = probed(PrivateLibvirt::start(kept()).await).await else { return };
    let both = format!("{},{}", hung.daemon.address, other.daemon.address);
    let home = tempdir().expect("a home");
    let ask = |words: &[&str]| {
        vmuster(home.path(), &[&["--agents", &both, "baseline", "-o", "json"], words].concat())
    };
    assert_eq!(ask(&[]).code, 0, "both are known now");
    hung.libvirt.signal(Signal::STOP);
    let answered = ask(&[]);
    hung.libvirt.signal(Signal::CONT);
    assert_eq!(answered.code, 3, "{}", answered.stderr);
    let document: Value = serde_json::from_str(&answered.stdout).expect("JSON");
    let one = &document["baselines"][0];
    let source = one["model_source"].as_str().expect("a source");
    assert!(source.starts_with("libvirt 9.") && source.ends_with(&other.daemon.address), "{source}");
    let verdicts = one["verdicts"].as_array().expect("verdicts").iter();
    let told: Vec<_> = verdicts.filter(|of| of["verdict"] == "yes").map(|of| &of["host"]).collect();
    assert_eq!(told, [&json!(other.daemon.address)], "{one}");
    assert!(answered.stderr.contains("gives no verdict"), "{}", answered.stderr);
    // What guests it had is told as old.
    assert_eq!(one["unseen_domains"][0]["name"], json!(hung.daemon.address), "{one}");
}

#[tokio::test]
async fn guests_that_keep_more_are_named() {
    let Some(host) = probed(PrivateLibvirt::start_without_kvm(kept()).await).await else { return };
    let maximum = "<cpu mode='maximum' check='none'/>";
    host.libvirt.domain("create", "greedy", &guest_with(maximum, "qemu", "greedy"));
    host.libvirt.domain("define", "asleep", &guest_with(maximum, "qemu", "asleep"));
    let one = baseline(&host);
    let named: Vec<_> =
        one["exceeding_domains"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(named, ["greedy"], "{one}");
    let table = asked(&host, &[]).stdout;
    assert!(table.contains("greedy  running  it has its host's own CPU"), "{table}");
}
