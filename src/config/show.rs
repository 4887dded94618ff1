//! Prints a configuration as the TOML that would give it.

use super::{
    Config,
    section::{Field, Setting as _, Shown},
};

impl Config {
    /// The whole configuration as TOML, defaults included. Keys that are unset stand as comments;
    /// secrets are not in it.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        section(&mut text, "", &[], self.show());
        text
    }

    /// Every key with its documentation and its default, as TOML.
    pub fn reference() -> String {
        let mut text = String::new();
        section(&mut text, "", &[], Self::default().reference());
        text
    }
}

/// One entry of an array of tables.
pub(super) fn table(name: &str, shown: Shown) -> String {
    let mut text = format!("[[{name}]]\n");
    if let Shown::Table(fields) = shown {
        keys(&mut text, fields);
    }
    text
}

fn section(text: &mut String, path: &str, doc: &[&str], shown: Shown) {
    let Shown::Table(fields) = shown else {
        return;
    };
    let (tables, plain): (Vec<_>, Vec<_>) = fields
        .into_iter()
        .partition(|field| matches!(field.shown, Shown::Table(_)));
    // A section that only holds sections needs no header, unless there is something to say about it.
    if !path.is_empty() && (!plain.is_empty() || !doc.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        comment(text, doc);
        text.push_str(&format!("[{path}]\n"));
        keys(text, plain);
    }
    for Field { key, doc, shown } in tables {
        let path = if path.is_empty() {
            key
        } else {
            format!("{path}.{key}")
        };
        section(text, &path, doc, shown);
    }
}

fn keys(text: &mut String, fields: Vec<Field>) {
    for Field { key, doc, shown } in fields {
        comment(text, doc);
        match shown {
            Shown::Literal(value) => text.push_str(&format!("{key} = {value}\n")),
            Shown::Unset => text.push_str(&format!("# {key} =\n")),
            Shown::Table(_) => {}
        }
    }
}

fn comment(text: &mut String, doc: &[&str]) {
    for line in doc {
        text.push_str(&format!("#{line}\n"));
    }
}
