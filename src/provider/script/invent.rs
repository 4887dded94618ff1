//! Values that conform to a schema, made up from the prompt: the same each time.

use serde_json::{Map, Value};

use super::template::place;

/// How deep a value may be nested: a schema may refer to itself.
const MAX_DEPTH: usize = 8;

/// The text of a value for a schema. Knows `type`, `properties`, `required`, `enum`, `const`,
/// `default`, `anyOf`, `oneOf`, `items`, `minItems`, `minimum`, `minLength` and `$ref` within the
/// schema; a schema of other kinds may get a value that does not conform.
pub(super) fn invent(schema: &str, prompt: &str) -> String {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    value(&schema, &schema, prompt, 0).to_string()
}

fn value(schema: &Value, root: &Value, prompt: &str, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|path| root.pointer(path));
        return target.map_or(Value::Null, |schema| value(schema, root, prompt, depth + 1));
    }
    for fixed in ["const", "default"] {
        if let Some(fixed) = schema.get(fixed) {
            return fixed.clone();
        }
    }
    for arms in ["enum", "anyOf", "oneOf"] {
        if let Some(first) = schema.get(arms).and_then(|arms| arms.get(0)) {
            return match arms {
                "enum" => first.clone(),
                _ => value(first, root, prompt, depth + 1),
            };
        }
    }
    let kind = schema.get("type");
    let kind = kind.and_then(|kind| kind.get(0)).or(kind);
    let kind = kind.and_then(Value::as_str);
    let number = |key: &str| schema.get(key).and_then(Value::as_i64);
    match kind {
        Some("string") => Value::from(string(prompt, number("minLength"))),
        Some("integer" | "number") => Value::from(number("minimum").unwrap_or(1)),
        Some("boolean") => Value::from(true),
        Some("null") => Value::Null,
        Some("array") => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            let count = number("minItems").unwrap_or(0).clamp(0, 16);
            (0..count)
                .map(|_| value(items, root, prompt, depth + 1))
                .collect()
        }
        Some(_) | None => object(schema, root, prompt, depth),
    }
}

/// An object of the required properties, in the order of the schema.
fn object(schema: &Value, root: &Value, prompt: &str, depth: usize) -> Value {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .filter(|(name, _)| is_required(name))
        .map(|(name, schema)| (name.clone(), value(schema, root, prompt, depth + 1)))
        .collect::<Map<_, _>>()
        .into()
}

fn string(prompt: &str, least: Option<i64>) -> String {
    let mut text = place(prompt);
    let least = usize::try_from(least.unwrap_or(0).clamp(0, 1024)).unwrap_or(0);
    let missing = least.saturating_sub(text.chars().count());
    text.extend(std::iter::repeat_n('x', missing));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &str, expected: &str) {
        assert_eq!(invent(schema, "in Berlin"), expected);
    }

    #[test]
    fn required_properties_are_filled_by_type() {
        check(
            r#"{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":3},"no":{}},"required":["city","days"]}"#,
            r#"{"city":"Berlin","days":3}"#,
        );
    }

    #[test]
    fn enums_unions_references_and_lists_are_followed() {
        check(
            r##"{"properties":{"a":{"enum":["x","y"]},"b":{"anyOf":[{"type":"boolean"}]},"c":{"$ref":"#/$defs/c"}},"required":["a","b","c"],"$defs":{"c":{"type":"array","items":{"type":"string"},"minItems":1}}}"##,
            r#"{"a":"x","b":true,"c":["Berlin"]}"#,
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        check(
            r##"{"properties":{"a":{"$ref":"#"}},"required":["a"]}"##,
            r#"{"a":{"a":{"a":{"a":{"a":null}}}}}"#,
        );
        check("{}", "{}");
    }
}
