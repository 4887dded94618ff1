//! What a run waits for of people, and what they answer.

use std::collections::HashSet;

use super::{At, SchemaCheck, message::encode_call, small_count, timestamp};
use crate::{
    domain::{
        fault::Fault,
        id::InputId,
        input::{Ask, InputAnswer, InputAnswered, Question, Verdict},
        run::Run,
    },
    pb::v1,
};

const MOST_ANSWERS: usize = 64;
const MOST_CONTENT_BYTES: usize = 1024 * 1024;
const MOST_REASON_CHARS: usize = 1024;
const MOST_QUESTION_CHARS: usize = 4096;

/// The answers of a request: at least one, each to another input.
pub(in crate::rpc) fn answers(wire: Vec<v1::InputAnswer>) -> Result<Vec<InputAnswer>, Fault> {
    let at = At::root("answers");
    at.at_most(wire.len(), MOST_ANSWERS)?;
    if wire.is_empty() {
        return Err(at.invalid("is required"));
    }
    let mut seen = HashSet::with_capacity(wire.len());
    let mut answers = Vec::with_capacity(wire.len());
    for (index, wire) in wire.into_iter().enumerate() {
        let answer = answer(&wire, &at.index(index))?;
        if !seen.insert(answer.input_id.clone()) {
            let at = at.index(index);
            return Err(at.field("input_id").invalid("is answered twice"));
        }
        answers.push(answer);
    }
    Ok(answers)
}

/// One answer.
pub(in crate::rpc) fn answer(wire: &v1::InputAnswer, at: &At<'_>) -> Result<InputAnswer, Fault> {
    use v1::input_answer::Action;
    let verdict = match wire.action() {
        Action::Unspecified => return Err(at.field("action").invalid("is required")),
        Action::Accept => Verdict::Accept,
        Action::Decline => Verdict::Decline,
    };
    let at_id = at.field("input_id");
    if wire.input_id.is_empty() {
        return Err(at_id.invalid("is required"));
    }
    let at_content = at.field("content_json");
    let content = match &*wire.content_json {
        "" => None,
        text if text.len() > MOST_CONTENT_BYTES => {
            let why = format!("is longer than {MOST_CONTENT_BYTES} bytes");
            return Err(at_content.invalid(why));
        }
        text => Some(at_content.json(text)?),
    };
    if content.is_some() && verdict == Verdict::Decline {
        return Err(at_content.invalid("is for answers that accept"));
    }
    Ok(InputAnswer {
        input_id: InputId::parse(&wire.input_id)
            .map_err(|_invalid| at_id.invalid("is not an input's id"))?,
        verdict,
        content,
        reason: wire.reason.chars().take(MOST_REASON_CHARS).collect(),
    })
}

/// What a run waits for.
pub(super) fn encode_required(run: &Run) -> Vec<v1::RequiredInput> {
    use v1::required_input::Kind;
    let inputs = run.waiting.inputs.iter();
    inputs
        .map(|input| v1::RequiredInput {
            id: input.id.to_string(),
            run_id: run.id.to_string(),
            kind: Some(match &input.ask {
                Ask::Approval(call) => Kind::ToolApproval(encode_call(call)),
                Ask::Question(question) => Kind::Question(encode_question(question)),
            }),
            expire_time: Some(timestamp(input.expire_time)),
            call_id: input.call_id.to_string(),
            reason: input.reason.clone(),
        })
        .collect()
}

fn encode_question(question: &Question) -> v1::Question {
    v1::Question {
        message: question.message.clone(),
        schema_json: question
            .schema
            .as_ref()
            .map_or_else(String::new, |json| json.as_str().to_owned()),
        number: small_count(question.number),
    }
}

/// What a tool asks.
pub(super) fn question(
    wire: &v1::Question,
    schema: &SchemaCheck,
    at: &At<'_>,
) -> Result<Question, Fault> {
    if wire.message.is_empty() {
        return Err(at.field("message").invalid("is required"));
    }
    let at_schema = at.field("schema_json");
    let answer = match &*wire.schema_json {
        "" => None,
        text => {
            let json = at_schema.object(text)?;
            schema(&json).map_err(|fault| at_schema.blame(fault))?;
            Some(json)
        }
    };
    Ok(Question {
        number: match wire.number {
            0 => 1,
            number => at.field("number").positive(number)?,
        },
        message: wire.message.chars().take(MOST_QUESTION_CHARS).collect(),
        schema: answer,
    })
}

/// An answer that counted.
pub(super) fn encode_answered(answered: &InputAnswered) -> v1::InputAnswer {
    v1::InputAnswer {
        principal: answered.principal.as_deref().unwrap_or_default().to_owned(),
        ..encode_answer(&answered.answer)
    }
}

/// An answer.
pub(super) fn encode_answer(answer: &InputAnswer) -> v1::InputAnswer {
    use v1::input_answer::Action;
    v1::InputAnswer {
        input_id: answer.input_id.to_string(),
        action: match answer.verdict {
            Verdict::Accept => Action::Accept,
            Verdict::Decline => Action::Decline,
        }
        .into(),
        content_json: answer
            .content
            .as_ref()
            .map_or_else(String::new, |json| json.as_str().to_owned()),
        reason: answer.reason.clone(),
        principal: String::new(),
    }
}
