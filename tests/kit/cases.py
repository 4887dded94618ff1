"""What is asked, and what must come of it: the columns of the matrix as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from runwire.v1 import generation_pb2 as generation

from families import (
    ANTHROPIC,
    CHAT,
    COHERE,
    CONVERSE,
    GEMINI,
    INVOKE,
    MISTRAL,
    OLLAMA,
    RESPONSES,
    Family,
)

UNARY, STREAM = "unary", "stream"
MODES = (UNARY, STREAM)
COLUMNS = (
    "text",
    "tool",
    "parallel",
    "results",
    "images",
    "reasoning",
    "schema",
    "options",
    "more",
    "legal",
    "broken",
    "errors",
    "moves",
    "cancel",
)

TEXT = "Héllo wörld — 你好 🌍 done."
PARIS = {"city": "Paris", "unit": "c"}
DONE = "It is 18C in Paris."
RESULT = "18C, clear"
Calls = list[tuple[str, object]]


@dataclass(frozen=True)
class Turn:
    """What the model says in one turn."""

    text: str = ""
    finish: str = "STOP"
    calls: Calls = field(default_factory=list)
    reasoning: str = ""
    # The reason, where the turn is an error instead.
    fails: str | None = None
    # Whether the text is of no interest. Else a result's text goes in place of `{}` in it.
    any_text: bool = False


@dataclass(frozen=True)
class Case:
    """A scenario of the upstream by its name, and what must come of it, turn by turn."""

    name: str
    column: str
    turns: tuple[Turn, ...]
    # A name of its own, where a scenario is asked in several ways.
    title: str = ""
    usage: tuple[int, int, int, int, int] = (11, 7, 0, 0, 0)
    schema: dict[str, object] | None = None
    # Whether the question, or the tools' results, hold an image.
    image: bool = False
    result_image: bool = False
    # Whether tools are offered although none is called.
    offers: bool = False
    # A system message stands in front.
    system: bool = False
    options: Callable[[generation.GenerationOptions], None] | None = None

    @property
    def row(self) -> str:
        return self.title or self.name


def tools(name: str, column: str, *calls: tuple[str, object], then: str, **more: object) -> Case:
    first = Turn(
        text=str(more.pop("text", "")),
        finish="TOOL_CALLS",
        calls=list(calls),
        reasoning=str(more.pop("reasoning", "")),
    )
    return Case(name, column, (first, Turn(text=then)), **more)  # type: ignore[arg-type]


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def think(options: generation.GenerationOptions) -> None:
    options.reasoning_effort = generation.REASONING_EFFORT_HIGH
    options.max_output_tokens = 64_000


def sample(options: generation.GenerationOptions) -> None:
    options.max_output_tokens = 4096
    options.temperature = 0.5
    options.top_p = 0.75
    options.top_k = 40
    options.seed = 7
    options.stop_sequences.extend(["END", "STOP"])


def require(options: generation.GenerationOptions) -> None:
    options.tool_choice.mode = generation.ToolChoice.MODE_REQUIRED


def single(options: generation.GenerationOptions) -> None:
    options.tool_choice.tool_name = "get_weather"
    options.parallel_tool_calls = False


def forbid(options: generation.GenerationOptions) -> None:
    options.tool_choice.mode = generation.ToolChoice.MODE_NONE


SCENARIOS = [
    Case("plain", "text", (Turn(TEXT),)),
    Case("empty", "text", (Turn(""),)),
    tools("weather", "tool", ("get_weather", PARIS), then=DONE),
    tools("noargs", "tool", ("ping", {}), then="ok"),
    tools("unicodeargs", "tool", ("get_weather", {"city": 'München "quoted" \\ 你好 🌍\n'}), then="ok"),
    tools("bigargs", "tool", ("write_file", {"path": "a.txt", "content": "x" * 200_000}), then="ok"),
    tools("mixed", "tool", ("get_weather", {"city": "Rome"}), text="Let me look. ", then="done"),
    tools("badargs", "tool", ("get_weather", None), then="recovered"),
    tools("unknowntool", "tool", ("no_such_tool", {"a": 1}), then="recovered"),
    tools(
        "parallel",
        "parallel",
        ("get_weather", {"city": "Paris"}),
        ("get_weather", {"city": "Oslo"}),
        ("get_time", {"tz": "UTC"}),
        then="Paris 18C, Oslo 3C, 12:00.",
    ),
    tools("many", "parallel", *(("get_weather", {"city": f"C{i}"}) for i in range(20)), then="all done"),
    tools("echoresult", "results", ("get_weather", {"city": "Paris"}), then="results: {}"),
    Case(
        "chain",
        "results",
        (
            *(Turn(finish="TOOL_CALLS", calls=[("get_weather", {"city": f"City{i}"})]) for i in range(3)),
            Turn("chain done: {}; {}; {}"),
        ),
    ),
    Case("echo", "images", (Turn("echo this"),), title="echo image", image=True),
    tools(
        "mixed",
        "images",
        ("get_weather", {"city": "Rome"}),
        text="Let me look. ",
        then="done",
        title="image in a result",
        result_image=True,
    ),
    Case(
        "think",
        "reasoning",
        (Turn("The answer is 4.", reasoning="2+2 equals 4 because arithmetic."),),
        options=think,
    ),
    tools(
        "thinktool",
        "reasoning",
        ("get_weather", PARIS),
        text="Let me check.",
        reasoning="I should look at the weather.",
        then=DONE,
        options=think,
    ),
    Case("json", "schema", (Turn('{"name": "Ada", "age": 36}'),), schema=PERSON),
    Case("plain", "options", (Turn(TEXT),), title="sampling", system=True, options=sample),
    Case("plain", "options", (Turn(TEXT),), title="tools forbidden", offers=True, options=forbid),
    tools("weather", "options", ("get_weather", PARIS), then=DONE, title="a tool required", options=require),
    tools("weather", "options", ("get_weather", PARIS), then=DONE, title="one tool by name", options=single),
    Case("usage", "more", (Turn("ok"),), usage=(11, 7, 5, 2, 3)),
    Case("refusal", "more", (Turn("I can't help with that.", "CONTENT_FILTER"),)),
    Case("filter", "more", (Turn("partial", "CONTENT_FILTER"),)),
    Case("length", "more", (Turn("trunc", "LENGTH"),)),
    Case("lengthtool", "more", (Turn(finish="LENGTH", calls=[("get_weather", None)]),)),
    Case("stopseq", "more", (Turn("before"),)),
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

# === what is legal on the wire ===

ALL = frozenset((CHAT, RESPONSES, MISTRAL, ANTHROPIC, GEMINI, COHERE, OLLAMA, CONVERSE, INVOKE))
TEXTUAL = ALL - {CONVERSE, INVOKE}
SSE = TEXTUAL - {OLLAMA}
# The first one alone, where a family shares its decoder with another that has them all.
FULL = ("weather", "parallel", "plain")


@dataclass(frozen=True)
class Legal:
    """What a client must read as if nothing were the matter."""

    words: str
    # Where the upstream does it; elsewhere the word would change nothing.
    wires: frozenset[str] = ALL
    modes: tuple[str, ...] = (STREAM,)
    why_not: str = "the wire has no such thing"
    scenarios: tuple[str, ...] = FULL
    tells_usage: bool = True


LINES = "server-sent events only: neither lines of JSON nor messages of AWS have such a thing"
CHAT_ONLY = "a dialect of OpenAI's chat completions"
CALLS = ("weather", "parallel")
NAMED = frozenset((ANTHROPIC, RESPONSES, COHERE))
LEGAL = [
    Legal("crlf", TEXTUAL, why_not="messages of AWS have no lines"),
    Legal("cr", SSE, why_not="lines of JSON end with a line feed, and messages of AWS have no lines"),
    Legal("comments", SSE, why_not=LINES),
    Legal("pings", SSE, why_not=LINES),
    Legal("sse_fields", SSE, why_not=LINES),
    Legal("multiline", SSE, why_not=LINES),
    Legal("no_space", SSE, why_not=LINES),
    Legal("bom", SSE, why_not=LINES),
    Legal("unknown_events", NAMED, why_not="its events have no names, or the upstream knows no others"),
    Legal("no_ping", frozenset((ANTHROPIC,)), why_not="only Anthropic's pings belong to the answer"),
    Legal("split_utf8", modes=MODES),
    Legal("drip=3", modes=MODES),
    Legal("gzip", modes=MODES),
    Legal("close", modes=MODES),
    Legal("wrong_ct", modes=MODES),
    Legal("delay_ms=50", modes=MODES),
    Legal("coalesce"),
    Legal("piece=1"),
    Legal("piece=50"),
    Legal("ascii"),
    Legal("ttfb_ms=50"),
    Legal("chunk_ms=2"),
    Legal("no_eof=30000"),
    Legal("after_done", SSE, why_not=LINES),
    Legal("ids", frozenset((GEMINI,)), MODES, "its calls have ids anyhow, or never", CALLS),
    Legal(
        "dup_ids",
        ALL - {GEMINI, OLLAMA},
        MODES,
        "its calls have no ids",
        ("parallel",),
    ),
    Legal("no_done", frozenset((CHAT, MISTRAL)), why_not=CHAT_ONLY),
    Legal("role_each", frozenset((CHAT, MISTRAL)), why_not=CHAT_ONLY),
    Legal("finish_empty", frozenset((CHAT, MISTRAL)), why_not=CHAT_ONLY),
    Legal("no_index", frozenset((CHAT, MISTRAL)), why_not=CHAT_ONLY, scenarios=CALLS),
    Legal("usage_inline", frozenset((CHAT,)), why_not=CHAT_ONLY),
    Legal("usage_each", frozenset((CHAT,)), why_not=CHAT_ONLY),
    Legal("no_usage", frozenset((CHAT,)), why_not=CHAT_ONLY, tells_usage=False),
    Legal("null_usage", frozenset((CHAT,)), (UNARY,), CHAT_ONLY, tells_usage=False),
    Legal("no_tool_id", frozenset((CHAT,)), why_not=CHAT_ONLY, scenarios=CALLS),
    Legal("id_each", frozenset((CHAT,)), why_not=CHAT_ONLY, scenarios=CALLS),
    Legal("one_chunk_tools", frozenset((CHAT,)), why_not=CHAT_ONLY, scenarios=CALLS),
    Legal("interleave", frozenset((CHAT,)), why_not=CHAT_ONLY, scenarios=("parallel",)),
]

# === what breaks ===

# What must be noticed: the reason in one piece, and streamed. None: an answer of that kind is not harmed.
BREAKING: dict[str, tuple[str | None, str | None]] = {
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
# The wait that must be told, in seconds: between these.
WAITS = {
    "ratelimit": (2, 2),
    "plain #error=ratelimit #retry_after=3": (3, 3),
    # Counted from the response's own date, both to the second.
    "plain #error=ratelimit #retry_after_date=3": (2, 3),
}
NO_STREAM = "an answer in one piece has no middle"
NO_BODY = "a stream has no body to be cut: see the faults behind its first events"
NO_UNARY = "said in streams only"
NO_STREAMED = "said in one piece only"


def reason_of(family: Family, words: str, usual: str) -> str:
    """The reason of an error or a fault, which a family may have another word for."""
    return family.reasons.get(words, usual)
