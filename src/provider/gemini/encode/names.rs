//! Names of functions: `a-z A-Z 0-9 _ -`, a letter or an underscore first, at most 64.

use std::{borrow::Cow, sync::Arc};

use crate::{domain::tool::ToolSpec, provider::names::PlainNames};

/// Names without dots that begin with a letter or an underscore, and back.
pub(in crate::provider::gemini) struct Names<'a> {
    plain: PlainNames<'a>,
    tools: &'a [Arc<ToolSpec>],
}

impl<'a> Names<'a> {
    /// The names of the tools that a turn offers.
    pub(in crate::provider::gemini) fn new(tools: &'a [Arc<ToolSpec>]) -> Self {
        Self {
            plain: PlainNames::new(tools),
            tools,
        }
    }

    /// The name on the wire.
    pub(in crate::provider::gemini) fn to_wire<'n>(&self, own: &'n str) -> Cow<'n, str> {
        let plain = self.plain.to_wire(own);
        if plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return plain;
        }
        // Names are ASCII, and one that a model has made up is cut where it can be.
        let mut name = format!("_{plain}");
        while name.len() > 64 {
            name.pop();
        }
        Cow::Owned(name)
    }

    /// The tool's own name, or what the model wrote when it is the name of no tool.
    pub(in crate::provider::gemini) fn to_own<'n>(&'n self, wire: &'n str) -> &'n str {
        let mut own = self.tools.iter().map(|tool| tool.name.as_str());
        own.find(|name| self.to_wire(name) == wire).unwrap_or(wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::sample;

    #[test]
    fn names_begin_as_they_must_and_come_back() {
        let tool = |name: &str| Arc::new(sample::tool(name, "{}"));
        let tools = [tool("files.read"), tool("2fa"), tool("-x"), tool("plain")];
        let names = Names::new(&tools);
        let wire = ["files_read", "_2fa", "_-x", "plain"];
        for (tool, wire) in tools.iter().zip(wire) {
            assert_eq!(names.to_wire(tool.name.as_str()), wire);
            assert_eq!(names.to_own(wire), tool.name.as_str());
        }
        assert_eq!(names.to_own("invented"), "invented");
        assert_eq!(names.to_wire(&"9".repeat(64)).len(), 64);
    }
}
