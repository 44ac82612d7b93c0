//! Who is asked, when, and what is said of those who cannot be.

use tempfile::{TempDir, tempdir};
use vmuster_tests::{
    agents::{Calls, TestAgent},
    coordinators::TestCoordinator,
    fixtures::{copy_host, host},
    programs::{Ended, vmuster},
};

const NAMES: [&str; 3] = ["rome-2s", "skylake-smt", "haswell-1s"];

struct Fleet {
    home: TempDir,
    sockets: TempDir,
    agents: Vec<TestAgent>,
}

impl Fleet {
    async fn start() -> Self {
        let (home, sockets) = (tempdir().expect("a home"), tempdir().expect("a directory"));
        let mut agents = Vec::new();
        for name in NAMES {
            agents.push(TestAgent::start(&host(name), sockets.path().join(format!("{name}.sock"))).await);
        }
        Self { home, sockets, agents }
    }

    fn ask(&self, arguments: &[&str]) -> Ended {
        let mut all = vec!["--agents"];
        all.extend(self.agents.iter().map(|agent| agent.address.as_str()));
        all.extend(arguments);
        vmuster(self.home.path(), &all)
    }

    fn calls(&self) -> Vec<Calls> {
        self.agents.iter().map(TestAgent::calls).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_question_within_the_day_asks_nobody_and_max_age_zero_asks_without_a_body() {
    let fleet = Fleet::start().await;
    let first = fleet.ask(&["flags", "--layer", "host", "-o", "plain"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let once = Calls { inventories: 1, ..Calls::default() };
    assert_eq!(fleet.calls(), [once; 3]);

    let second = fleet.ask(&["flags", "--layer", "host", "-o", "plain"]);
    assert_eq!(second, first);
    assert_eq!(fleet.calls(), [once; 3], "a second question within the day makes no call");

    let third = fleet.ask(&["flags", "--layer", "host", "-o", "plain", "--max-age", "0s"]);
    assert_eq!(third, first);
    assert_eq!(fleet.calls(), [Calls { unchanged: 1, ..once }; 3], "one call a host, and no body");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_is_stale_if_it_was_known_and_missing_if_not_and_never_dropped() {
    let mut fleet = Fleet::start().await;
    // The one whose absence would widen the answer.
    let all = fleet.ask(&["flags", "--layer", "host", "-o", "plain"]);
    fleet.agents[2].stop().await;
    let stopped = fleet.agents[2].address.clone();

    let known = fleet.ask(&["flags", "--layer", "host", "-o", "json", "--max-age", "0s"]);
    assert_eq!(known.code, 3, "{}", known.stderr);
    assert!(known.stderr.contains(&format!("{stopped} is stale")), "{}", known.stderr);
    let answer: serde_json::Value = serde_json::from_str(&known.stdout).expect("JSON");
    let host = answer["hosts"].as_array().expect("hosts").iter().find(|h| h["name"] == stopped.as_str());
    let host = host.expect("the stopped host is named");
    assert_eq!((&host["freshness"], &host["problem"]["kind"]), (&"stale".into(), &"unreachable".into()));
    assert_eq!(answer["complete"], false);
    let features: Vec<_> = answer["groups"][0]["features"]
        .as_array()
        .expect("flags")
        .iter()
        .filter_map(|f| f.as_str())
        .collect();
    let before: Vec<_> = all.stdout.lines().collect();
    assert_eq!(features, before, "flags do not drift while a host is off");

    // Within the day its record still holds.
    assert_eq!(fleet.ask(&["flags", "--layer", "host", "-o", "plain"]), all);

    fleet.home = tempdir().expect("a home that never asked before");
    let unknown = fleet.ask(&["flags", "--layer", "host", "-o", "json"]);
    assert_eq!(unknown.code, 3, "{}", unknown.stderr);
    let answer: serde_json::Value = serde_json::from_str(&unknown.stdout).expect("JSON");
    assert_eq!(answer["missing"][0]["name"], stopped.as_str());
    assert_eq!(answer["missing"][0]["kind"], "unreachable");
    assert_eq!(answer["complete"], false);
    assert!(unknown.stderr.contains(&format!("{stopped} is missing")), "{}", unknown.stderr);

    for agent in &mut fleet.agents {
        agent.stop().await;
    }
    fleet.home = tempdir().expect("another such home");
    assert_eq!(
        fleet.ask(&["flags", "--layer", "host"]).code,
        4,
        "nobody answers and nothing is known: no answer"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_within_the_day_is_noticed_by_the_next_question_for_usage() {
    let home = tempdir().expect("a home");
    let recorded = home.path().join("host");
    copy_host("nehalem-old", &recorded);
    let agent = TestAgent::start(&recorded, home.path().join("a.sock")).await;
    let show = || {
        let ended = vmuster(
            home.path(),
            &["--agents", &agent.address, "hosts", "show", &agent.address, "-o", "json"],
        );
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        serde_json::from_str::<serde_json::Value>(&ended.stdout).expect("JSON")
    };
    let before = show();
    let calls = agent.calls();
    assert_eq!(show(), before);
    assert_eq!(agent.calls(), Calls { usages: calls.usages + 1, ..calls }, "unchanged: only usage is asked");

    let boot_id = recorded.join("proc/sys/kernel/random/boot_id");
    std::fs::write(boot_id, "00000000-0000-4000-8000-000000000001\n").expect("a reboot");
    let after = show();
    assert_eq!(after["inventory"]["system"]["boot_id"], "00000000-0000-4000-8000-000000000001");
    assert_ne!(after["inventory"]["fingerprint"], before["inventory"]["fingerprint"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_identical_questions_at_once_make_one_call_a_host() {
    let fleet = Fleet::start().await;
    let hosts: Vec<_> =
        NAMES.iter().zip(&fleet.agents).map(|(name, agent)| (*name, agent.address.as_str())).collect();
    let coordinator = TestCoordinator::start(fleet.sockets.path(), &hosts).await;
    let scope = vmuster_coordinator::hosts::Scope::default();
    let options = vmuster_coordinator::cluster::read_within(None, std::time::Duration::from_secs(30));
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (cluster, scope) = (std::sync::Arc::clone(&coordinator.cluster), scope.clone());
        askers.spawn(async move { cluster.read(&scope, options).await.expect("in scope").len() });
    }
    assert_eq!(askers.join_all().await, vec![3; 100]);
    assert_eq!(fleet.calls(), [Calls { inventories: 1, ..Calls::default() }; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_coordinator_asks_nobody_and_answers_the_same() {
    let fleet = Fleet::start().await;
    let hosts: Vec<_> =
        NAMES.iter().zip(&fleet.agents).map(|(name, agent)| (*name, agent.address.as_str())).collect();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let coordinator = TestCoordinator::start(fleet.sockets.path(), &hosts).await;
        answers.push(vmuster(
            fleet.home.path(),
            &["--coordinator", &coordinator.address, "flags", "--layer", "host", "-o", "json"],
        ));
        coordinator.stop().await;
    }
    assert_eq!(answers[0].code, 0, "{}", answers[0].stderr);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(fleet.calls(), [Calls { inventories: 1, ..Calls::default() }; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_spelled_in_capitals_is_the_same_host() {
    let home = tempdir().expect("a home");
    let recorded = home.path().join("host");
    copy_host("nehalem-old", &recorded);
    let agent = TestAgent::named("kvm-01", &recorded, home.path().join("a.sock")).await;
    let coordinator = TestCoordinator::start(home.path(), &[("kvm-01", &agent.address)]).await;
    let show = |name: &str| {
        let ended = vmuster(
            home.path(),
            &["--coordinator", &coordinator.address, "hosts", "show", name, "-o", "json"],
        );
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        serde_json::from_str::<serde_json::Value>(&ended.stdout).expect("JSON")
    };
    show("kvm-01");
    let boot_id = recorded.join("proc/sys/kernel/random/boot_id");
    std::fs::write(boot_id, "00000000-0000-4000-8000-000000000001\n").expect("a reboot");
    let after = show("KVM-01");
    assert_eq!(after["inventory"]["system"]["boot_id"], "00000000-0000-4000-8000-000000000001");
}
