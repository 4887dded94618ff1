//! Where runs are kept: adapters of the port [`crate::run::port::Store`].

#[cfg(test)]
mod conformance;
pub mod memory;
pub mod sqlite;
