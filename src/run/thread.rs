//! What a thread allows: whether a new run may join its line, and behind whom. Stores decide by this
//! within the transaction that creates the run.

use std::sync::Arc;

use super::port::StoreError;
use crate::domain::{
    id::{RunId, ThreadId},
    run::{Run, RunState},
    thread::BusyPolicy,
};

/// How a thread stands when a run wants to join it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The run that ended last.
    pub head: Option<RunId>,
    /// The runs that have not ended, in their order.
    pub line: Vec<RunId>,
}

/// How a run wants to join a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which thread.
    pub thread_id: ThreadId,
    /// The head that the caller has seen.
    pub expected_head: Option<RunId>,
    /// What is done when a run of the thread has not ended.
    pub busy: BusyPolicy,
    /// Most runs that may wait in the thread.
    pub most_queued: usize,
}

/// The place of a run in its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The run before it.
    pub previous: Option<RunId>,
    /// Whether it has to wait for that one.
    pub waits: bool,
}

/// Whether a run may join a thread, and where.
///
/// # Errors
/// `HeadMoved`, `ThreadBusy`.
pub fn join(standing: &Standing, wish: &Wish) -> Result<Joined, StoreError> {
    if wish
        .expected_head
        .is_some_and(|expected| standing.head != Some(expected))
    {
        let head = standing.head;
        return Err(StoreError::HeadMoved { head });
    }
    let (Some(active), Some(last)) = (standing.line.first(), standing.line.last()) else {
        return Ok(Joined {
            previous: standing.head,
            waits: false,
        });
    };
    let full = standing.line.len() > wish.most_queued;
    match wish.busy {
        BusyPolicy::Enqueue | BusyPolicy::CancelActive if !full => Ok(Joined {
            previous: Some(*last),
            waits: true,
        }),
        BusyPolicy::Reject | BusyPolicy::Enqueue | BusyPolicy::CancelActive => {
            Err(StoreError::ThreadBusy { active: *active })
        }
    }
}

/// A new run at its place: in a thread that another run has begun, or in one of its own.
pub fn placed(run: &Arc<Run>, thread: Option<ThreadId>, joined: Joined) -> Arc<Run> {
    let mut run = Run::clone(run);
    run.thread = thread;
    run.previous = joined.previous;
    if joined.waits {
        run.state = RunState::Queued;
        run.start_time = None;
    }
    Arc::new(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::sample::run_id;

    fn wish(expected_head: Option<u128>, busy: BusyPolicy) -> Wish {
        Wish {
            thread_id: ThreadId::from_u128(1),
            expected_head: expected_head.map(run_id),
            busy,
            most_queued: 2,
        }
    }

    #[track_caller]
    fn check(
        (head, line): (u128, &[u128]),
        wish: Wish,
        expected: Result<(u128, bool), StoreError>,
    ) {
        let standing = Standing {
            head: (head > 0).then(|| run_id(head)),
            line: line.iter().copied().map(run_id).collect(),
        };
        let expected = expected.map(|(previous, waits)| Joined {
            previous: Some(run_id(previous)),
            waits,
        });
        assert_eq!(join(&standing, &wish), expected);
    }

    #[test]
    fn a_run_joins_behind_the_head_of_an_idle_thread() {
        for busy in [
            BusyPolicy::Reject,
            BusyPolicy::Enqueue,
            BusyPolicy::CancelActive,
        ] {
            check((3, &[]), wish(None, busy), Ok((3, false)));
            check((3, &[]), wish(Some(3), busy), Ok((3, false)));
        }
    }

    #[test]
    fn a_head_that_the_caller_has_not_seen_is_refused_before_anything_else() {
        let head = Some(run_id(3));
        for busy in [
            BusyPolicy::Reject,
            BusyPolicy::Enqueue,
            BusyPolicy::CancelActive,
        ] {
            let moved = Err(StoreError::HeadMoved { head });
            check((3, &[4]), wish(Some(2), busy), moved);
        }
        let none = Err(StoreError::HeadMoved { head: None });
        check((0, &[4]), wish(Some(4), BusyPolicy::Enqueue), none);
    }

    #[test]
    fn in_a_busy_thread_a_run_is_refused_or_waits_behind_the_last() {
        let active = run_id(4);
        let busy = || Err(StoreError::ThreadBusy { active });
        check((3, &[4]), wish(None, BusyPolicy::Reject), busy());
        for policy in [BusyPolicy::Enqueue, BusyPolicy::CancelActive] {
            check((3, &[4]), wish(Some(3), policy), Ok((4, true)));
            check((0, &[4, 5]), wish(None, policy), Ok((5, true)));
            check((3, &[4, 5, 6]), wish(None, policy), busy());
        }
    }
}
