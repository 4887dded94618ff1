//! The integration tests, one binary: each module is an area.

mod architecture;
