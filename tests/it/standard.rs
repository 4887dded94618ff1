//! Health and reflection, as every gRPC tool expects them.

use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_reflection::pb::v1alpha;

use crate::harness::Server;

#[tokio::test(start_paused = true)]
async fn health_answers_for_the_whole_and_for_each_service() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel().await);
    for service in [
        "",
        "runwire.v1.RunService",
        "runwire.v1.CompletionService",
        "runwire.v1.ToolService",
        "runwire.v1.ModelService",
    ] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let status = client.check(request).await.unwrap().into_inner().status;
        assert_eq!(status, 1, "{service:?} serves");
    }
    let request = HealthCheckRequest {
        service: "nobody".to_owned(),
    };
    let status = client.check(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
}

const EXPECTED: [&str; 4] = [
    "runwire.v1.CompletionService",
    "runwire.v1.ModelService",
    "runwire.v1.RunService",
    "runwire.v1.ToolService",
];

#[tokio::test(start_paused = true)]
async fn reflection_lists_the_services() {
    let server = Server::start().await;
    let mut client = ServerReflectionClient::new(server.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answer = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap();
    let answer = answer.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list");
    };
    let names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for expected in EXPECTED {
        assert!(
            names.iter().any(|name| name == expected),
            "{expected} in {names:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn older_tools_find_them_too() {
    use v1alpha::{
        server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let server = Server::start().await;
    let mut client = ServerReflectionClient::new(server.channel().await);
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(
            "runwire.v1.RunService".to_owned(),
        )),
    };
    let answer = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap();
    let answer = answer.into_inner().message().await.unwrap().unwrap();
    assert!(matches!(
        answer.message_response,
        Some(MessageResponse::FileDescriptorResponse(_))
    ));
}
