//! How hard to think, in the words of each generation.
//!
//! - A budget goes to models that take one, between 1,024 tokens and what the limit of output leaves;
//!   an effort becomes a budget there, and at most half of a limit that the caller names.
//! - Models that think as they see fit get an effort; a budget becomes one.
//! - A model that cannot be kept from thinking gets the least effort in its place.

use super::super::{
    model::{Off, Thinking as Kind, Traits},
    wire::Thinking,
};
use crate::domain::model::{Options, ReasoningEffort};

/// The least budget that the vendor takes, in tokens.
const MIN_BUDGET: u64 = 1_024;
/// Room for thinking as the model sees fit, in tokens, where the caller names no limit of output.
const ADAPTIVE_ROOM: u64 = 24_576;

/// What a request says of thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) struct Plan {
    /// Whether and how the model thinks; `None` leaves it to the model.
    pub thinking: Option<Thinking>,
    /// How hard it tries.
    pub effort: Option<&'static str>,
    /// The limit of output, thinking included.
    pub max_tokens: u64,
}

/// What the caller wants.
enum Want {
    /// Nothing in particular.
    Unsaid,
    /// No thinking.
    Nothing,
    /// So much of it.
    Budget(u64),
    /// So hard.
    Effort(ReasoningEffort),
}

impl Plan {
    /// Plans for a model. `base` is the operator's limit of output, without room for thinking.
    pub(in crate::provider) fn new(
        traits: &Traits,
        options: &Options,
        base: Option<u64>,
        forbids_budget: bool,
    ) -> Self {
        let base = base.unwrap_or(traits.max_tokens);
        let limit = options.max_output_tokens;
        let silent = Self {
            thinking: None,
            effort: None,
            max_tokens: limit.unwrap_or(base),
        };
        let adaptive = |effort| Self {
            thinking: Some(Thinking::Adaptive {
                // Newer models show nothing unless asked.
                display: "summarized",
            }),
            effort: Some(effort),
            max_tokens: limit.unwrap_or(base.saturating_add(ADAPTIVE_ROOM)),
        };
        match (want(options), traits.thinking) {
            (_, Kind::Never) => silent,
            (Want::Unsaid, _) => match traits.off {
                Off::Unsaid => silent,
                Off::Disabled | Off::BetweenTools | Off::Never => Self {
                    max_tokens: limit.unwrap_or(base.saturating_add(ADAPTIVE_ROOM)),
                    ..silent
                },
            },
            (Want::Nothing, _) => match traits.off {
                Off::Unsaid => silent,
                Off::Disabled => Self {
                    thinking: Some(Thinking::Disabled),
                    ..silent
                },
                Off::BetweenTools => Self {
                    thinking: Some(Thinking::BetweenTools),
                    ..silent
                },
                Off::Never => Self {
                    thinking: None,
                    ..adaptive("low")
                },
            },
            (Want::Budget(_) | Want::Effort(_), Kind::Budget) if forbids_budget => silent,
            (Want::Budget(_), Kind::AdaptiveOrBudget) if forbids_budget => silent,
            (Want::Budget(budget), Kind::Budget | Kind::AdaptiveOrBudget) => {
                let most = limit.map_or(budget, |limit| limit.saturating_sub(1));
                silent.within(budget.min(most), limit, base)
            }
            (Want::Effort(effort), Kind::Budget) => {
                let budget = budget_of(effort);
                let most = limit.map_or(budget, |limit| (limit / 2).max(MIN_BUDGET));
                let fits = limit.is_none_or(|limit| limit > MIN_BUDGET);
                let budget = if fits { budget.min(most) } else { 0 };
                silent.within(budget, limit, base)
            }
            (Want::Budget(budget), Kind::Adaptive) => adaptive(effort_of(budget)),
            (Want::Effort(effort), Kind::AdaptiveOrBudget | Kind::Adaptive) => {
                adaptive(match effort {
                    ReasoningEffort::None | ReasoningEffort::Minimal | ReasoningEffort::Low => {
                        "low"
                    }
                    ReasoningEffort::Medium => "medium",
                    ReasoningEffort::High => "high",
                    ReasoningEffort::Max => "max",
                })
            }
        }
    }

    /// Thinks within a budget; not at all where it is less than the vendor takes.
    fn within(self, budget: u64, limit: Option<u64>, base: u64) -> Self {
        if budget < MIN_BUDGET {
            return self;
        }
        Self {
            thinking: Some(Thinking::Enabled {
                budget_tokens: budget,
            }),
            effort: None,
            max_tokens: limit.unwrap_or(base.saturating_add(budget)),
        }
    }
}

fn want(options: &Options) -> Want {
    match (options.max_reasoning_tokens, options.reasoning_effort) {
        (Some(0), _) | (None, Some(ReasoningEffort::None)) => Want::Nothing,
        (Some(budget), _) => Want::Budget(budget),
        (None, Some(effort)) => Want::Effort(effort),
        (None, None) => Want::Unsaid,
    }
}

/// An effort in tokens. The greatest leaves the default limit of output below the 32,000 tokens that
/// the smallest model with a budget can write.
const fn budget_of(effort: ReasoningEffort) -> u64 {
    match effort {
        ReasoningEffort::None => 0,
        ReasoningEffort::Minimal => MIN_BUDGET,
        ReasoningEffort::Low => 2_048,
        ReasoningEffort::Medium => 8_192,
        ReasoningEffort::High => 16_384,
        ReasoningEffort::Max => 23_808,
    }
}

const fn effort_of(budget: u64) -> &'static str {
    match budget {
        0..=2_048 => "low",
        2_049..=8_192 => "medium",
        8_193..=32_768 => "high",
        _ => "max",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::anthropic::model::traits;

    fn options(effort: Option<ReasoningEffort>, budget: Option<u64>) -> Options {
        Options {
            reasoning_effort: effort,
            max_reasoning_tokens: budget,
            ..Options::default()
        }
    }

    fn plan(model: &str, options: &Options) -> Plan {
        Plan::new(&traits(model), options, None, false)
    }

    fn enabled(budget_tokens: u64) -> Option<Thinking> {
        Some(Thinking::Enabled { budget_tokens })
    }

    #[test]
    fn a_budget_wins_over_the_effort_and_adds_to_the_limit() {
        let options = options(Some(ReasoningEffort::Low), Some(5_000));
        let found = plan("claude-sonnet-4-5", &options);
        assert_eq!(found.thinking, enabled(5_000));
        assert_eq!((found.effort, found.max_tokens), (None, 13_192));
    }

    #[test]
    fn a_budget_stays_below_the_limit_that_the_caller_names() {
        let limited = |limit, effort, budget| {
            let options = Options {
                max_output_tokens: Some(limit),
                ..options(effort, budget)
            };
            let found = plan("claude-sonnet-4-5", &options);
            assert_eq!(found.max_tokens, limit);
            found.thinking
        };
        assert_eq!(limited(3_000, None, Some(9_000)), enabled(2_999));
        assert_eq!(limited(1_024, None, Some(9_000)), None);
        assert_eq!(
            limited(4_096, Some(ReasoningEffort::High), None),
            enabled(2_048)
        );
        assert_eq!(
            limited(1_500, Some(ReasoningEffort::High), None),
            enabled(1_024)
        );
        assert_eq!(limited(1_000, Some(ReasoningEffort::High), None), None);
    }

    #[test]
    fn a_budget_below_the_least_is_no_thinking() {
        let found = plan("claude-sonnet-4-5", &options(None, Some(1_023)));
        assert_eq!((found.thinking, found.max_tokens), (None, 8_192));
    }

    #[test]
    fn newer_models_get_an_effort_in_place_of_a_budget() {
        let found = plan("claude-opus-4-7", &options(None, Some(9_000)));
        assert_eq!(found.effort, Some("high"));
        assert!(matches!(found.thinking, Some(Thinking::Adaptive { .. })));
        assert_eq!(found.max_tokens, 8_192 + ADAPTIVE_ROOM);
        let found = plan("claude-opus-4-6", &options(None, Some(9_000)));
        assert_eq!(found.thinking, enabled(9_000));
    }

    #[test]
    fn each_generation_is_kept_from_thinking_in_its_own_way() {
        let none = options(Some(ReasoningEffort::None), None);
        let says = |model| {
            let found = plan(model, &none);
            (found.thinking, found.effort)
        };
        assert_eq!(says("claude-sonnet-4-5"), (None, None));
        assert_eq!(says("claude-opus-5"), (Some(Thinking::Disabled), None));
        let between = Some(Thinking::BetweenTools);
        assert_eq!(says("claude-sonnet-5-5"), (between, None));
        assert_eq!(says("claude-opus-5-5"), (None, Some("low")));
        assert_eq!(
            plan("claude-opus-5", &none),
            plan("claude-opus-5", &options(None, Some(0)))
        );
    }

    #[test]
    fn a_forced_call_leaves_no_room_for_a_budget() {
        let options = options(Some(ReasoningEffort::High), None);
        let forced = |model| Plan::new(&traits(model), &options, None, true).thinking;
        assert_eq!(forced("claude-sonnet-4-5"), None);
        assert!(forced("claude-opus-4-7").is_some());
    }

    #[test]
    fn nothing_is_said_when_nothing_is_asked() {
        let found = plan("claude-opus-4-7", &Options::default());
        assert_eq!(
            (found.thinking, found.effort, found.max_tokens),
            (None, None, 8_192)
        );
        let found = plan("claude-opus-5", &Options::default());
        assert_eq!(
            (found.thinking, found.max_tokens),
            (None, 8_192 + ADAPTIVE_ROOM)
        );
        let found = plan(
            "claude-3-opus-20240229",
            &options(Some(ReasoningEffort::High), None),
        );
        assert_eq!((found.thinking, found.max_tokens), (None, 4_096));
    }
}
