"""Asks the server, and compares what comes with what must."""

from __future__ import annotations

import json
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2, status_pb2
from runwire.v1 import completion_service_pb2 as pb
from runwire.v1 import completion_service_pb2_grpc as rpc
from runwire.v1 import generation_pb2 as generation
from runwire.v1 import message_pb2 as content

from cases import RESULT, STREAM, UNARY, Case, Turn
from families import Family

# In front of a provider's name: the same with time-outs that a test can wait for.
IMPATIENT = "impatient-"
# Seconds for one call: the machine may be busy.
DEADLINE = 120
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc00000000300010005fe02fea7352681840000000049454e44ae426082"
)
STRING = {"type": "string"}
TOOLS = {
    "get_weather": {"city": STRING, "unit": STRING},
    "get_time": {"tz": STRING},
    "write_file": {"path": STRING, "content": STRING},
    "ping": {},
}
Stub = rpc.CompletionServiceStub


class Wrong(Exception):
    """Something is not what it must be."""


@dataclass
class Answer:
    """An answer, or the reason why there is none."""

    completion: pb.Completion | None
    reason: str
    # How long to wait, where the failure says so.
    retry: float | None
    # What was shown of a stream: its texts joined, and its reasoning.
    shown: str
    thought: str


def model_of(family: Family, prefix: str = "") -> str:
    return f"{prefix}{family.name}:{family.model}"


def params(model: str, messages: list[content.Message], case: Case) -> pb.CompletionParams:
    request = pb.CompletionParams(model=model, messages=messages)
    if case.schema:
        request.options.output_schema_json = json.dumps(case.schema)
    if case.options:
        case.options(request.options)
    if case.offers or any(turn.calls for turn in case.turns):
        offer(request)
    return request


def offer(request: pb.CompletionParams) -> None:
    for name, properties in TOOLS.items():
        schema = {"type": "object", "properties": properties}
        tool = generation.Tool(name=name, description=name, input_schema_json=json.dumps(schema))
        request.tools.append(tool)


def ask(stub: Stub, mode: str, request: pb.CompletionParams) -> Answer:
    shown, thought = "", ""
    try:
        if mode == UNARY:
            reply = stub.GenerateCompletion(pb.GenerateCompletionRequest(params=request), timeout=DEADLINE)
            return Answer(reply.completion, "", None, "", "")
        for event in stub.StreamCompletion(pb.StreamCompletionRequest(params=request), timeout=DEADLINE):
            shown += event.delta.text
            thought += event.delta.reasoning
            if event.HasField("completion"):
                return Answer(event.completion, "", None, shown, thought)
        raise Wrong("the stream ended without a completion")
    except grpc.RpcError as error:
        return Answer(None, *details(error), shown, thought)


def details(error: grpc.RpcError) -> tuple[str, float | None]:
    reason, retry = f"{error.code().name} without details", None
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, wait = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason = info.reason
            if detail.Unpack(wait):
                retry = wait.retry_delay.ToNanoseconds() / 1e9
    return reason, retry


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Wrong(f"{what}: {str(found)[:120]!r} in place of {str(wanted)[:120]!r}")


def texts(message: content.Message) -> str:
    return "".join(part.text for part in message.parts if part.HasField("text"))


def arguments(text: str) -> object:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return None


def user(text: str, image: bool = False) -> content.Message:
    parts = [content.Part(text=text)]
    if image:
        parts.append(content.Part(media=content.Media(media_type="image/png", data=PNG)))
    return content.Message(role=content.ROLE_USER, parts=parts)


def system(text: str) -> content.Message:
    return content.Message(role=content.ROLE_SYSTEM, parts=[content.Part(text=text)])


def results(message: content.Message, image: bool = False) -> content.Message:
    """The tools' answers to all calls of a message."""
    parts = []
    for part in message.parts:
        if part.HasField("tool_call"):
            told = [content.Part(text=RESULT)]
            if image:
                told.append(content.Part(media=content.Media(media_type="image/png", data=PNG)))
            result = content.ToolResult(call_id=part.tool_call.id, parts=told)
            parts.append(content.Part(tool_result=result))
    return content.Message(role=content.ROLE_TOOL, parts=parts)


def check(answer: Answer, turn: Turn, family: Family, mode: str) -> pb.Completion:
    """The answer is this turn, in the words of this family."""
    if answer.completion is None:
        raise Wrong(f"failed with {answer.reason}")
    completion = answer.completion
    message = completion.message
    finish = content.FinishReason.Name(completion.finish_reason).removeprefix("FINISH_REASON_")
    expect("finish", finish, turn.finish)
    result = family.result.replace("{{", "{").replace("}}", "}").replace("{}", RESULT, 1)
    if not turn.any_text:
        expect("text", texts(message), turn.text.replace("{}", result))
    calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
    expect("calls", [(c.name, arguments(c.arguments_json)) for c in calls], turn.calls)
    expect("distinct ids", len({call.id for call in calls}), len(calls))
    reasoning = "".join(part.reasoning.text for part in message.parts)
    expect("reasoning", reasoning, turn.reasoning if family.shows_reasoning else "")
    if mode == STREAM:
        expect("what was shown", answer.shown, texts(message))
        expect("what was shown of the reasoning", answer.thought, reasoning)
    return completion


def check_usage(completion: pb.Completion, family: Family, wanted: tuple[int, ...]) -> None:
    """The same numbers with every family, but for those that it does not tell."""
    usage = completion.usage
    found = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )
    told = tuple(count if number in family.tells else 0 for number, count in enumerate(wanted))
    expect("usage", found, told)
