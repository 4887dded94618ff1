//! A store that outlives the process: one SQLite database in the server's data directory.
//!
//! ```text
//!  create, append, …  ──► queue ──► writer thread ──one transaction for all that waits──► WAL, fsync
//!  read, list, feed   ──► a few read-only connections, each a snapshot of its own
//! ```
//!
//! One thread writes. It takes whatever is in its queue, puts it into one transaction, and answers when
//! that is on the disk (`journal_mode=WAL`, `synchronous=FULL`): the more runs wait, the more of them
//! share one fsync, and a lone one waits for nobody. Readers never wait for the writer.
//!
//! An event is a row, never changed: its place in its run's log, its position among the events of all
//! tenants, and its JSON as the module `record` describes it.
//!
//! A write that fails changes nothing, and everybody in its transaction is told. After a full disk, or
//! one that may only be read, the next write is tried like any other. After an error of the device
//! nothing more is written until the process begins anew: what an fsync has failed to store, another
//! one would not store either, and say that it did.

mod failure;
mod home;
mod ledger;
mod maintenance;
mod reader;
mod record;
mod retention;
mod schema;
mod thread;
mod writer;

#[cfg(test)]
mod tests;

use std::{fmt, path::Path, sync::Arc, time::Duration};

pub use self::{
    failure::OpenError,
    maintenance::{ExportError, Report, check, export, vacuum},
};
use self::{
    home::Home,
    reader::Readers,
    writer::{Job, Writer},
};
use crate::{
    domain::{
        event::Event,
        id::{CallId, RunId, ThreadId},
        principal::Tenant,
        run::{Run, RunSpec},
        thread::{Thread, ThreadFilter},
    },
    run::port::{
        Claimed, Clock, Creation, FeedEntry, NewRun, RunFilter, Store, StoreError, StoreFuture,
    },
};

/// The numbers of the store, and what it keeps of each tenant. Runs that live are always kept; of those
/// that have ended, the threads that rest longest are dropped for new ones, with all that belongs to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a finished run is kept.
    pub retention: Duration,
    /// Most finished runs.
    pub max_finished_runs: usize,
    /// Most bytes of finished runs, as they are stored.
    pub max_finished_bytes: usize,
    /// Writes that wait for the writer; further ones wait for room.
    pub queue: usize,
    /// Most writes in one transaction.
    pub batch: usize,
    /// Reads at once.
    pub readers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(30 * 24 * 60 * 60),
            max_finished_runs: 1_000_000,
            max_finished_bytes: 16 * 1024 * 1024 * 1024,
            queue: 1_024,
            batch: 1_024,
            readers: 4,
        }
    }
}

/// A store on the disk.
pub struct Sqlite {
    // In this order: the readers end, then the writer, which tidies up after itself when it is the last,
    // and then the directory is free for the next process.
    readers: Readers,
    writer: Writer,
    _home: Home,
}

impl Sqlite {
    /// Opens the store in a directory, which is made when it is not there. Waits for the disk.
    ///
    /// # Errors
    /// When the directory cannot be used, belongs to a server that runs, or holds what a newer version
    /// has written.
    pub fn open(
        directory: &Path,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::open_home(Home::occupy(directory)?, settings, clock)
    }

    /// As [`Sqlite::open`], of a store that is there.
    ///
    /// # Errors
    /// As [`Sqlite::open`], and when there is none.
    pub fn open_existing(
        directory: &Path,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::open_home(Home::of_store(directory)?, settings, clock)
    }

    fn open_home(home: Home, settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let mut connection = home.connect()?;
        schema::migrate(&mut connection, clock.now())?;
        let readers = Readers::open(&home, settings.readers)?;
        let writer = Writer::start(connection, settings, clock)?;
        Ok(Self {
            readers,
            writer,
            _home: home,
        })
    }

    /// Opens the store in a directory to read it, also while a server writes to it. What is to be written
    /// is refused, and nothing is taken over, brought up to date or made.
    ///
    /// # Errors
    /// When there is no store, or another version has written it.
    pub fn read_only(directory: &Path, settings: Settings) -> Result<Self, OpenError> {
        let home = Home::visit(directory)?;
        schema::check(&home.connect_reader()?)?;
        Ok(Self {
            readers: Readers::open(&home, settings.readers)?,
            writer: Writer::absent(),
            _home: home,
        })
    }
}

/// Whether a process has the store in a directory open to write to it.
///
/// # Errors
/// When the directory cannot be looked at.
pub fn is_open(directory: &Path) -> Result<bool, OpenError> {
    home::is_occupied(directory)
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sqlite")
    }
}

impl Store for Sqlite {
    fn create(&self, new: NewRun) -> StoreFuture<'_, Creation> {
        Box::pin(async move {
            let new = record::NewRun::encode(new)?;
            let created = self.writer.ask(|answer| Job::Create(Box::new(new), answer));
            match created.await? {
                ledger::Created::New(run) => Ok(Creation::Created(run)),
                ledger::Created::Known { tenant, run_id } => {
                    let (run, _spec) = self.run(&tenant, run_id).await?;
                    Ok(Creation::Existing(run))
                }
            }
        })
    }

    fn append(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        expected: u64,
        events: Vec<Arc<Event>>,
    ) -> StoreFuture<'_, ()> {
        let tenant = tenant.clone();
        Box::pin(async move {
            let append = record::Append::encode(tenant, run_id, expected, &events)?;
            self.writer.ask(|answer| Job::Append(append, answer)).await
        })
    }

    fn read(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Event>>> {
        let tenant = tenant.clone();
        self.readers
            .ask(move |reading| reading.events(&tenant, run_id, after, limit))
    }

    fn run(&self, tenant: &Tenant, run_id: RunId) -> StoreFuture<'_, (Arc<Run>, Arc<RunSpec>)> {
        let tenant = tenant.clone();
        self.readers
            .ask(move |reading| reading.run(&tenant, run_id))
    }

    fn child(&self, tenant: &Tenant, run_id: RunId) -> StoreFuture<'_, Arc<Run>> {
        let tenant = tenant.clone();
        self.readers
            .ask(move |reading| reading.child(&tenant, run_id))
    }

    fn list(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Run>>> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.readers
            .ask(move |reading| reading.list(&tenant, &filter, before, limit))
    }

    fn feed(&self, tenant: &Tenant, after: u64, limit: usize) -> StoreFuture<'_, Vec<FeedEntry>> {
        let tenant = tenant.clone();
        self.readers
            .ask(move |reading| reading.feed(&tenant, after, limit))
    }

    fn position(&self, _tenant: &Tenant) -> StoreFuture<'_, u64> {
        // Positions are those of all tenants together: the newest one is beyond all of any one of them.
        match self.writer.position() {
            Some(position) => Box::pin(std::future::ready(Ok(position))),
            None => self.readers.ask(|reading| reading.position()),
        }
    }

    fn run_of_call(&self, tenant: &Tenant, call_id: &CallId) -> StoreFuture<'_, Option<RunId>> {
        let (tenant, call_id) = (tenant.clone(), call_id.clone());
        self.readers
            .ask(move |reading| reading.run_of_call(&tenant, &call_id))
    }

    fn claim(&self, after: Option<RunId>, limit: usize) -> StoreFuture<'_, Vec<Claimed>> {
        Box::pin(
            self.writer
                .ask(move |answer| Job::Claim(after, limit, answer)),
        )
    }

    fn thread(&self, tenant: &Tenant, thread_id: ThreadId) -> StoreFuture<'_, Thread> {
        let tenant = tenant.clone();
        self.readers
            .ask(move |reading| reading.thread(&tenant, thread_id))
    }

    fn threads(
        &self,
        tenant: &Tenant,
        filter: &ThreadFilter,
        before: Option<u64>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Thread>> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.readers
            .ask(move |reading| reading.threads(&tenant, &filter, before, limit))
    }

    fn delete_thread(&self, tenant: &Tenant, thread_id: ThreadId) -> StoreFuture<'_, ()> {
        let tenant = tenant.clone();
        Box::pin(
            self.writer
                .ask(move |answer| Job::DeleteThread(tenant, thread_id, answer)),
        )
    }
}

/// What a store says that has ended.
fn ended() -> StoreError {
    StoreError::Unavailable("it has ended".to_owned())
}
