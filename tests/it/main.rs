//! The integration tests, one binary: each module is an area.

mod architecture;
mod attach;
mod auth;
mod bad_input;
mod completion;
mod deadline;
mod drain;
mod harness;
mod hosting;
mod load;
mod standard;
mod tenancy;
mod watch;
