//! Who is let in, and what a peer can cost.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};
use tonic::{Code, Request, Response, Status};
use vmuster_agent::{
    config::Config,
    server::Agent,
    snapshot::{Host, HostSource},
};
use vmuster_coordinator::fetch::Fetcher;
use vmuster_proto::{
    clock::SystemClock,
    model::ProblemKind,
    pb::{
        self,
        agent_service_client::AgentServiceClient,
        agent_service_server::{AgentService, AgentServiceServer},
        cluster_service_client::ClusterServiceClient,
        get_inventory_response::Outcome,
    },
    transport::{AGENT_REPLY_MAX_BYTES, CONNECT_DEADLINE, Limits, ListenAddress, REQUEST_MAX_BYTES, connect},
};
use vmuster_tests::{coordinators::TestCoordinator, fixtures::host};

/// An agent of a recorded host on loopback, until the test ends.
async fn tcp_agent() -> SocketAddr {
    let source = HostSource::recorded(&host("skylake-smt")).expect("a recorded host");
    let host = Host::new(source, None, Arc::new(SystemClock));
    let listen = vec![ListenAddress::Tcp(([127, 0, 0, 1], 0).into())];
    let agent = Agent::start(&Config { listen, ..Config::default() }, host).await.expect("an agent");
    let ListenAddress::Tcp(address) = agent.addresses()[0] else { panic!("asked for TCP") };
    tokio::spawn(agent.run(std::future::pending()));
    address
}

fn fetcher(deadline: Duration) -> Fetcher {
    Fetcher::new(4, deadline)
}

#[tokio::test]
async fn a_call_needs_its_role() {
    let directory = tempdir().expect("a directory");
    let coordinator = TestCoordinator::start(directory.path(), &[]).await;
    let socket = coordinator.address.parse().expect("an address");
    let mut by_socket =
        ClusterServiceClient::new(connect(&socket, CONNECT_DEADLINE).await.expect("connects"));
    // This process is the daemon's own user, hence an admin.
    let refused = by_socket.add_host(pb::AddHostRequest::default()).await.expect_err("no address");
    assert_eq!(refused.code(), Code::InvalidArgument);

    let agent = tcp_agent().await.to_string().parse().expect("an address");
    let mut by_tcp = AgentServiceClient::new(connect(&agent, CONNECT_DEADLINE).await.expect("connects"));
    assert!(by_tcp.get_usage(pb::GetUsageRequest {}).await.is_ok(), "plaintext loopback may read");
    let refused = by_tcp.compare_cpu(pb::CompareCpuRequest::default()).await.expect_err("no CPU");
    assert_eq!(refused.code(), Code::InvalidArgument, "readers may ask, if they ask something");
}

#[tokio::test]
async fn plaintext_tcp_is_only_a_reader() {
    let directory = tempdir().expect("a directory");
    let config = vmuster_coordinator::config::Config {
        listen: vec![ListenAddress::Tcp(([127, 0, 0, 1], 0).into())],
        hosts_file: directory.path().join("hosts.toml"),
        cache_dir: directory.path().join("cache"),
        state_dir: directory.path().join("state"),
        ..Default::default()
    };
    std::fs::write(&config.hosts_file, "").expect("no hosts");
    let coordinator =
        vmuster_coordinator::server::Coordinator::start(config, Arc::new(SystemClock), Handle::current())
            .await;
    let coordinator = coordinator.expect("a coordinator");
    let address = coordinator.addresses()[0].to_string().parse().expect("an address");
    let (_reload, reloads) = tokio::sync::mpsc::channel(1);
    tokio::spawn(coordinator.run(reloads, std::future::pending()));
    let mut client = ClusterServiceClient::new(connect(&address, CONNECT_DEADLINE).await.expect("connects"));
    for refused in [
        client.add_host(pb::AddHostRequest::default()).await.map(drop),
        client.update_host(pb::UpdateHostRequest::default()).await.map(drop),
        client.remove_host(pb::RemoveHostRequest::default()).await.map(drop),
    ] {
        let refused = refused.expect_err("a reader may not");
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(vmuster_coordinator::reason_of(&refused).as_deref(), Some("ROLE_TOO_LOW"));
    }
    // A reader may ask, and an empty cluster is an answerable question's wrong scope.
    let empty = client.list_hosts(pb::ListHostsRequest::default()).await.expect_err("nobody is registered");
    assert_eq!(vmuster_coordinator::reason_of(&empty).as_deref(), Some("EMPTY_SCOPE"));
    let unset = client.compute_common_cpu_flags(pb::ComputeCommonCpuFlagsRequest::default()).await;
    let unset = unset.expect_err("the layer is not set");
    assert_eq!(vmuster_coordinator::reason_of(&unset).as_deref(), Some("INVALID_FIELD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_foreign_peers_are_dropped_and_real_ones_served() {
    let address = tcp_agent().await;
    let start = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..Limits::AGENT.max_connections {
        silent.push(TcpStream::connect(address).await.expect("accepted by the kernel"));
    }
    // All slots are taken by peers that say nothing; this one waits until they are dropped.
    let peer = address.to_string().parse().expect("an address");
    let usage = fetcher(Limits::AGENT.preface_deadline * 2).usage(&peer).await;
    assert!(usage.is_ok(), "{usage:?}");
    assert!(start.elapsed() >= Limits::AGENT.preface_deadline / 2, "the slots really were taken");
    for mut stream in silent {
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "dropped");
    }
    let mut browser = TcpStream::connect(address).await.expect("accepted");
    browser.write_all(b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n").await.expect("sent");
    assert_eq!(browser.read(&mut [0; 1]).await.unwrap_or(0), 0, "not HTTP/2: dropped at once");
}

#[tokio::test]
async fn a_request_over_the_limit_is_refused() {
    let peer = tcp_agent().await.to_string().parse().expect("an address");
    let mut client = AgentServiceClient::new(connect(&peer, CONNECT_DEADLINE).await.expect("connects"));
    let request = pb::GetInventoryRequest { known_fingerprint: "x".repeat(REQUEST_MAX_BYTES + 1) };
    assert_eq!(client.get_inventory(request).await.expect_err("too large").code(), Code::OutOfRange);
}

/// Forwards everything to the agent and only so many bytes back; then it stalls, and holds the connection open.
async fn stalling_proxy(agent: SocketAddr, bytes_back: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut server = TcpStream::connect(agent).await.expect("the agent");
        let (mut from_client, mut to_client) = client.split();
        let (from_server, mut to_server) = server.split();
        let back = async {
            tokio::io::copy(&mut from_server.take(bytes_back), &mut to_client).await.expect("forwarded");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
            () = back => {}
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stalls_anywhere_costs_the_deadline_and_no_more() {
    let agent = tcp_agent().await;
    let deadline = Duration::from_millis(500);
    // Before any byte, within the settings, within the headers, within the body.
    for bytes_back in [0, 1, 20, 40, 80, 160, 400, 1000] {
        let peer = stalling_proxy(agent, bytes_back).await.to_string().parse().expect("an address");
        let start = Instant::now();
        let problem = fetcher(deadline).inventory(&peer, "").await.expect_err("it stalls");
        assert_eq!(problem.kind, ProblemKind::Timeout, "after {bytes_back} bytes: {}", problem.detail);
        // Ten times, for a machine that is busy; without a deadline on the body it would be for ever.
        assert!(start.elapsed() < deadline * 10, "after {bytes_back} bytes: {:?}", start.elapsed());
    }
}

/// An agent that lies.
#[derive(Clone)]
struct Liar(pb::GetInventoryResponse);

#[tonic::async_trait]
impl AgentService for Liar {
    async fn get_inventory(
        &self,
        _: Request<pb::GetInventoryRequest>,
    ) -> Result<Response<pb::GetInventoryResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
    async fn get_usage(
        &self,
        _: Request<pb::GetUsageRequest>,
    ) -> Result<Response<pb::GetUsageResponse>, Status> {
        Err(Status::permission_denied("no"))
    }
    async fn compute_cpu_baseline(
        &self,
        _: Request<pb::AgentServiceComputeCpuBaselineRequest>,
    ) -> Result<Response<pb::AgentServiceComputeCpuBaselineResponse>, Status> {
        Err(Status::internal("not asked"))
    }
    async fn compare_cpu(
        &self,
        _: Request<pb::CompareCpuRequest>,
    ) -> Result<Response<pb::CompareCpuResponse>, Status> {
        Err(Status::internal("not asked"))
    }
}

async fn lie(outcome: Option<Outcome>) -> vmuster_proto::transport::PeerAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let liar = Liar(pb::GetInventoryResponse { name: "liar".to_owned(), outcome });
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(AgentServiceServer::new(liar));
    tokio::spawn(server.serve_with_incoming(incoming));
    address.parse().expect("an address")
}

#[tokio::test]
async fn answers_that_make_no_sense_are_malformed() {
    let collected =
        |inventory, issues| Some(Outcome::Collected(Box::new(pb::CollectedInventory { inventory, issues })));
    let inventory = |cpu| Some(pb::Inventory { cpu: Some(cpu), ..Default::default() });
    let huge = pb::Issue { detail: "x".repeat(AGENT_REPLY_MAX_BYTES), ..Default::default() };
    let flags = pb::FeatureNames { names: vec!["not a flag".to_owned()] };
    let unchanged = pb::UnchangedInventory { fingerprint: "another".to_owned() };
    for (outcome, words) in [
        (None, "lacks outcome"),
        (collected(None, Vec::new()), "lacks inventory"),
        (collected(inventory(pb::Cpu::default()), vec![huge]), "the answer is larger than 8 MiB"),
        (
            collected(inventory(pb::Cpu { host_flags: Some(flags), ..Default::default() }), Vec::new()),
            "cpu.host_flags",
        ),
        (
            collected(
                inventory(pb::Cpu { online_cpus: Some("0-4000000000".to_owned()), ..Default::default() }),
                Vec::new(),
            ),
            "cpu.online_cpus",
        ),
        (Some(Outcome::Unchanged(unchanged)), "'unchanged' of another inventory"),
    ] {
        let peer = lie(outcome).await;
        let problem = fetcher(Duration::from_secs(5)).inventory(&peer, "known").await.expect_err(words);
        assert_eq!(problem.kind, ProblemKind::Malformed, "{}", problem.detail);
        assert!(problem.detail.contains(words), "{words}: {}", problem.detail);
    }
    let peer = lie(None).await;
    let denied = fetcher(Duration::from_secs(5)).usage(&peer).await.expect_err("refused");
    assert_eq!(denied.kind, ProblemKind::Denied);
}
