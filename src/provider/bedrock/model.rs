//! What models behind Converse take beyond what all of them do, by their names.
//!
//! Sources: Amazon Bedrock User Guide, "Supported models and model features", "Prompt caching",
//! "Structured output"; Amazon Nova 2 User Guide, "Extended thinking", "Request and response schema".

use crate::provider::anthropic::model::{self as claude, Traits};

/// Who has made a model, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// Anthropic.
    Claude(Traits),
    /// Amazon.
    Nova {
        /// Thinks when it is asked to: from 2 on.
        thinks: bool,
    },
    /// OpenAI, whose open models are hosted here.
    OpenAi,
    /// Nobody knows: a profile of one's own has a name that says nothing.
    Unknown,
    /// Anybody else.
    Other,
}

impl Maker {
    /// By a model's name, or that of a profile of its region.
    pub(super) fn of(model: &str) -> Self {
        if is_claude(model) {
            Self::Claude(claude::traits(model))
        } else if model.contains("amazon.nova-") {
            let thinks = model.contains("nova-2");
            Self::Nova { thinks }
        } else if model.contains("openai.gpt-oss") {
            Self::OpenAi
        } else if is_own_profile(model) {
            Self::Unknown
        } else {
            Self::Other
        }
    }

    /// Takes its thoughts back: they are signed.
    pub(super) const fn takes_thoughts(self) -> bool {
        matches!(self, Self::Claude(_) | Self::Unknown)
    }

    /// Takes marks of where a cached prompt may end.
    pub(super) const fn caches(self) -> bool {
        matches!(self, Self::Claude(_) | Self::Nova { .. })
    }

    /// Takes such marks between tools.
    pub(super) const fn caches_tools(self) -> bool {
        matches!(self, Self::Claude(_))
    }

    /// Knows that a result may be an error. To others it is said in the result's text.
    pub(super) const fn knows_status(self) -> bool {
        matches!(self, Self::Claude(_) | Self::Nova { .. })
    }

    /// Enforces an output schema itself.
    pub(super) const fn native_schema(self) -> bool {
        match self {
            Self::Claude(traits) => traits.native_schema,
            Self::Nova { .. } | Self::OpenAi | Self::Unknown | Self::Other => false,
        }
    }
}

/// Whether a name is that of a profile of one's own.
pub(super) fn is_own_profile(model: &str) -> bool {
    model.contains(":application-inference-profile/")
}

/// Whether a name is one of Claude's.
pub(super) fn is_claude(model: &str) -> bool {
    model.contains("claude-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_maker_is_in_its_name() {
        for name in [
            "anthropic.claude-3-haiku-20240307-v1:0",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2:1",
        ] {
            assert!(matches!(Maker::of(name), Maker::Claude(_)), "{name}");
        }
        let nova = |name| Maker::of(name) == Maker::Nova { thinks: true };
        assert!(nova("us.amazon.nova-2-lite-v1:0"));
        assert!(!nova("amazon.nova-lite-v1:0"));
        assert_eq!(Maker::of("openai.gpt-oss-120b-1:0"), Maker::OpenAi);
        let own = "arn:aws:bedrock:us-east-1:1:application-inference-profile/x";
        assert_eq!(Maker::of(own), Maker::Unknown);
        assert_eq!(Maker::of("mistral.mistral-large-2407-v1:0"), Maker::Other);
    }
}
