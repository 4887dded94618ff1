//! What a server says it has, as tools that models can be shown. Pure.
//!
//! A server's word counts for names, descriptions and schemas. What it says of the effects of its tools
//! counts only when the operator trusts it: otherwise a call runs at most once, and may destroy.

use std::{collections::HashSet, sync::Arc};

use rmcp::model::{Tool, ToolAnnotations};

use crate::domain::{
    fault::Fault,
    json::JsonText,
    principal::matches_glob,
    tool::{Annotations, McpTools, ToolName, ToolSpec},
};

/// Checks that a text is a JSON Schema.
pub type SchemaCheck = Arc<dyn Fn(&JsonText) -> Result<(), Fault> + Send + Sync>;

/// What the operator says of a server's tools.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// Only these, by the server's own names; empty: all.
    pub(super) allowed: Vec<String>,
    /// Whether what the server says of effects counts.
    pub(super) trusted: bool,
    /// Most tools that are taken.
    pub(super) most: usize,
}

/// A tool of a server.
#[derive(Debug)]
struct Entry {
    /// As the server calls it.
    own: Arc<str>,
    /// As models see it, but for the name.
    spec: ToolSpec,
}

/// The tools of a server.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    entries: Vec<Entry>,
}

/// What became of a tool that a model has seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is still there, and the server calls it this.
    Here(Arc<str>),
    /// It is gone, or takes other arguments now.
    Changed,
}

impl Catalog {
    /// Takes what the server has listed. What cannot be shown to a model is left out; its names come back.
    pub(super) fn new(tools: Vec<Tool>, rules: &Rules, check: &SchemaCheck) -> (Self, Vec<String>) {
        let mut seen = HashSet::with_capacity(tools.len());
        let (mut entries, mut left_out) = (Vec::with_capacity(tools.len()), Vec::new());
        for tool in tools {
            let own: Arc<str> = tool.name.as_ref().into();
            let allowed = rules.allowed.is_empty() || rules.allowed.iter().any(|a| **a == *own);
            if !allowed {
                continue;
            }
            let is_new = seen.insert(Arc::clone(&own)) && entries.len() < rules.most;
            match is_new
                .then(|| spec_of(tool, rules.trusted, check))
                .flatten()
            {
                Some(spec) => entries.push(Entry { own, spec }),
                None => left_out.push(own.to_string()),
            }
        }
        (Self { entries }, left_out)
    }

    /// The tools that a run is bound to; `None` when one that it names is not there.
    pub(super) fn offer(&self, wanted: &McpTools) -> Option<Vec<Arc<ToolSpec>>> {
        let is_there = |name: &String| self.entries.iter().any(|entry| *entry.own == **name);
        if !wanted.tools.iter().all(is_there) {
            return None;
        }
        let is_wanted = |entry: &&Entry| {
            wanted.tools.is_empty() || wanted.tools.iter().any(|name| **name == *entry.own)
        };
        let may_use = |entry: &&Entry| {
            ToolName::behind(&wanted.scope, &entry.own)
                .is_some_and(|name| wanted.usable.iter().any(|p| matches_glob(p, name.as_str())))
        };
        let entries = self.entries.iter().filter(is_wanted).filter(may_use);
        Some(
            entries
                .filter_map(|entry| entry.shown(&wanted.prefix))
                .collect(),
        )
    }

    /// All tools, behind a prefix.
    pub(super) fn list(&self, prefix: &str) -> Vec<Arc<ToolSpec>> {
        let entries = self.entries.iter();
        entries.filter_map(|entry| entry.shown(prefix)).collect()
    }

    /// Looks for a tool that a model has seen behind a prefix.
    pub(super) fn find(&self, prefix: &str, seen: &ToolSpec) -> Found {
        let name = Some(&seen.name);
        let mut entries = self.entries.iter();
        entries
            .find(|entry| ToolName::behind(prefix, &entry.own).as_ref() == name)
            .filter(|entry| entry.spec.input_schema == seen.input_schema)
            .map_or(Found::Changed, |entry| Found::Here(Arc::clone(&entry.own)))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Entry {
    fn shown(&self, prefix: &str) -> Option<Arc<ToolSpec>> {
        Some(Arc::new(ToolSpec {
            name: ToolName::behind(prefix, &self.own)?,
            ..self.spec.clone()
        }))
    }
}

/// The definition, under a name that is replaced; `None` when its schema is none.
fn spec_of(tool: Tool, trusted: bool, check: &SchemaCheck) -> Option<ToolSpec> {
    let schema = |object: &serde_json::Map<String, serde_json::Value>| {
        let text = serde_json::to_string(object).ok()?;
        let text = JsonText::parse_object(&text).ok()?;
        check(&text).is_ok().then_some(text)
    };
    let title = tool.title.unwrap_or_default();
    Some(ToolSpec {
        name: ToolName::behind("", &tool.name)?,
        description: tool.description.map_or(title, |text| text.into_owned()),
        input_schema: schema(&tool.input_schema)?,
        output_schema: tool.output_schema.as_deref().and_then(schema),
        version: String::new(),
        annotations: effects(tool.annotations.as_ref().filter(|_| trusted)),
        cache_breakpoint: false,
    })
}

/// What is said of a tool's effects, where that counts. What is not said is as the specification has it:
/// it changes things, may destroy, and does so each time.
fn effects(hints: Option<&ToolAnnotations>) -> Annotations {
    let hint = |hint: fn(&ToolAnnotations) -> Option<bool>| hints.and_then(hint);
    let read_only = hint(|hints| hints.read_only_hint).unwrap_or(false);
    Annotations {
        read_only,
        idempotent: hint(|hints| hints.idempotent_hint).unwrap_or(false),
        destructive: !read_only && hint(|hints| hints.destructive_hint).unwrap_or(true),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::fault::Reason;

    /// Takes whatever does not say that it is broken.
    fn checker() -> SchemaCheck {
        Arc::new(|schema| {
            if schema.as_str().contains("broken") {
                return Err(Fault::new(Reason::SchemaInvalid, "broken"));
            }
            Ok(())
        })
    }

    fn tools(list: &Value) -> Vec<Tool> {
        serde_json::from_value(list.clone()).unwrap()
    }

    fn catalog(list: &Value, rules: &Rules) -> (Catalog, Vec<String>) {
        Catalog::new(tools(list), rules, &checker())
    }

    fn rules() -> Rules {
        Rules {
            allowed: Vec::new(),
            trusted: false,
            most: 8,
        }
    }

    fn wanted(tools: &[&str], prefix: &str) -> McpTools {
        McpTools {
            server: "files".into(),
            tools: tools.iter().map(ToString::to_string).collect(),
            prefix: prefix.to_owned(),
            scope: "files.".to_owned(),
            usable: vec!["*".to_owned()],
        }
    }

    fn names(offered: Option<Vec<Arc<ToolSpec>>>) -> Option<Vec<String>> {
        offered.map(|tools| tools.iter().map(|tool| tool.name.to_string()).collect())
    }

    fn three() -> Value {
        let plain = json!({"type": "object"});
        json!([
            {"name": "read", "description": "Reads.", "inputSchema": plain},
            {"name": "write", "title": "Writes", "inputSchema": plain},
            {"name": "drop all", "inputSchema": plain},
        ])
    }

    #[track_caller]
    fn check(wanted: &McpTools, expected: Option<&[&str]>) {
        let (catalog, _) = catalog(&three(), &rules());
        let expected = expected.map(|names| names.iter().map(ToString::to_string).collect());
        assert_eq!(names(catalog.offer(wanted)), expected);
    }

    #[test]
    fn a_run_sees_the_tools_that_it_names_behind_its_prefix() {
        check(
            &wanted(&[], ""),
            Some(&["read", "write", "drop_all_91adc29f"]),
        );
        check(&wanted(&["write"], "my."), Some(&["my.write"]));
        check(&wanted(&["write", "wirte"], ""), None);
    }

    #[test]
    fn permission_is_given_under_the_operators_prefix_whatever_the_runs_own_is() {
        let mut mine = wanted(&[], "ok.");
        mine.usable = vec!["files.re*".to_owned(), "ok.*".to_owned()];
        check(&mine, Some(&["ok.read"]));
        mine.usable = Vec::new();
        check(&mine, Some(&[]));
    }

    #[test]
    fn the_operators_list_and_the_bound_leave_tools_out() {
        let only = Rules {
            allowed: vec!["write".to_owned()],
            ..rules()
        };
        let (allowed, left_out) = catalog(&three(), &only);
        assert_eq!(names(allowed.offer(&wanted(&[], ""))).unwrap(), ["write"]);
        assert!(left_out.is_empty(), "{left_out:?}");
        let two = Rules { most: 2, ..rules() };
        let (bounded, left_out) = catalog(&three(), &two);
        assert_eq!((bounded.len(), left_out), (2, vec!["drop all".to_owned()]));
    }

    #[test]
    fn what_cannot_be_shown_is_left_out_by_name() {
        let list = json!([
            {"name": "a", "inputSchema": {"type": "object"}},
            {"name": "a", "inputSchema": {"type": "object", "title": "again"}},
            {"name": "b", "inputSchema": {"type": "broken"}},
        ]);
        let (catalog, left_out) = catalog(&list, &rules());
        assert_eq!((catalog.len(), left_out), (1, vec!["a".into(), "b".into()]));
    }

    #[test]
    fn schemas_are_kept_as_they_are() {
        let schemas = [
            json!({"type": "object"}),
            json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}}}),
            json!({"type": "object", "properties": {"rows": {"type": "array", "items": {
                "type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}, "required": ["id"]}}}}),
            json!({"type": "object", "properties": {"unit": {"enum": ["C", "F"]}, "at": {"type": "object",
                "properties": {"lat": {"type": "number"}}}}, "additionalProperties": false}),
        ];
        for schema in schemas {
            let list = json!([{"name": "t", "inputSchema": schema, "outputSchema": schema}]);
            let (catalog, _) = catalog(&list, &rules());
            let [tool] = &catalog.list("")[..] else {
                panic!("one tool");
            };
            let parsed = |text: &JsonText| serde_json::from_str::<Value>(text.as_str()).unwrap();
            assert_eq!(parsed(&tool.input_schema), schema);
            assert_eq!(tool.output_schema.as_ref().map(parsed), Some(schema));
        }
    }

    #[test]
    fn what_a_server_says_of_effects_counts_only_when_it_is_trusted() {
        #[track_caller]
        fn check(hints: &Value, trusted: bool, expected: (bool, bool, bool)) {
            let list = json!([{"name": "t", "inputSchema": {}, "annotations": hints}]);
            let rules = Rules { trusted, ..rules() };
            let (catalog, _) = catalog(&list, &rules);
            let annotations = catalog.list("")[0].annotations;
            let found = (
                annotations.read_only,
                annotations.idempotent,
                annotations.destructive,
            );
            assert_eq!(found, expected, "{hints}");
        }
        let harmless = json!({"readOnlyHint": true, "idempotentHint": true});
        check(&harmless, false, (false, false, true));
        check(&harmless, true, (true, true, false));
        check(&json!({}), true, (false, false, true));
        check(
            &json!({"destructiveHint": false, "idempotentHint": true}),
            true,
            (false, true, false),
        );
    }

    #[test]
    fn a_tool_is_found_again_unless_it_takes_other_arguments_now() {
        let list = |schema: Value| json!([{"name": "read it", "inputSchema": schema}]);
        let (then, _) = catalog(&list(json!({"type": "object"})), &rules());
        let seen = &then.list("f.")[0];
        assert_eq!(then.find("f.", seen), Found::Here("read it".into()));
        let (now, _) = catalog(
            &list(json!({"type": "object", "required": ["x"]})),
            &rules(),
        );
        assert_eq!(now.find("f.", seen), Found::Changed);
        assert_eq!(Catalog::default().find("f.", seen), Found::Changed);
    }
}
