//! What placement prints for a guest with pins and huge pages is what libvirt starts, and what is left is as the kernel
//! says.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::{TempDir, tempdir};
use vmuster_proto::{
    pb::{self, placement_service_client::PlacementServiceClient},
    transport::{CONNECT_DEADLINE, connect},
};
use vmuster_tests::{
    coordinators::TestCoordinator,
    private_libvirt::PrivateLibvirt,
    programs::{Daemon, Ended, program, vmuster},
    tools::leave_out,
    waiting::until,
};

/// Pages of 2 MiB in the host's first cell.
const PAGES: &str = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB";

/// What the test has the kernel set aside.
const TAKEN_PAGES: u64 = 72;

/// What the guest has: 64 pages.
const GUEST_MIB: u64 = 128;

/// Huge pages that are there for the test; those that were there before are left.
struct HugePages {
    before: u64,
}

impl HugePages {
    /// None, and a line that says why, where the kernel gives none.
    fn take() -> Option<Self> {
        let Ok(before) = fs::read_to_string(format!("{PAGES}/nr_hugepages")) else {
            leave_out("huge pages: this kernel has none of 2 MiB");
            return None;
        };
        let taken = Self { before: before.trim().parse().expect("a number") };
        if let Err(error) = Self::set(taken.before + TAKEN_PAGES) {
            leave_out(&format!("huge pages: {PAGES}/nr_hugepages cannot be written: {error}"));
            return None;
        }
        // Of memory in pieces the kernel makes as many as it finds room for.
        if Self::free() < TAKEN_PAGES {
            leave_out(&format!("huge pages: the kernel found room for {} of {TAKEN_PAGES}", Self::free()));
            return None;
        }
        Some(taken)
    }

    fn set(count: u64) -> std::io::Result<()> {
        fs::write(format!("{PAGES}/nr_hugepages"), count.to_string())
    }

    fn free() -> u64 {
        let text = fs::read_to_string(format!("{PAGES}/free_hugepages")).expect("beside nr_hugepages");
        text.trim().parse().expect("a number")
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let given_back = Self::set(self.before);
        if !std::thread::panicking() {
            given_back.expect("it could be written before");
        }
    }
}

/// The last CPU of the machine: the first serves everything else.
fn last_cpu() -> Option<String> {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").expect("Linux has it");
    let last = online.trim().rsplit([',', '-']).next().expect("a list has an end");
    if last == "0" {
        leave_out("dedicated CPUs: this machine has one CPU only");
        return None;
    }
    Some(last.to_owned())
}

struct House {
    coordinator: TestCoordinator,
    home: TempDir,
    _agent: Daemon,
    _reader: Daemon,
    libvirt: PrivateLibvirt,
    /// Given back last: guests have them until libvirt's end.
    _pages: HugePages,
}

impl House {
    /// One host whose last CPU is for pinned guests.
    async fn start(dedicated: &str) -> Option<Self> {
        let pages = HugePages::take()?;
        let libvirt = PrivateLibvirt::start(Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
        let directory = libvirt.path("reader");
        fs::create_dir(&directory).expect("a directory");
        let socket = directory.join("sock");
        let mut reader = Command::new(program("vmuster-hypervisor"));
        reader.arg("--libvirt-socket").arg(libvirt.socket());
        let reader = Daemon::start_by(reader.args(["supervise", "--socket"]).arg(&socket));
        let config = libvirt.path("agent.toml");
        let text = format!("name = \"kvm-1\"\nhypervisor_socket = \"{}\"\n", socket.display());
        fs::write(&config, text).expect("a file");
        let config = config.display().to_string();
        let agent =
            Daemon::start("vmuster-agent", &["--config", &config, "serve", "--listen", "127.0.0.1:0"]);
        let home = tempdir().expect("a home");
        let coordinator = TestCoordinator::start(home.path(), &[]).await;
        let added =
            format!("hosts add kvm-1 {} --reserved-memory 0 --dedicated-cpus {dedicated}", agent.address);
        let house = Self { coordinator, home, _agent: agent, _reader: reader, libvirt, _pages: pages };
        house.printed(&added).await;
        Some(house)
    }

    /// The command, while the coordinator in this process goes on.
    async fn run(&self, line: &str) -> Ended {
        let words = format!("--coordinator {} {line}", self.coordinator.address);
        let home: PathBuf = self.home.path().to_owned();
        let run = move || vmuster(&home, &words.split(' ').collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.expect("no panic")
    }

    async fn printed(&self, line: &str) -> String {
        let ended = self.run(line).await;
        assert_eq!(ended.code, 0, "{line}: {}", ended.stderr);
        ended.stdout
    }

    /// Whether the only promise is a guest by now; the host is asked.
    async fn is_observed(&self) -> bool {
        let address = self.coordinator.address.parse().expect("an address");
        let channel = connect(&address, CONNECT_DEADLINE).await.expect("it listens");
        let request = pb::ListInstancesRequest { host: "kvm-1".to_owned(), ..Default::default() };
        let listed = PlacementServiceClient::new(channel).list_instances(request).await.expect("an answer");
        let claims: Vec<_> =
            listed.into_inner().instances.into_iter().filter_map(|instance| instance.claim).collect();
        assert_eq!(claims.len(), 1);
        claims[0].state() == pb::ClaimState::Observed
    }

    /// Whether a guest of so much memory in huge pages would be placed.
    async fn would_take(&self, pages: u64) -> bool {
        let ended = self.run(&format!("place --vcpus 1 --memory {}MiB --pages 2MiB", pages * 2)).await;
        assert!([0, 1].contains(&ended.code), "{}: {}", ended.code, ended.stderr);
        ended.code == 0
    }
}

/// What each thread of a process is called, and the CPUs that it may run on.
fn allowed_cpus(process: u32) -> BTreeMap<String, String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let allowed = threads.map(|thread| {
        let status = fs::read_to_string(thread.expect("an entry").path().join("status")).expect("it goes on");
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect(key);
            line.trim().to_owned()
        };
        (value("Name:"), value("Cpus_allowed_list:"))
    });
    allowed.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_with_pins_and_huge_pages_starts_as_printed() {
    let Some(cpu) = last_cpu() else { return };
    let Some(house) = House::start(&cpu).await else { return };
    let free = HugePages::free();
    assert!(house.would_take(free).await);
    assert!(!house.would_take(free + 1).await);

    let line = format!("place --vcpus 1 --memory {GUEST_MIB}MiB --cpu-policy dedicated --pages 2MiB");
    let printed = house.printed(&format!("{line} --claim --libvirt-xml")).await;
    let uuid = printed.split(' ').nth(1).expect("a comment with the UUID");
    let xml = format!(
        "<domain type='kvm'><name>one</name><uuid>{uuid}</uuid>{printed}\
         <os><type arch='x86_64'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>\
         <memballoon model='none'/></devices></domain>"
    );
    assert_eq!(house.libvirt.domain("create", "one", &xml), uuid, "{xml}");

    let qemu = house.libvirt.qemu_of("one");
    let allowed = allowed_cpus(qemu);
    assert_eq!(allowed.get("CPU 0/KVM"), Some(&cpu), "{allowed:?}");
    assert_eq!(allowed.get("qemu-system-x86"), Some(&cpu), "its emulator has the guest's CPUs: {allowed:?}");
    let status = fs::read_to_string(format!("/proc/{qemu}/status")).expect("it runs");
    let in_huge_pages = format!("{} kB", GUEST_MIB << 10);
    assert!(
        status.lines().any(|line| line.starts_with("HugetlbPages:") && line.ends_with(&in_huge_pages)),
        "{status}"
    );

    until("it is seen", async || house.is_observed().await).await;
    assert_eq!(house.run(&line).await.code, 1, "the dedicated CPU is taken");
    let left = HugePages::free();
    assert_eq!(left, free - GUEST_MIB / 2);
    assert!(house.would_take(left).await, "the {left} pages that the kernel has left");
    assert!(!house.would_take(left + 1).await, "one page more than the kernel has left");
    house.coordinator.stop().await;
}
