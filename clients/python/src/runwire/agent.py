"""Agents: values that say what a run runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runwire.conversation import Input, to_messages
from runwire.inputs import Policy
from runwire.options import to_duration, to_options
from runwire.tool import HostedTool, Tool, as_tool
from runwire.v1 import run_pb2

ToolLike = Tool | HostedTool | Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Agent:
    """Model, instructions and tools of one loop."""

    name: str
    #: ``provider:model``, or an alias that the server knows.
    model: str
    instructions: str = ""
    #: Functions run in this process; a :class:`HostedTool` on the host that has registered it.
    tools: Sequence[ToolLike] = ()
    fallback_models: Sequence[str] = ()
    #: Generation options, by the names of :func:`runwire.Client.complete`.
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    #: Kept with the run, for listing and watching.
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Once, not in every run; and what is wrong with a function shows where the agent is made.
        tools = tuple(tool if isinstance(tool, HostedTool) else as_tool(tool) for tool in self.tools)
        object.__setattr__(self, "tools", tools)
        # Copies: what the caller changes later is another agent's.
        object.__setattr__(self, "fallback_models", tuple(self.fallback_models))
        object.__setattr__(self, "model_settings", dict(self.model_settings))
        object.__setattr__(self, "labels", dict(self.labels))


def to_spec(
    agent: Agent,
    tools: Sequence[Tool | HostedTool],
    input: Input,
    *,
    limits: run_pb2.RunLimits,
    labels: Mapping[str, str],
    settings: Mapping[str, Any],
    policy: Policy | None = None,
) -> run_pb2.RunSpec:
    """Convert an agent and its input to the wire's form.

    Raises:
        ValueError: Two tools have one name, or an option or message is wrong.
    """
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen:
            raise ValueError(f"two tools are named '{tool.name}'")
        seen.add(tool.name)
    return run_pb2.RunSpec(
        agent=run_pb2.Agent(
            name=agent.name,
            model=agent.model,
            fallback_models=agent.fallback_models,
            instructions=agent.instructions,
            tools=[_binding(tool) for tool in tools],
            options=to_options(agent.model, {**agent.model_settings, **settings}),
        ),
        input=to_messages(input),
        limits=limits,
        labels={**agent.labels, **labels},
        policy=None if policy is None else policy.to_proto(),
    )


def _binding(tool: Tool | HostedTool) -> run_pb2.ToolBinding:
    binding = run_pb2.ToolBinding()
    if isinstance(tool, Tool):
        binding.attached.CopyFrom(tool.to_proto())
    else:
        binding.hosted.CopyFrom(
            run_pb2.HostedTool(
                name=tool.name,
                version=tool.version,
                host_id=tool.host_id,
                host_labels=tool.host_labels,
                affinity=run_pb2.HOST_AFFINITY_RUN if tool.sticky else run_pb2.HOST_AFFINITY_ANY,
            )
        )
    for field_name in ("timeout", "accept_timeout", "progress_timeout"):
        value = getattr(tool, field_name)
        if value is not None:
            getattr(binding, field_name).CopyFrom(to_duration(value))
    return binding
