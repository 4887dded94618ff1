//! What it costs to check a value against a schema, found out before it is paid.
//!
//! A schema applies others to the same value (`allOf`, `$ref`, …) and to the values in it (`properties`,
//! `items`, …). Both can be written so that a small document asks for billions of steps, or for more
//! stack than there is. So the first kind is bounded when a schema is compiled; a schema whose steps
//! may multiply from level to level of the value is measured again with each value.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Most schemas that one may apply to the same value, itself included.
const MAX_STEPS: u64 = 2_000;

/// Most schemas from one to the last that it applies to the same value. With the depth that a JSON text
/// may have, it bounds the stack.
const MAX_DEPTH: u32 = 24;

/// Most steps of a schema whose every part is counted once for each way to it, for it to need no
/// measuring with each value.
const MAX_PLAIN_STEPS: u64 = 20_000;

/// Most schemas from one to the last that it applies anywhere, for the same.
const MAX_WALK: u32 = 128;

/// Most steps of one check.
const MAX_VISITS: u64 = 2_000_000;

/// Keywords that apply one schema to the same value.
const SAME_ONE: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords that apply each of a list of schemas to the same value.
const SAME_LIST: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords that apply each schema of an object to the same value.
const SAME_MAP: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords that apply another schema of the document to the same value.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords that apply one schema, or the schema of a place, to the values inside.
const INNER: [&str; 9] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
];
const ANCHORS: [&str; 2] = ["$anchor", "$dynamicAnchor"];

/// A schema, and where its references lead.
pub(super) struct Document<'a> {
    root: &'a Value,
    anchors: HashMap<&'a str, &'a Value>,
}

/// What a schema asks for at one value.
#[derive(Clone, Copy)]
struct Cost {
    steps: u64,
    depth: u32,
}

/// Where the count of a schema stands.
enum Count {
    Begun,
    Known(Cost),
}

/// Counts with each schema once known.
struct Counting<'d, 'a> {
    document: &'d Document<'a>,
    /// Whether what applies to the values inside counts as well.
    whole: bool,
    counts: HashMap<*const Value, Count>,
}

impl<'a> Document<'a> {
    /// Reads a document.
    ///
    /// # Errors
    /// Says what is not supported in it.
    pub(super) fn read(root: &'a Value) -> Result<Self, String> {
        let mut document = Self {
            root,
            anchors: HashMap::new(),
        };
        let mut rest = vec![root];
        while let Some(value) = rest.pop() {
            match value {
                Value::Array(values) => rest.extend(values),
                Value::Object(map) => {
                    document.note(value, map)?;
                    rest.extend(map.values());
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        Ok(document)
    }

    fn note(&mut self, value: &'a Value, map: &'a Map<String, Value>) -> Result<(), String> {
        let inner = !std::ptr::eq(value, self.root);
        if inner && map.get("$id").is_some_and(Value::is_string) {
            return Err("only the whole schema may have an $id".to_owned());
        }
        for anchor in ANCHORS
            .iter()
            .filter_map(|keyword| map.get(*keyword)?.as_str())
        {
            if self
                .anchors
                .insert(anchor, value)
                .is_some_and(|other| other != value)
            {
                return Err(format!("two schemas have the anchor {anchor}"));
            }
        }
        Ok(())
    }

    /// Refuses a schema that asks for too much at one value. Says whether checks must be measured with
    /// each value.
    ///
    /// # Errors
    /// Says what is too much, or which reference leads nowhere.
    pub(super) fn bound(&self) -> Result<bool, String> {
        let mut counting = Counting::new(self, false);
        let mut rest = vec![self.root];
        while let Some(value) = rest.pop() {
            match value {
                Value::Array(values) => rest.extend(values),
                Value::Object(map) => {
                    counting.count(value, 0)?;
                    rest.extend(map.values());
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let whole = Counting::new(self, true).count(self.root, 0);
        Ok(whole.is_err())
    }

    /// Whether checking a value takes no more steps than are allowed.
    pub(super) fn affords(&self, value: &Value) -> bool {
        let mut left = MAX_VISITS;
        self.visit(self.root, value, &mut left).is_some()
    }

    /// One step, and all that follow from it; `None` when there are too many.
    fn visit(&self, schema: &'a Value, value: &Value, left: &mut u64) -> Option<()> {
        *left = left.checked_sub(1)?;
        let Value::Object(map) = schema else {
            return Some(());
        };
        for same in self.same(map).ok()? {
            self.visit(same, value, left)?;
        }
        match value {
            Value::Array(values) => values.iter().enumerate().try_for_each(|(place, inner)| {
                at_place(map, place).try_for_each(|schema| self.visit(schema, inner, left))
            }),
            Value::Object(members) => members.iter().try_for_each(|(name, inner)| {
                at_name(map, name).try_for_each(|schema| self.visit(schema, inner, left))
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(()),
        }
    }

    /// The schemas that one applies to the same value.
    fn same(&self, map: &'a Map<String, Value>) -> Result<Vec<&'a Value>, String> {
        let mut same = Vec::new();
        same.extend(SAME_ONE.iter().filter_map(|keyword| map.get(*keyword)));
        for keyword in SAME_LIST {
            same.extend(
                map.get(keyword)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
        for keyword in SAME_MAP {
            let schemas = map.get(keyword).and_then(Value::as_object);
            same.extend(schemas.into_iter().flat_map(Map::values));
        }
        for reference in REFERENCES
            .iter()
            .filter_map(|keyword| map.get(*keyword)?.as_str())
        {
            let target = self.resolve(reference);
            same.push(target.ok_or("a reference leads out of the schema, or nowhere")?);
        }
        Ok(same)
    }

    fn resolve(&self, reference: &str) -> Option<&'a Value> {
        let id = self
            .root
            .get("$id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let id = id.trim_end_matches('#');
        let fragment = match reference.strip_prefix('#') {
            Some(fragment) => fragment,
            None if reference == id => "",
            None => reference.strip_prefix(id)?.strip_prefix('#')?,
        };
        let fragment = decoded(fragment)?;
        if fragment.is_empty() || fragment.starts_with('/') {
            self.root.pointer(&fragment)
        } else {
            self.anchors.get(&*fragment).copied()
        }
    }
}

impl<'d, 'a> Counting<'d, 'a> {
    fn new(document: &'d Document<'a>, whole: bool) -> Self {
        Self {
            document,
            whole,
            counts: HashMap::new(),
        }
    }

    fn count(&mut self, schema: &'a Value, depth: u32) -> Result<Cost, String> {
        let Value::Object(map) = schema else {
            return Ok(Cost { steps: 1, depth: 1 });
        };
        match self.counts.get(&std::ptr::from_ref(schema)) {
            Some(Count::Known(cost)) => return self.within(*cost),
            Some(Count::Begun) => {
                return Err("a schema applies itself to the same value".to_owned());
            }
            None => {}
        }
        if depth >= if self.whole { MAX_WALK } else { MAX_DEPTH } {
            return Err(too_deep());
        }
        self.counts.insert(std::ptr::from_ref(schema), Count::Begun);
        let mut cost = Cost { steps: 1, depth: 1 };
        let mut applied = self.document.same(map)?;
        if self.whole {
            applied.extend(INNER.iter().flat_map(|keyword| inner(map, keyword)));
        }
        for other in applied {
            let other = self.count(other, depth + 1)?;
            cost.steps = cost.steps.saturating_add(other.steps);
            cost.depth = cost.depth.max(other.depth + 1);
        }
        self.counts
            .insert(std::ptr::from_ref(schema), Count::Known(cost));
        self.within(cost)
    }

    fn within(&self, cost: Cost) -> Result<Cost, String> {
        let (steps, depth) = if self.whole {
            (MAX_PLAIN_STEPS, u32::MAX)
        } else {
            (MAX_STEPS, MAX_DEPTH)
        };
        if cost.depth > depth {
            return Err(too_deep());
        }
        if cost.steps > steps {
            return Err(format!(
                "a schema may apply {MAX_STEPS} others to one value, and this has one with more"
            ));
        }
        Ok(cost)
    }
}

fn too_deep() -> String {
    format!("schemas may apply others to one value {MAX_DEPTH} deep, and these go deeper")
}

/// The schemas of a keyword that applies to values inside: one, a list, or those of an object of names.
fn inner<'a>(map: &'a Map<String, Value>, keyword: &str) -> Vec<&'a Value> {
    match (keyword, map.get(keyword)) {
        ("properties" | "patternProperties", Some(Value::Object(named))) => {
            named.values().collect()
        }
        (_, Some(Value::Array(listed))) => listed.iter().collect(),
        (_, schema) => schema.into_iter().collect(),
    }
}

/// The schemas for an element of an array; rather one too many.
fn at_place(map: &Map<String, Value>, place: usize) -> impl Iterator<Item = &Value> {
    let listed = ["items", "prefixItems"]
        .into_iter()
        .filter_map(move |keyword| {
            let schema = map.get(keyword)?;
            schema
                .as_array()
                .map_or(Some(schema), |listed| listed.get(place))
        });
    let others = ["additionalItems", "unevaluatedItems", "contains"];
    listed.chain(others.into_iter().filter_map(|keyword| map.get(keyword)))
}

/// The schemas for a member of an object; rather one too many.
fn at_name<'m>(map: &'m Map<String, Value>, name: &str) -> impl Iterator<Item = &'m Value> {
    let named = map
        .get("properties")
        .and_then(|properties| properties.get(name));
    let patterns = map.get("patternProperties").and_then(Value::as_object);
    let others = ["additionalProperties", "unevaluatedProperties"];
    let others = others.into_iter().filter_map(|keyword| map.get(keyword));
    let others = others.filter(move |_| named.is_none());
    named
        .into_iter()
        .chain(patterns.into_iter().flat_map(Map::values))
        .chain(others)
}

/// A fragment with its `%` escapes undone; `None` when they are none.
fn decoded(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
