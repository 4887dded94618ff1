//! What no single key can tell: whether the keys fit each other.

use std::collections::BTreeSet;

use super::{AuthMode, Config, PROVIDER_KINDS, Provider, section::Reading, unit::Size};
use crate::{domain::model::ModelRef, provider::fetching::Network};

/// Checks across keys, and reports all that does not fit.
pub(super) fn check(config: &Config, reading: &mut Reading) {
    server(config, reading);
    auth(config, reading);
    store(config, reading);
    for (name, provider) in &config.providers {
        check_provider(name, provider, reading);
    }
    for (name, server) in &config.mcp.servers {
        server.check(name, reading);
    }
    aliases(config, reading);
    private_networks(config, reading);
    policy(config, reading);
    limits(config, reading);
}

fn server(config: &Config, reading: &mut Reading) {
    let server = &config.server;
    let tls = &server.tls;
    match (&tls.cert, &tls.key) {
        (Some(_), None) => reading.report_at("server.tls.cert", "needs server.tls.key beside it"),
        (None, Some(_)) => reading.report_at("server.tls.key", "needs server.tls.cert beside it"),
        (Some(_), Some(_)) | (None, None) => {}
    }
    if tls.client_ca.is_some() && tls.cert.is_none() {
        reading.report_at(
            "server.tls.client_ca",
            "needs server.tls.cert: without TLS there are no client certificates",
        );
    }
    // 16 KiB is the smallest frame that HTTP/2 promises, 2 GiB less one byte its largest window.
    for (key, window) in [
        ("server.stream_window", server.stream_window),
        ("server.connection_window", server.connection_window),
    ] {
        if !(Size::kib(16)..Size(1 << 31)).contains(&window) {
            reading.report_at(key, "is from 16KiB to just under 2GiB");
        }
    }
    if server.stream_window > server.connection_window {
        reading.report_at(
            "server.stream_window",
            "is larger than server.connection_window",
        );
    }
    for (key, size) in [
        ("server.max_request", server.max_request),
        ("server.max_message", server.max_message),
        ("server.max_response", server.max_response),
        ("server.max_header_list", server.max_header_list),
    ] {
        if !(Size::kib(4)..=Size::mib(1024)).contains(&size) {
            reading.report_at(key, "is from 4KiB to 1GiB");
        }
    }
}

fn auth(config: &Config, reading: &mut Reading) {
    let server = &config.server;
    match config.auth.mode {
        AuthMode::None => {
            if !server.listen.ip().is_loopback() && !server.insecure {
                reading.report_at(
                    "server.listen",
                    format!(
                        "{} is not loopback and auth.mode is \"none\": everybody who reaches it could \
                         do everything; set auth.mode, or say --insecure",
                        server.listen
                    ),
                );
            }
        }
        AuthMode::Tokens => {
            if config.auth.tokens_file.is_none() {
                reading.report_at("auth.mode", "\"tokens\" needs auth.tokens_file");
            }
            if !server.listen.ip().is_loopback() && server.tls.cert.is_none() && !server.insecure {
                reading.report_at(
                    "server.listen",
                    format!(
                        "{} is not loopback and there is no server.tls.cert: tokens would travel in \
                         the clear; set it, or say --insecure where a proxy does TLS",
                        server.listen
                    ),
                );
            }
        }
        AuthMode::Mtls => {
            if server.tls.client_ca.is_none() {
                reading.report_at("auth.mode", "\"mtls\" needs server.tls.client_ca");
            }
            if config.auth.principals.is_empty() {
                reading.report_at("auth.mode", "\"mtls\" needs auth.principals");
            }
        }
    }
    for (name, grant) in &config.auth.principals {
        for (key, message) in grant.principal(name).err().unwrap_or_default() {
            reading.report_at(&format!("auth.principals.{name}.{key}"), message);
        }
    }
}

fn store(config: &Config, reading: &mut Reading) {
    let store = &config.store;
    if store.max_finished.is_some_and(|size| size.0 == 0) {
        reading.report_at("store.max_finished", "is zero, which keeps nothing");
    }
}

fn check_provider(name: &str, provider: &Provider, reading: &mut Reading) {
    let at = |key: &str| format!("providers.{name}.{key}");
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if !(1..=63).contains(&name.len()) || !name.bytes().all(plain) {
        reading.report_at(
            &format!("providers.{name}"),
            "a provider's name is 1 to 63 of a-z 0-9 - _",
        );
    }
    let kind = provider.kind.as_deref().unwrap_or(name);
    if !PROVIDER_KINDS.contains(&kind) {
        let known = PROVIDER_KINDS.join(", ");
        reading.report_at(&at("kind"), format!("{kind:?} is not one of {known}"));
    }
    if kind == "openai" && name != "openai" && provider.base_url.is_none() {
        reading.report_at(&at("base_url"), "a provider of kind \"openai\" needs it");
    }
    if provider
        .base_url
        .as_deref()
        .is_some_and(|url| !is_plain_url(url))
    {
        reading.report_at(
            &at("base_url"),
            "is an http or https URL with a host, without user, query and fragment",
        );
    }
    if provider
        .proxy
        .as_deref()
        .is_some_and(|url| !is_plain_url(url))
    {
        reading.report_at(
            &at("proxy"),
            "is an http or https URL with a host, without user, query and fragment",
        );
    }
    if let Some(variable) = &provider.api_key_env {
        if provider.api_key_file.is_some() {
            reading.report_at(&at("api_key_env"), "stands beside api_key_file: choose one");
        }
        if !is_variable_name(variable) {
            // Not shown: somebody may have put the key itself here.
            reading.report_at(
                &at("api_key_env"),
                "is the name of a variable, such as \"OPENAI_API_KEY\" (value not shown)",
            );
        }
    }
    check_secrets(name, provider, reading);
    for header in provider.headers.keys() {
        if is_for_secrets(header) {
            reading.report_at(
                &format!("providers.{name}.headers.{header}"),
                "secrets do not stand in the configuration: use api_key_env, api_key_file or headers_env",
            );
        }
    }
    if provider.script.is_some() && kind != "script" {
        reading.report_at(&at("script"), "is for providers of kind \"script\"");
    }
}

/// What variables hold.
fn check_secrets(name: &str, provider: &Provider, reading: &mut Reading) {
    let mut variables: Vec<(String, &String)> = provider
        .headers_env
        .iter()
        .map(|(header, variable)| (format!("headers_env.{header}"), variable))
        .collect();
    variables.extend(
        provider
            .proxy_env
            .iter()
            .map(|variable| ("proxy_env".to_owned(), variable)),
    );
    for (key, variable) in variables {
        if !is_variable_name(variable) {
            // Not shown: somebody may have put the secret itself here.
            reading.report_at(
                &format!("providers.{name}.{key}"),
                "is the name of a variable, such as \"GATEWAY_TOKEN\" (value not shown)",
            );
        }
    }
    for header in provider.headers_env.keys() {
        if provider.headers.contains_key(header) {
            reading.report_at(
                &format!("providers.{name}.headers_env.{header}"),
                "stands in headers, too: choose one",
            );
        }
    }
    if provider.proxy.is_some() && provider.proxy_env.is_some() {
        reading.report_at(
            &format!("providers.{name}.proxy_env"),
            "stands beside proxy: choose one",
        );
    }
    let is_proxy = |url: &str| {
        let url = url.parse::<http::Uri>().ok();
        url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")))
    };
    if let (Some(url), Some(variable)) = (&provider.secret_proxy, &provider.proxy_env)
        && !is_proxy(url.expose())
    {
        reading.report_at(
            &format!("providers.{name}.proxy_env"),
            format!("{variable} does not hold an http or https URL (value not shown)"),
        );
    }
}

/// Whether a header is known to carry secrets.
pub(super) fn is_for_secrets(header: &str) -> bool {
    [
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "cookie",
    ]
    .contains(&header.to_ascii_lowercase().as_str())
}

pub(super) fn is_plain_url(url: &str) -> bool {
    let Some(rest) = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
    else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    !host.is_empty() && !rest.contains(['@', '?', '#', ' ']) && url.parse::<http::Uri>().is_ok()
}

fn is_variable_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    (1..=128).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn aliases(config: &Config, reading: &mut Reading) {
    let known: BTreeSet<&str> = config.providers.keys().map(String::as_str).collect();
    for (alias, target) in &config.models.aliases {
        let at = format!("models.aliases.{alias}");
        if alias.is_empty() || alias.contains(':') {
            reading.report_at(&at, "an alias has no colon: provider:model needs none");
        }
        match ModelRef::parse(target) {
            None => reading.report_at(&at, format!("{target:?} is not provider:model")),
            Some(model) if !known.contains(model.provider.as_str()) => {
                reading.report_at(
                    &at,
                    format!("no provider {:?} is configured", model.provider),
                );
            }
            Some(_) => {}
        }
    }
}

fn private_networks(config: &Config, reading: &mut Reading) {
    for network in &config.media.private_networks {
        if Network::parse(network).is_none() {
            reading.report_at(
                "media.private_networks",
                format!("{network:?} is not a network such as \"10.1.0.0/16\" or \"fd00::/8\""),
            );
        }
    }
}

fn policy(config: &Config, reading: &mut Reading) {
    for (index, rule) in config.policy.rules.iter().enumerate() {
        if rule.action.is_none() {
            let key = format!("policy.rules.{index}.action");
            reading.report_at(
                &key,
                "is required: \"allow\", \"deny\" or \"require_approval\"",
            );
        }
    }
}

fn limits(config: &Config, reading: &mut Reading) {
    let tools = &config.tools;
    if tools.heartbeat >= tools.dead_after {
        reading.report_at(
            "tools.heartbeat",
            "is not shorter than tools.dead_after: every healthy host would be taken for dead",
        );
    }
    if tools.window > tools.max_window {
        reading.report_at("tools.window", "is larger than tools.max_window");
    }
    if config.retry.base_delay > config.retry.max_delay {
        reading.report_at("retry.base_delay", "is longer than retry.max_delay");
    }
    let (runs, server) = (&config.runs, &config.server);
    for (key, zero) in [
        (
            "server.max_concurrent_streams",
            server.max_concurrent_streams == 0,
        ),
        ("server.max_connections", server.max_connections == 0),
        ("server.heartbeat", server.heartbeat.is_zero()),
        (
            "server.handshake_timeout",
            server.handshake_timeout.is_zero(),
        ),
        (
            "server.first_message_timeout",
            server.first_message_timeout.is_zero(),
        ),
        (
            "server.keepalive_interval",
            server.keepalive_interval.is_zero(),
        ),
        (
            "server.keepalive_timeout",
            server.keepalive_timeout.is_zero(),
        ),
        (
            "completions.max_in_flight",
            config.completions.max_in_flight == 0,
        ),
        ("completions.timeout", config.completions.timeout.is_zero()),
        ("retry.max_attempts", config.retry.max_attempts == 0),
        ("models.list_timeout", config.models.list_timeout.is_zero()),
        ("models.list_max", config.models.list_max == 0),
        ("media.fetch_timeout", config.media.fetch_timeout.is_zero()),
        ("media.max_concurrent", config.media.max_concurrent == 0),
        ("runs.max_live", runs.max_live == 0),
        ("runs.max_turns", runs.max_turns == 0),
        ("runs.max_tokens", runs.max_tokens == 0),
        (
            "runs.max_parallel_tool_calls",
            runs.max_parallel_tool_calls == 0,
        ),
        ("runs.timeout", runs.timeout.is_zero()),
        ("runs.input_timeout", runs.input_timeout.is_zero()),
        ("tools.timeout", tools.timeout.is_zero()),
        ("tools.heartbeat", tools.heartbeat.is_zero()),
        ("tools.max_attempts", tools.max_attempts == 0),
        ("tools.max_result", tools.max_result.0 == 0),
        ("tools.window", tools.window == 0),
        ("tools.max_tools_per_host", tools.max_tools_per_host == 0),
        (
            "tools.max_hosts_per_tenant",
            tools.max_hosts_per_tenant == 0,
        ),
    ] {
        if zero {
            reading.report_at(key, "is zero, which lets nothing happen");
        }
    }
}
