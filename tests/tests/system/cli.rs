//! `vmuster flags` against an independent computation.

use std::process::Command;

use tempfile::tempdir;
use vmuster_tests::{
    agents::TestAgent,
    fixtures::{host, host_names},
    programs::{Daemon, Signal, run, vmuster},
};

/// The intersection of the flags of every processor of every host, computed by sort and comm from cpuinfo.
fn by_shell(hosts: &[&str]) -> String {
    let files: Vec<_> = hosts.iter().map(|name| host(name).join("proc/cpuinfo")).collect();
    let script = r#"
        set -eu
        one() { printf '%s\n' "$1" | sed 's/^[^:]*://' | tr -s ' ' '\n' | sed '/^$/d' | LC_ALL=C sort -u; }
        result=$(mktemp) next=$(mktemp) lines=$(mktemp)
        trap 'rm -f "$result" "$next" "$lines"' EXIT
        cat "$@" | grep -E '^(flags|Features)[[:space:]]*:' > "$lines"
        first=yes
        while IFS= read -r line; do
            if [ $first = yes ]; then one "$line" > "$result"; first=no; continue; fi
            one "$line" | LC_ALL=C comm -12 - "$result" > "$next"
            cp "$next" "$result"
        done < "$lines"
        cat "$result"
    "#;
    let ended = run(Command::new("sh").args(["-c", script, "sh"]).args(files));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stdout.is_empty(), "the pipeline found nothing");
    ended.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_of_agents_equal_the_intersection_computed_by_a_shell_pipeline() {
    for names in [["rome-2s", "skylake-smt", "haswell-1s"], ["milan-4node", "nehalem-old", "icelake-1g"]] {
        let home = tempdir().expect("a home");
        let mut agents = Vec::new();
        for name in names {
            agents.push(TestAgent::start(&host(name), home.path().join(format!("{name}.sock"))).await);
        }
        let list = agents.iter().map(|agent| agent.address.clone()).collect::<Vec<_>>().join(",");
        let arguments = ["--agents", &list, "flags", "--layer", "host", "-o", "plain"];
        let ended = vmuster(home.path(), &arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{names:?}");
        assert_eq!(ended.stdout, by_shell(&names), "{names:?}");
    }
}

#[test]
fn flags_of_real_daemons_and_of_snapshots_are_the_same() {
    let home = tempdir().expect("a home");
    let names = ["rome-2s", "skylake-smt", "nehalem-old"];
    let mut hosts_file = String::new();
    let (mut agents, mut snapshots) = (Vec::new(), Vec::new());
    for name in names {
        let recorded = host(name).display().to_string();
        let agent =
            Daemon::start("vmuster-agent", &["--recorded", &recorded, "serve", "--listen", "127.0.0.1:0"]);
        hosts_file += &format!("[[host]]\nname = \"{name}\"\naddress = \"{}\"\n", agent.address);
        agents.push(agent);
        let collected = run(Command::new(vmuster_tests::programs::program("vmuster-agent")).args([
            "--recorded",
            &recorded,
            "collect",
        ]));
        assert_eq!(collected.code, 0);
        let file = home.path().join(format!("{name}.json"));
        std::fs::write(&file, collected.stdout).expect("a snapshot");
        snapshots.push(file.display().to_string());
    }
    std::fs::write(home.path().join("hosts.toml"), hosts_file).expect("hosts");
    let socket = format!("unix:{}/c.sock", home.path().display());
    let config = format!(
        "hosts_file = '{0}/hosts.toml'\ncache_dir = '{0}/c'\nstate_dir = '{0}/s'\nlisten = ['{socket}']\n",
        home.path().display()
    );
    let config_file = home.path().join("coordinator.toml");
    std::fs::write(&config_file, config).expect("a configuration");
    let config_file = config_file.display().to_string();
    let mut coordinator = Daemon::start("vmuster-coordinator", &["--config", &config_file, "serve"]);

    let plain = ["flags", "--layer", "host", "-o", "plain"];
    let of_coordinator = vmuster(home.path(), &[&["--coordinator", &socket], &plain[..]].concat());
    let mut arguments = vec!["--snapshots"];
    arguments.extend(snapshots.iter().map(String::as_str));
    arguments.extend(plain);
    let of_snapshots = vmuster(home.path(), &arguments);
    assert_eq!(of_coordinator.code, 0, "{}", of_coordinator.stderr);
    assert_eq!(of_coordinator.stdout, by_shell(&names));
    assert_eq!(of_coordinator, of_snapshots);

    coordinator.signal(Signal::TERM);
    assert_eq!(coordinator.wait(), 0, "a coordinator stops cleanly on SIGTERM");
    for agent in &mut agents {
        agent.signal(Signal::TERM);
        assert_eq!(agent.wait(), 0, "an agent stops cleanly on SIGTERM");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_host_is_shown_as_the_snapshot_its_agent_collects() {
    let home = tempdir().expect("a home");
    for name in host_names() {
        let agent = TestAgent::start(&host(&name), home.path().join("a.sock")).await;
        let shown = vmuster(
            home.path(),
            &["--agents", &agent.address, "hosts", "show", &agent.address, "-o", "json"],
        );
        assert_eq!(shown.code, 0, "{name}: {}", shown.stderr);
        let collected = run(Command::new(vmuster_tests::programs::program("vmuster-agent")).args([
            "--recorded",
            &host(&name).display().to_string(),
            "collect",
        ]));
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(parse(&shown.stdout), parse(&collected.stdout), "{name}");
        let mut agent = agent;
        agent.stop().await;
    }
}

#[test]
fn a_progress_bar_is_drawn_on_a_terminal_only() {
    let home = tempdir().expect("a home");
    let recorded = host("nehalem-old").display().to_string();
    let agent =
        Daemon::start("vmuster-agent", &["--recorded", &recorded, "serve", "--listen", "127.0.0.1:0"]);
    let line = format!(
        "'{}' --agents {} hosts refresh",
        vmuster_tests::programs::program("vmuster").display(),
        agent.address
    );
    let mut on_terminal = Command::new("script");
    on_terminal.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
    let on_terminal = run(vmuster_tests::programs::isolated(&mut on_terminal, home.path()));
    assert_eq!(on_terminal.code, 0, "{on_terminal:?}");
    assert!(on_terminal.stdout.contains("1/1 hosts"), "{on_terminal:?}");
    let elsewhere = vmuster(home.path(), &["--agents", &agent.address, "hosts", "refresh"]);
    assert_eq!((elsewhere.code, elsewhere.stderr.as_str()), (0, ""));
}
