use std::time::Duration;

use futures_util::{StreamExt, future::join_all};

use super::*;
use crate::{
    domain::{completion::ModelEvent, fault::Reason},
    provider::{
        Providers, eventstream, golden,
        settings::{ProviderSettings, Settings},
        upstream::{Act, Upstream, response},
    },
    run::{port::Models, sample::greeting},
};

#[test]
fn golden_cases_hold() {
    golden::check_family(FAMILY, |name| {
        Box::new(match name {
            "aws-messages" => Bedrock::new("aws", Api::Messages),
            _ => Bedrock::new(name, Api::Converse),
        })
    });
}

#[test]
fn a_models_name_is_encoded_once_whatever_it_holds() {
    for (api, model, answer, expected) in [
        (
            Api::Converse,
            "anthropic.claude-v2:1",
            Answer::Whole,
            "/model/anthropic.claude-v2%3A1/converse",
        ),
        (
            Api::Converse,
            "arn:aws:bedrock:us-east-1:1:inference-profile/x",
            Answer::Streamed,
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse-stream",
        ),
        (
            Api::Messages,
            "us.anthropic.claude-opus-4-6-v1:0",
            Answer::Streamed,
            "/model/us.anthropic.claude-opus-4-6-v1%3A0/invoke-with-response-stream",
        ),
        (
            Api::Messages,
            "amazon.nova-pro-v1:0",
            Answer::Whole,
            "/model/amazon.nova-pro-v1%3A0/converse",
        ),
    ] {
        let model = ModelRef::parse(&format!("aws:{model}")).unwrap();
        let call = Call {
            model: &model,
            request: &greeting(),
            answer,
        };
        let encoded = Bedrock::new("aws", api).encode(call).unwrap();
        assert_eq!(encoded.path, expected);
        assert_eq!(encoded.framing, Framing::EventStream);
    }
    let dots = ModelRef::parse("aws:..").unwrap();
    let call = Call {
        model: &dots,
        request: &greeting(),
        answer: Answer::Whole,
    };
    let fault = Bedrock::new("aws", Api::Converse).encode(call).unwrap_err();
    assert_eq!(fault.reason, Reason::InvalidRequest);
}

#[test]
fn models_and_profiles_are_listed() {
    let bedrock = Bedrock::new("aws", Api::Converse);
    let names = |body: &str| -> Vec<String> {
        let models = bedrock.decode_models("aws", body.as_bytes()).unwrap();
        models.iter().map(|info| info.model.to_string()).collect()
    };
    let models = r#"{"modelSummaries":[{"modelId":"amazon.nova-pro-v1:0","inputModalities":["TEXT","IMAGE"],"modelArn":"arn"}]}"#;
    assert_eq!(names(models), ["aws:amazon.nova-pro-v1:0"]);
    let profiles = r#"{"inferenceProfileSummaries":[{"inferenceProfileId":"us.amazon.nova-pro-v1:0"}],"nextToken":null}"#;
    assert_eq!(names(profiles), ["aws:us.amazon.nova-pro-v1:0"]);
    assert!(bedrock.decode_models("aws", b"no list").is_err());
}

/// A provider of that kind with parameters, and with variables.
fn providers(
    url: Option<&str>,
    parameters: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Providers {
    let mut settings = Settings::default();
    let provider = ProviderSettings {
        kind: Some(KIND.to_owned()),
        base_url: url.map(str::to_owned),
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..ProviderSettings::default()
    };
    settings.providers.insert("bedrock".to_owned(), provider);
    let settings = settings.with_environment(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    Providers::new(&settings).unwrap()
}

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "s"),
];

async fn ask(providers: &Providers, answer: Answer) -> Result<Completion, Fault> {
    let model = providers.resolve("bedrock:amazon.nova-pro-v1:0").unwrap();
    let mut stream = providers.call(&model, greeting(), answer);
    let mut last = None;
    while let Some(event) = stream.next().await {
        if let ModelEvent::Finished(completion) = event? {
            last = Some(*completion);
        }
    }
    Ok(last.unwrap())
}

/// One connection for each answer: the machine's clock is moved, and idle connections are closed by it.
fn closing(status: &str, headers: &str, body: &str) -> Vec<Act> {
    let headers = format!("content-type: application/json\r\nconnection: close\r\n{headers}");
    vec![Act::Send(response(status, &headers, body).into_bytes())]
}

const ANSWER: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"hello"}]}},"stopReason":"end_turn"}"#;

#[tokio::test]
async fn a_stream_is_asked_for_with_a_signature_and_read() {
    let mut stream = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n\
                       x-amzn-requestid: r-1\r\nconnection: close\r\n\r\n"
        .to_vec();
    for (name, payload) in [
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"hello"}}"#,
        ),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
        (
            "metadata",
            r#"{"usage":{"inputTokens":11,"outputTokens":7,"totalTokens":18}}"#,
        ),
    ] {
        stream.extend(eventstream::tests::event(name, payload));
    }
    let api = Upstream::start(vec![vec![Act::Send(stream)]]).await;
    let session = ("AWS_SESSION_TOKEN", "the-session");
    let variables = [KEYS[0], KEYS[1], session];
    let providers = providers(Some(&api.url), &[("region", "eu-west-1")], &variables);
    let completion = ask(&providers, Answer::Streamed).await.unwrap();
    assert_eq!(completion.message.joined_text(), "hello");
    assert_eq!(completion.usage.total(), 18);
    let metadata = completion.provider_metadata.unwrap();
    assert_eq!(metadata.as_str(), r#"{"request_id":"r-1"}"#);
    let request = &api.requests()[0];
    assert!(request.starts_with("POST /model/amazon.nova-pro-v1%3A0/converse-stream HTTP/1.1"));
    assert!(request.contains("accept: application/vnd.amazon.eventstream\r\n"));
    assert!(request.contains("/eu-west-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "));
    assert!(request.contains("x-amz-security-token: the-session\r\n"));
}

#[tokio::test]
async fn a_key_of_bedrocks_own_goes_before_all_other_credentials() {
    let api = Upstream::start(vec![closing("200 OK", "", ANSWER)]).await;
    let mut settings = Settings::default();
    let provider = ProviderSettings {
        base_url: Some(api.url.clone()),
        ..ProviderSettings::default()
    };
    settings.providers.insert("aws".to_owned(), provider);
    let settings = settings.with_environment(|name| match name {
        "AWS_BEARER_TOKEN_BEDROCK" => Some("key-1".to_owned()),
        "AWS_REGION" => Some("us-west-2".to_owned()),
        _ => KEYS
            .iter()
            .find(|(variable, _)| *variable == name)
            .map(|(_, value)| (*value).to_owned()),
    });
    let providers = Providers::new(&settings).unwrap();
    let model = providers.resolve("aws:amazon.nova-pro-v1:0").unwrap();
    let mut stream = providers.call(&model, greeting(), Answer::Whole);
    while let Some(event) = stream.next().await {
        event.unwrap();
    }
    assert!(api.requests()[0].contains("authorization: Bearer key-1\r\n"));
}

#[tokio::test]
async fn a_missing_region_is_named_and_a_strange_one_refused() {
    let fault = ask(&providers(None, &[], &KEYS), Answer::Whole).await;
    let fault = fault.unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderCredentialsMissing);
    assert_eq!(fault.metadata["variable"], "AWS_REGION");
    for (name, value) in [("region", "x.evil.test/"), ("api", "telepathy")] {
        let mut settings = Settings::default();
        let provider = ProviderSettings {
            parameters: [(name.to_owned(), value.to_owned())].into(),
            ..ProviderSettings::default()
        };
        settings.providers.insert("aws".to_owned(), provider);
        let errors = Providers::new(&settings).unwrap_err();
        assert!(errors[0].problem.contains(name), "{}", errors[0]);
    }
}

fn granted(id: &str) -> Vec<Act> {
    let body = format!(
        r#"{{"AccessKeyId":"{id}","SecretAccessKey":"s","Token":"t","Expiration":"2100-01-01T00:00:00Z"}}"#
    );
    closing("200 OK", "", &body)
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_and_the_call_signed_anew() {
    let agent = Upstream::start(vec![granted("OLD"), granted("NEW")]).await;
    let expired = closing(
        "403 Forbidden",
        "x-amzn-errortype: ExpiredTokenException:http://internal.amazon.com/\r\n",
        r#"{"message":"The security token included in the request is expired"}"#,
    );
    let api = Upstream::start(vec![
        closing("200 OK", "", ANSWER),
        expired.clone(),
        closing("200 OK", "", ANSWER),
        expired.clone(),
        expired,
    ])
    .await;
    let providers = providers(
        Some(&api.url),
        &[("region", "eu-west-1")],
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent.url)],
    );
    ask(&providers, Answer::Whole).await.unwrap();
    // A token that has just been given out would not be replaced.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    ask(&providers, Answer::Whole).await.unwrap();
    let signers: Vec<bool> = api
        .requests()
        .iter()
        .map(|request| request.contains("Credential=NEW/"))
        .collect();
    assert_eq!(signers, [false, false, true]);
    assert_eq!(agent.requests().len(), 2);
}

#[tokio::test]
async fn calls_at_the_same_time_ask_for_credentials_once() {
    let agent = Upstream::start(vec![granted("ONLY")]).await;
    let api = Upstream::start((0..5).map(|_| closing("200 OK", "", ANSWER)).collect()).await;
    let providers = providers(
        Some(&api.url),
        &[("region", "eu-west-1")],
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent.url)],
    );
    let answers = join_all((0..5).map(|_| ask(&providers, Answer::Whole))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(agent.requests().len(), 1);
}

#[tokio::test]
async fn keys_that_stay_what_they_are_are_tried_once() {
    let refused = closing(
        "403 Forbidden",
        "x-amzn-errortype: UnrecognizedClientException\r\n",
        r#"{"message":"hunter2"}"#,
    );
    let api = Upstream::start(vec![refused.clone(), refused]).await;
    let providers = providers(Some(&api.url), &[("region", "eu-west-1")], &KEYS);
    let fault = ask(&providers, Answer::Whole).await.unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderCredentialsRejected);
    assert_eq!(fault.metadata["status"], "403");
    assert!(!format!("{fault:?}").contains("hunter2"));
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test]
async fn what_should_be_a_stream_and_is_none_is_noticed() {
    for (body, reason) in [
        (
            &b"\x00\x00\x00\x20garbage-garbage-garbage!"[..],
            Reason::ProviderStreamBroken,
        ),
        (&b"<html>"[..], Reason::ProviderResponseInvalid),
        (&b""[..], Reason::ProviderStreamBroken),
    ] {
        let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        bytes.extend_from_slice(body);
        let api = Upstream::start(vec![vec![Act::Send(bytes)]]).await;
        let providers = providers(Some(&api.url), &[("region", "eu-west-1")], &KEYS);
        let fault = ask(&providers, Answer::Streamed).await.unwrap_err();
        assert_eq!(fault.reason, reason);
    }
}

#[tokio::test]
async fn a_list_is_asked_for_with_a_signature() {
    let control = Upstream::start(vec![
        closing("200 OK", "", r#"{"modelSummaries":[{"modelId":"m:1"}]}"#),
        closing(
            "200 OK",
            "",
            r#"{"inferenceProfileSummaries":[{"inferenceProfileId":"us.m:1"}]}"#,
        ),
    ])
    .await;
    let parameters = [("region", "eu-west-1"), ("models_url", &*control.url)];
    let providers = providers(None, &parameters, &KEYS);
    let list = providers.list(Some("bedrock".to_owned())).await;
    let names: Vec<String> = list.models.iter().map(|it| it.model.to_string()).collect();
    assert_eq!(names, ["bedrock:m:1", "bedrock:us.m:1"]);
    let requests = control.requests();
    assert!(requests[0].starts_with("GET /foundation-models?byInferenceType=ON_DEMAND"));
    assert!(requests[1].starts_with("GET /inference-profiles?maxResults=1000 "));
    assert!(requests.iter().all(|it| it.contains("AWS4-HMAC-SHA256 ")));
}
