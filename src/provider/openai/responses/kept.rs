//! Reasoning that goes back as it came: the item, and whose it is. Nobody else can read it, and who
//! cannot read it refuses the whole conversation.

use serde_json::value::RawValue;

use crate::{domain::message::Part, provider::openai::FAMILY};

/// The state of a part of reasoning that a provider has sent as this item.
pub(super) fn state(provider: &str, item: &RawValue) -> String {
    // No provider's name holds a blank.
    format!("{provider} {}", item.get())
}

/// The item, if it was this provider that sent it.
pub(super) fn item<'a>(part: &'a Part, provider: &str) -> Option<&'a RawValue> {
    let state = part.provider_state.as_ref()?.text_of(FAMILY)?;
    let (name, item) = state.split_once(' ')?;
    (name == provider)
        .then(|| serde_json::from_str(item).ok())
        .flatten()
}
