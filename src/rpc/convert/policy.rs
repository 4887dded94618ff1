//! Policies: which calls may run.

use super::At;
use crate::{
    domain::{
        fault::Fault,
        policy::{Action, Policies, PolicyDecision, Rule, Source, ToolPolicy},
    },
    pb::v1,
};

const MOST_RULES: usize = 64;
const MOST_GLOB_BYTES: usize = 128;
const MOST_REASON_BYTES: usize = 512;

/// What the creator of a run says about its calls.
pub(super) fn decode(wire: Option<v1::ToolPolicy>, at: &At<'_>) -> Result<Policies, Fault> {
    let Some(wire) = wire else {
        return Ok(Policies::default());
    };
    let default_action = action(wire.default_action, &at.field("default_action"))?;
    let at_rules = at.field("rules");
    at_rules.at_most(wire.rules.len(), MOST_RULES)?;
    let rules = wire.rules.into_iter().enumerate();
    let rules = rules.map(|(index, wire)| rule(wire, &at_rules.index(index)));
    Ok(Policies::of_run(ToolPolicy {
        rules: rules.collect::<Result<_, _>>()?,
        default_action: default_action.unwrap_or_default(),
    }))
}

fn rule(wire: v1::PolicyRule, at: &At<'_>) -> Result<Rule, Fault> {
    for (name, text, most) in [
        ("tool_glob", &wire.tool_glob, MOST_GLOB_BYTES),
        ("reason", &wire.reason, MOST_REASON_BYTES),
    ] {
        if text.len() > most {
            let at = at.field(name);
            return Err(at.invalid(format!("is longer than {most} bytes")));
        }
    }
    let at_action = at.field("action");
    let action = action(wire.action, &at_action)?;
    Ok(Rule {
        tool: (!wire.tool_glob.is_empty()).then_some(wire.tool_glob),
        read_only: wire.read_only,
        destructive: wire.destructive,
        action: action.ok_or_else(|| at_action.invalid("is required"))?,
        reason: wire.reason,
    })
}

/// `None` when nothing is said. A number that is unknown here may mean something stricter than whatever it
/// would be taken for.
fn action(number: i32, at: &At<'_>) -> Result<Option<Action>, Fault> {
    let known = v1::PolicyAction::try_from(number);
    Ok(
        match known.map_err(|_unknown| at.invalid("is not an action"))? {
            v1::PolicyAction::Unspecified => None,
            v1::PolicyAction::Allow => Some(Action::Allow),
            v1::PolicyAction::Deny => Some(Action::Deny),
            v1::PolicyAction::RequireApproval => Some(Action::RequireApproval),
        },
    )
}

/// What was decided about a call.
pub(super) fn encode_decision(decided: &PolicyDecision) -> v1::PolicyDecision {
    let decision = &decided.decision;
    v1::PolicyDecision {
        call_id: decided.call_id.to_string(),
        action: match decision.action {
            Action::Allow => v1::PolicyAction::Allow,
            Action::Deny => v1::PolicyAction::Deny,
            Action::RequireApproval => v1::PolicyAction::RequireApproval,
        }
        .into(),
        rule_source: match &decision.source {
            Source::Operator => "operator".to_owned(),
            Source::Run => "run".to_owned(),
            Source::Inherited(run_id) => run_id.to_string(),
        },
        reason: decision.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: i32) -> v1::PolicyRule {
        v1::PolicyRule {
            action,
            ..v1::PolicyRule::default()
        }
    }

    fn wrong(rules: Vec<v1::PolicyRule>, default_action: i32) -> String {
        let wire = v1::ToolPolicy {
            rules,
            default_action,
        };
        let fault = decode(Some(wire), &At::root("policy")).unwrap_err();
        fault.violations[0].field.clone()
    }

    #[test]
    fn a_policy_that_could_be_misunderstood_is_refused() {
        let allow = v1::PolicyAction::Allow.into();
        assert_eq!(wrong(vec![], 77), "policy.default_action");
        let second = vec![rule(allow), rule(0)];
        assert_eq!(wrong(second, 0), "policy.rules[1].action");
        assert_eq!(wrong(vec![rule(77)], 0), "policy.rules[0].action");
        assert_eq!(wrong(vec![rule(allow); MOST_RULES + 1], 0), "policy.rules");
        let long = v1::PolicyRule {
            tool_glob: "x".repeat(MOST_GLOB_BYTES + 1),
            ..rule(allow)
        };
        assert_eq!(wrong(vec![long], 0), "policy.rules[0].tool_glob");
    }

    #[test]
    fn a_policy_that_says_nothing_is_none() {
        let void = v1::ToolPolicy::default();
        let decoded = decode(Some(void), &At::root("policy")).unwrap();
        assert!(decoded.is_empty());
    }
}
