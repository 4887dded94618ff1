//! Tools as functions: the JSON that OpenAI gave them, and that other protocols have taken over.
//!
//! Source: OpenAI API reference, "Chat Completions", `tools`, `tool_calls` and `tool_choice`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{body, names::PlainNames};
use crate::domain::{
    fault::Fault,
    message::ToolCall,
    model::ToolChoice,
    tool::{ToolName, ToolSpec},
};

/// What every one of them is typed as.
pub(crate) const KIND: &str = "function";

/// A tool.
#[derive(Serialize)]
pub(crate) struct Tool<'a> {
    /// `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The function.
    pub function: Function<'a>,
}

/// A function that may be called.
#[derive(Serialize)]
pub(crate) struct Function<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    /// JSON Schema of its arguments, as its author wrote it.
    pub parameters: &'a RawValue,
}

/// A call in an assistant's message.
#[derive(Serialize)]
pub(crate) struct Call<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Which function, with what.
    pub function: Called<'a>,
}

/// Which function is called, with what.
#[derive(Serialize)]
pub(crate) struct Called<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// The text of a JSON object.
    pub arguments: &'a str,
}

/// Whether functions may or must be called. `N` names one.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Choice<N> {
    /// `none` or `required`.
    Mode(&'static str),
    /// This one.
    Named(N),
}

impl<'a> Function<'a> {
    /// A tool as a function.
    ///
    /// # Errors
    /// Never for a schema that was parsed.
    pub(crate) fn of(tool: &'a ToolSpec, names: &PlainNames<'_>) -> Result<Self, Fault> {
        Ok(Self {
            name: names.to_wire(tool.name.as_str()),
            description: &tool.description,
            parameters: body::raw(&tool.input_schema)?,
        })
    }
}

impl<'a> Tool<'a> {
    /// Tools, in the order in which they are given.
    ///
    /// # Errors
    /// Never for schemas that were parsed.
    pub(crate) fn all(
        tools: impl IntoIterator<Item = &'a ToolSpec>,
        names: &PlainNames<'_>,
    ) -> Result<Vec<Self>, Fault> {
        let tool = |function| Self {
            kind: KIND,
            function,
        };
        let functions = tools.into_iter().map(|spec| Function::of(spec, names));
        functions.map(|function| function.map(tool)).collect()
    }
}

impl<'a> Call<'a> {
    /// A call under the id that it has on the wire.
    pub(crate) fn of(call: &'a ToolCall, id: Cow<'a, str>, names: &PlainNames<'_>) -> Self {
        Self {
            id,
            kind: KIND,
            function: Called {
                name: names.to_wire(&call.name),
                arguments: arguments(call),
            },
        }
    }
}

impl<N> Choice<N> {
    /// A choice; `None` leaves it to the model, as it is without a word.
    pub(crate) fn of<'a>(
        choice: &'a ToolChoice,
        named: impl FnOnce(&'a ToolName) -> N,
    ) -> Option<Self> {
        match choice {
            ToolChoice::Auto => None,
            ToolChoice::None => Some(Self::Mode("none")),
            ToolChoice::Required => Some(Self::Mode("required")),
            ToolChoice::Tool(name) => Some(Self::Named(named(name))),
        }
    }
}

/// A call's arguments as the text of an object. What is none goes out as `{}`: vendors refuse the
/// whole conversation otherwise.
pub(crate) fn arguments(call: &ToolCall) -> &str {
    if call.arguments.trim().is_empty() || call.arguments().is_err() {
        "{}"
    } else {
        &call.arguments
    }
}

/// A call's arguments as an object, by the same rule.
///
/// # Errors
/// Never.
pub(crate) fn arguments_object(call: &ToolCall) -> Result<&RawValue, Fault> {
    serde_json::from_str(arguments(call)).map_err(|_error| body::unwritable())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::CallId;

    #[test]
    fn arguments_that_are_no_object_go_out_as_an_empty_one() {
        for (written, sent) in [
            (r#"{"b": 1.0,"a":2}"#, r#"{"b": 1.0,"a":2}"#),
            ("", "{}"),
            (" \n", "{}"),
            ("null", "{}"),
            ("[1]", "{}"),
            (r#"{"cut": "#, "{}"),
        ] {
            let call = ToolCall {
                id: CallId::parse("call_1").unwrap(),
                name: "t".to_owned(),
                arguments: written.to_owned(),
            };
            assert_eq!(arguments(&call), sent);
            assert_eq!(arguments_object(&call).unwrap().get(), sent);
        }
    }
}
