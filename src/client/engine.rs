//! The bookkeeping of the calls that this process runs: pure, without input or output.
//!
//! A delivery lives from its assignment to the receipt of its last report. Reports wait here until
//! their receipts come, which the server sends in the order of the reports; on a new stream all that
//! wait are sent again. So the memory is bounded by the window: two reports for each call.

use std::collections::{HashMap, VecDeque};

use tonic::Code;

use super::tool::{Output, Tool, ToolError};
use crate::pb::v1::{
    Error, ToolCallAcceptance, ToolCallAssignment, ToolCallCancellation, ToolCallReceipt,
    ToolCallRef, ToolCallReport, ToolCallStopped, ToolProgress, ToolResult, host_command::Command,
    tool_call_receipt::Disposition, tool_call_report::Report,
};

/// A delivery: the call's id and the attempt.
pub(super) type Key = (String, i32);

/// What the shell does next.
#[derive(Debug)]
pub(super) enum Act {
    /// Run the function.
    Start(Key, Tool, Box<ToolCallAssignment>),
    /// Drop the function's future, then tell [`Engine::finished`].
    Stop(Key),
}

/// How a function ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Returned(Result<Output, ToolError>),
    Panicked,
    Stopped,
}

/// All deliveries that this process has.
#[derive(Debug, Default)]
pub(super) struct Engine {
    tools: HashMap<String, Tool>,
    window: usize,
    calls: HashMap<Key, Work>,
    outbox: VecDeque<ToolCallReport>,
}

#[derive(Debug)]
struct Work {
    stage: Stage,
    /// Sent or to be sent, without a receipt, in order.
    unreceipted: VecDeque<Report>,
}

#[derive(Debug)]
enum Stage {
    /// Waits for the receipt of its acceptance.
    Accepted(Tool, Box<ToolCallAssignment>),
    Running,
    /// Was told to stop and has not ended as yet.
    Stopping,
    /// Over but for its receipts.
    Done,
}

impl Engine {
    pub(super) fn new(tools: Vec<Tool>, window: usize) -> Self {
        let named = |tool: Tool| (tool.definition().name.clone(), tool);
        Self {
            tools: tools.into_iter().map(named).collect(),
            window,
            ..Self::default()
        }
    }

    /// Takes a command.
    pub(super) fn command(&mut self, command: Command) -> Vec<Act> {
        match command {
            Command::Assignment(assignment) => self.assigned(Box::new(assignment)),
            Command::Cancellation(cancellation) => self.cancelled(cancellation),
            Command::Receipt(receipt) => self.receipted(&receipt),
            // Its tools ask nothing.
            Command::Answer(_) | Command::GoAway(_) | Command::Heartbeat(_) => Vec::new(),
        }
    }

    fn assigned(&mut self, assignment: Box<ToolCallAssignment>) -> Vec<Act> {
        let Some(call) = &assignment.call else {
            return Vec::new();
        };
        let key = (call.id.clone(), assignment.attempt);
        if self.calls.contains_key(&key) {
            return Vec::new();
        }
        // A newer delivery says that the older ones are over.
        let mut acts = self.fence(&key);
        let tool = self.tools.get(&call.name).cloned();
        let running = self
            .calls
            .values()
            .filter(|work| !matches!(work.stage, Stage::Done));
        let (stage, report) = match tool {
            None => (
                Stage::Done,
                rejection("TOOL_UNKNOWN", "this host has no such tool"),
            ),
            Some(_) if running.count() >= self.window => {
                (Stage::Done, rejection("NO_HOST", "this host has no room"))
            }
            Some(tool) => {
                let stage = if tool.may_begin_at_once() {
                    acts.push(Act::Start(key.clone(), tool, assignment));
                    Stage::Running
                } else {
                    Stage::Accepted(tool, assignment)
                };
                (stage, Report::Acceptance(ToolCallAcceptance {}))
            }
        };
        let unreceipted = VecDeque::new();
        self.calls.insert(key.clone(), Work { stage, unreceipted });
        self.report(&key, report);
        acts
    }

    fn fence(&mut self, newer: &Key) -> Vec<Act> {
        let is_older = |key: &Key| key.0 == newer.0 && key.1 < newer.1;
        let older: Vec<Key> = self
            .calls
            .keys()
            .filter(|key| is_older(key))
            .cloned()
            .collect();
        older.iter().filter_map(|key| self.forget(key)).collect()
    }

    /// Drops a delivery that nobody wants to hear of any more.
    fn forget(&mut self, key: &Key) -> Option<Act> {
        let work = self.calls.remove(key)?;
        match work.stage {
            Stage::Running => Some(Act::Stop(key.clone())),
            Stage::Accepted(..) | Stage::Stopping | Stage::Done => None,
        }
    }

    fn cancelled(&mut self, cancellation: ToolCallCancellation) -> Vec<Act> {
        let key = (cancellation.call_id, cancellation.attempt);
        let Some(work) = self.calls.get_mut(&key) else {
            // Never begun here, or long over: either way it is not running.
            self.outbox
                .push_back(of(&key, Report::Stopped(ToolCallStopped {})));
            return Vec::new();
        };
        match work.stage {
            Stage::Accepted(..) => {
                work.stage = Stage::Done;
                self.report(&key, Report::Stopped(ToolCallStopped {}));
                Vec::new()
            }
            Stage::Running => {
                work.stage = Stage::Stopping;
                vec![Act::Stop(key)]
            }
            Stage::Stopping | Stage::Done => Vec::new(),
        }
    }

    fn receipted(&mut self, receipt: &ToolCallReceipt) -> Vec<Act> {
        let key = (receipt.call_id.clone(), receipt.attempt);
        let Some(work) = self.calls.get_mut(&key) else {
            return Vec::new();
        };
        if receipt.disposition() == Disposition::Stale {
            return self.forget(&key).into_iter().collect();
        }
        work.unreceipted.pop_front();
        match std::mem::replace(&mut work.stage, Stage::Running) {
            Stage::Accepted(tool, assignment) => vec![Act::Start(key, tool, assignment)],
            Stage::Done if work.unreceipted.is_empty() => {
                self.calls.remove(&key);
                Vec::new()
            }
            unchanged @ (Stage::Running | Stage::Stopping | Stage::Done) => {
                work.stage = unchanged;
                Vec::new()
            }
        }
    }

    /// A function has ended.
    pub(super) fn finished(&mut self, key: &Key, end: End) {
        let Some(work) = self.calls.get_mut(key) else {
            return;
        };
        work.stage = Stage::Done;
        let report = match end {
            End::Returned(Ok(output)) => result(key, output, false),
            End::Returned(Err(ToolError::Told(text))) => result(key, text.into(), true),
            End::Returned(Err(ToolError::Failed(text))) => failure(text),
            End::Panicked => failure("the tool panicked".to_owned()),
            End::Stopped => Report::Stopped(ToolCallStopped {}),
        };
        self.report(key, report);
    }

    /// A function goes on.
    pub(super) fn progressed(&mut self, key: &Key, progress: ToolProgress) {
        let is_running = |work: &Work| matches!(work.stage, Stage::Running);
        if self.calls.get(key).is_some_and(is_running) {
            self.outbox.push_back(of(key, Report::Progress(progress)));
        }
    }

    fn report(&mut self, key: &Key, report: Report) {
        if let Some(work) = self.calls.get_mut(key) {
            work.unreceipted.push_back(report.clone());
            self.outbox.push_back(of(key, report));
        }
    }

    /// Every delivery that is not over: what the server is told when a stream opens.
    pub(super) fn in_flight(&self) -> Vec<ToolCallRef> {
        self.calls
            .keys()
            .map(|(call_id, attempt)| ToolCallRef {
                call_id: call_id.clone(),
                attempt: *attempt,
            })
            .collect()
    }

    /// A new stream is open: everything without a receipt is to be sent again, nothing else.
    pub(super) fn resend(&mut self) {
        let unreceipted = self.calls.iter().flat_map(|(key, work)| {
            work.unreceipted
                .iter()
                .map(|report| of(key, report.clone()))
        });
        self.outbox = unreceipted.collect();
    }

    /// Whether something is to be sent.
    pub(super) fn has_report(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// The next report to send.
    pub(super) fn next_report(&mut self) -> Option<ToolCallReport> {
        self.outbox.pop_front()
    }

    /// How many deliveries are not over.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }
}

fn of((call_id, attempt): &Key, report: Report) -> ToolCallReport {
    ToolCallReport {
        call_id: call_id.clone(),
        attempt: *attempt,
        report: Some(report),
    }
}

fn result(key: &Key, output: Output, is_error: bool) -> Report {
    Report::Result(ToolResult {
        call_id: key.0.clone(),
        parts: output.parts,
        structured_json: output.structured_json,
        is_error,
    })
}

fn rejection(reason: &str, message: &str) -> Report {
    Report::Rejection(Error {
        code: Code::Unavailable.into(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        ..Error::default()
    })
}

fn failure(message: String) -> Report {
    Report::Failure(Error {
        code: Code::Internal.into(),
        reason: "TOOL_FAILED".to_owned(),
        message,
        ..Error::default()
    })
}

#[cfg(test)]
mod tests;
