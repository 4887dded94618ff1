//! How a run waits for its turn in its thread.

use std::{convert::Infallible, future::pending, pin::pin, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::sleep};

use super::{Live, creation::Launch};
use crate::{
    domain::{
        id::RunId,
        run::{Run, RunState},
    },
    run::{
        driver::{Driver, End},
        port::{Inbox, RunInput, StoreError},
    },
};

/// How long the end of the run before is waited for until its state is looked at again. Only a run that was
/// not live, or a store that failed, makes that necessary.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Live {
    /// What tells of the end of a run.
    fn end_of(&self, run_id: RunId) -> Arc<Notify> {
        Arc::clone(self.behind.lock().entry(run_id).or_default())
    }

    /// A run has ended.
    pub(super) fn tell_ended(&self, run_id: RunId) {
        let waiting = self.behind.lock().remove(&run_id);
        if let Some(waiting) = waiting {
            waiting.notify_waiters();
        }
    }
}

impl Launch {
    /// Drives a run that waits for its turn. It can be watched, cancelled and spoken to meanwhile.
    pub(super) async fn drive_in_turn(
        &self,
        driver: &mut Driver,
        (run, inbox): (Arc<Run>, Inbox),
    ) -> End {
        let turn = self.wait_for_turn(run, driver.cancels_active());
        let proceed = async move {
            turn.await;
            inbox.send(RunInput::Proceed).await;
            // The mailbox stays open for the run's sake.
            drop(inbox);
            pending::<Infallible>().await
        };
        tokio::select! {
            end = driver.drive() => end,
            never = proceed => match never {},
        }
    }

    /// Completes when every run before this one has ended.
    async fn wait_for_turn(&self, run: Arc<Run>, cancels: bool) {
        let mut before = run.previous;
        while let Some(run_id) = before {
            let end = self.place.live.end_of(run_id);
            let mut ended = pin!(end.notified());
            // From before the look on: no end falls between the two.
            ended.as_mut().enable();
            match self.shared.ports.store.run(&run.tenant, run_id).await {
                Ok((found, _)) if found.state.is_terminal() => {
                    self.place.live.tell_ended(run_id);
                    // One that has never begun did not wait to its end for those before it.
                    before = found.previous.filter(|_| !found.has_begun());
                    continue;
                }
                Ok((found, _)) if cancels && found.state != RunState::Cancelling => {
                    self.cancel_for(run_id, &run).await;
                }
                Err(StoreError::NotFound) => return,
                Ok(_) | Err(_) => {}
            }
            tokio::select! {
                () = ended => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    async fn cancel_for(&self, run_id: RunId, successor: &Run) {
        let inbox = {
            let runs = self.place.live.runs.lock();
            runs.get(&run_id).map(|entry| entry.inbox.clone())
        };
        if let Some(inbox) = inbox {
            let reason = format!("{} takes its place in the thread", successor.id);
            inbox.send(RunInput::Cancel { reason, slip: None }).await;
        }
    }
}
