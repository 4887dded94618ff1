//! The line of runs that a run goes on from, read from their logs.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{conversation::Conversation, port::Store, settings::Line, watch::weight};
use crate::domain::{
    event::Event,
    fault::{Fault, Reason},
    id::RunId,
    message::Message,
    principal::Tenant,
    run::{Run, RunSpec},
};

/// Events read at once.
const PAGE: usize = 256;

/// The wait before a store that fails is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// A run of a line, and the last event of it that counts: all when `None`.
pub(super) struct Member {
    pub(super) run: Arc<Run>,
    pub(super) spec: Arc<RunSpec>,
    until: Option<u64>,
}

/// Reads lines.
#[derive(Clone)]
pub(super) struct Lineage {
    pub(super) store: Arc<dyn Store>,
    pub(super) tenant: Tenant,
    pub(super) most: Line,
}

impl Lineage {
    /// What was said before a run.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `CONTEXT_LENGTH_EXCEEDED` (more than the server takes in), `STORE_UNAVAILABLE`.
    pub(super) async fn before(
        &self,
        run: &Run,
        spec: &RunSpec,
    ) -> Result<Vec<Arc<Message>>, Fault> {
        let until = spec.continuation.as_ref().and_then(|from| from.until());
        let mut conversation = Conversation::default();
        let mut bytes = 0_usize;
        for member in self.line(run.previous, until).await? {
            let said = self.tell(&member, &mut conversation).await?;
            bytes = bytes.saturating_add(said);
            if bytes > self.most.bytes {
                return Err(too_long("bytes", self.most.bytes));
            }
        }
        Ok(conversation.into_messages())
    }

    /// As [`Lineage::before`], and waits for a store that fails.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `CONTEXT_LENGTH_EXCEEDED`.
    pub(super) async fn patiently_before(
        &self,
        run: &Run,
        spec: &RunSpec,
    ) -> Result<Vec<Arc<Message>>, Fault> {
        loop {
            match self.before(run, spec).await {
                Err(fault) if fault.reason == Reason::StoreUnavailable => sleep(PAUSE).await,
                done => return done,
            }
        }
    }

    /// The runs up to one, the oldest first, without those that never began.
    pub(super) async fn line(
        &self,
        newest: Option<RunId>,
        mut until: Option<u64>,
    ) -> Result<Vec<Member>, Fault> {
        let mut line = Vec::new();
        let mut next = newest;
        while let Some(run_id) = next {
            let (run, spec) = self.store.run(&self.tenant, run_id).await?;
            next = run.previous;
            let before = spec.continuation.as_ref().and_then(|from| from.until());
            if run.has_begun() {
                line.push(Member { run, spec, until });
            }
            if line.len() > self.most.runs {
                return Err(too_long("runs", self.most.runs));
            }
            until = before;
        }
        line.reverse();
        Ok(line)
    }

    /// Adds what was said in a run. Gives its weight.
    pub(super) async fn tell(
        &self,
        member: &Member,
        conversation: &mut Conversation,
    ) -> Result<usize, Fault> {
        let input = member.spec.input.iter();
        let mut bytes: usize = input.map(|message| weight::of_message(message)).sum();
        conversation.begin(&member.spec);
        let (mut after, end) = (0, member.until.unwrap_or(u64::MAX));
        loop {
            let events = self.page(member.run.id, after).await?;
            // What a subagent's run says is the matter of its caller's tool.
            let told = |event: &&Arc<Event>| event.sequence <= end && event.run_id.is_none();
            for event in events.iter().filter(told) {
                conversation.add(&event.fact);
                bytes = bytes.saturating_add(weight::of_event(event));
            }
            match events.last() {
                Some(last) if events.len() == PAGE && last.sequence < end => after = last.sequence,
                Some(_) | None => break,
            }
        }
        match member.until {
            Some(_) => conversation.rewind(),
            None => conversation.end(&member.run),
        }
        Ok(bytes)
    }

    async fn page(&self, run_id: RunId, after: u64) -> Result<Vec<Arc<Event>>, Fault> {
        let events = self.store.read(&self.tenant, run_id, after, PAGE).await?;
        Ok(events)
    }
}

fn too_long(of: &str, limit: usize) -> Fault {
    let why = format!("the thread has more {of} than a run takes in");
    Fault::new(Reason::ContextLengthExceeded, why).with("limit", limit)
}
