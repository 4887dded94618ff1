//! JSON that travels as text: checked once, never parsed into a tree and written again.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The text is not the JSON that is wanted here.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJson {
    /// It does not parse.
    #[error("not valid JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It parses, but is not an object.
    #[error("not a JSON object")]
    NotAnObject,
}

/// The JSON text of one value, exactly as it came. Valid by construction; nested at most 128 deep.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// Takes the text of any JSON value.
    ///
    /// # Errors
    /// When the text is not one JSON value.
    pub fn parse(text: &str) -> Result<Self, InvalidJson> {
        serde_json::from_str::<&RawValue>(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// Takes the text of a JSON object.
    ///
    /// # Errors
    /// When the text is not one JSON value, or another value than an object.
    pub fn parse_object(text: &str) -> Result<Self, InvalidJson> {
        let json = Self::parse(text)?;
        if text.trim_start().starts_with('{') {
            Ok(json)
        } else {
            Err(InvalidJson::NotAnObject)
        }
    }

    /// Takes a value that is already parsed.
    pub fn from_raw(raw: &RawValue) -> Self {
        Self(Arc::from(raw.get()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value as it goes into a larger JSON text, byte for byte.
    ///
    /// # Errors
    /// Never for a text that [`JsonText::parse`] has taken.
    pub fn to_raw(&self) -> Result<&RawValue, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

impl fmt::Debug for JsonText {
    /// The length only: the text may be a prompt or hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonText({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_to_the_byte() {
        let text = r#" {"b": 9007199254740993, "a": 3.0} "#;
        assert_eq!(JsonText::parse_object(text).unwrap().as_str(), text);
    }

    #[test]
    fn only_one_whole_value_is_taken() {
        for bad in ["", "{", "{} {}", "nul", "{\"a\":}"] {
            assert!(
                matches!(JsonText::parse(bad), Err(InvalidJson::Syntax(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            JsonText::parse_object("[1]"),
            Err(InvalidJson::NotAnObject)
        ));
    }
}
