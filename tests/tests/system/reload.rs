//! SIGHUP reads the hosts file again; one that cannot be used changes nothing.

use std::fs;

use tempfile::tempdir;
use vmuster_tests::{
    coordinators::write_hosts_file,
    programs::{Daemon, Signal, vmuster},
};

/// Far more questions than a reload takes; each takes some 20 ms.
const QUESTIONS_MAX: usize = 500;

#[test]
fn sighup_reads_the_hosts_file_again_and_keeps_the_old_hosts_if_it_is_broken() {
    let home = tempdir().expect("a home");
    let at = |name: &str| home.path().join(name).display().to_string();
    let hosts_file = home.path().join("hosts.toml");
    let (dead, gone) = (format!("unix:{}", at("dead.sock")), format!("unix:{}", at("gone.sock")));
    write_hosts_file(&hosts_file, &[("a", &dead)]);
    let socket = format!("unix:{}", at("c.sock"));
    let config = format!(
        "hosts_file = '{}'\ncache_dir = '{}'\nstate_dir = '{}'\nlisten = ['{socket}']\n",
        at("hosts.toml"),
        at("cache"),
        at("state")
    );
    fs::write(at("c.toml"), config).expect("a configuration");
    let daemon = Daemon::start("vmuster-coordinator", &["--config", &at("c.toml"), "serve"]);
    let hosts = || vmuster(home.path(), &["--coordinator", &socket, "hosts", "list", "-o", "plain"]).stdout;
    let until = |expected: &str| (0..QUESTIONS_MAX).any(|_| hosts() == expected);
    assert!(until("a\n"));

    write_hosts_file(&hosts_file, &[("a", &dead), ("b", &gone)]);
    daemon.signal(Signal::HUP);
    assert!(until("a\nb\n"), "the new host is there");

    fs::write(&hosts_file, "[[host]]\nname = ").expect("broken");
    daemon.signal(Signal::HUP);
    write_hosts_file(&home.path().join("good.toml"), &[("c", &dead)]);
    assert_eq!(hosts(), "a\nb\n", "a broken file changes nothing");
    fs::rename(home.path().join("good.toml"), &hosts_file).expect("mended");
    daemon.signal(Signal::HUP);
    assert!(until("c\n"), "it still listens to SIGHUP");
}
