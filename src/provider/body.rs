//! Bodies of requests: a wire type as JSON, and into it what only the vendor has words for.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::merge::merge;
use crate::domain::{
    fault::{Fault, Reason},
    json::JsonText,
};

/// What is merged into a body last: what the operator says, then what the caller says under the
/// family's name, then what it says under the provider's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overrides<'a> {
    /// The protocol family.
    pub family: &'a str,
    /// The provider.
    pub provider: &'a str,
    /// Of the operator.
    pub operator: Option<&'a JsonText>,
    /// Of the caller, by name.
    pub caller: &'a BTreeMap<String, JsonText>,
}

/// Writes a body. The same body and overrides give the same bytes.
///
/// # Errors
/// Never for types that can be written as a JSON object.
pub(crate) fn write(body: &impl Serialize, overrides: Overrides<'_>) -> Result<Vec<u8>, Fault> {
    let mut body = serde_json::to_string(body).map_err(|_error| unwritable())?;
    let own = (overrides.provider != overrides.family)
        .then(|| overrides.caller.get(overrides.provider))
        .flatten();
    let patches = [
        overrides.operator,
        overrides.caller.get(overrides.family),
        own,
    ];
    for patch in patches.into_iter().flatten() {
        body = merge(&body, patch.as_str()).map_err(|_error| unwritable())?;
    }
    Ok(body.into_bytes())
}

/// JSON as it goes into a body, byte for byte.
///
/// # Errors
/// Never for JSON that was parsed.
pub(crate) fn raw(json: &JsonText) -> Result<&RawValue, Fault> {
    json.to_raw().map_err(|_error| unwritable())
}

/// A body that cannot be written: a mistake of the server's own.
pub(crate) fn unwritable() -> Fault {
    Fault::new(Reason::Internal, "the request cannot be written as JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_operator_comes_first_then_the_family_then_the_provider() {
        let object = |text: &str| JsonText::parse_object(text).unwrap();
        let operator = object(r#"{"a":"operator","b":"operator","c":"operator"}"#);
        let caller = BTreeMap::from([
            ("acme".to_owned(), object(r#"{"c":"acme"}"#)),
            (
                "openai".to_owned(),
                object(r#"{"b":"openai","c":"openai"}"#),
            ),
            ("other".to_owned(), object(r#"{"a":"other"}"#)),
        ]);
        let overrides = |provider| Overrides {
            family: "openai",
            provider,
            operator: Some(&operator),
            caller: &caller,
        };
        let written = |provider| write(&json!({"a": 1}), overrides(provider)).unwrap();
        assert_eq!(
            written("acme"),
            br#"{"a":"operator","b":"openai","c":"acme"}"#
        );
        assert_eq!(
            written("openai"),
            br#"{"a":"operator","b":"openai","c":"openai"}"#
        );
    }
}
