//! The one map from [`Fault`] to gRPC status, and the adoption of those statuses that the library under
//! us makes by itself.

use std::collections::HashMap;

use tonic::{Code as Wire, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::convert::fault::code_number;
use crate::domain::fault::{Fault, Reason};

/// The domain of every reason.
pub const DOMAIN: &str = "runwire.dev";

/// Message and details travel percent- and base64-encoded in trailers, which C-core limits to 8 KiB.
/// What is here stays, encoded, well below.
const MESSAGE_BYTES: usize = 768;
const DETAIL_BYTES: usize = 2_048;

/// The status that a caller sees.
pub fn status(fault: &Fault) -> Status {
    let mut room = DETAIL_BYTES;
    let mut metadata = HashMap::with_capacity(fault.metadata.len());
    for (key, value) in &fault.metadata {
        let value = clip(value, 256);
        if take(&mut room, key.len() + value.len()) {
            metadata.insert(key.to_string(), value.to_owned());
        }
    }
    let mut details = ErrorDetails::with_error_info(fault.reason.name(), DOMAIN, metadata);
    for violation in &fault.violations {
        let field = clip(&violation.field, 256);
        let description = clip(&violation.description, 256);
        if take(&mut room, field.len() + description.len()) {
            details.add_bad_request_violation(field, description);
        }
    }
    if let Some(wait) = fault.retry_after {
        details.set_retry_info(Some(wait));
    }
    let code = Wire::from_i32(code_number(fault.code()));
    Status::with_error_details(code, clip(&fault.message, MESSAGE_BYTES), details)
}

/// Takes a status that the gRPC library made, about what the caller sent, into our vocabulary. One that
/// has details is ours already; an unknown method or compression stays what it is.
pub(super) fn adopt(made: Status) -> Status {
    if !made.details().is_empty() {
        return made;
    }
    let Some(fault) = diagnose(&made) else {
        return made;
    };
    status(&fault)
}

/// What a broken inbound message or stream means. `None`: nothing that the caller did wrong.
pub(super) fn diagnose(made: &Status) -> Option<Fault> {
    let says = |text: &str| made.message().contains(text);
    let (reason, message) = match made.code() {
        Wire::OutOfRange if says("message length too large") => {
            return Some(too_large(made.message()));
        }
        Wire::Internal if says("decode Protobuf") => {
            (Reason::InvalidRequest, "the message is not valid protobuf")
        }
        Wire::Internal if says("Missing request message") => (
            Reason::StreamProtocolViolation,
            "the call ended without a request message",
        ),
        Wire::Internal => (
            Reason::StreamProtocolViolation,
            "the bytes on the stream are not gRPC messages",
        ),
        Wire::Ok
        | Wire::Cancelled
        | Wire::Unknown
        | Wire::InvalidArgument
        | Wire::DeadlineExceeded
        | Wire::NotFound
        | Wire::AlreadyExists
        | Wire::PermissionDenied
        | Wire::ResourceExhausted
        | Wire::FailedPrecondition
        | Wire::Aborted
        | Wire::OutOfRange
        | Wire::Unimplemented
        | Wire::Unavailable
        | Wire::DataLoss
        | Wire::Unauthenticated => return None,
    };
    Some(Fault::new(reason, message))
}

/// The library says both numbers in its message and nowhere else.
fn too_large(message: &str) -> Fault {
    let number = |before: &str| {
        let (_, rest) = message.split_once(before)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        (!digits.is_empty()).then_some(digits)
    };
    let reason = Reason::MessageTooLarge;
    match (number("found "), number("limit is: ")) {
        (Some(bytes), Some(limit)) => Fault::new(
            reason,
            format!("the message has {bytes} bytes, and the server takes {limit}"),
        )
        .with("bytes", bytes)
        .with("limit", limit),
        (None, _) | (_, None) => Fault::new(reason, "the message is larger than the server takes"),
    }
}

fn take(room: &mut usize, bytes: usize) -> bool {
    // A few bytes of framing for each entry.
    match room.checked_sub(bytes + 8) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    }
}

/// At most this many bytes of a text, cut between characters.
fn clip(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_reason_carries_its_name_domain_and_code() {
        for reason in Reason::ALL {
            let status = status(&Fault::new(*reason, "m"));
            let info = status.get_details_error_info().unwrap();
            assert_eq!((&*info.reason, &*info.domain), (reason.name(), DOMAIN));
            assert_eq!(status.code() as i32, code_number(reason.code()));
        }
    }

    #[test]
    fn violations_metadata_and_the_wait_are_details() {
        let fault = Fault::invalid("spec.input", "holds no message")
            .with("provider", "openai")
            .retry_after(Duration::from_millis(1500));
        let details = status(&fault).get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "spec.input");
        assert_eq!(violation.description, "holds no message");
        assert_eq!(details.error_info().unwrap().metadata["provider"], "openai");
        let wait = details.retry_info().unwrap().retry_delay.unwrap();
        assert_eq!(wait, Duration::from_millis(1500));
    }

    #[test]
    fn a_status_fits_into_the_trailers_of_every_client() {
        let mut fault = Fault::new(Reason::InvalidRequest, "ü".repeat(10_000));
        for n in 0..1000 {
            fault = fault.with(format!("key{n}"), "v".repeat(1000));
            fault
                .violations
                .extend(Fault::invalid("f".repeat(500), "d").violations);
        }
        let status = status(&fault);
        assert!(status.message().len() <= MESSAGE_BYTES);
        assert!(status.message().len() + status.details().len() <= 4096);
    }

    #[test]
    fn statuses_of_the_library_are_adopted_unless_they_have_details() {
        let reason = |made: Status| adopt(made).get_details_error_info().map(|info| info.reason);
        let too_large =
            "Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes";
        assert_eq!(
            reason(Status::out_of_range(too_large)).as_deref(),
            Some("MESSAGE_TOO_LARGE")
        );
        assert_eq!(
            reason(Status::internal("failed to decode Protobuf message: x")).as_deref(),
            Some("INVALID_REQUEST")
        );
        assert_eq!(
            reason(Status::internal("Missing request message.")).as_deref(),
            Some("STREAM_PROTOCOL_VIOLATION")
        );
        assert_eq!(reason(Status::unimplemented("")), None);
        let info = adopt(Status::out_of_range(too_large)).get_details_error_info();
        let metadata = info.unwrap().metadata;
        assert_eq!((&*metadata["bytes"], &*metadata["limit"]), ("9", "4"));
        let ours = status(&Fault::new(Reason::Internal, "a defect"));
        assert_eq!(reason(ours).as_deref(), Some("INTERNAL"));
    }
}
