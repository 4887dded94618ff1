//! Tool hosts: what they say of themselves and of calls, and what they are told.

use std::sync::Arc;

use super::{
    At, Intake, duration, fault,
    input::{encode_answer, question},
    message::{decode_call_id, decode_output, decode_result},
    run::{host_id, labels, optional_host_id},
    small_count,
};
use crate::{
    domain::{
        call::{Assignment, Command, Delivery, Disposition, Report},
        event::Progress,
        fault::{Fault, Reason},
        tool::ToolSpec,
        trace::Trace,
    },
    pb::v1,
    toolhost::{Attachment, FromHost, Hello},
};

/// Most deliveries that a host may name when it opens a stream again.
const MOST_IN_FLIGHT: usize = 65_536;
const MOST_PROGRESS_CHARS: usize = 1024;

impl Intake {
    /// A host introduces itself. A tool that is none does not fail the rest.
    pub(in crate::rpc) fn hello(&self, wire: v1::HostRegistration) -> Result<Hello, Fault> {
        let at = At::root("registration");
        Ok(Hello {
            host_id: host_id(&wire.host_id, &at.field("host_id"))?,
            tools: self.tools(wire.tools, &at.field("tools")),
            window: window(wire.max_concurrent_calls, &at.field("max_concurrent_calls"))?,
            labels: labels(wire.labels, &at.field("labels"))?,
            in_flight: in_flight(wire.in_flight, &at.field("in_flight"))?,
        })
    }

    /// A host changes its registration.
    pub(in crate::rpc) fn update(&self, wire: v1::HostUpdate) -> Result<FromHost, Fault> {
        let at = At::root("update");
        let window = window(wire.max_concurrent_calls, &at.field("max_concurrent_calls"))?;
        let at_tools = at.field("tools");
        Ok(FromHost::Update {
            window,
            tools: wire.tools.map(|set| self.tools(set.tools, &at_tools)),
        })
    }

    fn tools(
        &self,
        tools: Vec<v1::Tool>,
        at: &At<'_>,
    ) -> Vec<Result<Arc<ToolSpec>, (String, Fault)>> {
        tools
            .into_iter()
            .enumerate()
            .map(|(index, tool)| {
                let name = tool.name.clone();
                self.tool(tool, &at.index(index))
                    .map(Arc::new)
                    .map_err(|fault| (name, fault))
            })
            .collect()
    }
}

/// A run's stream introduces itself.
pub(in crate::rpc) fn attachment(wire: &v1::AttachRunStart) -> Result<Attachment, Fault> {
    use v1::attach_run_start::DisconnectPolicy;
    let at = At::root("start");
    let window = window(wire.max_concurrent_calls, &at.field("max_concurrent_calls"))?;
    let host_id = optional_host_id(&wire.host_id, &at.field("host_id"))?;
    if host_id.is_none() && window != Some(0) {
        let at = at.field("host_id");
        return Err(at.invalid("is required unless max_concurrent_calls is 0"));
    }
    Ok(Attachment {
        host_id,
        window,
        in_flight: in_flight(wire.in_flight.clone(), &at.field("in_flight"))?,
        cancel_when_lost: match wire.on_disconnect() {
            DisconnectPolicy::Unspecified | DisconnectPolicy::Detach => false,
            DisconnectPolicy::Cancel => true,
        },
    })
}

/// The caller of an attachment changes its capacity. Its tools stand in the run.
pub(in crate::rpc) fn attached_update(wire: &v1::HostUpdate) -> Result<FromHost, Fault> {
    let at = At::root("update");
    if wire.tools.is_some() {
        return Err(at
            .field("tools")
            .invalid("cannot be changed: they stand in the run"));
    }
    Ok(FromHost::Update {
        window: window(wire.max_concurrent_calls, &at.field("max_concurrent_calls"))?,
        tools: None,
    })
}

fn window(calls: Option<i32>, at: &At<'_>) -> Result<Option<u32>, Fault> {
    calls
        .map(|calls| u32::try_from(calls).map_err(|_negative| at.invalid("is negative")))
        .transpose()
}

fn in_flight(calls: Vec<v1::ToolCallRef>, at: &At<'_>) -> Result<Vec<Delivery>, Fault> {
    at.at_most(calls.len(), MOST_IN_FLIGHT)?;
    calls
        .into_iter()
        .enumerate()
        .map(|(index, call)| delivery(&call.call_id, call.attempt, &at.index(index)))
        .collect()
}

fn delivery(call_id: &str, attempt: i32, at: &At<'_>) -> Result<Delivery, Fault> {
    Ok(Delivery {
        call_id: decode_call_id(call_id, &at.field("call_id"))?,
        attempt: at.field("attempt").positive(attempt)?,
    })
}

impl Intake {
    /// What a host says about a call.
    ///
    /// A report that cannot be assigned to a delivery is a fault of the stream. A result or a question that can
    /// be, but is malformed, fails that one call: the stream carries calls of other runs.
    pub(in crate::rpc) fn report(
        &self,
        wire: v1::ToolCallReport,
    ) -> Result<(Delivery, Report), Fault> {
        use v1::tool_call_report::Report as Wire;
        let at = At::root("report");
        let delivery = delivery(&wire.call_id, wire.attempt, &at)?;
        let report = match at.field("report").required(wire.report)? {
            Wire::Acceptance(_) => Report::Accepted,
            Wire::Rejection(error) => {
                Report::Rejected(fault::decode_from_host(error, &at.field("rejection"))?)
            }
            Wire::Progress(progress) => progress_report(progress, &at.field("progress"))?,
            Wire::Result(mut result) => {
                // The report says which call it is about; the result need not say it again.
                result.call_id.clone_from(&wire.call_id);
                match decode_result(result, &at.field("result")) {
                    Ok(result) => Report::Result(Arc::new(result)),
                    Err(malformed) => Report::Failed(malformed_result(&malformed)),
                }
            }
            Wire::Failure(error) => {
                Report::Failed(fault::decode_from_host(error, &at.field("failure"))?)
            }
            Wire::Stopped(_) => Report::Stopped,
            Wire::Question(asked) => match question(&asked, &self.schema, &at.field("question")) {
                Ok(question) => Report::Question(Arc::new(question)),
                Err(malformed) => Report::Failed(malformed_question(&malformed)),
            },
        };
        Ok((delivery, report))
    }
}

fn malformed_result(fault: &Fault) -> Fault {
    let message = format!("the host's result is malformed: {}", fault.message);
    Fault::new(Reason::ToolFailed, message).with("host_reason", fault.reason)
}

fn malformed_question(fault: &Fault) -> Fault {
    let message = format!("the host's question is malformed: {}", fault.message);
    Fault::new(Reason::ToolFailed, message).with("host_reason", fault.reason)
}

fn progress_report(wire: v1::ToolProgress, at: &At<'_>) -> Result<Report, Fault> {
    if !wire.progress.is_finite() || !wire.total.is_finite() {
        return Err(at.invalid("is not a number"));
    }
    Ok(Report::Progress(Progress {
        progress: wire.progress,
        total: (wire.total != 0.0).then_some(wire.total),
        message: wire.message.chars().take(MOST_PROGRESS_CHARS).collect(),
        parts: decode_output(wire.parts, &at.field("parts"))?,
    }))
}

// === out ===

/// A command to a host.
pub(in crate::rpc) fn command(command: &Command) -> v1::HostCommand {
    use v1::host_command::Command as Wire;
    let wire = match command {
        Command::Assign(assignment) => Wire::Assignment(encode_assignment(assignment)),
        Command::Cancel { delivery, reason } => Wire::Cancellation(v1::ToolCallCancellation {
            call_id: delivery.call_id.to_string(),
            attempt: small_count(delivery.attempt),
            reason: reason.name().to_owned(),
        }),
        Command::Receipt {
            delivery,
            disposition,
        } => Wire::Receipt(receipt(delivery, *disposition)),
        Command::Answer {
            delivery,
            number,
            answer,
        } => Wire::Answer(v1::ToolCallAnswer {
            call_id: delivery.call_id.to_string(),
            attempt: small_count(delivery.attempt),
            answer: Some(encode_answer(answer)),
            number: small_count(*number),
        }),
        Command::GoAway { time_left } => Wire::GoAway(v1::GoAway {
            time_left: Some(duration(*time_left)),
        }),
        Command::Heartbeat => Wire::Heartbeat(v1::Heartbeat {}),
    };
    v1::HostCommand {
        command: Some(wire),
    }
}

fn encode_assignment(assignment: &Assignment) -> v1::ToolCallAssignment {
    let run = &assignment.run;
    let trace = run.trace.as_deref();
    v1::ToolCallAssignment {
        call: Some(v1::ToolCall {
            id: assignment.delivery.call_id.to_string(),
            name: assignment.tool.name.to_string(),
            arguments_json: assignment.arguments.as_str().to_owned(),
        }),
        attempt: small_count(assignment.delivery.attempt),
        tool_version: assignment.tool.version.clone(),
        run_id: run.run_id.to_string(),
        timeout: Some(duration(assignment.timeout)),
        progress_timeout: assignment.progress_timeout.map(duration),
        labels: run.labels.clone().into_iter().collect(),
        traceparent: trace.map_or("", Trace::parent).to_owned(),
        tracestate: trace.map_or("", Trace::state).to_owned(),
        principal: run.principal.to_string(),
        agent_name: run.agent_name.clone(),
    }
}

/// What became of a report.
pub(in crate::rpc) fn receipt(
    delivery: &Delivery,
    disposition: Disposition,
) -> v1::ToolCallReceipt {
    use v1::tool_call_receipt::Disposition as Wire;
    v1::ToolCallReceipt {
        call_id: delivery.call_id.to_string(),
        attempt: small_count(delivery.attempt),
        disposition: match disposition {
            Disposition::Applied => Wire::Applied,
            Disposition::Duplicate => Wire::Duplicate,
            Disposition::Stale => Wire::Stale,
        }
        .into(),
    }
}
