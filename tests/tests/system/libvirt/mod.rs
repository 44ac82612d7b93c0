//! Agents of hosts with a real libvirt, real QEMU guests and the real reader process.

mod bad_days;
mod baselines;
mod captures;
mod cpus;
mod guests;
mod migrate;
mod placement;
mod storage;

use std::{fs, path::Path, process::Command, time::Duration};

use tonic::transport::Channel;
use vmuster_proto::{
    convert,
    model::{Inventory, Issue, Promised, Usage},
    pb::{
        GetInventoryRequest, GetUsageRequest, agent_service_client::AgentServiceClient,
        get_inventory_response::Outcome,
    },
    transport::{AGENT_REPLY_MAX_BYTES, CONNECT_DEADLINE, connect},
};
use vmuster_tests::{
    private_libvirt::PrivateLibvirt,
    programs::{Daemon, program},
};

/// Where a libvirt's knowledge of QEMU is kept between runs.
fn kept() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A host: libvirt, reader and agent, each a process.
struct Host {
    agent: AgentServiceClient<Channel>,
    daemon: Daemon,
    supervisor: Daemon,
    libvirt: PrivateLibvirt,
}

impl Host {
    async fn start() -> Option<Self> {
        Some(Self::on(PrivateLibvirt::start(kept()).await?, "2min", None).await)
    }

    /// `idle`: how long a reader waits for questions. `user`: who it runs as, if not
    /// root.
    async fn on(libvirt: PrivateLibvirt, idle: &str, user: Option<u32>) -> Self {
        let directory = libvirt.path("reader");
        fs::create_dir(&directory).expect("a directory");
        let socket = directory.join("sock");
        let mut command = match user {
            None => Command::new(program("vmuster-hypervisor")),
            Some(user) => {
                // The workspace may be where nobody else may look.
                let copy = directory.join("vmuster-hypervisor");
                fs::copy(program("vmuster-hypervisor"), &copy).expect("a copy");
                std::os::unix::fs::chown(&directory, Some(user), Some(user)).expect("we are root");
                let mut command = Command::new("setpriv");
                let user = user.to_string();
                command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]).arg(copy);
                command
            }
        };
        command.arg("--libvirt-socket").arg(libvirt.socket());
        let supervisor =
            Daemon::start_by(command.args(["supervise", "--idle", idle, "--socket"]).arg(&socket));
        let config = libvirt.path("agent.toml");
        fs::write(&config, format!("hypervisor_socket = \"{}\"\n", socket.display())).expect("a file");
        let config = config.display().to_string();
        let daemon =
            Daemon::start("vmuster-agent", &["--config", &config, "serve", "--listen", "127.0.0.1:0"]);
        let address = daemon.address.parse().expect("an address");
        let channel = connect(&address, CONNECT_DEADLINE).await.expect("the agent listens");
        let agent = AgentServiceClient::new(channel).max_decoding_message_size(AGENT_REPLY_MAX_BYTES);
        Self { agent, daemon, supervisor, libvirt }
    }

    /// Questions go to another agent from now on.
    async fn ask_another(&mut self, daemon: Daemon) {
        let address = daemon.address.parse().expect("an address");
        let channel = connect(&address, CONNECT_DEADLINE).await.expect("the agent listens");
        self.agent = AgentServiceClient::new(channel).max_decoding_message_size(AGENT_REPLY_MAX_BYTES);
        self.daemon = daemon;
    }

    async fn usage(&mut self) -> (Usage, Vec<Issue>) {
        let answer = self.agent.get_usage(GetUsageRequest {}).await.expect("an answer").into_inner();
        let usage = answer.usage.expect("a usage").try_into().expect("sane");
        (usage, convert::issues(answer.issues).expect("sane"))
    }

    /// What is promised; nothing of it may be in doubt.
    async fn promised(&mut self) -> Promised {
        let (usage, issues) = self.usage().await;
        assert_eq!(about_guests(&issues), Vec::<&Issue>::new());
        usage.promised.expect("promises")
    }

    async fn inventory(&mut self) -> (Inventory, Vec<Issue>) {
        let answer = self.agent.get_inventory(GetInventoryRequest::default()).await.expect("an answer");
        let Some(Outcome::Collected(collected)) = answer.into_inner().outcome else {
            panic!("no fingerprint was given")
        };
        let inventory = collected.inventory.expect("an inventory").try_into().expect("sane");
        (inventory, convert::issues(collected.issues).expect("sane"))
    }

    /// Processes that are readers now.
    fn readers(&self) -> Vec<u32> {
        let supervisor = self.supervisor.pid();
        let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"));
        children.expect("it runs").split_whitespace().map(|pid| pid.parse().expect("a process id")).collect()
    }

    fn agent_threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.daemon.pid())).expect("it runs").count()
    }
}

fn about_guests(issues: &[Issue]) -> Vec<&Issue> {
    let sections = ["cpu.guest", "hypervisor", "usage.domains", "usage.pools", "usage.images"];
    issues.iter().filter(|issue| sections.iter().any(|section| issue.section.starts_with(section))).collect()
}

/// A plain guest with a disk or none.
fn guest(name: &str, kind: &str, mebibytes: u32, vcpus: u32, devices: &str) -> String {
    format!(
        "<domain type='{kind}'><name>{name}</name><memory unit='MiB'>{mebibytes}</memory><vcpu>{vcpus}</vcpu>\
         <os><type arch='x86_64'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{devices}\
         <memballoon model='none'/></devices></domain>"
    )
}

fn disk(path: &str, format: &str, target: &str) -> String {
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='{format}'/><source file='{path}'/>\
         <target dev='{target}' bus='virtio'/></disk>"
    )
}

/// The most that everything else may take while libvirt hangs, the way over the socket included.
const OTHERWISE_MAX: Duration = Duration::from_secs(1);

fn hypervisor_program() -> String {
    program("vmuster-hypervisor").display().to_string()
}
