//! The one error that crosses module borders.
//!
//! Every fault has a [`Reason`], and every reason exactly one [`Code`] and one page under
//! `docs/errors`. `rpc::status` turns a fault into a gRPC status; inside data (a failed run, a failed
//! call) it travels as it is.

use std::{borrow::Cow, collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The canonical code of a fault, by the meaning that gRPC gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Code {
    /// It was cancelled, as a rule by the caller.
    Cancelled,
    /// The request is wrong whatever the state of the system.
    InvalidArgument,
    /// Time ran out.
    DeadlineExceeded,
    /// No such thing, or none that the caller may know of.
    NotFound,
    /// The caller is known and may not do this.
    PermissionDenied,
    /// A quota or limit is used up.
    ResourceExhausted,
    /// The system is not in a state for it; somebody must act first.
    FailedPrecondition,
    /// A concurrent change won.
    Aborted,
    /// A defect of the server.
    Internal,
    /// It may work in a moment.
    Unavailable,
    /// The caller is not known.
    Unauthenticated,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal => $code:ident,)+) => {
        /// Why something failed: the public, stable vocabulary (`ErrorReason` in the contract).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire, UPPER_SNAKE_CASE.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The code that goes with it.
            pub const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code,)+ }
            }
        }
    };
}

reasons! {
    // --- the request ---
    /// A field is missing or out of its range; the violations name it.
    InvalidRequest = "INVALID_REQUEST" => InvalidArgument,
    /// The model's name has no colon and is no alias.
    ModelNameInvalid = "MODEL_NAME_INVALID" => InvalidArgument,
    /// No provider of that name is configured.
    ProviderNotFound = "PROVIDER_NOT_FOUND" => NotFound,
    /// A field that ends in `_json` holds no JSON, or not the kind that is wanted.
    JsonInvalid = "JSON_INVALID" => InvalidArgument,
    /// A JSON Schema is none.
    SchemaInvalid = "SCHEMA_INVALID" => InvalidArgument,
    /// Two tools of one agent have the same name.
    ToolNameClash = "TOOL_NAME_CLASH" => InvalidArgument,
    /// The request id was used for another request.
    RequestIdReused = "REQUEST_ID_REUSED" => InvalidArgument,
    /// The messages on a stream are not in the order that the protocol allows.
    StreamProtocolViolation = "STREAM_PROTOCOL_VIOLATION" => InvalidArgument,
    /// A message is larger than the server takes.
    MessageTooLarge = "MESSAGE_TOO_LARGE" => ResourceExhausted,
    /// The cursor is not one that this server gave out.
    CursorInvalid = "CURSOR_INVALID" => InvalidArgument,

    // --- the caller ---
    /// The call carries no credentials.
    CredentialsMissing = "CREDENTIALS_MISSING" => Unauthenticated,
    /// The credentials are not known here.
    CredentialsInvalid = "CREDENTIALS_INVALID" => Unauthenticated,
    /// The caller lacks a scope or may not use this tool name.
    PermissionDenied = "PERMISSION_DENIED" => PermissionDenied,

    // --- the provider ---
    /// The provider finds the request invalid.
    ProviderInvalidRequest = "PROVIDER_INVALID_REQUEST" => InvalidArgument,
    /// The conversation does not fit the model's context window.
    ContextLengthExceeded = "CONTEXT_LENGTH_EXCEEDED" => InvalidArgument,
    /// The request's body is too large for the provider.
    RequestTooLarge = "REQUEST_TOO_LARGE" => InvalidArgument,
    /// The provider needs a key, and the server has none.
    ProviderCredentialsMissing = "PROVIDER_CREDENTIALS_MISSING" => FailedPrecondition,
    /// The provider rejects the server's key.
    ProviderCredentialsRejected = "PROVIDER_CREDENTIALS_REJECTED" => FailedPrecondition,
    /// The server's account may not use this model, or not in this region.
    ModelNotPermitted = "MODEL_NOT_PERMITTED" => FailedPrecondition,
    /// The provider does not know the model.
    ModelNotFound = "MODEL_NOT_FOUND" => NotFound,
    /// The account's quota or credit is used up; waiting does not help.
    ProviderQuotaExhausted = "PROVIDER_QUOTA_EXHAUSTED" => ResourceExhausted,
    /// The provider asks for fewer requests.
    ProviderRateLimited = "PROVIDER_RATE_LIMITED" => ResourceExhausted,
    /// The provider did not answer in time.
    ProviderTimeout = "PROVIDER_TIMEOUT" => Unavailable,
    /// The provider reports a conflict that goes away.
    ProviderConflict = "PROVIDER_CONFLICT" => Unavailable,
    /// The provider failed or cannot be reached.
    ProviderUnavailable = "PROVIDER_UNAVAILABLE" => Unavailable,
    /// The provider has too much to do.
    ProviderOverloaded = "PROVIDER_OVERLOADED" => Unavailable,
    /// The provider's stream ended before its end, or turned into something else.
    ProviderStreamBroken = "PROVIDER_STREAM_BROKEN" => Unavailable,
    /// The provider answered with something that is no answer.
    ProviderResponseInvalid = "PROVIDER_RESPONSE_INVALID" => Unavailable,

    // --- the server ---
    /// The deadline passed.
    Deadline = "DEADLINE" => DeadlineExceeded,
    /// The server has too much to do.
    ServerOverloaded = "SERVER_OVERLOADED" => Unavailable,
    /// The server is shutting down.
    ServerDraining = "SERVER_DRAINING" => Unavailable,
    /// The store cannot take or give data.
    StoreUnavailable = "STORE_UNAVAILABLE" => Unavailable,
    /// A defect of the server.
    Internal = "INTERNAL" => Internal,

    // --- streams ---
    /// Another stream has taken this one's place.
    Superseded = "SUPERSEDED" => Aborted,
    /// The peer was silent for too long.
    HeartbeatMissed = "HEARTBEAT_MISSED" => Unavailable,
    /// The peer does not read what it is sent.
    SlowReader = "SLOW_READER" => ResourceExhausted,

    // --- runs ---
    /// No such run, or none that the caller may know of.
    RunNotFound = "RUN_NOT_FOUND" => NotFound,
    /// The run has ended.
    RunFinished = "RUN_FINISHED" => FailedPrecondition,
    /// The run or call was cancelled.
    Cancelled = "CANCELLED" => Cancelled,
    /// The run used up its turns.
    MaxTurnsExceeded = "MAX_TURNS_EXCEEDED" => ResourceExhausted,
    /// The run used up its tool calls.
    MaxToolCallsExceeded = "MAX_TOOL_CALLS_EXCEEDED" => ResourceExhausted,
    /// The run used up its tokens.
    TokenBudgetExceeded = "TOKEN_BUDGET_EXCEEDED" => ResourceExhausted,
    /// The run used up its time.
    RunTimeout = "RUN_TIMEOUT" => DeadlineExceeded,

    // --- tool calls ---
    /// No such call, or none that the caller may know of.
    ToolCallNotFound = "TOOL_CALL_NOT_FOUND" => NotFound,
    /// The model asked for a tool that the agent does not have.
    ToolUnknown = "TOOL_UNKNOWN" => NotFound,
    /// The model's arguments are no JSON object.
    ArgumentsMalformed = "ARGUMENTS_MALFORMED" => InvalidArgument,
    /// The model's arguments do not fit the tool's schema.
    ArgumentsInvalid = "ARGUMENTS_INVALID" => InvalidArgument,
    /// No host accepted the call in time.
    NoHost = "NO_HOST" => Unavailable,
    /// The call's host was lost, and the call may not be delivered again.
    HostLost = "HOST_LOST" => Unavailable,
    /// The call's host was lost after it had begun: it may or may not have had its effect.
    OutcomeUnknown = "OUTCOME_UNKNOWN" => Aborted,
    /// The tool took too long or fell silent.
    ToolTimeout = "TOOL_TIMEOUT" => DeadlineExceeded,
    /// The tool's definition that the model saw is offered no longer.
    ToolChanged = "TOOL_CHANGED" => FailedPrecondition,
    /// The host could not do the call.
    ToolFailed = "TOOL_FAILED" => Internal,
    /// The tool's result is larger than the server takes.
    ResultTooLarge = "RESULT_TOO_LARGE" => ResourceExhausted,
    /// Two definitions of one tool name and version differ.
    VersionConflict = "VERSION_CONFLICT" => FailedPrecondition,

    // --- policies and inputs ---
    /// A policy does not allow the call.
    PolicyDenied = "POLICY_DENIED" => PermissionDenied,
    /// Whoever was asked has declined, or nobody has answered in time.
    InputDeclined = "INPUT_DECLINED" => Aborted,
    /// The run waits for no such input.
    InputNotFound = "INPUT_NOT_FOUND" => NotFound,
    /// The input was answered before, and otherwise.
    InputAlreadyAnswered = "INPUT_ALREADY_ANSWERED" => FailedPrecondition,

    // --- threads ---
    /// No such thread, or none that the caller may know of.
    ThreadNotFound = "THREAD_NOT_FOUND" => NotFound,
    /// A run of the thread has not ended.
    ThreadBusy = "THREAD_BUSY" => Aborted,
    /// The thread's head is not the one that the caller has seen.
    ThreadHeadMismatch = "THREAD_HEAD_MISMATCH" => Aborted,
    /// The thread cannot be deleted while something needs it.
    ThreadInUse = "THREAD_IN_USE" => FailedPrecondition,
    /// More messages wait for the run's next turn than may.
    TooManyMessages = "TOO_MANY_MESSAGES" => ResourceExhausted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A field of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The path, such as `params.tools[3].input_schema_json`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// Something failed.
///
/// The message is for developers, in English, lower case, and quotes no prompt, no key and no text of
/// the provider. Whatever varies in it is in the metadata too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// For developers.
    pub message: Cow<'static, str>,
    /// What varies in the message, as data.
    pub metadata: BTreeMap<Cow<'static, str>, String>,
    /// Wrong fields, for [`Code::InvalidArgument`].
    pub violations: Vec<Violation>,
    /// When trying again may help: how long to wait first. `None`: do not try again.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault of this reason.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            message: message.into(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// A wrong field of a request.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::field(Reason::InvalidRequest, field, description)
    }

    /// A wrong field, for another reason than [`Reason::InvalidRequest`].
    pub fn field(reason: Reason, field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        let mut fault = Self::new(reason, format!("{field}: {description}"));
        fault.violations.push(Violation { field, description });
        fault
    }

    /// Adds a value to the metadata.
    #[must_use]
    pub fn with(mut self, key: impl Into<Cow<'static, str>>, value: impl fmt::Display) -> Self {
        self.metadata.insert(key.into(), value.to_string());
        self
    }

    /// Says that trying again after `wait` may help.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The code that goes with the reason.
    pub const fn code(&self) -> Code {
        self.reason.code()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_upper_snake_case() {
        let names: HashSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(
            names
                .iter()
                .all(|n| n.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        );
    }
}
