//! Every field of the contract that holds JSON as text, with what is no JSON: refused by reason and field,
//! on a connection on which a run of somebody else goes on.

use runwire::pb::v1;
use tonic::Code;
use tonic_types::StatusExt;
use v1::{
    completion_service_client::CompletionServiceClient, run_service_client::RunServiceClient,
    tool_service_client::ToolServiceClient,
};

use crate::harness::{
    Bystander, Server, accepted, assert_fails, attach, attached, create, host, hosted, last_run,
    output, params, registration, report_on, result, spec, start_run, text_part, tool,
};

/// What stands in the field instead of a JSON object, and the reason that it is refused for.
const WRONG: [(&str, &str); 4] = [
    ("{", "JSON_INVALID"),
    ("{} {}", "JSON_INVALID"),
    ("{'a': 1}", "JSON_INVALID"),
    ("[]", "JSON_INVALID"),
];

/// A request with this text in a place that holds an object, and the place's path.
type Place = (&'static str, fn(&mut v1::CompletionParams, String));

const PLACES: [Place; 5] = [
    ("tools[0].input_schema_json", |params, text| {
        params.tools = vec![tool("t")];
        params.tools[0].input_schema_json = text;
    }),
    ("tools[0].output_schema_json", |params, text| {
        params.tools = vec![tool("t")];
        params.tools[0].output_schema_json = text;
    }),
    ("options.output_schema_json", |params, text| {
        params.options.get_or_insert_default().output_schema_json = text;
    }),
    (r#"options.provider_options["fake"]"#, |params, text| {
        let options = params.options.get_or_insert_default();
        options.provider_options.insert("fake".to_owned(), text);
    }),
    (
        "messages[1].parts[0].tool_result.structured_json",
        |params, text| {
            // Any JSON will do here, an array too.
            let text = text.replace("[]", "[");
            params.messages.push(v1::Message {
                role: v1::Role::Tool.into(),
                parts: vec![v1::Part {
                    content: Some(v1::part::Content::ToolResult(v1::ToolResult {
                        call_id: "c".to_owned(),
                        parts: vec![text_part("t")],
                        structured_json: text,
                        ..v1::ToolResult::default()
                    })),
                    ..v1::Part::default()
                }],
                ..v1::Message::default()
            });
        },
    ),
];

#[tokio::test(start_paused = true)]
async fn text_that_is_no_json_is_refused_by_its_field_in_every_request() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let mut completions = CompletionServiceClient::new(channel.clone());
    let mut runs = RunServiceClient::new(channel);
    for (field, put) in PLACES {
        for (text, reason) in WRONG {
            let mut params = params("fake:text");
            put(&mut params, text.to_owned());
            let request = v1::GenerateCompletionRequest {
                params: Some(params.clone()),
            };
            let refused = completions.generate_completion(request).await;
            let status = assert_fails(refused, Code::InvalidArgument, reason);
            let violations = status.get_details_bad_request().unwrap().field_violations;
            assert_eq!(violations[0].field, format!("params.{field}"), "{text}");
            let request = v1::StreamCompletionRequest {
                params: Some(params.clone()),
            };
            let refused = completions.stream_completion(request).await;
            assert_fails(refused, Code::InvalidArgument, reason);

            let mut spec = spec(
                "fake:text",
                params.tools.into_iter().map(attached).collect(),
            );
            spec.agent.as_mut().unwrap().options = params.options;
            spec.input = params.messages;
            let request = v1::CreateRunRequest {
                spec: Some(spec),
                ..v1::CreateRunRequest::default()
            };
            let refused = runs.create_run(request).await;
            assert_fails(refused, Code::InvalidArgument, reason);
        }
    }
    bystander.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_hosts_tool_with_a_schema_that_is_none_is_rejected_by_name() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let mut client = ToolServiceClient::new(channel);
    let wrong = |name: &str, schema: &str| {
        let mut tool = tool(name);
        tool.input_schema_json = schema.to_owned();
        tool
    };
    let offered = vec![
        tool("right"),
        wrong("no_json", "{"),
        wrong("no_object", "[]"),
        wrong("no_schema", r#"{"type":"no such type"}"#),
        wrong("nowhere", r#"{"$ref":"https://example.com/schema"}"#),
    ];
    let mut stream = host(&mut client, registration("h", offered)).await.unwrap();
    let rejected = stream.registered().await.rejected_tools;
    let reasons: Vec<(&str, &str)> = ["no_json", "no_object", "no_schema", "nowhere"]
        .map(|name| (name, &*rejected[name].reason))
        .to_vec();
    assert_eq!(
        reasons,
        [
            ("no_json", "JSON_INVALID"),
            ("no_object", "JSON_INVALID"),
            ("no_schema", "SCHEMA_INVALID"),
            ("nowhere", "SCHEMA_INVALID"),
        ]
    );
    assert!(!rejected.contains_key("right"));
    bystander.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_no_json_fails_its_call_and_no_other() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let mut runs = RunServiceClient::new(channel.clone());
    let mut tools = ToolServiceClient::new(channel);
    let run = spec("fake:tools-2", vec![attached(tool("t"))]);
    let mut stream = attach(&mut runs, create(run)).await.unwrap();
    let first = stream.assignment(&mut Vec::new()).await;
    let second = stream.assignment(&mut Vec::new()).await;
    let malformed = v1::tool_call_report::Report::Result(v1::ToolResult {
        structured_json: "{no json".to_owned(),
        ..v1::ToolResult::default()
    });
    stream.report(&first, accepted()).await;
    stream.report(&first, malformed.clone()).await;
    // The same without a stream: it counts as the call's failure there, too.
    let request = v1::ReportToolCallRequest {
        report: Some(report_on(&second, malformed)),
    };
    tools.report_tool_call(request).await.unwrap();
    let run = last_run(&stream.finish().await.unwrap()).unwrap();
    assert_eq!(run.state(), v1::run::State::Succeeded);
    assert!(!output(&run).contains("no json"), "{}", output(&run));
    bystander.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn reports_that_come_twice_or_too_late_on_a_stream_are_told_so() {
    use v1::tool_call_receipt::Disposition;
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let mut runs = RunServiceClient::new(channel.clone());
    let mut tools = ToolServiceClient::new(channel);
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    stream.registered().await;
    start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = stream.assignment().await;
    let mut receipts = Vec::new();
    let mut stale = call.clone();
    stale.attempt += 6;
    for (delivery, report) in [
        (&stale, accepted()),
        (&call, accepted()),
        (&call, accepted()),
        (&stale, result("not this")),
        (&call, result("this")),
        (&call, result("this")),
        // What counts of a delivery counts once; what it says after that is not looked at.
        (&call, result("something else")),
        (&stale, result("this")),
    ] {
        stream.report(delivery, report).await;
        receipts.push(stream.receipt().await.disposition());
    }
    use Disposition::{Applied, Duplicate, Stale};
    assert_eq!(
        receipts,
        [
            Stale, Applied, Duplicate, Stale, Applied, Duplicate, Duplicate, Stale
        ]
    );
    bystander.ends_well().await;
}
