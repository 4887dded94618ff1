//! The layers of a configuration, merged into one tree whose leaves know where they come from.

use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{Origin, Problem};

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Option<Origin>,
    pub(super) value: Value,
}

/// A value. Those of variables and flags are [`Value::Text`]: only the key that they are for knows
/// their type.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Table(Table),
    Array(Vec<Node>),
    String(String),
    Integer(i128),
    Float(f64),
    Bool(bool),
    Date(String),
    Text(String),
}

pub(super) type Table = BTreeMap<String, Node>;

impl Value {
    /// What to call it in an error.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::Array(_) => "an array",
            Self::String(_) | Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Date(_) => "a date",
        }
    }
}

/// Parses a file. All of its syntax errors are reported; without any, the tree is whole.
pub(super) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Table {
    let file = File {
        path: Arc::from(path),
        text,
    };
    let (document, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    for error in errors {
        problems.push(Problem {
            origin: Some(file.origin(error.span().unwrap_or(0..0))),
            key: String::new(),
            message: error.message().to_owned(),
        });
    }
    file.table(document.into_inner())
}

/// Puts a value at a path of keys, over whatever stands there.
pub(super) fn put(table: &mut Table, path: &[&str], node: Node) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        table.insert((*first).to_owned(), node);
        return;
    }
    let below = table.entry((*first).to_owned()).or_insert_with(|| Node {
        origin: node.origin.clone(),
        value: Value::Table(Table::new()),
    });
    if !matches!(below.value, Value::Table(_)) {
        below.value = Value::Table(Table::new());
    }
    if let Value::Table(below) = &mut below.value {
        put(below, rest, node);
    }
}

struct File<'a> {
    path: Arc<Path>,
    text: &'a str,
}

impl File<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        Origin::File {
            path: Arc::clone(&self.path),
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
        }
    }

    fn table(&self, table: DeTable<'_>) -> Table {
        table
            .into_iter()
            .map(|(key, value)| {
                // The key's line, not the value's: of a table that is the line of its header.
                let origin = self.origin(key.span());
                (key.into_inner().into_owned(), self.node(origin, value))
            })
            .collect()
    }

    fn node(&self, origin: Origin, value: Spanned<DeValue<'_>>) -> Node {
        let value = match value.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(Value::Float(f64::INFINITY), Value::Integer),
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => Value::Bool(truth),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| self.node(self.origin(item.span()), item))
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node {
            origin: Some(origin),
            value,
        }
    }
}
