//! A connection to a server: how it is opened, and what comes through it unasked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use rmcp::{
    ClientHandler, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams,
        ProgressNotificationParam, ProgressToken, ProtocolVersion, Tool,
    },
    service::{
        ClientLifecycleMode, NotificationContext, Peer, RunningService, ServiceError,
        serve_client_with_lifecycle,
    },
    transport::{
        StreamableHttpClientTransport, async_rw::AsyncRwTransport,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::{
    Address, ServerSettings,
    process::{Process, Program},
};
use crate::domain::{event::Progress, secret::Secret};

/// Most pages of a list that are read.
const MOST_PAGES: usize = 64;

/// Why there is no connection, in words that anybody may read.
pub(super) type Failed = &'static str;

/// Takes the progress of one call. Must not wait.
type Listener = Box<dyn Fn(Progress) + Send + Sync>;

/// What comes through a connection unasked.
#[derive(Clone, Default)]
pub(super) struct Ear(Arc<Heard>);

#[derive(Default)]
struct Heard {
    /// Who listens to the progress of a call.
    listeners: Mutex<HashMap<ProgressToken, Listener>>,
    /// The list of tools has changed.
    changed: Notify,
}

/// Ends a listener with the call that it is for.
pub(super) struct Listening {
    ear: Ear,
    token: ProgressToken,
}

impl Ear {
    /// Hands the progress of a call to `listener`.
    pub(super) fn listen(
        &self,
        token: ProgressToken,
        listener: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Listening {
        self.listeners().insert(token.clone(), Box::new(listener));
        Listening {
            ear: self.clone(),
            token,
        }
    }

    /// Completes when the list of tools has changed since the last time.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn listeners(&self) -> MutexGuard<'_, HashMap<ProgressToken, Listener>> {
        let listeners = self.0.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.ear.listeners().remove(&self.token);
    }
}

/// We offer a server nothing that it could ask us for: no models, no files, no people.
impl ClientHandler for Ear {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("runwire", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), us)
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        if let Some(listener) = self.listeners().get(&params.progress_token) {
            listener(Progress {
                progress: params.progress,
                total: params.total,
                message: params.message.unwrap_or_default(),
                parts: Vec::new(),
            });
        }
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.0.changed.notify_one();
    }
}

/// An open connection.
pub(super) struct Link {
    /// What comes through it.
    pub(super) ear: Ear,
    /// The running protocol.
    pub(super) service: RunningService<RoleClient, Ear>,
    /// The process at the other end, if it is ours.
    pub(super) process: Option<Process>,
}

impl Link {
    /// Opens a connection.
    ///
    /// # Errors
    /// What went wrong, without what anybody said.
    pub(super) async fn open(
        settings: &ServerSettings,
        tracker: &TaskTracker,
    ) -> Result<Self, Failed> {
        let ear = Ear::default();
        match &settings.address {
            Address::Stdio(program) => {
                let (process, service) = start(program, settings, &ear, tracker).await?;
                Ok(Self {
                    ear,
                    service,
                    process: Some(process),
                })
            }
            Address::Http { url, headers } => {
                let transport = http_transport(url, headers, settings)?;
                let service = serve_client_with_lifecycle(ear.clone(), transport, lifecycle())
                    .await
                    .map_err(|_error| "it cannot be reached, or does not speak the protocol")?;
                Ok(Self {
                    ear,
                    service,
                    process: None,
                })
            }
        }
    }
}

async fn start(
    program: &Program,
    settings: &ServerSettings,
    ear: &Ear,
    tracker: &TaskTracker,
) -> Result<(Process, RunningService<RoleClient, Ear>), Failed> {
    let started = Process::start(program, settings.max_message, &settings.name, tracker);
    let (process, (stdout, stdin)) = started.map_err(|_error| "it cannot be started")?;
    let transport = AsyncRwTransport::new_client(stdout, stdin).with_max_line_length(usize::MAX);
    let service = serve_client_with_lifecycle(ear.clone(), transport, lifecycle());
    let service = service
        .await
        .map_err(|_error| "it ended, or does not speak the protocol")?;
    Ok((process, service))
}

/// How the protocol begins.
fn lifecycle() -> ClientLifecycleMode {
    ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::V_2025_11_25),
    }
}

fn http_transport(
    url: &str,
    headers: &[(HeaderName, Secret)],
    settings: &ServerSettings,
) -> Result<StreamableHttpClientTransport<reqwest::Client>, Failed> {
    // Whoever came first has decided; all of this process use the same.
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // No redirects: a key must not travel to where its owner did not send it.
    let client = reqwest::Client::builder()
        .user_agent(concat!("runwire/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .build()
        .map_err(|_error| "TLS cannot be set up")?;
    let mut sent = HashMap::with_capacity(headers.len());
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_invalid| "a header has a value that no header can have")?;
        value.set_sensitive(true);
        sent.insert(name.clone(), value);
    }
    let config = StreamableHttpClientTransportConfig::with_uri(url)
        .custom_headers(sent)
        .max_concurrent_requests(settings.max_concurrent)
        .max_sse_event_size(settings.max_message)
        .max_json_response_size(settings.max_message)
        .max_error_response_size(0);
    Ok(StreamableHttpClientTransport::with_client(client, config))
}

/// All tools that a server lists, or the first of them when there is no end to it.
///
/// # Errors
/// When the server does not answer, or not with a list.
pub(super) async fn tools(peer: &Peer<RoleClient>, most: usize) -> Result<Vec<Tool>, ServiceError> {
    let mut tools = Vec::new();
    let mut cursor = None;
    for _page in 0..MOST_PAGES {
        let params = PaginatedRequestParams::default().with_cursor(cursor);
        let page = peer.list_tools(Some(params)).await?;
        tools.extend(page.tools);
        cursor = page.next_cursor;
        // One more than are taken, so that it shows that there are more.
        if cursor.is_none() || tools.len() > most {
            break;
        }
    }
    Ok(tools)
}
