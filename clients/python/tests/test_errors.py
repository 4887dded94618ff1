"""Statuses to exceptions."""

from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc.aio import AioRpcError, Metadata

from runwire import InvalidArgument, NotFound, ResourceExhausted, RunwireError, Unavailable, Violation
from runwire.errors import from_data, from_rpc
from runwire.v1 import message_pb2


def failed(code: grpc.StatusCode, details: bytes | None = None) -> RunwireError:
    trailers = Metadata(("grpc-status-details-bin", details)) if details is not None else Metadata()
    return from_rpc(AioRpcError(code, Metadata(), trailers, "no"))


def status(*details: Any) -> bytes:
    whole = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message="no")
    for detail in details:
        whole.details.add().Pack(detail)
    return bytes(whole.SerializeToString())


def test_every_code_has_its_class() -> None:
    for code in grpc.StatusCode:
        if code not in (
            grpc.StatusCode.OK,
            grpc.StatusCode.UNKNOWN,
            grpc.StatusCode.DATA_LOSS,
            grpc.StatusCode.OUT_OF_RANGE,
            grpc.StatusCode.ALREADY_EXISTS,
        ):
            error = failed(code)
            assert type(error) is not RunwireError
            assert error.code is code


def test_details_say_why_where_and_when_to_try_again() -> None:
    info = error_details_pb2.ErrorInfo(reason="WHY", domain="runwire.dev", metadata={"model": "a:b"})
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="params.model", description="is required")
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    error = failed(grpc.StatusCode.INVALID_ARGUMENT, status(info, bad, retry))
    assert isinstance(error, InvalidArgument)
    assert (error.reason, error.metadata, error.retry_delay) == ("WHY", {"model": "a:b"}, 1.5)
    assert error.violations == (Violation("params.model", "is required"),)
    assert str(error) == "WHY: no"


@pytest.mark.parametrize("details", [None, b"", b"\xff\xff\xff"])
def test_a_status_without_readable_details_stands_on_its_own(details: bytes | None) -> None:
    error = failed(grpc.StatusCode.UNAVAILABLE, details)
    assert isinstance(error, Unavailable)
    assert (error.reason, error.retry_delay, str(error)) == ("", None, "no")


def test_an_error_in_data_says_the_same() -> None:
    data = message_pb2.Error(
        code=code_pb2.RESOURCE_EXHAUSTED, reason="MAX_TURNS_EXCEEDED", message="m", metadata={"a": "b"}
    )
    error = from_data(data)
    assert isinstance(error, ResourceExhausted)
    assert (error.reason, error.message, error.metadata, error.retry_delay) == (
        "MAX_TURNS_EXCEEDED",
        "m",
        {"a": "b"},
        None,
    )
    data.retry_delay.FromSeconds(2)
    assert from_data(data).retry_delay == 2.0


def test_a_code_that_is_newer_than_the_client_is_still_an_error() -> None:
    assert type(from_data(message_pb2.Error(code=99, message="m"))) is RunwireError


def test_exceptions_fit_pythons_own() -> None:
    assert issubclass(InvalidArgument, ValueError)
    assert issubclass(NotFound, LookupError)
