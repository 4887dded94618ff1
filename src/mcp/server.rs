//! A configured server: reached when it is wanted, kept, and reached again when it is lost.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rmcp::{RoleClient, service::Peer};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ServerSettings,
    catalog::{Catalog, Found, Rules, SchemaCheck},
    link::{self, Ear, Failed, Link},
};
use crate::domain::tool::{McpTools, ToolSpec};

/// How long a connection may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The shortest time between two looks at a list that changes.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// A connection that calls can use.
pub(super) struct Up {
    /// Requests go in here.
    pub(super) peer: Peer<RoleClient>,
    /// What comes unasked comes out here.
    pub(super) ear: Ear,
    /// Cancelled by whoever finds that it does not work.
    pub(super) broken: CancellationToken,
}

/// What the keeper of a server needs.
pub(super) struct Keeping {
    /// Where its helpers run.
    pub(super) tracker: TaskTracker,
    /// Checks the schemas of tools.
    pub(super) schema: SchemaCheck,
    /// Rung when tools were shown, or the server could not be reached.
    pub(super) told: watch::Sender<()>,
    /// Ends the keeper.
    pub(super) shutdown: CancellationToken,
}

/// A server, whether or not there is a connection to it.
pub(super) struct Server {
    settings: ServerSettings,
    rules: Rules,
    /// The connection. Sent to also when an attempt has failed, so that whoever waits asks again.
    up: watch::Sender<Option<Arc<Up>>>,
    /// The newest list; outlives the connection that it came by.
    catalog: Mutex<Option<Arc<Catalog>>>,
    /// Somebody wants a connection.
    wanted: Notify,
    /// Room for calls.
    room: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(settings: ServerSettings) -> Self {
        Self {
            rules: Rules {
                allowed: settings.tools.clone(),
                trusted: settings.trust_annotations,
                most: settings.max_tools,
            },
            up: watch::channel(None).0,
            catalog: Mutex::default(),
            wanted: Notify::new(),
            room: Arc::new(Semaphore::new(settings.max_concurrent)),
            settings,
        }
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    pub(super) const fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    // === for runs ===

    /// The tools that a run is bound to: those of the newest list, though the server may be away. `None`
    /// when it has not shown them as yet.
    pub(super) fn offer(&self, wanted: &McpTools) -> Option<Vec<Arc<ToolSpec>>> {
        self.want();
        self.catalog()?.offer(wanted)
    }

    /// All tools that it has shown, under the operator's names.
    pub(super) fn list(&self) -> Option<Vec<Arc<ToolSpec>>> {
        self.want();
        Some(self.catalog()?.list(&self.settings.prefix))
    }

    /// Looks for a tool that a model has seen.
    pub(super) fn find(&self, prefix: &str, seen: &ToolSpec) -> Found {
        let catalog = self.catalog();
        catalog.map_or(Found::Changed, |catalog| catalog.find(prefix, seen))
    }

    /// Waits for room, and for a connection that works.
    pub(super) async fn ready(&self) -> Option<(Arc<Up>, OwnedSemaphorePermit)> {
        // Nobody closes it.
        let room = Arc::clone(&self.room).acquire_owned().await.ok()?;
        let mut up = self.up.subscribe();
        loop {
            if let Some(up) = up.borrow_and_update().clone() {
                return Some((up, room));
            }
            self.wanted.notify_one();
            up.changed().await.ok()?;
        }
    }

    fn want(&self) {
        if self.up.borrow().is_none() {
            self.wanted.notify_one();
        }
    }

    fn catalog(&self) -> Option<Arc<Catalog>> {
        let catalog = self.catalog.lock();
        catalog.unwrap_or_else(PoisonError::into_inner).clone()
    }

    // === the keeper ===

    /// Keeps the server until the shutdown.
    pub(super) async fn keep(self: Arc<Self>, keeping: Keeping) {
        let mut failures = 0;
        loop {
            tokio::select! {
                biased;
                () = keeping.shutdown.cancelled() => return,
                () = self.wanted.notified() => {}
            }
            let began = Instant::now();
            let opened = tokio::select! {
                biased;
                // Dropped in the middle, it kills what it has started.
                () = keeping.shutdown.cancelled() => return,
                opened = self.open(&keeping) => opened,
            };
            match opened {
                Ok(link) => self.serve(link, &keeping).await,
                Err(why) => {
                    tracing::warn!(mcp.server = %self.name(), why, "an MCP server is not there");
                }
            }
            self.up.send_replace(None);
            keeping.told.send_replace(());
            if began.elapsed() >= self.settings.restart_max_delay {
                failures = 0;
            }
            tokio::select! {
                biased;
                () = keeping.shutdown.cancelled() => return,
                () = sleep(self.delay(failures)) => {}
            }
            failures = failures.saturating_add(1);
        }
    }

    /// The wait after so many failures in a row.
    fn delay(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures);
        let delay = self.settings.restart_delay.saturating_mul(factor);
        delay.min(self.settings.restart_max_delay)
    }

    async fn open(&self, keeping: &Keeping) -> Result<Link, Failed> {
        let opening = async {
            let link = Link::open(&self.settings, &keeping.tracker).await?;
            self.look(link.service.peer(), keeping).await?;
            Ok(link)
        };
        let limit = self.settings.connect_timeout;
        let opened = timeout(limit, opening).await;
        opened.unwrap_or(Err("it takes too long"))
    }

    /// Reads the list of tools.
    async fn look(&self, peer: &Peer<RoleClient>, keeping: &Keeping) -> Result<(), Failed> {
        let listed = link::tools(peer, self.settings.max_tools).await;
        let listed = listed.map_err(|_error| "it does not list its tools")?;
        let (catalog, left_out) = Catalog::new(listed, &self.rules, &keeping.schema);
        let (tools, left_out) = (catalog.len(), left_out.len());
        if left_out > 0 {
            tracing::warn!(
                mcp.server = %self.name(),
                left_out,
                "an MCP server has tools that cannot be shown, or too many"
            );
        }
        tracing::info!(mcp.server = %self.name(), tools, "an MCP server has shown its tools");
        let newest = self.catalog.lock();
        *newest.unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(catalog));
        Ok(())
    }

    /// Lets calls use a connection until it ends.
    async fn serve(&self, link: Link, keeping: &Keeping) {
        let peer = link.service.peer().clone();
        let up = Arc::new(Up {
            peer: peer.clone(),
            ear: link.ear.clone(),
            broken: CancellationToken::new(),
        });
        self.up.send_replace(Some(Arc::clone(&up)));
        keeping.told.send_replace(());
        let stop = link.service.cancellation_token();
        let mut ended = std::pin::pin!(link.service.waiting());
        let is_over = tokio::select! {
            biased;
            () = keeping.shutdown.cancelled() => false,
            _reason = ended.as_mut() => true,
            () = up.broken.cancelled() => false,
            () = self.follow(&up, keeping) => false,
        };
        self.up.send_replace(None);
        if is_over {
            tracing::warn!(mcp.server = %self.name(), "the connection to an MCP server has ended");
        } else {
            stop.cancel();
            let _ended = timeout(FAREWELL, ended).await;
        }
        if let Some(process) = link.process {
            process.end().await;
        }
    }

    /// Looks at the list again whenever it has changed. Returns when the server no longer answers.
    async fn follow(&self, up: &Up, keeping: &Keeping) {
        loop {
            up.ear.changed().await;
            let limit = self.settings.connect_timeout;
            match timeout(limit, self.look(&up.peer, keeping)).await {
                Ok(Ok(())) => keeping.told.send_replace(()),
                Ok(Err(why)) => {
                    tracing::warn!(mcp.server = %self.name(), why, "an MCP server's list is not new");
                }
                Err(_elapsed) => return,
            };
            sleep(BETWEEN_LOOKS).await;
        }
    }
}
