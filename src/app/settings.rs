//! From the configuration to the numbers of each module.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::{AuthMode, Config, Size},
    domain::{principal::Principal, run::Limits},
    rpc::{
        self, Auth, CompletionSettings, ConnectionSettings, MessageLimits, StreamSettings,
        TlsError, tls_config,
    },
    run::{self, port::RetryPolicy},
    store::{memory, sqlite},
    toolhost,
};

/// Most calls that have ended and are still read for their caller's half-close.
const MAX_LINGERING: usize = 16_384;

pub(super) fn memory(config: &Config) -> memory::Settings {
    let (store, default) = (&config.store, memory::Settings::default());
    memory::Settings {
        retention: store.retention.unwrap_or(default.retention),
        max_finished_bytes: store
            .max_finished
            .map_or(default.max_finished_bytes, Size::bytes),
        ..default
    }
}

pub(super) fn sqlite(config: &Config) -> sqlite::Settings {
    let (store, default) = (&config.store, sqlite::Settings::default());
    sqlite::Settings {
        retention: store.retention.unwrap_or(default.retention),
        max_finished_bytes: store
            .max_finished
            .map_or(default.max_finished_bytes, Size::bytes),
        ..default
    }
}

pub(super) fn hub(config: &Config) -> toolhost::Settings {
    let tools = &config.tools;
    toolhost::Settings {
        heartbeat_interval: tools.heartbeat,
        dead_after: tools.dead_after,
        grace: tools.grace,
        default_window: tools.window,
        max_window: tools.max_window,
        max_tools_per_host: tools.max_tools_per_host,
        max_hosts_per_tenant: tools.max_hosts_per_tenant,
    }
}

pub(super) fn runs(config: &Config) -> run::Settings {
    let (runs, tools) = (&config.runs, &config.tools);
    run::Settings {
        default_limits: Limits {
            max_turns: runs.max_turns,
            max_tool_calls: runs.max_tool_calls,
            max_tokens: runs.max_tokens,
            max_parallel_tool_calls: runs.max_parallel_tool_calls,
            max_depth: runs.max_depth,
            timeout: runs.timeout,
        },
        policy: Arc::new(config.policy.to_domain()),
        input_timeout: runs.input_timeout,
        tool_timeout: tools.timeout,
        accept_timeout: tools.accept_timeout,
        reaction_timeout: tools.reaction_timeout,
        cancel_grace: tools.cancel_grace,
        max_attempts: tools.max_attempts,
        max_result_bytes: tools.max_result.bytes(),
        max_live_runs: runs.max_live,
        retry: retry(config),
        ..run::Settings::default()
    }
}

fn retry(config: &Config) -> RetryPolicy {
    RetryPolicy {
        max_attempts: config.retry.max_attempts,
        base_delay: config.retry.base_delay,
        max_delay: config.retry.max_delay,
    }
}

pub(super) fn rpc(config: &Config) -> rpc::Settings {
    let server = &config.server;
    rpc::Settings {
        connections: ConnectionSettings {
            stream_window: size(server.stream_window),
            connection_window: size(server.connection_window),
            max_concurrent_streams: server.max_concurrent_streams,
            max_connections: server.max_connections,
            max_header_list: size(server.max_header_list),
            handshake_timeout: server.handshake_timeout,
            keepalive_interval: server.keepalive_interval,
            keepalive_timeout: server.keepalive_timeout,
        },
        streams: StreamSettings {
            heartbeat_interval: server.heartbeat,
            start_timeout: server.first_message_timeout,
            linger: server.half_close_timeout,
            max_lingering: MAX_LINGERING,
            session_heartbeat: config.tools.heartbeat,
            session_grace: config.tools.grace,
        },
        completions: CompletionSettings {
            timeout: config.completions.timeout,
            retry: retry(config),
            max_in_flight: config.completions.max_in_flight,
        },
        messages: MessageLimits {
            conversation_bytes: server.max_request.bytes(),
            request_bytes: server.max_message.bytes(),
            response_bytes: server.max_response.bytes(),
        },
    }
}

/// HTTP/2 knows sizes up to 2 GiB.
fn size(size: Size) -> u32 {
    u32::try_from(size.bytes())
        .unwrap_or(u32::MAX)
        .min((1 << 31) - 1)
}

pub(super) fn auth(config: &Config) -> Auth {
    match config.auth.mode {
        AuthMode::None => Auth::Open(Arc::new(Principal::anonymous())),
        AuthMode::Tokens => Auth::Tokens(
            config
                .auth
                .tokens
                .iter()
                .map(|token| (token.sha256, Arc::new(token.principal.clone())))
                .collect::<HashMap<_, _>>(),
        ),
        AuthMode::Mtls => Auth::Certificates(
            config
                .auth
                .certificates
                .iter()
                .map(|(name, principal)| (name.clone(), Arc::new(principal.clone())))
                .collect(),
        ),
    }
}

pub(super) fn tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>, TlsError> {
    let tls = &config.server.tls;
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => tls_config(cert, key, tls.client_ca.as_deref()).map(Some),
        (None, _) | (_, None) => Ok(None),
    }
}
