//! Models.

use super::{count, fault};
use crate::{
    domain::{fault::Fault, model::ModelInfo},
    pb::v1,
};

pub(in crate::rpc) fn encode(info: &ModelInfo) -> v1::Model {
    v1::Model {
        id: info.model.to_string(),
        aliases: info.aliases.clone(),
        context_tokens: count(info.context_tokens.unwrap_or_default()),
        max_output_tokens: count(info.max_output_tokens.unwrap_or_default()),
        input_media_types: info.input_media_types.clone(),
        supports_tools: info.supports_tools,
        supports_reasoning: info.supports_reasoning,
        supports_output_schema: info.supports_output_schema,
        provider: info.model.provider.clone(),
    }
}

pub(in crate::rpc) fn unavailable((provider, cause): &(String, Fault)) -> v1::ProviderError {
    v1::ProviderError {
        provider: provider.clone(),
        error: Some(fault::encode(cause)),
    }
}
