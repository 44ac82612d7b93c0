//! Definitions of guests, whole, plain and broken.

use super::*;

const WHOLE: &str = "<domain type='kvm' id='7'><name>db-1</name><uuid>7C9F57CE-50b5-4207-9f43-89aac77ba169</uuid>
  <memory unit='GiB'>8</memory><currentMemory unit='KiB'>4194304</currentMemory>
  <vcpu placement='static' cpuset='0-7' current='2'>4</vcpu>
  <memoryBacking><hugepages><page size='1' unit='GiB' nodeset='0'/><page size='2048' unit='KiB'/></hugepages></memoryBacking>
  <cputune><vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='3-4'/><emulatorpin cpuset='0-1'/></cputune>
  <numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='1' mode='preferred' nodeset='1'/></numatune>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='custom' match='exact' check='full'><model fallback='forbid'>EPYC</model>
    <numa><cell id='0' cpus='0-1' memory='4194304' unit='KiB'/><cell id='1' cpus='2-3' memory='4' unit='GiB'/></numa></cpu>
  <devices>
    <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='vms/db-1'><host name='m1'/></source><target dev='vdb'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/img/a.qcow2'/><target dev='vda'/></disk>
    <disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vdc'/><shareable/></disk>
    <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
    <disk type='file'><source file='/no/target'/></disk>
    <hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x3b' slot='0x0a' function='0x1'/></source></hostdev>
    <interface type='hostdev'><source><address type='pci' domain='0x0001' bus='0x81' slot='0x00' function='0x3'/></source></interface>
    <hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/></source></hostdev>
  </devices></domain>";

fn cpus(list: &str) -> Option<CpuSet> {
    Some(list.parse().expect("a list"))
}

#[test]
fn a_whole_definition() {
    let domain = parse(WHOLE).expect("a domain");
    assert_eq!(domain.uuid, "7c9f57ce-50b5-4207-9f43-89aac77ba169");
    assert_eq!(
        (domain.vcpus, domain.vcpus_max, domain.state.as_deref()),
        (Some(2), Some(4), Some("running"))
    );
    assert_eq!(domain.memory_bytes.zip(domain.memory_max_bytes), Some((Bytes(4 << 30), Bytes(8 << 30))));
    assert_eq!((domain.cpus.clone(), domain.emulator_cpus.clone()), (cpus("0-7"), cpus("0-1")));
    assert_eq!(domain.vcpu_pins, BTreeMap::from([(0, cpus("2").unwrap()), (1, cpus("3-4").unwrap())]));
    let gib = DomainHugepages { size_bytes: Some(Bytes(1 << 30)), guest_nodes: cpus("0") };
    let mib = DomainHugepages { size_bytes: Some(Bytes(2 << 20)), guest_nodes: None };
    assert_eq!(domain.hugepages, [gib, mib]);
    let numa = domain.numa.clone().expect("NUMA");
    assert_eq!((numa.mode.as_deref(), numa.host_nodes.clone()), (Some("strict"), cpus("0-1")));
    assert_eq!(numa.cells[1].memory_bytes, Some(Bytes(4 << 30)));
    assert_eq!((numa.cells[0].host_nodes.clone(), numa.cells[1].host_nodes.clone()), (None, cpus("1")));
    assert_eq!(domain.host_devices, ["0000:3b:0a.1", "0001:81:00.3"]);
    assert_eq!(domain.host_bound, ["hostdev usb"]);
    assert_eq!(domain.cpu.and_then(|cpu| cpu.model).as_deref(), Some("EPYC"));
}

#[test]
fn disks_of_every_sort() {
    let domain = parse(WHOLE).expect("a domain");
    let told: Vec<_> = domain
        .disks
        .iter()
        .map(|disk| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!(
                "{} {} {} {} {:?}",
                disk.target,
                text(&disk.device),
                text(&disk.source),
                text(&disk.pool),
                disk.shared_storage
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "sda cdrom   None",
            "vda disk /img/a.qcow2  None",
            "vdb disk rbd:vms/db-1  Some(true)",
            "vdc disk v p None",
        ]
    );
    assert_eq!(domain.disks[3].shareable, Some(true));
    assert_eq!(domain.disks[0].read_only, Some(true));
}

#[test]
fn a_plain_one() {
    let domain = parse("<domain><name>a</name><uuid>u</uuid><memory>1024</memory><vcpu>1</vcpu></domain>");
    let domain = domain.expect("a domain");
    assert_eq!((domain.memory_max_bytes, domain.vcpus), (Some(Bytes(1 << 20)), Some(1)));
    assert_eq!((domain.state.as_deref(), domain.numa, domain.hugepages), (Some("shut_off"), None, vec![]));
    let plain = "<domain><name>a</name><uuid>u</uuid><memoryBacking><hugepages/></memoryBacking></domain>";
    assert_eq!(parse(plain).expect("a domain").hugepages, [DomainHugepages::default()]);
}

#[test]
fn what_cannot_be_counted_is_refused() {
    let problem = |inner: &str| {
        parse(&format!("<domain><name>a</name><uuid>u</uuid>{inner}</domain>")).expect_err(inner).to_string()
    };
    assert_eq!(problem("<memory unit='furlong'>1</memory>"), "memory: 'furlong' is not a unit");
    assert_eq!(problem("<memory>-1</memory>"), "memory: '-1' is not a number");
    assert_eq!(problem("<vcpu>many</vcpu>"), "<vcpu>: 'many' is not a number");
    assert!(problem("<vcpu cpuset='x'>1</vcpu>").starts_with("vcpu/@cpuset: "));
    assert_eq!(parse("<domain/>").expect_err("no name").to_string(), "<domain>: it has no <name>");
    let new = "<domain><name>a</name></domain>";
    assert_eq!(parse(new).expect_err("no uuid").to_string(), "<domain>: it has no <uuid>");
    assert_eq!(of_caller(new).map(|domain| (domain.name, domain.uuid)), Ok(("a".to_owned(), String::new())));
}

#[test]
fn a_capture_says_the_same() {
    let domain = parse(WHOLE).expect("a domain");
    assert_eq!(parse(&super::super::render::domain(&domain)), Ok(domain));
}

/// A definition that takes long holds up all others.
#[test]
fn nodes_find_their_cells_at_once() {
    const CELLS: u32 = 15_000;
    let cells: String = (0..CELLS).map(|id| format!("<cell id='{id}'/>")).collect();
    let shortest = |cell: u32| {
        let nodes = format!("<memnode cellid='{cell}'/>").repeat(15_000);
        let definition = format!(
            "<domain><uuid>u</uuid><name>n</name><numatune>{nodes}</numatune><cpu><numa>{cells}</numa></cpu></domain>"
        );
        let once = || {
            let begin = std::time::Instant::now();
            assert_eq!(parse(&definition).expect("a guest").numa.expect("nodes").cells.len(), 15_000);
            begin.elapsed()
        };
        (0..3).map(|_| once()).min().expect("a time")
    };
    let (first, last) = (shortest(0), shortest(CELLS - 1));
    assert!(last < first * 3, "the last cell takes {last:?}, the first {first:?}");
}

#[test]
fn a_callers_cpu_is_one_that_hosts_can_be_asked_about() {
    let with = |cpu: &str| {
        let text = format!("<domain><name>a</name><uuid>u</uuid><cpu>{cpu}</cpu></domain>");
        assert!(parse(&text).is_ok(), "libvirt's own are read as they are");
        of_caller(&text).map(|_| ()).map_err(|error| error.to_string())
    };
    let features = |count: usize, name: &str| -> String {
        (0..count).map(|at| format!("<feature name='{name}{at}' policy='require'/>")).collect()
    };
    assert_eq!(with(&features(500, "f")), Ok(()));
    let bogus = "<feature policy=>: 'bogus' is none of force, require, optional, disable, forbid";
    assert_eq!(with("<feature name='aes' policy='bogus'/>"), Err(bogus.to_owned()));
    assert_eq!(with(&features(20_000, "f")), Err("<feature>: there are 20000, limit 2000".to_owned()));
    let long = with(&features(1_500, "a-name-of-some-thirty-letters-"));
    assert!(
        long.as_ref().is_err_and(|error| error.starts_with("<cpu>: ") && error.ends_with("limit 65536")),
        "{long:?}"
    );
}
