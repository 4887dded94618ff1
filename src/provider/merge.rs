//! Merges JSON objects without parsing what is not touched: numbers, order and spelling stay.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of an object in their order.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &RawValue)> = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    match members.iter_mut().find(|(known, _)| *known == name) {
                        Some(known) => known.1 = value,
                        None => members.push((name, value)),
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// Merges `patch` into `base`, both JSON objects: a member that is an object on both sides is merged,
/// `null` removes, anything else replaces. New members come last. (RFC 7396, but for the order and the
/// spelling, which stay.)
///
/// # Errors
/// When one of them is not an object.
pub(crate) fn merge(base: &str, patch: &str) -> Result<String, serde_json::Error> {
    let mut out = String::with_capacity(base.len() + patch.len());
    write_merged(base, patch, &mut out)?;
    Ok(out)
}

fn write_merged(base: &str, patch: &str, out: &mut String) -> Result<(), serde_json::Error> {
    let Members(base) = serde_json::from_str(base)?;
    let Members(patch) = serde_json::from_str(patch)?;
    out.push('{');
    let start = out.len();
    for (name, value) in &base {
        match patch.iter().find(|(other, _)| other == name) {
            None => write_member(name, value.get(), start, out)?,
            Some((_, change)) => write_change(name, Some(value), change, start, out)?,
        }
    }
    for (name, change) in &patch {
        if !base.iter().any(|(other, _)| other == name) {
            write_change(name, None, change, start, out)?;
        }
    }
    out.push('}');
    Ok(())
}

fn write_change(
    name: &str,
    value: Option<&RawValue>,
    change: &RawValue,
    start: usize,
    out: &mut String,
) -> Result<(), serde_json::Error> {
    let is_object = |raw: &RawValue| raw.get().starts_with('{');
    if change.get() == "null" {
        return Ok(());
    }
    if !is_object(change) {
        return write_member(name, change.get(), start, out);
    }
    write_member(name, "", start, out)?;
    let base = value.filter(|value| is_object(value));
    write_merged(base.map_or("{}", |value| value.get()), change.get(), out)
}

fn write_member(
    name: &str,
    value: &str,
    start: usize,
    out: &mut String,
) -> Result<(), serde_json::Error> {
    if out.len() > start {
        out.push(',');
    }
    out.push_str(&serde_json::to_string(name)?);
    out.push(':');
    out.push_str(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, patch: &str, expected: &str) {
        assert_eq!(merge(base, patch).unwrap(), expected);
    }

    #[test]
    fn what_is_not_touched_keeps_its_spelling_and_place() {
        check(
            r#"{"b": 9007199254740993, "a":{"x" : 1.0}}"#,
            r#"{"c":[1, 2]}"#,
            r#"{"b":9007199254740993,"a":{"x" : 1.0},"c":[1, 2]}"#,
        );
    }

    #[test]
    fn the_patch_replaces_in_place_and_null_removes() {
        check(
            r#"{"a":1,"b":2,"c":3}"#,
            r#"{"c":null,"a":"x","d":null}"#,
            r#"{"a":"x","b":2}"#,
        );
    }

    #[test]
    fn objects_are_merged_all_the_way_down() {
        check(
            r#"{"a":{"b":{"c":1,"d":2}}}"#,
            r#"{"a":{"b":{"c":9},"e":{"f":null,"g":1}}}"#,
            r#"{"a":{"b":{"c":9,"d":2},"e":{"g":1}}}"#,
        );
        check(r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#, r#"{"a":{"b":1}}"#);
    }

    #[test]
    fn keys_are_compared_by_what_they_mean() {
        check(
            r#"{"a\u0062":1}"#,
            r#"{"ab":2,"\"":3}"#,
            r#"{"ab":2,"\"":3}"#,
        );
    }

    #[test]
    fn only_objects_merge() {
        assert!(merge("[]", "{}").is_err());
        assert!(merge("{}", "1").is_err());
    }
}
