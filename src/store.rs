//! Where runs are kept: adapters of the port [`crate::run::port::Store`].

pub mod memory;
