//! The ids of calls on the wire.
//!
//! A call goes out under the id that the same family has given it, else under its own. Where that does
//! not fit what the vendor takes, or names another call already, it goes out under letters and digits of
//! its hash: the same ones for the call and for its result, in this request and in all later ones.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use crate::domain::{
    id::CallId,
    message::{Content, Message, Part},
};

/// What an id may look like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// How many characters it has at least.
    pub shortest: usize,
    /// How many it has at most.
    pub longest: usize,
    /// Of which it is made; all are visible ASCII.
    pub takes: fn(u8) -> bool,
}

impl Form {
    fn fits(self, id: &str) -> bool {
        (self.shortest..=self.longest).contains(&id.len()) && id.bytes().all(self.takes)
    }

    /// Letters and digits that stand for an id.
    fn stand_in(self, id: &str) -> String {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let digest = Sha256::digest(id);
        let digit = |byte: &u8| DIGITS.get(usize::from(*byte) % DIGITS.len());
        let digits = digest.iter().filter_map(digit).take(self.longest);
        digits.map(|digit| char::from(*digit)).collect()
    }
}

/// The ids of a conversation's calls on the wire.
#[derive(Debug)]
pub(crate) struct Ids<'a> {
    form: Form,
    known: HashMap<&'a CallId, Cow<'a, str>>,
}

impl<'a> Ids<'a> {
    /// Of all calls and results of a conversation.
    pub(crate) fn new(messages: &'a [Arc<Message>], family: &str, form: Form) -> Self {
        let mut ids = Self {
            form,
            known: HashMap::new(),
        };
        let mut taken = HashSet::new();
        let parts = || messages.iter().flat_map(|message| &message.parts);
        // Given ids first: no other id may be one of them.
        for (id, given) in parts().filter_map(|part| given(part, family)) {
            if form.fits(given) && !ids.known.contains_key(id) && taken.insert(given) {
                ids.known.insert(id, Cow::Borrowed(given));
            }
        }
        for id in parts().filter_map(named) {
            if !ids.known.contains_key(id) {
                let fits = form.fits(id.as_str()) && !taken.contains(id.as_str());
                ids.known.insert(id, ids.own(id, fits));
            }
        }
        ids
    }

    /// The id of a call, or of the call that a result belongs to.
    pub(crate) fn of(&self, id: &'a CallId) -> Cow<'a, str> {
        let known = self.known.get(id).cloned();
        known.unwrap_or_else(|| self.own(id, self.form.fits(id.as_str())))
    }

    fn own(&self, id: &'a CallId, fits: bool) -> Cow<'a, str> {
        if fits {
            Cow::Borrowed(id.as_str())
        } else {
            Cow::Owned(self.form.stand_in(id.as_str()))
        }
    }
}

/// A call, and the id that the family has given it.
fn given<'a>(part: &'a Part, family: &str) -> Option<(&'a CallId, &'a str)> {
    let Content::ToolCall(call) = &part.content else {
        return None;
    };
    Some((&call.id, part.provider_state.as_ref()?.text_of(family)?))
}

/// The id that a part names.
const fn named(part: &Part) -> Option<&CallId> {
    match &part.content {
        Content::ToolCall(call) => Some(&call.id),
        Content::ToolResult(result) => Some(&result.call_id),
        Content::Text(_) | Content::Reasoning(_) | Content::Media(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::{ProviderState, Role, ToolCall};

    const NINE: Form = Form {
        shortest: 9,
        longest: 9,
        takes: |b| b.is_ascii_alphanumeric(),
    };
    const FORTY: Form = Form {
        shortest: 1,
        longest: 40,
        takes: |b| b.is_ascii_graphic(),
    };

    /// Calls with their own ids, and those that families have given them.
    fn conversation(calls: &[(&str, &str, &str)]) -> Vec<Arc<Message>> {
        let part = |(id, family, given): &(&str, &str, &str)| {
            let mut part = Part::new(Content::ToolCall(ToolCall {
                id: CallId::parse(id).unwrap(),
                name: "t".to_owned(),
                arguments: String::new(),
            }));
            part.provider_state =
                (!family.is_empty()).then(|| ProviderState::new(family, given.to_string()));
            part
        };
        vec![Arc::new(Message {
            id: None,
            role: Role::Assistant,
            parts: calls.iter().map(part).collect(),
            name: None,
        })]
    }

    #[track_caller]
    fn check(form: Form, calls: &[(&str, &str, &str)], expected: &[&str]) {
        let messages = conversation(calls);
        let ids = Ids::new(&messages, "mine", form);
        let found: Vec<_> = messages[0]
            .tool_calls()
            .map(|call| ids.of(&call.id))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_familys_own_id_is_used_and_no_others() {
        check(
            FORTY,
            &[
                ("call_1", "mine", "given"),
                ("call_2", "other", "foreign"),
                ("call_3", "", ""),
            ],
            &["given", "call_2", "call_3"],
        );
    }

    #[test]
    fn an_id_that_does_not_fit_becomes_letters_and_digits() {
        let long = "x".repeat(41);
        let messages = conversation(&[(&long, "", ""), ("call_1", "mine", &long)]);
        let ids = Ids::new(&messages, "mine", FORTY);
        let stand_in = ids.of(&messages[0].tool_calls().next().unwrap().id);
        assert_eq!(stand_in.len(), 32);
        assert!(stand_in.bytes().all(|b| b.is_ascii_alphanumeric()));
        check(FORTY, &[("call_1", "mine", &long)], &["call_1"]);
        check(NINE, &[("a23456789", "", "")], &["a23456789"]);
    }

    #[test]
    fn an_id_names_one_call() {
        let messages = conversation(&[
            ("call_1", "mine", "same"),
            ("call_2", "mine", "same"),
            ("same", "", ""),
        ]);
        let ids = Ids::new(&messages, "mine", FORTY);
        let found: HashSet<_> = messages[0].tool_calls().map(|c| ids.of(&c.id)).collect();
        assert_eq!(found.len(), 3);
        assert!(found.contains("same") && found.contains("call_2"));
    }

    #[test]
    fn a_result_without_its_call_has_an_id_all_the_same() {
        let id = CallId::parse("call_from_before").unwrap();
        let ids = Ids::new(&[], "mine", NINE);
        assert_eq!(ids.of(&id), ids.of(&id));
        assert_eq!(ids.of(&id).len(), 9);
    }
}
