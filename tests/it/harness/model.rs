//! Models that do as their name says.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use runwire::{
    domain::{
        completion::{Completion, Delta, Grown, ModelEvent, Request},
        fault::{Fault, Reason},
        id::CallId,
        message::{Content, Message, Part, Role, ToolCall},
        model::{FinishReason, ModelInfo, ModelRef, Usage},
    },
    run::port::{Answer, ModelList, ModelStream, Models},
};
use tokio::time::sleep;

/// What `flood` says in pieces.
pub(crate) const FLOOD_BYTES: usize = 8 << 20;

/// The provider `fake`:
/// - `text` answers "hello"; `echo` with the newest text; `hear` with all that it is sent, by role; `slow` in five pieces, a second apart;
/// - `tools-N` calls the first tool N times, then answers with the results; `twice` calls in two turns;
/// - `planned` makes the calls that the user's text lists as JSON, `[[[tool, arguments], …], …]` with a list for
///   each turn, then answers with all results;
/// - `hang` begins and never ends; `silent` never begins;
/// - `big` answers with 8 MiB, `flood` with as many in small pieces;
/// - `fault-REASON` fails before it begins, `broken-REASON` after a piece.
#[derive(Default)]
pub(crate) struct FakeModels {
    /// Calls under way.
    pub(crate) active: Arc<AtomicUsize>,
    /// All calls.
    pub(crate) calls: AtomicUsize,
}

struct Active(Arc<AtomicUsize>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

enum Step {
    Event(Result<ModelEvent, Fault>),
    Wait(Duration),
    Hang,
}

impl FakeModels {
    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }
}

impl Models for FakeModels {
    fn resolve(&self, name: &str) -> Result<ModelRef, Fault> {
        let wrong = || Fault::new(Reason::ModelNameInvalid, "a model is named provider:model");
        let model = ModelRef::parse(name).ok_or_else(wrong)?;
        if model.provider == "fake" {
            return Ok(model);
        }
        Err(Fault::new(
            Reason::ProviderNotFound,
            "no provider of this name",
        ))
    }

    fn call(&self, model: &ModelRef, request: Request, answer: Answer) -> ModelStream {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.active.fetch_add(1, Ordering::SeqCst);
        let active = Active(Arc::clone(&self.active));
        let mut steps = steps(model, &request);
        if answer == Answer::Whole {
            steps.retain(|step| !matches!(step, Step::Event(Ok(ModelEvent::Delta(_)))));
        }
        stream::unfold(
            (steps.into_iter(), active),
            |(mut steps, active)| async move {
                loop {
                    match steps.next()? {
                        Step::Event(event) => return Some((event, (steps, active))),
                        Step::Wait(wait) => sleep(wait).await,
                        Step::Hang => std::future::pending().await,
                    }
                }
            },
        )
        .boxed()
    }

    fn list(&self, _provider: Option<String>) -> BoxFuture<'_, ModelList> {
        let named =
            |n: u32| ModelInfo::named(ModelRef::parse(&format!("fake:model-{n:03}")).unwrap());
        let down = Fault::new(Reason::ProviderUnavailable, "it is down");
        let list = ModelList {
            models: (0..120).map(named).collect(),
            unavailable: vec![("other".to_owned(), down)],
        };
        async move { list }.boxed()
    }
}

fn steps(model: &ModelRef, request: &Request) -> Vec<Step> {
    let started = Step::Event(Ok(ModelEvent::Started {
        model: model.clone(),
    }));
    let piece = |text: &str| {
        Step::Event(Ok(ModelEvent::Delta(Delta {
            part_index: 0,
            grown: Grown::Text(text.to_owned()),
        })))
    };
    let say = |text: &str| {
        finished(
            model,
            vec![Content::Text(text.to_owned())],
            FinishReason::Stop,
        )
    };
    let newest = request.messages.last().unwrap();
    let name = &*model.model;
    if let Some(reason) = name.strip_prefix("fault-") {
        return vec![Step::Event(Err(fault(reason)))];
    }
    if let Some(reason) = name.strip_prefix("broken-") {
        return vec![started, piece("half"), Step::Event(Err(fault(reason)))];
    }
    if let Some(count) = name.strip_prefix("tools-") {
        if newest.role == Role::Tool {
            return vec![started, say(&results(request).join("|"))];
        }
        return vec![started, calls(model, request, count.parse().unwrap())];
    }
    match name {
        "text" => vec![started, piece("hel"), piece("lo"), say("hello")],
        "echo" => vec![started, say(&newest.joined_text())],
        "hear" => {
            let heard = request.messages.iter();
            let heard: Vec<_> = heard
                .map(|m| format!("{:?} {}", m.role, m.joined_text()))
                .collect();
            vec![started, say(&heard.join("; "))]
        }
        "slow" => {
            let second = || Step::Wait(Duration::from_secs(1));
            let mut steps = vec![started];
            for text in ["a", "b", "c", "d", "e"] {
                steps.extend([second(), piece(text)]);
            }
            steps.push(say("abcde"));
            steps
        }
        "twice" if results(request).len() < 2 => vec![started, calls(model, request, 1)],
        "twice" => vec![started, say(&results(request).join("|"))],
        "planned" => vec![started, planned(model, request)],
        "big" => vec![started, say(&"x".repeat(8 << 20))],
        "flood" => {
            let text = "x".repeat(64 << 10);
            let pieces = (0..FLOOD_BYTES / text.len()).map(|_| piece(&text));
            let mut steps = vec![started];
            steps.extend(pieces);
            steps.push(say("all of it"));
            steps
        }
        "hang" => vec![started, piece("hm"), Step::Hang],
        "silent" => vec![Step::Hang],
        other => panic!("no fake model {other}"),
    }
}

fn results(request: &Request) -> Vec<String> {
    let messages = request
        .messages
        .iter()
        .filter(|message| message.role == Role::Tool);
    messages
        .flat_map(|message| &message.parts)
        .filter_map(|part| match &part.content {
            Content::ToolResult(result) => Some(result.joined_text()),
            _ => None,
        })
        .collect()
}

fn calls(model: &ModelRef, request: &Request, count: usize) -> Step {
    let tool = request
        .tools
        .first()
        .expect("a tool to call")
        .name
        .to_string();
    let calls = (0..count).map(|n| {
        Content::ToolCall(ToolCall {
            id: CallId::mint(),
            name: tool.clone(),
            arguments: format!(r#"{{"n":{n}}}"#),
        })
    });
    finished(model, calls.collect(), FinishReason::ToolCalls)
}

fn planned(model: &ModelRef, request: &Request) -> Step {
    let (first, turn) = (request.messages.first(), request.messages.len() / 2);
    let plan: Vec<Vec<(String, serde_json::Value)>> =
        serde_json::from_str(&first.unwrap().joined_text()).unwrap();
    let Some(turn) = plan.get(turn) else {
        let text = results(request).join("|");
        return finished(model, vec![Content::Text(text)], FinishReason::Stop);
    };
    let call = |(tool, arguments): &(String, serde_json::Value)| {
        Content::ToolCall(ToolCall {
            id: CallId::mint(),
            name: tool.clone(),
            arguments: arguments.to_string(),
        })
    };
    finished(
        model,
        turn.iter().map(call).collect(),
        FinishReason::ToolCalls,
    )
}

fn finished(model: &ModelRef, contents: Vec<Content>, finish_reason: FinishReason) -> Step {
    Step::Event(Ok(ModelEvent::Finished(Box::new(Completion {
        model: model.clone(),
        message: Message {
            id: None,
            role: Role::Assistant,
            parts: contents.into_iter().map(Part::new).collect(),
            name: None,
        },
        finish_reason,
        provider_finish_reason: String::new(),
        usage: Usage {
            input_tokens: 3,
            output_tokens: 2,
            ..Usage::default()
        },
        provider_metadata: None,
    }))))
}

fn fault(name: &str) -> Fault {
    let reason = Reason::ALL
        .iter()
        .find(|reason| reason.name() == name)
        .unwrap();
    let mut fault = Fault::new(*reason, "as the model's name says");
    fault.metadata = BTreeMap::from([("provider".into(), "fake".to_owned())]);
    fault
}
