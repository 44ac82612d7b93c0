//! What a served agent costs while it waits and after it answered.

use std::{fs, time::Duration};

use tempfile::tempdir;
use vmuster_proto::{
    pb::{GetInventoryRequest, GetUsageRequest, agent_service_client::AgentServiceClient},
    transport::connect,
};
use vmuster_tests::programs::{Daemon, program};

const RESIDENT_MAX_KIB: u64 = 10 << 10;
const PEAK_MAX_KIB: u64 = 16 << 10;
const IDLE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// Questions of each kind before memory is looked at.
const ASKED: usize = 100;

/// A number of /proc/PID/status, in KiB.
fn status_kib(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with(key)).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// Ticks of CPU the process has used.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let after = stat.rsplit_once(") ").expect("a name").1;
    let numbers: Vec<u64> = after.split(' ').skip(11).take(2).map(|n| n.parse().expect("a number")).collect();
    numbers.iter().sum()
}

/// Starts the real agent, waits, asks it, and looks at it from outside.
pub(crate) fn measure(row: &mut dyn FnMut(&str, &str, bool, &str)) {
    let directory = tempdir().expect("a directory");
    let listen = format!("unix:{}", directory.path().join("agent.sock").display());
    // Built first, so that nothing compiles while it idles.
    let _built = program("vmuster-agent");
    let agent = Daemon::start("vmuster-agent", &["serve", "--listen", &listen]);
    let pid = agent.pid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let channel =
            connect(&agent.address.parse().expect("an address"), CONNECT).await.expect("a connection");
        let mut client = AgentServiceClient::new(channel);
        for _ in 0..ASKED {
            client.get_inventory(GetInventoryRequest::default()).await.expect("an inventory");
            client.get_usage(GetUsageRequest::default()).await.expect("usage");
        }
    });
    // Nothing announces that a process is idle: what it uses in a while is the measurement itself.
    let before = ticks(pid);
    std::thread::sleep(IDLE);
    let used = ticks(pid) - before;
    row("agent, CPU in 10 s idle", &format!("{used} ticks of 10 ms"), used == 0, "= 0");
    let resident = status_kib(pid, "VmRSS:");
    row("agent, VmRSS idle", &format!("{resident} KiB"), resident <= RESIDENT_MAX_KIB, "≤ 10240 KiB");
    let peak = status_kib(pid, "VmHWM:");
    row("agent, VmHWM", &format!("{peak} KiB"), peak <= PEAK_MAX_KIB, "≤ 16384 KiB");
}
