//! What hardly changes while a run lives, and where its transitions write.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::effect::Effect;
use crate::{
    domain::{
        call::{Assignment, Delivery, Route, RunContext},
        event::{Fact, ToolCallUpdate},
        fault::{Fault, Reason},
        id::RunId,
        json::JsonText,
        run::{Run, RunSpec},
        time::Timestamp,
        tool::{ToolBinding, ToolName, ToolSpec, ToolTarget},
        trace::Trace,
    },
    run::Settings,
};

/// What does not change while a run lives, but for its clock.
#[derive(Debug)]
pub(super) struct World {
    /// What runs.
    pub(super) spec: Arc<RunSpec>,
    /// The numbers.
    pub(super) settings: Arc<Settings>,
    /// When the run's time is up, unless its clock stands still.
    deadline: Timestamp,
    /// Since when the run's clock stands still.
    still_since: Option<Timestamp>,
    run_id: RunId,
    creator: Arc<str>,
    trace: Option<Arc<Trace>>,
    /// Made with the first delivery.
    context: OnceLock<Arc<RunContext>>,
}

impl World {
    pub(super) fn new(spec: Arc<RunSpec>, run: &Run, settings: Arc<Settings>) -> Self {
        Self {
            deadline: run.start_time.unwrap_or(run.create_time) + spec.limits.timeout,
            still_since: None,
            spec,
            settings,
            run_id: run.id,
            creator: Arc::clone(&run.creator),
            trace: run.trace.clone(),
            context: OnceLock::new(),
        }
    }

    /// Sets the clock by what the run has waited for people.
    pub(super) fn set_clock(&mut self, run: &Run) {
        let began = run.start_time.unwrap_or(run.create_time);
        self.deadline = began + self.spec.limits.timeout + run.waiting.before;
        self.still_since = run.waiting.since;
    }

    /// When the run's time is up; `None` while its clock stands still.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.still_since.is_none().then_some(self.deadline)
    }

    /// Whether the run's time is up.
    pub(super) fn is_out_of_time(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// What the run has left of its time.
    pub(super) fn time_left(&self, now: Timestamp) -> Duration {
        self.deadline.since(self.still_since.unwrap_or(now))
    }

    fn binding(&self, binding: usize) -> Option<&ToolBinding> {
        self.spec.agent.tools.get(binding)
    }

    /// The definition of a binding's tool, when the agent brings it.
    pub(super) fn attached_tool(&self, binding: usize) -> Option<&Arc<ToolSpec>> {
        match &self.binding(binding)?.target {
            ToolTarget::Attached(spec) => Some(spec),
            ToolTarget::Subagent(subagent) => Some(&subagent.tool),
            ToolTarget::Hosted(_) | ToolTarget::Mcp(_) => None,
        }
    }

    /// Why there is no definition behind a binding.
    pub(super) fn nobody_offers(&self, binding: usize) -> Fault {
        match self.binding(binding).map(|binding| &binding.target) {
            Some(ToolTarget::Mcp(mcp)) => Fault::new(
                Reason::NoHost,
                format!(
                    "the MCP server {} has not shown its tools in time",
                    mcp.server
                ),
            )
            .with("server", &mcp.server),
            target @ (Some(
                ToolTarget::Attached(_) | ToolTarget::Hosted(_) | ToolTarget::Subagent(_),
            )
            | None) => {
                let name = target.and_then(ToolTarget::name);
                let name = name.map_or("", ToolName::as_str);
                let why = format!("no host has registered the tool {name} in time");
                Fault::new(Reason::NoHost, why).with("tool", name)
            }
        }
    }

    /// How long an acceptance is waited for.
    pub(super) fn accept_timeout(&self, binding: usize) -> Duration {
        self.binding(binding)
            .and_then(|binding| binding.accept_timeout)
            .unwrap_or(self.settings.accept_timeout)
    }

    /// How long one execution may take: what the binding says, within what is left of the run.
    pub(super) fn tool_timeout(&self, now: Timestamp, binding: usize) -> Duration {
        self.binding(binding)
            .and_then(|binding| binding.timeout)
            .unwrap_or(self.settings.tool_timeout)
            .min(self.time_left(now))
    }

    /// How long an execution may be silent.
    pub(super) fn progress_timeout(&self, binding: usize) -> Option<Duration> {
        self.binding(binding)?.progress_timeout
    }

    /// What a host is asked to do.
    pub(super) fn assignment(
        &self,
        now: Timestamp,
        delivery: Delivery,
        (tool, binding): (&Arc<ToolSpec>, usize),
        arguments: JsonText,
    ) -> Assignment {
        let route = match self.binding(binding).map(|binding| &binding.target) {
            Some(ToolTarget::Hosted(hosted)) => Route::Hosted {
                host_id: hosted.host_id.clone(),
                host_labels: hosted.host_labels.clone(),
                affinity: hosted.affinity,
            },
            Some(ToolTarget::Mcp(mcp)) => Route::Mcp {
                server: Arc::clone(&mcp.server),
                prefix: mcp.prefix.clone(),
            },
            Some(ToolTarget::Attached(_) | ToolTarget::Subagent(_)) | None => Route::Attached,
        };
        Assignment {
            delivery,
            tool: Arc::clone(tool),
            arguments,
            route,
            timeout: self.tool_timeout(now, binding),
            progress_timeout: self.progress_timeout(binding),
            run: Arc::clone(self.context.get_or_init(|| self.context())),
        }
    }

    fn context(&self) -> Arc<RunContext> {
        Arc::new(RunContext {
            run_id: self.run_id,
            labels: self.spec.labels.clone(),
            principal: Arc::clone(&self.creator),
            agent_name: self.spec.agent.name.clone(),
            trace: self.trace.clone(),
        })
    }
}

/// What transitions have written and the driver has not taken.
#[derive(Debug, Default)]
pub(super) struct Out {
    /// Facts that are not stored.
    pub(super) facts: Vec<Fact>,
    /// Effects that are not done.
    pub(super) effects: Vec<Effect>,
    /// Whether something waits for the facts.
    pub(super) urgent: bool,
    /// When facts that nothing waits for are stored all the same.
    pub(super) flush_at: Option<Timestamp>,
}

/// A transition: when it happens, where, and what it writes.
pub(super) struct Cx<'a> {
    pub(super) now: Timestamp,
    pub(super) world: &'a World,
    pub(super) out: &'a mut Out,
}

impl Cx<'_> {
    /// A call's new state, to be stored before the effects of this step.
    pub(super) fn fact(&mut self, update: Arc<ToolCallUpdate>) {
        self.out.facts.push(Fact::ToolCallUpdated(update));
        self.out.urgent = true;
    }

    /// A call's new state, which may ride on a later append: nothing waits for it.
    pub(super) fn note(&mut self, update: Arc<ToolCallUpdate>) {
        self.out.note(
            self.now + self.world.settings.lazy_commit,
            Fact::ToolCallUpdated(update),
        );
    }

    /// Something to be done.
    pub(super) fn effect(&mut self, effect: Effect) {
        self.out.effects.push(effect);
    }
}

impl Out {
    /// A fact to be stored before the effects of this step.
    pub(super) fn fact(&mut self, fact: Fact) {
        self.facts.push(fact);
        self.urgent = true;
    }

    /// A fact that may ride on a later append.
    pub(super) fn note(&mut self, by: Timestamp, fact: Fact) {
        self.facts.push(fact);
        self.flush_at.get_or_insert(by);
    }
}
