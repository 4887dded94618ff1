//! The provider `script`.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};

use super::{endpoint::Adapter, registry::Parts};
use crate::{
    domain::{
        completion::Request,
        fault::{Fault, Reason},
        model::{ModelInfo, ModelRef},
    },
    run::port::{Answer, ModelStream},
};

/// Builds a provider of kind `script`.
///
/// # Errors
/// When the script is none.
#[expect(clippy::unnecessary_wraps, reason = "as every kind is built")]
pub(crate) fn build(_parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    Ok(Arc::new(Script))
}

struct Script;

impl Adapter for Script {
    fn call(self: Arc<Self>, _model: ModelRef, _request: Request, _answer: Answer) -> ModelStream {
        let fault = Fault::new(Reason::ModelNotFound, "the script is empty");
        stream::once(std::future::ready(Err(fault))).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Option<Result<Vec<ModelInfo>, Fault>>> {
        std::future::ready(None).boxed()
    }
}
