//! What models there are: asked at most once a while, several providers at a time.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{capability, endpoint::Adapter, fault, settings::Listing};
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
    facts: Facts,
    /// Held while the provider is asked, so that callers who come meanwhile wait for the same answer.
    seen: Mutex<Option<(Instant, Models)>>,
}

/// What is known of a provider from its settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The protocol, by the name it has in the configuration.
    pub kind: String,
    /// The vendor, if it is one that is built in.
    pub vendor: Option<&'static str>,
    /// Where its credentials were found.
    pub source: Option<String>,
    /// It is there because it is built in: when it does not answer, nobody misses it.
    pub implied: bool,
}

impl Listed {
    /// A provider that was not asked as yet.
    pub(crate) fn new(adapter: Arc<dyn Adapter>, facts: Facts) -> Self {
        Self {
            adapter,
            facts,
            seen: Mutex::new(None),
        }
    }

    /// The provider.
    pub(crate) fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::clone(&self.adapter)
    }

    /// What is known of it.
    pub(crate) const fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn models(&self, settings: Listing) -> Models {
        let mut seen = self.seen.lock().await;
        let kept = |models: &Models| match models {
            Ok(_) => settings.keep,
            Err(_) => settings.keep_failure,
        };
        if let Some((when, models)) = &*seen
            && when.elapsed() < kept(models)
        {
            return models.clone();
        }
        let models = match timeout(settings.timeout, self.adapter.list()).await {
            Ok(None) => Ok(Vec::new()),
            Ok(Some(models)) => models,
            Err(_elapsed) => Err(fault::timeout("listing the models", settings.timeout)),
        };
        let models = models.map(|mut models| {
            if models.len() > settings.max_models {
                tracing::warn!(
                    provider = models.first().map(|info| &*info.model.provider),
                    models = models.len(),
                    kept = settings.max_models,
                    "the list of models is too long"
                );
                models.truncate(settings.max_models);
            }
            if let Some(vendor) = self.facts.vendor {
                for info in &mut models {
                    capability::fill(vendor, info);
                }
            }
            Arc::from(models)
        });
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
            Err(_fault) if provider.facts.implied && only.is_none() => {}
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

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use futures_util::{FutureExt, future::BoxFuture, future::join_all};
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::{
        domain::completion::Request,
        run::port::{Answer, ModelStream},
    };

    /// Lists one model after a while, and counts how often it was asked, and how many at a time.
    struct Fake {
        takes: Duration,
        fails: bool,
        asked: Arc<AtomicUsize>,
        busy: Arc<(AtomicUsize, AtomicUsize)>,
    }

    impl Adapter for Fake {
        fn call(self: Arc<Self>, _: ModelRef, _: Request, _: Answer) -> ModelStream {
            stream::empty().boxed()
        }

        fn list(&self) -> BoxFuture<'_, Option<Result<Vec<ModelInfo>, Fault>>> {
            async {
                self.asked.fetch_add(1, Ordering::SeqCst);
                let busy = self.busy.0.fetch_add(1, Ordering::SeqCst) + 1;
                self.busy.1.fetch_max(busy, Ordering::SeqCst);
                sleep(self.takes).await;
                self.busy.0.fetch_sub(1, Ordering::SeqCst);
                if self.fails {
                    return Some(Err(fault::unreachable("gone")));
                }
                Some(Ok(vec![ModelInfo::named(model("p:m"))]))
            }
            .boxed()
        }
    }

    #[derive(Default)]
    struct World {
        providers: BTreeMap<String, Listed>,
        asked: Arc<AtomicUsize>,
        busy: Arc<(AtomicUsize, AtomicUsize)>,
    }

    impl World {
        fn with(mut self, name: &str, takes: Duration, fails: bool, implied: bool) -> Self {
            let fake = Fake {
                takes,
                fails,
                asked: Arc::clone(&self.asked),
                busy: Arc::clone(&self.busy),
            };
            let facts = Facts {
                implied,
                ..Facts::default()
            };
            let listed = Listed::new(Arc::new(fake), facts);
            self.providers.insert(name.to_owned(), listed);
            self
        }

        async fn list(&self, only: Option<&str>) -> ModelList {
            let aliases = [("best".to_owned(), model("p:m"))].into();
            let only = only.map(str::to_owned);
            list(&self.providers, &aliases, only, Listing::default()).await
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    fn model(name: &str) -> ModelRef {
        ModelRef::parse(name).unwrap()
    }

    const SOON: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn a_list_is_kept_for_a_minute() {
        let world = World::default().with("p", SOON, false, false);
        for _ in 0..3 {
            assert_eq!(world.list(None).await.models.len(), 1);
        }
        assert_eq!(world.asked(), 1);
        advance(Duration::from_secs(61)).await;
        world.list(None).await;
        assert_eq!(world.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_could_not_be_asked_is_asked_again_soon() {
        let world = World::default().with("p", SOON, true, false);
        for _ in 0..3 {
            assert_eq!(world.list(None).await.unavailable.len(), 1);
        }
        assert_eq!(world.asked(), 1);
        advance(Duration::from_secs(11)).await;
        world.list(None).await;
        assert_eq!(world.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_at_the_same_time_share_one_question() {
        let world = World::default().with("p", SOON, false, false);
        join_all((0..10).map(|_| world.list(None))).await;
        assert_eq!(world.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn only_some_providers_are_asked_at_a_time() {
        let world = (0..30).fold(World::default(), |world, number| {
            world.with(&format!("p{number}"), SOON, false, false)
        });
        assert_eq!(world.list(None).await.models.len(), 30);
        assert_eq!(world.busy.1.load(Ordering::SeqCst), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_cannot_be_asked_does_not_fail_the_others() {
        let world = World::default()
            .with("p", SOON, false, false)
            .with("gone", SOON, true, false)
            .with("slow", Duration::from_secs(3600), false, false)
            .with("unused", SOON, true, true);
        let list = world.list(None).await;
        assert_eq!(list.models.len(), 1);
        let unavailable: Vec<_> = list
            .unavailable
            .iter()
            .map(|(name, fault)| (&**name, fault.reason))
            .collect();
        assert_eq!(
            unavailable,
            [
                ("gone", Reason::ProviderUnavailable),
                ("slow", Reason::ProviderTimeout)
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_is_asked_for_by_name_says_why_it_cannot_answer() {
        let world = World::default().with("unused", SOON, true, true);
        assert_eq!(world.list(Some("unused")).await.unavailable.len(), 1);
        let nobody = world.list(Some("nobody")).await;
        assert_eq!(nobody.unavailable[0].1.reason, Reason::ProviderNotFound);
    }

    #[tokio::test(start_paused = true)]
    async fn models_carry_their_aliases() {
        let world = World::default().with("p", SOON, false, false);
        assert_eq!(world.list(Some("p")).await.models[0].aliases, ["best"]);
    }
}
