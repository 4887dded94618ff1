//! What models there are: asked at most once a while, several providers at a time.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{endpoint::Adapter, fault, settings::Listing};
use crate::{
    domain::{
        fault::{Fault, Reason},
        model::{ModelInfo, ModelRef},
    },
    run::port::ModelList,
};

type Models = Result<Arc<[ModelInfo]>, Fault>;

/// A provider, and the models it was last seen with.
pub(crate) struct Listed {
    adapter: Arc<dyn Adapter>,
    /// It is there because it is built in: when it does not answer, nobody misses it.
    implied: bool,
    /// Held while the provider is asked, so that callers who come meanwhile wait for the same answer.
    seen: Mutex<Option<(Instant, Models)>>,
}

impl Listed {
    /// A provider that was not asked as yet.
    pub(crate) fn new(adapter: Arc<dyn Adapter>, implied: bool) -> Self {
        Self {
            adapter,
            implied,
            seen: Mutex::new(None),
        }
    }

    /// The provider.
    pub(crate) fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::clone(&self.adapter)
    }

    async fn models(&self, settings: Listing) -> Models {
        let mut seen = self.seen.lock().await;
        if let Some((when, models)) = &*seen
            && when.elapsed() < settings.keep
        {
            return models.clone();
        }
        let models = match timeout(settings.timeout, self.adapter.list()).await {
            Ok(None) => Ok(Vec::new()),
            Ok(Some(models)) => models,
            Err(_elapsed) => Err(fault::timeout("listing the models", settings.timeout)),
        };
        let models = models.map(Arc::from);
        *seen = Some((Instant::now(), models.clone()));
        models
    }
}

/// Asks one provider, or all of them.
pub(crate) async fn list(
    providers: &BTreeMap<String, Listed>,
    aliases: &BTreeMap<String, ModelRef>,
    only: Option<String>,
    settings: Listing,
) -> ModelList {
    let mut list = ModelList::default();
    if let Some(name) = &only
        && !providers.contains_key(name)
    {
        let fault = Fault::new(Reason::ProviderNotFound, "no provider of this name");
        list.unavailable.push((name.clone(), fault));
        return list;
    }
    let mut asked = Vec::new();
    for (name, provider) in providers {
        if only.as_ref().is_none_or(|only| only == name) {
            asked.push(async move { (name, provider, provider.models(settings).await) });
        }
    }
    let mut answers = stream::iter(asked).buffer_unordered(settings.max_concurrent.max(1));
    while let Some((name, provider, models)) = answers.next().await {
        match models {
            Ok(models) => list.models.extend_from_slice(&models),
            Err(_fault) if provider.implied && only.is_none() => {}
            Err(fault) => list.unavailable.push((name.clone(), fault)),
        }
    }
    for info in &mut list.models {
        let named = aliases.iter().filter(|(_, model)| **model == info.model);
        info.aliases = named.map(|(alias, _)| alias.clone()).collect();
    }
    list.models.sort_by(|a, b| a.model.cmp(&b.model));
    list.unavailable.sort_by(|a, b| a.0.cmp(&b.0));
    list
}
