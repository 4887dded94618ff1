//! From the configuration to the providers.

use std::collections::BTreeMap;

use super::AppError;
use crate::{
    config::{self, Config, Environment},
    domain::{json::JsonText, model::ModelRef, secret::Secret},
    provider::{
        Providers,
        check::Finding,
        fetching::Network,
        settings::{Fetching, KeySource, Listing, ProviderSettings, Settings, Timeouts},
    },
};

/// Builds the providers.
pub(super) fn build(config: &Config, environment: &Environment) -> Result<Providers, AppError> {
    let mut providers = BTreeMap::new();
    for (name, provider) in &config.providers {
        providers.insert(name.clone(), settings(provider)?);
    }
    let aliases = config.models.aliases.iter();
    let settings = Settings {
        providers,
        // The configuration has checked that each is a model's name.
        aliases: aliases
            .filter_map(|(alias, model)| Some((alias.clone(), ModelRef::parse(model)?)))
            .collect(),
        listing: listing(&config.models),
        fetching: fetching(&config.media),
        ..Settings::default()
    };
    let settings = settings.with_environment(|name| environment.get(name).map(ToOwned::to_owned));
    Providers::new(&settings).map_err(AppError::Providers)
}

/// Says of the named providers, or of all, whether they can be used; with `ask` they are asked.
///
/// # Errors
/// When providers are configured in a way that cannot work, or a name is nobody's.
pub async fn check_providers(
    config: &Config,
    environment: &Environment,
    names: &[String],
    ask: bool,
) -> Result<Vec<Finding>, AppError> {
    let providers = build(config, environment)?;
    Ok(providers.check(names, ask).await?)
}

fn settings(provider: &config::Provider) -> Result<ProviderSettings, AppError> {
    let script = match &provider.script {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| AppError::File {
                path: path.display().to_string(),
                error,
            })?;
            Some(text)
        }
    };
    Ok(ProviderSettings {
        kind: provider.kind.clone(),
        base_url: provider.base_url.clone(),
        key_variable: provider.api_key_env.clone(),
        key: provider.api_key.clone(),
        key_source: key_source(provider),
        missing_variable: provider.missing_variable.clone(),
        headers: provider
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), Secret::new(value)))
            .chain(provider.secret_headers.clone())
            .collect(),
        options: options(&provider.options),
        parameters: provider.parameters.clone(),
        secrets: BTreeMap::new(),
        proxy: match &provider.proxy {
            Some(url) => Some(Secret::new(url)),
            None => provider.secret_proxy.clone(),
        },
        timeouts: Some(Timeouts {
            connect: provider.connect_timeout,
            first_byte: provider.first_byte_timeout,
            idle: provider.idle_timeout,
            whole: provider.timeout,
            ..Timeouts::default()
        }),
        script,
        // Nobody misses a vendor that is there by itself and was given nothing to work with.
        implied: !provider.is_named && provider.base_url.is_none() && provider.api_key.is_none(),
    })
}

fn key_source(provider: &config::Provider) -> Option<KeySource> {
    provider.api_key.as_ref()?;
    let variable = || provider.api_key_env.clone().map(KeySource::Variable);
    provider
        .api_key_file
        .clone()
        .map(KeySource::File)
        .or_else(variable)
}

fn listing(models: &config::Models) -> Listing {
    Listing {
        keep: models.list_ttl,
        keep_failure: models.list_retry,
        timeout: models.list_timeout,
        max_models: models.list_max,
        ..Listing::default()
    }
}

fn fetching(media: &config::Media) -> Fetching {
    Fetching {
        enabled: media.fetch,
        timeout: media.fetch_timeout,
        max_bytes: media.max_size.bytes(),
        max_urls: media.max_urls,
        max_redirects: media.max_redirects,
        max_concurrent: media.max_concurrent,
        // The configuration has checked that each is a network.
        private_networks: media
            .private_networks
            .iter()
            .filter_map(|network| Network::parse(network))
            .collect(),
    }
}

fn options(options: &BTreeMap<String, serde_json::Value>) -> Option<JsonText> {
    if options.is_empty() {
        return None;
    }
    // A map of JSON values is a JSON object.
    let text = serde_json::to_string(options).ok()?;
    JsonText::parse_object(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::provider::{registry, vendor};

    #[test]
    fn the_configuration_knows_every_vendor_and_every_protocol() {
        let vendors = vendor::BUILT_IN.iter().map(|vendor| vendor.name);
        let known: BTreeSet<&str> = vendors.chain(registry::kinds()).collect();
        let configurable: BTreeSet<&str> = config::PROVIDER_KINDS.iter().copied().collect();
        assert_eq!(configurable, known);
    }
}
