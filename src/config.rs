//! The configuration: defaults, then a TOML file, then `RUNWIRE__SECTION__KEY` variables, then flags.
//!
//! [`Config::load`] reads all layers and returns either a configuration that is whole and checked, or
//! every problem at once, each with its file and line, variable or flag. Unknown keys are problems.
//! Secrets never stand in it: it names the variables or the files that hold them. Nothing else in the
//! crate reads the environment.
//!
//! Durations are written `"250ms"`, `"30s"`, `"5m"`, `"2h"`; sizes `"512B"`, `"256KiB"`, `"4MiB"`.

mod check;
mod environment;
mod load;
mod mcp;
mod policy;
mod problem;
mod section;
mod setting;
mod show;
#[cfg(test)]
mod tests;
mod tokens;
mod tree;
mod unit;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use environment::Environment;
pub use load::{Flag, Layers};
pub use mcp::{Mcp, McpServer};
pub use policy::{Policy, PolicyRule};
pub use problem::{Origin, Problem, Problems};

use section::section;
pub use setting::{AuthMode, LogFormat, PolicyAction, StoreKind};
pub use tokens::{Token, hash_of, new_token};
pub use unit::{Size, parse_duration};

use crate::domain::{principal::Principal, secret::Secret};

/// The kinds of providers that this build knows, for `providers.NAME.kind`: protocols, and vendors that
/// are known by name.
pub const PROVIDER_KINDS: &[&str] = &[
    "anthropic",
    "aws",
    "azure",
    "cerebras",
    "cohere",
    "crusoe",
    "deepseek",
    "edenai",
    "featherless",
    "fireworks",
    "gemini",
    "google",
    "groq",
    "huggingface",
    "inception",
    "lmstudio",
    "mistral",
    "nebius",
    "ollama",
    "openai",
    "openrouter",
    "requesty",
    "sambanova",
    "script",
    "together",
    "tongyi",
    "watsonx",
    "xai",
];

section! {
    /// The whole configuration.
    pub Config {
        /// The listener and its connections.
        server: Server = Server::default(),
        /// Who may call.
        auth: Auth = Auth::default(),
        /// Where runs are kept.
        store: Store = Store::default(),
        /// Model vendors, by the name that stands before the colon of a model. Those that
        /// `docs/providers.md` lists are there without being configured.
        providers: BTreeMap<String, Provider> = BTreeMap::new(),
        /// Names of models, and their lists.
        models: Models = Models::default(),
        /// Media that callers name by URL. A provider that fetches URLs gets them as they are; for the
        /// others the server fetches them if it may, by http and https, from public addresses only.
        media: Media = Media::default(),
        /// Completions.
        completions: Completions = Completions::default(),
        /// Retries of model calls, in completions and runs.
        retry: Retry = Retry::default(),
        /// Runs.
        runs: Runs = Runs::default(),
        /// Tool calls and tool hosts.
        tools: Tools = Tools::default(),
        /// MCP servers. Their commands, addresses and keys are the operator's alone: a run names a server.
        mcp: Mcp = Mcp::default(),
        /// Which tool calls may run, in all runs.
        policy: Policy = Policy::default(),
        /// The log.
        log: Log = Log::default(),
    }
}

section! {
    /// The listener and its connections.
    pub Server {
        /// Address to listen on; port 0 takes a free one. Also `--listen`.
        listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051),
        /// Allows `auth.mode = "none"` on an address that is not loopback. Also `--insecure`.
        insecure: bool = false,
        /// HTTP/2 window of one stream, in bytes.
        stream_window: Size = Size::kib(256),
        /// HTTP/2 window of one connection, in bytes. Large on purpose: small unread frames of many
        /// streams draw on it, and when it is used up the whole connection ends.
        connection_window: Size = Size::mib(256),
        /// Most streams of one connection.
        max_concurrent_streams: u32 = 4096,
        /// Most connections; more are closed at once.
        max_connections: usize = 10_000,
        /// Largest header list of a request, in bytes.
        max_header_list: Size = Size::kib(16),
        /// Largest request of a completion or a run, in bytes.
        max_request: Size = Size::mib(32),
        /// Largest request of every other method, in bytes.
        max_message: Size = Size::mib(4),
        /// Largest batch of events in one response, in bytes.
        max_response: Size = Size::mib(1),
        /// Time for the TLS handshake and the HTTP/2 preface.
        handshake_timeout: Duration = Duration::from_secs(5),
        /// Time for the first message of a stream that the client opens.
        first_message_timeout: Duration = Duration::from_secs(10),
        /// An HTTP/2 ping goes out after this much silence.
        keepalive_interval: Duration = Duration::from_secs(30),
        /// A connection is closed when a ping stays unanswered for this long.
        keepalive_timeout: Duration = Duration::from_secs(20),
        /// A watch that has nothing to say says so this often.
        heartbeat: Duration = Duration::from_secs(15),
        /// After a run's last message: how long its stream waits for the client's half-close.
        half_close_timeout: Duration = Duration::from_secs(5),
        /// On SIGTERM: how long streams may go on before they are closed.
        drain: Duration = Duration::from_secs(30),
        /// TLS; without a certificate the server speaks plain text.
        tls: Tls = Tls::default(),
    }
}

section! {
    /// TLS. Files in PEM.
    pub Tls {
        /// The server's certificate chain.
        cert: Option<PathBuf> = None,
        /// Its private key.
        key: Option<PathBuf> = None,
        /// The authorities that sign client certificates; with it, a client must show one.
        client_ca: Option<PathBuf> = None,
    }
}

section! {
    /// Who may call.
    pub Auth {
        /// How callers are known: `none`, `tokens` or `mtls`.
        mode: AuthMode = AuthMode::None,
        /// The file of token hashes, for mode `tokens`; `runwire token new` makes its entries.
        tokens_file: Option<PathBuf> = None,
        /// For mode `mtls`: a name in a client's certificate (URI or DNS SAN, else CN) to what it may.
        principals: BTreeMap<String, Grant> = BTreeMap::new(),
    }
    resolved {
        /// What stands in the tokens file.
        tokens: Vec<Token>,
        /// Who stands behind which name in a client's certificate.
        certificates: BTreeMap<String, Principal>,
    }
}

section! {
    /// What a principal may do.
    pub Grant {
        /// Whose data it works on.
        tenant: String = "default".to_owned(),
        /// What it may do: `completions`, `runs.write`, `runs.read`, `runs.answer`, `threads.delete`, `tools.host`, `tools.use`.
        scopes: Vec<String> = Vec::new(),
        /// Patterns of tool names that it may host; `*` is any run of characters.
        host_tools: Vec<String> = Vec::new(),
        /// Patterns of tool names that it may bind to runs.
        use_tools: Vec<String> = Vec::new(),
    }
}

section! {
    /// Where runs are kept.
    pub Store {
        /// The kind of store: `sqlite`, a database in `data_dir`, with which runs go on when the server begins
        /// anew; or `memory`, which ends with the server.
        kind: StoreKind = StoreKind::Sqlite,
        /// The directory of everything that the server keeps; one server's alone. Unset:
        /// `$XDG_DATA_HOME/runwire`, else `~/.local/share/runwire`. Also `--data-dir`.
        data_dir: Option<PathBuf> = None,
        /// How long a finished run is kept. Unset: `720h` on the disk, `24h` in memory.
        retention: Option<Duration> = None,
        /// Most bytes of a tenant's finished runs; those that ended first are dropped for new ones. Unset:
        /// `16GiB` on the disk, `512MiB` in memory.
        max_finished: Option<Size> = None,
    }
}

section! {
    /// A model vendor.
    pub Provider {
        /// A vendor that is known by name, or a protocol: `openai` for whatever speaks it, `script` to
        /// play a file. Unset: the name of the provider. `docs/providers.md` lists them.
        kind: Option<String> = None,
        /// Where its API is. Unset: where the vendor has it.
        base_url: Option<String> = None,
        /// The variable that holds the key.
        api_key_env: Option<String> = None,
        /// The file that holds the key.
        api_key_file: Option<PathBuf> = None,
        /// Headers that go with each request. Not for keys.
        headers: BTreeMap<String, String> = BTreeMap::new(),
        /// Headers whose values are secret: the name of each to the variable that holds its value.
        headers_env: BTreeMap<String, String> = BTreeMap::new(),
        /// Merged into each request's JSON before the caller's own provider options.
        options: BTreeMap<String, serde_json::Value> = BTreeMap::new(),
        /// What only some kinds know, such as an API version or a region: `docs/providers.md` says which.
        parameters: BTreeMap<String, String> = BTreeMap::new(),
        /// An HTTP proxy through which it is asked, such as `http://proxy:3128`. None is taken from the
        /// environment.
        proxy: Option<String> = None,
        /// The variable that holds the proxy's URL, for one with a password in it.
        proxy_env: Option<String> = None,
        /// Time to connect.
        connect_timeout: Duration = Duration::from_secs(5),
        /// Time from the request to the first byte of the answer.
        first_byte_timeout: Duration = Duration::from_secs(120),
        /// Longest silence within an answer.
        idle_timeout: Duration = Duration::from_secs(60),
        /// Time for the whole answer.
        timeout: Duration = Duration::from_secs(600),
        /// The script to play, for kind `script`. Unset: the built-in one.
        script: Option<PathBuf> = None,
    }
    resolved {
        /// The key, read from where it stands; `None` when it is not there.
        api_key: Option<Secret>,
        /// What `headers_env` names, read from there.
        secret_headers: BTreeMap<String, Secret>,
        /// What `proxy_env` names, read from there.
        secret_proxy: Option<Secret>,
        /// A variable of `headers_env` or `proxy_env` that is not set.
        missing_variable: Option<String>,
        /// The configuration says something of it.
        is_named: bool,
    }
}

section! {
    /// Names of models, and their lists.
    pub Models {
        /// Short names: alias to `provider:model`.
        aliases: BTreeMap<String, String> = BTreeMap::new(),
        /// How long a provider's list of models is kept.
        list_ttl: Duration = Duration::from_secs(60),
        /// How long it is kept that a provider could not be asked.
        list_retry: Duration = Duration::from_secs(10),
        /// Time for a provider to list its models.
        list_timeout: Duration = Duration::from_secs(10),
        /// Most models that are kept of one provider.
        list_max: usize = 10_000,
    }
}

section! {
    /// Media that callers name by URL.
    pub Media {
        /// Whether the server fetches URLs. If not, it refuses them with `INVALID_REQUEST`.
        fetch: bool = false,
        /// Time for one URL, redirects included.
        fetch_timeout: Duration = Duration::from_secs(20),
        /// Most that the URLs of one request may hold together.
        max_size: Size = Size::mib(20),
        /// Most URLs of one request.
        max_urls: usize = 16,
        /// Most redirects of one URL; each is judged like the URL itself.
        max_redirects: u32 = 3,
        /// Most URLs that are fetched at a time.
        max_concurrent: usize = 32,
        /// Networks that may be fetched from though they are not public, such as `10.1.0.0/16`. The
        /// addresses at which clouds tell of a machine's credentials are refused all the same.
        private_networks: Vec<String> = Vec::new(),
    }
}

section! {
    /// Completions.
    pub Completions {
        /// Most completions at once; more are refused with `SERVER_OVERLOADED`.
        max_in_flight: usize = 10_000,
        /// Time for the whole completion, retries and fallbacks included, within the caller's deadline.
        timeout: Duration = Duration::from_secs(600),
    }
}

section! {
    /// Retries of model calls.
    pub Retry {
        /// Most attempts at one model, the first included.
        max_attempts: u32 = 3,
        /// The first wait; each further one is twice as long, jittered.
        base_delay: Duration = Duration::from_millis(500),
        /// The longest wait; a provider that asks for a longer one is not asked again.
        max_delay: Duration = Duration::from_secs(20),
    }
}

section! {
    /// Runs. The limits are what a caller's unset ones become, and the most that a caller can have.
    pub Runs {
        /// Most live runs; more are refused with `SERVER_OVERLOADED`.
        max_live: usize = 100_000,
        /// Most model turns of a run.
        max_turns: u32 = 100,
        /// Most tool calls of a run.
        max_tool_calls: u32 = 1_000,
        /// Most tokens of a run, input and output.
        max_tokens: u64 = 10_000_000,
        /// Most tool calls of a run in flight.
        max_parallel_tool_calls: u32 = 64,
        /// Deepest nesting of subagents; 0: none.
        max_depth: u32 = 4,
        /// Wall-clock time of a run, but for the time in which it waits for people.
        timeout: Duration = Duration::from_secs(3_600),
        /// How long a run waits for an answer; then the input is declined by itself.
        input_timeout: Duration = Duration::from_secs(7 * 24 * 3_600),
    }
}

section! {
    /// Tool calls and tool hosts.
    pub Tools {
        /// Time for one execution of a tool, from its acceptance.
        timeout: Duration = Duration::from_secs(300),
        /// Time to wait for a host to accept a call.
        accept_timeout: Duration = Duration::from_secs(60),
        /// Time for a host to accept a call that it was sent; then another one is asked.
        reaction_timeout: Duration = Duration::from_secs(15),
        /// How long a cancelled call's host is waited for.
        cancel_grace: Duration = Duration::from_secs(10),
        /// Most deliveries of one call.
        max_attempts: u32 = 3,
        /// Largest result of a tool, in bytes; a larger one becomes an error result.
        max_result: Size = Size::mib(1),
        /// Both ends of a host's stream say something at least this often.
        heartbeat: Duration = Duration::from_secs(15),
        /// A host's stream that is silent for this long is dead.
        dead_after: Duration = Duration::from_secs(45),
        /// How long a lost stream's calls stay with its host.
        grace: Duration = Duration::from_secs(30),
        /// Calls at once of a host that names no number.
        window: u32 = 16,
        /// Most calls at once of a host.
        max_window: u32 = 4_096,
        /// Most tools of one host.
        max_tools_per_host: usize = 512,
        /// Most hosts of one tenant.
        max_hosts_per_tenant: usize = 10_000,
    }
}

section! {
    /// The log, on standard error.
    pub Log {
        /// How it looks: `text` or `json`. Also `--log-format`.
        format: LogFormat = LogFormat::Text,
        /// What it shows: a level, or targets with levels (`info,runwire::rpc=debug`). Also `--log`.
        filter: String = "info".to_owned(),
    }
}
