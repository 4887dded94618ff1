//! Whether a schema may be enforced strictly.

use serde_json::{Map, Value};

/// Keywords that OpenAI's strict mode knows, as its guide "Structured Outputs" lists them. A schema
/// with any other one is not sent as strict: the request would be refused.
const KNOWN: &[&str] = &[
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "definitions",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

/// Whether strict mode takes a schema: its root is an object, every object names all its properties
/// as required and allows no others, and all keywords are known.
pub(crate) fn is_strict(schema: &str) -> bool {
    let Ok(Value::Object(root)) = serde_json::from_str(schema) else {
        return false;
    };
    root.get("type") == Some(&Value::from("object")) && is_strict_schema(&root)
}

fn is_strict_schema(schema: &Map<String, Value>) -> bool {
    schema.iter().all(|(keyword, value)| match &**keyword {
        "properties" | "$defs" | "definitions" => value
            .as_object()
            .is_some_and(|named| named.values().all(is_strict_value)),
        "items" => is_strict_value(value),
        "anyOf" => value
            .as_array()
            .is_some_and(|arms| arms.iter().all(is_strict_value)),
        known => KNOWN.contains(&known),
    }) && is_closed(schema)
}

fn is_strict_value(value: &Value) -> bool {
    value.as_object().is_some_and(is_strict_schema)
}

/// An object schema names all its properties as required, and allows no others.
fn is_closed(schema: &Map<String, Value>) -> bool {
    let is_object = match schema.get("type") {
        Some(Value::String(name)) => name == "object",
        Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
        _ => schema.contains_key("properties"),
    };
    if !is_object {
        return true;
    }
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &String| {
        required.is_some_and(|required| required.iter().any(|other| other == name.as_str()))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    schema.get("additionalProperties") == Some(&Value::Bool(false))
        && properties.is_some_and(|properties| properties.keys().all(is_required))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &str, strict: bool) {
        assert_eq!(is_strict(schema), strict, "{schema}");
    }

    #[test]
    fn a_closed_object_with_all_required_is_strict() {
        check(
            r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#,
            true,
        );
    }

    #[test]
    fn an_open_or_optional_object_is_not() {
        check(r#"{"type":"object","properties":{},"required":[]}"#, false);
        check(
            r#"{"type":"object","properties":{"a":{}},"required":[],"additionalProperties":false}"#,
            false,
        );
        check(r#"{"type":"object","additionalProperties":false}"#, false);
    }

    #[test]
    fn every_level_counts() {
        let nested = |inner: &str| {
            format!(
                r#"{{"type":"object","properties":{{"a":{{"type":"array","items":{inner}}}}},"required":["a"],"additionalProperties":false}}"#
            )
        };
        check(&nested(r#"{"type":["string","null"]}"#), true);
        check(&nested(r#"{"type":"object","properties":{}}"#), false);
        check(&nested(r##"{"anyOf":[{"$ref":"#/$defs/x"}]}"##), true);
        check(&nested(r#"{"anyOf":[{"allOf":[]}]}"#), false);
    }

    #[test]
    fn the_root_is_an_object() {
        check(r#"{"type":"string"}"#, false);
        check("[]", false);
        check(r#"{"anyOf":[]}"#, false);
    }
}
