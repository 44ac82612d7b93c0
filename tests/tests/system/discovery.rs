//! What generic gRPC tools find: reflection and health, on both servers.

use tempfile::tempdir;
use tokio_stream::StreamExt as _;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use vmuster_proto::transport::{CONNECT_DEADLINE, connect};
use vmuster_tests::{agents::TestAgent, coordinators::TestCoordinator, fixtures::host};

async fn channel(address: &str) -> Channel {
    connect(&address.parse().expect("an address"), CONNECT_DEADLINE).await.expect("a connection")
}

async fn reflect(channel: Channel, request: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut client = ServerReflectionClient::new(channel);
    let replies = client.server_reflection_info(tokio_stream::iter([request])).await.expect("reflection");
    let reply = replies.into_inner().next().await.expect("a reply").expect("no error");
    reply.message_response.expect("a message")
}

async fn services(channel: Channel) -> Vec<String> {
    let reply = reflect(channel, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(list) = reply else { panic!("{reply:?}") };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    names
}

async fn health(channel: Channel, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let reply = HealthClient::new(channel).check(request).await.map_err(|status| status.code())?;
    Ok(reply.into_inner().status())
}

#[tokio::test]
async fn both_servers_list_their_services_and_are_serving() {
    let directory = tempdir().expect("a directory");
    let agent = TestAgent::named("kvm-01", &host("nehalem-old"), directory.path().join("a.sock")).await;
    let coordinator = TestCoordinator::start(directory.path(), &[("kvm-01", &agent.address)]).await;
    for (address, service, method) in [
        (&agent.address, "vmuster.v1.AgentService", "GetInventory"),
        (&coordinator.address, "vmuster.v1.ClusterService", "ComputeCommonCpuFlags"),
    ] {
        let channel = channel(address).await;
        let listed = services(channel.clone()).await;
        for expected in ["grpc.health.v1.Health", service] {
            assert!(listed.iter().any(|name| name == expected), "{expected} in {listed:?}");
        }
        // What `grpcurl describe` needs: the file that declares the service, with its comments compiled in.
        let reply = reflect(channel.clone(), MessageRequest::FileContainingSymbol(service.to_owned())).await;
        let MessageResponse::FileDescriptorResponse(files) = reply else { panic!("{reply:?}") };
        let declares =
            |bytes: &Vec<u8>| bytes.windows(method.len()).any(|window| window == method.as_bytes());
        assert!(files.file_descriptor_proto.iter().any(declares), "{service} is described");
        assert_eq!(health(channel.clone(), "").await, Ok(ServingStatus::Serving));
        assert_eq!(health(channel.clone(), service).await, Ok(ServingStatus::Serving));
        assert_eq!(health(channel, "no.such.Service").await, Err(Code::NotFound));
    }
}
