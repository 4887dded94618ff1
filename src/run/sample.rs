//! Runs, facts and a clock for tests.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    lock::Lock,
    port::{Clock, NewRun},
};
use crate::domain::{
    completion::Request,
    event::{CallState, Fact, RunMessage, ToolCallUpdate},
    fault::{Fault, Reason},
    id::{CallId, MessageId, RequestId, RunId},
    json::JsonText,
    message::{Content, Message, Part, Role, ToolCall},
    model::{ModelRef, Options, Usage},
    policy::Policies,
    principal::Tenant,
    run::{Agent, Limits, Run, RunSpec, RunState, Waiting},
    time::Timestamp,
    tool::{Annotations, ToolName, ToolSpec},
};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct HandClock(Lock<Timestamp>);

impl HandClock {
    pub(crate) fn at(millis: u64) -> Arc<Self> {
        Arc::new(Self(Lock::new(Timestamp::from_millis(millis))))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.0.lock();
        *now = *now + by;
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

pub(crate) fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).unwrap()
}

pub(crate) const fn run_id(number: u128) -> RunId {
    RunId::from_u128(number)
}

pub(crate) fn call_id(id: &str) -> CallId {
    CallId::parse(id).unwrap()
}

pub(crate) fn message_id(id: &str) -> MessageId {
    MessageId::parse(id).unwrap()
}

fn model() -> ModelRef {
    ModelRef::parse("test:one").unwrap()
}

/// A queued run of the tenant `acme` with one label, `team`.
pub(crate) fn run(number: u128, team: &str) -> Run {
    Run {
        id: run_id(number),
        tenant: tenant("acme"),
        creator: Arc::from("tester"),
        agent_name: "tester".to_owned(),
        state: RunState::Queued,
        error: None,
        output: None,
        finish_reason: None,
        usage: Usage::default(),
        usage_by_model: BTreeMap::new(),
        turn_count: 0,
        last_sequence: 1,
        labels: BTreeMap::from([("team".to_owned(), team.to_owned())]),
        create_time: Timestamp::from_millis(1_000),
        start_time: None,
        end_time: None,
        model: model(),
        cancel_reason: String::new(),
        trace: None,
        parent: None,
        waiting: Waiting::default(),
        thread: None,
        previous: None,
    }
}

/// A tool with a schema, and nothing else to it.
pub(crate) fn tool(name: &str, schema: &str) -> ToolSpec {
    ToolSpec {
        name: ToolName::parse(name).unwrap(),
        description: String::new(),
        input_schema: JsonText::parse_object(schema).unwrap(),
        output_schema: None,
        version: String::new(),
        annotations: Annotations::default(),
        cache_breakpoint: false,
    }
}

/// A request that says hi, and nothing else.
pub(crate) fn greeting() -> Request {
    Request {
        messages: vec![Arc::new(Message::text(Role::User, "hi"))],
        tools: Arc::new([]),
        options: Arc::default(),
    }
}

pub(crate) fn new_run(run: Run) -> NewRun {
    let spec = RunSpec {
        agent: Agent {
            name: run.agent_name.clone(),
            model: model(),
            fallback_models: Vec::new(),
            instructions: String::new(),
            tools: Vec::new(),
            options: Arc::new(Options::default()),
        },
        input: vec![Arc::new(Message::text(Role::User, "Go."))],
        limits: Limits {
            max_turns: 10,
            max_tool_calls: 10,
            max_tokens: 10_000,
            max_parallel_tool_calls: 8,
            max_depth: 4,
            timeout: Duration::from_secs(60),
        },
        labels: run.labels.clone(),
        policy: Policies::default(),
        continuation: None,
    };
    NewRun {
        spec: Arc::new(spec),
        run: Arc::new(run),
        most_queued: 64,
        request: None,
    }
}

pub(crate) fn requested(run: Run, request: &str, digest: u8) -> NewRun {
    NewRun {
        request: Some((RequestId::parse(request).unwrap(), [digest; 32])),
        ..new_run(run)
    }
}

pub(crate) fn in_state(run: &Run, state: RunState) -> Fact {
    Fact::RunUpdated(Arc::new(Run {
        state,
        ..run.clone()
    }))
}

/// The model's message, with calls.
pub(crate) fn completed(id: &str, text: &str, calls: &[&str]) -> Fact {
    let mut message = Message::text(Role::Assistant, text);
    message.id = Some(message_id(id));
    let calls = calls
        .iter()
        .map(|id| Part::new(Content::ToolCall(call(id))));
    message.parts.extend(calls);
    Fact::MessageCompleted(Arc::new(RunMessage {
        message: Arc::new(message),
        turn: None,
    }))
}

pub(crate) fn discarded(id: &str) -> Fact {
    Fact::MessageDiscarded {
        message_id: message_id(id),
        error: Fault::new(Reason::ProviderStreamBroken, "it broke"),
    }
}

fn call(id: &str) -> ToolCall {
    ToolCall {
        id: call_id(id),
        name: "search".to_owned(),
        arguments: "{}".to_owned(),
    }
}

pub(crate) fn update(id: &str, state: CallState) -> Arc<ToolCallUpdate> {
    Arc::new(ToolCallUpdate {
        call: Arc::new(call(id)),
        state,
        attempt: 1,
        host_id: None,
        result: None,
        error: None,
        plan: None,
    })
}

pub(crate) fn call_in(id: &str, state: CallState) -> Fact {
    Fact::ToolCallUpdated(update(id, state))
}
