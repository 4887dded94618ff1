//! The file: what may stand in it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error};

/// A script.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    /// Models by name; one `*` in a name stands for a parameter.
    models: BTreeMap<String, Model>,
}

/// A model: its turns, of which the first that fits is played.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    /// The turns.
    pub(super) turns: Vec<Turn>,
    /// Waited before the first event.
    #[serde(default, deserialize_with = "duration")]
    pub(super) first_delay: Duration,
    /// Waited before each delta.
    #[serde(default, deserialize_with = "duration")]
    pub(super) delay: Duration,
}

/// One answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    /// When it is played.
    #[serde(default)]
    pub(super) when: When,
    /// Reasoning.
    #[serde(default)]
    pub(super) reasoning: String,
    /// Text, cut into deltas behind each space.
    #[serde(default)]
    pub(super) text: String,
    /// Text, cut as it stands here.
    #[serde(default)]
    pub(super) deltas: Vec<String>,
    /// How often the text is said.
    #[serde(default)]
    pub(super) repeat: Count,
    /// Calls, in order.
    #[serde(default)]
    pub(super) calls: Vec<Call>,
    /// The reason to stop, in the words of the contract: `stop`, `length`, `content_filter`.
    pub(super) finish: Option<Finish>,
    /// Tokens, in place of an estimate.
    pub(super) usage: Option<Tokens>,
    /// What goes wrong.
    pub(super) fault: Option<Failure>,
    /// Nothing more comes after this many deltas.
    pub(super) hang_after: Option<usize>,
}

/// When a turn is played: all that is said must hold.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// So many answers were given since the user spoke last.
    pub(super) step: Option<usize>,
    /// A tool with such a name is offered. May hold `*`.
    pub(super) tool: Option<String>,
    /// The user's last words hold these, in any case of letters.
    pub(super) says: Option<String>,
}

/// A call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// The tool. May hold `*`: then the first offered tool that fits, for repeated calls in rotation.
    pub(super) tool: String,
    /// The arguments; made up from the tool's schema when there are none.
    pub(super) arguments: Option<String>,
    /// How many such calls.
    #[serde(default)]
    pub(super) repeat: Count,
}

/// How often: a number, or a template that becomes one.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Count {
    /// So often.
    Number(usize),
    /// As often as this says.
    Template(String),
}

impl Default for Count {
    fn default() -> Self {
        Self::Number(1)
    }
}

/// A reason to stop.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Finish {
    /// A natural end.
    Stop,
    /// The output limit.
    Length,
    /// A filter.
    ContentFilter,
}

/// Tokens.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tokens {
    /// All input.
    #[serde(default)]
    pub(super) input: u64,
    /// All output.
    #[serde(default)]
    pub(super) output: u64,
    /// Of the input, read from a cache.
    #[serde(default)]
    pub(super) cached: u64,
    /// Of the output, reasoning.
    #[serde(default)]
    pub(super) reasoning: u64,
}

/// Something goes wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    /// The reason's name, such as `PROVIDER_RATE_LIMITED`. A template.
    pub(super) reason: String,
    /// After so many deltas.
    #[serde(default)]
    pub(super) after: usize,
    /// What the provider asks to wait before it is asked again; without it, asking again is no use.
    #[serde(default, deserialize_with = "some_duration")]
    pub(super) retry_after: Option<Duration>,
    /// Only the first so many times that the turn is played; the count is the server's.
    pub(super) times: Option<u64>,
    /// How often it was played.
    #[serde(skip)]
    played: AtomicU64,
}

impl Failure {
    /// Whether it happens this time.
    pub(super) fn strikes(&self) -> bool {
        let played = self.played.fetch_add(1, Ordering::Relaxed);
        self.times.is_none_or(|times| played < times)
    }
}

impl Script {
    /// The model of that name, and what stands for the `*` in it. A name without one comes first.
    pub(super) fn model<'a>(&'a self, name: &'a str) -> Option<(&'a Model, &'a str)> {
        if let Some(model) = self.models.get(name) {
            return Some((model, ""));
        }
        self.models.iter().find_map(|(pattern, model)| {
            let (head, tail) = pattern.split_once('*')?;
            let parameter = name.strip_prefix(head)?.strip_suffix(tail)?;
            (!parameter.is_empty()).then_some((model, parameter))
        })
    }

    /// The models whose names hold no parameter.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.models.keys().map(|name| &**name);
        names.filter(|name| !name.contains('*'))
    }
}

/// Reads a script.
///
/// # Errors
/// What is wrong and where, for the operator.
pub(super) fn parse(text: &str) -> Result<Script, String> {
    toml::from_str(text).map_err(|error| format!("the script is none: {error}"))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .ok_or_else(|| D::Error::custom("a duration is a number with ms, s or m behind it"))
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}
