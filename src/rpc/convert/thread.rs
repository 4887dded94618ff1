//! Threads: what a run goes on from, what is added to it, and what is seen of a thread.

use std::sync::Arc;

use super::{At, message::decode_all, run::request_id, timestamp};
use crate::{
    domain::{
        fault::Fault,
        id::{MessageId, RequestId, RunId, ThreadId},
        message::{Message, Role},
        thread::{BusyPolicy, Continuation, Thread},
    },
    pb::v1::{self, run_spec},
};

/// What a run goes on from.
pub(super) fn continuation(spec: &v1::RunSpec, at: &At<'_>) -> Result<Option<Continuation>, Fault> {
    use run_spec::Continuation as Wire;
    let expects_head = !spec.expected_head_run_id.is_empty();
    let of_thread = |at: At<'_>| at.invalid("goes with thread_id alone");
    let elsewhere = !matches!(spec.continuation, Some(Wire::ThreadId(_)));
    if elsewhere && expects_head {
        return Err(of_thread(at.field("expected_head_run_id")));
    }
    if elsewhere && spec.busy_policy() != run_spec::BusyPolicy::Unspecified {
        return Err(of_thread(at.field("busy_policy")));
    }
    Ok(Some(match &spec.continuation {
        None => return Ok(None),
        Some(Wire::ThreadId(id)) => {
            let at_head = at.field("expected_head_run_id");
            let head = expects_head.then(|| run_id(&spec.expected_head_run_id, &at_head));
            Continuation::Thread {
                id: thread_id(id, &at.field("thread_id"))?,
                expected_head: head.transpose()?,
                busy: match spec.busy_policy() {
                    run_spec::BusyPolicy::Unspecified | run_spec::BusyPolicy::Reject => {
                        BusyPolicy::Reject
                    }
                    run_spec::BusyPolicy::Enqueue => BusyPolicy::Enqueue,
                    run_spec::BusyPolicy::CancelActive => BusyPolicy::CancelActive,
                },
            }
        }
        Some(Wire::PreviousRunId(id)) => {
            Continuation::Run(run_id(id, &at.field("previous_run_id"))?)
        }
        Some(Wire::ForkPoint(point)) => {
            let at = at.field("fork_point");
            let at_sequence = at.field("sequence");
            let sequence = at_sequence.sequence(point.sequence)?;
            if sequence == 0 {
                return Err(at_sequence.invalid("is before the run's first event"));
            }
            Continuation::Fork {
                run_id: run_id(&point.run_id, &at.field("run_id"))?,
                sequence,
            }
        }
    }))
}

fn run_id(id: &str, at: &At<'_>) -> Result<RunId, Fault> {
    id.parse()
        .map_err(|_invalid| at.invalid("is not a run's id"))
}

/// A thread's id.
pub(in crate::rpc) fn thread_id(id: &str, at: &At<'_>) -> Result<ThreadId, Fault> {
    if id.is_empty() {
        return Err(at.invalid("is required"));
    }
    id.parse()
        .map_err(|_invalid| at.invalid("is not a thread's id"))
}

/// What is said to a run. The request's id gives the messages theirs, by which the same ones are known
/// when they come again.
pub(in crate::rpc) fn added(
    messages: Option<v1::RunMessages>,
    at: &At<'_>,
) -> Result<Vec<Arc<Message>>, Fault> {
    let wire = at.required(messages)?;
    let request = request_id(&wire.request_id, &at.field("request_id"))?;
    let at_messages = at.field("messages");
    let mut messages = decode_all(wire.messages, &at_messages)?;
    for (index, message) in messages.iter_mut().enumerate() {
        if message.role != Role::User {
            let at = at_messages.index(index);
            return Err(at.field("role").invalid("is not the user's"));
        }
        Arc::make_mut(message).id = request.as_ref().and_then(|id| named(id, index));
    }
    Ok(messages)
}

fn named(request: &RequestId, index: usize) -> Option<MessageId> {
    MessageId::parse(&format!("msg_added_{request}_{index}")).ok()
}

/// A thread as callers see it.
pub(in crate::rpc) fn encode(thread: &Thread) -> v1::Thread {
    let id = |run_id: Option<RunId>| run_id.map(|id| id.to_string()).unwrap_or_default();
    v1::Thread {
        id: thread.id.to_string(),
        head_run_id: id(thread.head),
        active_run_id: id(thread.active()),
        create_time: Some(timestamp(thread.create_time)),
        update_time: Some(timestamp(thread.update_time)),
    }
}
