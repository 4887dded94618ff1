"""Runwire: one API over all large-language-model providers, agents, and tools that live in your process.

>>> from runwire import Agent, Client, Runner, tool
>>> @tool
... def weather(city: str) -> str:
...     "Today's weather in a city."
...     return f"{city}: 21 °C, clear"
>>> agent = Agent(name="guide", model="script:demo", tools=[weather])
>>> Runner.run_sync(agent, "What is the weather in Lisbon?", client=Client()).final_output  # doctest: +SKIP
"""

from runwire.agent import Agent
from runwire.client import AsyncClient, Client, Model
from runwire.completion import Completion, CompletionStream, SyncCompletionStream, ToolCall
from runwire.errors import (
    Aborted,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    RunwireError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Violation,
)
from runwire.events import (
    Event,
    InputAnswered,
    MessageCompleted,
    MessageDiscarded,
    PolicyDecided,
    ReasoningDelta,
    Run,
    RunUpdated,
    Snapshot,
    TextDelta,
    ToolCallDelta,
    ToolCallUpdated,
    Usage,
)
from runwire.inputs import Policy, PolicyRule, RequiredInput
from runwire.runner import RunFailed, Runner, RunResult, RunStream
from runwire.tool import Declined, HostedTool, Media, Tool, ToolContext, ToolError, tool
from runwire.toolhost import ToolHost
from runwire.transport import Tls

__all__ = [
    "Aborted",
    "Agent",
    "AsyncClient",
    "Cancelled",
    "Client",
    "Completion",
    "CompletionStream",
    "DeadlineExceeded",
    "Declined",
    "Event",
    "FailedPrecondition",
    "HostedTool",
    "InputAnswered",
    "Internal",
    "InvalidArgument",
    "Media",
    "MessageCompleted",
    "MessageDiscarded",
    "Model",
    "NotFound",
    "PermissionDenied",
    "Policy",
    "PolicyDecided",
    "PolicyRule",
    "ReasoningDelta",
    "RequiredInput",
    "ResourceExhausted",
    "Run",
    "RunFailed",
    "RunResult",
    "RunStream",
    "RunUpdated",
    "Runner",
    "RunwireError",
    "Snapshot",
    "SyncCompletionStream",
    "TextDelta",
    "Tls",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallUpdated",
    "ToolContext",
    "ToolError",
    "ToolHost",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Usage",
    "Violation",
    "tool",
]
