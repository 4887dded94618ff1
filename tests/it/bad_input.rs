//! What a caller can get wrong: each has a code and a reason, the connection lives on, and nobody else
//! notices.

use runwire::pb::v1;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use v1::{
    attach_run_request, completion_service_client::CompletionServiceClient, host_tools_request,
    run_service_client::RunServiceClient, tool_service_client::ToolServiceClient,
};

use crate::harness::{
    Bystander, Server, accepted, assert_fails, attach, attached, create, host, last_run, output,
    params, registration, report_on, result, run_message, spec, start_run, tool, why,
};

type Change<T> = fn(&mut T);

/// Sends a wrong completion and a right one on the same connection.
async fn complete(
    client: &mut CompletionServiceClient<Channel>,
    change: Change<v1::CompletionParams>,
) -> Status {
    let mut params = params("fake:text");
    change(&mut params);
    let wrong = v1::GenerateCompletionRequest {
        params: Some(params.clone()),
    };
    let unary = client.generate_completion(wrong).await.unwrap_err();
    let wrong = v1::StreamCompletionRequest {
        params: Some(params),
    };
    let streamed = client.stream_completion(wrong).await.unwrap_err();
    assert_eq!(why(&unary), why(&streamed));
    let right = v1::GenerateCompletionRequest {
        params: Some(crate::harness::params("fake:text")),
    };
    client.generate_completion(right).await.unwrap();
    unary
}

fn field_of(status: &Status) -> String {
    let bad = status.get_details_bad_request().unwrap();
    bad.field_violations[0].field.clone()
}

#[tokio::test(start_paused = true)]
async fn a_wrong_completion_is_refused_by_reason_and_field() {
    let table: &[(Change<v1::CompletionParams>, Code, &str, &str)] = &[
        (
            |p| p.model = "text".to_owned(),
            Code::InvalidArgument,
            "MODEL_NAME_INVALID",
            "params.model",
        ),
        (
            |p| p.model.clear(),
            Code::InvalidArgument,
            "INVALID_REQUEST",
            "params.model",
        ),
        (
            |p| p.model = "nobody:x".to_owned(),
            Code::NotFound,
            "PROVIDER_NOT_FOUND",
            "params.model",
        ),
        (
            |p| p.fallback_models = vec!["fake:text".to_owned(), "nobody:x".to_owned()],
            Code::NotFound,
            "PROVIDER_NOT_FOUND",
            "params.fallback_models[1]",
        ),
        (
            |p| p.messages.clear(),
            Code::InvalidArgument,
            "INVALID_REQUEST",
            "params.messages",
        ),
        (
            |p| p.messages[0].parts.clear(),
            Code::InvalidArgument,
            "INVALID_REQUEST",
            "params.messages[0].parts",
        ),
        (
            |p| p.messages[0].role = 0,
            Code::InvalidArgument,
            "INVALID_REQUEST",
            "params.messages[0].role",
        ),
        (
            |p| p.messages[0].parts[0].content = None,
            Code::InvalidArgument,
            "INVALID_REQUEST",
            "params.messages[0].parts[0].content",
        ),
        (
            |p| p.messages[0].set_role(v1::Role::Tool),
            Code::InvalidArgument,
            "INVALID_REQUEST",
            "params.messages[0].parts[0]",
        ),
        (
            |p| p.tools = vec![tool("same"), tool("same")],
            Code::InvalidArgument,
            "TOOL_NAME_CLASH",
            "params.tools[1].name",
        ),
        (
            |p| p.tools = vec![tool("two words")],
            Code::InvalidArgument,
            "INVALID_REQUEST",
            "params.tools[0].name",
        ),
        (
            |p| {
                p.tools = vec![tool("t")];
                p.tools[0].input_schema_json = "{".to_owned();
            },
            Code::InvalidArgument,
            "JSON_INVALID",
            "params.tools[0].input_schema_json",
        ),
        (
            |p| {
                p.tools = vec![tool("t")];
                p.tools[0].input_schema_json = r#"{"type":"no such type"}"#.to_owned();
            },
            Code::InvalidArgument,
            "SCHEMA_INVALID",
            "params.tools[0].input_schema_json",
        ),
        (
            |p| p.options.get_or_insert_default().output_schema_json = "[]".to_owned(),
            Code::InvalidArgument,
            "JSON_INVALID",
            "params.options.output_schema_json",
        ),
        (
            |p| {
                let options = p.options.get_or_insert_default();
                options
                    .provider_options
                    .insert("openai".to_owned(), "nope".to_owned());
            },
            Code::InvalidArgument,
            "JSON_INVALID",
            r#"params.options.provider_options["openai"]"#,
        ),
        (
            |p| p.options.get_or_insert_default().temperature = Some(f32::NAN),
            Code::InvalidArgument,
            "INVALID_REQUEST",
            "params.options.temperature",
        ),
        (
            |p| p.options.get_or_insert_default().max_output_tokens = Some(0),
            Code::InvalidArgument,
            "INVALID_REQUEST",
            "params.options.max_output_tokens",
        ),
    ];
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let mut client = CompletionServiceClient::new(channel);
    for (change, code, reason, field) in table {
        let status = complete(&mut client, *change).await;
        assert_eq!(
            why(&status),
            (*code, (*reason).to_owned()),
            "{}",
            status.message()
        );
        assert_eq!(field_of(&status), *field);
    }
    bystander.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_providers_faults_have_their_own_codes() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let mut client = CompletionServiceClient::new(channel);
    for (reason, code) in [
        ("PROVIDER_CREDENTIALS_MISSING", Code::FailedPrecondition),
        ("PROVIDER_CREDENTIALS_REJECTED", Code::FailedPrecondition),
        ("CONTEXT_LENGTH_EXCEEDED", Code::InvalidArgument),
        ("PROVIDER_QUOTA_EXHAUSTED", Code::ResourceExhausted),
        ("PROVIDER_RESPONSE_INVALID", Code::Unavailable),
    ] {
        let request = v1::GenerateCompletionRequest {
            params: Some(params(&format!("fake:fault-{reason}"))),
        };
        assert_fails(client.generate_completion(request).await, code, reason);
    }
    bystander.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_run_is_refused_by_reason_and_field() {
    let table: &[(Change<v1::RunSpec>, &str, &str)] = &[
        (|s| s.agent = None, "INVALID_REQUEST", "spec.agent"),
        (
            |s| s.agent.as_mut().unwrap().name.clear(),
            "INVALID_REQUEST",
            "spec.agent.name",
        ),
        (
            |s| s.agent.as_mut().unwrap().model = "x".to_owned(),
            "MODEL_NAME_INVALID",
            "spec.agent.model",
        ),
        (|s| s.input.clear(), "INVALID_REQUEST", "spec.input"),
        (
            |s| s.agent.as_mut().unwrap().tools = vec![attached(tool("t")), attached(tool("t"))],
            "TOOL_NAME_CLASH",
            "spec.agent.tools[1]",
        ),
        (
            |s| s.agent.as_mut().unwrap().tools = vec![v1::ToolBinding::default()],
            "INVALID_REQUEST",
            "spec.agent.tools[0].binding",
        ),
        (
            |s| {
                let subagent = v1::Subagent {
                    tool: Some(tool("t")),
                    agent: s.agent.clone(),
                };
                s.agent.as_mut().unwrap().tools = vec![v1::ToolBinding {
                    binding: Some(v1::tool_binding::Binding::Subagent(subagent)),
                    ..v1::ToolBinding::default()
                }];
            },
            "INVALID_REQUEST",
            "spec.agent.tools[0].subagent",
        ),
        (
            |s| {
                s.limits = Some(v1::RunLimits {
                    max_turns: Some(1_000_000),
                    ..v1::RunLimits::default()
                });
            },
            "INVALID_REQUEST",
            "spec.limits.max_turns",
        ),
        (
            |s| {
                s.labels.insert("Upper".to_owned(), String::new());
            },
            "INVALID_REQUEST",
            r#"spec.labels["Upper"]"#,
        ),
    ];
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let mut client = RunServiceClient::new(channel);
    for (change, reason, field) in table {
        let mut spec = spec("fake:text", vec![]);
        change(&mut spec);
        let request = v1::CreateRunRequest {
            spec: Some(spec),
            ..v1::CreateRunRequest::default()
        };
        let answer = client.create_run(request).await;
        let status = assert_fails(answer, Code::InvalidArgument, reason);
        assert_eq!(field_of(&status), *field);
    }
    let request = v1::CreateRunRequest {
        request_id: "not a uuid".to_owned(),
        spec: Some(spec("fake:text", vec![])),
    };
    assert_fails(
        client.create_run(request).await,
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    start_run(&mut client, spec("fake:text", vec![])).await;
    bystander.ends_well().await;
}

async fn opens_with(
    client: &mut RunServiceClient<Channel>,
    first: attach_run_request::Message,
) -> Status {
    match attach(client, first).await {
        Err(status) => status,
        Ok(mut stream) => stream.finish().await.unwrap_err(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_attachment_begins_with_its_start() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let mut client = RunServiceClient::new(channel);
    let heartbeat = attach_run_request::Message::Heartbeat(v1::Heartbeat {});
    let status = opens_with(&mut client, heartbeat).await;
    assert_eq!(
        why(&status),
        (
            Code::InvalidArgument,
            "STREAM_PROTOCOL_VIOLATION".to_owned()
        )
    );

    let nothing = attach_run_request::Message::Start(v1::AttachRunStart {
        host_id: "h".to_owned(),
        ..v1::AttachRunStart::default()
    });
    let status = opens_with(&mut client, nothing).await;
    assert_eq!(field_of(&status), "start.target");

    let mut nobody = create(spec("fake:text", vec![]));
    if let attach_run_request::Message::Start(start) = &mut nobody {
        start.host_id.clear();
    }
    let status = opens_with(&mut client, nobody).await;
    assert_eq!(field_of(&status), "start.host_id");

    let empty = client.attach_run(tokio_stream::empty()).await;
    assert_fails(empty, Code::InvalidArgument, "STREAM_PROTOCOL_VIOLATION");

    let silent = client.attach_run(tokio_stream::pending()).await;
    assert_fails(silent, Code::InvalidArgument, "STREAM_PROTOCOL_VIOLATION");
    start_run(&mut client, spec("fake:text", vec![])).await;
    bystander.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_start_ends_the_stream_and_not_the_run() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut stream = attach(&mut client, create(spec("fake:slow", vec![])))
        .await
        .unwrap();
    let run_id = stream.started().await.run.unwrap().id;
    stream
        .say(run_message(create(spec("fake:text", vec![]))))
        .await;
    let ended = stream.finish().await;
    assert_fails(ended, Code::InvalidArgument, "STREAM_PROTOCOL_VIOLATION");
    let run = crate::harness::outcome(&mut client, &run_id).await;
    assert_eq!(output(&run), "abcde");
}

#[tokio::test(start_paused = true)]
async fn a_host_begins_with_its_registration() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let mut client = ToolServiceClient::new(channel);
    let heartbeat = host_tools_request::Message::Heartbeat(v1::Heartbeat {});
    let refused = host(&mut client, heartbeat).await;
    assert_fails(
        refused.map(|_| ()),
        Code::InvalidArgument,
        "STREAM_PROTOCOL_VIOLATION",
    );
    let nameless = host(&mut client, registration("", vec![tool("t")])).await;
    assert_fails(
        nameless.map(|_| ()),
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    let mut fine = host(&mut client, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    assert!(fine.registered().await.rejected_tools.is_empty());
    fine.say(crate::harness::host_message(registration("h", vec![])))
        .await;
    let again = fine.heard.message().await;
    assert_fails(again, Code::InvalidArgument, "STREAM_PROTOCOL_VIOLATION");
    bystander.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_tool_does_not_take_its_host_down() {
    let server = Server::start().await;
    let mut client = server.tools().await;
    let mut wrong = tool("wrong");
    wrong.input_schema_json = r#"{"type":7}"#.to_owned();
    let mut stream = host(&mut client, registration("h", vec![tool("right"), wrong]))
        .await
        .unwrap();
    let rejected = stream.registered().await.rejected_tools;
    assert_eq!(rejected["wrong"].reason, "SCHEMA_INVALID");
    let listed = client
        .list_tools(v1::ListToolsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let names: Vec<_> = listed
        .tools
        .into_iter()
        .map(|t| t.tool.unwrap().name)
        .collect();
    assert_eq!(names, ["right"]);
}

async fn report(
    client: &mut ToolServiceClient<Channel>,
    report: v1::ToolCallReport,
) -> Result<v1::tool_call_receipt::Disposition, Status> {
    let request = v1::ReportToolCallRequest {
        report: Some(report),
    };
    let receipt = client.report_tool_call(request).await?.into_inner().receipt;
    Ok(receipt.unwrap().disposition())
}

#[tokio::test(start_paused = true)]
async fn reports_on_calls_that_are_not_there_are_told_so() {
    use v1::tool_call_receipt::Disposition;
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let (mut runs, mut tools) = (
        RunServiceClient::new(channel.clone()),
        ToolServiceClient::new(channel),
    );
    let unknown = v1::ToolCallReport {
        call_id: "call_nobody".to_owned(),
        attempt: 1,
        report: Some(accepted()),
    };
    let answer = report(&mut tools, unknown.clone()).await;
    assert_fails(answer, Code::NotFound, "TOOL_CALL_NOT_FOUND");
    let nothing = v1::ToolCallReport {
        report: None,
        ..unknown.clone()
    };
    let answer = report(&mut tools, nothing).await;
    assert_fails(answer, Code::InvalidArgument, "INVALID_REQUEST");

    // On a stream, where calls of other runs are, an unknown call is only stale.
    let run = spec("fake:tools-1", vec![attached(tool("t"))]);
    let mut stream = attach(&mut runs, create(run)).await.unwrap();
    let mut events = Vec::new();
    let call = stream.assignment(&mut events).await;
    stream
        .say(run_message(attach_run_request::Message::Report(unknown)))
        .await;
    stream.report(&call, accepted()).await;
    stream.report(&call, result("done")).await;
    let ended = last_run(&stream.finish().await.unwrap()).unwrap();
    assert_eq!(output(&ended), "done");

    // Now the call is over: an older delivery is stale, the same report again has counted.
    let late = report_on(&call, result("done"));
    assert_eq!(
        report(&mut tools, late).await.unwrap(),
        Disposition::Duplicate
    );
    let mut older = report_on(&call, result("other"));
    older.attempt = 7;
    assert_eq!(report(&mut tools, older).await.unwrap(), Disposition::Stale);
    bystander.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn an_oversized_message_ends_its_call_alone() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut completions = CompletionServiceClient::new(channel.clone());
    let mut runs = RunServiceClient::new(channel.clone());
    let mut tools = ToolServiceClient::new(channel);
    let mut bystander = attach(&mut runs, create(spec("fake:slow", vec![])))
        .await
        .unwrap();

    let mut large = params("fake:text");
    large.messages[0].parts[0] = crate::harness::text_part(&"x".repeat(33 << 20));
    let request = v1::GenerateCompletionRequest {
        params: Some(large.clone()),
    };
    let bytes = prost::Message::encoded_len(&request).to_string();
    let answer = completions.generate_completion(request).await;
    let status = assert_fails(answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    let told = status.get_details_error_info().unwrap().metadata;
    assert_eq!((&told["bytes"], &*told["limit"]), (&bytes, "33554432"));

    let mut first = spec("fake:text", vec![]);
    first.input = large.messages;
    let status = opens_with(&mut runs, create(first)).await;
    assert_eq!(
        why(&status),
        (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned())
    );

    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    stream.registered().await;
    let report = v1::ToolCallReport {
        call_id: "c".to_owned(),
        attempt: 1,
        report: Some(result(&"x".repeat(5 << 20))),
    };
    stream
        .say(crate::harness::host_message(
            host_tools_request::Message::Report(report),
        ))
        .await;
    let ended = loop {
        match stream.heard.message().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_fails(ended, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");

    let run = last_run(&bystander.finish().await.unwrap()).unwrap();
    assert_eq!(output(&run), "abcde");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_message_are_told_so() {
    use tonic::codegen::http;
    use tower::ServiceExt;
    let server = Server::start().await;
    let channel = server.channel().await;
    for (bytes, reason) in [
        (&b"\0\0\0\0\x02\xff\xff"[..], "INVALID_REQUEST"),
        (&b""[..], "STREAM_PROTOCOL_VIOLATION"),
        (&b"\x01\0\0\0\x01x"[..], "STREAM_PROTOCOL_VIOLATION"),
    ] {
        let request = http::Request::post("/runwire.v1.RunService/GetRun")
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::new(http_body_util::Full::new(
                bytes::Bytes::from(bytes),
            )))
            .unwrap();
        let response = channel.clone().oneshot(request).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(
            why(&status),
            (Code::InvalidArgument, reason.to_owned()),
            "{bytes:?}"
        );
    }
    let unknown = http::Request::post("/runwire.v1.RunService/NoSuchMethod")
        .body(tonic::body::Body::empty())
        .unwrap();
    let response = channel.oneshot(unknown).await.unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::Unimplemented);
}
