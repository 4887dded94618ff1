//! From the configuration to the providers.

use std::collections::BTreeMap;

use super::AppError;
use crate::{
    config::{self, Config, Environment},
    domain::{json::JsonText, model::ModelRef, secret::Secret},
    provider::{
        Providers,
        settings::{ProviderSettings, Settings, Timeouts},
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
        ..Settings::default()
    };
    let settings = settings.with_environment(|name| environment.get(name).map(ToOwned::to_owned));
    Providers::new(&settings).map_err(AppError::Providers)
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
        headers: provider
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), Secret::new(value)))
            .collect(),
        options: options(&provider.options),
        parameters: provider.parameters.clone(),
        proxy: provider.proxy.clone(),
        timeouts: Some(Timeouts {
            connect: provider.connect_timeout,
            first_byte: provider.first_byte_timeout,
            idle: provider.idle_timeout,
            whole: provider.timeout,
            ..Timeouts::default()
        }),
        script,
        // Nobody misses a vendor that is there by itself and was given nothing to work with.
        implied: provider.base_url.is_none() && provider.api_key.is_none(),
    })
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
