//! Output schemas, made to fit what the vendor enforces.
//!
//! Source: Claude documentation, "Structured outputs", "JSON Schema limitations": objects are closed,
//! and keywords that decoding cannot be constrained by are refused. As in the vendor's own libraries
//! they move into the description, where the model reads them. The order of the keys stays: the model
//! answers in it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    domain::{fault::Fault, json::JsonText},
    provider::{
        body::{raw, unwritable},
        merge::Members,
    },
};

/// Formats of strings that are enforced.
const FORMATS: &[&str] = &[
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
];

/// A schema that the vendor takes; the same text when it takes it as it is.
///
/// # Errors
/// Never for valid JSON.
pub(crate) fn fitted(schema: &JsonText) -> Result<Cow<'_, RawValue>, Fault> {
    let raw = raw(schema)?;
    let mut out = String::with_capacity(raw.get().len() + 64);
    write(raw, &mut out).map_err(|_error| unwritable())?;
    if out == raw.get() {
        return Ok(Cow::Borrowed(raw));
    }
    RawValue::from_string(out)
        .map(Cow::Owned)
        .map_err(|_error| unwritable())
}

/// What becomes of a keyword.
enum Fate {
    /// It stays.
    Stays,
    /// It holds a schema.
    Schema,
    /// It holds schemas by name.
    Named,
    /// It holds a list of schemas.
    List,
    /// It is not for the model.
    Goes,
    /// It moves into the description.
    Moves,
}

fn fate(keyword: &str, value: &RawValue) -> Fate {
    let word = |text: &str| text.trim_matches('"').to_owned();
    match keyword {
        "properties" | "$defs" | "definitions" => Fate::Named,
        "items" => Fate::Schema,
        "anyOf" | "allOf" | "oneOf" => Fate::List,
        "type" | "enum" | "const" | "$ref" | "title" | "required" => Fate::Stays,
        "format" if FORMATS.contains(&&*word(value.get())) => Fate::Stays,
        "minItems" if matches!(value.get(), "0" | "1") => Fate::Stays,
        "$schema" | "$id" | "$comment" | "examples" => Fate::Goes,
        _ => Fate::Moves,
    }
}

fn write(schema: &RawValue, out: &mut String) -> Result<(), serde_json::Error> {
    if !schema.get().starts_with('{') {
        out.push_str(schema.get());
        return Ok(());
    }
    let Members(members) = serde_json::from_str(schema.get())?;
    let mut object = Object::begin(out);
    let (mut description, mut moved) = (String::new(), Vec::new());
    for (keyword, value) in &members {
        match (&**keyword, fate(keyword, value)) {
            ("additionalProperties", _) => {}
            ("description", _) => description = serde_json::from_str(value.get())?,
            (_, Fate::Stays) => object.member(keyword)?.push_str(value.get()),
            (_, Fate::Schema) => write(value, object.member(keyword)?)?,
            (_, Fate::Named) => write_named(value, object.member(keyword)?)?,
            // Of a choice that excludes the other arms only the choice can be enforced.
            ("oneOf", Fate::List) => write_list(value, object.member("anyOf")?)?,
            (_, Fate::List) => write_list(value, object.member(keyword)?)?,
            (_, Fate::Goes) => {}
            (_, Fate::Moves) => moved.push(format!("{keyword}: {}", value.get())),
        }
    }
    if !moved.is_empty() {
        if !description.is_empty() {
            description.push_str("\n\n");
        }
        description.push_str(&format!("{{{}}}", moved.join(", ")));
    }
    if !description.is_empty() {
        let text = serde_json::to_string(&description)?;
        object.member("description")?.push_str(&text);
    }
    if is_object(&members) {
        object.member("additionalProperties")?.push_str("false");
    }
    object.end();
    Ok(())
}

fn write_named(named: &RawValue, out: &mut String) -> Result<(), serde_json::Error> {
    let Members(members) = serde_json::from_str(named.get())?;
    let mut object = Object::begin(out);
    for (name, schema) in &members {
        write(schema, object.member(name)?)?;
    }
    object.end();
    Ok(())
}

fn write_list(list: &RawValue, out: &mut String) -> Result<(), serde_json::Error> {
    let arms: Vec<&RawValue> = serde_json::from_str(list.get())?;
    out.push('[');
    for (number, arm) in arms.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write(arm, out)?;
    }
    out.push(']');
    Ok(())
}

fn is_object(members: &[(Cow<'_, str>, &RawValue)]) -> bool {
    let get = |wanted: &str| members.iter().find(|(name, _)| name == wanted);
    match get("type") {
        Some((_, kind)) => kind.get().contains("\"object\""),
        None => get("properties").is_some(),
    }
}

/// Writes an object, member by member.
struct Object<'o> {
    out: &'o mut String,
    first: bool,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    fn member(&mut self, name: &str) -> Result<&mut String, serde_json::Error> {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(',');
        }
        self.out.push_str(&serde_json::to_string(name)?);
        self.out.push(':');
        Ok(self.out)
    }

    fn end(self) {
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &str, expected: &str) {
        let schema = JsonText::parse(schema).unwrap();
        assert_eq!(fitted(&schema).unwrap().get(), expected);
    }

    #[test]
    fn a_schema_that_fits_is_sent_as_it_is() {
        let schema = r##"{"type":"object","properties":{"z":{"type":"string","format":"date"},"a":{"$ref":"#/$defs/x"}},"required":["z"],"$defs":{"x":{"enum":[1,null]}},"additionalProperties":false}"##;
        check(schema, schema);
    }

    #[test]
    fn objects_are_closed_at_every_level() {
        check(
            r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"object","properties":{}}}},"additionalProperties":true}"#,
            r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"object","properties":{},"additionalProperties":false}}},"additionalProperties":false}"#,
        );
    }

    #[test]
    fn what_cannot_be_enforced_is_told() {
        check(
            r#"{"type":"integer","minimum":1,"description":"How many.","maximum":10}"#,
            r#"{"type":"integer","description":"How many.\n\n{minimum: 1, maximum: 10}"}"#,
        );
        check(
            r#"{"$schema":"x","type":"string","format":"regex","pattern":"a\"b"}"#,
            r#"{"type":"string","description":"{format: \"regex\", pattern: \"a\\\"b\"}"}"#,
        );
    }

    #[test]
    fn properties_may_have_the_names_of_keywords() {
        check(
            r#"{"type":"object","properties":{"minimum":{"type":"string"},"description":{"oneOf":[true]}}}"#,
            r#"{"type":"object","properties":{"minimum":{"type":"string"},"description":{"anyOf":[true]}},"additionalProperties":false}"#,
        );
    }
}
