use std::time::Duration;

use super::*;
use crate::{
    domain::fault::{Fault, Reason},
    provider::{
        http::Client,
        settings::Limits,
        token::{Token, TokenSource},
        upstream::{Act, Upstream, response},
    },
};

const FILE: &str = "[default]\naws_access_key_id = file\naws_secret_access_key = s\n";

/// Asks for the credentials of whoever has these variables.
async fn fetch(variables: &[(&str, &str)]) -> Result<Token<Keys>, Fault> {
    let mut settings = ProviderSettings::default();
    read_environment(&mut settings, &|name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    let client = Client::new(Duration::from_secs(5), Limits::default(), None).unwrap();
    let identity = Identity::new(&settings);
    let limit = Duration::from_secs(5);
    Source::new(identity, "eu-west-1".to_owned(), client, limit)
        .fetch()
        .await
}

fn keys(id: &str, session: Option<&str>) -> Keys {
    Keys {
        id: id.to_owned(),
        secret: Secret::new("the-secret"),
        session: session.map(Secret::new),
    }
}

fn answer(status: &str, body: &str) -> Vec<Act> {
    vec![Act::Send(
        response(status, "connection: close\r\n", body).into_bytes(),
    )]
}

/// STS API Reference, "AssumeRoleWithWebIdentity", the example's shape.
const STS_ANSWER: &str = r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>me</SubjectFromWebIdentityToken>
    <AssumedRoleUser><Arn>arn:x</Arn></AssumedRoleUser>
    <Credentials>
      <SessionToken>the/session+token==</SessionToken>
      <SecretAccessKey>the-secret</SecretAccessKey>
      <Expiration>2100-01-01T00:00:00Z</Expiration>
      <AccessKeyId>ASIAEXAMPLE</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"#;

/// What a container's agent and a machine answer.
const GRANTED: &str = r#"{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIAEXAMPLE",
    "SecretAccessKey":"the-secret","Token":"the-token","Expiration":"2100-01-01T00:00:00Z"}"#;

#[tokio::test]
async fn sts_gives_credentials_for_a_web_identity() {
    let sts = Upstream::start(vec![answer("200 OK", STS_ANSWER)]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "header.claims.signature\n").unwrap();
    let token = fetch(&[
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &sts.url),
    ])
    .await
    .unwrap();
    let expected = keys("ASIAEXAMPLE", Some("the/session+token=="));
    assert_eq!(token.value, expected);
    assert!(token.lifetime > Duration::from_secs(3600));
    let request = &sts.requests()[0];
    assert!(request.starts_with("POST / HTTP/1.1"));
    assert!(request.ends_with(
        "\r\n\r\nAction=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3A\
         role%2Fr&RoleSessionName=runwire&WebIdentityToken=header.claims.signature"
    ));
    assert!(!request.to_lowercase().contains("authorization:"));
}

#[tokio::test]
async fn sts_gives_a_role_to_whoever_signs() {
    let sts = Upstream::start(vec![answer("200 OK", STS_ANSWER)]).await;
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config");
    std::fs::write(
        &config,
        format!("{FILE}[profile team]\nrole_arn = arn:r\nsource_profile = default\n"),
    )
    .unwrap();
    let token = fetch(&[
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("AWS_PROFILE", "team"),
        ("AWS_ENDPOINT_URL_STS", &sts.url),
    ])
    .await
    .unwrap();
    assert_eq!(token.value.id, "ASIAEXAMPLE");
    let request = &sts.requests()[0];
    assert!(request.contains("Action=AssumeRole&"));
    assert!(request.contains("Credential=file/"));
    assert!(request.contains("/eu-west-1/sts/aws4_request"));
}

#[tokio::test]
async fn what_sts_refuses_is_rejected_and_not_repeated() {
    let refusal = "<ErrorResponse><Error><Code>ExpiredTokenException</Code>\
                   <Message>Token hunter2 expired</Message></Error></ErrorResponse>";
    let sts = Upstream::start(vec![answer("400 Bad Request", refusal)]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "t").unwrap();
    let fault = fetch(&[
        ("AWS_ROLE_ARN", "arn:r"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &sts.url),
    ])
    .await
    .unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderCredentialsRejected);
    assert!(!format!("{fault:?}").contains("hunter2"));
}

#[tokio::test]
async fn an_answer_without_credentials_is_invalid() {
    for body in ["<html></html>", "{}", ""] {
        let agent = Upstream::start(vec![answer("200 OK", body)]).await;
        let fault = fetch(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent.url)])
            .await
            .unwrap_err();
        assert_eq!(fault.reason, Reason::ProviderResponseInvalid);
    }
}

#[tokio::test]
async fn a_containers_agent_gets_the_token_of_the_file() {
    let agent = Upstream::start(vec![answer("200 OK", GRANTED)]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "from-the-file\n").unwrap();
    let token = fetch(&[
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            &format!("{}/v1/credentials", agent.url),
        ),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            file.to_str().unwrap(),
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "from-the-environment"),
    ])
    .await
    .unwrap();
    assert_eq!(token.value, keys("ASIAEXAMPLE", Some("the-token")));
    let request = &agent.requests()[0];
    assert!(request.starts_with("GET /v1/credentials "));
    assert!(request.contains("authorization: from-the-file\r\n"));
}

#[tokio::test]
async fn a_machine_is_asked_by_the_second_version_only() {
    let machine = Upstream::start(vec![
        answer("200 OK", "the-metadata-token"),
        answer("200 OK", "my-role\n"),
        answer("200 OK", GRANTED),
    ])
    .await;
    let token = fetch(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine.url)])
        .await
        .unwrap();
    assert_eq!(token.value.id, "ASIAEXAMPLE");
    let requests = machine.requests();
    assert!(requests[0].starts_with("PUT /latest/api/token "));
    assert!(requests[0].contains("x-aws-ec2-metadata-token-ttl-seconds: "));
    let path = "/latest/meta-data/iam/security-credentials/";
    assert!(requests[1].starts_with(&format!("GET {path} ")));
    assert!(requests[2].starts_with(&format!("GET {path}my-role ")));
    for request in &requests[1..] {
        assert!(request.contains("x-aws-ec2-metadata-token: the-metadata-token\r\n"));
    }
}

#[tokio::test]
async fn without_any_credentials_they_are_named() {
    for variables in [
        [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")],
        [("AWS_EC2_METADATA_DISABLED", "TRUE")],
        [("AWS_PROFILE", "nobody")],
    ] {
        let fault = fetch(&variables).await.unwrap_err();
        assert_eq!(fault.reason, Reason::ProviderCredentialsMissing);
        assert_eq!(fault.metadata["variable"], "AWS_ACCESS_KEY_ID");
    }
}

#[tokio::test]
async fn keys_of_a_file_are_looked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let path = file.to_str().unwrap();
    let variables = [("AWS_SHARED_CREDENTIALS_FILE", path)];
    std::fs::write(&file, FILE).unwrap();
    let token = fetch(&variables).await.unwrap();
    assert_eq!(token.value.id, "file");
    assert!(token.lifetime <= Duration::from_secs(300));
    std::fs::write(&file, FILE.replace("= file", "= other")).unwrap();
    assert_eq!(fetch(&variables).await.unwrap().value.id, "other");
}

#[tokio::test]
async fn sts_says_whether_keys_are_somebodys() {
    let sts = Upstream::start(vec![
        answer("200 OK", "<GetCallerIdentityResponse/>"),
        answer("403 Forbidden", "<Code>InvalidClientTokenId</Code>"),
    ])
    .await;
    let mut settings = ProviderSettings::default();
    let parameters = &mut settings.parameters;
    parameters.insert("sts_url".to_owned(), sts.url.clone());
    let client = Client::new(Duration::from_secs(5), Limits::default(), None).unwrap();
    let identity = Identity::new(&settings);
    let limit = Duration::from_secs(5);
    let source = Source::new(identity, "eu-west-1".to_owned(), client, limit);
    source.identify(&keys("id", None)).await.unwrap();
    let fault = source.identify(&keys("id", None)).await.unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderCredentialsRejected);
    let request = &sts.requests()[0];
    assert!(request.ends_with("Action=GetCallerIdentity&Version=2011-06-15"));
    assert!(request.contains("Credential=id/"));
}

#[test]
fn regions_are_plain_words() {
    for (text, expected) in [
        ("us-east-1", true),
        ("", false),
        ("evil.com/", false),
        ("US", false),
    ] {
        assert_eq!(is_region(text), expected, "{text}");
    }
    assert_eq!(domain("cn-north-1"), "amazonaws.com.cn");
    assert_eq!(domain("us-gov-west-1"), "amazonaws.com");
}
