//! The thread that writes, and the queue before it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    OpenError, Settings, ended,
    failure::{is_final, unavailable},
    ledger::{Created, Ledger},
    record::{Append, NewRun},
};
use crate::{
    domain::{
        id::{RunId, ThreadId},
        principal::Tenant,
    },
    run::port::{Claimed, Clock, StoreError},
};

/// Where an answer goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// Something to be written.
pub(super) enum Job {
    Create(Box<NewRun>, Answer<Created>),
    Append(Append, Answer<()>),
    Claim(Option<RunId>, usize, Answer<Vec<Claimed>>),
    /// A thread that is to be deleted.
    DeleteThread(Tenant, ThreadId, Answer<()>),
    /// Something that a test does to the connection, outside of any transaction of its own.
    #[cfg(test)]
    Tamper(fn(&Connection), Answer<()>),
}

/// An answer that waits for the transaction's end: it is given what became of that.
type Pending = Box<dyn FnOnce(Result<(), StoreError>)>;

/// The way to the writing thread. Dropping it writes what is queued, and waits for that.
pub(super) struct Writer {
    /// `None` when nothing is written here, and at the end.
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// The newest position that is on the disk.
    position: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let ledger = Ledger::open(connection, settings)?;
        let position = Arc::new(AtomicU64::new(ledger.position()));
        let (queue, jobs) = mpsc::channel(settings.queue.max(1));
        let mut work = Work {
            ledger,
            clock,
            position: Arc::clone(&position),
            dead: None,
        };
        let batch = settings.batch.max(1);
        let thread = thread::Builder::new()
            .name("runwire-store".to_owned())
            .spawn(move || work.go_on(jobs, batch))
            .map_err(OpenError::Thread)?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            position,
        })
    }

    /// The way to nobody: nothing is written.
    pub(super) fn absent() -> Self {
        Self {
            queue: None,
            thread: None,
            position: Arc::default(),
        }
    }

    /// Hands a job over, waiting for room, and waits until it is on the disk. Dropped after it was handed
    /// over, it is done all the same.
    pub(super) async fn ask<T>(
        &self,
        job: impl FnOnce(Answer<T>) -> Job + Send,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let read_only = || StoreError::Unavailable("it is only read here".to_owned());
        let queue = self.queue.as_ref().ok_or_else(read_only)?;
        queue.send(job(answer)).await.map_err(|_closed| ended())?;
        answered.await.unwrap_or_else(|_dropped| Err(ended()))
    }

    /// The newest position that is on the disk; `None` when somebody else writes.
    pub(super) fn position(&self) -> Option<u64> {
        let position = self.position.load(Ordering::Acquire);
        self.queue.is_some().then_some(position)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been told to everybody who asked since.
            let _panicked = thread.join();
        }
    }
}

/// What the thread has.
struct Work {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    position: Arc<AtomicU64>,
    /// Why nothing may be written any more.
    dead: Option<StoreError>,
}

impl Work {
    fn go_on(&mut self, mut queue: mpsc::Receiver<Job>, batch: usize) {
        let mut jobs = Vec::new();
        while queue.blocking_recv_many(&mut jobs, batch) > 0 {
            if let Some(error) = &self.dead {
                jobs.drain(..).for_each(|job| job.refuse(error));
            } else {
                self.write(&mut jobs);
            }
        }
    }

    /// Does all jobs in one transaction, then answers all of them.
    fn write(&mut self, jobs: &mut Vec<Job>) {
        let now = self.clock.now();
        let mut pending: Vec<Pending> = Vec::with_capacity(jobs.len());
        let mut rest = jobs.drain(..);
        let written = self.ledger.transact(now, |ledger| {
            for job in rest.by_ref() {
                pending.push(job.perform(ledger)?);
            }
            Ok(())
        });
        let end = match written {
            Ok(()) => Ok(()),
            Err(error) => {
                let refusal = unavailable(&error);
                tracing::error!(%error, "the store does not write: {refusal}");
                if is_final(&error) {
                    tracing::error!("nothing more is stored until the server begins anew");
                    self.dead = Some(refusal.clone());
                }
                rest.for_each(|job| job.refuse(&refusal));
                Err(refusal)
            }
        };
        self.position
            .store(self.ledger.position(), Ordering::Release);
        for answer in pending {
            answer(end.clone());
        }
    }
}

impl Job {
    /// Writes it. The answer is to be given after the transaction's end.
    ///
    /// # Errors
    /// When the database fails: the whole transaction is void. The job in hand is answered by dropping it.
    fn perform(self, ledger: &mut Ledger) -> Result<Pending, rusqlite::Error> {
        match self {
            Self::Create(new, answer) => pend(ledger.create(&new), answer),
            Self::Append(append, answer) => pend(ledger.append(&append), answer),
            Self::Claim(after, limit, answer) => pend(ledger.claim(after, limit).map(Ok), answer),
            #[cfg(test)]
            Self::Tamper(tamper, answer) => {
                tamper(&ledger.connection);
                pend(Ok(Ok(())), answer)
            }
            Self::DeleteThread(tenant, thread_id, answer) => {
                pend(ledger.delete_thread(&tenant, thread_id), answer)
            }
        }
    }

    fn refuse(self, error: &StoreError) {
        // Whoever has asked may have gone.
        match self {
            Self::Create(_, answer) => drop(answer.send(Err(error.clone()))),
            Self::Claim(_, _, answer) => drop(answer.send(Err(error.clone()))),
            Self::Append(_, answer) | Self::DeleteThread(_, _, answer) => {
                drop(answer.send(Err(error.clone())));
            }
            #[cfg(test)]
            Self::Tamper(_, answer) => drop(answer.send(Err(error.clone()))),
        }
    }
}

fn pend<T: 'static>(
    done: Result<Result<T, StoreError>, rusqlite::Error>,
    answer: Answer<T>,
) -> Result<Pending, rusqlite::Error> {
    let done = match done {
        Ok(done) => done,
        Err(error) => {
            // Whoever has asked may have gone.
            let _gone = answer.send(Err(unavailable(&error)));
            return Err(error);
        }
    };
    Ok(Box::new(move |end| {
        // As above.
        let _gone = answer.send(end.and(done));
    }))
}
