//! Models.

use super::{count, fault};
use crate::{
    domain::{
        fault::Fault,
        model::{ModelInfo, OutputSchemaMethod},
    },
    pb::v1,
};

pub(in crate::rpc) fn encode(info: &ModelInfo) -> v1::Model {
    let price = |micros: Option<u64>| micros.map(count);
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
        input_price_micros: price(info.input_price_micros),
        output_price_micros: price(info.output_price_micros),
        supports_media: info.supports_media,
        supports_parallel_tool_calls: info.supports_parallel_tool_calls,
        supports_streaming: info.supports_streaming,
        output_schema_method: schema_method(info.output_schema_method) as i32,
    }
}

const fn schema_method(method: Option<OutputSchemaMethod>) -> v1::OutputSchemaMethod {
    match method {
        None => v1::OutputSchemaMethod::Unspecified,
        Some(OutputSchemaMethod::Native) => v1::OutputSchemaMethod::Native,
        Some(OutputSchemaMethod::ToolCall) => v1::OutputSchemaMethod::ToolCall,
        Some(OutputSchemaMethod::Prompt) => v1::OutputSchemaMethod::Prompt,
    }
}

pub(in crate::rpc) fn unavailable((provider, cause): &(String, Fault)) -> v1::ProviderError {
    v1::ProviderError {
        provider: provider.clone(),
        error: Some(fault::encode(cause)),
    }
}
