//! Tool names on wires that allow fewer characters than [`ToolName`](crate::domain::tool::ToolName).

use std::{borrow::Cow, sync::Arc};

use crate::domain::tool::ToolSpec;

/// Names without dots, for wires that take `a-z A-Z 0-9 _ -` only, and back.
///
/// A dot becomes an underscore; where that makes two tools equal, the later one is numbered. The same
/// tools always get the same names.
#[derive(Debug)]
pub(crate) struct PlainNames<'a> {
    /// Own name and wire name, of those tools for which the two differ.
    changed: Vec<(&'a str, String)>,
}

impl<'a> PlainNames<'a> {
    /// The names of the tools that a turn offers.
    pub(crate) fn new(tools: &'a [Arc<ToolSpec>]) -> Self {
        let mut changed: Vec<(&str, String)> = Vec::new();
        for tool in tools {
            let own = tool.name.as_str();
            if !own.contains('.') {
                continue;
            }
            let taken = |name: &str| {
                tools.iter().any(|tool| tool.name.as_str() == name)
                    || changed.iter().any(|(_, other)| other == name)
            };
            let plain = own.replace('.', "_");
            let free = (2..).map(|number| numbered(&plain, number));
            let name = std::iter::once(plain.clone())
                .chain(free)
                .find(|name| !taken(name));
            changed.push((own, name.unwrap_or(plain)));
        }
        Self { changed }
    }

    /// The name on the wire. A tool that is not offered any more loses its dots all the same, and what a
    /// model has made up is made to fit: one bad name, and vendors refuse the whole conversation.
    pub(crate) fn to_wire<'n>(&self, own: &'n str) -> Cow<'n, str> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if own.chars().all(fits) && (1..=64).contains(&own.len()) {
            return Cow::Borrowed(own);
        }
        if let Some((_, wire)) = self.changed.iter().find(|(name, _)| *name == own) {
            return Cow::Owned(wire.clone());
        }
        let fitted: String = own.chars().take(64).collect();
        let fitted = fitted.replace(|c: char| !fits(c), "_");
        Cow::Owned(if fitted.is_empty() {
            "_".to_owned()
        } else {
            fitted
        })
    }

    /// The tool's own name, or what the model wrote when it is the name of no tool.
    pub(crate) fn to_own<'n>(&'n self, wire: &'n str) -> &'n str {
        let known = self.changed.iter().find(|(_, name)| name == wire);
        known.map_or(wire, |(own, _)| own)
    }
}

/// `name_2`, cut so that it stays a name of at most 64 characters.
fn numbered(plain: &str, number: u32) -> String {
    let tail = format!("_{number}");
    let head: String = plain.chars().take(64 - tail.len()).collect();
    head + &tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::sample;

    fn tools(names: &[&str]) -> Vec<Arc<ToolSpec>> {
        let tool = |name: &&str| sample::tool(name, "{}");
        names.iter().map(tool).map(Arc::new).collect()
    }

    #[track_caller]
    fn check(names: &[&str], wire: &[&str]) {
        let tools = tools(names);
        let plain = PlainNames::new(&tools);
        for (own, wire) in names.iter().zip(wire) {
            assert_eq!(plain.to_wire(own), *wire);
            assert_eq!(plain.to_own(wire), *own);
        }
    }

    #[test]
    fn dots_become_underscores_and_come_back() {
        check(&["files.read", "plain"], &["files_read", "plain"]);
    }

    #[test]
    fn names_that_would_clash_are_numbered() {
        check(&["a.b", "a_b", "a_b_2"], &["a_b_3", "a_b", "a_b_2"]);
        let long = format!("x.{}", "y".repeat(62));
        let plain = long.replace('.', "_");
        check(&[&long, &plain], &[&numbered(&plain, 2), &plain]);
    }

    #[test]
    fn a_tool_that_is_gone_loses_its_dots() {
        assert_eq!(PlainNames::new(&[]).to_wire("a.b"), "a_b");
        assert_eq!(PlainNames::new(&[]).to_own("a_b"), "a_b");
    }

    #[test]
    fn a_name_that_a_model_has_made_up_is_made_to_fit() {
        let names = PlainNames::new(&[]);
        assert_eq!(names.to_wire("read the file!"), "read_the_file_");
        assert_eq!(names.to_wire("größe"), "gr__e");
        assert_eq!(names.to_wire(""), "_");
        assert_eq!(names.to_wire(&"x".repeat(65)), "x".repeat(64));
    }
}
