//! Brings news to runs in order, without waiting for them. A run whose mailbox is full gets a task of
//! its own until it has caught up; there is none for all the others.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    domain::id::RunId,
    run::port::{Inbox, Refused, RunInput},
};

/// See the module. News of one run must be handed in one after the other.
#[derive(Debug)]
pub(super) struct Courier {
    tracker: TaskTracker,
    backlogs: Arc<Backlogs>,
}

#[derive(Debug, Default)]
struct Backlogs {
    /// How many there are: nearly always none, and then nobody need lock.
    count: AtomicUsize,
    by_run: Mutex<HashMap<RunId, Backlog>>,
}

/// What a run has not taken yet. Bounded by its calls: each gives two pieces of news at most.
#[derive(Debug, Default)]
struct Backlog {
    waiting: VecDeque<RunInput>,
    drained: CancellationToken,
}

/// What became of a report.
#[derive(Debug)]
pub(super) enum Handed {
    /// It is in the mailbox.
    Over,
    /// The run has ended.
    Ended,
    /// There is no room now: whoever brings it has to wait.
    Later(Waiting),
}

/// A report that waits for room.
#[derive(Debug)]
pub(super) struct Waiting {
    inbox: Inbox,
    input: Box<RunInput>,
    behind: Option<CancellationToken>,
}

impl Courier {
    /// Its tasks run on `tracker`, each until its run has caught up or ended.
    pub(super) fn new(tracker: TaskTracker) -> Self {
        Self {
            tracker,
            backlogs: Arc::default(),
        }
    }

    /// Brings news. `false`: the run has ended.
    pub(super) fn bring(&self, inbox: &Inbox, input: RunInput) -> bool {
        let run_id = inbox.run_id();
        if self.backlogs.count.load(Ordering::Acquire) > 0
            && let Some(backlog) = self.backlogs.lock().get_mut(&run_id)
        {
            backlog.waiting.push_back(input);
            return true;
        }
        match inbox.try_send(input) {
            Ok(()) => true,
            Err(Refused::Ended) => false,
            Err(Refused::Full(input)) => {
                let mut by_run = self.backlogs.lock();
                self.backlogs.count.fetch_add(1, Ordering::Release);
                by_run.entry(run_id).or_default().waiting.push_back(*input);
                drop(by_run);
                let backlogs = Arc::clone(&self.backlogs);
                self.tracker.spawn(catch_up(backlogs, inbox.clone()));
                true
            }
        }
    }

    /// Hands over what somebody can wait for: never ahead of news that came before it.
    pub(super) fn hand_over(&self, inbox: Inbox, input: RunInput) -> Handed {
        let behind = if self.backlogs.count.load(Ordering::Acquire) > 0 {
            let by_run = self.backlogs.lock();
            by_run
                .get(&inbox.run_id())
                .map(|backlog| backlog.drained.clone())
        } else {
            None
        };
        let refused = match behind {
            Some(_) => Refused::Full(Box::new(input)),
            None => match inbox.try_send(input) {
                Ok(()) => return Handed::Over,
                Err(refused) => refused,
            },
        };
        match refused {
            Refused::Ended => Handed::Ended,
            Refused::Full(input) => Handed::Later(Waiting {
                inbox,
                input,
                behind,
            }),
        }
    }
}

impl Waiting {
    /// Waits for room, and hands over.
    pub(super) async fn send(self) {
        if let Some(drained) = self.behind {
            drained.cancelled().await;
        }
        self.inbox.send(*self.input).await;
    }
}

impl Backlogs {
    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Backlog>> {
        self.by_run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece; without one the backlog is over.
    fn next(&self, run_id: RunId) -> Option<RunInput> {
        let mut by_run = self.lock();
        let next = by_run.get_mut(&run_id)?.waiting.pop_front();
        if next.is_none()
            && let Some(backlog) = by_run.remove(&run_id)
        {
            self.count.fetch_sub(1, Ordering::Release);
            backlog.drained.cancel();
        }
        next
    }
}

async fn catch_up(backlogs: Arc<Backlogs>, inbox: Inbox) {
    while let Some(input) = backlogs.next(inbox.run_id()) {
        inbox.send(input).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn cancel(reason: &str) -> RunInput {
        RunInput::Cancel {
            reason: reason.to_owned(),
            slip: None,
        }
    }

    async fn reasons(receiver: &mut mpsc::Receiver<Box<RunInput>>, count: usize) -> Vec<String> {
        let mut reasons = Vec::new();
        for _ in 0..count {
            match *receiver.recv().await.unwrap() {
                RunInput::Cancel { reason, .. } => reasons.push(reason),
                RunInput::Call { .. }
                | RunInput::Answer { .. }
                | RunInput::Proceed
                | RunInput::AddMessages { .. }
                | RunInput::Abandoned => panic!("not sent here"),
            }
        }
        reasons
    }

    #[tokio::test]
    async fn a_full_mailbox_gets_its_news_in_order_and_none_is_lost() {
        let (sender, mut receiver) = mpsc::channel(1);
        let inbox = Inbox::new(RunId::from_u128(1), sender);
        let courier = Courier::new(TaskTracker::new());
        for reason in ["1", "2", "3"] {
            assert!(courier.bring(&inbox, cancel(reason)));
        }
        let Handed::Later(report) = courier.hand_over(inbox.clone(), cancel("4")) else {
            panic!("the mailbox is full");
        };
        let (seen, ()) = tokio::join!(reasons(&mut receiver, 4), report.send());
        assert_eq!(seen, ["1", "2", "3", "4"]);
        assert_eq!(courier.backlogs.count.load(Ordering::Acquire), 0);
        assert!(courier.backlogs.lock().is_empty());
    }

    #[tokio::test]
    async fn an_ended_run_is_noticed_and_ends_its_backlog() {
        let (sender, receiver) = mpsc::channel(1);
        let inbox = Inbox::new(RunId::from_u128(1), sender);
        let tracker = TaskTracker::new();
        let courier = Courier::new(tracker.clone());
        courier.bring(&inbox, cancel("1"));
        courier.bring(&inbox, cancel("2"));
        drop(receiver);
        tracker.close();
        tracker.wait().await;
        assert!(!courier.bring(&inbox, cancel("3")));
        assert!(matches!(
            courier.hand_over(inbox, cancel("4")),
            Handed::Ended
        ));
    }
}
