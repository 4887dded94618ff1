//! The kinds of values: how each is written and what is said when it is not.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    section::{Field, Reading, Setting, Shown, table_of},
    tree::{Node, Value},
    unit::{Size, parse_duration, parse_size, show_duration, show_size},
};

/// Implements [`Setting`] for a value that is written as a string and parsed by `$parse`.
macro_rules! written_as_text {
    ($type:ty, $what:literal, $parse:expr, $show:expr) => {
        impl Setting for $type {
            fn read(node: Node, reading: &mut Reading) -> Option<Self> {
                let text = text_of(node, reading, $what)?;
                let parsed: Option<Self> = ($parse)(&text.value);
                if parsed.is_none() {
                    reading.report(
                        text.origin,
                        format!("{} is not {}", quote(&text.value), $what),
                    );
                }
                parsed
            }

            fn show(&self) -> Shown {
                let show: fn(&Self) -> String = $show;
                Shown::Literal(literal(&show(self)))
            }
        }
    };
}

written_as_text!(
    String,
    "a string",
    |text: &str| Some(text.to_owned()),
    Self::clone
);
written_as_text!(
    PathBuf,
    "a path",
    |text: &str| (!text.is_empty()).then(|| PathBuf::from(text)),
    |path| path.display().to_string()
);
written_as_text!(
    SocketAddr,
    "an address such as \"127.0.0.1:50051\" or \"[::]:50051\"",
    |text: &str| text.parse().ok(),
    ToString::to_string
);
written_as_text!(
    Duration,
    "a duration such as \"250ms\", \"30s\", \"5m\" or \"2h\"",
    parse_duration,
    |duration| show_duration(*duration)
);
written_as_text!(
    Size,
    "a size such as \"512B\", \"256KiB\" or \"4MiB\"",
    parse_size,
    |size| show_size(*size)
);

/// Implements [`Setting`] for an enum: its names, in lower case.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Its name in the configuration.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        written_as_text!($name, $what, |text: &str| Self::parse(text), |choice| {
            choice.name().to_owned()
        });
    };
}

choice! {
    /// How callers are known.
    AuthMode, "one of \"none\", \"tokens\", \"mtls\"" {
        /// Not at all: everybody is the one principal of the tenant `default`.
        None = "none",
        /// By bearer tokens, whose hashes stand in a file.
        Tokens = "tokens",
        /// By client certificates.
        Mtls = "mtls",
    }
}

choice! {
    /// Where runs are kept.
    StoreKind, "one of \"memory\", \"sqlite\"" {
        /// In memory: gone when the server ends.
        Memory = "memory",
        /// On the disk: goes on when the server begins anew.
        Sqlite = "sqlite",
    }
}

choice! {
    /// What is done with a tool call.
    PolicyAction, "one of \"allow\", \"deny\", \"require_approval\"" {
        /// It runs.
        Allow = "allow",
        /// It does not run.
        Deny = "deny",
        /// It waits for an approval.
        RequireApproval = "require_approval",
    }
}

choice! {
    /// How the log looks.
    LogFormat, "one of \"text\", \"json\"" {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

impl Setting for bool {
    fn read(node: Node, reading: &mut Reading) -> Option<Self> {
        let truth = match &node.value {
            Value::Bool(truth) => Some(*truth),
            Value::Text(text) => text.parse().ok(),
            Value::Table(_)
            | Value::Array(_)
            | Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Date(_) => None,
        };
        if truth.is_none() {
            reading.report(node.origin, "is true or false");
        }
        truth
    }

    fn show(&self) -> Shown {
        Shown::Literal(self.to_string())
    }
}

/// Implements [`Setting`] for an unsigned integer.
macro_rules! number {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            fn read(node: Node, reading: &mut Reading) -> Option<Self> {
                let number = match &node.value {
                    Value::Integer(number) => Self::try_from(*number).ok(),
                    Value::Text(text) => text.parse().ok(),
                    Value::Table(_)
                    | Value::Array(_)
                    | Value::String(_)
                    | Value::Float(_)
                    | Value::Bool(_)
                    | Value::Date(_) => None,
                };
                if number.is_none() {
                    let message = format!("is a whole number from 0 to {}", Self::MAX);
                    reading.report(node.origin, message);
                }
                number
            }

            fn show(&self) -> Shown {
                Shown::Literal(self.to_string())
            }
        }
    )+};
}
number!(u32, u64, usize);

impl<T: Setting> Setting for Option<T> {
    fn read(node: Node, reading: &mut Reading) -> Option<Self> {
        T::read(node, reading).map(Some)
    }

    fn show(&self) -> Shown {
        self.as_ref().map_or(Shown::Unset, T::show)
    }
}

impl Setting for Vec<String> {
    fn read(node: Node, reading: &mut Reading) -> Option<Self> {
        match node.value {
            Value::Array(items) => items
                .into_iter()
                .map(|item| String::read(item, reading))
                .collect(),
            // In a variable: separated by commas.
            Value::Text(text) => Some(
                text.split(',')
                    .map(|item| item.trim().to_owned())
                    .filter(|item| !item.is_empty())
                    .collect(),
            ),
            other @ (Value::Table(_)
            | Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Bool(_)
            | Value::Date(_)) => {
                reading.report(
                    node.origin,
                    format!("is an array of strings, not {}", other.kind()),
                );
                None
            }
        }
    }

    fn show(&self) -> Shown {
        let items: Vec<String> = self.iter().map(|item| literal(item)).collect();
        Shown::Literal(format!("[{}]", items.join(", ")))
    }
}

impl<T: Setting> Setting for BTreeMap<String, T> {
    fn read(node: Node, reading: &mut Reading) -> Option<Self> {
        let table = table_of(node, reading)?;
        Some(
            table
                .into_iter()
                .filter_map(|(key, node)| reading.below(&key, node).map(|value| (key, value)))
                .collect(),
        )
    }

    fn show(&self) -> Shown {
        Shown::Table(
            self.iter()
                .map(|(key, value)| field(key, value.show()))
                .collect(),
        )
    }

    fn reference(&self) -> Shown {
        Shown::Table(
            T::sample()
                .map(|sample| field("NAME", sample))
                .into_iter()
                .collect(),
        )
    }
}

fn field(key: &str, shown: Shown) -> Field {
    Field {
        key: bare_key(key),
        doc: &[],
        shown,
    }
}

/// Any JSON value, written as TOML: what is passed through to others.
impl Setting for serde_json::Value {
    fn read(node: Node, reading: &mut Reading) -> Option<Self> {
        let value = match node.value {
            Value::Table(table) => Self::Object(
                table
                    .into_iter()
                    .filter_map(|(key, node)| reading.below(&key, node).map(|value| (key, value)))
                    .collect(),
            ),
            Value::Array(items) => Self::Array(
                items
                    .into_iter()
                    .filter_map(|item| Self::read(item, reading))
                    .collect(),
            ),
            Value::String(text) | Value::Date(text) => Self::String(text),
            Value::Integer(number) => i64::try_from(number).map_or(Self::Null, Self::from),
            Value::Float(number) => Self::from(number),
            Value::Bool(truth) => Self::Bool(truth),
            // In a variable: JSON where it is JSON, else a string.
            Value::Text(text) => {
                serde_json::from_str(&text).unwrap_or_else(|_| Self::String(text.clone()))
            }
        };
        if value.is_null() {
            reading.report(node.origin, "is a number that JSON cannot hold");
            return None;
        }
        Some(value)
    }

    fn show(&self) -> Shown {
        match self {
            Self::Object(fields) => Shown::Table(
                fields
                    .iter()
                    .map(|(key, value)| field(key, value.show()))
                    .collect(),
            ),
            Self::String(text) => Shown::Literal(literal(text)),
            Self::Array(_) | Self::Bool(_) | Self::Number(_) | Self::Null => {
                Shown::Literal(self.to_string())
            }
        }
    }
}

/// A text and where it comes from.
struct Text {
    value: String,
    origin: Option<super::problem::Origin>,
}

fn text_of(node: Node, reading: &mut Reading, what: &str) -> Option<Text> {
    match node.value {
        Value::String(value) | Value::Text(value) => Some(Text {
            value,
            origin: node.origin,
        }),
        other @ (Value::Table(_)
        | Value::Array(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::Date(_)) => {
            reading.report(node.origin, format!("is {what}, not {}", other.kind()));
            None
        }
    }
}

/// A value as it is quoted in an error: short.
fn quote(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(MOST).collect();
    format!("{:?}", format!("{start}…"))
}

/// A string as TOML writes it.
fn literal(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A key as TOML writes it.
fn bare_key(key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.bytes().all(plain) {
        key.to_owned()
    } else {
        literal(key)
    }
}
