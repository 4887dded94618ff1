//! What Claude's generations take, by their names.
//!
//! Source: Claude documentation, "Models overview", "Thinking", "Effort", "Structured outputs" and the
//! pages "What's new in" of 4.7, 4.8, 5 and 5.5. The API lists these traits too, but a call does not
//! wait for a list. A Claude whose name does not say its version counts as the newest. Any other name is
//! that of another vendor's model behind the same protocol, which as a rule knows it as Claude 4 did.

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traits {
    /// How it thinks.
    pub thinking: Thinking,
    /// How it is kept from thinking.
    pub off: Off,
    /// Takes `temperature`, `top_p` and `top_k`.
    pub sampling: bool,
    /// Takes only one of `temperature` and `top_p`.
    pub one_sampler: bool,
    /// Enforces an output schema itself.
    pub native_schema: bool,
    /// Takes messages of the system in the middle of a conversation.
    pub system_turns: bool,
    /// Takes a choice of tools that forces a call.
    pub forced_tools: bool,
    /// The limit of output where nobody names one, without room for thinking.
    pub max_tokens: u64,
}

/// How a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// Not at all.
    Never,
    /// Within a budget of tokens.
    Budget,
    /// As it sees fit, or within a budget.
    AdaptiveOrBudget,
    /// As it sees fit, with more or less effort.
    Adaptive,
}

/// How a model is kept from thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Off {
    /// By saying nothing.
    Unsaid,
    /// By `disabled`. It thinks when nothing is said.
    Disabled,
    /// By `between_tools`. It thinks when nothing is said.
    BetweenTools,
    /// Not at all: the least effort is what comes nearest.
    Never,
}

/// The lines that differ in more than their size.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Opus,
    Sonnet,
    Haiku,
    Other,
}

/// A version, such as `(4, 5)`.
type Version = (u8, u8);

/// The traits of the model with that name, whatever a host puts around it.
pub(crate) fn traits(name: &str) -> Traits {
    let (line, version) = parse(name);
    let always = match line {
        Line::Sonnet | Line::Haiku => false,
        Line::Opus => version >= (5, 5),
        Line::Other => version >= (5, 0),
    };
    let forced_tools = match line {
        Line::Haiku => true,
        Line::Opus | Line::Sonnet => version < (5, 5),
        Line::Other => version < (5, 1),
    };
    Traits {
        thinking: match version {
            (0..=2, _) | (3, 0..=6) => Thinking::Never,
            (3, _) | (4, 0..=5) => Thinking::Budget,
            (4, 6) => Thinking::AdaptiveOrBudget,
            _ => Thinking::Adaptive,
        },
        off: match (line, version) {
            _ if always => Off::Never,
            (_, (..=4, _)) => Off::Unsaid,
            (Line::Sonnet, (5, 5..) | (6.., _)) => Off::BetweenTools,
            (Line::Opus | Line::Sonnet | Line::Haiku | Line::Other, _) => Off::Disabled,
        },
        sampling: version < (4, 7),
        one_sampler: version >= (4, 1),
        native_schema: version >= (4, 5),
        system_turns: version >= (4, 8),
        forced_tools,
        max_tokens: if version < (3, 5) { 4_096 } else { 8_192 },
    }
}

/// Reads `claude-sonnet-4-5-20250929`, `claude-3-7-sonnet-20250219`, `us.anthropic.claude-opus-4-6-v1`,
/// `claude-haiku-4-5@20251001`: the version stands before or behind the line, and a number of more than
/// two digits is a date.
fn parse(name: &str) -> (Line, Version) {
    const NEWEST: Version = (u8::MAX, 0);
    let lower = name.to_ascii_lowercase();
    let Some((_host, model)) = lower.rsplit_once("claude-") else {
        return (Line::Sonnet, (4, 0));
    };
    let mut line = None;
    let mut numbers: Vec<u8> = Vec::new();
    for word in model.split(['-', '@', ':', '.']) {
        let number = word.parse::<u8>().ok().filter(|_| word.len() <= 2);
        match (number, word) {
            (Some(number), _) if numbers.len() < 2 => numbers.push(number),
            (None, "opus") => line = Some(Line::Opus),
            (None, "sonnet") => line = Some(Line::Sonnet),
            (None, "haiku") => line = Some(Line::Haiku),
            (None, "instant") => return (Line::Other, (1, 0)),
            // A date or a host's own version: nothing of the model's follows.
            _ if !numbers.is_empty() && line.is_some() => break,
            _ => {}
        }
    }
    let version = match numbers[..] {
        [] => NEWEST,
        [major] => (major, 0),
        [major, minor, ..] => (major, minor),
    };
    // Fable and Mythos, and whatever comes next to them.
    (line.unwrap_or(Line::Other), version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, thinking: Thinking, off: Off) {
        let found = traits(name);
        assert_eq!((found.thinking, found.off), (thinking, off), "{name}");
    }

    #[test]
    fn each_generation_thinks_in_its_own_way() {
        check("claude-3-haiku-20240307", Thinking::Never, Off::Unsaid);
        check("claude-3-5-sonnet-20241022", Thinking::Never, Off::Unsaid);
        check("claude-3-7-sonnet-20250219", Thinking::Budget, Off::Unsaid);
        check("claude-sonnet-4-20250514", Thinking::Budget, Off::Unsaid);
        check("claude-haiku-4-5@20251001", Thinking::Budget, Off::Unsaid);
        check("claude-opus-4-6", Thinking::AdaptiveOrBudget, Off::Unsaid);
        check("claude-opus-4-7", Thinking::Adaptive, Off::Unsaid);
        check("claude-opus-5", Thinking::Adaptive, Off::Disabled);
        check("claude-haiku-5-5", Thinking::Adaptive, Off::Disabled);
        check("claude-sonnet-5-5", Thinking::Adaptive, Off::BetweenTools);
        check("claude-opus-5-5", Thinking::Adaptive, Off::Never);
        check("claude-fable-5-1", Thinking::Adaptive, Off::Never);
        check("claude-mythos-preview", Thinking::Adaptive, Off::Never);
    }

    #[test]
    fn what_a_host_puts_around_a_name_is_no_part_of_it() {
        for name in [
            "anthropic.claude-opus-4-6-v1",
            "us.anthropic.claude-opus-4-6-v1:0",
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-opus-4-6-v1",
            "claude-opus-4-6@20260101",
        ] {
            assert_eq!(traits(name), traits("claude-opus-4-6"), "{name}");
        }
        assert_eq!(
            traits("anthropic.claude-3-5-haiku-20241022-v1:0"),
            traits("claude-3-5-haiku")
        );
    }

    #[test]
    fn structured_output_sampling_and_forced_tools_follow_the_version() {
        let old = traits("claude-sonnet-4-20250514");
        assert!(!old.native_schema && old.sampling && old.forced_tools && !old.one_sampler);
        let newer = traits("claude-sonnet-4-6");
        assert!(newer.native_schema && newer.sampling && newer.one_sampler);
        assert!(!newer.system_turns);
        let newest = traits("claude-opus-5-5");
        assert!(!newest.sampling && newest.system_turns && !newest.forced_tools);
        assert!(traits("claude-haiku-5-5").forced_tools);
        assert!(traits("claude-fable-5").forced_tools);
    }

    #[test]
    fn a_claude_without_a_version_is_the_newest() {
        let found = traits("claude-opus-latest");
        assert_eq!(
            (found.thinking, found.off),
            (Thinking::Adaptive, Off::Never)
        );
        assert!(found.native_schema && !found.sampling);
    }

    #[test]
    fn another_vendors_model_is_spoken_to_as_claude_4() {
        assert_eq!(traits("glm-4.6"), traits("claude-sonnet-4-0"));
    }
}
