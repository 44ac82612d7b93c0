//! A coordinator that is started where it knows 10,000 hosts (BLUEPRINT §5): the real program, from its start to its first
//! answer about all of them, with its files in the page cache and without; beside plainly reading the same files.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::fs::{Advice, fadvise, sync};
use tempfile::TempDir;
use vmuster_coordinator::cache::{FileStore, Sharing, Store as _};
use vmuster_proto::{
    model::{Inventory, Layer},
    pb::{self, cluster_service_client::ClusterServiceClient},
    transport::{CLUSTER_REPLY_MAX_BYTES, CONNECT_DEADLINE, connect},
};
use vmuster_tests::programs::{Daemon, program};

use crate::{MANY_HOSTS, fleet::varied_record, median};

const ROUNDS: usize = 5;

const WARM_MAX: Duration = Duration::from_millis(500);
const COLD_MAX: Duration = Duration::from_secs(1);
const PEAK_MAX_KIB: u64 = 250 << 10;

/// Smaller files would be another question.
const ENTRY_MEAN_MIN_BYTES: u64 = 11 << 10;

/// What a coordinator has on disk.
struct House {
    home: TempDir,
    entries: Vec<PathBuf>,
}

impl House {
    fn furnish(inventories: &[Arc<Inventory>]) -> Self {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let at = |name: &str| home.path().join(name);
        let store = FileStore::open(&at("cache"), Sharing::Exclusive, false).expect("a cache");
        let (mut hosts, mut entries) = (String::new(), Vec::new());
        for number in 0..MANY_HOSTS {
            let address = format!("unix:{}", at(&format!("nobody-{number}.sock")).display());
            let record = varied_record(inventories, number, &address);
            store.save(&record).expect("saved");
            hosts += &format!("[[host]]\nname = '{}'\naddress = '{address}'\n", record.host);
            entries.push(store.path_of(&record.host));
        }
        fs::write(at("hosts.toml"), hosts).expect("hosts");
        let config = format!(
            "hosts_file = '{}'\nstate_dir = '{}'\ncache_dir = '{}'\nlisten = ['unix:{}']\n",
            at("hosts.toml").display(),
            at("state").display(),
            at("cache").display(),
            at("c.sock").display()
        );
        fs::write(at("c.toml"), config).expect("a configuration");
        // Only what is on the disk can be dropped from memory.
        sync();
        Self { home, entries }
    }

    fn bytes(&self) -> u64 {
        self.entries.iter().map(|path| fs::metadata(path).expect("an entry").len()).sum()
    }

    fn drop_from_memory(&self) {
        for path in &self.entries {
            fadvise(File::open(path).expect("an entry"), 0, None, Advice::DontNeed).expect("advised");
        }
    }

    /// The least that whoever knows what is in the files has to do, and what of it came from the disk.
    fn read_plainly(&self) -> (Duration, u64) {
        let before = bytes_from_disk();
        let start = Instant::now();
        let mut content = Vec::with_capacity(64 << 10);
        for path in &self.entries {
            content.clear();
            File::open(path).and_then(|mut file| file.read_to_end(&mut content)).expect("an entry");
        }
        (start.elapsed(), bytes_from_disk() - before)
    }

    /// From the program's start to its answer, and its memory then.
    async fn first_answer(&self, layer: Layer) -> Started {
        let config = self.home.path().join("c.toml").display().to_string();
        let start = Instant::now();
        let daemon = Daemon::start("vmuster-coordinator", &["--config", &config, "serve"]);
        let listening = start.elapsed();
        let address = daemon.address.parse().expect("an address");
        let channel = connect(&address, CONNECT_DEADLINE).await.expect("connects");
        let mut client =
            ClusterServiceClient::new(channel).max_decoding_message_size(CLUSTER_REPLY_MAX_BYTES);
        let layer = pb::CpuFeatureLayer::from(layer).into();
        let question = pb::ComputeCommonCpuFlagsRequest { layer, ..Default::default() };
        let answer = client.compute_common_cpu_flags(question).await.expect("an answer").into_inner();
        let answered = start.elapsed();
        let hosts: u32 = answer.groups.iter().map(|group| group.host_count).sum();
        assert!(answer.complete && hosts as usize == MANY_HOSTS, "{hosts} hosts, {:?}", answer.missing.len());
        let [resident_kib, peak_kib] = ["VmRSS:", "VmHWM:"].map(|key| status_kib(daemon.pid(), key));
        Started { listening, answered, resident_kib, peak_kib }
    }
}

struct Started {
    listening: Duration,
    answered: Duration,
    resident_kib: u64,
    peak_kib: u64,
}

/// A number of a file of /proc: `KEY NUMBER …`.
fn number(path: &Path, key: &str) -> u64 {
    let text = fs::read_to_string(path).expect("a process");
    let line = text.lines().find(|line| line.starts_with(key)).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

fn status_kib(pid: u32, key: &str) -> u64 {
    number(&Path::new("/proc").join(pid.to_string()).join("status"), key)
}

fn bytes_from_disk() -> u64 {
    number(Path::new("/proc/self/io"), "read_bytes:")
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met   " } else { "MISSED" }
}

async fn row(house: &House, layer: Layer, is_cold: bool) -> bool {
    let (mut ours, mut theirs, mut listening, mut peaks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut resident = 0;
    for _ in 0..ROUNDS {
        let empty = || {
            if is_cold {
                house.drop_from_memory()
            }
        };
        empty();
        let (plain, from_disk) = house.read_plainly();
        if is_cold && from_disk < house.bytes() / 2 {
            println!("restart, cold: left out, for the page cache cannot be emptied here");
            return true;
        }
        theirs.push(plain);
        empty();
        let started = house.first_answer(layer).await;
        ours.push(started.answered);
        listening.push(started.listening);
        peaks.push(started.peak_kib);
        resident = resident.max(started.resident_kib);
    }
    let (ours, theirs, listening) = (median(ours), median(theirs), median(listening));
    let peak = peaks.into_iter().max().expect("rounds");
    let (what, limit) = if is_cold { ("cold", COLD_MAX) } else { ("warm", WARM_MAX) };
    let (is_fast, is_small) = (ours <= limit, peak <= PEAK_MAX_KIB);
    println!(
        "restart, {what}, {MANY_HOSTS} hosts, {layer:5} {ours:>9.1?} / reading the files {theirs:>9.1?} = {:>5.2} {} ≤ {limit:?}; listens after {listening:.1?}",
        ours.as_secs_f64() / theirs.as_secs_f64(),
        verdict(is_fast),
    );
    println!(
        "  its memory: VmRSS {resident} KiB, VmHWM {peak} KiB {} ≤ {PEAK_MAX_KIB} KiB",
        verdict(is_small)
    );
    is_fast && is_small
}

/// Whether every number was met.
pub async fn measure(inventories: &[Arc<Inventory>]) -> bool {
    // Built first, so that nothing compiles meanwhile.
    let _built = program("vmuster-coordinator");
    let house = House::furnish(inventories);
    let mean = house.bytes() / MANY_HOSTS as u64;
    println!("{MANY_HOSTS} entries of {mean} bytes on average");
    assert!(mean >= ENTRY_MEAN_MIN_BYTES, "entries are too small to be like real ones");
    let mut is_met = true;
    for is_cold in [false, true] {
        for layer in [Layer::Host, Layer::Guest] {
            is_met &= row(&house, layer, is_cold).await;
        }
    }
    is_met
}
