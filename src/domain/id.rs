//! Identifiers. Those that the server mints are UUIDs of version 7 behind a prefix: unique for ever,
//! and sorting by the time they were made.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not an id of this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id")]
pub struct InvalidId {
    kind: &'static str,
}

macro_rules! minted_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Mints a new id. Reads the clock and the system's randomness: call it from the shell only.
            pub fn mint() -> Self {
                Self(Uuid::now_v7())
            }

            /// An id with a chosen number, for tests and replays.
            pub const fn from_u128(number: u128) -> Self {
                Self(Uuid::from_u128(number))
            }

            /// The id's 16 bytes, which sort as the id does.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            /// The id of these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32 && !hex.bytes().any(|b| b.is_ascii_uppercase()))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or(InvalidId { kind: $prefix })
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
    };
}

minted_id!(
    /// A run.
    RunId,
    "run"
);
minted_id!(
    /// A thread: a line of runs.
    ThreadId,
    "thread"
);
impl ThreadId {
    /// The thread that begins with a run.
    pub const fn begun_by(run: RunId) -> Self {
        Self(run.0)
    }
}

minted_id!(
    /// A completion outside any run.
    CompletionId,
    "cmpl"
);
minted_id!(
    /// One stream of a tool host, for logs.
    SessionId,
    "session"
);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes an id made elsewhere: 1 to 128 visible ASCII characters.
            ///
            /// # Errors
            /// When the text is empty, longer, or holds anything else.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let fits = (1..=128).contains(&text.len());
                if fits && text.bytes().all(|b| b.is_ascii_graphic()) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(InvalidId { kind: $kind })
                }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A tool call: the idempotency key of the call. Minted by the server for every call that a model
    /// makes; conversations that began elsewhere bring their own.
    CallId,
    "tool call"
);
text_id!(
    /// A message.
    MessageId,
    "message"
);
text_id!(
    /// A tool host process, chosen by itself.
    HostId,
    "host"
);
text_id!(
    /// The caller's key that makes the creation of a run idempotent.
    RequestId,
    "request"
);

impl RunId {
    /// The id of the run that a call of a subagent starts: whoever knows the call knows the run, whatever was
    /// stored of it. A call of our own making gives its number on, so that the run's id sorts by time like any
    /// other.
    pub fn of_call(call_id: &CallId) -> Self {
        let minted = call_id
            .as_str()
            .strip_prefix("call_")
            .filter(|hex| hex.len() == 32)
            .and_then(|hex| Uuid::try_parse(hex).ok());
        Self(minted.unwrap_or_else(|| Uuid::from_u128(fingerprint(call_id.as_str()))))
    }
}

/// FNV-1a of 128 bits.
fn fingerprint(text: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    text.bytes().fold(BASIS, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    })
}

text_id!(
    /// Something that a run waits for.
    InputId,
    "input"
);

impl InputId {
    /// The id of a call's approval. Whoever knows the call knows the id, in whatever process.
    pub fn of_call(call_id: &CallId) -> Self {
        let call = call_id.as_str();
        let call = call.strip_prefix("call_").unwrap_or(call);
        Self(format!("in_{call}").into())
    }

    /// The id of a question that a delivery of a call asks, by its number.
    pub fn of_question(call_id: &CallId, attempt: u32, number: u32) -> Self {
        Self(format!("{}_{attempt}_{number}", Self::of_call(call_id)).into())
    }
}

impl CallId {
    /// Mints a new id. Call it from the shell only.
    pub fn mint() -> Self {
        Self(format!("call_{}", Uuid::now_v7().simple()).into())
    }
}

impl MessageId {
    /// The id of a message that a run's model makes, by its number in the run: whoever knows how many
    /// came before it knows the id, whether or not the message ever came to its end.
    pub fn of_run(run_id: RunId, number: u64) -> Self {
        Self(format!("msg_{}_{number}", run_id.0.simple()).into())
    }

    /// Mints a new id. Call it from the shell only.
    pub fn mint() -> Self {
        Self(format!("msg_{}", Uuid::now_v7().simple()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        assert_eq!(text.parse::<RunId>().is_ok(), valid, "{text}");
    }

    #[test]
    fn a_run_id_is_its_prefix_and_32_lower_case_hex_digits() {
        check("run_00000000000000000000000000000007", true);
        check("run_0000000000000000000000000000000A", false);
        check("run_00000000-0000-0000-0000-000000000007", false);
        check("thread_00000000000000000000000000000007", false);
        check("run_7", false);
        check("", false);
    }

    #[test]
    fn a_minted_id_reads_back() {
        let id = RunId::mint();
        assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        assert!(CallId::parse(CallId::mint().as_str()).is_ok());
    }

    #[test]
    fn the_run_of_a_call_has_its_number_and_differs_from_that_of_any_other() {
        let call = CallId::mint();
        let number = call.as_str().strip_prefix("call_").unwrap();
        assert_eq!(RunId::of_call(&call).to_string(), format!("run_{number}"));
        let [a, b] = ["call_1", "call_2"].map(|id| RunId::of_call(&CallId::parse(id).unwrap()));
        assert_ne!(a, b);
    }

    #[test]
    fn a_text_id_is_bounded_and_visible() {
        assert!(HostId::parse("billing-7").is_ok());
        for bad in ["", "two words", "line\nbreak", "ü", &"x".repeat(129)] {
            assert!(HostId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
