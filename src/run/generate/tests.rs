//! Scripted models under a paused clock: what a caller sees of each failure, and when.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};

use super::*;
use crate::{
    domain::{
        completion::{Completion, Delta, Grown},
        message::{Message, Role},
        model::{FinishReason, Options, Usage},
    },
    run::port::ModelList,
};

/// What a scripted attempt does, in order; after the last step the stream ends.
#[derive(Clone, Debug)]
enum Step {
    Started,
    Delta(&'static str),
    Finished,
    Fails(Fault),
    Silent(Duration),
}
use Step::{Delta as Says, Fails, Finished, Silent, Started};

/// Plays one script an attempt, and counts the answers that are open.
#[derive(Default)]
struct Script {
    attempts: Mutex<BTreeMap<String, VecDeque<Vec<Step>>>>,
    calls: Mutex<Vec<(Duration, String)>>,
    open: Arc<AtomicUsize>,
    born: Option<Instant>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Models for Script {
    fn resolve(&self, name: &str) -> Result<ModelRef, Fault> {
        Ok(model(name))
    }

    fn call(&self, model: &ModelRef, _: Request, _: Answer) -> ModelStream {
        let at = self.born.map(|born| born.elapsed()).unwrap_or_default();
        self.calls.lock().unwrap().push((at, model.to_string()));
        let mut attempts = self.attempts.lock().unwrap();
        let script = attempts.get_mut(&model.to_string()).unwrap();
        let steps = script.pop_front().expect("an attempt too many");
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&self.open));
        let model = model.clone();
        Box::pin(
            stream::iter(steps)
                .then(|step| async {
                    if let Silent(pause) = &step {
                        sleep(*pause).await;
                    }
                    step
                })
                .filter_map(move |step| {
                    let _held = &open;
                    let item = match step {
                        Started => Some(Ok(ModelEvent::Started {
                            model: model.clone(),
                        })),
                        Says(text) => Some(Ok(ModelEvent::Delta(Delta {
                            part_index: 0,
                            grown: Grown::Text(text.to_owned()),
                        }))),
                        Finished => Some(Ok(ModelEvent::Finished(Box::new(completion(&model))))),
                        Fails(fault) => Some(Err(fault)),
                        Silent(_) => None,
                    };
                    async { item }
                }),
        )
    }

    fn list(&self, _: Option<String>) -> BoxFuture<'_, ModelList> {
        async { ModelList::default() }.boxed()
    }
}

fn model(name: &str) -> ModelRef {
    ModelRef::parse(name).unwrap()
}

fn completion(model: &ModelRef) -> Completion {
    Completion {
        model: model.clone(),
        message: Message::text(Role::Assistant, "whole"),
        finish_reason: FinishReason::Stop,
        provider_finish_reason: String::new(),
        usage: Usage::default(),
        provider_metadata: None,
    }
}

fn overloaded() -> Step {
    Fails(Fault::new(Reason::ProviderOverloaded, "busy"))
}

fn unknown_model() -> Step {
    Fails(Fault::new(Reason::ModelNotFound, "no such model"))
}

fn limited(wait: Duration) -> Step {
    Fails(Fault::new(Reason::ProviderRateLimited, "slower").retry_after(wait))
}

/// A generation over scripts: one list of attempts for each model, in the order of the plan.
struct Case {
    script: Arc<Script>,
    plan: Plan,
}

impl Case {
    fn new(on_break: OnBreak, models: &[(&str, &[&[Step]])]) -> Self {
        let script = Script {
            attempts: Mutex::new(
                models
                    .iter()
                    .map(|(name, attempts)| {
                        let attempts = attempts.iter().map(|steps| steps.to_vec()).collect();
                        ((*name).to_owned(), attempts)
                    })
                    .collect(),
            ),
            born: Some(Instant::now()),
            ..Script::default()
        };
        let plan = Plan {
            models: models.iter().map(|(name, _)| model(name)).collect(),
            answer: Answer::Streamed,
            on_break,
            retry: RetryPolicy::default(),
            deadline: None,
        };
        Self {
            script: Arc::new(script),
            plan,
        }
    }

    fn within(mut self, budget: Duration) -> Self {
        self.plan.deadline = Some(Instant::now() + budget);
        self
    }

    fn stream(&self) -> ModelStream {
        let request = Request {
            messages: vec![Arc::new(Message::text(Role::User, "hello"))],
            tools: Arc::from([]),
            options: Arc::new(Options::default()),
        };
        let models: Arc<dyn Models> = Arc::clone(&self.script) as _;
        generate(models, self.plan.clone(), request)
    }

    /// The whole stream, in short: `started a:x`, `+text`, `discarded REASON`, `finished a:x`,
    /// `fault REASON (attempts)`.
    async fn seen(&self) -> Vec<String> {
        self.stream()
            .map(|item| match item {
                Ok(ModelEvent::Started { model }) => format!("started {model}"),
                Ok(ModelEvent::Delta(delta)) => {
                    let Grown::Text(text) = delta.grown else {
                        panic!("{delta:?}")
                    };
                    format!("+{text}")
                }
                Ok(ModelEvent::Discarded(fault)) => format!("discarded {}", fault.reason),
                Ok(ModelEvent::Finished(completion)) => format!("finished {}", completion.model),
                Err(fault) => {
                    let attempts = fault.metadata.get("attempts").cloned().unwrap_or_default();
                    format!("fault {} ({attempts})", fault.reason)
                }
            })
            .collect()
            .await
    }

    fn calls(&self) -> Vec<String> {
        let calls = self.script.calls.lock().unwrap();
        calls.iter().map(|(_, model)| model.clone()).collect()
    }

    fn call_times(&self) -> Vec<Duration> {
        let calls = self.script.calls.lock().unwrap();
        calls.iter().map(|(at, _)| *at).collect()
    }
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_through_as_it_is() {
    let case = Case::new(
        OnBreak::Fail,
        &[("a:x", &[&[Started, Says("Hel"), Says("lo"), Finished]])],
    );
    assert_eq!(
        case.seen().await,
        ["started a:x", "+Hel", "+lo", "finished a:x"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_and_a_fallback_are_invisible_until_something_is_shown() {
    let case = Case::new(
        OnBreak::Fail,
        &[
            (
                "a:x",
                &[&[overloaded()], &[Started, overloaded()], &[Started]],
            ),
            ("b:y", &[&[Started, Says("hi"), Finished]]),
        ],
    );
    assert_eq!(case.seen().await, ["started b:y", "+hi", "finished b:y"]);
    assert_eq!(case.calls(), ["a:x", "a:x", "a:x", "b:y"]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_does_not_pass_falls_back_without_a_retry() {
    let case = Case::new(
        OnBreak::Fail,
        &[
            ("a:x", &[&[unknown_model()]]),
            ("b:y", &[&[Started, Finished]]),
        ],
    );
    assert_eq!(case.seen().await, ["started b:y", "finished b:y"]);
    assert_eq!(case.call_times(), [Duration::ZERO; 2]);
}

#[tokio::test(start_paused = true)]
async fn the_last_fault_names_every_attempt() {
    let case = Case::new(
        OnBreak::Restart,
        &[
            ("a:x", &[&[overloaded()], &[overloaded()], &[overloaded()]]),
            ("b:y", &[&[unknown_model()]]),
        ],
    );
    let attempts = "a:x=PROVIDER_OVERLOADED,a:x=PROVIDER_OVERLOADED,a:x=PROVIDER_OVERLOADED,\
                    b:y=MODEL_NOT_FOUND";
    assert_eq!(
        case.seen().await,
        [format!("fault MODEL_NOT_FOUND ({attempts})")]
    );
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let case = Case::new(
        OnBreak::Fail,
        &[("a:x", &[&[limited(seconds(10))], &[Started, Finished]])],
    );
    assert_eq!(case.seen().await, ["started a:x", "finished a:x"]);
    let waited = case.call_times()[1];
    assert!(
        waited >= seconds(10) && waited <= seconds(11) + Duration::from_millis(1),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_falls_back_at_once() {
    let case = Case::new(
        OnBreak::Fail,
        &[
            ("a:x", &[&[limited(seconds(21))]]),
            ("b:y", &[&[Started, Finished]]),
        ],
    );
    assert_eq!(case.seen().await, ["started b:y", "finished b:y"]);
    assert_eq!(case.call_times(), [Duration::ZERO; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_completion_that_breaks_after_its_first_delta_fails() {
    let case = Case::new(
        OnBreak::Fail,
        &[
            ("a:x", &[&[Started, Says("Hel")]]),
            ("b:y", &[&[Started, Finished]]),
        ],
    );
    assert_eq!(
        case.seen().await,
        [
            "started a:x",
            "+Hel",
            "fault PROVIDER_STREAM_BROKEN (a:x=PROVIDER_STREAM_BROKEN)"
        ]
    );
    assert_eq!(case.calls(), ["a:x"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_withdraws_a_broken_answer_and_begins_again() {
    let case = Case::new(
        OnBreak::Restart,
        &[
            (
                "a:x",
                &[
                    &[Started, Says("Hel")],
                    &[overloaded()],
                    &[Started, Says("Hu"), unknown_model()],
                ],
            ),
            ("b:y", &[&[Started, Says("Hello"), Finished]]),
        ],
    );
    assert_eq!(
        case.seen().await,
        [
            "started a:x",
            "+Hel",
            "discarded PROVIDER_STREAM_BROKEN",
            "started a:x",
            "+Hu",
            "discarded MODEL_NOT_FOUND",
            "started b:y",
            "+Hello",
            "finished b:y"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_without_its_answer_is_broken() {
    let case = Case::new(OnBreak::Fail, &[("a:x", &[&[], &[Started], &[]])]);
    let seen = case.seen().await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(
        seen[0].starts_with("fault PROVIDER_STREAM_BROKEN"),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_silent_answer_and_its_call() {
    let case = Case::new(
        OnBreak::Fail,
        &[(
            "a:x",
            &[&[Started, Says("a"), Silent(seconds(100)), Finished]],
        )],
    )
    .within(seconds(30));
    let begun = Instant::now();
    assert_eq!(
        case.seen().await,
        ["started a:x", "+a", "fault DEADLINE ()"]
    );
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(case.script.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_again_with_less_than_a_third_of_the_budget() {
    let slow_failure: &[Step] = &[Silent(seconds(21)), overloaded()];
    let case = Case::new(
        OnBreak::Fail,
        &[("a:x", &[slow_failure]), ("b:y", &[&[Started, Finished]])],
    )
    .within(seconds(30));
    assert_eq!(
        case.seen().await,
        ["fault PROVIDER_OVERLOADED (a:x=PROVIDER_OVERLOADED)"]
    );
    assert_eq!(case.calls(), ["a:x"]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_drops_the_call() {
    let case = Case::new(
        OnBreak::Fail,
        &[("a:x", &[&[Started, Says("a"), Silent(seconds(100))]])],
    );
    let mut stream = case.stream();
    assert!(
        case.calls().is_empty(),
        "nothing begins before the first poll"
    );
    assert!(stream.next().await.is_some());
    assert!(stream.next().await.is_some());
    assert!(stream.next().now_or_never().is_none());
    assert_eq!(case.script.open.load(Ordering::SeqCst), 1);
    drop(stream);
    assert_eq!(case.script.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_dropped_before_the_wait() {
    let case = Case::new(
        OnBreak::Fail,
        &[("a:x", &[&[limited(seconds(5))], &[Started, Finished]])],
    );
    let mut stream = case.stream();
    assert!(stream.next().now_or_never().is_none());
    assert_eq!(case.calls(), ["a:x"]);
    assert_eq!(case.script.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_plan_without_models_is_a_defect_and_no_panic() {
    let case = Case::new(OnBreak::Fail, &[]);
    assert_eq!(case.seen().await, ["fault INTERNAL ()"]);
}
