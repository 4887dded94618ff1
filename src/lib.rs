//! Runwire: one gRPC API over all large-language-model providers, an asynchronous agent Runner, and
//! tools that live wherever their owners are.
//!
//! # Modules, and which may use which
//!
//! ```text
//! main ─► app ─► rpc ───────┐
//!          ├───► provider ──┼──► run ──► domain
//!          ├───► mcp ───────┤
//!          ├───► toolhost ──┤    (the ports are traits in run::port; rpc uses toolhost, too)
//!          ├───► store ─────┘
//!          └───► telemetry, config, shutdown
//! main ─► cli ─► client   (the public Rust client; it knows the contract, not the server)
//! ```
//!
//! No other arrow is allowed; `tests/it/architecture.rs` holds the rules as data. `domain` does no
//! input or output, `run::machine` is a pure function of its inputs, and only `rpc` and `client` know
//! that there is gRPC.

pub mod app;
pub mod cli;
pub mod client;
pub mod config;
pub mod domain;
pub mod mcp;
pub mod pb;
pub mod provider;
pub mod rpc;
pub mod run;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod toolhost;
