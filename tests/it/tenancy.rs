//! Nothing is found across tenants, and nobody learns whether it is there.

use runwire::{
    config::{AuthMode, Config, Token, hash_of},
    domain::principal::{Principal, Tenant},
    pb::v1,
};
use tonic::{
    Code, Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use v1::{run_service_client::RunServiceClient, tool_service_client::ToolServiceClient};

use crate::harness::{Server, accepted, hosted, report_on, result, run_message, spec, tool, why};

/// A caller's token on every call.
#[derive(Clone)]
pub(crate) struct Bearer(pub(crate) &'static str);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = format!("Bearer {}", self.0).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

pub(crate) fn tokens(principals: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    config.auth.mode = AuthMode::Tokens;
    config.auth.tokens = principals
        .iter()
        .map(|(name, tenant)| Token {
            sha256: hash_of(name),
            principal: Principal {
                tenant: Tenant::parse(tenant).unwrap(),
                name: (*name).into(),
                ..Principal::anonymous()
            },
        })
        .collect();
    config
}

type As<C> = InterceptedService<C, Bearer>;

fn runs_as(channel: &Channel, who: &'static str) -> RunServiceClient<As<Channel>> {
    RunServiceClient::with_interceptor(channel.clone(), Bearer(who))
}

fn tools_as(channel: &Channel, who: &'static str) -> ToolServiceClient<As<Channel>> {
    ToolServiceClient::with_interceptor(channel.clone(), Bearer(who))
}

/// What every call that names a run answers.
async fn every_way(
    client: &mut RunServiceClient<As<Channel>>,
    run_id: &str,
) -> Vec<(Code, String, String)> {
    let id = run_id.to_owned();
    let get = v1::GetRunRequest { run_id: id.clone() };
    let cancel = v1::CancelRunRequest {
        run_id: id.clone(),
        reason: String::new(),
    };
    let watch = v1::WatchRunRequest {
        run_id: id.clone(),
        ..v1::WatchRunRequest::default()
    };
    let start = v1::attach_run_request::Message::Start(v1::AttachRunStart {
        target: Some(v1::attach_run_start::Target::RunId(id)),
        host_id: "thief".to_owned(),
        ..v1::AttachRunStart::default()
    });
    let attach = tokio_stream::once(run_message(start));
    let statuses = [
        client.get_run(get).await.unwrap_err(),
        client.cancel_run(cancel).await.unwrap_err(),
        client.watch_run(watch).await.unwrap_err(),
        client.attach_run(attach).await.unwrap_err(),
    ];
    let seen = statuses.iter().map(|status| {
        let (code, reason) = why(status);
        (code, reason, status.message().to_owned())
    });
    seen.collect()
}

#[tokio::test(start_paused = true)]
async fn a_foreign_run_reads_like_one_that_is_not_there() {
    let server = Server::with(tokens(&[("alice", "acme"), ("bob", "other")])).await;
    let channel = server.channel().await;
    let (mut alice, mut bob) = (runs_as(&channel, "alice"), runs_as(&channel, "bob"));
    let request = v1::CreateRunRequest {
        spec: Some(spec("fake:hang", vec![])),
        ..v1::CreateRunRequest::default()
    };
    let run = alice
        .create_run(request)
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    let foreign = every_way(&mut bob, &run.id).await;
    let missing = every_way(&mut bob, "run_00000000000000000000000000000007").await;
    assert_eq!(foreign, missing);
    for (code, reason, _message) in foreign {
        assert_eq!((code, &*reason), (Code::NotFound, "RUN_NOT_FOUND"));
    }
    let listed = bob.list_runs(v1::ListRunsRequest::default()).await.unwrap();
    assert!(listed.into_inner().runs.is_empty());
    let get = v1::GetRunRequest { run_id: run.id };
    let run = alice.get_run(get).await.unwrap().into_inner().run.unwrap();
    assert_eq!(run.creator, "alice");
    assert_eq!(run.state(), v1::run::State::Running);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_feed_shows_nothing() {
    let server = Server::with(tokens(&[("alice", "acme"), ("bob", "other")])).await;
    let channel = server.channel().await;
    let (mut alice, mut bob) = (runs_as(&channel, "alice"), runs_as(&channel, "bob"));
    let request = v1::WatchRunsRequest {
        filter: Some(v1::RunFilter {
            agent_name: "tester".to_owned(),
            ..v1::RunFilter::default()
        }),
        include_finished: true,
        ..v1::WatchRunsRequest::default()
    };
    let mut feed = bob.watch_runs(request).await.unwrap().into_inner();
    let request = v1::CreateRunRequest {
        spec: Some(spec("fake:text", vec![])),
        ..v1::CreateRunRequest::default()
    };
    alice.create_run(request).await.unwrap();
    let first = feed.message().await.unwrap().unwrap();
    assert_eq!(first.root_run_id, "", "only heartbeats");
}

#[tokio::test(start_paused = true)]
async fn tools_and_calls_stay_with_their_tenant() {
    let server = Server::with(tokens(&[("alice", "acme"), ("bob", "other")])).await;
    let channel = server.channel().await;
    let (mut alice, mut bob) = (tools_as(&channel, "alice"), tools_as(&channel, "bob"));
    let registration = |id: &str| crate::harness::registration(id, vec![tool("t")]);
    let (said, inbound) = tokio::sync::mpsc::channel(8);
    said.send(crate::harness::host_message(registration("h")))
        .await
        .unwrap();
    let inbound = tokio_stream::wrappers::ReceiverStream::new(inbound);
    let heard = alice.host_tools(inbound).await.unwrap().into_inner();
    let mut stream = crate::harness::Hosting {
        said: Some(said),
        heard,
    };
    stream.registered().await;
    let foreign = bob
        .list_tools(v1::ListToolsRequest::default())
        .await
        .unwrap();
    assert!(foreign.into_inner().tools.is_empty());

    // A run of the other tenant does not reach the host, one of its own does.
    let request = v1::CreateRunRequest {
        spec: Some(spec("fake:tools-1", vec![hosted("t")])),
        ..v1::CreateRunRequest::default()
    };
    let mut theirs = runs_as(&channel, "bob");
    theirs.create_run(request.clone()).await.unwrap();
    let own = runs_as(&channel, "alice")
        .create_run(request)
        .await
        .unwrap()
        .into_inner();
    let call = stream.assignment().await;
    assert_eq!(call.run_id, own.run.unwrap().id);
    assert_eq!(call.principal, "alice");
    stream.report(&call, accepted()).await;
    stream.receipt().await;

    // The other tenant cannot report on it, and cannot tell it from one that is not there.
    let forged = v1::ReportToolCallRequest {
        report: Some(report_on(&call, result("forged"))),
    };
    let missing = v1::ReportToolCallRequest {
        report: Some(v1::ToolCallReport {
            call_id: "call_nobody".to_owned(),
            attempt: 1,
            report: Some(result("forged")),
        }),
    };
    let forged = bob.report_tool_call(forged).await.unwrap_err();
    let missing = bob.report_tool_call(missing).await.unwrap_err();
    assert_eq!(
        why(&forged),
        (Code::NotFound, "TOOL_CALL_NOT_FOUND".to_owned())
    );
    assert_eq!(
        (why(&forged), forged.message()),
        (why(&missing), missing.message())
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_id_counts_within_its_tenant() {
    let server = Server::with(tokens(&[("alice", "acme"), ("bob", "other")])).await;
    let channel = server.channel().await;
    let request = v1::CreateRunRequest {
        request_id: "6a1f1f4e-0d3c-4d57-9c8e-0b7d5f0a1b2c".to_owned(),
        spec: Some(spec("fake:text", vec![])),
    };
    let first = runs_as(&channel, "alice")
        .create_run(request.clone())
        .await
        .unwrap();
    let second = runs_as(&channel, "bob").create_run(request).await.unwrap();
    assert_ne!(
        first.into_inner().run.unwrap().id,
        second.into_inner().run.unwrap().id
    );
}
