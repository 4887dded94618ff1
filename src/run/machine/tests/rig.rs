//! A machine at a bench: inputs go in by hand, what comes out is written down in words.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    domain::{
        call::{Delivery, Report, StopReason},
        completion::Completion,
        event::{Fact, Progress, ToolCallUpdate},
        fault::{Fault, Reason},
        id::{CallId, HostId, MessageId, RunId},
        input::Question,
        json::JsonText,
        message::{Content, Message, Part, Role, ToolCall, ToolResult},
        model::{FinishReason, ModelRef, Options, ToolChoice, Usage},
        policy::Policies,
        principal::Tenant,
        run::{Agent, Limits, Run, RunSpec, RunState, Waiting},
        time::Timestamp,
        tool::{Annotations, ToolBinding, ToolName, ToolSpec, ToolTarget},
    },
    run::{
        Settings,
        machine::{Answered, Effect, History, Input, Machine, News, Step},
        port::Offer,
    },
};

/// A machine, its clock, and all that has happened.
pub(super) struct Rig {
    pub(super) machine: Machine,
    pub(super) spec: Arc<RunSpec>,
    pub(super) now: Timestamp,
    pub(super) inputs: Vec<(Timestamp, Input)>,
    pub(super) facts: Vec<Fact>,
    /// What the driver would answer to the next looks at arguments: reasons to refuse, by call.
    pub(super) refuse: Vec<usize>,
    /// The binding that is missing, if any.
    pub(super) missing: Option<usize>,
    /// What was said before the run.
    pub(super) before: Vec<Arc<Message>>,
    /// The run as it was created.
    first: Arc<Run>,
    turns: u32,
}

/// A run with three tools: `pay` runs at most once, `find` is idempotent, `read` only reads.
pub(super) fn spec() -> RunSpec {
    let tool = |name: &str, annotations| ToolBinding {
        target: ToolTarget::Attached(tool(name, annotations)),
        timeout: None,
        accept_timeout: None,
        progress_timeout: None,
    };
    RunSpec {
        agent: Agent {
            name: "tester".to_owned(),
            model: ModelRef::parse("test:one").unwrap(),
            fallback_models: vec![ModelRef::parse("test:two").unwrap()],
            instructions: "Be brief.".to_owned(),
            tools: vec![
                tool("pay", Annotations::default()),
                tool(
                    "find",
                    Annotations {
                        idempotent: true,
                        ..Annotations::default()
                    },
                ),
                tool(
                    "read",
                    Annotations {
                        read_only: true,
                        ..Annotations::default()
                    },
                ),
            ],
            options: Arc::new(Options::default()),
        },
        input: vec![Arc::new(Message::text(Role::User, "Go."))],
        limits: Limits {
            max_turns: 10,
            max_tool_calls: 20,
            max_tokens: 10_000,
            max_parallel_tool_calls: 8,
            max_depth: 4,
            timeout: Duration::from_secs(3_600),
        },
        labels: BTreeMap::new(),
        policy: Policies::default(),
        continuation: None,
    }
}

fn tool(name: &str, annotations: Annotations) -> Arc<ToolSpec> {
    Arc::new(ToolSpec {
        name: ToolName::parse(name).unwrap(),
        description: String::new(),
        input_schema: JsonText::parse_object("{}").unwrap(),
        output_schema: None,
        version: String::new(),
        annotations,
        cache_breakpoint: false,
    })
}

pub(super) fn newborn(spec: &RunSpec, now: Timestamp) -> Run {
    Run {
        id: RunId::from_u128(7),
        tenant: Tenant::default_tenant(),
        creator: Arc::from("tester"),
        agent_name: spec.agent.name.clone(),
        state: RunState::Running,
        error: None,
        output: None,
        finish_reason: None,
        usage: Usage::default(),
        usage_by_model: BTreeMap::new(),
        turn_count: 0,
        last_sequence: 1,
        labels: BTreeMap::new(),
        create_time: now,
        start_time: Some(now),
        end_time: None,
        model: spec.agent.model.clone(),
        cancel_reason: String::new(),
        trace: None,
        parent: None,
        waiting: Waiting::default(),
        thread: None,
        previous: None,
    }
}

fn rig_settings() -> Settings {
    Settings {
        reaction_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

impl Rig {
    /// A run that has just been created.
    pub(super) fn new(spec: RunSpec) -> Self {
        let (spec, now) = (Arc::new(spec), Timestamp::from_millis(1_000_000));
        let run = newborn(&spec, now);
        Self::created(spec, run)
    }

    /// A run that waits for its turn behind another one.
    pub(super) fn queued(spec: RunSpec, before: Vec<Arc<Message>>) -> Self {
        let (spec, now) = (Arc::new(spec), Timestamp::from_millis(1_000_000));
        let run = Run {
            state: RunState::Queued,
            start_time: None,
            previous: Some(RunId::from_u128(6)),
            ..newborn(&spec, now)
        };
        let mut rig = Self::created(spec, run);
        rig.before = before;
        rig
    }

    fn created(spec: Arc<RunSpec>, run: Run) -> Self {
        let (now, first) = (run.create_time, Arc::new(run));
        let settings = Arc::new(rig_settings());
        Self {
            machine: Machine::new(Arc::clone(&spec), Arc::clone(&first), settings),
            before: Vec::new(),
            first,
            spec,
            now,
            inputs: Vec::new(),
            facts: Vec::new(),
            refuse: Vec::new(),
            missing: None,
            turns: 0,
        }
    }

    /// The process ends, and another one takes the run over: all that is left is the log. Returns what the
    /// machine is to be fed first.
    pub(super) fn crash(&mut self) -> Input {
        self.crash_and(|_| {})
    }

    /// The same, with something that is done to the run before it goes on.
    pub(super) fn crash_and(&mut self, before: impl FnOnce(&mut History)) -> Input {
        let settings = Arc::new(rig_settings());
        let states = self.facts.iter().rev().filter_map(|fact| match fact {
            Fact::RunUpdated(run) => Some(Arc::clone(run)),
            Fact::MessageCompleted(_)
            | Fact::MessageDiscarded { .. }
            | Fact::ToolCallUpdated(_)
            | Fact::InputAnswered(_)
            | Fact::PolicyDecided(_) => None,
        });
        // As the store has it: its deadline counts from its beginning.
        let newest = states
            .clone()
            .next()
            .unwrap_or_else(|| Arc::clone(&self.first));
        let mut history = History::new(Arc::clone(&self.spec), Arc::clone(&newest), settings);
        if newest.has_begun() {
            history.take_in(self.before.clone());
        }
        history.add(&Fact::RunUpdated(Arc::clone(&self.first)));
        for fact in &self.facts {
            history.add(fact);
        }
        before(&mut history);
        let number = history.messages();
        let results = MessageId::parse(&format!("r{}", self.turns)).unwrap();
        self.machine = history.restore(results);
        Input::Resume {
            message_id: MessageId::parse(&format!("m{number}")).unwrap(),
            end: None,
        }
    }

    /// A run whose model has been asked for the first time.
    pub(super) fn asked(spec: RunSpec) -> Self {
        let mut rig = Self::new(spec);
        rig.feed(Input::Begin);
        rig
    }

    /// A run whose first turn has asked for these calls: `c0`, `c1` and so on.
    pub(super) fn calling(spec: RunSpec, tools: &[&str]) -> Self {
        let mut rig = Self::asked(spec);
        rig.answer(tools);
        rig
    }

    /// Feeds an input, and gives in words what comes of it. Looks at tools and arguments are answered
    /// at once, as the driver does.
    pub(super) fn feed(&mut self, input: Input) -> Vec<String> {
        let mut words = Vec::new();
        let mut next = vec![input];
        while let Some(input) = next.pop() {
            let step = self.step(input);
            next.extend(step.effects.iter().filter_map(|effect| self.reply(effect)));
            words.extend(step.facts.iter().map(fact_words));
            words.extend(step.effects.iter().map(effect_words));
            words.extend(step.receipt.map(|receipt| format!("{receipt:?}")));
        }
        words
    }

    pub(super) fn step(&mut self, input: Input) -> Step {
        self.inputs.push((self.now, input.clone()));
        let step = self.machine.step(self.now, input);
        self.facts.extend_from_slice(&step.facts);
        step
    }

    pub(super) fn reply(&self, effect: &Effect) -> Option<Input> {
        match effect {
            Effect::Recall => Some(Input::Recalled(self.before.clone())),
            Effect::Offer => Some(match self.missing {
                Some(binding) => Input::Missing { binding },
                None => Input::Offered(self.offers()),
            }),
            Effect::Check(calls) => Some(Input::Checked(
                (0..calls.len())
                    .map(|call| {
                        if self.refuse.contains(&call) {
                            Err(Fault::new(Reason::ArgumentsInvalid, "`n` must be a number"))
                        } else {
                            Ok(())
                        }
                    })
                    .collect(),
            )),
            Effect::CallModel(_)
            | Effect::StopModel
            | Effect::Assign(_)
            | Effect::Cancel(..)
            | Effect::Answer(..)
            | Effect::Release(_)
            | Effect::Progress(..) => None,
        }
    }

    pub(super) fn offers(&self) -> Vec<Offer> {
        let tools = self.spec.agent.tools.iter().enumerate();
        tools
            .filter_map(|(binding, tool)| match &tool.target {
                ToolTarget::Attached(spec) => Some(Offer {
                    spec: Arc::clone(spec),
                    binding,
                }),
                ToolTarget::Subagent(_) | ToolTarget::Hosted(_) | ToolTarget::Mcp(_) => None,
            })
            .collect()
    }

    #[track_caller]
    pub(super) fn check(&mut self, input: Input, expected: &[&str]) {
        assert_eq!(self.feed(input), expected);
    }

    /// Lets time pass, with a tick at every deadline on the way.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut words = Vec::new();
        while let Some(due) = self.machine.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            words.extend(self.feed(Input::Tick));
            let next = self.machine.deadline();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a tick leaves no deadline behind"
            );
        }
        self.now = end;
        words
    }

    #[track_caller]
    pub(super) fn check_wait(&mut self, seconds: f64, expected: &[&str]) {
        assert_eq!(self.wait(Duration::from_secs_f64(seconds)), expected);
    }

    /// The model asks for calls of these tools, or ends with a text when there are none.
    pub(super) fn answer(&mut self, tools: &[&str]) -> Vec<String> {
        let calls: Vec<_> = tools.iter().map(|tool| (*tool, "{}")).collect();
        self.answer_with(&calls)
    }

    pub(super) fn answer_with(&mut self, calls: &[(&str, &str)]) -> Vec<String> {
        let input = Input::ModelFinished(Box::new(self.answered(calls)));
        self.feed(input)
    }

    pub(super) fn answered(&mut self, calls: &[(&str, &str)]) -> Answered {
        let turn = self.turns;
        self.turns += 1;
        let mut parts = vec![Part::new(Content::Text(format!("answer {turn}")))];
        parts.extend(calls.iter().enumerate().map(|(at, (name, arguments))| {
            let prefix = if turn == 0 {
                String::new()
            } else {
                format!("t{turn}")
            };
            Part::new(Content::ToolCall(ToolCall {
                id: CallId::parse(&format!("{prefix}c{at}")).unwrap(),
                name: (*name).to_owned(),
                arguments: (*arguments).to_owned(),
            }))
        }));
        Answered {
            completion: Completion {
                model: ModelRef::parse("test:one").unwrap(),
                message: Message {
                    id: None,
                    role: Role::Assistant,
                    parts,
                    name: None,
                },
                finish_reason: if calls.is_empty() {
                    FinishReason::Stop
                } else {
                    FinishReason::ToolCalls
                },
                provider_finish_reason: String::new(),
                usage: Usage {
                    input_tokens: 100,
                    output_tokens: 10,
                    ..Usage::default()
                },
                provider_metadata: None,
            },
            message_id: MessageId::parse(&format!("m{turn}")).unwrap(),
            results_id: MessageId::parse(&format!("r{turn}")).unwrap(),
        }
    }

    pub(super) fn run(&self) -> Arc<Run> {
        let newest = self.facts.iter().rev().find_map(|fact| match fact {
            Fact::RunUpdated(run) => Some(Arc::clone(run)),
            Fact::MessageCompleted(_)
            | Fact::MessageDiscarded { .. }
            | Fact::ToolCallUpdated(_)
            | Fact::InputAnswered(_)
            | Fact::PolicyDecided(_) => None,
        });
        newest.expect("the run has changed")
    }

    /// The last message of results: the call and the text of each.
    pub(super) fn results(&self) -> Vec<(String, String)> {
        let message = self.facts.iter().rev().find_map(|fact| match fact {
            Fact::MessageCompleted(done) if done.message.role == Role::Tool => Some(done),
            Fact::MessageCompleted(_)
            | Fact::RunUpdated(_)
            | Fact::MessageDiscarded { .. }
            | Fact::ToolCallUpdated(_)
            | Fact::InputAnswered(_)
            | Fact::PolicyDecided(_) => None,
        });
        let results = message.into_iter().flat_map(|done| &done.message.parts);
        results
            .filter_map(|part| match &part.content {
                Content::ToolResult(result) => {
                    Some((result.call_id.to_string(), result.joined_text()))
                }
                Content::Text(_)
                | Content::Reasoning(_)
                | Content::Media(_)
                | Content::ToolCall(_) => None,
            })
            .collect()
    }
}

// === inputs ===

pub(super) fn delivery(call: &str, attempt: u32) -> Delivery {
    Delivery {
        call_id: CallId::parse(call).unwrap(),
        attempt,
    }
}

pub(super) fn news(call: &str, attempt: u32, news: News) -> Input {
    Input::Call {
        delivery: delivery(call, attempt),
        news,
    }
}

pub(super) fn report(call: &str, attempt: u32, report: Report) -> Input {
    let host_id = HostId::parse("h").unwrap();
    news(call, attempt, News::Reported { host_id, report })
}

pub(super) fn assigned(call: &str, attempt: u32) -> Input {
    let host_id = HostId::parse("h").unwrap();
    news(call, attempt, News::Assigned { host_id })
}

pub(super) fn accepted(call: &str, attempt: u32) -> Input {
    report(call, attempt, Report::Accepted)
}

pub(super) fn result(call: &str, attempt: u32) -> Input {
    report(call, attempt, Report::Result(text_result(call, "done")))
}

pub(super) fn text_result(call: &str, text: &str) -> Arc<ToolResult> {
    Arc::new(ToolResult {
        call_id: CallId::parse(call).unwrap(),
        parts: vec![Part::new(Content::Text(text.to_owned()))],
        structured: None,
        is_error: false,
    })
}

pub(super) fn failure(call: &str, attempt: u32) -> Input {
    let fault = Fault::new(Reason::ToolFailed, "the process crashed");
    report(call, attempt, Report::Failed(fault))
}

pub(super) fn rejection(call: &str, attempt: u32) -> Input {
    let fault = Fault::new(Reason::ServerOverloaded, "busy");
    report(call, attempt, Report::Rejected(fault))
}

pub(super) fn progress(call: &str, attempt: u32) -> Input {
    report(
        call,
        attempt,
        Report::Progress(Progress {
            progress: 0.5,
            total: None,
            message: String::new(),
            parts: Vec::new(),
        }),
    )
}

pub(super) fn question(call: &str, attempt: u32, number: u32) -> Input {
    report(
        call,
        attempt,
        Report::Question(Arc::new(Question {
            number,
            message: "Which one?".to_owned(),
            schema: None,
        })),
    )
}

pub(super) fn cancel() -> Input {
    Input::Cancel {
        reason: "enough".to_owned(),
    }
}

// === words ===

fn fact_words(fact: &Fact) -> String {
    match fact {
        Fact::RunUpdated(run) => {
            let reason = run.error.as_ref().map_or("", |error| error.reason.name());
            format!("run {:?} {reason}", run.state).trim().to_owned()
        }
        Fact::MessageCompleted(done) => format!(
            "message {}",
            done.message.id.as_ref().map_or("-", MessageId::as_str)
        ),
        Fact::MessageDiscarded { message_id, .. } => format!("discarded {message_id}"),
        Fact::ToolCallUpdated(update) => call_words(update),
        Fact::InputAnswered(answered) => format!(
            "{} {:?} by {}",
            answered.answer.input_id,
            answered.answer.verdict,
            answered.principal.as_deref().unwrap_or("nobody")
        ),
        Fact::PolicyDecided(decided) => {
            format!("{} {:?}", decided.call_id, decided.decision.action)
        }
    }
}

fn call_words(update: &ToolCallUpdate) -> String {
    let reason = update
        .error
        .as_ref()
        .map_or("", |error| error.reason.name());
    let (call, attempt) = (&update.call.id, update.attempt);
    format!("{call}/{attempt} {:?} {reason}", update.state)
        .trim()
        .to_owned()
}

fn effect_words(effect: &Effect) -> String {
    let of = |delivery: &Delivery| format!("{}/{}", delivery.call_id, delivery.attempt);
    match effect {
        Effect::Recall => "recall".to_owned(),
        Effect::Offer => "offer".to_owned(),
        Effect::Check(calls) => format!("check {}", calls.len()),
        Effect::CallModel(request) => {
            let choice = match &request.options.tool_choice {
                ToolChoice::Auto => "",
                ToolChoice::None => " NONE",
                ToolChoice::Required => " REQUIRED",
                ToolChoice::Tool(_) => " NAMED",
            };
            format!("ask with {} messages{choice}", request.messages.len())
        }
        Effect::StopModel => "stop model".to_owned(),
        Effect::Assign(assignment) => format!("assign {}", of(&assignment.delivery)),
        Effect::Cancel(delivery, reason) => {
            let why = match reason {
                StopReason::RunCancelled => "run cancelled",
                StopReason::Timeout => "timeout",
                StopReason::Superseded => "superseded",
            };
            format!("cancel {} {why}", of(delivery))
        }
        Effect::Answer(delivery, number, answer) => {
            format!("answer {} {number} {:?}", of(delivery), answer.verdict)
        }
        Effect::Release(delivery) => format!("release {}", of(delivery)),
        Effect::Progress(update, _) => format!("progress {}", update.call.id),
    }
}
