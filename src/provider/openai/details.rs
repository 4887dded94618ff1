//! Reasoning in OpenRouter's own shape, `reasoning_details`: a list of blocks that goes back as it came.
//!
//! Source: openrouter.ai/docs, "Reasoning Tokens". A stream brings a block in pieces of one `type` and
//! `index`: texts grow, and a signature may come last, without a text. A block that went back in pieces
//! would not match its signature.

use serde_json::{Map, Value, value::RawValue};

use crate::{
    domain::{
        fault::Fault,
        message::{Part, ProviderState},
        model::ModelRef,
    },
    provider::fault,
};

/// Whose state it is. Not that of the protocol: nobody else has such blocks.
const FAMILY: &str = "openrouter";

/// The blocks of an answer.
#[derive(Debug, Default)]
pub(super) struct Details {
    blocks: Vec<Map<String, Value>>,
}

impl Details {
    /// Takes a list of blocks, or of pieces of them.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn take(&mut self, raw: &RawValue, in_pieces: bool) -> Result<(), Fault> {
        let taken: Option<Vec<Map<String, Value>>> = serde_json::from_str(raw.get())
            .map_err(|_error| fault::broken_stream("the details of the reasoning are none"))?;
        for block in taken.into_iter().flatten() {
            let mut known = self.blocks.iter_mut().rev();
            match known.find(|known| in_pieces && grows(known, &block)) {
                Some(known) => grow(known, block),
                None => self.blocks.push(block),
            }
        }
        Ok(())
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The state of the reasoning of this model.
    pub(super) fn state(&self, model: &ModelRef) -> Option<ProviderState> {
        let blocks = serde_json::to_string(&self.blocks).ok()?;
        Some(ProviderState::new(FAMILY, format!("{model} {blocks}")))
    }
}

/// What goes back with a part of reasoning, if this model had said it.
pub(super) fn of<'a>(part: &'a Part, model: &ModelRef) -> Option<&'a RawValue> {
    let state = part.provider_state.as_ref()?.text_of(FAMILY)?;
    let blocks = state.strip_prefix(&model.to_string())?.strip_prefix(' ')?;
    serde_json::from_str(blocks).ok()
}

/// Whether a block is another piece of one that has begun. Encrypted ones come whole.
fn grows(known: &Map<String, Value>, block: &Map<String, Value>) -> bool {
    let kind = block.get("type").and_then(Value::as_str);
    matches!(kind, Some("reasoning.text" | "reasoning.summary"))
        && ["type", "index"]
            .iter()
            .all(|key| known.get(*key) == block.get(*key))
}

fn grow(known: &mut Map<String, Value>, block: Map<String, Value>) {
    for (key, value) in block {
        let has_text = matches!(&*key, "text" | "summary");
        match (known.get_mut(&key), value) {
            (Some(Value::String(text)), Value::String(more)) if has_text => text.push_str(&more),
            (Some(_), Value::Null) => {}
            (_, value) => {
                known.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::Content;

    fn part(details: &Details, model: &ModelRef) -> Part {
        let mut part = Part::new(Content::Reasoning(String::new()));
        part.provider_state = details.state(model);
        part
    }

    #[track_caller]
    fn check(in_pieces: bool, pieces: &[&str], expected: &str) {
        let model = ModelRef::parse("openrouter:anthropic/claude-sonnet-4.5").unwrap();
        let mut details = Details::default();
        for piece in pieces {
            let raw: &RawValue = serde_json::from_str(piece).unwrap();
            details.take(raw, in_pieces).unwrap();
        }
        let part = part(&details, &model);
        let sent: Value = serde_json::from_str(of(&part, &model).unwrap().get()).unwrap();
        assert_eq!(sent, serde_json::from_str::<Value>(expected).unwrap());
        let other = ModelRef::parse("openrouter:anthropic/claude-sonnet-4").unwrap();
        assert!(of(&part, &other).is_none(), "another model cannot read it");
    }

    #[test]
    fn pieces_of_a_block_become_one_and_its_signature_comes_last() {
        check(
            true,
            &[
                r#"[{"type":"reasoning.text","text":"Let","signature":null,"index":0}]"#,
                r#"[{"type":"reasoning.text","text":" me.","format":"f","index":0}]"#,
                r#"[{"type":"reasoning.text","signature":"c2ln","index":0}]"#,
                "null",
                r#"[{"type":"reasoning.encrypted","data":"eA==","index":1}]"#,
                r#"[{"type":"reasoning.encrypted","data":"eQ==","index":1}]"#,
            ],
            r#"[
                {"type":"reasoning.text","text":"Let me.","signature":"c2ln","format":"f","index":0},
                {"type":"reasoning.encrypted","data":"eA==","index":1},
                {"type":"reasoning.encrypted","data":"eQ==","index":1}
            ]"#,
        );
    }

    #[test]
    fn the_blocks_of_a_whole_answer_stay_apart() {
        let blocks =
            r#"[{"type":"reasoning.text","text":"a"},{"type":"reasoning.text","text":"b"}]"#;
        check(false, &[blocks], blocks);
    }

    #[test]
    fn what_is_no_list_of_blocks_is_refused() {
        let raw: &RawValue = serde_json::from_str(r#"{"type":"x"}"#).unwrap();
        assert!(Details::default().take(raw, true).is_err());
    }
}
