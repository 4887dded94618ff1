//! What a live log shows: the newest events, the message in progress, the calls that run. Pure; time
//! comes with the question.
//!
//! While a commit is under way, what has a later sequence stays hidden: nothing is shown before what
//! comes before it is stored.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::Instant;

use super::{partial::Partial, reports::Reports};
use crate::{
    domain::{
        completion::Delta,
        event::{Ephemeral, Event, Fact, Progress, ToolCallUpdate},
        id::MessageId,
        run::Run,
        time::Timestamp,
    },
    run::watch::{Batch, Detail, Seen, Snapshot},
};

/// Sequences that an earlier life of the run may have given out after its newest event, for what was never
/// stored: far more than there is time for between two commits.
const UNSTORED: u64 = 1 << 32;

/// Events at hand; readers that are further behind ask the store.
const TAIL_EVENTS: usize = 32;

pub(super) struct Book {
    run: Arc<Run>,
    /// The newest committed event.
    head: u64,
    /// The sequence to be given out next.
    next: u64,
    /// The first sequence of the commit under way.
    committing: Option<u64>,
    tail: VecDeque<Arc<Event>>,
    /// The newest event that is not in the tail.
    floor: u64,
    partial: Option<Box<Partial>>,
    /// Calls that are not done, in the order in which they began.
    calls: Vec<Arc<ToolCallUpdate>>,
    reports: Reports,
}

/// Events on their way to the store.
pub(super) struct Prepared {
    pub(super) expected: u64,
    pub(super) events: Vec<Arc<Event>>,
}

/// What a reader gets.
pub(in crate::run) struct Collected {
    pub(in crate::run) seen: Vec<Seen>,
    /// The reader's new place.
    pub(in crate::run) cursor: u64,
    /// Events up to here are to be read from the store first.
    pub(in crate::run) behind: Option<u64>,
    /// Whether there is more for display than had room.
    pub(in crate::run) more: bool,
    /// Whether nothing will ever come after this.
    pub(in crate::run) ended: bool,
    /// When to ask again though nothing has happened: a report is held back.
    pub(in crate::run) due: Option<Instant>,
}

impl Book {
    pub(super) fn new(run: Arc<Run>) -> Self {
        let head = run.last_sequence;
        Self {
            run,
            head,
            next: head + 1,
            committing: None,
            tail: VecDeque::new(),
            floor: head,
            partial: None,
            calls: Vec::new(),
            reports: Reports::default(),
        }
    }

    /// The log of a run whose earlier life has ended with these calls under way. No reader has seen what
    /// comes now, however much of the earlier life it has seen.
    pub(super) fn restored(run: Arc<Run>, calls: Vec<Arc<ToolCallUpdate>>) -> Self {
        let mut book = Self::new(run);
        book.next = book.next.saturating_add(UNSTORED);
        book.calls = calls;
        book
    }

    pub(super) fn run(&self) -> Arc<Run> {
        self.run.seen_at(self.head)
    }

    pub(super) const fn head(&self) -> u64 {
        self.head
    }

    /// Readers see what is below.
    fn horizon(&self) -> u64 {
        self.committing.unwrap_or(self.next)
    }

    // --- the writer ---

    /// Gives facts their places; `None` while another commit is under way.
    pub(super) fn prepare(&mut self, now: Timestamp, facts: Vec<Fact>) -> Option<Prepared> {
        if self.committing.is_some() {
            return None;
        }
        self.committing = Some(self.next);
        if let Some(partial) = &mut self.partial {
            partial.seal();
        }
        let events = facts
            .into_iter()
            .map(|mut fact| {
                let sequence = self.next;
                self.next += 1;
                if let Fact::RunUpdated(run) = &mut fact {
                    Arc::make_mut(run).last_sequence = sequence;
                }
                Arc::new(Event {
                    sequence,
                    time: now,
                    fact,
                })
            })
            .collect();
        Some(Prepared {
            expected: self.head,
            events,
        })
    }

    /// The commit under way is over; whatever was not shown leaves a gap.
    pub(super) const fn settle(&mut self) {
        self.committing = None;
    }

    /// Shows stored events.
    pub(super) fn show(&mut self, events: Vec<Arc<Event>>) {
        for event in events {
            self.head = event.sequence;
            self.apply(&event.fact);
            self.tail.push_back(event);
        }
        while self.tail.len() > TAIL_EVENTS {
            if let Some(event) = self.tail.pop_front() {
                self.floor = event.sequence;
            }
        }
    }

    fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::RunUpdated(run) => {
                self.run = Arc::clone(run);
                if run.state.is_terminal() {
                    self.partial = None;
                    self.calls = Vec::new();
                    self.reports = Reports::default();
                }
            }
            Fact::MessageCompleted(completed) => {
                if let Some(message_id) = &completed.message.id {
                    self.drop_partial(message_id);
                }
            }
            Fact::MessageDiscarded { message_id, .. } => self.drop_partial(message_id),
            Fact::ToolCallUpdated(update) => self.update_call(update),
        }
    }

    fn drop_partial(&mut self, message_id: &MessageId) {
        self.partial
            .take_if(|partial| partial.message_id() == message_id);
    }

    fn update_call(&mut self, update: &Arc<ToolCallUpdate>) {
        self.reports.update(update);
        let id = &update.call.id;
        if update.state.is_terminal() {
            self.calls.retain(|call| call.call.id != *id);
            return;
        }
        match self.calls.iter_mut().find(|call| call.call.id == *id) {
            Some(call) => *call = Arc::clone(update),
            None => self.calls.push(Arc::clone(update)),
        }
    }

    pub(super) fn delta(&mut self, message_id: &MessageId, delta: Delta) {
        self.drop_partial_of_another(message_id);
        let partial = self
            .partial
            .get_or_insert_with(|| Box::new(Partial::new(message_id.clone())));
        if partial.grow(delta, self.next) {
            self.next += 1;
        }
    }

    fn drop_partial_of_another(&mut self, message_id: &MessageId) {
        self.partial
            .take_if(|partial| partial.message_id() != message_id);
    }

    pub(super) fn discard_partial(&mut self) {
        self.partial = None;
    }

    pub(super) fn progress(&mut self, update: Arc<ToolCallUpdate>, progress: Progress) {
        let id = &update.call.id;
        // One that is later than the call's end is nothing any more.
        if self.calls.iter().any(|call| call.call.id == *id) {
            self.reports.report(update, progress);
        }
    }

    // --- readers ---

    /// The newest sequence that a reader may know. What comes next gets another.
    pub(super) fn newest(&mut self) -> u64 {
        if let Some(partial) = &mut self.partial {
            partial.seal();
        }
        self.horizon() - 1
    }

    pub(super) fn snapshot(&mut self) -> (u64, Snapshot) {
        let horizon = self.horizon();
        let partial = self.partial.as_mut().map(|partial| {
            let deltas = partial.whole(horizon);
            (partial.message_id().clone(), deltas)
        });
        let snapshot = Snapshot {
            run: self.run(),
            partial: partial.filter(|(_, deltas)| !deltas.is_empty()),
            calls: self.calls.clone(),
        };
        (self.newest(), snapshot)
    }

    /// What comes after a place of the log, up to a batch. `older` are the events that the store has
    /// between that place and the tail, if it was asked.
    pub(super) fn collect(
        &mut self,
        now: Instant,
        after: u64,
        older: &[Arc<Event>],
        detail: Detail,
    ) -> Collected {
        let reached = older.last().map_or(after, |event| event.sequence);
        let behind = (reached < self.floor).then_some(self.floor);
        let due = self.number_reports(now, detail);
        let mut batch = Batch::default();
        let mut cursor = after;
        let mut whole = true;
        let start = match behind {
            None => self.tail.partition_point(|e| e.sequence <= reached),
            Some(_) => self.tail.len(),
        };
        let events = older.iter().chain(self.tail.range(start..));
        let events: Vec<Arc<Event>> = events.map(Arc::clone).collect();
        for event in events {
            let sequence = event.sequence;
            whole = self.ephemerals(&mut cursor, sequence, detail, &mut batch)
                && batch.push(Seen::Event(event));
            if !whole {
                break;
            }
            cursor = sequence;
        }
        if whole && behind.is_none() {
            whole = self.ephemerals(&mut cursor, self.horizon(), detail, &mut batch);
        }
        let ended =
            whole && behind.is_none() && self.run.state.is_terminal() && cursor >= self.head;
        Collected {
            seen: batch.into_seen(),
            cursor,
            behind,
            more: !whole,
            ended,
            due,
        }
    }

    /// What there is for display after a place of the log and before the next event that its reader has
    /// not seen. `behind` when that event is no longer at hand.
    pub(super) fn fresh(&mut self, now: Instant, after: u64) -> Collected {
        let due = self.number_reports(now, Detail::Full);
        let behind = (after < self.floor).then_some(self.floor);
        let mut batch = Batch::default();
        let mut cursor = after;
        let mut whole = true;
        if behind.is_none() {
            let unseen = self.tail.partition_point(|event| event.sequence <= after);
            let before = self.tail.get(unseen).map_or(u64::MAX, |e| e.sequence);
            let before = before.min(self.horizon());
            whole = self.ephemerals(&mut cursor, before, Detail::Full, &mut batch);
        }
        Collected {
            seen: batch.into_seen(),
            cursor,
            behind,
            more: !whole,
            ended: false,
            due,
        }
    }

    /// What there is for display between two places of the log.
    pub(super) fn between(&mut self, now: Instant, after: u64, before: u64) -> Vec<Seen> {
        self.number_reports(now, Detail::Full);
        let mut batch = Batch::unbounded();
        let mut cursor = after;
        self.ephemerals(&mut cursor, before, Detail::Full, &mut batch);
        batch.into_seen()
    }

    /// Adds what there is for display; says whether all of it had room.
    fn ephemerals(
        &mut self,
        cursor: &mut u64,
        before: u64,
        detail: Detail,
        batch: &mut Batch,
    ) -> bool {
        if detail == Detail::Durable {
            return true;
        }
        let before = before.min(self.horizon());
        loop {
            // A report cuts the text: whoever has seen the report has seen the text before it.
            let report = self.reports.first(*cursor, before);
            let cut = report.as_ref().map_or(before, |(sequence, _)| *sequence);
            let text = self.partial.as_mut().and_then(|partial| {
                let (sequence, deltas) = partial.chunk(*cursor, cut)?;
                let message_id = partial.message_id().clone();
                Some((sequence, Ephemeral::MessageDelta { message_id, deltas }))
            });
            let Some((sequence, ephemeral)) = text.or(report) else {
                return true;
            };
            if !batch.push(Seen::Ephemeral {
                sequence,
                ephemeral,
            }) {
                return false;
            }
            *cursor = sequence;
        }
    }

    /// Gives reports that may be shown their places; says when the next one may.
    fn number_reports(&mut self, now: Instant, detail: Detail) -> Option<Instant> {
        if detail == Detail::Durable || self.committing.is_some() {
            return None;
        }
        let before = self.next;
        let due = self.reports.number(now, &mut self.next);
        if self.next > before
            && let Some(partial) = &mut self.partial
        {
            partial.seal();
        }
        due
    }
}
