//! The vocabulary: what a conversation, a tool, a completion and a run are made of.
//!
//! Plain values without input or output: nothing here waits, reads a clock or draws a random number
//! (ids are minted by [`id`], the one exception, and only from the shell). Everything is checked when
//! it is made, so the rest of the crate does not check it again.

pub mod call;
pub mod completion;
pub mod event;
pub mod fault;
pub mod id;
pub mod input;
pub mod json;
pub mod message;
pub mod model;
pub mod policy;
pub mod principal;
pub mod run;
pub mod secret;
pub mod thread;
pub mod time;
pub mod tool;
pub mod trace;
