//! The operator's policy: an array of rules, each a table.

use super::{
    PolicyAction,
    section::{Field, Reading, Setting, Shown, section},
    tree::{Node, Value},
};
use crate::domain::policy::{Action, Rule, ToolPolicy};

section! {
    /// Which tool calls may run, in all runs. A run's own policy can only be stricter.
    pub Policy {
        /// What is done with a call that no rule matches: `allow`, `deny` or `require_approval`.
        default_action: PolicyAction = PolicyAction::Allow,
        /// Rules, of which the first that matches decides; each as `[[policy.rules]]` with an `action`, and at
        /// will `tool` (a pattern of names, `*` is any run of characters), `read_only`, `destructive` (both
        /// as the tool's author says) and `reason` (told to the model and the approver).
        rules: Vec<PolicyRule> = Vec::new(),
    }
}

section! {
    /// A rule. All conditions that are set must hold.
    pub PolicyRule {
        /// Matches the tool's name; `*` is any run of characters.
        tool: Option<String> = None,
        /// Matches the annotation.
        read_only: Option<bool> = None,
        /// Matches the annotation.
        destructive: Option<bool> = None,
        /// What is done: `allow`, `deny` or `require_approval`.
        action: Option<PolicyAction> = None,
        /// Told to the model and the approver.
        reason: String = String::new(),
    }
}

impl Policy {
    /// As the runs know it.
    pub fn to_domain(&self) -> ToolPolicy {
        let rules = self.rules.iter().map(|rule| Rule {
            tool: rule.tool.clone(),
            read_only: rule.read_only,
            destructive: rule.destructive,
            // A rule without an action does not pass the check.
            action: rule.action.map_or(Action::Deny, PolicyAction::to_domain),
            reason: rule.reason.clone(),
        });
        ToolPolicy {
            rules: rules.collect(),
            default_action: self.default_action.to_domain(),
        }
    }
}

impl PolicyAction {
    const fn to_domain(self) -> Action {
        match self {
            Self::Allow => Action::Allow,
            Self::Deny => Action::Deny,
            Self::RequireApproval => Action::RequireApproval,
        }
    }
}

impl Setting for Vec<PolicyRule> {
    fn read(node: Node, reading: &mut Reading) -> Option<Self> {
        match node.value {
            Value::Array(rules) => Some(
                rules
                    .into_iter()
                    .enumerate()
                    .filter_map(|(index, rule)| reading.below(&index.to_string(), rule))
                    .collect(),
            ),
            other @ (Value::Table(_)
            | Value::String(_)
            | Value::Text(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Bool(_)
            | Value::Date(_)) => {
                let message = format!("is an array of tables, not {}", other.kind());
                reading.report(node.origin, message);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        let rules: Vec<String> = self.iter().map(|rule| inline(rule.show())).collect();
        Shown::Literal(format!("[{}]", rules.join(", ")))
    }
}

/// A table in one line, without what is not set.
fn inline(shown: Shown) -> String {
    match shown {
        Shown::Unset => String::new(),
        Shown::Literal(literal) => literal,
        Shown::Table(fields) => {
            let fields = fields.into_iter().filter_map(|Field { key, shown, .. }| {
                let value = inline(shown);
                (!value.is_empty()).then(|| format!("{key} = {value}"))
            });
            let fields: Vec<String> = fields.collect();
            format!("{{ {} }}", fields.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_printed_as_they_can_be_read_again() {
        let rules = vec![PolicyRule {
            tool: Some("repo.*".to_owned()),
            destructive: Some(true),
            action: Some(PolicyAction::RequireApproval),
            ..PolicyRule::default()
        }];
        let Shown::Literal(text) = rules.show() else {
            panic!("rules are written in one line");
        };
        let expected = r#"[{ tool = "repo.*", destructive = true, action = "require_approval", reason = "" }]"#;
        assert_eq!(text, expected);
        assert!(format!("rules = {text}").parse::<toml::Table>().is_ok());
    }
}
