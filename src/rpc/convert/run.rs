//! Runs: what to run, which runs, and what is seen of one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use uuid::Uuid;

use super::{
    At, Intake,
    completion::MOST_TOOLS,
    count, fault,
    generation::{Names, tool_name},
    input,
    message::{decode_all, encode as encode_message, encode_finish, encode_usage},
    policy, small_count,
    thread::{continuation, thread_id},
    timestamp,
};
use crate::{
    domain::{
        fault::Fault,
        id::{HostId, RequestId, RunId},
        run::{Agent, Limits, Run, RunSpec, RunState},
        tool::{Affinity, HostedTool, McpTools, Subagent, ToolBinding, ToolName, ToolTarget},
    },
    pb::v1,
    run::port::RunFilter,
};

const MOST_LABELS: usize = 16;
const MOST_LABEL_CHARS: usize = 256;
const MOST_NAME_CHARS: usize = 128;
const MOST_REASON_CHARS: usize = 512;

impl Intake {
    /// What to run.
    pub(in crate::rpc) fn run_spec(
        &self,
        spec: Option<v1::RunSpec>,
        at: &At<'_>,
    ) -> Result<RunSpec, Fault> {
        let spec = at.required(spec)?;
        let at_agent = at.field("agent");
        let continuation = continuation(&spec, at)?;
        let agent = self.agent(at_agent.required(spec.agent)?, &at_agent)?;
        let limits = self.run_limits(spec.limits, &at.field("limits"))?;
        let (depth, most) = (agent.depth(), limits.max_depth);
        if depth > most {
            let why = format!("nests subagents {depth} deep, and {most} is the most");
            return Err(at_agent.field("tools").invalid(why));
        }
        Ok(RunSpec {
            agent,
            input: decode_all(spec.input, &at.field("input"))?,
            limits,
            labels: labels(spec.labels, &at.field("labels"))?,
            policy: policy::decode(spec.policy, &at.field("policy"))?,
            continuation,
        })
    }

    fn agent(&self, agent: v1::Agent, at: &At<'_>) -> Result<Agent, Fault> {
        let at_name = at.field("name");
        if agent.name.is_empty() {
            return Err(at_name.invalid("is required"));
        }
        bounded(&agent.name, MOST_NAME_CHARS, &at_name)?;
        let at_tools = at.field("tools");
        at_tools.at_most(agent.tools.len(), MOST_TOOLS)?;
        let mut names = Names::default();
        let mut tools = Vec::with_capacity(agent.tools.len());
        for (index, binding) in agent.tools.into_iter().enumerate() {
            let at_tool = at_tools.index(index);
            let binding = self.binding(binding, &at_tool)?;
            match binding.target.name() {
                Some(name) => names.claim(name, &at_tool)?,
                None => names.more = true,
            }
            tools.push(binding);
        }
        Ok(Agent {
            model: self.model(&agent.model, &at.field("model"))?,
            fallback_models: self.models(&agent.fallback_models, &at.field("fallback_models"))?,
            options: self.options(agent.options, &names, &at.field("options"))?,
            name: agent.name,
            instructions: agent.instructions,
            tools,
        })
    }

    fn binding(&self, binding: v1::ToolBinding, at: &At<'_>) -> Result<ToolBinding, Fault> {
        use v1::tool_binding::Binding;
        // What the operator allows for one call.
        let mut longest = None;
        let target = match at.field("binding").required(binding.binding)? {
            Binding::Attached(tool) => {
                ToolTarget::Attached(Arc::new(self.tool(tool, &at.field("attached"))?))
            }
            Binding::Hosted(hosted) => {
                ToolTarget::Hosted(decode_hosted(hosted, &at.field("hosted"))?)
            }
            Binding::Subagent(subagent) => {
                let at = at.field("subagent");
                self.subagent(subagent, &at)?;
                // Nobody would run its calls as yet: better refused than waited for in vain.
                return Err(at.invalid("cannot be run by this version of the server"));
            }
            Binding::Mcp(mcp) => {
                let (tools, most) = self.mcp_tools(mcp, &at.field("mcp"))?;
                longest = most;
                ToolTarget::Mcp(tools)
            }
        };
        let timeout = at.field("timeout").optional_duration(binding.timeout)?;
        if timeout.is_some_and(|t| t.is_zero()) {
            return Err(at.field("timeout").invalid("is zero"));
        }
        let silence = at.field("progress_timeout");
        let progress_timeout = silence.optional_duration(binding.progress_timeout)?;
        Ok(ToolBinding {
            target,
            timeout: timeout.into_iter().chain(longest).min(),
            accept_timeout: at
                .field("accept_timeout")
                .optional_duration(binding.accept_timeout)?,
            progress_timeout: progress_timeout.filter(|t| !t.is_zero()),
        })
    }

    fn subagent(&self, subagent: v1::Subagent, at: &At<'_>) -> Result<Subagent, Fault> {
        let (at_tool, at_agent) = (at.field("tool"), at.field("agent"));
        Ok(Subagent {
            tool: Arc::new(self.tool(at_tool.required(subagent.tool)?, &at_tool)?),
            agent: self.agent(at_agent.required(subagent.agent)?, &at_agent)?,
        })
    }

    /// Tools of a server that the operator knows, and the longest time for one call.
    fn mcp_tools(
        &self,
        mcp: v1::McpTools,
        at: &At<'_>,
    ) -> Result<(McpTools, Option<Duration>), Fault> {
        let terms = self.mcp.terms(&mcp.server).ok_or_else(|| {
            at.field("server")
                .invalid("is not the name of an MCP server that is configured here")
        })?;
        let at_prefix = at.field("prefix");
        let prefix = mcp.prefix.unwrap_or_else(|| terms.prefix.clone());
        if !ToolName::is_prefix(&prefix) {
            return Err(at_prefix.invalid("is not at most 32 of a-z A-Z 0-9 _ . -"));
        }
        let at_tools = at.field("allowed_tools");
        at_tools.at_most(mcp.allowed_tools.len(), MOST_TOOLS)?;
        for (index, tool) in mcp.allowed_tools.iter().enumerate() {
            bounded(tool, MOST_NAME_CHARS, &at_tools.index(index))?;
        }
        let tools = McpTools {
            server: mcp.server.into(),
            tools: mcp.allowed_tools,
            prefix,
            scope: terms.prefix,
            usable: Vec::new(),
        };
        Ok((tools, terms.timeout))
    }

    /// A limit that is not set is the server's; one that is set may not be above it.
    fn run_limits(&self, limits: Option<v1::RunLimits>, at: &At<'_>) -> Result<Limits, Fault> {
        let Some(wire) = limits else {
            return Ok(self.limits);
        };
        let most = &self.limits;
        let timeout = at.field("timeout");
        Ok(Limits {
            max_turns: limit(wire.max_turns, most.max_turns, &at.field("max_turns"))?,
            max_tool_calls: limit(
                wire.max_tool_calls,
                most.max_tool_calls,
                &at.field("max_tool_calls"),
            )?,
            max_tokens: limit(wire.max_tokens, most.max_tokens, &at.field("max_tokens"))?,
            max_parallel_tool_calls: limit(
                wire.max_parallel_tool_calls,
                most.max_parallel_tool_calls,
                &at.field("max_parallel_tool_calls"),
            )?,
            max_depth: limit(wire.max_depth, most.max_depth, &at.field("max_depth"))?,
            timeout: match timeout.optional_duration(wire.timeout)? {
                None => most.timeout,
                Some(Duration::ZERO) => return Err(timeout.invalid("is zero")),
                Some(wanted) if wanted > most.timeout => {
                    return Err(timeout.invalid(format!("is more than {:?}", most.timeout)));
                }
                Some(wanted) => wanted,
            },
        })
    }
}

fn limit<N, P>(wanted: Option<N>, most: P, at: &At<'_>) -> Result<P, Fault>
where
    P: TryFrom<N> + PartialOrd + From<u8> + std::fmt::Display,
{
    let Some(wanted) = wanted else {
        return Ok(most);
    };
    let wanted: P = at.positive(wanted)?;
    if wanted > most {
        return Err(at.invalid(format!(
            "is more than {most}, the most that this server allows"
        )));
    }
    Ok(wanted)
}

fn decode_hosted(hosted: v1::HostedTool, at: &At<'_>) -> Result<HostedTool, Fault> {
    let affinity = match hosted.affinity() {
        v1::HostAffinity::Unspecified | v1::HostAffinity::Any => Affinity::Any,
        v1::HostAffinity::Run => Affinity::Run,
    };
    Ok(HostedTool {
        name: tool_name(&hosted.name, &at.field("name"))?,
        version: (!hosted.version.is_empty()).then_some(hosted.version),
        host_id: optional_host_id(&hosted.host_id, &at.field("host_id"))?,
        host_labels: labels(hosted.host_labels, &at.field("host_labels"))?,
        affinity,
    })
}

/// A host's id.
pub(super) fn host_id(id: &str, at: &At<'_>) -> Result<HostId, Fault> {
    HostId::parse(id).map_err(|_invalid| at.invalid("is not 1 to 128 visible ASCII characters"))
}

pub(super) fn optional_host_id(id: &str, at: &At<'_>) -> Result<Option<HostId>, Fault> {
    if id.is_empty() {
        return Ok(None);
    }
    host_id(id, at).map(Some)
}

/// Labels of a run or a host.
pub(in crate::rpc) fn labels(
    labels: HashMap<String, String>,
    at: &At<'_>,
) -> Result<BTreeMap<String, String>, Fault> {
    at.at_most(labels.len(), MOST_LABELS)?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
    for (key, value) in &labels {
        let at = at.key(key);
        if !(1..=63).contains(&key.len()) || !key.bytes().all(plain) {
            return Err(at.invalid("is not a label's key: 1 to 63 of a-z 0-9 _ . -"));
        }
        bounded(value, MOST_LABEL_CHARS, &at)?;
    }
    Ok(labels.into_iter().collect())
}

fn bounded(text: &str, most: usize, at: &At<'_>) -> Result<(), Fault> {
    if text.len() > most {
        return Err(at.invalid(format!("is longer than {most} bytes")));
    }
    Ok(())
}

/// A run's id. One that cannot be is as unknown as one that is not there.
pub(in crate::rpc) fn run_id(id: &str) -> Result<RunId, Fault> {
    let at = At::root("run_id");
    if id.is_empty() {
        return Err(at.invalid("is required"));
    }
    id.parse()
        .map_err(|_invalid| at.invalid("is not a run's id"))
}

/// The caller's key of a creation: a UUID.
pub(in crate::rpc) fn request_id(id: &str, at: &At<'_>) -> Result<Option<RequestId>, Fault> {
    if id.is_empty() {
        return Ok(None);
    }
    let uuid = Uuid::try_parse(id).map_err(|_invalid| at.invalid("is not a UUID"))?;
    // One UUID has several spellings.
    RequestId::parse(&uuid.hyphenated().to_string())
        .map(Some)
        .map_err(|error| at.invalid(error.to_string()))
}

/// Why a run is cancelled: kept in the log, so bounded.
pub(in crate::rpc) fn cancel_reason(reason: &str) -> String {
    reason.chars().take(MOST_REASON_CHARS).collect()
}

/// Which runs.
pub(in crate::rpc) fn filter(filter: Option<v1::RunFilter>) -> Result<RunFilter, Fault> {
    let Some(wire) = filter else {
        return Ok(RunFilter::default());
    };
    let at = At::root("filter");
    let mut states = Vec::with_capacity(wire.states.len().min(8));
    for (index, number) in wire.states.iter().enumerate() {
        let at_states = at.field("states");
        let state = decode_state(*number, &at_states.index(index))?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    let moment = |value: Option<_>, at: At<'_>| value.map(|v| at.timestamp(v)).transpose();
    let thread_id = (!wire.thread_id.is_empty())
        .then(|| thread_id(&wire.thread_id, &at.field("thread_id")))
        .transpose()?;
    Ok(RunFilter {
        thread_id,
        states,
        labels: labels(wire.labels, &at.field("labels"))?,
        agent_name: (!wire.agent_name.is_empty()).then_some(wire.agent_name),
        min_create_time: moment(wire.min_create_time, at.field("min_create_time"))?,
        max_create_time: moment(wire.max_create_time, at.field("max_create_time"))?,
        include_subagents: wire.include_subagents,
    })
}

fn decode_state(number: i32, at: &At<'_>) -> Result<RunState, Fault> {
    use v1::run::State;
    Ok(match State::try_from(number).unwrap_or_default() {
        State::Unspecified => return Err(at.invalid("is not a state")),
        State::Queued => RunState::Queued,
        State::Running => RunState::Running,
        State::InputRequired => RunState::InputRequired,
        State::Cancelling => RunState::Cancelling,
        State::Succeeded => RunState::Succeeded,
        State::Failed => RunState::Failed,
        State::Cancelled => RunState::Cancelled,
    })
}

// === out ===

const fn encode_state(state: RunState) -> v1::run::State {
    use v1::run::State;
    match state {
        RunState::Queued => State::Queued,
        RunState::Running => State::Running,
        RunState::InputRequired => State::InputRequired,
        RunState::Cancelling => State::Cancelling,
        RunState::Succeeded => State::Succeeded,
        RunState::Failed => State::Failed,
        RunState::Cancelled => State::Cancelled,
    }
}

/// A run as callers see it.
pub(in crate::rpc) fn encode(run: &Run) -> v1::Run {
    v1::Run {
        id: run.id.to_string(),
        thread_id: run.thread_id().to_string(),
        previous_run_id: run.previous.map(|id| id.to_string()).unwrap_or_default(),
        root_run_id: run.root_id().to_string(),
        parent_run_id: run
            .parent
            .as_ref()
            .map(|parent| parent.run_id.to_string())
            .unwrap_or_default(),
        parent_call_id: run
            .parent
            .as_ref()
            .map(|parent| parent.call_id.to_string())
            .unwrap_or_default(),
        agent_name: run.agent_name.clone(),
        state: encode_state(run.state).into(),
        error: run.error.as_ref().map(fault::encode),
        required_inputs: input::encode_required(run),
        output: run.output.as_deref().map(encode_message),
        usage: Some(encode_usage(&run.usage)),
        turn_count: small_count(run.turn_count),
        last_sequence: count(run.last_sequence),
        labels: run.labels.clone().into_iter().collect(),
        create_time: Some(timestamp(run.create_time)),
        end_time: run.end_time.map(timestamp),
        start_time: run.start_time.map(timestamp),
        model: run.model.to_string(),
        creator: run.creator.to_string(),
        usage_by_model: run
            .usage_by_model
            .iter()
            .map(|(model, usage)| (model.to_string(), encode_usage(usage)))
            .collect(),
        cancel_reason: run.cancel_reason.clone(),
        finish_reason: run
            .finish_reason
            .map_or(v1::FinishReason::Unspecified, encode_finish)
            .into(),
    }
}
