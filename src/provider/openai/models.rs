//! Lists of models, in all the shapes that the vendors give them, and what they say of each model.
//!
//! Sources: "List models" of OpenAI's reference; openrouter.ai/docs/models; docs.mistral.ai/api ("List
//! models"); console.groq.com/docs/api-reference ("List models"); docs.together.ai/reference/models;
//! docs.fireworks.ai ("List models"); huggingface.co/docs/inference-providers ("Chat completion");
//! docs.requesty.ai ("List models"); docs.sambanova.ai ("Model list"); featherless.ai/docs ("Models");
//! docs.vllm.ai for servers of one's own. Members that one of them has are read wherever they stand; a
//! member of an unexpected kind is as good as none.

use serde_json::Value;

use crate::{
    domain::{
        fault::Fault,
        model::{ModelInfo, ModelRef},
    },
    provider::protocol::{not_a_list, read_list},
};

/// Reads a list. What cannot be asked for completions, where the list says so, is left out.
///
/// # Errors
/// `PROVIDER_RESPONSE_INVALID` when it is no list.
pub(super) fn decode(provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
    let list: Value = read_list(body)?;
    // Together has it bare.
    let models = list.get("data").unwrap_or(&list).as_array();
    let models = models.ok_or_else(not_a_list)?;
    models
        .iter()
        .filter(|model| is_asked(model))
        .map(|model| {
            let name = model.get("id").and_then(Value::as_str);
            Ok(info(
                ModelRef {
                    provider: provider.to_owned(),
                    model: name.ok_or_else(not_a_list)?.to_owned(),
                },
                model,
            ))
        })
        .collect()
}

/// Whether a model answers conversations.
fn is_asked(model: &Value) -> bool {
    const OTHERS: [&str; 7] = [
        "image",
        "embedding",
        "moderation",
        "rerank",
        "audio",
        "transcribe",
        "video",
    ];
    let kind = model.get("type").and_then(Value::as_str);
    let says = |pointer: &str| model.pointer(pointer).and_then(Value::as_bool);
    !kind.is_some_and(|kind| OTHERS.contains(&kind))
        && says("/capabilities/completion_chat") != Some(false)
        && says("/supports_chat") != Some(false)
}

fn info(model: ModelRef, said: &Value) -> ModelInfo {
    let number = |pointers: &[&str]| pointers.iter().find_map(|at| count(said.pointer(at)?));
    let truth = |pointers: &[&str]| {
        let mut all = pointers.iter();
        all.find_map(|at| said.pointer(at)?.as_bool())
    };
    // A list of parameters names all that there are.
    let parameters = said.get("supported_parameters").and_then(Value::as_array);
    let takes = |name: &str| parameters.map(|all| all.iter().any(|parameter| parameter == name));
    let hosts = said.get("providers").and_then(Value::as_array);
    let of_hosts = |name: &str| {
        let mut truths = hosts?.iter().filter_map(|host| host.get(name)?.as_bool());
        let first = truths.next()?;
        Some(truths.fold(first, |any, this| any || this))
    };
    let sees = truth(&[
        "/capabilities/vision",
        "/supports_vision",
        "/supports_image_input",
    ]);
    let input_media_types = match (modalities(said), sees) {
        (Some(media), _) => Some(media),
        (None, Some(true)) => Some(vec!["image/*".to_owned()]),
        (None, Some(false)) => Some(Vec::new()),
        (None, None) => None,
    };
    ModelInfo {
        context_tokens: number(&[
            "/context_length",
            "/context_window",
            "/max_context_length",
            "/max_model_len",
            "/providers/0/context_length",
        ]),
        max_output_tokens: number(&[
            "/top_provider/max_completion_tokens",
            "/max_completion_tokens",
            "/max_output_tokens",
        ]),
        supports_media: input_media_types.as_ref().map(|media| !media.is_empty()),
        input_media_types: input_media_types.unwrap_or_default(),
        supports_tools: truth(&[
            "/capabilities/function_calling",
            "/supports_tools",
            "/supports_tool_calling",
        ])
        .or(takes("tools"))
        .or(of_hosts("supports_tools")),
        supports_parallel_tool_calls: takes("parallel_tool_calls").filter(|takes| *takes),
        supports_reasoning: truth(&["/capabilities/reasoning", "/supports_reasoning"])
            .or(takes("reasoning")),
        supports_output_schema: takes("structured_outputs")
            .or(of_hosts("supports_structured_output")),
        input_price_micros: price(said, "/pricing/prompt"),
        output_price_micros: price(said, "/pricing/completion"),
        ..ModelInfo::named(model)
    }
}

/// A number above zero, as one or as text.
fn count(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number| *number > 0)
}

/// The media types of what goes in; `None` when nothing is said of it.
fn modalities(said: &Value) -> Option<Vec<String>> {
    let all = said.pointer("/architecture/input_modalities")?.as_array()?;
    let media = all.iter().filter_map(|modality| match modality.as_str()? {
        "image" => Some("image/*"),
        "audio" => Some("audio/*"),
        "video" => Some("video/*"),
        "file" | "pdf" => Some("application/pdf"),
        _ => None,
    });
    Some(media.map(str::to_owned).collect())
}

/// Dollars for a token, as text: millionths of a dollar for a million of them. A negative price is that of
/// a model which stands for several.
fn price(said: &Value, pointer: &str) -> Option<u64> {
    let dollars: f64 = said.pointer(pointer)?.as_str()?.parse().ok()?;
    let micros = (dollars * 1e12).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    (0.0..=1e15).contains(&micros).then_some(micros as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(model: &str) -> ModelInfo {
        let body = format!(r#"{{"data":[{model}]}}"#);
        decode("p", body.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn models_are_listed_in_both_shapes() {
        for body in [
            r#"{"data":[{"id":"a"},{"id":"b","x":1}]}"#,
            r#"[{"id":"a"},{"id":"b"}]"#,
        ] {
            let models = decode("groq", body.as_bytes()).unwrap();
            let names: Vec<String> = models.iter().map(|info| info.model.to_string()).collect();
            assert_eq!(names, ["groq:a", "groq:b"]);
        }
        for bad in [
            "<html>",
            "{}",
            "1",
            r#"{"data":1}"#,
            r#"{"data":[{"name":"a"}]}"#,
        ] {
            assert!(decode("groq", bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_routers_words_are_read() {
        let info = one(r#"{"id":"x/y","context_length":131072,
            "architecture":{"input_modalities":["text","image","file"]},
            "pricing":{"prompt":"0.00000015","completion":"0.0000006"},
            "top_provider":{"context_length":131072,"max_completion_tokens":16384},
            "supported_parameters":["tools","structured_outputs","temperature"]}"#);
        assert_eq!(info.context_tokens, Some(131_072));
        assert_eq!(info.max_output_tokens, Some(16_384));
        assert_eq!(info.input_media_types, ["image/*", "application/pdf"]);
        assert_eq!(info.supports_tools, Some(true));
        assert_eq!(info.supports_output_schema, Some(true));
        assert_eq!(info.supports_reasoning, Some(false));
        assert_eq!(info.input_price_micros, Some(150_000));
        assert_eq!(info.output_price_micros, Some(600_000));
        let auto = one(r#"{"id":"auto","pricing":{"prompt":"-1","completion":"x"},
            "architecture":{"input_modalities":["text"]}}"#);
        assert_eq!(auto.input_price_micros, None);
        assert_eq!(auto.output_price_micros, None);
        assert_eq!(auto.supports_media, Some(false));
        assert_eq!(auto.supports_tools, None);
    }

    #[test]
    fn mistrals_capabilities_are_read_and_what_does_not_chat_is_left_out() {
        let body = br#"{"data":[
            {"id":"m","max_context_length":128000,"capabilities":
                {"completion_chat":true,"function_calling":true,"vision":false}},
            {"id":"embed","capabilities":{"completion_chat":false}}]}"#;
        let models = decode("mistral", body).unwrap();
        assert_eq!(models.len(), 1);
        assert_eq!(models[0].context_tokens, Some(128_000));
        assert_eq!(models[0].supports_tools, Some(true));
        assert_eq!(models[0].supports_media, Some(false));
    }

    #[test]
    fn other_words_for_the_same_are_read() {
        let info = one(r#"{"id":"a","context_window":8192,"max_completion_tokens":4096}"#);
        assert_eq!(
            (info.context_tokens, info.max_output_tokens),
            (Some(8192), Some(4096))
        );
        assert_eq!(
            one(r#"{"id":"a","max_model_len":"4096"}"#).context_tokens,
            Some(4096)
        );
        let info = one(r#"{"id":"a","supports_image_input":true,"supports_tools":false}"#);
        assert_eq!(info.input_media_types, ["image/*"]);
        assert_eq!(info.supports_tools, Some(false));
        let info = one(r#"{"id":"a","providers":[
            {"context_length":32768,"supports_tools":false,"supports_structured_output":false},
            {"supports_tools":true,"supports_structured_output":false}]}"#);
        assert_eq!(info.context_tokens, Some(32_768));
        assert_eq!(info.supports_tools, Some(true));
        assert_eq!(info.supports_output_schema, Some(false));
        let images = decode(
            "t",
            br#"[{"id":"flux","type":"image"},{"id":"c","type":"chat"}]"#,
        );
        assert_eq!(images.unwrap().len(), 1);
    }

    #[test]
    fn a_member_of_an_unexpected_kind_is_none() {
        let info = one(
            r#"{"id":"a","context_length":null,"architecture":"x","capabilities":["chat"],
            "supported_parameters":{"a":1},"providers":7,"pricing":{"prompt":0.1},"top_provider":null}"#,
        );
        assert_eq!(info, ModelInfo::named(ModelRef::parse("p:a").unwrap()));
    }
}
