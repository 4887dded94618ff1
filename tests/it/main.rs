//! The integration tests, one binary: each module is an area.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "all of this is tests, and so is what they share"
)]

mod approvals;
mod architecture;
mod attach;
mod auth;
mod bad_input;
mod bad_json;
mod cli;
mod client;
mod completion;
mod connection;
mod deadline;
mod documents;
mod drain;
mod harness;
mod hosting;
mod interrupts;
mod load;
mod logs;
mod mcp;
mod misbehaving;
mod moved;
mod parked;
mod program;
mod providers;
mod questions;
mod recovery;
mod rest;
mod standard;
mod streams;
mod tenancy;
mod thread;
mod tls;
mod upstream;
mod watch;
