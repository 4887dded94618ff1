"""Errors as typed exceptions.

The class follows the gRPC code, :attr:`RunwireError.reason` follows the server's vocabulary
(``ErrorReason`` in the contract), and what varies in the message is in :attr:`RunwireError.metadata`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from runwire.v1 import message_pb2

_STATUS_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True)
class Violation:
    """A field of a request that is wrong."""

    field: str
    description: str


class RunwireError(Exception):
    """A call failed, or data says that something failed."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_delay: float | None = None,
        violations: tuple[Violation, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        #: Why, UPPER_SNAKE_CASE, stable. Empty when something between here and the server answered.
        self.reason = reason
        #: What varies in the message, as data.
        self.metadata = dict(metadata or {})
        #: Seconds to wait before trying again; ``None``: trying again does not help.
        self.retry_delay = retry_delay
        #: The wrong fields of the request.
        self.violations = violations

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}" if self.reason else self.message


class Cancelled(RunwireError):
    """It was cancelled."""

    code = grpc.StatusCode.CANCELLED


class InvalidArgument(RunwireError, ValueError):
    """The request is wrong, whatever the state of the system."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class DeadlineExceeded(RunwireError, TimeoutError):
    """Time ran out."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFound(RunwireError, LookupError):
    """No such thing, or none that the caller may know of."""

    code = grpc.StatusCode.NOT_FOUND


class PermissionDenied(RunwireError, PermissionError):
    """The caller is known and may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class ResourceExhausted(RunwireError):
    """A quota or limit is used up."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPrecondition(RunwireError):
    """The system is not in a state for it; somebody must act first."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(RunwireError):
    """A concurrent change won."""

    code = grpc.StatusCode.ABORTED


class Unimplemented(RunwireError):
    """The server does not know this call."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(RunwireError):
    """A defect of the server."""

    code = grpc.StatusCode.INTERNAL


class Unavailable(RunwireError):
    """It may work in a moment."""

    code = grpc.StatusCode.UNAVAILABLE


class Unauthenticated(RunwireError):
    """The caller is not known."""

    code = grpc.StatusCode.UNAUTHENTICATED


_CLASSES: dict[grpc.StatusCode, type[RunwireError]] = {
    cls.code: cls
    for cls in (
        Cancelled,
        InvalidArgument,
        DeadlineExceeded,
        NotFound,
        PermissionDenied,
        ResourceExhausted,
        FailedPrecondition,
        Aborted,
        Unimplemented,
        Internal,
        Unavailable,
        Unauthenticated,
    )
}
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_rpc(error: grpc.aio.AioRpcError) -> RunwireError:
    """Turn the status of a failed RPC into an exception, details included."""
    code = error.code()
    cls = _CLASSES.get(code, RunwireError)
    reason, metadata, retry_delay = "", {}, None
    violations: list[Violation] = []
    for detail in _details(error):
        info = error_details_pb2.ErrorInfo()
        retry = error_details_pb2.RetryInfo()
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(retry):
            retry_delay = retry.retry_delay.ToNanoseconds() / 1e9
        elif detail.Unpack(bad):
            violations.extend(Violation(v.field, v.description) for v in bad.field_violations)
    return cls(
        error.details() or code.name,
        reason=reason,
        metadata=metadata,
        retry_delay=retry_delay,
        violations=tuple(violations),
    )


def from_data(error: message_pb2.Error) -> RunwireError:
    """Turn an error inside data (a failed run, a rejected tool) into an exception."""
    cls = _CLASSES.get(_BY_NUMBER.get(error.code, grpc.StatusCode.UNKNOWN), RunwireError)
    delay = error.retry_delay.ToNanoseconds() / 1e9 if error.HasField("retry_delay") else None
    return cls(error.message, reason=error.reason, metadata=error.metadata, retry_delay=delay)


def _details(error: grpc.aio.AioRpcError) -> list[Any]:
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == _STATUS_DETAILS:
            status = status_pb2.Status()
            try:
                status.ParseFromString(value)
            except DecodeError:
                return []  # A proxy's, or cut: the code and message stand on their own.
            return list(status.details)
    return []
