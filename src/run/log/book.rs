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
        event::{Entry, Ephemeral, Event, Fact, Progress, ToolCallUpdate},
        id::{MessageId, RunId},
        run::Run,
        time::Timestamp,
    },
    run::watch::{Batch, ChildSnapshot, Detail, Seen, Snapshot},
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
    /// The messages in progress, at most one of each run of the tree.
    partials: Vec<Partial>,
    /// Subagents' runs that live, in the order in which they began.
    children: Vec<Arc<Run>>,
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
            partials: Vec::new(),
            children: Vec::new(),
            calls: Vec::new(),
            reports: Reports::default(),
        }
    }

    /// The log of a run whose earlier life has ended with these subagents and calls under way. No reader has seen what
    /// comes now, however much of the earlier life it has seen.
    pub(super) fn restored(
        run: Arc<Run>,
        children: Vec<Arc<Run>>,
        calls: Vec<Arc<ToolCallUpdate>>,
    ) -> Self {
        let mut book = Self::new(run);
        book.children = children;
        book.next = book.next.saturating_add(UNSTORED);
        book.calls = calls;
        book
    }

    pub(super) fn run(&self) -> Arc<Run> {
        self.run.seen_at(self.head)
    }

    pub(super) fn children(&self) -> Vec<Arc<Run>> {
        let children = self.children.iter();
        children.map(|child| child.seen_at(self.head)).collect()
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
    pub(super) fn prepare(
        &mut self,
        now: Timestamp,
        facts: Vec<impl Into<Entry>>,
    ) -> Option<Prepared> {
        if self.committing.is_some() {
            return None;
        }
        self.committing = Some(self.next);
        self.seal();
        let events = facts
            .into_iter()
            .map(|entry| {
                let Entry { run_id, mut fact } = entry.into();
                let sequence = self.next;
                self.next += 1;
                if let Fact::RunUpdated(run) = &mut fact {
                    Arc::make_mut(run).last_sequence = sequence;
                }
                Arc::new(Event {
                    sequence,
                    run_id,
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
            self.apply(&event);
            self.tail.push_back(event);
        }
        while self.tail.len() > TAIL_EVENTS {
            if let Some(event) = self.tail.pop_front() {
                self.floor = event.sequence;
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        match &event.fact {
            Fact::RunUpdated(run) if event.run_id.is_some() => self.update_child(run),
            Fact::RunUpdated(run) => {
                self.run = Arc::clone(run);
                if run.state.is_terminal() {
                    self.partials = Vec::new();
                    self.children = Vec::new();
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
            Fact::InputAnswered(_) | Fact::PolicyDecided(_) => {}
        }
    }

    fn update_child(&mut self, run: &Arc<Run>) {
        if run.state.is_terminal() {
            self.children.retain(|child| child.id != run.id);
            self.drop_partials(|partial| partial.run_id() == Some(run.id));
            return;
        }
        match self.children.iter_mut().find(|child| child.id == run.id) {
            Some(child) => *child = Arc::clone(run),
            None => self.children.push(Arc::clone(run)),
        }
    }

    fn drop_partial(&mut self, message_id: &MessageId) {
        self.drop_partials(|partial| partial.message_id() == message_id);
    }

    fn drop_partials(&mut self, which: impl Fn(&Partial) -> bool) {
        self.partials.retain(|partial| !which(partial));
        if self.partials.is_empty() {
            self.partials = Vec::new();
        }
    }

    /// What comes next to any message gets a sequence of its own.
    fn seal(&mut self) {
        for partial in &mut self.partials {
            partial.seal();
        }
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

    pub(super) fn delta(&mut self, run_id: Option<RunId>, message_id: &MessageId, delta: Delta) {
        let known = self.partials.iter().position(|p| p.run_id() == run_id);
        let fresh = || Partial::new(run_id, message_id.clone());
        let partial = match known.and_then(|at| self.partials.get_mut(at)) {
            Some(partial) => {
                if partial.message_id() != message_id {
                    *partial = fresh();
                }
                partial
            }
            None => self.partials.push_mut(fresh()),
        };
        if partial.grow(delta, self.next) {
            self.next += 1;
        }
    }

    pub(super) fn progress(
        &mut self,
        run_id: Option<RunId>,
        update: Arc<ToolCallUpdate>,
        progress: Progress,
    ) {
        let id = &update.call.id;
        // One that is later than the call's end is nothing any more.
        if self.calls.iter().any(|call| call.call.id == *id) {
            self.reports.report(run_id, update, progress);
        }
    }

    // --- readers ---

    /// The newest sequence that a reader may know. What comes next gets another.
    pub(super) fn newest(&mut self) -> u64 {
        self.seal();
        self.horizon() - 1
    }

    pub(super) fn snapshot(&mut self) -> (u64, Snapshot) {
        let horizon = self.horizon();
        let mut texts = Vec::new();
        for partial in &mut self.partials {
            let deltas = partial.whole(horizon);
            if !deltas.is_empty() {
                texts.push((partial.run_id(), (partial.message_id().clone(), deltas)));
            }
        }
        let mut text_of = |run_id: Option<RunId>| {
            let at = texts.iter().position(|(of, _)| *of == run_id)?;
            Some(texts.swap_remove(at).1)
        };
        let snapshot = Snapshot {
            run: self.run(),
            partial: text_of(None),
            calls: self.calls.clone(),
            children: self
                .children()
                .into_iter()
                .map(|run| ChildSnapshot {
                    partial: text_of(Some(run.id)),
                    run,
                })
                .collect(),
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
            // A report cuts the text, and so does that of another message: whoever has seen what has a
            // place has seen all that was there before it.
            let report = self.reports.first(*cursor, before);
            let cut = report.as_ref().map_or(before, |(sequence, ..)| *sequence);
            let text = self.text(*cursor, cut);
            let Some((sequence, run_id, ephemeral)) = text.or(report) else {
                return true;
            };
            if !batch.push(Seen::Ephemeral {
                sequence,
                run_id,
                ephemeral,
            }) {
                return false;
            }
            *cursor = sequence;
        }
    }

    /// The first text between two places of the log.
    fn text(&mut self, after: u64, before: u64) -> Option<(u64, Option<RunId>, Ephemeral)> {
        let (mut first, mut before) = (None, before);
        for (at, partial) in self.partials.iter().enumerate() {
            let Some(sequence) = partial.first(after) else {
                continue;
            };
            match first {
                Some((earlier, _)) if earlier < sequence => before = before.min(sequence),
                Some((later, _)) => {
                    before = before.min(later);
                    first = Some((sequence, at));
                }
                None => first = Some((sequence, at)),
            }
        }
        let (_, at) = first?;
        let partial = self.partials.get_mut(at)?;
        let (sequence, deltas) = partial.chunk(after, before)?;
        let message_id = partial.message_id().clone();
        let delta = Ephemeral::MessageDelta { message_id, deltas };
        Some((sequence, partial.run_id(), delta))
    }

    /// Gives reports that may be shown their places; says when the next one may.
    fn number_reports(&mut self, now: Instant, detail: Detail) -> Option<Instant> {
        if detail == Detail::Durable || self.committing.is_some() {
            return None;
        }
        let before = self.next;
        let due = self.reports.number(now, &mut self.next);
        if self.next > before {
            self.seal();
        }
        due
    }
}
