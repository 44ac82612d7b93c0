//! One instance promised, by one client and many, beside an RPC whose answer is ready and a bare write through to the disk.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use vmuster_proto::pb;

use crate::{Served, burst, dry_run, granted, group, middle, request, verdict};

const HOSTS: usize = 1000;
const CLIENTS: [usize; 3] = [1, 16, 64];
const ROUNDS: usize = 5;
const CALLS: usize = 1024;

/// A second, of 16 clients or more.
const MANY_MIN: f64 = 5000.0;

/// Of an RPC and a write, of one client.
const ONE_MIN: f64 = 0.5;

/// As many bytes as a claim and its answer have.
const WRITTEN_BYTES: usize = 600;

/// Appends to a file: what the least durable log does.
fn write_through(served: &Served, sync: fn(&File) -> io::Result<()>) -> Duration {
    let mut file = File::create(served.directory.path().join("bare")).expect("a file");
    let times: Vec<_> = (0..200)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[7; WRITTEN_BYTES]).and_then(|()| sync(&file)).expect("written");
            start.elapsed()
        })
        .collect();
    middle(&times, Duration::as_secs_f64)
}

pub async fn measure() -> bool {
    let served = Served::new(HOSTS).await;
    let number = AtomicUsize::new(0);
    println!("one instance promised, {HOSTS} hosts");
    let mut all_met = true;
    for count in CLIENTS {
        let (ours, ready) = (served.clients("ours", count).await, served.clients("ready", count).await);
        let mut found = Vec::new();
        for _ in 0..ROUNDS {
            let claim = |_, _| {
                let id = format!("r{}", number.fetch_add(1, Ordering::Relaxed));
                request(pb::PlaceMode::Claim, id, vec![group(1, 1)])
            };
            let mine = burst(&ours, CALLS / count, claim).await;
            let least = burst(&ready, CALLS / count, |_, _| dry_run(1)).await;
            let data = least.percentile(50) + write_through(&served, File::sync_data);
            let floor = least.percentile(50) + write_through(&served, File::sync_all);
            found.push((mine.rate(), mine.percentile(50), floor, data));
        }
        let (rate, one, floor, data) = middle(&found, |found| found.0);
        let of_floor = floor.as_secs_f64() / one.as_secs_f64();
        let is_met = if count == 1 { of_floor >= ONE_MIN } else { rate >= MANY_MIN };
        let beside = if count == 1 {
            let of_data = data.as_secs_f64() / one.as_secs_f64();
            format!(
                "{of_floor:.2} of RPC and fsync (>= {ONE_MIN}; {one:.0?} and {floor:.0?}; with fdatasync {of_data:.2})"
            )
        } else {
            format!("(>= {MANY_MIN})")
        };
        println!("{count:>4} clients {rate:>8.0}/s  {beside}  {}", verdict(is_met));
        all_met &= is_met;
    }
    let last = request(pb::PlaceMode::Claim, "last".to_owned(), vec![group(1, 1)]);
    assert_eq!(granted(served.client("ours").await.ask(last).await), 1);
    all_met
}
