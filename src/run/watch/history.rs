//! What the store says of a run that has no live log: read once, when a watch comes upon it.

use std::sync::Arc;

use super::{ChildSnapshot, Seen, Snapshot, Source};
use crate::domain::{
    event::{Event, Fact, ToolCallUpdate},
    fault::Fault,
    id::RunId,
    run::{Run, RunState},
};

/// Events read at once.
pub(super) const PAGE: usize = 256;

impl Source {
    /// How a run stands, and the sequence that this covers.
    pub(super) async fn snapshot(&self, run_id: RunId) -> Result<(u64, Arc<Snapshot>), Fault> {
        if let Some(log) = self.live.log(run_id) {
            return Ok(log.snapshot());
        }
        let run = self.run(run_id).await?;
        let (mut calls, mut children) = (Vec::new(), Vec::new());
        if !run.state.is_terminal() {
            self.fold(run_id, run.last_sequence, |event| {
                note_call(&mut calls, event);
                note_child(&mut children, event);
            })
            .await?;
        }
        let sequence = run.last_sequence;
        let snapshot = Snapshot {
            run,
            partial: None,
            calls,
            children,
        };
        Ok((sequence, Arc::new(snapshot)))
    }

    /// The states that a run has had, up to an event.
    pub(super) async fn states(&self, run_id: RunId, upto: u64) -> Result<Vec<RunState>, Fault> {
        let mut states = Vec::new();
        self.fold(run_id, upto, |event| {
            states.extend(event.root().map(|run| run.state));
        })
        .await?;
        Ok(states)
    }

    pub(super) async fn run(&self, run_id: RunId) -> Result<Arc<Run>, Fault> {
        let (run, _) = self.store.run(&self.tenant, run_id).await?;
        Ok(run)
    }

    pub(super) async fn read(&self, run_id: RunId, after: u64) -> Result<Vec<Arc<Event>>, Fault> {
        Ok(self.store.read(&self.tenant, run_id, after, PAGE).await?)
    }

    async fn fold(
        &self,
        run_id: RunId,
        upto: u64,
        mut each: impl FnMut(&Arc<Event>),
    ) -> Result<(), Fault> {
        let mut after = 0;
        loop {
            let page = self.read(run_id, after).await?;
            for event in page.iter().filter(|event| event.sequence <= upto) {
                each(event);
            }
            match page.last() {
                Some(last) if last.sequence < upto => after = last.sequence,
                Some(_) | None => return Ok(()),
            }
        }
    }
}

fn note_child(children: &mut Vec<ChildSnapshot>, event: &Event) {
    let Some(run) = event.child() else {
        return;
    };
    let known = children.iter().position(|child| child.run.id == run.id);
    if run.state.is_terminal() {
        children.retain(|child| child.run.id != run.id);
    } else if let Some(child) = known.and_then(|at| children.get_mut(at)) {
        child.run = Arc::clone(run);
    } else {
        children.push(ChildSnapshot {
            run: Arc::clone(run),
            partial: None,
        });
    }
}

fn note_call(calls: &mut Vec<Arc<ToolCallUpdate>>, event: &Event) {
    let Fact::ToolCallUpdated(update) = &event.fact else {
        return;
    };
    calls.retain(|call| call.call.id != update.call.id);
    if !update.state.is_terminal() {
        calls.push(Arc::clone(update));
    }
}

/// The snapshot as a watch shows it.
pub(super) fn seen((sequence, snapshot): (u64, Arc<Snapshot>)) -> Seen {
    Seen::Snapshot { sequence, snapshot }
}
