//! The provider `script`: plays a file in place of a model. For demos, for users' own tests, for
//! benchmarks. `docs/script.md` describes the format.
//!
//! It has no state but the count of how often a fault was played: the same conversation gets the same
//! answer, on any server.

mod choose;
mod format;
mod invent;
mod play;
mod template;

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use tokio::time::sleep;

use super::{endpoint::Adapter, fault, registry::Parts, settings::Timeouts};
use crate::{
    domain::{
        completion::Request,
        fault::{Fault, Reason},
        model::{ModelInfo, ModelRef},
    },
    run::port::{Answer, ModelStream},
};

/// The script that is played when the configuration names none.
const DEFAULT: &str = include_str!("script/default.toml");

/// Builds a provider of kind `script`.
///
/// # Errors
/// When the script is none; says where.
pub(crate) fn build(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let text = parts.settings.script.as_deref().unwrap_or(DEFAULT);
    Ok(Arc::new(Player {
        name: parts.name.to_owned(),
        script: format::parse(text)?,
        timeouts: parts.timeouts,
    }))
}

struct Player {
    name: String,
    script: format::Script,
    timeouts: Timeouts,
}

impl Player {
    fn play(
        &self,
        model: &ModelRef,
        request: &Request,
        answer: Answer,
    ) -> Result<Vec<play::Step>, Fault> {
        let unknown = || Fault::new(Reason::ModelNotFound, "the script has no such model");
        let (entry, parameter) = self.script.model(&model.model).ok_or_else(unknown)?;
        let scene = choose::Scene::new(request, parameter);
        let turn = choose::choose(entry, &scene).ok_or_else(|| {
            Fault::new(
                Reason::ProviderInvalidRequest,
                "the script has no turn for this conversation",
            )
        })?;
        play::play(model.clone(), &scene, (entry, turn), answer)
    }
}

impl Adapter for Player {
    fn call(self: Arc<Self>, model: ModelRef, request: Request, answer: Answer) -> ModelStream {
        let steps = self.play(&model, &request, answer);
        let named = move |fault: Fault| {
            fault
                .with("provider", &model.provider)
                .with("model", &model.model)
        };
        let steps = match steps {
            Ok(steps) => steps,
            Err(fault) => return stream::once(std::future::ready(Err(named(fault)))).boxed(),
        };
        let idle = self.timeouts.idle;
        stream::iter(steps)
            .then(move |step| async move {
                match step {
                    play::Step::Event(event) => Some(event),
                    play::Step::Wait(wait) => {
                        sleep(wait).await;
                        None
                    }
                    play::Step::Hang => {
                        sleep(idle).await;
                        Some(Err(fault::timeout("the silence within the answer", idle)))
                    }
                }
            })
            .filter_map(std::future::ready)
            .map(move |event| event.map_err(&named))
            .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Option<Result<Vec<ModelInfo>, Fault>>> {
        let named = |model: &str| ModelInfo {
            supports_tools: Some(true),
            supports_parallel_tool_calls: Some(true),
            supports_reasoning: Some(true),
            supports_streaming: Some(true),
            supports_output_schema: Some(true),
            ..ModelInfo::named(ModelRef {
                provider: self.name.clone(),
                model: model.to_owned(),
            })
        };
        let models = self.script.names().map(named).collect();
        std::future::ready(Some(Ok(models))).boxed()
    }
}

#[cfg(test)]
mod tests;
