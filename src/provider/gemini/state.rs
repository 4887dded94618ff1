//! What the family wants back with a part: ids and signatures, exactly as they came.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::FAMILY;
use crate::domain::message::{Part, ProviderState};

/// The family's state of a part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The provider's id of a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The signature that stood on the part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Whether the part was marked as a thought.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thought: bool,
    /// A whole part that the domain has no words for, such as code that the provider has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Box<RawValue>>,
}

impl State {
    /// The state of a part, if this family wrote it.
    pub(super) fn of(part: &Part) -> Option<Self> {
        let text = part.provider_state.as_ref()?.text_of(FAMILY)?;
        serde_json::from_str(text).ok()
    }

    /// As it travels; `None` when there is nothing in it.
    pub(super) fn to_provider_state(&self) -> Option<ProviderState> {
        if self.id.is_none() && self.signature.is_none() && self.part.is_none() {
            return None;
        }
        let text = serde_json::to_string(self).ok()?;
        Some(ProviderState::new(FAMILY, text.into_bytes()))
    }
}
