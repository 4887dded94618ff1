//! A model's answer with retries and fallbacks: what both completions and runs ask for.

use std::sync::Arc;

use tokio::time::Instant;

use super::port::{Answer, ModelStream, Models, RetryPolicy};
use crate::domain::{completion::Request, model::ModelRef};

/// What to do when an answer breaks after part of it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreak {
    /// Fail: the caller has seen it and decides (completions).
    Fail,
    /// Withdraw it with `Discarded` and begin again (runs).
    Restart,
}

/// Which models, and how hard to try.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The model and its fallbacks, in order, never empty.
    pub models: Vec<ModelRef>,
    /// How the answer is wanted.
    pub answer: Answer,
    /// What to do when it breaks.
    pub on_break: OnBreak,
    /// Retries of each model.
    pub retry: RetryPolicy,
    /// When to give up with `DEADLINE`.
    pub deadline: Option<Instant>,
}

/// Asks the models in turn. The stream keeps the order of [`crate::domain::completion::ModelEvent`].
pub fn generate(models: Arc<dyn Models>, plan: Plan, request: Request) -> ModelStream {
    todo!()
}
