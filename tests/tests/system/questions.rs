//! ClusterService, asked over its socket.

use tempfile::{TempDir, tempdir};
use tokio_stream::StreamExt as _;
use tonic::{Code, transport::Channel};
use vmuster_proto::{
    pb::{self, cluster_service_client::ClusterServiceClient},
    transport::{CONNECT_DEADLINE, connect},
};
use vmuster_tests::{
    agents::{Calls, TestAgent},
    coordinators::TestCoordinator,
    fixtures::host,
};

struct Setup {
    client: ClusterServiceClient<Channel>,
    agents: Vec<TestAgent>,
    _coordinator: TestCoordinator,
    _directory: TempDir,
}

const NAMES: [&str; 3] = ["haswell-1s", "nehalem-old", "rome-2s"];

async fn start() -> Setup {
    let directory = tempdir().expect("a directory");
    let mut agents = Vec::new();
    for name in NAMES {
        agents.push(TestAgent::start(&host(name), directory.path().join(format!("{name}.sock"))).await);
    }
    let hosts: Vec<_> =
        NAMES.iter().zip(&agents).map(|(name, agent)| (*name, agent.address.as_str())).collect();
    let coordinator = TestCoordinator::start(directory.path(), &hosts).await;
    let address = coordinator.address.parse().expect("an address");
    let client = ClusterServiceClient::new(connect(&address, CONNECT_DEADLINE).await.expect("connects"));
    Setup { client, agents, _coordinator: coordinator, _directory: directory }
}

fn flags() -> pb::ComputeCommonCpuFlagsRequest {
    pb::ComputeCommonCpuFlagsRequest { layer: pb::CpuFeatureLayer::Host.into(), ..Default::default() }
}

#[tokio::test]
async fn unchanged_is_only_said_to_the_same_question_about_the_same_hosts() {
    let mut setup = start().await;
    let first = setup.client.compute_common_cpu_flags(flags()).await.expect("an answer").into_inner();
    assert!(!first.unchanged && first.complete);
    assert_eq!(
        (first.host_count, first.fresh_host_count, first.hosts.len()),
        (3, 3, 0),
        "fresh hosts only if asked"
    );
    let known_generation = first.cluster_generation.clone();
    let again = pb::ComputeCommonCpuFlagsRequest { known_generation, ..flags() };
    let unchanged =
        setup.client.compute_common_cpu_flags(again.clone()).await.expect("an answer").into_inner();
    assert!(unchanged.unchanged && unchanged.groups.is_empty());
    let fewer = pb::HostScope { exclude: vec!["rome-2s".to_owned()], ..Default::default() };
    for other in [
        pb::ComputeCommonCpuFlagsRequest { layer: pb::CpuFeatureLayer::Guest.into(), ..again.clone() },
        pb::ComputeCommonCpuFlagsRequest { include_absent: true, ..again.clone() },
        pb::ComputeCommonCpuFlagsRequest { scope: Some(fewer.clone()), ..again.clone() },
        pb::ComputeCommonCpuFlagsRequest { without: vec!["rome-2s".to_owned()], ..again.clone() },
        pb::ComputeCommonCpuFlagsRequest { suggest_parts_max: 2, ..again.clone() },
    ] {
        let answer =
            setup.client.compute_common_cpu_flags(other.clone()).await.expect("an answer").into_inner();
        assert!(!answer.unchanged, "{other:?}");
    }
    for (other, code, words) in [
        (
            pb::ComputeCommonCpuFlagsRequest { suggest_parts_max: 9, ..flags() },
            Code::InvalidArgument,
            "2 to 8",
        ),
        (
            pb::ComputeCommonCpuFlagsRequest { without: vec!["nobody".to_owned()], ..flags() },
            Code::NotFound,
            "no such host: nobody",
        ),
        (
            pb::ComputeCommonCpuFlagsRequest {
                without: vec!["rome-2s".to_owned()],
                scope: Some(fewer),
                ..flags()
            },
            Code::InvalidArgument,
            "not in scope: rome-2s",
        ),
    ] {
        let refused = setup.client.compute_common_cpu_flags(other).await.expect_err("refused");
        assert!(refused.code() == code && refused.message().contains(words), "{refused:?}");
    }
    setup.agents[0].stop().await;
    let now = pb::ComputeCommonCpuFlagsRequest { max_age: Some(prost_types::Duration::default()), ..again };
    let changed = setup.client.compute_common_cpu_flags(now).await.expect("an answer").into_inner();
    assert!(!changed.unchanged && !changed.complete);
    assert_eq!(changed.hosts.len(), 1, "the host that is not fresh is named unasked");
    assert_eq!(changed.groups, first.groups, "and still counts");
}

#[tokio::test]
async fn a_refresh_counts_first_and_asks_everybody_unless_told_an_age() {
    let mut setup = start().await;
    let mut outcomes = Vec::new();
    for max_age in [None, None, Some(prost_types::Duration { seconds: 3600, nanos: 0 })] {
        let request = pb::RefreshHostsRequest { scope: None, max_age };
        let steps = setup.client.refresh_hosts(request).await.expect("a stream").into_inner();
        let steps: Vec<_> = steps.map(|step| step.expect("a step")).collect().await;
        assert_eq!(steps.iter().map(|step| step.done_count).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(steps.iter().all(|step| step.host_count == 3));
        outcomes.push(steps[1..].iter().map(pb::RefreshHostsResponse::outcome).collect::<Vec<_>>());
    }
    use pb::RefreshOutcome::{Fetched, StillFresh, Unchanged};
    assert_eq!(outcomes, [[Fetched; 3], [Unchanged; 3], [StillFresh; 3]]);
    let calls = Calls { inventories: 1, unchanged: 1, usages: 0 };
    assert!(setup.agents.iter().all(|agent| agent.calls() == calls));
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let mut setup = start().await;
    let (mut names, mut page_token) = (Vec::new(), String::new());
    for expected in [2, 1] {
        let request = pb::ListHostsRequest { page_size: 2, page_token, ..Default::default() };
        let page = setup.client.list_hosts(request).await.expect("a page").into_inner();
        assert_eq!((page.host_count, page.hosts.len()), (3, expected));
        names.extend(page.hosts.into_iter().filter_map(|host| host.standing).map(|standing| standing.name));
        page_token = page.next_page_token;
    }
    assert_eq!((names, page_token.as_str()), (NAMES.map(str::to_owned).to_vec(), ""));
    let request = pb::ListHostsRequest { page_size: 1001, ..Default::default() };
    assert_eq!(setup.client.list_hosts(request).await.expect_err("too large").code(), Code::InvalidArgument);
}
