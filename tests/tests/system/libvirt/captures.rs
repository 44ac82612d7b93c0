//! A capture of a host with a real libvirt is that host again.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use vmuster_proto::model::Snapshot;
use vmuster_tests::programs::{program, run};

use super::{Host, about_guests, disk, guest};

const SECRET: &str = "hunter2!";

fn agent(config: &Path, words: &[&str]) -> String {
    let ended = run(Command::new(program("vmuster-agent")).arg("--config").arg(config).args(words));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout
}

fn of_libvirt(snapshot: &Snapshot) -> Value {
    let usage = snapshot.usage.clone().expect("usage");
    json!({
        "guest": snapshot.inventory.cpu.as_ref().and_then(|cpu| cpu.guest.clone()),
        "hypervisor": snapshot.inventory.hypervisor,
        "domains": usage.domains,
        "pools": usage.pools,
        "images": usage.images,
        "promised": usage.promised,
        "issues": about_guests(&snapshot.issues),
    })
}

/// One that runs with a disk in a pool and a display's password, and one that has most of what a guest can have.
fn make_guests(host: &Host) {
    let pool = host.libvirt.path("pool & images");
    fs::create_dir(&pool).expect("a directory");
    let target = pool.display().to_string().replace('&', "&amp;");
    let pool =
        format!("<pool type='dir'><name>acme pool</name><target><path>{target}</path></target></pool>");
    let file = host.libvirt.path("pool.xml");
    fs::write(&file, pool).expect("a file");
    host.libvirt.printed(&format!("pool-define {}", file.display()));
    let started = host.libvirt.virsh(&["pool-start", "acme pool"]);
    assert_eq!(started.code, 0, "{}", started.stderr);
    let image = host.libvirt.image("pool & images/a.qcow2", "qcow2", "3G").replace('&', "&amp;");
    let refreshed = host.libvirt.virsh(&["pool-refresh", "acme pool"]);
    assert_eq!(refreshed.code, 0, "{}", refreshed.stderr);
    let display = format!("<graphics type='vnc' port='-1' autoport='yes' passwd='{SECRET}'/>");
    let running = guest("acme-running", "kvm", 128, 1, &(disk(&image, "qcow2", "vda") + &display));
    host.libvirt.domain("create", "acme-running", &running);
    let tuned =
        guest("acme-tuned", "kvm", 256, 4, "<disk type='file' device='cdrom'><target dev='sda'/></disk>")
            .replace(
                "<vcpu>4</vcpu>",
                "<vcpu cpuset='0-1' current='2'>4</vcpu><memoryBacking><hugepages/></memoryBacking>\
            <cputune><vcpupin vcpu='0' cpuset='1'/><emulatorpin cpuset='0'/></cputune>\
            <numatune><memory mode='preferred' nodeset='0'/></numatune>",
            )
            .replace(
                "<devices>",
                "<cpu mode='host-model' check='partial'><numa>\
            <cell id='0' cpus='0-3' memory='256' unit='MiB'/></numa></cpu><devices>",
            );
    host.libvirt.domain("define", "acme-tuned", &tuned);
}

#[tokio::test]
async fn a_capture_is_the_same_guests_again() {
    let Some(host) = Host::start().await else { return };
    make_guests(&host);
    let config = host.libvirt.path("agent.toml");
    let text = fs::read_to_string(&config).expect("it is there");
    fs::write(&config, text + "image_pools = [\"acme pool\"]\n").expect("a file");
    let [plain, redacted] = ["plain", "redacted"].map(|name| host.libvirt.path(name).display().to_string());
    let collected =
        |words: &[&str]| -> Snapshot { serde_json::from_str(&agent(&config, words)).expect("a snapshot") };
    let live = of_libvirt(&collected(&["collect"]));
    agent(&config, &["capture", "--no-redact", &plain]);
    agent(&config, &["capture", &redacted]);
    assert_eq!(live["promised"]["domain_count"], 2, "{live:#}");
    assert_eq!(live["images"][0]["id"], "a.qcow2");
    let again = of_libvirt(&collected(&["collect", "--recorded", &plain]));
    for (key, value) in live.as_object().expect("an object") {
        assert_eq!(&again[key], value, "{key}");
    }
    let disguised = of_libvirt(&collected(&["collect", "--recorded", &redacted]));
    for key in ["guest", "hypervisor", "promised"] {
        assert_eq!(disguised[key], live[key], "{key}");
    }
    for (directory, secrets) in [(&plain, &[SECRET][..]), (&redacted, &[SECRET, "acme", "a.qcow2"])] {
        for secret in secrets {
            let found = run(Command::new("grep").args(["-rl", secret]).arg(format!("{directory}/libvirt")));
            assert_eq!(found.stdout, "", "{secret}");
        }
    }
}
