//! Runs: the loop of model turns and tool calls.
//!
//! ```text
//!            create, cancel                        watch
//!                  │                                 ▲
//!             registry ──► driver ──facts──► log ────┤
//!                          │   ▲              │      │
//!                  effects │   │ inputs       ▼      │
//!                          ▼   │            store ───┘
//!              models, tools ──┘
//! ```
//!
//! [`machine`] decides, purely. The driver performs what it decides through the traits in [`port`]; one
//! small task for each live run. [`log`] numbers and stores the facts, and shows them to [`watch`]ers.

mod conversation;
mod driver;
pub mod fail;
pub mod generate;
mod lineage;
pub(crate) mod lock;
pub mod log;
pub mod machine;
pub mod port;
mod registry;
pub mod retry;
#[cfg(test)]
pub(crate) mod sample;
mod settings;
pub mod thread;
pub mod watch;

pub use self::{
    registry::{Runs, Said},
    settings::{Ports, Settings},
    watch::{Detail, Feed, FeedBatch, From, Interest, Seen, Snapshot, Watch, WatchMany},
};
