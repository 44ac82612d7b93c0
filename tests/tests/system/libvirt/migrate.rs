//! Whether a guest can move, against what libvirt does with it.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use vmuster_proto::{
    libvirt::render,
    model::{CpuDefinition, CpuFeature, GuestCpu},
};
use vmuster_tests::{
    private_libvirt::PrivateLibvirt,
    programs::{Ended, Signal, send, vmuster},
    waiting::until_within,
};

use super::{Host, guest, kept};

/// Features that libvirt 9 and later know; no CPU has all of them, and emulation has none of the last.
const RARE: [&str; 4] = ["sse4a", "avx512-4vnniw", "avx512er", "intel-pt"];

/// QEMU is asked three times, and the machine may be busy with other tests.
const PROBING_MAX: Duration = Duration::from_secs(180);

/// What a command may take beyond its --timeout to start, show its answer and end.
const SHOWING_MAX: Duration = Duration::from_secs(3);

/// Two hosts; a guest is on the first, or nowhere.
struct Pair {
    here: Host,
    there: Host,
    home: TempDir,
}

impl Pair {
    async fn start() -> Option<Self> {
        let here = Host::start().await?;
        // libvirt moves no guest to the host it is on, and knows hosts by this.
        let other = ["host_uuid = \"11111111-1111-4111-8111-111111111111\""];
        let there = Host::on(PrivateLibvirt::start_with(kept(), &other).await?, "2min", None).await;
        Some(Self { here, there, home: tempdir().expect("a home") })
    }

    fn vmuster(&self, words: &[&str]) -> Ended {
        let agents = [self.here.daemon.address.clone(), self.there.daemon.address.clone()].join(",");
        vmuster(self.home.path(), &[&["--agents", &agents], words].concat())
    }

    /// The verdict on the second host, whose findings are "rule verdict: detail".
    fn checked(&self, words: &[&str]) -> (i32, String, Vec<String>) {
        let there = self.there.daemon.address.as_str();
        let ended = self.vmuster(&[&["migrate", "check", "-o", "json", "--to", there], words].concat());
        let document: Value = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|error| panic!("{words:?}: {error}: {}{}", ended.stdout, ended.stderr));
        assert_eq!(document["schema"], "vmuster.migration.v1");
        let verdicts = document["verdicts"].as_array().expect("verdicts");
        assert_eq!((verdicts.len(), &verdicts[0]["host"]), (1, &Value::from(there)), "{document}");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let findings = verdicts[0]["findings"].as_array().expect("findings").iter();
        let told = findings.map(|finding| {
            format!("{} {}: {}", text(&finding["rule"]), text(&finding["verdict"]), text(&finding["detail"]))
        });
        (ended.code, text(&verdicts[0]["verdict"]), told.collect())
    }

    /// What libvirt does.
    fn moves(&self, name: &str) -> Ended {
        let to = format!("qemu+unix:///system?socket={}", self.there.libvirt.socket().display());
        self.here.libvirt.virsh(&["migrate", "--live", name, &to, "tcp://127.0.0.1"])
    }

    fn moved(&self, name: &str) -> (i32, String, Vec<String>) {
        self.checked(&["--domain", name, "--from", &self.here.daemon.address])
    }
}

/// A guest of this CPU.
fn with_cpu(name: &str, kind: &str, cpu: &CpuDefinition) -> String {
    guest(name, kind, 64, 1, "").replace("<devices>", &(render::cpu(cpu) + "<devices>"))
}

/// What the host can give under a name, without what it has beyond that: KVM here does not start all it lists.
fn named_model(of: &GuestCpu) -> CpuDefinition {
    let own = of.host_model.clone().expect("host-model");
    let is_disabled = |feature: &CpuFeature| feature.policy.as_deref() == Some("disable");
    let features = own.features.into_iter().filter(is_disabled).collect();
    CpuDefinition { features, vendor: None, check: Some("partial".to_owned()), ..custom(own.model) }
}

/// Exactly what emulation gives, to the last feature.
fn whole_model(of: &GuestCpu) -> CpuDefinition {
    let own = of.host_model.clone().expect("host-model");
    CpuDefinition { features: own.features, check: Some("full".to_owned()), ..custom(own.model) }
}

fn custom(model: Option<String>) -> CpuDefinition {
    let text = |text: &str| Some(text.to_owned());
    CpuDefinition {
        mode: text("custom"),
        r#match: text("exact"),
        fallback: text("forbid"),
        model,
        ..CpuDefinition::default()
    }
}

async fn guest_cpu(host: &mut Host) -> GuestCpu {
    let (inventory, issues) = host.inventory().await;
    inventory.cpu.and_then(|cpu| cpu.guest.clone()).unwrap_or_else(|| panic!("a guest layer: {issues:?}"))
}

fn lacking(of: &GuestCpu) -> &'static str {
    let features = of.features.as_ref().expect("features");
    RARE.into_iter().find(|name| !features.contains(name)).expect("no CPU has all of them")
}

#[tokio::test]
async fn running_guests_may_move_to_a_host_like_their_own() {
    let Some(mut pair) = Pair::start().await else { return };
    let cpu = named_model(&guest_cpu(&mut pair.here).await);
    for (name, kind) in [("kvm-1", "kvm"), ("tcg-1", "qemu")] {
        pair.here.libvirt.domain("create", name, &with_cpu(name, kind, &cpu));
        let (code, verdict, told) = pair.moved(name);
        println!("{name}: {verdict} {told:?}");
        assert_eq!((code, verdict.as_str()), (0, "yes"), "{name}: {told:?}");
        let all_notes = told.iter().all(|finding| finding.contains(" yes: "));
        assert!(all_notes, "{name}: {told:?}");
    }
    let uuid = pair.here.libvirt.printed("domuuid kvm-1");
    assert_eq!(pair.moved(&uuid).0, 0, "by its UUID");
    let own = pair.here.daemon.address.as_str();
    let table = pair.vmuster(&["migrate", "check", "--domain", "kvm-1", "--from", own]);
    assert_eq!(table.code, 0, "{}", table.stderr);
    assert!(!table.stdout.contains(&format!("\n{own} ")), "its own host is left out: {}", table.stdout);
    let plain = pair.vmuster(&["migrate", "check", "--domain", "kvm-1", "--from", own, "-o", "plain"]);
    assert_eq!(plain.stdout, format!("{}\n", pair.there.daemon.address));
    let nobody = pair.vmuster(&["migrate", "check", "--domain", "ghost", "--from", own]);
    assert_eq!((nobody.code, nobody.stdout.as_str()), (2, ""));
    assert!(nobody.stderr.contains("there is no domain 'ghost'"), "{}", nobody.stderr);
    let nowhere = pair.vmuster(&["migrate", "check", "--domain", "kvm-1", "--from", own, "--to", own]);
    assert_eq!(nowhere.code, 2, "{}", nowhere.stderr);
    // What was said to be possible is done.
    for name in ["kvm-1", "tcg-1"] {
        let moved = pair.moves(name);
        assert_eq!(moved.code, 0, "{name}: {}", moved.stderr);
        assert_eq!(pair.there.libvirt.printed(&format!("domstate {name}")), "running");
        let gone = pair.vmuster(&["migrate", "check", "--domain", name, "--from", own]);
        assert_eq!(gone.code, 2, "{name} is no longer here: {}", gone.stdout);
    }
}

/// What it got is QEMU's default, of which the host gave what it could.
#[tokio::test]
async fn a_running_guest_without_a_cpu_of_its_own_may_move() {
    let Some(pair) = Pair::start().await else { return };
    for (name, kind) in [("kvm-1", "kvm"), ("tcg-1", "qemu")] {
        pair.here.libvirt.domain("create", name, &guest(name, kind, 64, 1, ""));
        let (code, verdict, told) = pair.moved(name);
        println!("{name}: {verdict} {told:?}");
        assert_ne!((code, verdict.as_str()), (1, "no"), "{name}: {told:?}");
        let moved = pair.moves(name);
        assert_eq!(moved.code, 0, "{name}: {}", moved.stderr);
    }
}

#[tokio::test]
async fn a_guest_with_memory_of_its_host_stays_where_it_is() {
    let Some(mut pair) = Pair::start().await else { return };
    let cpu = named_model(&guest_cpu(&mut pair.here).await);
    let shared =
        "<devices><shmem name='vmuster-test'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>";
    let xml = with_cpu("kvm-1", "kvm", &cpu).replace("<devices>", shared);
    pair.here.libvirt.domain("create", "kvm-1", &xml);
    let (code, verdict, told) = pair.moved("kvm-1");
    assert_eq!((code, verdict.as_str()), (1, "no"), "{told:?}");
    assert!(
        told.contains(&"devices no: it cannot move while it has shmem ivshmem-plain".to_owned()),
        "{told:?}"
    );
    let refused = pair.moves("kvm-1");
    println!("libvirt says {}", refused.stderr.trim());
    assert_eq!(refused.code, 1, "libvirt moved it: {}", refused.stdout);
}

#[tokio::test]
async fn no_host_has_two_guests_of_one_uuid() {
    let Some(pair) = Pair::start().await else { return };
    pair.here.libvirt.domain("define", "kvm-1", &guest("kvm-1", "kvm", 64, 1, ""));
    let (code, verdict, told) = pair.moved("kvm-1");
    // Which CPU it gets here or there, libvirt does not check.
    assert_eq!((code, verdict.as_str()), (0, "yes"), "{told:?}");
    let xml = pair.here.libvirt.printed("dumpxml --inactive kvm-1");
    pair.there.libvirt.domain("define", "kvm-1", &xml);
    let (code, verdict, told) = pair.moved("kvm-1");
    assert_eq!((code, verdict.as_str()), (1, "no"), "{told:?}");
    assert!(
        told[0].starts_with("name no: a guest of this UUID is there already: 'kvm-1', shut off"),
        "{told:?}"
    );
}

/// Says no and names the feature, as libvirt does.
async fn refused(pair: &mut Pair, kind: &str, cpu: fn(&GuestCpu) -> CpuDefinition) {
    let theirs = guest_cpu(&mut pair.there).await;
    let (mut cpu, feature) = (cpu(&theirs), lacking(&theirs));
    let libvirt = &pair.there.libvirt;
    let file = |name: &str, xml: &str| {
        let file = libvirt.path(&format!("{name}.xml")).display().to_string();
        fs::write(&file, xml).expect("a file");
        file
    };
    let plain = file("plain", &with_cpu("plain", kind, &cpu));
    let (code, verdict, told) = pair.checked(&["--xml", &plain]);
    assert_eq!((code, verdict.as_str()), (0, "yes"), "{kind}: {told:?}");
    let started = libvirt.virsh(&["create", &plain]);
    assert_eq!(started.code, 0, "{kind}: {}", started.stderr);
    cpu.features.retain(|listed| listed.name != feature);
    cpu.features.push(CpuFeature { name: feature.to_owned(), policy: Some("require".to_owned()) });
    let more = file("more", &with_cpu("more", kind, &cpu));
    let (code, verdict, told) = pair.checked(&["--xml", &more]);
    println!("{kind} with {feature}: {verdict} {told:?}");
    assert_eq!((code, verdict.as_str()), (1, "no"), "{kind}: {told:?}");
    let named = format!("cpu no: the host cannot give {feature}");
    assert!(told.contains(&named), "{kind}: {told:?}");
    assert!(told.iter().any(|finding| finding.contains("libvirt there says")), "{kind}: {told:?}");
    let refused = libvirt.virsh(&["create", &more]);
    println!("{kind}: libvirt says {}", refused.stderr.trim());
    assert_eq!(refused.code, 1, "{kind}: libvirt took it: {}", refused.stdout);
    assert!(refused.stderr.contains(feature), "{kind}: {}", refused.stderr);
}

#[tokio::test]
async fn a_kvm_guest_with_a_feature_too_many_is_refused_by_libvirt_too() {
    let Some(mut pair) = Pair::start().await else { return };
    refused(&mut pair, "kvm", named_model).await;
}

#[tokio::test]
async fn an_emulated_guest_with_a_feature_too_many_is_refused_by_libvirt_too() {
    let Some(here) = Host::start().await else { return };
    let Some(libvirt) = PrivateLibvirt::start_without_kvm(kept()).await else { return };
    let there = Host::on(libvirt, "2min", None).await;
    let mut pair = Pair { here, there, home: tempdir().expect("a home") };
    until_within(PROBING_MAX, "the guest layer is there", async || {
        let (inventory, _) = pair.there.inventory().await;
        inventory.cpu.and_then(|cpu| cpu.guest.clone()).and_then(|guest| guest.features).is_some()
    })
    .await;
    refused(&mut pair, "qemu", whole_model).await;
    let kvm = pair.here.libvirt.path("kvm.xml");
    fs::write(&kvm, guest("kvm", "kvm", 64, 1, "")).expect("a file");
    let (code, verdict, told) = pair.checked(&["--xml", &kvm.display().to_string()]);
    assert_eq!((code, verdict.as_str()), (1, "no"), "{told:?}");
    assert!(
        told.contains(&"hypervisor no: the guest's type is 'kvm', and the host offers qemu".to_owned()),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_target_that_hangs_is_unknown_in_time() {
    let Some(mut pair) = Pair::start().await else { return };
    let cpu = named_model(&guest_cpu(&mut pair.here).await);
    pair.here.libvirt.domain("create", "kvm-1", &with_cpu("kvm-1", "kvm", &cpu));
    assert_eq!(pair.moved("kvm-1").0, 0);
    let own = pair.here.daemon.address.clone();
    let hung = |pair: &Pair, what: &str, timeout: u64| {
        let begin = Instant::now();
        let limit = format!("{timeout}s");
        let words = ["--domain", "kvm-1", "--from", &own, "--timeout", &limit];
        let (code, verdict, told) = pair.checked(&words);
        let took = begin.elapsed();
        println!("{what} hangs, {limit}: {took:?} {told:?}");
        assert_eq!((code, verdict.as_str()), (3, "unknown"), "{what}: {told:?}");
        assert!(took < Duration::from_secs(timeout) + SHOWING_MAX, "{what}: {took:?}");
        told
    };
    pair.there.libvirt.signal(Signal::STOP);
    let told = hung(&pair, "libvirt", 30);
    assert!(told[0].starts_with("freshness unknown: its guests are not known as they are now"), "{told:?}");
    pair.there.libvirt.signal(Signal::CONT);
    send(pair.there.daemon.pid(), Signal::STOP);
    for timeout in [2, 30] {
        let told = hung(&pair, "the agent", timeout);
        assert!(told[0].starts_with("freshness unknown: "), "{told:?}");
    }
    send(pair.there.daemon.pid(), Signal::CONT);
    until_within(PROBING_MAX, "it answers again", async || pair.moved("kvm-1").0 == 0).await;
}
