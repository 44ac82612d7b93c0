//! What the command says when not all is well, and on a terminal.

use std::{fs, path::Path, process::Command};

use tempfile::tempdir;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};
use vmuster_proto::pb::{
    self,
    agent_service_server::{AgentService, AgentServiceServer},
    get_inventory_response::Outcome,
};
use vmuster_tests::{
    agents::{Calls, TestAgent},
    fixtures::{copy_host, host},
    programs::{Ended, isolated, program, run, vmuster},
};

/// As on a terminal of 80 columns; stdout and stderr come together.
fn on_terminal(home: &Path, arguments: &[&str]) -> Ended {
    let quoted: Vec<_> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
    let line = format!("stty cols 80; '{}' {}", program("vmuster").display(), quoted.join(" "));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
    run(isolated(&mut command, home))
}

fn snapshot(directory: &Path, name: &str) -> String {
    let text = format!(
        r#"{{"schema":"vmuster.v1","name":"{name}","inventory":{{"collected_at":"2026-01-01T00:00:00Z",
        "system":{{"arch":"x86_64"}},"cpu":{{"host_flags":["fpu"]}}}},"issues":[]}}"#
    );
    let path = directory.join(format!("{name}.json"));
    fs::write(&path, text).expect("a snapshot");
    path.display().to_string()
}

#[test]
fn snapshots_are_answered_on_a_terminal_too() {
    let home = tempdir().expect("a home");
    let file = snapshot(home.path(), "kvm-01");
    for (arguments, words) in [
        (vec!["--snapshots", &file, "flags", "--layer", "host", "-o", "plain"], "fpu"),
        (vec!["--snapshots", &file, "hosts", "list"], "kvm-01"),
        (vec!["--snapshots", &file, "flags", "--layer", "host", "--matrix"], "Every host has the same flags"),
    ] {
        let ended = on_terminal(home.path(), &arguments);
        assert!(ended.code == 0 && ended.stdout.contains(words), "{arguments:?}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_progress_bar_costs_no_second_call() {
    let home = tempdir().expect("a home");
    let agent = TestAgent::start(&host("nehalem-old"), home.path().join("a.sock")).await;
    let ask = |more: &[&str]| {
        let arguments =
            [&["--agents", &agent.address, "flags", "--layer", "host", "-o", "plain"], more].concat();
        let ended = on_terminal(home.path(), &arguments);
        assert!(ended.code == 0 && ended.stdout.contains("fpu"), "{ended:?}");
        agent.calls()
    };
    let once = Calls { inventories: 1, ..Calls::default() };
    assert_eq!(ask(&[]), once);
    assert_eq!(ask(&[]), once, "within the day nobody is asked");
    assert_eq!(ask(&["--max-age", "0s"]), Calls { unchanged: 1, ..once }, "asked once, not twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_asked_shows_in_every_command_and_its_exit_code() {
    let home = tempdir().expect("a home");
    let agent = TestAgent::start(&host("nehalem-old"), home.path().join("a.sock")).await;
    let mut gone = TestAgent::start(&host("rome-2s"), home.path().join("b.sock")).await;
    let dead = format!("unix:{}", home.path().join("never.sock").display());
    let both = format!("{},{}", agent.address, gone.address);
    assert_eq!(vmuster(home.path(), &["--agents", &both, "flags", "--layer", "host"]).code, 0);
    gone.stop().await;

    // Never seen, so it may be of any architecture: asking for one must not drop it.
    let with_dead = format!("{},{dead}", agent.address);
    let ended = vmuster(
        home.path(),
        &["--agents", &with_dead, "flags", "--layer", "host", "--arch", "x86_64", "-o", "plain"],
    );
    assert!(ended.code == 3 && ended.stderr.contains("never.sock is missing"), "{ended:?}");

    for command in [vec!["hosts", "refresh"], vec!["hosts", "list", "--max-age", "0s"]] {
        let arguments = [&["--agents", &both], command.as_slice()].concat();
        let ended = vmuster(home.path(), &arguments);
        assert!(ended.code == 3 && ended.stdout.contains("stale"), "{arguments:?}: {ended:?}");
    }
    let ended = on_terminal(home.path(), &["--agents", &both, "flags", "--layer", "host", "--max-age", "0s"]);
    assert_eq!(ended.code, 3, "asked in vain a moment ago is not fresh: {ended:?}");
    let show = ["--agents", &both, "hosts", "show", &gone.address, "-o", "json"];
    let ended = vmuster(home.path(), &show);
    assert!(ended.code == 3 && ended.stderr.contains("usage of"), "fresh facts, but no usage: {ended:?}");
    let ended = vmuster(home.path(), &[&show[..], &["--max-age", "0s"]].concat());
    assert!(ended.code == 3 && ended.stdout.contains(r#""kind": "stale""#), "{ended:?}");
    assert_eq!(vmuster(home.path(), &["--agents", &dead, "hosts", "show", &dead]).code, 4);
}

#[test]
fn more_hosts_than_fit_on_a_page_are_all_listed() {
    let home = tempdir().expect("a home");
    let directory = home.path().join("snapshots");
    fs::create_dir(&directory).expect("a directory");
    let names: Vec<_> = (0..1001).map(|i| format!("kvm-{i:04}")).collect();
    names.iter().for_each(|name| drop(snapshot(&directory, name)));
    fs::write(directory.join("README"), "not one of them").expect("a file");
    let ended = vmuster(
        home.path(),
        &["--snapshots", &directory.display().to_string(), "hosts", "list", "-o", "plain"],
    );
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), names);
    assert!(ended.stderr.contains("README is left out"), "{}", ended.stderr);
}

/// An agent whose every word is long, and steers terminals.
struct Loud {
    makes_no_sense: bool,
}

const LOUD: &str = "\x1b[2Jowned\nwarning: all is well ";

#[tonic::async_trait]
impl AgentService for Loud {
    async fn get_inventory(
        &self,
        _: Request<pb::GetInventoryRequest>,
    ) -> Result<Response<pb::GetInventoryResponse>, Status> {
        let cpu = if self.makes_no_sense {
            pb::Cpu { online_cpus: Some(LOUD.repeat(5000)), ..Default::default() }
        } else {
            let host_flags = Some(pb::FeatureNames { names: vec!["fpu".to_owned()] });
            pb::Cpu { vendor: Some("\x01".repeat(4000)), host_flags, ..Default::default() }
        };
        let system = Some(pb::System { arch: Some("x86_64".to_owned()), ..Default::default() });
        let inventory = Some(pb::Inventory { cpu: Some(cpu), system, ..Default::default() });
        let collected = pb::CollectedInventory { inventory, issues: Vec::new() };
        Ok(Response::new(pb::GetInventoryResponse {
            name: LOUD.to_owned(),
            outcome: Some(Outcome::Collected(Box::new(collected))),
        }))
    }
    async fn get_usage(
        &self,
        _: Request<pb::GetUsageRequest>,
    ) -> Result<Response<pb::GetUsageResponse>, Status> {
        Err(Status::internal(LOUD.repeat(100)))
    }
    async fn compute_cpu_baseline(
        &self,
        _: Request<pb::AgentServiceComputeCpuBaselineRequest>,
    ) -> Result<Response<pb::AgentServiceComputeCpuBaselineResponse>, Status> {
        Err(Status::internal(LOUD))
    }
    async fn compare_cpu(
        &self,
        _: Request<pb::CompareCpuRequest>,
    ) -> Result<Response<pb::CompareCpuResponse>, Status> {
        Err(Status::internal(LOUD))
    }
}

async fn loud_agent(makes_no_sense: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let service = AgentServiceServer::new(Loud { makes_no_sense });
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loud_agent_spoils_nobody_elses_answer_and_no_terminal() {
    let home = tempdir().expect("a home");
    let agent = TestAgent::start(&host("nehalem-old"), home.path().join("a.sock")).await;
    for (makes_no_sense, code) in [(true, 3), (false, 0)] {
        let both = format!("{},{}", agent.address, loud_agent(makes_no_sense).await);
        for command in [vec!["hosts", "refresh"], vec!["flags", "--layer", "host"], vec!["hosts", "list"]] {
            let arguments = [&["--agents", &both], command.as_slice()].concat();
            let ended = vmuster(home.path(), &arguments);
            assert_eq!(ended.code, code, "{ended:?}");
            assert!(ended.stdout.contains("a.sock"), "the other host's answer is there: {ended:?}");
            let all = ended.stdout + &ended.stderr;
            assert!(!all.contains('\x1b') && !all.contains("\nwarning: all is well"), "{all}");
            assert!(all.len() < 20_000, "{} bytes", all.len());
        }
    }
    let refused = vmuster(home.path(), &["--coordinator", &agent.address, "flags", "--layer", "host"]);
    assert!(refused.code == 4 && refused.stderr.contains("is it a vmuster coordinator?"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_flags_were_not_all_read_is_missing_for_just_that_reason() {
    let home = tempdir().expect("a home");
    let recorded = home.path().join("host");
    copy_host("skylake-smt", &recorded);
    let cpuinfo = fs::read_to_string(recorded.join("proc/cpuinfo")).expect("cpuinfo");
    // The second processor's flags are gone; any of them may be lacking there.
    let at = cpuinfo.match_indices("\nflags").nth(1).expect("a second processor").0 + 1;
    let end = at + cpuinfo[at..].find('\n').expect("a line");
    fs::write(recorded.join("proc/cpuinfo"), [&cpuinfo[..at], &cpuinfo[end + 1..]].concat())
        .expect("written");
    let doubtful = TestAgent::start(&recorded, home.path().join("a.sock")).await;
    let whole = TestAgent::start(&host("rome-2s"), home.path().join("b.sock")).await;
    let both = format!("{},{}", doubtful.address, whole.address);
    let ended = vmuster(home.path(), &["--agents", &both, "flags", "--layer", "host", "-o", "plain"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended.stderr.contains("a.sock is missing") && ended.stderr.contains("/proc/cpuinfo: CPUs 1 "),
        "{ended:?}"
    );
    assert!(!ended.stderr.contains("cpuid.txt"), "another issue's reason: {ended:?}");
}
