//! JSON Schemas of tools: compiled once, never fetched, bounded in size and in what a check costs.
//!
//! The dialect is draft 2020-12 unless `$schema` names another. References stay within the document:
//! nothing is ever read from the network or from a file.

mod cost;

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use self::cost::Document;
use super::recent::Recent;
use crate::domain::{
    fault::{Fault, Reason},
    json::JsonText,
};

/// The largest schema.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// Compiled schemas that are kept.
const KEPT: usize = 4096;

/// Errors that the model is told about at once.
const MAX_ERRORS: usize = 3;

/// The longest message to the model, and the longest line of it.
const MAX_MESSAGE_BYTES: usize = 1024;
const MAX_LINE_BYTES: usize = 320;

/// Steps that a pattern with look-around may take back; others match in linear time.
const MAX_BACKTRACKS: usize = 100_000;

/// The largest compiled pattern.
const MAX_PATTERN_BYTES: usize = 1024 * 1024;

/// Compiled schemas by their text.
#[derive(Debug)]
pub(super) struct Schemas {
    kept: Mutex<Recent<JsonText, Result<Arc<Compiled>, Fault>>>,
}

/// A schema that is ready to be used.
#[derive(Debug)]
pub(super) struct Compiled {
    validator: Validator,
    /// The schema itself, when what a check costs has to be found out with each value.
    measured: Option<Value>,
}

impl Schemas {
    /// Nothing is compiled as yet.
    pub(super) fn new() -> Self {
        Self {
            kept: Mutex::new(Recent::new(KEPT)),
        }
    }

    /// The schema, compiled now or before.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`.
    pub(super) fn compile(&self, schema: &JsonText) -> Result<Arc<Compiled>, Fault> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = lock().get(schema) {
            return compiled.clone();
        }
        // Two at once may compile the same text; better than to wait for one another's.
        let compiled = build(schema.as_str()).map(Arc::new);
        lock().insert(schema.clone(), compiled.clone());
        compiled
    }

    /// Checks arguments against a schema.
    ///
    /// # Errors
    /// `ARGUMENTS_INVALID`, with the first errors for the model to correct; `SCHEMA_INVALID`.
    pub(super) fn check(&self, schema: &JsonText, arguments: &JsonText) -> Result<(), Fault> {
        let compiled = self.compile(schema)?;
        let arguments: Value = serde_json::from_str(arguments.as_str())
            .map_err(|_| Fault::new(Reason::ArgumentsMalformed, "the arguments are no JSON"))?;
        if !compiled.affords(&arguments) {
            let why = "the arguments are too large or too deep for the tool's schema";
            return Err(Fault::new(Reason::ArgumentsInvalid, why));
        }
        let mut errors = compiled.validator.iter_errors(&arguments).peekable();
        if errors.peek().is_none() {
            return Ok(());
        }
        Err(Fault::new(Reason::ArgumentsInvalid, describe(errors)))
    }
}

impl Compiled {
    /// Whether a check takes no more steps than are allowed.
    fn affords(&self, arguments: &Value) -> bool {
        self.measured.as_ref().is_none_or(|schema| {
            Document::read(schema).is_ok_and(|document| document.affords(arguments))
        })
    }
}

fn build(schema: &str) -> Result<Compiled, Fault> {
    if schema.len() > MAX_SCHEMA_BYTES {
        return Err(invalid(format!(
            "{} bytes are too many: a schema may have {MAX_SCHEMA_BYTES}",
            schema.len()
        )));
    }
    let schema: Value =
        serde_json::from_str(schema).map_err(|_| invalid("the schema is no JSON"))?;
    let is_measured = Document::read(&schema)
        .and_then(|document| document.bound())
        .map_err(invalid)?;
    let patterns = PatternOptions::fancy_regex()
        .backtrack_limit(MAX_BACKTRACKS)
        .size_limit(MAX_PATTERN_BYTES)
        .dfa_size_limit(MAX_PATTERN_BYTES);
    let validator = jsonschema::options()
        .offline()
        .with_pattern_options(patterns)
        .build(&schema)
        .map_err(|error| {
            let mut message = String::new();
            describe_one(&mut message, &error);
            invalid(message)
        })?;
    Ok(Compiled {
        validator,
        measured: is_measured.then_some(schema),
    })
}

fn invalid(description: impl Into<String>) -> Fault {
    Fault::field(Reason::SchemaInvalid, "input_schema_json", description)
}

/// What is wrong, one error a line. Values are not repeated: they may be large, or a secret.
fn describe<'a>(errors: impl Iterator<Item = ValidationError<'a>>) -> String {
    let mut message = String::from("the arguments do not fit the tool's schema:");
    let mut errors = errors;
    for error in errors.by_ref().take(MAX_ERRORS) {
        message.push_str("\n- ");
        describe_one(&mut message, &error);
    }
    if errors.next().is_some() {
        message.push_str("\n- and more");
    }
    cut(&mut message, MAX_MESSAGE_BYTES);
    message
}

fn describe_one(message: &mut String, error: &ValidationError<'_>) {
    let path = error.instance_path().as_str();
    let mut line = String::new();
    if !path.is_empty() {
        line.push_str(path);
        line.push_str(": ");
    }
    // Writing to a string does not fail.
    let _never = write!(line, "{}", error.masked());
    cut(&mut line, MAX_LINE_BYTES);
    message.push_str(&line);
}

/// Shortens at a character's border.
fn cut(text: &mut String, max_bytes: usize) {
    if text.len() <= max_bytes {
        return;
    }
    let dots = "…";
    text.truncate(text.floor_char_boundary(max_bytes - dots.len()));
    text.push_str(dots);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: &str = r##"{"type": "object", "properties": {
        "city": {"type": "string", "minLength": 1},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "class": {"enum": ["economy", "business"]},
        "stops": {"type": "array", "items": {"$ref": "#/$defs/stop"}}
      }, "required": ["city", "days"], "additionalProperties": false,
      "$defs": {"stop": {"type": "object", "required": ["name"]}}}"##;

    #[track_caller]
    fn check(arguments: &str, expected: Option<&[&str]>) {
        let schema = JsonText::parse(TRIP).unwrap();
        let arguments = JsonText::parse_object(arguments).unwrap();
        let outcome = Schemas::new().check(&schema, &arguments);
        match (outcome, expected) {
            (Ok(()), None) => {}
            (Err(fault), Some(words)) => {
                assert_eq!(fault.reason, Reason::ArgumentsInvalid);
                for word in words {
                    assert!(fault.message.contains(word), "{word} in {}", fault.message);
                }
            }
            (outcome, expected) => panic!("{outcome:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn arguments_fit_or_the_model_learns_where_and_why_not() {
        check(r#"{"city": "Rome", "days": 3}"#, None);
        check(
            r#"{"city": "Rome", "days": 3, "stops": [{"name": "Siena"}]}"#,
            None,
        );
        check(r#"{"city": "Rome"}"#, Some(&["\"days\"", "required"]));
        check(
            r#"{"city": "Rome", "days": "three"}"#,
            Some(&["/days", "integer"]),
        );
        check(
            r#"{"city": "Rome", "days": 3.5}"#,
            Some(&["/days", "integer"]),
        );
        check(r#"{"city": "Rome", "days": 90}"#, Some(&["/days", "14"]));
        check(
            r#"{"city": "Rome", "days": 3, "class": "first"}"#,
            Some(&["/class", "economy"]),
        );
        check(
            r#"{"city": "Rome", "days": 3, "stops": [{"name": "Siena"}, {}]}"#,
            Some(&["/stops/1", "name"]),
        );
        check(
            r#"{"city": "Rome", "days": 3, "hotel": 1}"#,
            Some(&["hotel"]),
        );
    }

    #[test]
    fn values_are_not_repeated_and_the_message_stays_short() {
        let schema = JsonText::parse(TRIP).unwrap();
        let big = "s3cret".repeat(10_000);
        let names: Vec<_> = (0..500).map(|i| format!("\"{i}{big}\": 1")).collect();
        let arguments = format!(
            r#"{{"days": "{big}", "class": "{big}", {}}}"#,
            names.join(",")
        );
        let arguments = JsonText::parse_object(&arguments).unwrap();
        let fault = Schemas::new().check(&schema, &arguments).unwrap_err();
        assert!(
            fault.message.len() <= MAX_MESSAGE_BYTES,
            "{}",
            fault.message.len()
        );
        assert!(!fault.message.contains(&"s3cret".repeat(60)));
        assert!(fault.message.contains("/days") || fault.message.contains("/class"));
    }

    #[test]
    fn more_errors_than_are_told_are_said_to_be_there() {
        let schema = r#"{"type": "object", "required": ["a", "b", "c", "d"]}"#;
        let schema = JsonText::parse(schema).unwrap();
        let arguments = JsonText::parse_object("{}").unwrap();
        let fault = Schemas::new().check(&schema, &arguments).unwrap_err();
        assert_eq!(fault.message.lines().count(), 5, "{}", fault.message);
        assert!(fault.message.ends_with("and more"));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for bad in [
            r#"{"type": "objekt"}"#,
            r#"{"properties": []}"#,
            r#"{"pattern": "("}"#,
            r##"{"$ref": "#/$defs/none"}"##,
            r#"{"$ref": "https://example.com/schema.json"}"#,
            r#"{"$ref": "file:///etc/passwd"}"#,
            "7",
        ] {
            let schema = JsonText::parse(bad).unwrap();
            let fault = Schemas::new().compile(&schema).unwrap_err();
            assert_eq!(fault.reason, Reason::SchemaInvalid, "{bad}");
        }
        let large = format!(r#"{{"description": "{}"}}"#, "x".repeat(MAX_SCHEMA_BYTES));
        assert!(
            Schemas::new()
                .compile(&JsonText::parse(&large).unwrap())
                .is_err()
        );
    }

    #[test]
    fn equal_texts_are_compiled_once() {
        let schemas = Schemas::new();
        let first = schemas.compile(&JsonText::parse(TRIP).unwrap()).unwrap();
        let second = schemas.compile(&JsonText::parse(TRIP).unwrap()).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn a_hungry_pattern_is_stopped() {
        let schema = r#"{"properties": {"a": {"pattern": "^(?=(a+)+$)(a+)+$"}}}"#;
        let schema = JsonText::parse(schema).unwrap();
        let text = format!(r#"{{"a": "{}!"}}"#, "a".repeat(40));
        let arguments = JsonText::parse_object(&text).unwrap();
        let fault = Schemas::new().check(&schema, &arguments).unwrap_err();
        assert_eq!(fault.reason, Reason::ArgumentsInvalid);
    }

    #[test]
    fn the_deepest_check_that_is_allowed_has_stack_enough() {
        let definitions: Vec<_> = (0..10)
            .map(|n| {
                format!(
                    r##""d{n}": {{"allOf": [{{"$ref": "#/$defs/d{}"}}]}}"##,
                    n + 1
                )
            })
            .collect();
        let schema = format!(
            r##"{{"$ref": "#/$defs/d0", "$defs": {{{},
                "d10": {{"properties": {{"a": {{"$ref": "#"}}}}}}}}}}"##,
            definitions.join(",")
        );
        let arguments = format!("{}1{}", r#"{"a":"#.repeat(126), "}".repeat(126));
        let schema = JsonText::parse(&schema).unwrap();
        let arguments = JsonText::parse_object(&arguments).unwrap();
        Schemas::new().check(&schema, &arguments).unwrap();
    }

    #[test]
    fn a_check_that_would_take_for_ever_is_not_begun() {
        let child = r##"{"properties": {"a": {"$ref": "#"}}}"##;
        let schema = JsonText::parse(&format!(r#"{{"allOf": [{child}, {child}]}}"#)).unwrap();
        let arguments = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
        let arguments = JsonText::parse_object(&arguments).unwrap();
        let fault = Schemas::new().check(&schema, &arguments).unwrap_err();
        assert_eq!(fault.reason, Reason::ArgumentsInvalid);
    }
}
