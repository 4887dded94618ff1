//! What running calls say of themselves: the latest of each, at most five a second.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::domain::{
    event::{Ephemeral, Progress, ToolCallUpdate},
    id::{CallId, RunId},
};

/// The shortest time between two shown reports of one call.
const INTERVAL: Duration = Duration::from_millis(200);

/// The latest report of each running call.
#[derive(Default)]
pub(super) struct Reports(Vec<Latest>);

struct Latest {
    run_id: Option<RunId>,
    update: Arc<ToolCallUpdate>,
    progress: Progress,
    /// When and where the last report was shown; `None` before the first.
    shown: Option<(Instant, u64)>,
    /// Whether `progress` is newer than what was shown.
    fresh: bool,
}

impl Reports {
    /// A call reports.
    pub(super) fn report(
        &mut self,
        run_id: Option<RunId>,
        update: Arc<ToolCallUpdate>,
        progress: Progress,
    ) {
        if let Some(latest) = self.of(&update.call.id) {
            latest.update = update;
            latest.progress = progress;
            latest.fresh = true;
        } else {
            self.0.push(Latest {
                run_id,
                update,
                progress,
                shown: None,
                fresh: true,
            });
        }
    }

    /// A call has changed its state.
    pub(super) fn update(&mut self, update: &Arc<ToolCallUpdate>) {
        if update.state.is_terminal() {
            self.0.retain(|l| l.update.call.id != update.call.id);
        } else if let Some(latest) = self.of(&update.call.id) {
            latest.update = Arc::clone(update);
        }
    }

    fn of(&mut self, call_id: &CallId) -> Option<&mut Latest> {
        self.0.iter_mut().find(|l| l.update.call.id == *call_id)
    }

    /// Gives the reports that may be shown their places, from `next` on; says when another may be.
    pub(super) fn number(&mut self, now: Instant, next: &mut u64) -> Option<Instant> {
        let mut next_due: Option<Instant> = None;
        for latest in self.0.iter_mut().filter(|latest| latest.fresh) {
            let due = latest.shown.map(|(at, _)| at + INTERVAL);
            if let Some(due) = due.filter(|due| *due > now) {
                next_due = Some(next_due.map_or(due, |next| next.min(due)));
            } else {
                latest.shown = Some((now, *next));
                latest.fresh = false;
                *next += 1;
            }
        }
        next_due
    }

    /// The first report that was shown between two places of the log.
    pub(super) fn first(&self, after: u64, before: u64) -> Option<(u64, Option<RunId>, Ephemeral)> {
        self.0
            .iter()
            .filter_map(|latest| Some((latest.shown?.1, latest)))
            .filter(|(sequence, _)| *sequence > after && *sequence < before)
            .min_by_key(|(sequence, _)| *sequence)
            .map(|(sequence, latest)| {
                let ephemeral = Ephemeral::Progress {
                    update: Arc::clone(&latest.update),
                    progress: latest.progress.clone(),
                };
                (sequence, latest.run_id, ephemeral)
            })
    }
}
