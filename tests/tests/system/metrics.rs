//! Metrics, as Prometheus and its tools see them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use prost::Message as _;
use tempfile::tempdir;
use vmuster_coordinator::{
    cache::Outcome,
    config::Config,
    metrics::{CALL_METHODS, Scraper},
    server::scheduler_of,
    snapshots::offline_cluster,
    statistics::{PlaceMode, Statistics, StoreOperation},
};
use vmuster_proto::{
    clock::{SharedClock, SystemClock},
    model::ProblemKind,
    pb,
};
use vmuster_tests::{
    fixtures::workspace,
    fleet::{Fleet, Manner, Source},
    metrics::{Exposition, exchange, request, scrape},
    tools::{are_there, command},
};

use crate::registry::{House, stop};

/// More than may be served at once.
const SILENT_PEERS: usize = 16;

async fn fleet_of(count: usize) -> (Fleet, House) {
    let fleet = Fleet::start(count, 11, vec![Source::recorded("rome-2s")]).await;
    let house = House::new(&[]);
    fs::write(house.at("hosts.toml"), fleet.hosts_file()).expect("the hosts file");
    (fleet, house)
}

/// Rows of the tables: name, type, labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = fs::read_to_string(workspace().join("docs/metrics.md")).expect("a document");
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        if let ([name], kind @ ("counter" | "gauge" | "histogram")) = (&code(cells[1])[..], cells[2]) {
            let labels = code(cells[3]).into_iter().collect();
            let before = found.insert(name.clone(), (kind.to_owned(), labels));
            assert!(before.is_none(), "{name} is described twice");
        }
    }
    found
}

#[test]
fn every_metric_is_described_and_every_described_one_is_there() {
    let statistics = Arc::new(Statistics::default());
    statistics.read(Outcome::Fetched, 1);
    statistics.unasked(true);
    statistics.unasked(false);
    statistics.set_aside();
    statistics.store_failed(StoreOperation::Save);
    statistics.fetched(Duration::from_millis(1));
    statistics.fetch_failed(ProblemKind::Timeout, Duration::from_millis(1));
    statistics.fetch_retried();
    statistics.fetching(1, 3, 2);
    statistics.placed(PlaceMode::Claim, 1, 1);
    statistics.hinted(1, 1);
    statistics.called("ListHosts", "OK", Duration::from_millis(1));
    let clock: SharedClock = Arc::new(SystemClock);
    let home = tempdir().expect("a home");
    let snapshot = home.path().join("a.json");
    let collected = r#"{"schema":"vmuster.v1","name":"a","inventory":{"collected_at":"2026-11-22T20:00:00Z"},"issues":[]}"#;
    fs::write(&snapshot, collected).expect("a snapshot");
    let (cluster, _) = offline_cluster(&[snapshot], Arc::clone(&clock)).expect("a cluster");
    let cluster = Arc::new(cluster);
    let scheduler = scheduler_of(&Config::default(), &cluster, None);
    let scraper = Scraper::new(statistics, cluster, scheduler, &clock);
    let served = Exposition::parse(&scraper.open_metrics().expect("text"));
    let served: BTreeMap<_, _> =
        served.metrics.into_iter().map(|(name, metric)| (name, (metric.kind, metric.labels))).collect();
    assert_eq!(served, documented());
}

#[test]
fn the_known_methods_are_those_of_the_schema() {
    let files = prost_types::FileDescriptorSet::decode(pb::DESCRIPTORS).expect("descriptors");
    let services = files.file.iter().flat_map(|file| &file.service);
    let served = services.filter(|service| ["ClusterService", "PlacementService"].contains(&service.name()));
    let methods: BTreeSet<_> =
        served.flat_map(|service| &service.method).map(|method| method.name().to_owned()).collect();
    assert_eq!(methods, CALL_METHODS.map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_tells_what_happened_and_asks_nobody() {
    let (fleet, house) = fleet_of(6).await;
    fleet.set(4, Manner::Gone).await;
    let daemon = house.start();
    let before = scrape(&house.at("m.sock"));
    assert_eq!(before.value("vmuster_hosts"), 6.0);
    assert_eq!(before.value("vmuster_hosts_known{freshness=\"missing\"}"), 6.0, "nobody was asked");
    assert_eq!(house.ask("hosts list").code, 3);
    assert_eq!(house.ask("hosts show nobody").code, 2);
    let after = scrape(&house.at("m.sock"));
    for (series, value) in [
        ("vmuster_hosts_known{freshness=\"fresh\"}", 5.0),
        ("vmuster_hosts_known{freshness=\"missing\"}", 1.0),
        ("vmuster_hosts_failing", 1.0),
        ("vmuster_cache_writable", 1.0),
        ("vmuster_cache_reads_total{outcome=\"fetched\"}", 5.0),
        ("vmuster_cache_reads_total{outcome=\"failed\"}", 1.0),
        ("vmuster_grpc_calls_total{method=\"ListHosts\",code=\"OK\"}", 1.0),
        ("vmuster_grpc_calls_total{method=\"GetHost\",code=\"NOT_FOUND\"}", 1.0),
        ("vmuster_grpc_call_duration_seconds_count{method=\"ListHosts\"}", 1.0),
        ("vmuster_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        assert_eq!(after.value(series), value, "{series}");
    }
    assert!(after.value("vmuster_oldest_record_age_seconds") < 60.0);
    assert!(after.value("process_resident_memory_bytes") > 1e6);
    assert!(after.value("process_open_fds") < after.value("process_max_fds"));
    let asked: Vec<_> = (0..6).map(|host| fleet.asked(host).calls).collect();
    assert_eq!(asked, [1, 1, 1, 1, 0, 1]);
    let text = |accept| request(&house.at("m.sock"), "GET", "/metrics", accept);
    assert!(text("text/plain").body.contains("\n# TYPE vmuster_grpc_calls_total counter\n"));
    stop(daemon);
    assert!(!house.at("m.sock").exists(), "the socket goes with the daemon");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_own_tool_finds_nothing_wrong() {
    if !are_there(&[("promtool", "prometheus")]) {
        return;
    }
    let (_fleet, house) = fleet_of(3).await;
    let _daemon = house.start();
    assert_eq!(house.ask("hosts list").code, 0);
    let text = request(&house.at("m.sock"), "GET", "/metrics", "text/plain").body;
    let mut promtool = command("promtool check metrics");
    promtool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut checking = promtool.spawn().expect("it starts");
    checking.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let checked = checking.wait_with_output().expect("it ends");
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn only_what_is_meant_is_served() {
    let house = House::new(&[]);
    let _daemon = house.start();
    let socket = house.at("m.sock");
    let plain = "text/plain; charset=utf-8";
    for (method, path, status, content_type) in [
        ("GET", "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("HEAD", "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("GET", "/", 200, plain),
        ("GET", "/metrics/", 404, plain),
        ("GET", "/../etc/passwd", 404, plain),
        ("POST", "/metrics", 405, plain),
        ("DELETE", "/", 405, plain),
    ] {
        let answer = request(&socket, method, path, "*/*");
        assert_eq!(
            (answer.status, &*answer.headers["content-type"]),
            (status, content_type),
            "{method} {path}"
        );
        assert_eq!(answer.body.is_empty(), method == "HEAD", "{method} {path}");
        assert_eq!(answer.headers.contains_key("allow"), status == 405);
    }
    let connect = || UnixStream::connect(&socket).expect("it listens");
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(33));
    assert_eq!(exchange(connect(), &many).status, 431);
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let (mut peer, mut said) = (connect(), Vec::new());
    // It is answered and closed before all is read, which the kernel may tell as a reset.
    let _ = peer.write_all(long.as_bytes());
    let _ = peer.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains(" 200 "), "{said:?}");
    assert_eq!(exchange(connect(), "nonsense\r\n\r\n").status, 400);
}

#[test]
fn peers_that_say_nothing_keep_nobody_out() {
    let house = House::new(&[]);
    let _daemon = house.start();
    let connect = || UnixStream::connect(house.at("m.sock")).expect("it listens");
    let mut silent: Vec<_> = (0..SILENT_PEERS).map(|_| connect()).collect();
    for (n, peer) in silent.iter_mut().enumerate() {
        // Some say half of what they want.
        peer.write_all(&b"GET /metrics HTTP/1.1\r\nX: "[..n]).expect("it listens");
    }
    scrape(&house.at("m.sock"));
    for mut peer in silent {
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).expect("it is closed");
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    }
    assert_eq!(house.ask("hosts list").code, 2, "no host: an empty scope, and an answer");
}

#[test]
fn metrics_for_other_machines_are_refused() {
    let house = House::new(&[]);
    let config = fs::read_to_string(house.at("c.toml")).expect("a configuration");
    let foreign = config.replace("metrics_listen = [", "insecure = true\nmetrics_listen = ['0.0.0.0:0', ");
    fs::write(house.at("c.toml"), foreign).expect("written");
    let path = house.at("c.toml").display().to_string();
    let mut check = Command::new(vmuster_tests::programs::program("vmuster-coordinator"));
    let checked = vmuster_tests::programs::run(check.args(["--config", &path, "check-config"]));
    for ended in [house.refused(), checked] {
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        for words in ["refusing to serve metrics on 0.0.0.0:0", "loopback", "metrics_listen"] {
            assert!(ended.stderr.contains(words), "{}", ended.stderr);
        }
    }
}
