//! Prints a configuration as the TOML that would give it.

use super::{
    Config,
    section::{Setting as _, Shown},
};

impl Config {
    /// The whole configuration as TOML, defaults included. Keys that are unset stand as comments;
    /// secrets are not in it.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        section(&mut text, "", self.show());
        text
    }
}

/// One entry of an array of tables.
pub(super) fn table(name: &str, shown: Shown) -> String {
    let mut text = format!("[[{name}]]\n");
    keys(&mut text, shown);
    text
}

fn section(text: &mut String, path: &str, shown: Shown) {
    let Shown::Table(fields) = shown else {
        return;
    };
    let (tables, plain): (Vec<_>, Vec<_>) = fields
        .into_iter()
        .partition(|(_, shown)| matches!(shown, Shown::Table(_)));
    if !plain.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{path}]\n"));
        keys(text, Shown::Table(plain));
    }
    for (key, shown) in tables {
        let path = if path.is_empty() {
            key
        } else {
            format!("{path}.{key}")
        };
        section(text, &path, shown);
    }
}

fn keys(text: &mut String, shown: Shown) {
    let Shown::Table(fields) = shown else {
        return;
    };
    for (key, shown) in fields {
        match shown {
            Shown::Literal(value) => text.push_str(&format!("{key} = {value}\n")),
            Shown::Unset => text.push_str(&format!("# {key} =\n")),
            Shown::Table(_) => {}
        }
    }
}
