//! Which schemas are refused for their cost, and which values.

use serde_json::json;

use super::*;

fn bound(schema: &Value) -> Result<bool, String> {
    Document::read(schema)?.bound()
}

/// `d0` refers to `d1` as often as `times`, and so on, `length` times.
fn chain(length: usize, times: usize) -> Value {
    let definition = |n: usize| {
        let reference = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        (format!("d{n}"), json!({"allOf": vec![reference; times]}))
    };
    let mut definitions: Map<_, _> = (0..length).map(definition).collect();
    definitions.insert(format!("d{length}"), json!({"type": "object"}));
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

#[test]
fn a_schema_as_people_write_it_is_within_the_bounds() {
    let place = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let schema = json!({"type": "object", "properties": {
        "from": {"anyOf": [{"$ref": "#/$defs/a%20place"}, {"type": "null"}]},
        "stops": {"type": "array", "items": {"$ref": "#stop"}},
    }, "$defs": {"a place": place, "stop": {"$anchor": "stop", "$ref": "#/$defs/a place"}}});
    assert_eq!(bound(&schema), Ok(false));
}

#[test]
fn what_multiplies_at_one_value_is_refused() {
    assert_eq!(bound(&chain(5, 3)), Ok(false));
    assert!(bound(&chain(11, 2)).unwrap_err().contains("2000"));
    assert!(bound(&chain(60, 2)).is_err());
}

#[test]
fn a_long_way_at_one_value_is_refused_however_long_it_is() {
    assert!(bound(&chain(20, 1)).unwrap_err().contains("deep"));
    assert!(bound(&chain(50_000, 1)).unwrap_err().contains("deep"));
}

#[test]
fn a_schema_that_applies_itself_to_the_same_value_is_refused() {
    let circle = json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {"$ref": "#"}}}});
    for schema in [json!({"$ref": "#"}), circle] {
        assert!(bound(&schema).unwrap_err().contains("itself"), "{schema}");
    }
}

#[test]
fn a_reference_that_hides_where_it_leads_is_refused() {
    for schema in [
        json!({"$ref": "other.json"}),
        json!({"$ref": "#/$defs/none"}),
        json!({"$defs": {"a": {"$id": "https://example.com/a", "$ref": "#"}}}),
        json!({"$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x", "not": {}}}}),
    ] {
        assert!(bound(&schema).is_err(), "{schema}");
    }
    let own = json!({"$id": "https://example.com/s", "properties": {
        "a": {"$ref": "https://example.com/s#/properties/b"}, "b": {}}});
    assert_eq!(bound(&own), Ok(false));
}

#[test]
fn a_schema_that_multiplies_with_the_depth_of_the_value_is_measured_with_it() {
    let child = json!({"properties": {"a": {"$ref": "#"}}});
    let twice = json!({"allOf": [child, child]});
    let once = json!({"allOf": [child], "properties": {"b": {"items": {"$ref": "#"}}}});
    let nest = |depth: usize| (0..depth).fold(json!({}), |inner, _| json!({"a": inner}));
    let affords = |schema: &Value, value: &Value| {
        assert_eq!(bound(schema), Ok(true));
        Document::read(schema).unwrap().affords(value)
    };
    assert!(affords(&twice, &nest(4)));
    assert!(!affords(&twice, &nest(100)));
    assert!(affords(&once, &nest(100)));
    let wide: Value = (0..20_000).map(|n| json!({"a": {"b": [n]}})).collect();
    assert!(affords(&once, &json!({"b": wide})));
}
