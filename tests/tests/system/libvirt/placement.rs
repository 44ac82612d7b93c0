//! A promise becomes a guest and ends with it: whenever somebody looks, it counts once.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use vmuster_proto::{
    clock::{Clock, SystemClock},
    model::Timestamp,
    pb::{self, placement_service_client::PlacementServiceClient},
    transport::{CONNECT_DEADLINE, connect},
};
use vmuster_tests::{coordinators::TestCoordinator, programs::Daemon, waiting::until};

use super::{Host, disk, guest};

/// As it is registered, and as its agent says.
const NAME: &str = "kvm-1";

/// How long a guest must be missing, and a second.
const GONE: Duration = Duration::from_secs(61);

/// The machine's clock, so many seconds ahead.
#[derive(Debug, Default)]
struct ClockAhead(AtomicU64);

impl Clock for ClockAhead {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(Duration::from_secs(self.0.load(Ordering::Relaxed)))
    }
}

/// Between two looks: far less than any step takes.
const PACE: Duration = Duration::from_millis(2);

/// What is promised: vCPUs, MiB of memory, GiB of disk. None: not known at that moment.
type Promised = Option<(u64, u64, u64)>;

const NOTHING: Promised = Some((0, 0, 0));
const ONCE: Promised = Some((2, 128, 3));

/// Asks again and again, and keeps each answer that differs from the one before it.
struct Watch<T> {
    over: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    watching: JoinHandle<Vec<T>>,
}

impl<T: PartialEq + Send + 'static> Watch<T> {
    /// It has looked once when it is started.
    async fn start<F>(look: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, counts) = (Arc::clone(&over), Arc::clone(&count));
        let watching = tokio::spawn(async move {
            let mut seen = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                let now = look().await;
                counts.fetch_add(1, Ordering::Relaxed);
                // Other tests run beside this one, and measure.
                tokio::time::sleep(PACE).await;
                if seen.last() != Some(&now) {
                    seen.push(now);
                }
            }
            seen
        });
        until("it was looked once", async || count.load(Ordering::Relaxed) > 0).await;
        Self { over, count, watching }
    }

    /// How often it looked, and what it saw; once more from now on.
    async fn end(self) -> (u64, Vec<T>) {
        let before = self.count.load(Ordering::Relaxed);
        until("it looked at the end", async || self.count.load(Ordering::Relaxed) > before + 1).await;
        self.over.store(true, Ordering::Relaxed);
        let seen = self.watching.await.expect("every question was answered");
        (self.count.load(Ordering::Relaxed), seen)
    }
}

/// As `vmuster capacity` asks.
async fn capacity(mut client: PlacementServiceClient<Channel>) -> Promised {
    let template = pb::InstanceTemplate { vcpus: 1, memory_bytes: 1 << 20, ..Default::default() };
    let request = pb::EstimateCapacityRequest { template: Some(template), scope: None };
    let answer = client.estimate_capacity(request).await.expect("an answer").into_inner();
    let host = answer.hosts.first().expect("a host");
    let disk = host.storage.iter().map(|storage| Some(storage.figures?.promised));
    let disk: u64 = disk.sum::<Option<u64>>()?;
    Some((host.vcpus?.promised, host.memory?.promised >> 20, disk >> 30))
}

/// UUID, state of the claim, whether it is a guest.
type Listed = Vec<(String, Option<pb::ClaimState>, bool)>;

/// Asks the host's agent anew each time.
async fn instances(mut client: PlacementServiceClient<Channel>) -> Listed {
    let request = pb::ListInstancesRequest { host: NAME.to_owned(), ..Default::default() };
    let answer = client.list_instances(request).await.expect("an answer").into_inner();
    let told = answer.instances.into_iter().map(|instance| {
        let state = instance.claim.as_ref().map(pb::Claim::state);
        (instance.uuid, state, instance.domain.is_some())
    });
    told.collect()
}

struct House {
    host: Host,
    coordinator: TestCoordinator,
    clock: Arc<ClockAhead>,
    home: TempDir,
}

impl House {
    /// libvirt with a pool, reader, agent, and a coordinator where it is registered.
    async fn start() -> Option<Self> {
        let mut host = Host::start().await?;
        let socket = host.libvirt.path("reader").join("sock");
        let config = host.libvirt.path("named.toml");
        let text = format!("name = \"{NAME}\"\nhypervisor_socket = \"{}\"\n", socket.display());
        fs::write(&config, text).expect("a file");
        let config = config.display().to_string();
        let words = ["--config", &config, "serve", "--listen", "127.0.0.1:0"];
        host.ask_another(Daemon::start("vmuster-agent", &words)).await;
        let images = host.libvirt.path("images");
        fs::create_dir(&images).expect("a directory");
        host.libvirt.printed(&format!("pool-create-as default dir --target {}", images.display()));
        let home = tempdir().expect("a home");
        let clock = Arc::new(ClockAhead::default());
        let shared: Arc<ClockAhead> = Arc::clone(&clock);
        let coordinator = TestCoordinator::start_with(home.path(), &[], shared).await;
        let house = Self { host, coordinator, clock, home };
        let address = house.host.daemon.address.clone();
        // Whatever the machine has, it is enough for this guest.
        house.printed(&format!("hosts add {NAME} {address} --reserved-memory 0 --reserved-disk 0")).await;
        Some(house)
    }

    async fn client(&self) -> PlacementServiceClient<Channel> {
        let address = self.coordinator.address.parse().expect("an address");
        PlacementServiceClient::new(connect(&address, CONNECT_DEADLINE).await.expect("it listens"))
    }

    /// The command, while the coordinator in this process goes on.
    async fn printed(&self, line: &str) -> String {
        let words = format!("--coordinator {} {line}", self.coordinator.address);
        let home = self.home.path().to_owned();
        let ended = tokio::task::spawn_blocking(move || {
            vmuster_tests::programs::vmuster(Path::new(&home), &words.split(' ').collect::<Vec<_>>())
        });
        let ended = ended.await.expect("no panic");
        assert_eq!(ended.code, 0, "{line}: {}", ended.stderr);
        ended.stdout
    }

    async fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.printed(&format!("{line} -o json")).await).expect("JSON")
    }

    /// As `capacity -o json` shows it.
    async fn promised(&self) -> Promised {
        let shown = self.json("capacity --vcpus 1 --memory 1MiB").await;
        let host = &shown["hosts"][0];
        let disks = host["storage"].as_array().expect("storage").iter();
        let disk: u64 = disks.map(|storage| storage["figures"]["promised"].as_u64()).sum::<Option<u64>>()?;
        Some((host["vcpus"]["promised"].as_u64()?, host["memory"]["promised"].as_u64()? >> 20, disk >> 30))
    }

    async fn claim_states(&self) -> Vec<String> {
        let claims = self.json("claims list").await["claims"].clone();
        let claims = claims.as_array().expect("claims").iter();
        claims.map(|claim| claim["state"].as_str().expect("text").to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_its_guest_count_once_at_every_moment() {
    let Some(house) = House::start().await else { return };
    assert_eq!(house.promised().await, NOTHING);
    // Both again and again: one only looks, the other has the host asked each time.
    let client = house.client().await;
    let looking = Watch::start(move || capacity(client.clone())).await;
    let client = house.client().await;
    let asking = Watch::start(move || instances(client.clone())).await;

    let placed = house.json("place --vcpus 2 --memory 128MiB --disk 3GiB --claim --hold 1s").await;
    let placement = &placed["placements"][0];
    assert_eq!((&placement["host"], &placement["pools"][0]), (&NAME.into(), &"default".into()), "{placed}");
    let uuid = placement["uuid"].as_str().expect("a UUID").to_owned();
    assert_eq!(house.promised().await, ONCE);

    let libvirt = &house.host.libvirt;
    let image = libvirt.image("images/vda.qcow2", "qcow2", "3G");
    let xml = guest("one", "kvm", 128, 2, &disk(&image, "qcow2", "vda"));
    let xml = xml.replace("<name>", &format!("<uuid>{uuid}</uuid><name>"));
    assert_eq!(libvirt.domain("define", "one", &xml), uuid);
    until("it is seen", async || house.claim_states().await == ["observed"]).await;
    assert_eq!(house.promised().await, ONCE, "defined");
    libvirt.printed("start one");
    assert_eq!(house.promised().await, ONCE, "running");
    for _ in 0..3 {
        libvirt.printed("destroy one");
        libvirt.printed("start one");
    }
    assert_eq!(house.promised().await, ONCE, "after hard reboots");
    libvirt.printed("destroy one");
    libvirt.printed("undefine one");
    let missing = async || house.json("claims list").await["claims"][0]["first_missing_at"].is_string();
    until("it is missed", missing).await;
    assert_eq!(house.promised().await, ONCE, "one answer without it may be a reboot's");
    assert_eq!(house.claim_states().await, ["observed"]);

    house.clock.0.fetch_add(GONE.as_secs(), Ordering::Relaxed);
    until("it is released", async || house.claim_states().await.is_empty()).await;
    until("its room is free", async || house.promised().await == NOTHING).await;

    let (looks, promised) = looking.end().await;
    let (questions, listed) = asking.end().await;
    println!("{looks} looks at capacity, {questions} questions to the host; {listed:?}");
    assert_eq!(promised, [NOTHING, ONCE, NOTHING], "of {looks} looks");
    let states = |claim, is_guest| vec![(uuid.clone(), Some(claim), is_guest)];
    let (held, observed) = (pb::ClaimState::Held, pb::ClaimState::Observed);
    let told = [vec![], states(held, false), states(observed, true), states(observed, false), vec![]];
    assert!(listed.iter().all(|one| told.contains(one)), "{listed:?}");
    assert_eq!((listed.first(), listed.last()), (told.first(), told.last()));
    assert!(looks > 100 && questions > 20, "{looks} looks, {questions} questions");
    house.coordinator.stop().await;
}
