//! Puts tool calls together from the fragments that vendors send.
//!
//! By the protocol a fragment names its call by `index`, and the first one of a call brings id and
//! name. Vendors leave out the index or the id, repeat both in every fragment, give every call the
//! index 0, or send whole calls: [`Calls::find`] has the rules.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::wire::response::Fragment;
use crate::domain::{
    completion::{Delta, Grown},
    fault::Fault,
    id::CallId,
    message::{Content, Part, ProviderState, ToolCall},
};
use crate::provider::fault;

/// A call that is being put together.
struct Call {
    index: Option<i64>,
    /// The provider's id; empty when it gives none.
    provider_id: String,
    id: CallId,
    /// As the model wrote it; empty until it is known.
    name: String,
    arguments: String,
    /// Its place among the parts, once it was shown.
    part: Option<u32>,
}

/// The calls of an answer.
#[derive(Default)]
pub(crate) struct Calls {
    calls: Vec<Call>,
}

/// Hands out what calls need: ids, names, and places among the parts.
pub(crate) trait Surroundings {
    /// A new id.
    fn mint(&mut self) -> CallId;
    /// The tool's own name for what the model wrote.
    fn own_name(&self, wire: &str) -> String;
    /// The place of a new part that holds the call with this number.
    fn place(&mut self, call: usize) -> u32;
}

impl Calls {
    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Takes a fragment of the call with this index, if it has one, and appends what grew by it.
    ///
    /// # Errors
    /// When the arguments are neither text nor an object.
    pub(crate) fn take(
        &mut self,
        fragment: &Fragment<'_>,
        index: Option<i64>,
        around: &mut dyn Surroundings,
        out: &mut Vec<Delta>,
    ) -> Result<(), Fault> {
        let function = fragment.function.as_ref();
        let name = function.and_then(|f| f.name.as_deref()).unwrap_or_default();
        let arguments = match function.and_then(|function| function.arguments) {
            Some(raw) => text_of(raw)?,
            None => Cow::Borrowed(""),
        };
        let number = self.find(fragment, index, name).unwrap_or_else(|| {
            self.calls.push(Call {
                index,
                provider_id: String::new(),
                id: around.mint(),
                name: String::new(),
                arguments: String::new(),
                part: None,
            });
            self.calls.len() - 1
        });
        let Some(call) = self.calls.get_mut(number) else {
            return Ok(());
        };
        if call.provider_id.is_empty() {
            call.provider_id
                .push_str(fragment.id.as_deref().unwrap_or_default());
        }
        if call.name.is_empty() {
            call.name.push_str(name);
        }
        call.arguments.push_str(&arguments);
        call.show(number, &arguments, around, out);
        Ok(())
    }

    /// Which call a fragment belongs to; `None` begins a new one.
    ///
    /// 1. An index decides, unless the fragment brings a name and another id than the call's: then the
    ///    vendor gives every call the same index.
    /// 2. Without an index a known id decides, and an unknown one begins a call.
    /// 3. With neither, a name begins a call, and anything else belongs to the last one.
    fn find(&self, fragment: &Fragment<'_>, index: Option<i64>, name: &str) -> Option<usize> {
        let id = fragment.id.as_deref().unwrap_or_default();
        if index.is_some() {
            let found = self.calls.iter().rposition(|call| call.index == index)?;
            let call = self.calls.get(found)?;
            let other = !name.is_empty()
                && !id.is_empty()
                && !call.provider_id.is_empty()
                && call.provider_id != id;
            return (!other).then_some(found);
        }
        if !id.is_empty() {
            return self.calls.iter().rposition(|call| call.provider_id == id);
        }
        if name.is_empty() {
            self.calls.len().checked_sub(1)
        } else {
            None
        }
    }

    /// The part for the call with this number. A provider's id goes into its state, unless two calls
    /// share it: sent back, it would name neither.
    ///
    /// # Errors
    /// When no name ever came.
    pub(crate) fn part(&self, number: usize, around: &dyn Surroundings) -> Result<Part, Fault> {
        let Some(call) = self.calls.get(number) else {
            return Err(nameless());
        };
        let mut part = Part::new(Content::ToolCall(ToolCall {
            id: call.id.clone(),
            name: around.own_name(&call.name),
            arguments: call.arguments.clone(),
        }));
        let same = |other: &&Call| other.provider_id == call.provider_id;
        if !call.provider_id.is_empty() && self.calls.iter().filter(same).count() == 1 {
            part.provider_state = Some(ProviderState::new(
                super::FAMILY,
                call.provider_id.clone().into_bytes(),
            ));
        }
        Ok(part)
    }

    /// Checks that every call has a name.
    ///
    /// # Errors
    /// When one has none.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.calls.iter().any(|call| call.name.is_empty()) {
            Err(nameless())
        } else {
            Ok(())
        }
    }
}

impl Call {
    /// Appends what is to be shown: nothing until the name is known, then what had come before too.
    fn show(
        &mut self,
        number: usize,
        arguments: &str,
        around: &mut dyn Surroundings,
        out: &mut Vec<Delta>,
    ) {
        if self.name.is_empty() {
            return;
        }
        let (part_index, arguments) = match self.part {
            Some(part) => (part, arguments),
            None => {
                let part = around.place(number);
                self.part = Some(part);
                out.push(Delta {
                    part_index: part,
                    grown: Grown::ToolCall {
                        id: self.id.clone(),
                        name: around.own_name(&self.name),
                    },
                });
                (part, &*self.arguments)
            }
        };
        if !arguments.is_empty() {
            out.push(Delta {
                part_index,
                grown: Grown::Arguments(arguments.to_owned()),
            });
        }
    }
}

/// Arguments as text: that of a JSON string, or of the value itself. Null is nothing.
fn text_of(raw: &RawValue) -> Result<Cow<'_, str>, Fault> {
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw.get())
            .map(Cow::Owned)
            .map_err(|_error| fault::broken_stream("the arguments of a call are not text")),
        Some(b'{') => Ok(Cow::Borrowed(raw.get())),
        _ if raw.get() == "null" => Ok(Cow::Borrowed("")),
        _ => Err(fault::broken_stream("the arguments of a call are not text")),
    }
}

fn nameless() -> Fault {
    fault::broken_stream("the provider sent a tool call without a name")
}
