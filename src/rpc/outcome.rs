//! The record of a call: one span, and one line when it is over.

use std::sync::Arc;

use http::HeaderMap;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tracing::{Span, field};

use crate::domain::principal::Principal;

/// Records a call when it is dropped: then it has ended, or the caller has gone.
#[derive(Debug)]
pub(super) struct Outcome {
    span: Span,
    begun: Instant,
    code: Code,
    /// Why it failed; empty when it did not, or when the library under us said so.
    reason: String,
}

impl Outcome {
    /// A call begins. Until a status is seen it counts as cancelled: its caller has gone.
    pub(super) fn begin(path: &str) -> Self {
        // A path that is none of ours is the caller's text: bounded, and quoted by the formatter.
        let method = path
            .get(..path.floor_char_boundary(128))
            .unwrap_or_default();
        Self {
            span: tracing::info_span!(
                "rpc",
                rpc.method = method.trim_start_matches('/'),
                tenant = field::Empty,
                principal = field::Empty,
            ),
            begun: Instant::now(),
            code: Code::Cancelled,
            reason: String::new(),
        }
    }

    pub(super) fn caller(&mut self, principal: &Arc<Principal>) {
        self.span.record("tenant", principal.tenant.as_str());
        self.span.record("principal", &*principal.name);
    }

    /// Headers or trailers of the response.
    pub(super) fn see(&mut self, headers: &HeaderMap) {
        let Some(code) = headers.get(Status::GRPC_STATUS) else {
            return;
        };
        self.code = Code::from_bytes(code.as_bytes());
        if self.code != Code::Ok
            && let Some(status) = Status::from_header_map(headers)
            && let Some(info) = status.get_details_error_info()
        {
            self.reason = info.reason;
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let code = self.code as i32;
        let duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let reason = &*self.reason;
        let _entered = self.span.enter();
        match self.code {
            Code::Ok | Code::Cancelled => {
                tracing::debug!(rpc.grpc.status_code = code, duration_ms, "call ended");
            }
            Code::Internal | Code::Unknown | Code::DataLoss => {
                tracing::error!(
                    rpc.grpc.status_code = code,
                    reason,
                    duration_ms,
                    "call failed"
                );
            }
            Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unavailable
            | Code::Unauthenticated => {
                tracing::info!(
                    rpc.grpc.status_code = code,
                    reason,
                    duration_ms,
                    "call failed"
                );
            }
        }
    }
}
