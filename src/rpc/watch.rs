//! Watching runs: cursors over their logs, with a heartbeat when nothing happens.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    convert::event,
    stream::{Speaker, Streams},
};
use crate::{
    domain::{fault::Fault, id::RunId},
    pb::v1::{EventDetail, RunEvent, WatchRunResponse, WatchRunsResponse},
    run::{Detail, Feed, From, Watch},
};

/// Shows one run.
pub(super) struct OneRun {
    pub(super) run_id: RunId,
    pub(super) watch: Watch,
    pub(super) streams: Streams,
}

/// Shows many runs.
pub(super) struct ManyRuns {
    pub(super) feed: Feed,
    pub(super) cursor: String,
    pub(super) streams: Streams,
}

/// How much a watch shows.
pub(super) const fn detail(wanted: EventDetail, default: Detail) -> Detail {
    match wanted {
        EventDetail::Unspecified => default,
        EventDetail::Full => Detail::Full,
        EventDetail::Durable => Detail::Durable,
    }
}

/// Where a watch begins.
pub(super) fn position(after_sequence: Option<u64>) -> From {
    after_sequence.map_or(From::Snapshot, From::After)
}

/// The next events of a run, or a heartbeat after a silence; `None` after the last.
pub(super) async fn next_events(
    run_id: RunId,
    watch: &mut Watch,
    silence: Duration,
) -> Option<Result<Vec<RunEvent>, Fault>> {
    match timeout(silence, watch.next()).await {
        Ok(Some(Ok(batch))) => Some(Ok(batch
            .iter()
            .map(|seen| event::encode(run_id, seen))
            .collect())),
        Ok(Some(Err(fault))) => Some(Err(fault)),
        Ok(None) => None,
        Err(_silent) => Some(Ok(vec![event::heartbeat(watch.sequence())])),
    }
}

impl Speaker for OneRun {
    type Reply = WatchRunResponse;

    async fn next(&mut self) -> Option<Result<WatchRunResponse, Fault>> {
        let silence = self.streams.settings.heartbeat_interval;
        let events = tokio::select! {
            events = next_events(self.run_id, &mut self.watch, silence) => events?,
            fault = self.streams.closed() => Err(fault),
        };
        Some(events.map(|events| WatchRunResponse { events }))
    }
}

impl Speaker for ManyRuns {
    type Reply = WatchRunsResponse;

    async fn next(&mut self) -> Option<Result<WatchRunsResponse, Fault>> {
        let silence = self.streams.settings.heartbeat_interval;
        let batch = tokio::select! {
            batch = timeout(silence, self.feed.next()) => batch,
            fault = self.streams.closed() => return Some(Err(fault)),
        };
        Some(match batch {
            Ok(Ok(batch)) => {
                self.cursor.clone_from(&batch.cursor);
                let events = batch
                    .seen
                    .iter()
                    .map(|seen| event::encode(batch.run_id, seen));
                Ok(WatchRunsResponse {
                    root_run_id: batch.run_id.to_string(),
                    events: events.collect(),
                    cursor: batch.cursor,
                })
            }
            Ok(Err(fault)) => Err(fault),
            // A heartbeat is of no run.
            Err(_silent) => Ok(WatchRunsResponse {
                root_run_id: String::new(),
                events: vec![event::heartbeat(0)],
                cursor: self.cursor.clone(),
            }),
        })
    }
}
