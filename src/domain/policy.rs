//! Which tool calls run: ordered rules of several parties, of whom the strictest has the say.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    fault::{Fault, Reason},
    id::{CallId, RunId},
    principal::matches_glob,
    tool::{Annotations, ToolSpec},
};

/// Most parties that have a say in one run.
pub const MOST_LAYERS: usize = 32;

/// What is decided about a call. The greater is the stricter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Action {
    /// It runs.
    #[default]
    Allow,
    /// It waits for an answer.
    RequireApproval,
    /// It does not run; the model is told the reason.
    Deny,
}

/// Matches calls. All set conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Matches the tool's name; `*` is any run of characters.
    pub tool: Option<String>,
    /// Matches the annotation.
    pub read_only: Option<bool>,
    /// Matches the annotation.
    pub destructive: Option<bool>,
    /// What it decides.
    pub action: Action,
    /// Told to the model and to the approver; empty when there is none.
    pub reason: String,
}

impl Rule {
    fn matches(&self, tool: &str, annotations: Annotations) -> bool {
        let holds = |wanted: Option<bool>, found: bool| wanted.is_none_or(|wanted| wanted == found);
        self.tool
            .as_deref()
            .is_none_or(|glob| matches_glob(glob, tool))
            && holds(self.read_only, annotations.read_only)
            && holds(self.destructive, annotations.destructive)
    }
}

/// What one party says: the first rule that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolPolicy {
    /// In order.
    pub rules: Vec<Rule>,
    /// When none matches.
    pub default_action: Action,
}

impl ToolPolicy {
    /// Whether it allows everything, and so might as well not be there.
    pub fn is_void(&self) -> bool {
        self.rules.is_empty() && self.default_action == Action::Allow
    }
}

/// Whose policy it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The operator's, in the configuration.
    Operator,
    /// The run's own.
    Run,
    /// That of a run before or above it.
    Inherited(RunId),
}

/// One party and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Whose.
    pub source: Source,
    /// What.
    pub policy: Arc<ToolPolicy>,
}

/// What was decided about a call, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The decision.
    pub action: Action,
    /// Whose it is.
    pub source: Source,
    /// Why; empty when nobody has said.
    pub reason: String,
}

/// A decision as an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDecision {
    /// The call.
    pub call_id: CallId,
    /// What was decided.
    pub decision: Decision,
}

/// The parties that have a say in a run, beside the operator: those that it inherits from, then the run
/// itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Policies(Vec<Layer>);

impl Policies {
    /// Those of a run that inherits nothing.
    pub fn of_run(policy: ToolPolicy) -> Self {
        if policy.is_void() {
            return Self::default();
        }
        Self(vec![Layer {
            source: Source::Run,
            policy: Arc::new(policy),
        }])
    }

    /// Whether nobody says anything.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is decided about a call of this tool: each party decides for itself, the operator first, and the
    /// strictest decision holds; among equals, the first. `None` when nobody has anything to say, and
    /// the call runs.
    pub fn decide(&self, operator: &ToolPolicy, tool: &ToolSpec) -> Option<Decision> {
        let operator = decide(operator, &Source::Operator, tool);
        let others = self.0.iter();
        let others = others.filter_map(|layer| decide(&layer.policy, &layer.source, tool));
        operator.into_iter().chain(others).reduce(|first, next| {
            if next.action > first.action {
                next
            } else {
                first
            }
        })
    }
}

fn decide(policy: &ToolPolicy, source: &Source, tool: &ToolSpec) -> Option<Decision> {
    let (name, annotations) = (tool.name.as_str(), tool.annotations);
    let rule = policy.rules.iter().find(|r| r.matches(name, annotations));
    let action = rule.map_or(policy.default_action, |rule| rule.action);
    (rule.is_some() || action != Action::Allow).then(|| Decision {
        action,
        source: source.clone(),
        reason: rule.map(|rule| rule.reason.clone()).unwrap_or_default(),
    })
}

/// The policies of a subagent's run, or of one that continues another: everything that held for the
/// parent, and the child's own on top. So a child is never less strict than its parent.
///
/// # Errors
/// `INVALID_REQUEST` when more parties than [`MOST_LAYERS`] would have a say.
pub fn stricter(
    (parent_id, parent): (RunId, &Policies),
    child: &Policies,
) -> Result<Policies, Fault> {
    let mut layers: Vec<Layer> = Vec::with_capacity(parent.0.len() + child.0.len());
    let inherited = parent.0.iter().map(|layer| Layer {
        source: match &layer.source {
            Source::Run => Source::Inherited(parent_id),
            Source::Operator | Source::Inherited(_) => layer.source.clone(),
        },
        policy: Arc::clone(&layer.policy),
    });
    for layer in inherited.chain(child.0.iter().cloned()) {
        // What was said once need not be said again: a thread may go on for ever under one policy.
        if !layers.iter().any(|known| known.policy == layer.policy) {
            layers.push(layer);
        }
    }
    if layers.len() > MOST_LAYERS {
        let why = format!("would be the {}th on top of one another", layers.len());
        return Err(Fault::field(Reason::InvalidRequest, "spec.policy", why));
    }
    Ok(Policies(layers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{json::JsonText, tool::ToolName};

    fn tool(name: &str, read_only: bool, destructive: bool) -> ToolSpec {
        ToolSpec {
            name: ToolName::parse(name).unwrap(),
            description: String::new(),
            input_schema: JsonText::parse_object("{}").unwrap(),
            output_schema: None,
            version: String::new(),
            annotations: Annotations {
                read_only,
                destructive,
                ..Annotations::default()
            },
            cache_breakpoint: false,
        }
    }

    fn rule(tool: &str, action: Action) -> Rule {
        Rule {
            tool: Some(tool.to_owned()),
            action,
            reason: format!("because of {tool}"),
            ..Rule::default()
        }
    }

    fn policy(rules: &[(&str, Action)], default_action: Action) -> ToolPolicy {
        ToolPolicy {
            rules: rules.iter().map(|(t, a)| rule(t, *a)).collect(),
            default_action,
        }
    }

    fn decided(operator: &ToolPolicy, run: &Policies, name: &str) -> Option<(Action, Source)> {
        let decision = run.decide(operator, &tool(name, false, false));
        decision.map(|decision| (decision.action, decision.source))
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let own = Policies::of_run(policy(
            &[("repo.read", Action::Allow), ("repo.*", Action::Deny)],
            Action::RequireApproval,
        ));
        let nobody = ToolPolicy::default();
        for (name, expected) in [
            ("repo.read", Action::Allow),
            ("repo.delete", Action::Deny),
            ("mail", Action::RequireApproval),
        ] {
            let decided = decided(&nobody, &own, name).unwrap();
            assert_eq!(decided, (expected, Source::Run), "{name}");
        }
    }

    #[test]
    fn all_conditions_of_a_rule_must_hold() {
        let rule = Rule {
            tool: Some("repo.*".to_owned()),
            read_only: Some(false),
            destructive: Some(true),
            action: Action::Deny,
            reason: String::new(),
        };
        for (name, read_only, destructive, matches) in [
            ("repo.delete", false, true, true),
            ("repo.delete", false, false, false),
            ("repo.delete", true, true, false),
            ("mail", false, true, false),
        ] {
            let tool = tool(name, read_only, destructive);
            assert_eq!(rule.matches(name, tool.annotations), matches, "{tool:?}");
        }
        assert!(Rule::default().matches("anything", Annotations::default()));
    }

    #[test]
    fn nobody_loosens_what_the_operator_says_and_everybody_may_be_stricter() {
        let operator = policy(&[("pay", Action::RequireApproval)], Action::Allow);
        let loose = Policies::of_run(policy(&[("*", Action::Allow)], Action::Allow));
        let strict = Policies::of_run(policy(&[("*", Action::Deny)], Action::Allow));
        let decided = |run, name| decided(&operator, run, name);
        let asks = Some((Action::RequireApproval, Source::Operator));
        assert_eq!(decided(&loose, "pay"), asks);
        assert_eq!(decided(&strict, "pay"), Some((Action::Deny, Source::Run)));
        assert_eq!(decided(&loose, "read"), Some((Action::Allow, Source::Run)));
        assert_eq!(decided(&Policies::default(), "read"), None);
    }

    #[test]
    fn a_child_is_at_least_as_strict_as_its_parent() {
        let parent = Policies::of_run(policy(&[("pay", Action::Deny)], Action::Allow));
        let child = Policies::of_run(policy(&[("mail", Action::Deny)], Action::Allow));
        let id = RunId::from_u128(1);
        let both = stricter((id, &parent), &child).unwrap();
        let nobody = ToolPolicy::default();
        let inherited = Some((Action::Deny, Source::Inherited(id)));
        assert_eq!(decided(&nobody, &both, "pay"), inherited);
        assert_eq!(
            decided(&nobody, &both, "mail"),
            Some((Action::Deny, Source::Run))
        );
        // A grandchild that says the same adds nothing.
        let again = stricter((RunId::from_u128(2), &both), &child).unwrap();
        assert_eq!(again.0.len(), 2);
        assert_eq!(decided(&nobody, &again, "pay"), inherited);
    }

    #[test]
    fn the_parties_that_have_a_say_are_bounded() {
        let mut all = Policies::default();
        let mut refused = None;
        for number in 0..=MOST_LAYERS {
            let own = policy(&[(&format!("t{number}"), Action::Deny)], Action::Allow);
            match stricter((RunId::from_u128(1), &all), &Policies::of_run(own)) {
                Ok(more) => all = more,
                Err(fault) => refused = Some((number, fault.reason)),
            }
        }
        assert_eq!(refused, Some((MOST_LAYERS, Reason::InvalidRequest)));
    }
}
