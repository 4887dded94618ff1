//! How a section is declared and read: one declaration gives its struct, its defaults, its reading and
//! its printing, so that none of them can forget a key.

use std::collections::BTreeMap;

use super::{
    problem::{Origin, Problem},
    tree::{Node, Table, Value},
};

/// Collects problems while a tree is read, and remembers where each key came from.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) problems: Vec<Problem>,
    origins: BTreeMap<String, Origin>,
    path: Vec<String>,
}

impl Reading {
    /// The key that is being read, dotted.
    pub(super) fn key(&self) -> String {
        self.path.join(".")
    }

    /// Reports a problem with the key that is being read.
    pub(super) fn report(&mut self, origin: Option<Origin>, message: impl Into<String>) {
        let key = self.key();
        self.problems.push(Problem {
            origin,
            key,
            message: message.into(),
        });
    }

    /// Reports a problem with a key that was read before; its place is looked up.
    pub(super) fn report_at(&mut self, key: &str, message: impl Into<String>) {
        let mut place = key;
        let origin = loop {
            match (self.origins.get(place), place.rsplit_once('.')) {
                (Some(origin), _) => break Some(origin.clone()),
                (None, Some((parent, _))) => place = parent,
                (None, None) => break None,
            }
        };
        self.problems.push(Problem {
            origin,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Reads what stands under a key.
    pub(super) fn below<T: Setting>(&mut self, key: &str, node: Node) -> Option<T> {
        self.path.push(key.to_owned());
        if let Some(origin) = &node.origin {
            self.origins.insert(self.key(), origin.clone());
        }
        let read = T::read(node, self);
        self.path.pop();
        read
    }

    /// Takes a key out of a table and reads it; the default when it is not there or wrong.
    pub(super) fn take<T: Setting>(&mut self, table: &mut Table, key: &str, default: T) -> T {
        match table.remove(key) {
            Some(node) => self.below(key, node).unwrap_or(default),
            None => default,
        }
    }

    /// Reports what no key has taken.
    pub(super) fn finish(&mut self, left: Table, known: &[&str]) {
        for (key, node) in left {
            self.path.push(key.clone());
            let message = if is_secret(&key) {
                "secrets do not stand in the configuration: name the variable or the file that holds it \
                 (api_key_env, api_key_file, tokens_file)"
                    .to_owned()
            } else {
                format!("unknown key; known here: {}", known.join(", "))
            };
            self.report(node.origin, message);
            self.path.pop();
        }
    }
}

/// Keys under which somebody might write a secret.
fn is_secret(key: &str) -> bool {
    [
        "api_key",
        "apikey",
        "key_value",
        "token",
        "tokens",
        "password",
        "secret",
    ]
    .contains(&key)
}

/// A value that can stand in a configuration.
pub(super) trait Setting: Sized {
    /// Reads it; reports what is wrong.
    fn read(node: Node, reading: &mut Reading) -> Option<Self>;

    /// How it looks in a file.
    fn show(&self) -> Shown;

    /// How it looks in the reference, where a map shows a sample of what may stand in it.
    fn reference(&self) -> Shown {
        self.show()
    }

    /// What stands in a map of these, for the reference; `None` for single values.
    fn sample() -> Option<Shown> {
        None
    }
}

/// How a value looks in a file.
#[derive(Debug)]
pub(super) enum Shown {
    /// Not set.
    Unset,
    /// After the equals sign.
    Literal(String),
    /// A section.
    Table(Vec<Field>),
}

/// A key of a section, as it looks in a file.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: String,
    /// The lines of its documentation.
    pub(super) doc: &'static [&'static str],
    pub(super) shown: Shown,
}

/// Takes the table out of a node.
pub(super) fn table_of(node: Node, reading: &mut Reading) -> Option<Table> {
    match node.value {
        Value::Table(table) => Some(table),
        other @ (Value::Array(_)
        | Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::Date(_)
        | Value::Text(_)) => {
            reading.report(node.origin, format!("is a table, not {}", other.kind()));
            None
        }
    }
}

/// Declares a section: its keys with documentation, type and default. What stands under `resolved` is
/// no key: it is filled after reading.
macro_rules! section {
    (
        $(#[$doc:meta])*
        $vis:vis $name:ident {
            $($(#[doc = $key_doc:literal])* $key:ident: $type:ty = $default:expr,)+
        }
        $(resolved { $($(#[$extra_doc:meta])* $extra:ident: $extra_type:ty,)+ })?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[doc = $key_doc])* $vis $key: $type,)+
            $($($(#[$extra_doc])* $vis $extra: $extra_type,)+)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($key: $default,)+
                    $($($extra: <$extra_type>::default(),)+)?
                }
            }
        }

        impl $crate::config::section::Setting for $name {
            fn read(
                node: $crate::config::tree::Node,
                reading: &mut $crate::config::section::Reading,
            ) -> Option<Self> {
                let mut table = $crate::config::section::table_of(node, reading)?;
                let default = Self::default();
                let section = Self {
                    $($key: reading.take(&mut table, stringify!($key), default.$key),)+
                    $($($extra: default.$extra,)+)?
                };
                reading.finish(table, &[$(stringify!($key),)+]);
                Some(section)
            }

            fn show(&self) -> $crate::config::section::Shown {
                $crate::config::section::Shown::Table(vec![
                    $($crate::config::section::Field {
                        key: stringify!($key).to_owned(),
                        doc: &[],
                        shown: $crate::config::section::Setting::show(&self.$key),
                    },)+
                ])
            }

            fn reference(&self) -> $crate::config::section::Shown {
                $crate::config::section::Shown::Table(vec![
                    $($crate::config::section::Field {
                        key: stringify!($key).to_owned(),
                        doc: &[$($key_doc,)*],
                        shown: $crate::config::section::Setting::reference(&self.$key),
                    },)+
                ])
            }

            fn sample() -> Option<$crate::config::section::Shown> {
                Some($crate::config::section::Setting::reference(&Self::default()))
            }
        }
    };
}
pub(super) use section;
