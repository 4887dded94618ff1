//! A conversation that goes on with another provider: what of a recorded answer reaches the other, by
//! the rule in `docs/providers.md`, "Conversations that move between providers".

use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;
use serde_json::Value;

use super::{Family, all, answer, recorded};
use crate::{
    domain::{
        completion::Request,
        id::CallId,
        message::{Content, Message, Part, Role, ToolCall, ToolResult},
        model::Options,
        tool::ToolSpec,
    },
    provider::protocol::Call,
    run::{port::Answer, sample},
};

/// Stands for whatever a model has thought and shown.
const THOUGHT: &str = "As far as it was shown, this was thought.";

/// What a provider makes of what others have said.
struct Rule {
    /// Which ids of calls it takes; as strict as the strictest where nothing is known.
    id: fn(&str) -> bool,
    /// Whether the text of others' reasoning goes to it.
    reasoning: Reasoning,
    /// Whose state it gives back as it came, beside ids: that of answers of these families.
    proofs: &'static [&'static str],
    /// Whether it is told of cache breakpoints.
    marks: bool,
}

#[derive(PartialEq)]
enum Reasoning {
    LeftOut,
    GoesBack,
    GoesBackBesideCalls,
}

fn plain(id: &str, longest: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (1..=longest).contains(&id.len()) && id.bytes().all(plain)
}

fn visible(id: &str, longest: usize) -> bool {
    (1..=longest).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

fn rule(family: &Family, from: &Family) -> Rule {
    let own = |proofs| {
        if from.name == family.name {
            proofs
        } else {
            &[][..]
        }
    };
    let base = Rule {
        id: |id| visible(id, 40),
        reasoning: Reasoning::LeftOut,
        proofs: &[],
        marks: false,
    };
    match &*family.name {
        "anthropic" | "aws-messages" | "google-claude" => Rule {
            id: |id| plain(id, 64),
            proofs: &["anthropic"],
            marks: true,
            ..base
        },
        "aws" => Rule {
            id: |id| plain(id, 64),
            proofs: own(&["bedrock"]),
            marks: true,
            ..base
        },
        "cohere" => Rule {
            id: |id| visible(id, 64),
            reasoning: Reasoning::GoesBackBesideCalls,
            ..base
        },
        "deepseek" | "fireworks" | "ollama-native" => Rule {
            reasoning: Reasoning::GoesBack,
            ..base
        },
        "gemini" | "gemini-budget" | "google" => Rule {
            id: |_| true,
            proofs: &["gemini"],
            ..base
        },
        "mistral" => Rule {
            id: |id| id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()),
            reasoning: Reasoning::GoesBack,
            ..base
        },
        "openai-responses" | "other-responses" => Rule {
            id: |id| visible(id, 64),
            proofs: own(&["openai"]),
            ..base
        },
        "openrouter" => Rule {
            reasoning: Reasoning::GoesBack,
            proofs: &["openrouter"],
            ..base
        },
        _ => base,
    }
}

// === what was said, as it stands in a body ===

/// Calls and results in a body, with their ids and names as far as they are told.
#[derive(Debug, Default)]
struct Told {
    calls: Vec<(Option<String>, String)>,
    results: Vec<(Option<String>, Option<String>)>,
}

impl Told {
    fn of(body: &Value) -> Self {
        let mut told = Self::default();
        told.walk(body);
        told
    }

    /// Looks for calls and results in all the shapes that the protocols have for them.
    fn walk(&mut self, value: &Value) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let Value::Array(items) = value {
            items.iter().for_each(|item| self.walk(item));
        }
        let Value::Object(members) = value else {
            return;
        };
        for call in value["tool_calls"].as_array().into_iter().flatten() {
            let name = text(&call["function"]["name"]).unwrap();
            self.calls.push((text(&call["id"]), name));
        }
        if value["role"] == "tool" {
            let (id, name) = (text(&value["tool_call_id"]), text(&value["tool_name"]));
            self.results.push((id, name));
        }
        match value["type"].as_str() {
            Some("function_call") => {
                let name = text(&value["name"]).unwrap();
                self.calls.push((text(&value["call_id"]), name));
            }
            Some("function_call_output") => self.results.push((text(&value["call_id"]), None)),
            Some("tool_use") => {
                let name = text(&value["name"]).unwrap();
                self.calls.push((text(&value["id"]), name));
            }
            Some("tool_result") => self.results.push((text(&value["tool_use_id"]), None)),
            _ => {}
        }
        for (key, member) in members {
            let (id, name) = (text(&member["id"]), text(&member["name"]));
            match &**key {
                "functionCall" => self.calls.push((id, name.unwrap())),
                "functionResponse" => self.results.push((id, name)),
                "toolUse" => self.calls.push((text(&member["toolUseId"]), name.unwrap())),
                "toolResult" => self.results.push((text(&member["toolUseId"]), None)),
                // What tools were called with, and what they take.
                "args" | "arguments" | "tools" | "toolConfig" | "tool_calls" => continue,
                "input" if member.is_object() => continue,
                _ => {}
            }
            self.walk(member);
        }
    }

    /// Checks that calls and results belong together, under ids that the vendor takes.
    #[track_caller]
    fn check(&self, count: usize, takes: fn(&str) -> bool, what: &str) {
        assert_eq!(self.calls.len(), count, "{what}: the calls");
        assert_eq!(self.results.len(), count, "{what}: the results");
        let ids: Vec<&String> = self
            .calls
            .iter()
            .filter_map(|(id, _)| id.as_ref())
            .collect();
        let answered: BTreeSet<&String> = self
            .results
            .iter()
            .filter_map(|(id, _)| id.as_ref())
            .collect();
        let unique: BTreeSet<&String> = ids.iter().copied().collect();
        assert_eq!(unique.len(), ids.len(), "{what}: an id names one call");
        assert_eq!(unique, answered, "{what}: every call has its result");
        for id in ids {
            assert!(takes(id), "{what}: the vendor takes no id {id:?}");
        }
        for (call, result) in self.calls.iter().zip(&self.results) {
            assert!(
                plain(&call.1, 64),
                "{what}: the vendor takes no name {:?}",
                call.1
            );
            if let (None, Some(name)) = (&call.0, &result.1) {
                assert_eq!(&call.1, name, "{what}: results without ids stand in order");
            }
        }
    }
}

/// What proves to a provider that a part is its own: nobody else shall see it.
fn proof(part: &Part) -> Option<(&str, String)> {
    let state = part.provider_state.as_ref()?;
    let text = std::str::from_utf8(&state.data).unwrap();
    let json = text.find(['{', '[']).map(|at| &text[at..]);
    let json: Option<Value> = json.and_then(|json| serde_json::from_str(json).ok());
    let member = |key: &str| Some(json.as_ref()?.get(key)?.as_str()?.to_owned());
    let proof = match (&*state.family, &part.content) {
        ("gemini", _) => member("signature"),
        ("anthropic" | "bedrock", Content::Reasoning(_)) => {
            Some(text.split_once(':')?.1.to_owned())
        }
        ("openai", Content::Reasoning(_)) => member("encrypted_content"),
        ("openrouter", _) => json.as_ref()?[0]
            .get("signature")?
            .as_str()
            .map(str::to_owned),
        _ => None,
    };
    Some((&*state.family, proof?))
}

// === conversations ===

/// A conversation that goes on behind an assistant's message: its calls are answered. Tools there are
/// always: Converse takes neither calls nor results without.
fn continued(said: Message, tools: &Arc<[Arc<ToolSpec>]>) -> Request {
    let tools = if tools.is_empty() {
        Arc::from([Arc::new(tool())])
    } else {
        Arc::clone(tools)
    };
    let result = |call: &ToolCall| {
        Part::new(Content::ToolResult(ToolResult {
            call_id: call.id.clone(),
            parts: vec![Part::new(Content::Text("done".to_owned()))],
            structured: None,
            is_error: false,
        }))
    };
    let results: Vec<Part> = said.tool_calls().map(result).collect();
    let marked = |role, text: &str| {
        let mut message = Message::text(role, text);
        message.parts[0].cache_breakpoint = true;
        message
    };
    let mut messages = vec![marked(Role::System, "Be brief."), marked(Role::User, "Go.")];
    messages.push(said);
    if !results.is_empty() {
        messages.push(Message {
            id: None,
            role: Role::Tool,
            parts: results,
            name: None,
        });
    }
    messages.push(Message::text(Role::User, "Go on."));
    Request {
        messages: messages.into_iter().map(Arc::new).collect(),
        tools,
        options: Arc::new(Options::default()),
    }
}

fn tool() -> ToolSpec {
    sample::tool("some_tool", r#"{"type":"object","properties":{}}"#)
}

fn body(family: &Family, request: &Request) -> Result<String, String> {
    let call = Call {
        model: &family.model,
        request,
        answer: Answer::Streamed,
    };
    let encoded = family.protocol().encode(call);
    let encoded = encoded.map_err(|fault| format!("{}: {fault}", family.name))?;
    Ok(String::from_utf8(encoded.body).unwrap())
}

#[test]
fn a_recorded_answer_goes_on_with_every_other_family() {
    let (mut with_calls, mut with_proofs) = (BTreeSet::new(), BTreeSet::new());
    for (from, case) in recorded() {
        let Some(completion) = answer(from, &case) else {
            continue;
        };
        let mut said = completion.message;
        for part in &mut said.parts {
            if let Content::Reasoning(text) = &mut part.content
                && !text.is_empty()
            {
                THOUGHT.clone_into(text);
            }
            if let Some((family, _)) = proof(part) {
                with_proofs.insert(family.to_owned());
            }
        }
        if said.tool_calls().next().is_some() {
            with_calls.insert(from.name.clone());
        }
        let request = continued(said, &case.request.tools);
        for to in all() {
            check_moved(from, &case.model.model, to, &request, &case.name);
        }
    }
    for family in ["anthropic", "bedrock", "gemini", "openai", "openrouter"] {
        assert!(
            with_proofs.contains(family),
            "no recorded proof of {family}"
        );
    }
    for family in [
        "anthropic",
        "azure",
        "cohere",
        "gemini",
        "mistral",
        "ollama-native",
    ] {
        assert!(with_calls.contains(family), "no recorded call of {family}");
    }
}

#[track_caller]
fn check_moved(from: &Family, model: &str, to: &Family, request: &Request, case: &str) {
    let what = format!("{case} goes on with {}", to.name);
    let (rule, said) = (rule(to, from), &request.messages[2]);
    let body = body(to, request).unwrap();
    let json: Value = serde_json::from_str(&body).unwrap();

    // In every turn, however long the conversation has become.
    assert!(body.contains("Be brief."), "{what}: the instructions");
    Told::of(&json).check(said.tool_calls().count(), rule.id, &what);

    let (mut is_own, mut has_thought) = (false, false);
    for part in &said.parts {
        has_thought |= matches!(&part.content, Content::Reasoning(text) if text == THOUGHT);
        let Some((family, proof)) = proof(part) else {
            continue;
        };
        // OpenRouter's models cannot read each other's.
        let same_model = family != "openrouter" || to.model.model == model;
        let own = rule.proofs.contains(&family) && same_model;
        is_own |= own;
        let quoted = serde_json::to_string(&proof).unwrap();
        let stands = body.contains(&proof) || body.contains(quoted.trim_matches('"'));
        assert_eq!(stands, own, "{what}: what proves it to be of {family}");
    }
    let has_words = said.tool_calls().next().is_some() || !said.joined_text().is_empty();
    let goes_back = match rule.reasoning {
        Reasoning::LeftOut => false,
        Reasoning::GoesBack => has_words,
        Reasoning::GoesBackBesideCalls => said.tool_calls().next().is_some(),
    };
    if has_thought && !is_own {
        assert_eq!(
            body.contains(THOUGHT),
            goes_back,
            "{what}: the text of reasoning"
        );
    }
    let marked = body.contains("cache_control") || body.contains("cachePoint");
    assert_eq!(marked, rule.marks, "{what}: the marks of breakpoints");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_ids_and_names_calls_have_the_vendor_takes_them(
        calls in prop::collection::btree_map("[!-~]{1,128}", ".{0,80}", 1..5),
    ) {
        let part = |(id, name): (&String, &String)| {
            Part::new(Content::ToolCall(ToolCall {
                id: CallId::parse(id).unwrap(),
                name: name.clone(),
                arguments: "{}".to_owned(),
            }))
        };
        let said = Message {
            id: None,
            role: Role::Assistant,
            parts: calls.iter().map(part).collect(),
            name: None,
        };
        let request = continued(said, &Arc::from([]));
        for family in all() {
            let body = body(family, &request).unwrap();
            let json: Value = serde_json::from_str(&body).unwrap();
            Told::of(&json).check(calls.len(), rule(family, family).id, &family.name);
        }
    }
}
