//! Agent files: what `runwire run` runs.

use std::{collections::HashMap, fmt, path::Path, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use super::{Stop, target::read};
use crate::{
    client::message,
    pb::v1::{
        Agent, GenerationOptions, HostedTool, PolicyAction, PolicyRule, ReasoningEffort, RunLimits,
        RunSpec, ToolBinding, ToolChoice, ToolPolicy, tool_binding::Binding, tool_choice,
    },
};

/// The file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    model: Option<String>,
    #[serde(default)]
    fallback_models: Vec<String>,
    #[serde(default)]
    instructions: String,
    input: Option<String>,
    #[serde(default)]
    tools: Vec<Tool>,
    #[serde(default)]
    options: Options,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    labels: HashMap<String, String>,
    policy: Option<Policy>,
}

/// A hosted tool: its name, or a table.
#[derive(Debug)]
struct Tool(Box<BoundTool>);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoundTool {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    host_id: String,
    #[serde(default)]
    host_labels: HashMap<String, String>,
    timeout: Option<Spanned<String>>,
    accept_timeout: Option<Spanned<String>>,
    progress_timeout: Option<Spanned<String>>,
}

impl<'de> Deserialize<'de> for Tool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ToolVisitor)
    }
}

/// By hand, because an untagged enum would lose the places within the table.
struct ToolVisitor;

impl<'de> Visitor<'de> for ToolVisitor {
    type Value = Tool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tool's name, or a table with a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Tool, E> {
        Ok(Tool(Box::new(BoundTool {
            name: name.to_owned(),
            ..BoundTool::default()
        })))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Tool, A::Error> {
        BoundTool::deserialize(MapAccessDeserializer::new(table)).map(|tool| Tool(Box::new(tool)))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    max_output_tokens: Option<i64>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<i32>,
    seed: Option<i64>,
    #[serde(default)]
    stop_sequences: Vec<String>,
    reasoning_effort: Option<Effort>,
    max_reasoning_tokens: Option<i64>,
    tool_choice: Option<String>,
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    output_schema_json: String,
    #[serde(default)]
    provider_options: HashMap<String, serde_json::Map<String, serde_json::Value>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Max,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    max_turns: Option<i32>,
    max_tool_calls: Option<i32>,
    max_tokens: Option<i64>,
    max_parallel_tool_calls: Option<i32>,
    max_depth: Option<i32>,
    timeout: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    #[serde(default)]
    rules: Vec<Rule>,
    default_action: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    tool: String,
    read_only: Option<bool>,
    destructive: Option<bool>,
    action: Spanned<String>,
    #[serde(default)]
    reason: String,
}

impl Policy {
    fn encode(self, place: &Place<'_>) -> Result<ToolPolicy, String> {
        let rules = self.rules.into_iter().map(|rule| {
            Ok(PolicyRule {
                tool_glob: rule.tool,
                read_only: rule.read_only,
                destructive: rule.destructive,
                action: action(&rule.action, place)?.into(),
                reason: rule.reason,
            })
        });
        let default = self.default_action;
        let default = default.map(|text| action(&text, place)).transpose()?;
        Ok(ToolPolicy {
            rules: rules.collect::<Result<_, String>>()?,
            default_action: default.unwrap_or_default().into(),
        })
    }
}

fn action(text: &Spanned<String>, place: &Place<'_>) -> Result<PolicyAction, String> {
    match text.get_ref().as_str() {
        "allow" => Ok(PolicyAction::Allow),
        "deny" => Ok(PolicyAction::Deny),
        "require_approval" => Ok(PolicyAction::RequireApproval),
        other => {
            let why = format!("{other:?} is not one of allow, deny, require_approval");
            Err(place.wrong(Some(text.span().start), &why))
        }
    }
}

/// What the command line says instead of the file.
#[derive(Debug, Default)]
pub(super) struct Instead {
    pub(super) model: Option<String>,
    pub(super) input: Option<String>,
}

/// Reads an agent file.
pub(super) fn load(path: &Path, instead: Instead) -> Result<RunSpec, Stop> {
    let text = read(path)?;
    parse(path, &text, instead).map_err(Stop::Usage)
}

fn parse(path: &Path, text: &str, instead: Instead) -> Result<RunSpec, String> {
    let place = Place { path, text };
    let file: File = toml::from_str(text)
        .map_err(|error| place.wrong(error.span().map(|span| span.start), error.message()))?;
    let model = instead.model.or(file.model);
    let model =
        model.ok_or_else(|| place.wrong(None, "model: names no model, and there is no -m"))?;
    let input = instead.input.or(file.input);
    let input =
        input.ok_or_else(|| place.wrong(None, "input: is missing, and there is no --input"))?;
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let tools: Result<_, _> = file
        .tools
        .into_iter()
        .map(|tool| tool.bind(&place))
        .collect();
    Ok(RunSpec {
        agent: Some(Agent {
            name: file.name.or(stem).unwrap_or_default(),
            model,
            fallback_models: file.fallback_models,
            instructions: file.instructions,
            tools: tools?,
            options: Some(file.options.encode()),
        }),
        input: vec![message::user(input)],
        limits: Some(file.limits.encode(&place)?),
        labels: file.labels,
        policy: file
            .policy
            .map(|policy| policy.encode(&place))
            .transpose()?,
        ..RunSpec::default()
    })
}

/// Where in the file something stands.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn wrong(&self, at: Option<usize>, message: &str) -> String {
        let path = self.path.display();
        match at.and_then(|at| self.text.as_bytes().get(..at)) {
            Some(before) => {
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                format!("{path}:{line}: {message}")
            }
            None => format!("{path}: {message}"),
        }
    }

    fn duration(
        &self,
        text: Option<Spanned<String>>,
    ) -> Result<Option<prost_types::Duration>, String> {
        let Some(text) = text else {
            return Ok(None);
        };
        let parsed = crate::config::parse_duration(text.get_ref());
        let encode = |duration: Duration| prost_types::Duration::try_from(duration).ok();
        parsed.and_then(encode).map(Some).ok_or_else(|| {
            let message = format!(
                "{:?} is not a duration such as \"30s\" or \"5m\"",
                text.get_ref()
            );
            self.wrong(Some(text.span().start), &message)
        })
    }
}

impl Tool {
    fn bind(self, place: &Place<'_>) -> Result<ToolBinding, String> {
        let bound = self.0;
        Ok(ToolBinding {
            timeout: place.duration(bound.timeout)?,
            accept_timeout: place.duration(bound.accept_timeout)?,
            progress_timeout: place.duration(bound.progress_timeout)?,
            binding: Some(Binding::Hosted(HostedTool {
                name: bound.name,
                version: bound.version,
                host_id: bound.host_id,
                host_labels: bound.host_labels,
                ..HostedTool::default()
            })),
        })
    }
}

impl Options {
    fn encode(self) -> GenerationOptions {
        let effort = match self.reasoning_effort {
            None => ReasoningEffort::Unspecified,
            Some(Effort::None) => ReasoningEffort::None,
            Some(Effort::Minimal) => ReasoningEffort::Minimal,
            Some(Effort::Low) => ReasoningEffort::Low,
            Some(Effort::Medium) => ReasoningEffort::Medium,
            Some(Effort::High) => ReasoningEffort::High,
            Some(Effort::Max) => ReasoningEffort::Max,
        };
        let provider_options = self.provider_options.into_iter();
        GenerationOptions {
            max_output_tokens: self.max_output_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            seed: self.seed,
            stop_sequences: self.stop_sequences,
            reasoning_effort: effort.into(),
            max_reasoning_tokens: self.max_reasoning_tokens,
            tool_choice: self.tool_choice.map(tool_choice),
            parallel_tool_calls: self.parallel_tool_calls,
            output_schema_json: self.output_schema_json,
            provider_options: provider_options
                .map(|(name, options)| (name, serde_json::Value::Object(options).to_string()))
                .collect(),
        }
    }
}

/// `auto`, `none`, `required`, else the name of a tool.
fn tool_choice(choice: String) -> ToolChoice {
    use tool_choice::{Choice, Mode};
    let choice = match choice.as_str() {
        "auto" => Choice::Mode(Mode::Auto.into()),
        "none" => Choice::Mode(Mode::None.into()),
        "required" => Choice::Mode(Mode::Required.into()),
        _ => Choice::ToolName(choice),
    };
    ToolChoice {
        choice: Some(choice),
    }
}

impl Limits {
    fn encode(self, place: &Place<'_>) -> Result<RunLimits, String> {
        Ok(RunLimits {
            max_turns: self.max_turns,
            max_tool_calls: self.max_tool_calls,
            max_tokens: self.max_tokens,
            max_parallel_tool_calls: self.max_parallel_tool_calls,
            max_depth: self.max_depth,
            timeout: place.duration(self.timeout)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<RunSpec, String> {
        parse(Path::new("guide.toml"), text, Instead::default())
    }

    #[test]
    fn an_agent_is_read_whole() {
        let spec = load(
            "model = 'script:demo'\ninput = 'hello'\n\
             tools = ['weather', { name = 'pay', version = '2', timeout = '90s' }]\n\
             [options]\ntool_choice = 'required'\nreasoning_effort = 'high'\ntemperature = 0.5\n\
             [options.provider_options.openai]\nservice_tier = 'flex'\n\
             [limits]\nmax_turns = 3\ntimeout = '5m'\n[labels]\nteam = 'a'\n",
        )
        .unwrap();
        let agent = spec.agent.unwrap();
        assert_eq!(
            (agent.name.as_str(), agent.model.as_str()),
            ("guide", "script:demo")
        );
        assert_eq!(agent.tools.len(), 2);
        assert_eq!(agent.tools[1].timeout.as_ref().unwrap().seconds, 90);
        let options = agent.options.unwrap();
        assert_eq!(options.reasoning_effort(), ReasoningEffort::High);
        assert_eq!(
            options.provider_options["openai"],
            "{\"service_tier\":\"flex\"}"
        );
        assert_eq!(
            options.tool_choice.unwrap().choice,
            Some(tool_choice::Choice::Mode(
                tool_choice::Mode::Required.into()
            ))
        );
        let limits = spec.limits.unwrap();
        assert_eq!(
            (limits.max_turns, limits.timeout.unwrap().seconds),
            (Some(3), 300)
        );
        assert_eq!(spec.labels["team"], "a");
    }

    #[test]
    fn the_command_line_stands_above_the_file() {
        let instead = Instead {
            model: Some("script:echo".to_owned()),
            input: Some("bye".to_owned()),
        };
        let text = "model = 'script:demo'\ninput = 'hello'\n";
        let spec = parse(Path::new("guide.toml"), text, instead).unwrap();
        assert_eq!(spec.agent.unwrap().model, "script:echo");
        assert_eq!(message::text_of(spec.input.first()), "bye");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            (
                "input = 'x'",
                "guide.toml: model: names no model, and there is no -m",
            ),
            (
                "model = 'x:y'",
                "guide.toml: input: is missing, and there is no --input",
            ),
            (
                "model = 'x:y'\nimput = 'x'",
                "guide.toml:2: unknown field `imput`, expected one of",
            ),
            (
                "model = 'x:y'\n\nname = 1",
                "guide.toml:3: invalid type: integer `1`, expected a string",
            ),
            (
                "model = 'x:y'\ninput = 'x'\n[limits]\ntimeout = 'soon'",
                "guide.toml:4: \"soon\" is not a duration such as \"30s\" or \"5m\"",
            ),
            (
                "model = 'x:y'\ntools = [1]",
                "guide.toml:2: invalid type: integer `1`, expected a tool's name, or a table with a name",
            ),
            ("model = ", "guide.toml:1: "),
        ] {
            let wrong = load(text).unwrap_err();
            assert!(wrong.starts_with(expected), "{wrong}");
        }
    }
}
