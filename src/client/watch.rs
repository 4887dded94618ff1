//! Watching runs: streams that resume by themselves.

use std::collections::{HashMap, VecDeque};

use tonic::{Code, Streaming};

use super::{Client, Error, MAX_RESPONSE_BYTES};
use crate::pb::v1::{
    EventDetail, Run, RunEvent, RunFilter, WatchRunRequest, WatchRunResponse, WatchRunsRequest,
    WatchRunsResponse, run, run_event::Event, run_service_client::RunServiceClient,
};

/// Runs that have ended and are remembered by a feed.
const MAX_FINISHED: usize = 4096;

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With a snapshot of how things stand.
    Now,
    /// After this sequence; 0 is the beginning.
    Sequence(i64),
}

impl Client {
    /// Watches a run to its end. Nothing is asked of the server before the first
    /// [`RunWatch::next`].
    pub fn watch_run(&self, run_id: &str, since: Since, detail: EventDetail) -> RunWatch {
        RunWatch {
            client: self.clone(),
            request: WatchRunRequest {
                run_id: run_id.to_owned(),
                after_sequence: match since {
                    Since::Now => None,
                    Since::Sequence(sequence) => Some(sequence),
                },
                detail: detail.into(),
            },
            stream: None,
            ready: VecDeque::new(),
            failed: 0,
            is_over: false,
        }
    }

    /// Watches all runs that match, those that begin later too. An empty cursor begins with a snapshot
    /// of each live run. Never ends by itself.
    pub fn watch_runs(&self, filter: RunFilter, cursor: &str, detail: EventDetail) -> RunFeed {
        RunFeed {
            client: self.clone(),
            request: WatchRunsRequest {
                filter: Some(filter),
                cursor: cursor.to_owned(),
                detail: detail.into(),
                include_finished: false,
            },
            stream: None,
            failed: 0,
            seen: Shown::default(),
        }
    }

    /// Waits for a run's end.
    ///
    /// # Errors
    /// As [`RunWatch::next`]. A run that failed is no error here.
    pub async fn wait_for_run(&self, run_id: &str) -> Result<Run, Error> {
        let mut watch = self.watch_run(run_id, Since::Now, EventDetail::Durable);
        let mut newest = None;
        while let Some(event) = watch.next().await {
            newest = run_in(&event?).cloned().or(newest);
        }
        match newest {
            Some(run) if is_over(&run) => Ok(run),
            Some(_) | None => self.get_run(run_id).await,
        }
    }
}

/// The state of the watched run that an event holds.
pub(super) fn run_in(event: &RunEvent) -> Option<&Run> {
    match event.event.as_ref()? {
        Event::RunUpdated(run) => Some(run),
        Event::Snapshot(snapshot) => snapshot.runs.first(),
        Event::MessageDelta(_)
        | Event::MessageCompleted(_)
        | Event::MessageDiscarded(_)
        | Event::ToolCallUpdated(_)
        | Event::InputAnswered(_)
        | Event::PolicyDecided(_)
        | Event::Heartbeat(_) => None,
    }
}

/// Whether a run has ended.
pub(super) fn is_over(run: &Run) -> bool {
    matches!(
        run.state(),
        run::State::Succeeded | run::State::Failed | run::State::Cancelled
    )
}

/// Whether a watch that ended so may go on where it stood.
pub(super) fn may_resume(error: &Error) -> bool {
    // A reader that was too slow has missed nothing: the log still has it.
    error.is_transient() || error.reason == "SLOW_READER"
}

/// The events of one run, in order. After a lost stream it goes on behind the last event; when that is
/// no longer possible a snapshot comes, which replaces all that came before.
#[derive(Debug)]
pub struct RunWatch {
    client: Client,
    request: WatchRunRequest,
    stream: Option<Streaming<WatchRunResponse>>,
    ready: VecDeque<RunEvent>,
    failed: u32,
    is_over: bool,
}

impl RunWatch {
    /// The next event, heartbeats left out; `None` after the last. May be dropped and called again.
    ///
    /// # Errors
    /// What cannot be cured by trying again, or what was tried too often.
    pub async fn next(&mut self) -> Option<Result<RunEvent, Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.request.after_sequence = Some(event.sequence);
                if !matches!(event.event, Some(Event::Heartbeat(_))) {
                    return Some(Ok(event));
                }
            } else if self.is_over {
                return None;
            } else if let Err(error) = self.fetch().await {
                self.stream = None;
                self.failed += 1;
                let wait = self.client.backoff.wait(self.failed, &error);
                let Some(wait) = wait.filter(|_| may_resume(&error)) else {
                    self.is_over = true;
                    return Some(Err(error));
                };
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// The newest sequence that was handed out; what [`Since::Sequence`] takes.
    pub fn sequence(&self) -> Option<i64> {
        self.request.after_sequence
    }

    async fn fetch(&mut self) -> Result<(), Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let mut runs = RunServiceClient::new(self.client.streams.clone())
                    .max_decoding_message_size(MAX_RESPONSE_BYTES);
                let request = self.client.lasting(self.request.clone());
                self.stream
                    .insert(runs.watch_run(request).await?.into_inner())
            }
        };
        match stream.message().await? {
            Some(batch) => {
                self.failed = 0;
                self.ready.extend(batch.events);
            }
            None => self.is_over = true,
        }
        Ok(())
    }
}

/// The events of many runs: batches, each of one run. After a lost stream it goes on behind the last
/// cursor.
#[derive(Debug)]
pub struct RunFeed {
    client: Client,
    request: WatchRunsRequest,
    stream: Option<Streaming<WatchRunsResponse>>,
    failed: u32,
    seen: Shown,
}

/// What a feed has shown. One that goes on from an early cursor may come upon events that a snapshot
/// already covered.
#[derive(Debug, Default)]
struct Shown {
    /// The newest event of each run.
    newest: HashMap<String, i64>,
    /// The runs that have ended, the oldest first: not all of them are kept.
    finished: VecDeque<String>,
}

impl Shown {
    /// Whether an event is to be shown; it then counts as shown.
    fn is_new(&mut self, run_id: &str, event: &RunEvent) -> bool {
        if is_heartbeat(event) {
            return true;
        }
        let begins = matches!(event.event, Some(Event::Snapshot(_)));
        let newest = self.newest.get(run_id);
        if !begins && newest.is_some_and(|newest| event.sequence <= *newest) {
            return false;
        }
        self.newest.insert(run_id.to_owned(), event.sequence);
        if run_in(event).is_some_and(is_over) {
            self.finished.push_back(run_id.to_owned());
            if self.finished.len() > MAX_FINISHED
                && let Some(oldest) = self.finished.pop_front()
            {
                self.newest.remove(&oldest);
            }
        }
        true
    }
}

impl RunFeed {
    /// The next batch. May be dropped and called again.
    ///
    /// # Errors
    /// What cannot be cured by trying again, or what was tried too often.
    pub async fn next(&mut self) -> Result<WatchRunsResponse, Error> {
        loop {
            let error = match self.fetch().await {
                Ok(mut batch) => {
                    if !batch.cursor.is_empty() {
                        self.request.cursor.clone_from(&batch.cursor);
                    }
                    let run_id = &batch.root_run_id;
                    batch.events.retain(|event| self.seen.is_new(run_id, event));
                    if batch.events.iter().any(|event| !is_heartbeat(event)) {
                        return Ok(batch);
                    }
                    continue;
                }
                Err(error) => error,
            };
            self.stream = None;
            self.failed += 1;
            let wait = self.client.backoff.wait(self.failed, &error);
            let Some(wait) = wait.filter(|_| may_resume(&error)) else {
                return Err(error);
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Opens the stream now, so that no run that begins after this is missed.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn open(&mut self) -> Result<(), Error> {
        if self.stream.is_none() {
            let mut runs = RunServiceClient::new(self.client.streams.clone())
                .max_decoding_message_size(MAX_RESPONSE_BYTES);
            let request = self.client.lasting(self.request.clone());
            self.stream = Some(runs.watch_runs(request).await?.into_inner());
        }
        Ok(())
    }

    /// Where the watch stands; what [`Client::watch_runs`] takes.
    pub fn cursor(&self) -> &str {
        &self.request.cursor
    }

    async fn fetch(&mut self) -> Result<WatchRunsResponse, Error> {
        self.open().await?;
        let stream = self.stream.as_mut();
        let stream = stream.ok_or_else(|| Error::protocol("the stream is not open"))?;
        let batch = stream.message().await?;
        self.failed = 0;
        batch.ok_or_else(|| Error {
            code: Code::Unavailable,
            ..Error::protocol("the server ended the watch")
        })
    }
}

fn is_heartbeat(event: &RunEvent) -> bool {
    matches!(event.event, Some(Event::Heartbeat(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::RunSnapshot;

    fn updated(sequence: i64, state: run::State) -> RunEvent {
        let run = Run {
            state: state.into(),
            ..Run::default()
        };
        RunEvent {
            sequence,
            event: Some(Event::RunUpdated(Box::new(run))),
            ..RunEvent::default()
        }
    }

    fn snapshot(sequence: i64) -> RunEvent {
        RunEvent {
            sequence,
            event: Some(Event::Snapshot(RunSnapshot::default())),
            ..RunEvent::default()
        }
    }

    #[test]
    fn what_a_snapshot_has_covered_is_not_shown_again() {
        let mut shown = Shown::default();
        assert!(shown.is_new("a", &snapshot(5)));
        assert!(!shown.is_new("a", &updated(4, run::State::Running)));
        assert!(!shown.is_new("a", &updated(5, run::State::Running)));
        assert!(shown.is_new("b", &updated(1, run::State::Running)));
        assert!(shown.is_new("a", &updated(6, run::State::Succeeded)));
        assert!(!shown.is_new("a", &updated(6, run::State::Succeeded)));
        assert!(shown.is_new("a", &snapshot(2)), "a snapshot begins anew");
    }

    #[test]
    fn runs_that_have_ended_are_not_remembered_for_ever() {
        let mut shown = Shown::default();
        for n in 0..=MAX_FINISHED {
            assert!(shown.is_new(&n.to_string(), &updated(2, run::State::Failed)));
        }
        assert_eq!(shown.newest.len(), MAX_FINISHED);
    }
}
