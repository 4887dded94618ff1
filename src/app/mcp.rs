//! From the configuration to the MCP servers.

use std::sync::Arc;

use crate::{
    config::{Config, McpServer},
    domain::secret::Secret,
    mcp::{Address, Program, ServerSettings},
};

/// What the operator says of each server.
pub(super) fn servers(config: &Config) -> Vec<ServerSettings> {
    let servers = config.mcp.servers.iter();
    servers
        .filter_map(|(name, server)| settings(name, server))
        .collect()
}

fn settings(name: &str, server: &McpServer) -> Option<ServerSettings> {
    Some(ServerSettings {
        name: Arc::from(name),
        address: address(server)?,
        tools: server.tools.clone(),
        prefix: server.prefix_of(name),
        trust_annotations: server.trust_annotations,
        connect_timeout: server.connect_timeout,
        call_timeout: server.timeout,
        max_message: server.max_message.bytes(),
        max_concurrent: server.max_concurrent,
        max_tools: server.max_tools,
        restart_delay: server.restart_delay,
        restart_max_delay: server.restart_max_delay,
    })
}

/// The configuration has checked that it is one of the two.
fn address(server: &McpServer) -> Option<Address> {
    if let Some(command) = &server.command {
        let environment = server.environment.iter();
        return Some(Address::Stdio(Program {
            command: command.clone(),
            args: server.args.clone(),
            environment: environment.map(|(k, v)| (k.clone(), v.clone())).collect(),
            working_dir: server.working_dir.clone(),
        }));
    }
    let plain = server.headers.iter();
    let plain = plain.map(|(name, value)| (name.clone(), Secret::new(value)));
    let headers = plain.chain(server.secret_headers.clone());
    Some(Address::Http {
        url: server.url.clone()?,
        headers: headers
            .filter_map(|(name, value)| Some((name.parse().ok()?, value)))
            .collect(),
    })
}
