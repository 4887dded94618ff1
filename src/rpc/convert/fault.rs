//! Faults inside data: a failed run, a failed call, a tool that was not taken.

use std::borrow::Cow;

use super::{At, duration};
use crate::{
    domain::fault::{Code, Fault, Reason},
    pb::v1,
};

/// The number of `google.rpc.Code`.
pub(in crate::rpc) const fn code_number(code: Code) -> i32 {
    match code {
        Code::Cancelled => 1,
        Code::InvalidArgument => 3,
        Code::DeadlineExceeded => 4,
        Code::NotFound => 5,
        Code::PermissionDenied => 7,
        Code::ResourceExhausted => 8,
        Code::FailedPrecondition => 9,
        Code::Aborted => 10,
        Code::Internal => 13,
        Code::Unavailable => 14,
        Code::Unauthenticated => 16,
    }
}

pub(in crate::rpc) fn encode(fault: &Fault) -> v1::Error {
    v1::Error {
        code: code_number(fault.code()),
        reason: fault.reason.name().to_owned(),
        message: fault.message.to_string(),
        metadata: fault
            .metadata
            .iter()
            .map(|(key, value)| (key.to_string(), value.clone()))
            .collect(),
        retry_delay: fault.retry_after.map(duration),
    }
}

/// What a host says of a call that it could not do. Hosts have reasons of their own, so theirs is kept
/// as metadata and the server's says only who failed. Everything in it is bounded.
pub(in crate::rpc) fn decode_from_host(error: v1::Error, at: &At<'_>) -> Result<Fault, Fault> {
    const MESSAGE_CHARS: usize = 512;
    const METADATA_ENTRIES: usize = 16;
    const METADATA_CHARS: usize = 256;

    let mut message: String = error.message.chars().take(MESSAGE_CHARS).collect();
    if message.is_empty() {
        message.push_str("the host could not do the call");
    }
    let mut fault = Fault::new(Reason::ToolFailed, message);
    for (key, value) in error.metadata.into_iter().take(METADATA_ENTRIES) {
        let key: String = key.chars().take(64).collect();
        let value: String = value.chars().take(METADATA_CHARS).collect();
        fault.metadata.insert(Cow::Owned(key), value);
    }
    if !error.reason.is_empty() {
        let reason: String = error.reason.chars().take(64).collect();
        fault = fault.with("host_reason", reason);
    }
    fault.retry_after = at
        .field("retry_delay")
        .optional_duration(error.retry_delay)?;
    Ok(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_cannot_flood_the_log_with_an_error() {
        let error = v1::Error {
            message: "m".repeat(100_000),
            reason: "r".repeat(1000),
            metadata: (0..100)
                .map(|n| (n.to_string(), "v".repeat(9000)))
                .collect(),
            ..v1::Error::default()
        };
        let fault = decode_from_host(error, &At::root("failure")).unwrap();
        assert_eq!(fault.reason, Reason::ToolFailed);
        assert_eq!(fault.message.len(), 512);
        assert_eq!(fault.metadata.len(), 17);
        assert!(fault.metadata.values().all(|v| v.len() <= 256));
    }
}
