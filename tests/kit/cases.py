"""What is asked, and what must come of it: the matrix as data."""

from __future__ import annotations

from dataclasses import dataclass, field

# The OpenAI protocol at its different speakers: provider name, path below the upstream.
VENDORS = {
    "openai": "/v1",
    "deepseek": "/deepseek/v1",
    "groq": "/groq/v1",
    "openrouter": "/openrouter/v1",
    "xai": "/xai/v1",
    "together": "/together/v1",
    "fireworks": "/fireworks/v1",
    "vllm": "/vllm/v1",
    "moonshot": "/moonshot/v1",
    "zai": "/zai/v1",
    "qwen": "/qwen/v1",
    "generic": "/generic/v1",
}
# OpenAI's chat completions never show reasoning.
SHOWS_REASONING = set(VENDORS) - {"openai"}


@dataclass(frozen=True)
class Speaker:
    """A provider that speaks a protocol of its own. `impatient-NAME` is the same with short time-outs."""

    kind: str
    # Below the upstream.
    path: str = ""
    model: str = "kit-model"
    parameters: dict[str, str] = field(default_factory=dict)
    # By scenario, or scenario and mode, what comes of it in other words than with OpenAI.
    differs: dict[str, dict[str, object]] = field(default_factory=dict)
    # By error, the reason where it is another one.
    errors: dict[str, str] = field(default_factory=dict)


CLAUDE_DIFFERS = {
    # In one piece the arguments are objects: the upstream cannot send broken ones.
    "badargs unary": {"calls": [("get_weather", {})]},
    "lengthtool unary": {"calls": [("get_weather", {})]},
    # The upstream does not tell reasoning tokens apart.
    "usage": {"usage": (11, 7, 5, 0)},
}
# Arguments are objects: the upstream cannot send broken ones.
GEMINI_DIFFERS = {name: {"calls": [("get_weather", {})]} for name in ("badargs", "lengthtool")}
SPEAKERS = {
    "anthropic": Speaker("anthropic", model="claude-sonnet-4-6", differs=CLAUDE_DIFFERS),
    "anthropic-newer": Speaker(
        "anthropic",
        model="claude-opus-5-5",
        parameters={"version": "2026-10-21"},
        differs=CLAUDE_DIFFERS,
    ),
    "gemini": Speaker("gemini", path="/v1beta", differs=GEMINI_DIFFERS),
    # With the key of a service account whose tokens the upstream gives out.
    "google": Speaker(
        "google",
        parameters={"region": "us-east5", "credentials_file": "{account}"},
        differs=GEMINI_DIFFERS,
    ),
}

TEXT = "Héllo wörld — 你好 🌍 done."
PARIS = {"city": "Paris", "unit": "c"}
DONE = "It is 18C in Paris."


@dataclass(frozen=True)
class Case:
    """A scenario by its name, and what must come of it."""

    name: str
    text: str | None = None
    finish: str = "STOP"
    calls: list[tuple[str, object]] = field(default_factory=list)
    # The text of the turn after the tools have answered.
    then: str | None = None
    reasoning: str | None = None
    usage: tuple[int, int, int, int] = (11, 7, 0, 0)
    reason: str | None = None
    schema: dict[str, object] | None = None
    image: bool = False


def tools(name: str, *calls: tuple[str, object], then: str, **more: object) -> Case:
    return Case(name, finish="TOOL_CALLS", calls=list(calls), then=then, **more)  # type: ignore[arg-type]


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

SCENARIOS = [
    Case("plain", text=TEXT),
    tools("weather", ("get_weather", PARIS), then=DONE),
    tools(
        "parallel",
        ("get_weather", {"city": "Paris"}),
        ("get_weather", {"city": "Oslo"}),
        ("get_time", {"tz": "UTC"}),
        then="Paris 18C, Oslo 3C, 12:00.",
    ),
    Case("think", text="The answer is 4.", reasoning="2+2 equals 4 because arithmetic."),
    tools(
        "thinktool",
        ("get_weather", PARIS),
        text="Let me check.",
        reasoning="I should look at the weather.",
        then=DONE,
    ),
    tools("mixed", ("get_weather", {"city": "Rome"}), text="Let me look. ", then="done"),
    Case("usage", text="ok", usage=(11, 7, 5, 3)),
    Case("refusal", text="I can't help with that.", finish="CONTENT_FILTER"),
    Case("filter", text="partial", finish="CONTENT_FILTER"),
    Case("length", text="trunc", finish="LENGTH"),
    Case("lengthtool", finish="LENGTH", calls=[("get_weather", None)]),
    Case("stopseq", text="before"),
    Case("empty", text=""),
    tools("many", *(("get_weather", {"city": f"C{i}"}) for i in range(20)), then="all done"),
    tools("noargs", ("ping", {}), then="ok"),
    tools("unicodeargs", ("get_weather", {"city": 'München "quoted" \\ 你好 🌍\n'}), then="ok"),
    tools("bigargs", ("write_file", {"path": "a.txt", "content": "x" * 200_000}), then="ok"),
    tools("badargs", ("get_weather", None), then="recovered"),
    tools("unknowntool", ("no_such_tool", {"a": 1}), then="recovered"),
    Case("json", text='{"name": "Ada", "age": 36}', schema=PERSON),
    Case("echo", text="echo this", image=True),
]

ERRORS = {
    "invalid": "PROVIDER_INVALID_REQUEST",
    "context": "CONTEXT_LENGTH_EXCEEDED",
    "auth": "PROVIDER_CREDENTIALS_REJECTED",
    "billing": "PROVIDER_QUOTA_EXHAUSTED",
    "permission": "PROVIDER_CREDENTIALS_REJECTED",
    "notfound": "MODEL_NOT_FOUND",
    "toolarge": "REQUEST_TOO_LARGE",
    "unprocessable": "PROVIDER_INVALID_REQUEST",
    "ratelimit": "PROVIDER_RATE_LIMITED",
    "quota": "PROVIDER_QUOTA_EXHAUSTED",
    "boom": "PROVIDER_UNAVAILABLE",
    "badgateway": "PROVIDER_UNAVAILABLE",
    "unavailable": "PROVIDER_UNAVAILABLE",
    "timeout": "PROVIDER_TIMEOUT",
    "overloaded": "PROVIDER_OVERLOADED",
}

# What a client must read as if nothing were the matter.
LEGAL = [
    "crlf",
    "cr",
    "comments",
    "pings",
    "sse_fields",
    "multiline",
    "no_space",
    "bom",
    "unknown_events",
    "split_utf8",
    "coalesce",
    "gzip",
    "close",
    "piece=1",
    "piece=50",
    "after_done",
    "no_done",
    "drip=3",
    "ascii",
    "delay_ms=50",
    "ttfb_ms=50",
    "chunk_ms=2",
    "no_eof=30000",
    "usage_inline",
    "usage_each",
    "null_usage",
    "role_each",
    "finish_empty",
    "no_index",
    "no_tool_id",
    "id_each",
    "dup_ids",
    "one_chunk_tools",
    "interleave",
    "wrong_ct",
]

# What must be noticed: the reason in one piece (None: an answer without streams is not harmed), and streamed.
BREAKING = {
    "error_after=3": (None, "PROVIDER_OVERLOADED"),
    "error_after=3 #error_kind=boom": (None, "PROVIDER_UNAVAILABLE"),
    "error_after=3 #error_kind=ratelimit": (None, "PROVIDER_RATE_LIMITED"),
    "cut_after=3": (None, "PROVIDER_STREAM_BROKEN"),
    "end_after=3": (None, "PROVIDER_STREAM_BROKEN"),
    "end_after=0": (None, "PROVIDER_STREAM_BROKEN"),
    "garbage_after=2": (None, "PROVIDER_STREAM_BROKEN"),
    "stall_after=3 #stall_ms=60000": (None, "PROVIDER_TIMEOUT"),
    "ttfb_ms=60000": (None, "PROVIDER_TIMEOUT"),
    "delay_ms=60000": ("PROVIDER_TIMEOUT", "PROVIDER_TIMEOUT"),
    "reset": ("PROVIDER_UNAVAILABLE", "PROVIDER_UNAVAILABLE"),
    "malformed": ("PROVIDER_RESPONSE_INVALID", None),
    "empty_body": ("PROVIDER_RESPONSE_INVALID", None),
    "truncate_body": ("PROVIDER_UNAVAILABLE", None),
    "html #status=502": ("PROVIDER_UNAVAILABLE", "PROVIDER_UNAVAILABLE"),
    "redirect=http://127.0.0.1:9/": ("PROVIDER_RESPONSE_INVALID", "PROVIDER_RESPONSE_INVALID"),
    "status=503": ("PROVIDER_UNAVAILABLE", "PROVIDER_UNAVAILABLE"),
    "error=ratelimit #retry_after=3": ("PROVIDER_RATE_LIMITED", "PROVIDER_RATE_LIMITED"),
    "error=ratelimit #retry_after_date=3": ("PROVIDER_RATE_LIMITED", "PROVIDER_RATE_LIMITED"),
}
