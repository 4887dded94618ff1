//! Who may call.

use runwire::{domain::principal::Scope, pb::v1};
use tonic::{Code, Request};
use v1::{
    completion_service_client::CompletionServiceClient, run_service_client::RunServiceClient,
    tool_service_client::ToolServiceClient,
};

use crate::{
    harness::{Server, assert_fails, host_message, hosted, params, registration, spec, tool},
    tenancy::{Bearer, tokens},
};

#[tokio::test(start_paused = true)]
async fn without_credentials_nothing_is_answered() {
    let server = Server::with(tokens(&[("alice", "acme")])).await;
    let mut client = server.runs().await;
    let answer = client.list_runs(v1::ListRunsRequest::default()).await;
    assert_fails(answer, Code::Unauthenticated, "CREDENTIALS_MISSING");
    let mut wrong = Request::new(v1::ListRunsRequest::default());
    wrong
        .metadata_mut()
        .insert("authorization", "Bearer nobody".parse().unwrap());
    let answer = client.list_runs(wrong).await;
    assert_fails(answer, Code::Unauthenticated, "CREDENTIALS_INVALID");
    let watch = client.watch_run(v1::WatchRunRequest::default()).await;
    assert_fails(watch, Code::Unauthenticated, "CREDENTIALS_MISSING");
    let attach = client.attach_run(tokio_stream::pending()).await;
    assert_fails(attach, Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test(start_paused = true)]
async fn a_missing_scope_is_named() {
    let mut config = tokens(&[("reader", "acme")]);
    config.auth.tokens[0].principal.scopes = vec![Scope::RunsRead];
    let server = Server::with(config).await;
    let channel = server.channel().await;
    let mut runs = RunServiceClient::with_interceptor(channel.clone(), Bearer("reader"));
    runs.list_runs(v1::ListRunsRequest::default())
        .await
        .unwrap();
    let create = runs.create_run(v1::CreateRunRequest::default()).await;
    let status = assert_fails(create, Code::PermissionDenied, "PERMISSION_DENIED");
    let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
    assert_eq!(info.metadata["scope"], "runs.write");
    let mut completions = CompletionServiceClient::with_interceptor(channel, Bearer("reader"));
    let request = v1::GenerateCompletionRequest {
        params: Some(params("fake:text")),
    };
    let answer = completions.generate_completion(request).await;
    assert_fails(answer, Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test(start_paused = true)]
async fn tool_names_are_hosted_used_and_listed_by_pattern() {
    let mut config = tokens(&[("billing", "acme")]);
    config.auth.tokens[0].principal.host_tools = vec!["billing.*".to_owned()];
    config.auth.tokens[0].principal.use_tools = vec!["billing.read".to_owned()];
    let server = Server::with(config).await;
    let channel = server.channel().await;
    let mut tools = ToolServiceClient::with_interceptor(channel.clone(), Bearer("billing"));
    let offered = ["billing.read", "billing.pay", "mail.send"]
        .map(tool)
        .to_vec();
    let (said, inbound) = tokio::sync::mpsc::channel(4);
    said.send(host_message(registration("h", offered)))
        .await
        .unwrap();
    let inbound = tokio_stream::wrappers::ReceiverStream::new(inbound);
    let heard = tools.host_tools(inbound).await.unwrap().into_inner();
    let mut stream = crate::harness::Hosting {
        said: Some(said),
        heard,
    };
    let rejected = stream.registered().await.rejected_tools;
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected["mail.send"].reason, "PERMISSION_DENIED");

    let listed = tools
        .list_tools(v1::ListToolsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let names: Vec<_> = listed
        .tools
        .into_iter()
        .map(|t| t.tool.unwrap().name)
        .collect();
    assert_eq!(names, ["billing.read"]);

    let mut runs = RunServiceClient::with_interceptor(channel, Bearer("billing"));
    let request = v1::CreateRunRequest {
        spec: Some(spec("fake:text", vec![hosted("billing.pay")])),
        ..v1::CreateRunRequest::default()
    };
    let refused = runs.create_run(request).await;
    assert_fails(refused, Code::PermissionDenied, "PERMISSION_DENIED");
}
