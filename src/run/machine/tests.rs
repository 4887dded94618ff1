//! The machine's transitions as tables: an input, and what it must give rise to.

mod approvals;
mod calls;
mod endings;
mod line;
mod property;
mod questions;
mod recovery;
mod rig;
mod turns;
