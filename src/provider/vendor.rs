//! The vendors that need no configuration but a key. One that speaks the OpenAI protocol is one row.

use super::openai::{Dialect, Quirks, ReasoningField, Schema, Thinking};

/// A vendor: where it is, what it speaks, where its key is found.
#[derive(Clone, Copy, Debug)]
pub struct Vendor {
    /// The provider's name, as in `openai:gpt-5`.
    pub name: &'static str,
    /// The protocol, by the name it has in the configuration.
    pub kind: &'static str,
    /// Where it is.
    pub base_url: &'static str,
    /// The environment variable that says otherwise.
    pub base_url_variable: Option<&'static str>,
    /// Its key.
    pub key: Key,
    /// How it differs from OpenAI, for kind `openai`.
    pub quirks: Quirks,
}

/// Whether a vendor wants a key, and which environment variable holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// It takes none.
    None,
    /// It takes one where it is set up to.
    Optional(&'static str),
    /// Nothing works without.
    Needed(&'static str),
    /// Nothing works without; several variables may hold it, and the first is the one to name.
    AnyOf(&'static [&'static str]),
}

impl Key {
    /// The variables that may hold it, the one to name first.
    pub const fn variables(&self) -> &[&'static str] {
        match self {
            Self::None => &[],
            Self::Optional(variable) | Self::Needed(variable) => std::slice::from_ref(variable),
            Self::AnyOf(variables) => variables,
        }
    }
}

/// A vendor that speaks the OpenAI protocol and wants a key.
const fn compatible(
    name: &'static str,
    base_url: &'static str,
    key: &'static [&'static str],
    quirks: Quirks,
) -> Vendor {
    Vendor {
        name,
        kind: "openai",
        base_url,
        base_url_variable: None,
        key: Key::AnyOf(key),
        quirks,
    }
}

/// The vendors that are built in, by name.
pub const BUILT_IN: &[Vendor] = &[
    // https://platform.claude.com/docs/en/api/overview
    Vendor {
        name: "anthropic",
        kind: "anthropic",
        base_url: "https://api.anthropic.com",
        base_url_variable: Some("ANTHROPIC_BASE_URL"),
        key: Key::Needed("ANTHROPIC_API_KEY"),
        quirks: Quirks::COMPATIBLE,
    },
    // https://docs.aws.amazon.com/bedrock/latest/APIReference; where it is depends on the region
    Vendor {
        name: "aws",
        kind: "aws",
        base_url: "",
        base_url_variable: Some("AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
        key: Key::Optional("AWS_BEARER_TOKEN_BEDROCK"),
        quirks: Quirks::COMPATIBLE,
    },
    // https://learn.microsoft.com/azure/ai-foundry/openai/reference; there is an address for each resource
    Vendor {
        name: "azure",
        kind: "azure",
        base_url: "",
        base_url_variable: Some("AZURE_BASE_URL"),
        key: Key::AnyOf(&["AZURE_API_KEY", "AZURE_OPENAI_API_KEY"]),
        quirks: Quirks::OPENAI,
    },
    // https://inference-docs.cerebras.ai/resources/openai
    compatible(
        "cerebras",
        "https://api.cerebras.ai/v1",
        &["CEREBRAS_API_KEY"],
        Quirks {
            max_completion_tokens: true,
            ..Quirks::COMPATIBLE
        },
    ),
    // https://docs.cohere.com/reference/chat
    Vendor {
        name: "cohere",
        kind: "cohere",
        base_url: "https://api.cohere.com",
        base_url_variable: Some("CO_API_URL"),
        key: Key::AnyOf(&["CO_API_KEY", "COHERE_API_KEY"]),
        quirks: Quirks::COMPATIBLE,
    },
    // https://docs.crusoecloud.com/quickstart/getting-started-with-serverless-inference: served by vLLM
    compatible(
        "crusoe",
        "https://api.inference.crusoecloud.com/v1",
        &["CRUSOE_API_KEY"],
        Quirks {
            top_k: true,
            ..Quirks::COMPATIBLE
        },
    ),
    // https://api-docs.deepseek.com/guides/thinking_mode: the reasoning of turns with tool calls must come back;
    // https://api-docs.deepseek.com/guides/json_mode: JSON, but by no schema
    compatible(
        "deepseek",
        "https://api.deepseek.com",
        &["DEEPSEEK_API_KEY"],
        Quirks {
            max_effort: "max",
            thinking: Thinking::DeepSeek,
            schema: Schema::Described,
            reasoning_back: Some(ReasoningField::ReasoningContent),
            ..Quirks::COMPATIBLE
        },
    ),
    // https://docs.edenai.co/v3/how-to/llm/chat-completions
    compatible(
        "edenai",
        "https://api.edenai.run/v3/llm",
        &["EDENAI_API_KEY"],
        Quirks::COMPATIBLE,
    ),
    // https://featherless.ai/docs/completions
    compatible(
        "featherless",
        "https://api.featherless.ai/v1",
        &["FEATHERLESS_API_KEY"],
        Quirks {
            top_k: true,
            ..Quirks::COMPATIBLE
        },
    ),
    // https://docs.fireworks.ai/api-reference/post-chatcompletions
    compatible(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        &["FIREWORKS_API_KEY"],
        Quirks {
            top_k: true,
            reasoning_back: Some(ReasoningField::ReasoningContent),
            ..Quirks::COMPATIBLE
        },
    ),
    // https://ai.google.dev/gemini-api/docs
    Vendor {
        name: "gemini",
        kind: "gemini",
        base_url: "https://generativelanguage.googleapis.com",
        base_url_variable: Some("GOOGLE_GEMINI_BASE_URL"),
        key: Key::AnyOf(&["GEMINI_API_KEY", "GOOGLE_API_KEY"]),
        quirks: Quirks::COMPATIBLE,
    },
    // https://docs.cloud.google.com/vertex-ai; where it is depends on the region.
    Vendor {
        name: "google",
        kind: "google",
        base_url: "",
        base_url_variable: None,
        key: Key::None,
        quirks: Quirks::COMPATIBLE,
    },
    // https://console.groq.com/docs/openai: authors' names are refused
    compatible(
        "groq",
        "https://api.groq.com/openai/v1",
        &["GROQ_API_KEY"],
        Quirks {
            max_completion_tokens: true,
            names: false,
            ..Quirks::COMPATIBLE
        },
    ),
    // https://huggingface.co/docs/inference-providers: the router, which picks a host by the model's suffix
    compatible(
        "huggingface",
        "https://router.huggingface.co/v1",
        &["HF_TOKEN", "HUGGINGFACE_API_KEY"],
        Quirks::COMPATIBLE,
    ),
    // https://docs.inceptionlabs.ai/get-started/get-started
    compatible(
        "inception",
        "https://api.inceptionlabs.ai/v1",
        &["INCEPTION_API_KEY"],
        Quirks::COMPATIBLE,
    ),
    // https://docs.lmstudio.ai/developer/openai-compat
    Vendor {
        name: "lmstudio",
        kind: "openai",
        base_url: "http://localhost:1234/v1",
        base_url_variable: Some("LMSTUDIO_API_URL"),
        key: Key::Optional("LMSTUDIO_API_KEY"),
        quirks: Quirks {
            top_k: true,
            image_urls: false,
            ..Quirks::COMPATIBLE
        },
    },
    // https://docs.mistral.ai/api
    compatible(
        "mistral",
        "https://api.mistral.ai/v1",
        &["MISTRAL_API_KEY"],
        Quirks {
            stream_usage: false,
            top_k: true,
            max_effort: "max",
            names: false,
            dialect: Dialect::Mistral,
            ..Quirks::COMPATIBLE
        },
    ),
    // https://docs.tokenfactory.nebius.com/api-reference/introduction
    compatible(
        "nebius",
        "https://api.tokenfactory.nebius.com/v1",
        &["NEBIUS_API_KEY"],
        Quirks {
            top_k: true,
            ..Quirks::COMPATIBLE
        },
    ),
    // https://docs.ollama.com/api/openai-compatibility
    Vendor {
        name: "ollama",
        kind: "openai",
        base_url: "http://localhost:11434/v1",
        base_url_variable: Some("OLLAMA_API_URL"),
        key: Key::Optional("OLLAMA_API_KEY"),
        quirks: Quirks {
            image_urls: false,
            ..Quirks::COMPATIBLE
        },
    },
    // https://platform.openai.com/docs/api-reference/chat
    Vendor {
        name: "openai",
        kind: "openai",
        base_url: "https://api.openai.com/v1",
        base_url_variable: Some("OPENAI_BASE_URL"),
        key: Key::Needed("OPENAI_API_KEY"),
        quirks: Quirks::OPENAI,
    },
    // https://openrouter.ai/docs/api-reference/overview, …/docs/use-cases/reasoning-tokens
    compatible(
        "openrouter",
        "https://openrouter.ai/api/v1",
        &["OPENROUTER_API_KEY"],
        Quirks {
            top_k: true,
            max_effort: "xhigh",
            thinking: Thinking::OpenRouter,
            reasoning_back: Some(ReasoningField::Reasoning),
            ..Quirks::COMPATIBLE
        },
    ),
    // https://docs.requesty.ai/quickstart
    compatible(
        "requesty",
        "https://router.requesty.ai/v1",
        &["REQUESTY_API_KEY"],
        Quirks::COMPATIBLE,
    ),
    // https://docs.sambanova.ai/docs/en/features/openai-compatibility
    compatible(
        "sambanova",
        "https://api.sambanova.ai/v1",
        &["SAMBANOVA_API_KEY"],
        Quirks {
            top_k: true,
            ..Quirks::COMPATIBLE
        },
    ),
    // Plays a script: no network.
    Vendor {
        name: "script",
        kind: "script",
        base_url: "",
        base_url_variable: None,
        key: Key::None,
        quirks: Quirks::COMPATIBLE,
    },
    // https://docs.together.ai/docs/openai-api-compatibility
    compatible(
        "together",
        "https://api.together.xyz/v1",
        &["TOGETHER_API_KEY"],
        Quirks {
            top_k: true,
            ..Quirks::COMPATIBLE
        },
    ),
    // https://help.aliyun.com/en/model-studio/deep-thinking; other regions by base_url
    compatible(
        "tongyi",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        &["DASHSCOPE_API_KEY", "TONGYI_API_KEY"],
        Quirks {
            top_k: true,
            thinking: Thinking::Qwen,
            ..Quirks::COMPATIBLE
        },
    ),
    // https://cloud.ibm.com/apidocs/watsonx-ai#text-chat
    Vendor {
        name: "watsonx",
        kind: "watsonx",
        base_url: "https://us-south.ml.cloud.ibm.com",
        base_url_variable: Some("WATSONX_SERVICE_URL"),
        key: Key::Needed("WATSONX_API_KEY"),
        quirks: Quirks::COMPATIBLE,
    },
    // https://docs.x.ai/docs/api-reference
    compatible(
        "xai",
        "https://api.x.ai/v1",
        &["XAI_API_KEY"],
        Quirks {
            max_completion_tokens: true,
            ..Quirks::COMPATIBLE
        },
    ),
];

/// The built-in vendor of that name.
pub fn built_in(name: &str) -> Option<&'static Vendor> {
    BUILT_IN.iter().find(|vendor| vendor.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_stand_in_the_order_of_their_names_each_once() {
        assert!(BUILT_IN.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn every_vendor_on_the_network_is_asked_by_tls_or_on_this_machine() {
        for vendor in BUILT_IN.iter().filter(|vendor| vendor.kind != "script") {
            let local = vendor.base_url.starts_with("http://localhost:");
            assert!(local || vendor.base_url.starts_with("https://") || vendor.base_url.is_empty());
            assert!(!vendor.base_url.ends_with('/'), "{}", vendor.name);
        }
    }
}
