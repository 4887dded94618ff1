//! MCP servers: how they are started or reached, and which of their tools are offered.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{
    environment::Environment,
    section::{Reading, section},
    unit::Size,
};
use crate::domain::{secret::Secret, tool::ToolName};

/// What a server's process finds in its environment without being told so: how to find programs, files,
/// words and time. Nothing that could hold a key.
const INHERITED: [&str; 11] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

section! {
    /// MCP servers.
    pub Mcp {
        /// The servers whose tools runs can be bound to, by name.
        servers: BTreeMap<String, McpServer> = BTreeMap::new(),
    }
}

section! {
    /// An MCP server: a command, or a URL.
    pub McpServer {
        /// The program to start, which speaks over its standard input and output.
        command: Option<PathBuf> = None,
        /// Its arguments.
        args: Vec<String> = Vec::new(),
        /// Its environment. It sees nothing of the server's own but where programs and files are (`PATH`,
        /// `HOME`, `USER`, `LANG`, `TZ`, `TMPDIR` and the like). Not for keys.
        env: BTreeMap<String, String> = BTreeMap::new(),
        /// Variables whose values are secret: the name of each to the variable of ours that holds its value.
        secret_env: BTreeMap<String, String> = BTreeMap::new(),
        /// Where the program works. Unset: where the server does.
        working_dir: Option<PathBuf> = None,
        /// The endpoint of a server elsewhere, which speaks streamable HTTP.
        url: Option<String> = None,
        /// Headers that go with each request. Not for keys.
        headers: BTreeMap<String, String> = BTreeMap::new(),
        /// Headers whose values are secret: the name of each to the variable that holds its value.
        headers_env: BTreeMap<String, String> = BTreeMap::new(),
        /// Only these of its tools, by its own names. Empty: all.
        tools: Vec<String> = Vec::new(),
        /// What stands before the names of its tools, at most 32 of `a-z A-Z 0-9 _ . -`. Unset: the server's
        /// name and a dot. Permission (`use_tools`) goes by the names that this makes.
        prefix: Option<String> = None,
        /// Whether what the server says of the effects of its tools counts: a tool that calls itself
        /// read-only or idempotent is then called again when its answer was lost.
        trust_annotations: bool = false,
        /// Time to start or reach it, to agree on the protocol, and to list its tools.
        connect_timeout: Duration = Duration::from_secs(30),
        /// Most time for one call. Unset: `tools.timeout`.
        timeout: Option<Duration> = None,
        /// The longest message that it may send. A longer one on a pipe ends the connection.
        max_message: Size = Size::mib(8),
        /// Most calls at once; more wait.
        max_concurrent: usize = 16,
        /// Most tools that are taken from its list.
        max_tools: usize = 256,
        /// The wait before it is started or reached again; each further one is twice as long.
        restart_delay: Duration = Duration::from_millis(500),
        /// The longest such wait. A connection that lives as long begins anew with the first.
        restart_max_delay: Duration = Duration::from_secs(30),
    }
    resolved {
        /// The whole environment of the process.
        environment: BTreeMap<String, Secret>,
        /// What `headers_env` names, read from there.
        secret_headers: BTreeMap<String, Secret>,
    }
}

impl McpServer {
    /// The prefix of its tools, for a server of this name.
    pub fn prefix_of(&self, name: &str) -> String {
        self.prefix.clone().unwrap_or_else(|| format!("{name}."))
    }

    /// Reads what stands in the environment. A variable that is named and not set is a problem: without its
    /// key the server would start and then refuse to work.
    pub(super) fn resolve(&mut self, name: &str, environment: &Environment, reading: &mut Reading) {
        for variable in INHERITED {
            if let Some(value) = environment.get(variable) {
                self.environment
                    .insert(variable.to_owned(), Secret::new(value));
            }
        }
        for (variable, value) in &self.env {
            self.environment
                .insert(variable.clone(), Secret::new(value));
        }
        for (key, named, values) in [
            ("secret_env", &self.secret_env, &mut self.environment),
            ("headers_env", &self.headers_env, &mut self.secret_headers),
        ] {
            for (target, variable) in named {
                match environment.get(variable) {
                    Some(value) => drop(values.insert(target.clone(), Secret::new(value))),
                    None => reading.report_at(
                        &format!("mcp.servers.{name}.{key}.{target}"),
                        "names a variable that is not set (name not shown)",
                    ),
                }
            }
        }
    }

    /// Checks what no single key can tell.
    pub(super) fn check(&self, name: &str, reading: &mut Reading) {
        let mut report = |key: &str, message: &str| {
            let dot = if key.is_empty() { "" } else { "." };
            reading.report_at(&format!("mcp.servers.{name}{dot}{key}"), message);
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if !(1..=31).contains(&name.len()) || !name.bytes().all(plain) {
            report("", "an MCP server's name is 1 to 31 of a-z 0-9 - _");
        }
        match (&self.command, &self.url) {
            (None, None) => report("", "needs a command or a url"),
            (Some(_), Some(_)) => report("url", "stands beside command: choose one"),
            (Some(_), None) => {
                if !(self.headers.is_empty() && self.headers_env.is_empty()) {
                    report("headers", "is for servers with a url");
                }
            }
            (None, Some(url)) => {
                if !super::check::is_plain_url(url) {
                    report(
                        "url",
                        "is an http or https URL with a host, without user, query and fragment",
                    );
                }
                if !(self.args.is_empty() && self.env.is_empty() && self.secret_env.is_empty()) {
                    report(
                        "url",
                        "stands beside args, env or secret_env, which are for a command",
                    );
                }
            }
        }
        if self
            .prefix
            .as_deref()
            .is_some_and(|prefix| !ToolName::is_prefix(prefix))
        {
            report("prefix", "is at most 32 of a-z A-Z 0-9 _ . -");
        }
        for header in self.headers.keys().chain(self.headers_env.keys()) {
            if header.parse::<http::HeaderName>().is_err() {
                report(&format!("headers.{header}"), "is no name of a header");
            }
        }
        for header in self
            .headers
            .keys()
            .filter(|header| super::check::is_for_secrets(header))
        {
            report(
                &format!("headers.{header}"),
                "secrets do not stand in the configuration: use headers_env",
            );
        }
        for (key, zero) in [
            ("connect_timeout", self.connect_timeout.is_zero()),
            (
                "timeout",
                self.timeout.is_some_and(|timeout| timeout.is_zero()),
            ),
            ("max_message", self.max_message.0 == 0),
            ("max_concurrent", self.max_concurrent == 0),
            ("max_tools", self.max_tools == 0),
            ("restart_delay", self.restart_delay.is_zero()),
        ] {
            if zero {
                report(key, "is zero, which lets nothing happen");
            }
        }
        if self.restart_delay > self.restart_max_delay {
            report("restart_delay", "is longer than restart_max_delay");
        }
    }
}
