//! Threads, as callers see them, and what is said to a run that works.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Runs, creation::name_messages};
use crate::{
    domain::{
        call::Disposition,
        fault::{Fault, Reason},
        id::{RunId, ThreadId},
        message::Message,
        policy::stricter,
        principal::Tenant,
        run::{Run, RunSpec, RunState},
        thread::{Continuation, Thread, ThreadFilter},
    },
    run::{
        conversation::Conversation,
        lineage::Lineage,
        port::{ReceiptSlip, RunInput, StoreError},
        watch::weight,
    },
};

/// A message of a thread, with its place: the run, and the message's number in it.
#[derive(Debug)]
pub struct Said {
    /// The run that brought it into the thread.
    pub run_id: RunId,
    /// Its number in the run, from 0.
    pub index: usize,
    /// The message.
    pub message: Arc<Message>,
}

impl Runs {
    /// A thread.
    ///
    /// # Errors
    /// `THREAD_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn thread(&self, tenant: &Tenant, thread_id: ThreadId) -> Result<Thread, Fault> {
        Ok(self.shared.ports.store.thread(tenant, thread_id).await?)
    }

    /// Threads that match, the one that moved last first, at most `limit`, which moved before `before`.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn threads(
        &self,
        tenant: &Tenant,
        filter: &ThreadFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Thread>, Fault> {
        let store = &self.shared.ports.store;
        Ok(store.threads(tenant, filter, before, limit).await?)
    }

    /// What was said in a thread by runs that have ended, oldest first, after a place: at most `limit`
    /// messages, and no more of them once they weigh `bytes`.
    ///
    /// # Errors
    /// `THREAD_NOT_FOUND`, `STORE_UNAVAILABLE`, `CONTEXT_LENGTH_EXCEEDED` (a line of more runs than the
    /// server takes in).
    pub async fn thread_messages(
        &self,
        tenant: &Tenant,
        thread_id: ThreadId,
        after: Option<(RunId, usize)>,
        (limit, bytes): (usize, usize),
    ) -> Result<Vec<Said>, Fault> {
        let thread = self.thread(tenant, thread_id).await?;
        let lineage = Lineage {
            store: Arc::clone(&self.shared.ports.store),
            tenant: tenant.clone(),
            most: self.shared.settings.max_line,
        };
        let (newest, until) = match (thread.head, thread.active()) {
            (Some(head), _) => (Some(head), None),
            // Its first run works: what that began with is there.
            (None, Some(active)) => {
                let (run, spec) = lineage.store.run(tenant, active).await?;
                let until = spec.continuation.as_ref().and_then(Continuation::until);
                (run.previous, until)
            }
            (None, None) => return Ok(Vec::new()),
        };
        let mut line = lineage.line(newest, until).await?.into_iter().peekable();
        if let Some((run_id, _)) = after {
            while line.next_if(|member| member.run.id != run_id).is_some() {}
        }
        let (mut said, mut weight) = (Vec::new(), 0_usize);
        for member in line {
            let mut conversation = Conversation::default();
            lineage.tell(&member, &mut conversation).await?;
            let run_id = member.run.id;
            let from = after.filter(|(after, _)| *after == run_id);
            let from = from.map_or(0, |(_, index)| index + 1);
            let messages = conversation.into_messages().into_iter().enumerate();
            for (index, message) in messages.skip(from) {
                if said.len() >= limit || weight > bytes {
                    return Ok(said);
                }
                weight = weight.saturating_add(weight::of_message(&message));
                said.push(Said {
                    run_id,
                    index,
                    message,
                });
            }
        }
        Ok(said)
    }

    /// Deletes a thread with its runs and their events.
    ///
    /// # Errors
    /// `THREAD_NOT_FOUND`, `THREAD_IN_USE`, `STORE_UNAVAILABLE`.
    pub async fn delete_thread(&self, tenant: &Tenant, thread_id: ThreadId) -> Result<(), Fault> {
        let deleted = self.shared.ports.store.delete_thread(tenant, thread_id);
        deleted.await.map_err(|error| {
            if let StoreError::ThreadBusy { active } = error {
                let why = "a run of the thread has not ended";
                return Fault::new(Reason::ThreadInUse, why).with("active_run_id", active);
            }
            error.into()
        })
    }

    /// Says something to a run, and returns once that is stored: it reaches the model with the next turn,
    /// also when the run would have ended with this one. The same messages again, by their ids, change
    /// nothing.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `RUN_FINISHED`, `TOO_MANY_MESSAGES`, `STORE_UNAVAILABLE`.
    pub async fn add_messages(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        mut messages: Vec<Arc<Message>>,
    ) -> Result<Arc<Run>, Fault> {
        name_messages(&mut messages);
        // Whether there is such a run at all; one that waits for people is no less there to be spoken to.
        self.get(tenant, run_id).await?;
        self.wake(tenant, run_id).await?;
        let inbox = self.inbox(tenant, run_id)?;
        let (answer, stored) = oneshot::channel();
        let slip = ReceiptSlip::new(move |disposition| {
            // The caller may have gone; the messages are stored all the same.
            let _gone = answer.send(disposition);
        });
        let slip = Some(slip);
        let input = RunInput::AddMessages { messages, slip };
        inbox.send(input).await;
        let disposition = stored.await.ok();
        let run = self.get(tenant, run_id).await?;
        let open = !run.state.is_terminal() && run.state != RunState::Cancelling;
        match disposition {
            Some(Disposition::Applied | Disposition::Duplicate) => Ok(run),
            Some(Disposition::Stale) if open => {
                let most = self.shared.settings.max_added_messages;
                let why = "more messages wait for the next turn than may";
                Err(Fault::new(Reason::TooManyMessages, why).with("max_added_messages", most))
            }
            None if open => {
                let why = "the run waits for its store, which has no word of the messages";
                Err(Fault::new(Reason::StoreUnavailable, why))
            }
            Some(Disposition::Stale) | None => {
                Err(Fault::new(Reason::RunFinished, "the run has ended"))
            }
        }
    }

    /// Puts the policies of the run that a new one goes on from under its own: what was denied stays so.
    ///
    /// # Errors
    /// `THREAD_NOT_FOUND`, `RUN_NOT_FOUND`, `INVALID_REQUEST` (too many on top of one another),
    /// `STORE_UNAVAILABLE`.
    pub(super) async fn inherit(&self, tenant: &Tenant, spec: &mut RunSpec) -> Result<(), Fault> {
        let before = match &spec.continuation {
            None => return Ok(()),
            Some(Continuation::Thread { id, .. }) => self.thread(tenant, *id).await?.newest(),
            Some(Continuation::Run(run_id) | Continuation::Fork { run_id, .. }) => Some(*run_id),
        };
        if let Some(before) = before {
            let parent = self.spec(tenant, before).await?;
            spec.policy = stricter((before, &parent.policy), &spec.policy)?;
        }
        Ok(())
    }
}
