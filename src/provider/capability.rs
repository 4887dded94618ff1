//! What models take, where their vendors document it and do not say so in their lists.
//!
//! What a list says of a model counts; the [`table`] fills the gaps, by the vendor and the beginning of
//! the model's name. What neither says stays unknown.

mod table;

use self::table::{Row, VENDORS};
use super::anthropic;
use crate::domain::model::{ModelInfo, OutputSchemaMethod};

/// Fills what is not known of a vendor's model, where the vendor documents it.
pub(crate) fn fill(vendor: &str, info: &mut ModelInfo) {
    let Some(row) = row(vendor, &info.model.model) else {
        return;
    };
    let known = |number: u64| (number > 0).then_some(number);
    info.context_tokens = info.context_tokens.or(known(row.context_tokens));
    info.max_output_tokens = info.max_output_tokens.or(known(row.max_output_tokens));
    // A list that names media has said all there is.
    if !info.input_media_types.is_empty() {
        info.supports_media.get_or_insert(true);
    } else if info.supports_media != Some(false)
        && let Some(media) = row.media
    {
        info.supports_media = Some(!media.is_empty());
        info.input_media_types = media.iter().map(|&media| media.to_owned()).collect();
    }
    info.supports_tools = info.supports_tools.or(row.tools);
    info.supports_parallel_tool_calls = match info.supports_tools {
        Some(false) => Some(false),
        Some(true) | None => info.supports_parallel_tool_calls.or(row.parallel),
    };
    info.supports_reasoning = info.supports_reasoning.or(row.reasoning);
    info.supports_streaming = info.supports_streaming.or(row.streaming);
    schema(vendor, row, info);
}

/// How an output schema is enforced: as the table says; but Claude's generations differ, Bedrock has other
/// models call a tool, and a list may say whether a model enforces one.
fn schema(vendor: &str, row: &Row, info: &mut ModelInfo) {
    let enforced = |method| match method {
        OutputSchemaMethod::Native | OutputSchemaMethod::ToolCall => true,
        OutputSchemaMethod::Prompt => false,
    };
    let method = match (vendor, row.schema) {
        ("anthropic" | "aws", _) if anthropic::enforces_schemas(&info.model.model) => {
            Some(OutputSchemaMethod::Native)
        }
        ("anthropic" | "aws", _) => Some(OutputSchemaMethod::ToolCall),
        (_, method) => method,
    };
    // What a list denies is not promised; what only it knows of is the vendor's own.
    info.output_schema_method = match (info.supports_output_schema, method) {
        (Some(false), Some(OutputSchemaMethod::Native)) => None,
        (Some(true), None) => Some(OutputSchemaMethod::Native),
        (_, method) => info.output_schema_method.or(method),
    };
    info.supports_output_schema = match (vendor, info.output_schema_method) {
        // Where the vendor does not enforce it, a forced tool does.
        ("anthropic" | "aws", Some(method)) => Some(enforced(method)),
        (_, method) => info.supports_output_schema.or(method.map(enforced)),
    };
}

/// The row of a vendor's table with the longest beginning that fits. Bedrock's profiles have a region in
/// front, as in `eu.amazon.nova-lite-v1:0`.
fn row(vendor: &str, model: &str) -> Option<&'static Row> {
    let (_, rows) = VENDORS.iter().find(|(name, _)| *name == vendor)?;
    let longest = |model: &str| {
        let fits = rows.iter().filter(|row| model.starts_with(row.prefix));
        fits.max_by_key(|row| row.prefix.len())
    };
    longest(model).or_else(|| {
        let (_region, rest) = model.split_once('.').filter(|_| vendor == "aws")?;
        longest(rest)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{domain::model::ModelRef, provider::vendor};

    fn filled(name: &str) -> ModelInfo {
        let model = ModelRef::parse(name).unwrap();
        let vendor = model.provider.clone();
        let mut info = ModelInfo::named(model);
        fill(&vendor, &mut info);
        info
    }

    #[test]
    fn the_longest_beginning_decides() {
        assert_eq!(filled("openai:gpt-5").context_tokens, Some(400_000));
        assert_eq!(filled("openai:gpt-5.5").context_tokens, Some(1_050_000));
        assert_eq!(filled("openai:gpt-5.4-mini").context_tokens, Some(400_000));
        assert_eq!(
            filled("openai:gpt-4o-2024-08-06").context_tokens,
            Some(128_000)
        );
        assert_eq!(filled("openai:gpt-4").context_tokens, Some(8_192));
    }

    #[test]
    fn what_nobody_documents_stays_unknown() {
        for name in [
            "openai:text-embedding-3-small",
            "mine:gpt-5",
            "openai:gpt-9",
        ] {
            let info = filled(name);
            assert_eq!(info.context_tokens, None, "{name}");
            assert_eq!(info.supports_tools, None, "{name}");
            assert_eq!(info.supports_media, None, "{name}");
            assert_eq!(info.supports_output_schema, None, "{name}");
        }
    }

    #[test]
    fn what_a_list_says_counts() {
        let mut info = ModelInfo {
            context_tokens: Some(1),
            input_media_types: vec!["image/png".to_owned()],
            supports_tools: Some(false),
            supports_reasoning: Some(false),
            ..ModelInfo::named(ModelRef::parse("openai:gpt-5").unwrap())
        };
        fill("openai", &mut info);
        assert_eq!(info.context_tokens, Some(1));
        assert_eq!(info.max_output_tokens, Some(128_000));
        assert_eq!(info.input_media_types, ["image/png"]);
        assert_eq!(info.supports_media, Some(true));
        assert_eq!(info.supports_tools, Some(false));
        assert_eq!(info.supports_parallel_tool_calls, Some(false));
        assert_eq!(info.supports_reasoning, Some(false));
    }

    #[test]
    fn the_way_of_an_output_schema_is_the_encoders() {
        use OutputSchemaMethod::{Native, Prompt, ToolCall};
        for (name, method, enforced) in [
            ("openai:gpt-5", Some(Native), Some(true)),
            ("openai:gpt-4", None, None),
            ("anthropic:claude-opus-4-6", Some(Native), Some(true)),
            (
                "anthropic:claude-sonnet-4-20250514",
                Some(ToolCall),
                Some(true),
            ),
            ("deepseek:deepseek-v4-pro", Some(Prompt), Some(false)),
            ("aws:eu.amazon.nova-lite-v1:0", Some(ToolCall), Some(true)),
            (
                "aws:us.anthropic.claude-opus-4-6-v1",
                Some(Native),
                Some(true),
            ),
            ("aws:meta.llama3-1-8b-instruct-v1:0", None, None),
            ("gemini:gemini-2.5-pro", Some(Native), Some(true)),
        ] {
            let info = filled(name);
            assert_eq!(info.output_schema_method, method, "{name}");
            assert_eq!(info.supports_output_schema, enforced, "{name}");
        }
        let mut denied = ModelInfo {
            supports_output_schema: Some(false),
            ..ModelInfo::named(ModelRef::parse("gemini:gemini-2.5-pro").unwrap())
        };
        fill("gemini", &mut denied);
        assert_eq!(denied.output_schema_method, None);
        assert_eq!(denied.supports_output_schema, Some(false));
    }

    #[test]
    fn every_row_is_of_a_known_vendor_and_stands_once() {
        let mut vendors = BTreeSet::new();
        for (name, rows) in VENDORS {
            assert!(vendor::built_in(name).is_some(), "{name}");
            assert!(vendors.insert(name), "{name} stands twice");
            let mut prefixes = BTreeSet::new();
            for row in *rows {
                assert!(
                    prefixes.insert(row.prefix),
                    "{name}: {} stands twice",
                    row.prefix
                );
                let fits = row.max_output_tokens <= row.context_tokens || row.context_tokens == 0;
                assert!(fits, "{name}: {}", row.prefix);
            }
        }
    }
}
