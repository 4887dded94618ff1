use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use futures_util::future::join_all;
use tokio::time::{advance, sleep};

use super::*;
use crate::provider::{
    settings::Limits,
    upstream::{Act, Upstream, response},
};

/// A value and its lifetime in seconds, or no token.
type Fetched = Option<(&'static str, u64)>;

/// What the next fetches give, and how long each takes.
#[derive(Clone, Debug, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Fetched>>>,
    takes: Duration,
}

impl Script {
    fn new(answers: &[Fetched]) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            takes: Duration::from_millis(100),
        }
    }

    fn left(&self) -> usize {
        self.answers.lock().unwrap().len()
    }
}

impl TokenSource for Script {
    fn fetch(&self) -> BoxFuture<'_, Result<Token, Fault>> {
        async {
            sleep(self.takes).await;
            let answer = self.answers.lock().unwrap().pop_front();
            match answer.expect("nobody asks more often than the test says") {
                Some((value, seconds)) => Ok(Token {
                    value: Secret::new(value),
                    lifetime: Duration::from_secs(seconds),
                }),
                None => Err(fault::unreachable("no")),
            }
        }
        .boxed()
    }
}

fn cache(script: &Script) -> TokenCache {
    TokenCache::new(script.clone(), TokenSettings::default())
}

async fn value(cache: &TokenCache) -> String {
    cache.token().await.unwrap().expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_ask_once() {
    let script = Script::new(&[Some(("a", 3600))]);
    let cache = cache(&script);
    let values = join_all((0..50).map(|_| value(&cache))).await;
    assert!(values.iter().all(|value| value == "a"));
    assert_eq!(script.left(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_by_those_who_waited_and_not_kept() {
    let script = Script::new(&[None, Some(("a", 3600))]);
    let cache = cache(&script);
    let results = join_all((0..50).map(|_| cache.token())).await;
    assert!(results.iter().all(Result::is_err));
    assert_eq!(value(&cache).await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_ahead_of_its_end_while_others_go_on_with_the_old_one() {
    let script = Script::new(&[Some(("a", 3600)), Some(("b", 3600))]);
    let cache = cache(&script);
    assert_eq!(value(&cache).await, "a");
    advance(Duration::from_secs(3600 - 241)).await;
    assert_eq!(value(&cache).await, "a");
    advance(Duration::from_secs(2)).await;
    let values = join_all((0..5).map(|_| value(&cache))).await;
    assert_eq!(values, ["b", "a", "a", "a", "a"]);
    assert_eq!(value(&cache).await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_is_used_to_its_end() {
    let script = Script::new(&[Some(("a", 3600)), None, None, Some(("b", 3600))]);
    let cache = cache(&script);
    assert_eq!(value(&cache).await, "a");
    advance(Duration::from_secs(3600 - 239)).await;
    assert_eq!(value(&cache).await, "a");
    assert_eq!(value(&cache).await, "a", "not asked again at once");
    assert_eq!(script.left(), 2);
    advance(Duration::from_secs(11)).await;
    assert_eq!(value(&cache).await, "a");
    assert_eq!(script.left(), 1);
    advance(Duration::from_secs(300)).await;
    assert_eq!(value(&cache).await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_short_token_is_renewed_at_half_its_life() {
    let script = Script::new(&[Some(("a", 60)), Some(("b", 60))]);
    let cache = cache(&script);
    assert_eq!(value(&cache).await, "a");
    advance(Duration::from_secs(29)).await;
    assert_eq!(value(&cache).await, "a");
    advance(Duration::from_secs(2)).await;
    assert_eq!(value(&cache).await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_replaced_once_for_all_who_were_rejected() {
    let script = Script::new(&[Some(("a", 3600)), Some(("b", 3600))]);
    let cache = cache(&script);
    assert_eq!(value(&cache).await, "a");
    advance(Duration::from_secs(60)).await;
    let renewed = join_all((0..20).map(|_| cache.replace())).await;
    assert!(renewed.iter().all(|renewed| *renewed));
    assert_eq!(value(&cache).await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_rejected_as_soon_as_it_is_given_out_is_not_replaced() {
    let script = Script::new(&[Some(("a", 3600))]);
    let cache = cache(&script);
    assert_eq!(value(&cache).await, "a");
    assert!(!cache.replace().await);
}

#[tokio::test(start_paused = true)]
async fn asking_ends_when_its_time_is_over() {
    let script = Script {
        takes: Duration::from_secs(60),
        ..Script::new(&[Some(("a", 3600))])
    };
    let fault = cache(&script).token().await.unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_lets_the_next_one_ask() {
    let script = Script::new(&[Some(("a", 3600))]);
    let cache = cache(&script);
    let impatient = timeout(Duration::from_millis(10), cache.token()).await;
    assert!(impatient.is_err());
    assert_eq!(value(&cache).await, "a");
}

#[test]
fn lifetimes_are_read_as_numbers_and_as_text() {
    let lifetime = |body: &str| read(body.as_bytes()).map(|token| token.lifetime.as_secs());
    let check = |body: &str, expected: u64| assert_eq!(lifetime(body).unwrap(), expected, "{body}");
    check(r#"{"access_token":"t","expires_in":3599}"#, 3599);
    check(r#"{"access_token":"t","expires_in":"3599"}"#, 3599);
    check(r#"{"access_token":"t","expires_in":-1}"#, 300);
    check(r#"{"access_token":"t"}"#, 300);
    assert!(lifetime(r#"{"token":"t"}"#).is_err());
}

#[test]
fn forms_are_escaped() {
    assert_eq!(
        form(&[("grant_type", "urn:x"), ("a b", "ü&=~")]),
        "grant_type=urn%3Ax&a%20b=%C3%BC%26%3D~"
    );
}

#[tokio::test]
async fn a_refusal_of_the_token_endpoint_is_one_of_the_credentials_and_quotes_nothing() {
    let body = r#"{"error":"invalid_grant","error_description":"the secret is hunter2"}"#;
    let upstream = Upstream::start(vec![vec![Act::Send(
        response("400 Bad Request", "", body).into_bytes(),
    )]])
    .await;
    let client = Client::new(Duration::from_secs(5), Limits::default(), None).unwrap();
    let fault = post_form(
        &client,
        &upstream.url,
        &[("a", "b")],
        Duration::from_secs(5),
    )
    .await
    .unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderCredentialsRejected);
    assert!(!format!("{fault:?}").contains("hunter2"));
    assert!(upstream.requests()[0].ends_with("\r\n\r\na=b"));
}
