//! The bounded queue of commands between the hub and one session's stream. Holds no memory for
//! commands while it is empty: most sessions wait most of the time.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::domain::{call::Command, fault::Fault};

/// One session's queue. Many push, one takes.
pub(super) struct Link {
    capacity: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    commands: VecDeque<Command>,
    end: End,
    /// Reports whose receipts are still to come: a session that ends well waits for them.
    open_slips: usize,
    waker: Option<Waker>,
}

/// How far the session's end has come.
#[derive(Debug, Default)]
enum End {
    #[default]
    NotYet,
    Well,
    Failed(Fault),
}

impl Link {
    /// An empty queue of at most `capacity` commands.
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            capacity,
            queue: Mutex::new(Queue {
                commands: VecDeque::new(),
                end: End::NotYet,
                open_slips: 0,
                waker: None,
            }),
        }
    }

    /// Appends a command; `false` when the peer reads too slowly for the queue. A session that has
    /// failed takes nothing and says nothing.
    pub(super) fn push(&self, command: Command) -> bool {
        let mut queue = self.lock();
        if matches!(queue.end, End::Failed(_)) {
            return true;
        }
        if queue.commands.len() >= self.capacity {
            return false;
        }
        queue.commands.push_back(command);
        wake(queue);
        true
    }

    /// Ends the session; the first end counts. What is queued still goes out before a good end.
    pub(super) fn end(&self, how: Result<(), Fault>) {
        let mut queue = self.lock();
        if matches!(queue.end, End::Failed(_)) {
            return;
        }
        let dropped = match how {
            Ok(()) => {
                queue.end = End::Well;
                VecDeque::new()
            }
            Err(fault) => {
                queue.end = End::Failed(fault);
                mem::take(&mut queue.commands)
            }
        };
        wake(queue);
        drop(dropped);
    }

    /// The fault that ended the session.
    pub(super) fn fault(&self) -> Option<Fault> {
        match &self.lock().end {
            End::Failed(fault) => Some(fault.clone()),
            End::NotYet | End::Well => None,
        }
    }

    /// A receipt will come.
    pub(super) fn open_slip(&self) {
        self.lock().open_slips += 1;
    }

    /// A receipt has come, or never will.
    pub(super) fn close_slip(&self) {
        let mut queue = self.lock();
        queue.open_slips = queue.open_slips.saturating_sub(1);
        wake(queue);
    }

    /// The next command, then how the session ended: `None` well, or the fault.
    pub(super) fn poll_next(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Command, Fault>>> {
        let mut queue = self.lock();
        if let End::Failed(fault) = &queue.end {
            return Poll::Ready(Some(Err(fault.clone())));
        }
        if let Some(command) = queue.commands.pop_front() {
            // A burst is no reason to keep its memory.
            if queue.commands.is_empty() && queue.commands.capacity() > 64 {
                queue.commands = VecDeque::new();
            }
            return Poll::Ready(Some(Ok(command)));
        }
        if matches!(queue.end, End::Well) && queue.open_slips == 0 {
            return Poll::Ready(None);
        }
        match &mut queue.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of the queue first, so that whoever wakes up does not find it locked.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let waker = queue.waker.take();
    drop(queue);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.lock();
        f.debug_struct("Link")
            .field("commands", &queue.commands.len())
            .field("end", &queue.end)
            .field("open_slips", &queue.open_slips)
            .finish_non_exhaustive()
    }
}
