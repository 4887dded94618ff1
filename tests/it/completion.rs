//! Completions through the wire.

use runwire::{config::Config, pb::v1};
use tonic::Code;
use v1::stream_completion_response::Event;

use crate::harness::{Server, assert_fails, params};

fn generate(model: &str) -> v1::GenerateCompletionRequest {
    v1::GenerateCompletionRequest {
        params: Some(params(model)),
    }
}

fn stream(model: &str) -> v1::StreamCompletionRequest {
    v1::StreamCompletionRequest {
        params: Some(params(model)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_completion_has_message_reason_and_usage() {
    let server = Server::start().await;
    let mut client = server.completions().await;
    let answer = client
        .generate_completion(generate("fake:text"))
        .await
        .unwrap();
    let completion = answer.into_inner().completion.unwrap();
    assert!(completion.id.starts_with("cmpl_"));
    assert_eq!(completion.model, "fake:text");
    assert_eq!(completion.finish_reason(), v1::FinishReason::Stop);
    assert_eq!(completion.usage.unwrap().input_tokens, 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_started_then_deltas_then_the_whole() {
    let server = Server::start().await;
    let mut client = server.completions().await;
    let answer = client.stream_completion(stream("fake:text")).await.unwrap();
    let mut answer = answer.into_inner();
    let mut kinds = Vec::new();
    while let Some(message) = answer.message().await.unwrap() {
        kinds.push(match message.event.unwrap() {
            Event::Started(_) => "started",
            Event::Delta(_) => "delta",
            Event::Completion(_) => "completion",
        });
    }
    assert_eq!(kinds, ["started", "delta", "delta", "completion"]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_when_the_first_model_cannot() {
    let server = Server::start().await;
    let mut client = server.completions().await;
    let mut request = generate("fake:fault-PROVIDER_QUOTA_EXHAUSTED");
    request.params.as_mut().unwrap().model = "fake:fault-PROVIDER_UNAVAILABLE".to_owned();
    request.params.as_mut().unwrap().fallback_models = vec!["fake:text".to_owned()];
    let answer = client
        .generate_completion(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.completion.unwrap().model, "fake:text");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_ends_with_its_reason_after_its_deltas() {
    let server = Server::start().await;
    let mut client = server.completions().await;
    let answer = client
        .stream_completion(stream("fake:broken-PROVIDER_STREAM_BROKEN"))
        .await;
    let mut answer = answer.unwrap().into_inner();
    assert!(answer.message().await.unwrap().is_some());
    assert!(answer.message().await.unwrap().is_some());
    assert_fails(
        answer.message().await,
        Code::Unavailable,
        "PROVIDER_STREAM_BROKEN",
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_fails_before_its_headers_when_nothing_was_sent() {
    let server = Server::start().await;
    let mut client = server.completions().await;
    let answer = client
        .stream_completion(stream("fake:fault-MODEL_NOT_FOUND"))
        .await;
    assert_fails(answer, Code::NotFound, "MODEL_NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_ends_the_providers_work() {
    let server = Server::start().await;
    let mut client = server.completions().await;
    let answer = client.stream_completion(stream("fake:hang")).await.unwrap();
    assert_eq!(server.models.active(), 1);
    drop(answer);
    while server.models.active() > 0 {
        tokio::task::yield_now().await;
    }

    let unary = client.generate_completion(generate("fake:silent"));
    let gone = tokio::time::timeout(std::time::Duration::from_millis(10), unary).await;
    assert!(gone.is_err());
    while server.models.active() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_its_place_for_as_long_as_it_lasts() {
    let mut config = Config::default();
    config.completions.max_in_flight = 1;
    let server = Server::with(config).await;
    let mut client = server.completions().await;
    let first = client.stream_completion(stream("fake:hang")).await.unwrap();
    let refused = client.generate_completion(generate("fake:text")).await;
    let status = assert_fails(refused, Code::Unavailable, "SERVER_OVERLOADED");
    assert!(tonic_types::StatusExt::get_details_retry_info(&status).is_some());
    drop(first);
    while server.models.active() > 0 {
        tokio::task::yield_now().await;
    }
    client
        .generate_completion(generate("fake:text"))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn models_come_in_pages_with_who_could_not_be_asked() {
    let server = Server::start().await;
    let mut client = server.models().await;
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListModelsRequest {
            page_size: 50,
            page_token: token,
            ..v1::ListModelsRequest::default()
        };
        let page = client.list_models(request).await.unwrap().into_inner();
        assert_eq!(page.unavailable[0].provider, "other");
        seen.extend(page.models.into_iter().map(|model| model.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 120);
    assert!(seen.is_sorted());
}
