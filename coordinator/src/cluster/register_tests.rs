//! What counts is what was kept, and one change follows another.

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use vmuster_proto::clock::SystemClock;

use super::*;
use crate::{
    cache::HostCache,
    hosts::{HostEntry, StateError, parse_hosts_file},
};

const LONG: Duration = Duration::from_secs(60);

/// Keeps in memory, unless it is full.
#[derive(Debug, Default)]
struct Disk {
    full: AtomicBool,
    kept: Mutex<Vec<String>>,
    /// Each write waits for a word from here, if there is one.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
}

impl HostsStore for Disk {
    fn save(&self, hosts: &[Arc<HostEntry>]) -> Result<(), StateError> {
        if let Some(gate) = &*self.gate.lock().expect("nobody panics") {
            gate.recv().expect("the test goes on");
        }
        if self.full.load(Ordering::Relaxed) {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(StateError::Io { action: "write", path: PathBuf::from("hosts.json"), source });
        }
        *self.kept.lock().expect("nobody panics") = hosts.iter().map(|host| host.name.clone()).collect();
        Ok(())
    }
}

fn cluster(disk: &Arc<Disk>) -> Arc<Cluster> {
    let file = parse_hosts_file("[[host]]\nname = 'filed'\naddress = 'filed:1'\n").expect("valid");
    let cache = Arc::new(HostCache::of_records([], Arc::new(SystemClock)));
    Arc::new(Cluster::new(file, cache).with_hosts_store(Arc::<Disk>::clone(disk)))
}

fn new(name: &str) -> NewHost {
    NewHost { name: name.to_owned(), address: format!("{name}:1").parse().ok(), ..NewHost::default() }
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster.registry.load().iter().map(|host| host.name.clone()).collect()
}

#[tokio::test]
async fn what_cannot_be_kept_does_not_count() {
    let disk = Arc::new(Disk::default());
    let cluster = cluster(&disk);
    let deadline = Instant::now() + LONG;
    assert_eq!(cluster.add_host(new("a"), deadline).await.expect("added"), "a");
    disk.full.store(true, Ordering::Relaxed);
    let full = cluster.add_host(new("b"), deadline).await.expect_err("full");
    assert!(matches!(&full, RegisterError::State(error) if error.is_full()), "{full}");
    assert!(cluster.remove_host("a".to_owned(), deadline).await.is_err());
    assert_eq!(names(&cluster), ["a", "filed"]);
    let nothing = cluster.update_host("a".to_owned(), HostChange::default(), deadline).await;
    assert_eq!(nothing.expect("there is nothing to write"), "a");
    disk.full.store(false, Ordering::Relaxed);
    cluster.add_host(new("b"), deadline).await.expect("added");
    assert_eq!(*disk.kept.lock().expect("nobody panics"), ["a", "b"], "the file's own are in the file");
    cluster.reload(Registry::default()).await.expect("no conflict");
    assert_eq!(names(&cluster), ["a", "b"], "what was registered stays");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_disk_and_memory_at_one() {
    let disk = Arc::new(Disk::default());
    let (go_on, gate) = mpsc::channel();
    *disk.gate.lock().expect("nobody panics") = Some(gate);
    let cluster = cluster(&disk);
    let soon = Instant::now() + Duration::from_millis(50);
    let late = cluster.add_host(new("a"), soon).await.expect_err("the disk hangs");
    assert!(matches!(late, RegisterError::Late), "{late}");
    let waiting = cluster.add_host(new("b"), Instant::now() + Duration::from_millis(50)).await;
    assert!(matches!(waiting, Err(RegisterError::Late)), "it waits for its turn, and no longer than it may");
    assert_eq!(names(&cluster), ["filed"]);
    go_on.send(()).expect("it waits");
    go_on.send(()).expect("for the next one");
    cluster.add_host(new("c"), Instant::now() + LONG).await.expect("added");
    assert_eq!(names(&cluster), ["a", "c", "filed"], "what came too late was made, what never began was not");
    assert_eq!(*disk.kept.lock().expect("nobody panics"), ["a", "c"]);
}

#[tokio::test]
async fn hosts_that_the_caller_names_are_registered_nowhere() {
    let cache = Arc::new(HostCache::of_records([], Arc::new(SystemClock)));
    let cluster = Arc::new(Cluster::new(Registry::default(), cache));
    let refused = cluster.add_host(new("a"), Instant::now() + LONG).await.expect_err("embedded");
    assert!(matches!(refused, RegisterError::Embedded));
}
