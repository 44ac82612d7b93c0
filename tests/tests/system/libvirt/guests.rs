//! Guests, and what they were promised, as libvirt has them at that moment.

use std::{collections::BTreeMap, fs};

use vmuster_proto::model::{Bytes, Domain, IssueKind, Promised};

use super::{Host, about_guests, disk, guest};

fn sum(domain_count: u32, vcpus: u64, mebibytes: u64, disk_gibibytes: u64) -> Promised {
    Promised {
        domain_count,
        vcpus: Some(vcpus),
        memory_bytes: Some(Bytes(mebibytes << 20)),
        disk_virtual_bytes: Some(Bytes(disk_gibibytes << 30)),
    }
}

fn states(domains: &[Domain]) -> BTreeMap<&str, &str> {
    domains
        .iter()
        .map(|domain| (domain.name.as_str(), domain.state.as_deref().unwrap_or("unknown")))
        .collect()
}

#[tokio::test]
async fn promises_follow_guests_at_once() {
    let Some(mut host) = Host::start().await else { return };
    assert_eq!(host.promised().await, sum(0, 0, 0, 0));
    let image = host.libvirt.image("a.qcow2", "qcow2", "5G");
    host.libvirt.domain("define", "kvm-1", &guest("kvm-1", "kvm", 128, 2, &disk(&image, "qcow2", "vda")));
    assert_eq!(host.promised().await, sum(1, 2, 128, 5), "defined: promised, though it does not run");
    host.libvirt.printed("start kvm-1");
    assert_eq!(host.promised().await, sum(1, 2, 128, 5));
    host.libvirt.domain("create", "tcg-1", &guest("tcg-1", "qemu", 64, 1, ""));
    assert_eq!(host.promised().await, sum(2, 3, 192, 5), "transient, emulated");
    host.libvirt.printed("suspend kvm-1");
    let (usage, _) = host.usage().await;
    let domains = usage.domains.expect("domains");
    assert_eq!(states(&domains), BTreeMap::from([("kvm-1", "paused"), ("tcg-1", "running")]));
    assert_eq!(usage.promised, Some(sum(2, 3, 192, 5)));
    let persistent: Vec<_> = domains.iter().map(|domain| (domain.name.as_str(), domain.persistent)).collect();
    assert_eq!(
        BTreeMap::from_iter(persistent),
        BTreeMap::from([("kvm-1", Some(true)), ("tcg-1", Some(false))])
    );
    host.libvirt.printed("destroy kvm-1");
    host.libvirt.printed("destroy tcg-1");
    let (usage, _) = host.usage().await;
    assert_eq!(states(&usage.domains.expect("domains")), BTreeMap::from([("kvm-1", "shut_off")]));
    assert_eq!(usage.promised, Some(sum(1, 2, 128, 5)), "shut off: still promised; transient: gone");
    host.libvirt.domain("define", "kvm-1", &redefined(&host, "kvm-1"));
    assert_eq!(host.promised().await, sum(1, 4, 256, 0), "defined anew");
    host.libvirt.printed("undefine kvm-1");
    assert_eq!(host.promised().await, sum(0, 0, 0, 0));
}

/// The same guest with more of everything and no disk.
fn redefined(host: &Host, name: &str) -> String {
    let uuid = host.libvirt.printed(&format!("domuuid {name}"));
    guest(name, "kvm", 256, 4, "").replace("<name>", &format!("<uuid>{uuid}</uuid><name>"))
}

#[tokio::test]
async fn a_definition_is_shown_as_it_is() {
    let Some(mut host) = Host::start().await else { return };
    let images = host.libvirt.path("images");
    fs::create_dir(&images).expect("a directory");
    host.libvirt.printed(&format!("pool-create-as near dir --target {}", images.display()));
    let _third = host.libvirt.image("images/c.qcow2", "qcow2", "2G");
    host.libvirt.printed("pool-refresh near");
    let (first, second) =
        (host.libvirt.image("images/a.qcow2", "qcow2", "3G"), host.libvirt.image("b.raw", "raw", "1G"));
    let devices = disk(&first, "qcow2", "vda") + &disk(&second, "raw", "vdb");
    let devices = devices
        + "<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='near' volume='c.qcow2'/>\
           <target dev='vdc' bus='virtio'/></disk>";
    let devices =
        devices + "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>";
    let tuned = guest("tuned", "kvm", 256, 2, &devices).replace(
        "<os>",
        "<cputune><vcpupin vcpu='0' cpuset='0'/><emulatorpin cpuset='0-1'/></cputune>\
         <numatune><memory mode='strict' nodeset='0'/></numatune><os>",
    );
    let cells = "<cpu><numa><cell id='0' cpus='0' memory='128' unit='MiB'/><cell id='1' cpus='1' memory='128' unit='MiB'/>\
        </numa></cpu><devices>";
    let uuid = host.libvirt.domain("define", "tuned", &tuned.replacen("<devices>", cells, 1));
    let (usage, issues) = host.usage().await;
    assert_eq!(about_guests(&issues).len(), 0, "{issues:?}");
    let domains = usage.domains.expect("domains");
    let [domain] = domains.as_slice() else { panic!("one domain") };
    assert_eq!((&domain.uuid, domain.state.as_deref()), (&uuid, Some("shut_off")));
    assert_eq!(domain.vcpu_pins[&0].to_string(), "0");
    assert_eq!(domain.emulator_cpus.as_ref().map(ToString::to_string).as_deref(), Some("0-1"));
    let numa = domain.numa.as_ref().expect("NUMA");
    assert_eq!((numa.mode.as_deref(), numa.cells.len()), (Some("strict"), 2));
    assert_eq!(numa.cells[1].memory_bytes, Some(Bytes(128 << 20)));
    let disks: Vec<_> = domain
        .disks
        .iter()
        .map(|disk| {
            (disk.target.as_str(), disk.pool.as_deref(), disk.virtual_bytes.map(|bytes| bytes.0 >> 30))
        })
        .collect();
    assert_eq!(
        disks,
        [
            ("sda", None, None),
            ("vda", Some("near"), Some(3)),
            ("vdb", None, Some(1)),
            ("vdc", Some("near"), Some(2)),
        ]
    );
    assert_eq!(domain.disk_virtual_bytes, Some(Bytes(6 << 30)), "the empty drive is no promise");
    let pools = usage.pools.expect("pools");
    assert_eq!((pools[0].name.as_str(), pools[0].state.as_deref()), ("near", Some("running")));
    // Of a running one it is what the other host would have to run.
    host.libvirt.printed("start tuned");
    let (usage, _) = host.usage().await;
    let domains = usage.domains.expect("domains");
    assert_eq!(domains[0].machine_type.as_deref().map(|kind| kind.starts_with("pc-")), Some(true));
    assert_eq!(domains[0].vcpus_max, Some(2));
    host.libvirt.printed("destroy tuned");
    host.libvirt.printed("pool-define-as later dir --target /nowhere");
    let (usage, issues) = host.usage().await;
    let pools = usage.pools.expect("pools");
    let told: Vec<_> = pools
        .iter()
        .map(|pool| (pool.name.as_str(), pool.state.as_deref(), pool.capacity_bytes.is_some()))
        .collect();
    assert_eq!(told, [("later", Some("inactive"), false), ("near", Some("running"), true)], "{issues:?}");
}

#[tokio::test]
async fn a_stuck_guest_does_not_hide_the_others() {
    let Some(mut host) = Host::start().await else { return };
    for name in ["stuck", "well"] {
        let image = host.libvirt.image(&format!("{name}.qcow2"), "qcow2", "5G");
        host.libvirt.domain("create", name, &guest(name, "kvm", 64, 1, &disk(&image, "qcow2", "vda")));
    }
    let before = host.promised().await;
    let qemu = host.libvirt.qemu_of("stuck");
    vmuster_tests::programs::send(qemu, vmuster_tests::programs::Signal::STOP);
    // The first to ask waits for the guest until the reader ends itself; from then on libvirt leaves it out.
    vmuster_tests::waiting::until("the other guest is seen", async || {
        let (usage, issues) = host.usage().await;
        assert_eq!(usage.promised, Some(before.clone()), "what it was promised stays promised, its disk too");
        about_guests(&issues).iter().all(|issue| issue.kind == IssueKind::Stale)
    })
    .await;
    host.libvirt.printed("suspend well");
    let (usage, _) = host.usage().await;
    assert_eq!(
        states(&usage.domains.expect("domains"))["well"],
        "paused",
        "the others are seen as they are now"
    );
    vmuster_tests::programs::send(qemu, vmuster_tests::programs::Signal::CONT);
}
