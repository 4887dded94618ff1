//! The vendors that need no configuration but a key. One that speaks the OpenAI protocol is one row.

use super::openai::Quirks;

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
    // https://docs.lmstudio.ai/developer/openai-compat
    Vendor {
        name: "lmstudio",
        kind: "openai",
        base_url: "http://localhost:1234/v1",
        base_url_variable: Some("LMSTUDIO_API_URL"),
        key: Key::Optional("LMSTUDIO_API_KEY"),
        quirks: Quirks {
            top_k: true,
            ..Quirks::COMPATIBLE
        },
    },
    // https://docs.ollama.com/api/openai-compatibility
    Vendor {
        name: "ollama",
        kind: "openai",
        base_url: "http://localhost:11434/v1",
        base_url_variable: Some("OLLAMA_API_URL"),
        key: Key::Optional("OLLAMA_API_KEY"),
        quirks: Quirks {
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
    // Plays a script: no network.
    Vendor {
        name: "script",
        kind: "script",
        base_url: "",
        base_url_variable: None,
        key: Key::None,
        quirks: Quirks::COMPATIBLE,
    },
];

/// The built-in vendor of that name.
pub fn built_in(name: &str) -> Option<&'static Vendor> {
    BUILT_IN.iter().find(|vendor| vendor.name == name)
}
