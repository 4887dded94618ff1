//! Options that a vendor has no words for.
//!
//! Such an option is left out of the request rather than refused, and the answer says so: a caller that
//! set `seed` and got no determinism can see why. What is left out is not a list that somebody must keep
//! true: an option is left out when a request is the same without it.

use std::sync::Arc;

use super::{
    merge::merge,
    protocol::{Call, Protocol},
};
use crate::{
    domain::{
        completion::{Completion, Request},
        json::JsonText,
        message::{Message, Role},
        model::{ModelRef, Options, ToolChoice},
        tool::ToolSpec,
    },
    run::port::Answer,
};

/// The member of an answer's provider metadata that names them.
const MEMBER: &str = "left_out_options";

/// An option, by its name in the contract: whether it asks for anything, and how it is taken back.
struct Knob {
    name: &'static str,
    /// Without tools it asks for nothing.
    of_tools: bool,
    is_set: fn(&Options) -> bool,
    unset: fn(&mut Options),
}

/// `output_schema` is not among them: a vendor that cannot enforce it is told of it, or is refused.
const KNOBS: &[Knob] = &[
    Knob {
        name: "max_output_tokens",
        of_tools: false,
        is_set: |options| options.max_output_tokens.is_some(),
        unset: |options| options.max_output_tokens = None,
    },
    Knob {
        name: "temperature",
        of_tools: false,
        is_set: |options| options.temperature.is_some(),
        unset: |options| options.temperature = None,
    },
    Knob {
        name: "top_p",
        of_tools: false,
        is_set: |options| options.top_p.is_some(),
        unset: |options| options.top_p = None,
    },
    Knob {
        name: "top_k",
        of_tools: false,
        is_set: |options| options.top_k.is_some(),
        unset: |options| options.top_k = None,
    },
    Knob {
        name: "seed",
        of_tools: false,
        is_set: |options| options.seed.is_some(),
        unset: |options| options.seed = None,
    },
    Knob {
        name: "stop_sequences",
        of_tools: false,
        is_set: |options| !options.stop_sequences.is_empty(),
        unset: |options| options.stop_sequences.clear(),
    },
    Knob {
        name: "reasoning_effort",
        of_tools: false,
        is_set: |options| options.reasoning_effort.is_some(),
        unset: |options| options.reasoning_effort = None,
    },
    Knob {
        name: "max_reasoning_tokens",
        of_tools: false,
        is_set: |options| options.max_reasoning_tokens.is_some(),
        unset: |options| options.max_reasoning_tokens = None,
    },
    Knob {
        name: "tool_choice",
        of_tools: true,
        is_set: |options| options.tool_choice != ToolChoice::Auto,
        unset: |options| options.tool_choice = ToolChoice::Auto,
    },
    Knob {
        name: "parallel_tool_calls",
        of_tools: true,
        is_set: |options| options.parallel_tool_calls == Some(false),
        unset: |options| options.parallel_tool_calls = None,
    },
];

/// The options of a request that did not go out, by their names.
fn names(protocol: &dyn Protocol, model: &ModelRef, request: &Request) -> Vec<&'static str> {
    let matters = |knob: &&Knob| !knob.of_tools || !request.tools.is_empty();
    let set = KNOBS.iter().filter(matters);
    let mut set = set
        .filter(|knob| (knob.is_set)(&request.options))
        .peekable();
    if set.peek().is_none() {
        return Vec::new();
    }
    let body = |options: Options| {
        let request = sample(&request.tools, options);
        let call = Call {
            model,
            request: &request,
            answer: Answer::Whole,
        };
        protocol.encode(call).ok().map(|encoded| encoded.body)
    };
    let Some(with_all) = body(Options::clone(&request.options)) else {
        return Vec::new();
    };
    set.filter(|knob| {
        let mut options = Options::clone(&request.options);
        (knob.unset)(&mut options);
        body(options).is_some_and(|without| without == with_all)
    })
    .map(|knob| knob.name)
    .collect()
}

/// A request with the same options that costs next to nothing to write.
fn sample(tools: &Arc<[Arc<ToolSpec>]>, options: Options) -> Request {
    Request {
        messages: vec![Arc::new(Message::text(Role::User, "-"))],
        tools: Arc::clone(tools),
        options: Arc::new(options),
    }
}

/// Says in an answer's metadata which options of its request did not go out.
pub(crate) fn note(protocol: &dyn Protocol, request: &Request, completion: &mut Completion) {
    let names = names(protocol, &completion.model, request);
    if names.is_empty() {
        return;
    }
    let metadata = completion.provider_metadata.as_ref();
    let metadata = metadata.map_or("{}", JsonText::as_str);
    let said = serde_json::json!({ MEMBER: names }).to_string();
    if let Ok(metadata) = merge(metadata, &said)
        && let Ok(metadata) = JsonText::parse_object(&metadata)
    {
        completion.provider_metadata = Some(metadata);
    }
}

#[cfg(test)]
mod tests;
