"""What works directly works through Envoy; idle streams live on heartbeats alone."""

from __future__ import annotations

import queue
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from runwire.v1 import completion_service_pb2 as completions
from runwire.v1 import completion_service_pb2_grpc as completions_grpc
from runwire.v1 import generation_pb2 as generation
from runwire.v1 import message_pb2 as message
from runwire.v1 import run_pb2 as run
from runwire.v1 import run_service_pb2 as runs
from runwire.v1 import run_service_pb2_grpc as runs_grpc
from runwire.v1 import tool_service_pb2 as tools
from runwire.v1 import tool_service_pb2_grpc as tools_grpc

from conftest import Mesh

SERVICES = {"CompletionService", "ModelService", "RunService", "ToolService"}
# Envoy cuts a stream that was silent for 2 s; these tests keep one idle for three times as long.
IDLE_HEARTBEATS = 12
TIMEOUT = 30


@pytest.fixture
def channel(mesh: Mesh) -> Iterator[grpc.Channel]:
    """A channel through Envoy."""
    with grpc.insecure_channel(mesh.through_envoy) as channel:
        yield channel


def user(text: str) -> message.Message:
    """What the user says."""
    return message.Message(role=message.ROLE_USER, parts=[message.Part(text=text)])


def weather_tool() -> generation.Tool:
    """The tool that the demo script asks for."""
    return generation.Tool(
        name="get_weather",
        description="The weather in a city.",
        input_schema_json='{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}',
        annotations=generation.ToolAnnotations(read_only=True),
    )


def spec(binding: run.ToolBinding, labels: dict[str, str] | None = None) -> run.RunSpec:
    """An agent of the demo script with one tool."""
    agent = run.Agent(name="weather", model="script:demo", tools=[binding])
    return run.RunSpec(agent=agent, input=[user("What is the weather in Paris?")], labels=labels or {})


def text_of(answer: message.Message) -> str:
    """The text parts of a message."""
    return "".join(part.text for part in answer.parts)


class Caller:
    """The client's half of a bidirectional call: what is put goes out, until `close`."""

    def __init__(self, method: Callable[..., Any], first: Any) -> None:
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._out.put(first)
        self.responses = method(iter(self._out.get, None), timeout=TIMEOUT)

    def send(self, request: Any) -> None:
        """Sends a message."""
        self._out.put(request)

    def close(self) -> None:
        """Half-closes."""
        self._out.put(None)


def answer_call(command: tools.HostCommand) -> list[tools.ToolCallReport]:
    """What a host that knows the weather says to a command."""
    if command.WhichOneof("command") != "assignment":
        return []
    call = command.assignment.call
    delivery = {"call_id": call.id, "attempt": command.assignment.attempt}
    result = message.ToolResult(call_id=call.id, parts=[message.Part(text="18 degrees and sunny")])
    return [
        tools.ToolCallReport(**delivery, acceptance=tools.ToolCallAcceptance()),
        tools.ToolCallReport(**delivery, result=result),
    ]


def test_a_completion_passes_whole_and_streamed(channel: grpc.Channel) -> None:
    stub = completions_grpc.CompletionServiceStub(channel)
    params = completions.CompletionParams(model="script:echo", messages=[user("one two three")])
    whole = stub.GenerateCompletion(completions.GenerateCompletionRequest(params=params), timeout=TIMEOUT)
    streamed = list(
        stub.StreamCompletion(completions.StreamCompletionRequest(params=params), timeout=TIMEOUT)
    )
    assert "one two three" in text_of(whole.completion.message)
    assert [event.WhichOneof("event") for event in streamed][:: len(streamed) - 1] == [
        "started",
        "completion",
    ]
    assert text_of(streamed[-1].completion.message) == text_of(whole.completion.message)


def test_an_attached_run_calls_its_tool_on_its_own_stream(channel: grpc.Channel) -> None:
    start = runs.AttachRunStart(
        create=spec(run.ToolBinding(attached=weather_tool())), host_id="mesh-attached"
    )
    caller = Caller(runs_grpc.RunServiceStub(channel).AttachRun, runs.AttachRunRequest(start=start))
    last, calls = None, 0
    for response in caller.responses:
        for report in answer_call(response.command):
            calls += 1
            caller.send(runs.AttachRunRequest(report=report))
        for event in response.events.events:
            if event.HasField("run_updated"):
                last = event.run_updated
                if last.state == run.Run.STATE_SUCCEEDED:
                    caller.close()
    assert calls == 2
    assert last is not None
    assert last.state == run.Run.STATE_SUCCEEDED, last.error
    assert "18 degrees" in text_of(last.output)


def test_a_hosted_tool_serves_a_run_of_another_connection(channel: grpc.Channel, mesh: Mesh) -> None:
    registration = tools.HostRegistration(host_id="mesh-host", tools=[weather_tool()])
    host = Caller(
        tools_grpc.ToolServiceStub(channel).HostTools, tools.HostToolsRequest(registration=registration)
    )
    assert not next(host.responses).registered.rejected_tools
    with grpc.insecure_channel(mesh.through_envoy) as other:
        stub = runs_grpc.RunServiceStub(other)
        binding = run.ToolBinding(hosted=run.HostedTool(name="get_weather", host_id="mesh-host"))
        created = stub.CreateRun(runs.CreateRunRequest(spec=spec(binding)), timeout=TIMEOUT).run
        for response in host.responses:
            reports = answer_call(response.command)
            for report in reports:
                host.send(tools.HostToolsRequest(report=report))
            if reports:
                break
        events = stub.WatchRun(runs.WatchRunRequest(run_id=created.id, after_sequence=0), timeout=TIMEOUT)
        updates = [e.run_updated for r in events for e in r.events if e.HasField("run_updated")]
    host.close()
    assert updates[-1].state == run.Run.STATE_SUCCEEDED, updates[-1].error


def waiting_run(stub: Any) -> str:
    """A run that waits for a host that never comes."""
    binding = run.ToolBinding(
        hosted=run.HostedTool(name="get_weather", host_id="nobody"), accept_timeout=Duration(seconds=60)
    )
    return str(stub.CreateRun(runs.CreateRunRequest(spec=spec(binding)), timeout=TIMEOUT).run.id)


def test_an_idle_watch_outlives_the_idle_timeout_of_envoy(channel: grpc.Channel) -> None:
    stub = runs_grpc.RunServiceStub(channel)
    run_id = waiting_run(stub)
    heartbeats = 0
    for response in stub.WatchRun(runs.WatchRunRequest(run_id=run_id), timeout=TIMEOUT):
        heartbeats += sum(event.HasField("heartbeat") for event in response.events)
        if heartbeats == IDLE_HEARTBEATS:
            break
    stub.CancelRun(runs.CancelRunRequest(run_id=run_id), timeout=TIMEOUT)
    assert heartbeats == IDLE_HEARTBEATS


def test_an_idle_host_outlives_the_idle_timeout_of_envoy(channel: grpc.Channel) -> None:
    registration = tools.HostRegistration(host_id="mesh-idle", tools=[weather_tool()])
    host = Caller(
        tools_grpc.ToolServiceStub(channel).HostTools, tools.HostToolsRequest(registration=registration)
    )
    heartbeats = 0
    for response in host.responses:
        if response.command.HasField("heartbeat"):
            host.send(tools.HostToolsRequest(heartbeat=run.Heartbeat()))
            heartbeats += 1
            if heartbeats == IDLE_HEARTBEATS:
                host.close()
                break
    assert heartbeats == IDLE_HEARTBEATS


def test_without_heartbeats_envoy_cuts_the_idle_watch(silent_mesh: Mesh) -> None:
    with grpc.insecure_channel(silent_mesh.through_envoy) as channel:
        stub = runs_grpc.RunServiceStub(channel)
        run_id = waiting_run(stub)
        with pytest.raises(grpc.RpcError) as cut:
            list(stub.WatchRun(runs.WatchRunRequest(run_id=run_id), timeout=TIMEOUT))
    assert cut.value.code() != grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("way", ["direct", "through_envoy"])
def test_grpcurl_lists_the_services(mesh: Mesh, way: str) -> None:
    command = ["grpcurl", "-plaintext", "-max-time", "10", getattr(mesh, way), "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert {f"runwire.v1.{name}" for name in SERVICES} <= set(listed)
    assert "grpc.health.v1.Health" in listed


@pytest.mark.parametrize("way", ["direct", "through_envoy"])
def test_the_python_reflection_client_lists_the_services(mesh: Mesh, way: str) -> None:
    with grpc.insecure_channel(getattr(mesh, way)) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        listed = set(database.get_services())
        file = database.FindFileContainingSymbol("runwire.v1.RunService")
    assert {f"runwire.v1.{name}" for name in SERVICES} <= listed
    assert file.name == "runwire/v1/run_service.proto"
