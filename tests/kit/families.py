"""Who is asked: every family that the upstream serves, and where each differs, as data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

# Wires: how the bytes look. Decoders and faults go by these, not by vendors.
CHAT, RESPONSES, MISTRAL, ANTHROPIC = "chat", "responses", "mistral", "anthropic"
GEMINI, COHERE, OLLAMA = "gemini", "cohere", "ollama"
# In the event streams of AWS: Bedrock's own, and Anthropic's within it.
CONVERSE, INVOKE = "converse", "invoke"

# What a vendor tells of tokens, in the order of the contract.
INPUT, OUTPUT, CACHE_READ, CACHE_WRITE, REASONING = range(5)

# Reasoning of an earlier turn, and how to know it in a request: a member, and whether it holds the text
# or something of the vendor's.
TEXT_BACK, STATE_BACK = "text", "state"


@dataclass(frozen=True)
class Family:
    """A provider of the configuration. `impatient-NAME` is the same with short time-outs."""

    name: str
    # In the configuration: a protocol, or a vendor by its name.
    kind: str
    wire: str
    # Below the upstream.
    path: str = ""
    model: str = "kit-model"
    parameters: dict[str, str] = field(default_factory=dict)
    # Which numbers of tokens it tells; the others are zero.
    tells: frozenset[int] = frozenset((INPUT, OUTPUT, CACHE_READ, REASONING))
    shows_reasoning: bool = True
    # The member of a later request in which earlier reasoning stands; none where the vendor takes none.
    reasoning_back: tuple[str, str] | None = None
    # By scenario, or scenario and mode, how the first turn differs from the usual.
    differs: dict[str, dict[str, object]] = field(default_factory=dict)
    # What the model is told of a result: `{}` is its text.
    result: str = "{}"
    # By error, or by breaking fault, the reason where it is another one.
    reasons: dict[str, str] = field(default_factory=dict)
    # Whether images of a result follow in a message of the user, which the upstream takes for the question.
    images_follow: bool = False
    # By scenario, or scenario and mode, why it is not tested.
    excused: dict[str, str] = field(default_factory=dict)
    # One of those that conversations begin with before they move to others.
    is_origin: bool = False
    # Whether a conversation of another family goes on without being told to think.
    moves_unasked: bool = False
    # Whether the legal faults are played in every scenario, or in one: it has a decoder of its own.
    is_thorough: bool = True


# Calls whose arguments are objects on the wire: the upstream cannot send broken ones.
OBJECTS = {name: {"calls": [("get_weather", {})]} for name in ("badargs", "lengthtool")}
OBJECTS_IN_ONE_PIECE = {f"{name} unary": differs for name, differs in OBJECTS.items()}


def chat(name: str, path: str, **more: object) -> Family:
    """A vendor that speaks OpenAI's chat completions."""
    settings: dict[str, object] = {
        "kind": name,
        "wire": CHAT,
        "path": path,
        "is_thorough": False,
        "images_follow": True,
        **more,
    }
    return Family(name, **settings)  # type: ignore[arg-type]


# Models that refuse to be forced: the caller is told so, and nothing is sent.
UNFORCED = {"a tool required": {"fails": "INVALID_REQUEST"}, "one tool by name": {"fails": "INVALID_REQUEST"}}


def claude(name: str, kind: str, model: str, **parameters: str) -> Family:
    """Anthropic's messages, wherever they are spoken."""
    differs = {**OBJECTS_IN_ONE_PIECE, **(UNFORCED if "opus-5" in model else {})}
    return Family(
        name,
        kind,
        ANTHROPIC,
        model=model,
        parameters=parameters,
        tells=frozenset((INPUT, OUTPUT, CACHE_READ, CACHE_WRITE)),
        reasoning_back=("thinking", TEXT_BACK),
        differs=differs,
        is_origin=name == "anthropic",
        is_thorough=name == "anthropic",
        # The upstream has the rule of thinking by a budget, that turns with calls begin with it, for adaptive
        # thinking as well; Anthropic's documentation has not ("Adaptive thinking", on validation).
        moves_unasked=True,
    )


def gemini(name: str, kind: str, path: str, model: str, **parameters: str) -> Family:
    """Gemini models, wherever they are."""
    return Family(
        name,
        kind,
        GEMINI,
        path=path,
        model=model,
        parameters=parameters,
        reasoning_back=("thoughtSignature", STATE_BACK),
        differs=OBJECTS,
        result='{{"output": "{}"}}',
        is_origin=name == "gemini",
        is_thorough=name == "gemini",
    )


# With the key of a service account whose tokens the upstream gives out.
VERTEX = {"region": "us-east5", "credentials_file": "{account}"}

# An error in the middle of a stream is a sentence without a code.
UNNAMED = {f"error_after=3 #error_kind={kind}": "PROVIDER_STREAM_BROKEN" for kind in ("boom", "ratelimit")}
NO_IMAGES = (
    "the upstream wants what the vendor's client has in memory, in place of the base64 text that it sends "
    "and that Ollama documents; the golden case `images` holds it"
)

# Signed with the keys of the environment.
AWS = {"region": "us-west-2"}
CLAUDE_ON_AWS = "us.anthropic.claude-sonnet-4-6-v1:0"
# That a model fails on a request says nothing of the request.
OF_THE_MODEL = {"unprocessable": "PROVIDER_UNAVAILABLE"}

FAMILIES = [
    # OpenAI's own chat completions never show reasoning.
    chat("openai", "/v1", shows_reasoning=False, is_origin=True, is_thorough=True),
    chat("deepseek", "/deepseek/v1", reasoning_back=("reasoning_content", TEXT_BACK)),
    chat("fireworks", "/fireworks/v1", reasoning_back=("reasoning_content", TEXT_BACK)),
    chat("groq", "/groq/v1"),
    chat("openrouter", "/openrouter/v1", reasoning_back=("reasoning", TEXT_BACK)),
    chat("together", "/together/v1"),
    chat("tongyi", "/qwen/v1"),
    chat("xai", "/xai/v1"),
    chat("moonshot", "/moonshot/v1", kind="openai"),
    chat("vllm", "/vllm/v1", kind="openai"),
    chat("zai", "/zai/v1", kind="openai"),
    chat("generic", "/generic/v1", kind="openai"),
    # The OpenAI protocol of a server at home.
    chat("ollama", "/generic/v1"),
    chat("azure", "", parameters={"api_version": "2024-10-21"}, shows_reasoning=False),
    chat("azure-v1", "/azure", kind="azure", shows_reasoning=False),
    chat("azure-inference", "/azure/models", kind="azure", shows_reasoning=False),
    Family(
        "responses",
        "openai",
        RESPONSES,
        path="/v1",
        parameters={"api": "responses"},
        tells=frozenset((INPUT, OUTPUT, CACHE_READ, CACHE_WRITE, REASONING)),
        reasoning_back=("encrypted_content", STATE_BACK),
        is_origin=True,
        reasons={
            # The upstream's error event has one code for all of them.
            "error_after=3 #error_kind=ratelimit": "PROVIDER_UNAVAILABLE",
        },
    ),
    Family(
        "mistral",
        "mistral",
        MISTRAL,
        path="/mistral/v1",
        tells=frozenset((INPUT, OUTPUT)),
        reasoning_back=("thinking", STATE_BACK),
        is_origin=True,
        excused={
            "refusal": "Mistral has no refusals, and the upstream tells them in OpenAI's words or not at all"
        },
        differs={
            # What is cut by a filter ends in the word `error`.
            "filter unary": {"fails": "PROVIDER_RESPONSE_INVALID"},
            "filter stream": {"fails": "PROVIDER_STREAM_BROKEN"},
        },
    ),
    claude("anthropic", "anthropic", "claude-sonnet-4-6"),
    claude("anthropic-newer", "anthropic", "claude-opus-5-5", version="2026-10-21"),
    claude("vertex-claude", "google", "claude-sonnet-4-6", **VERTEX),
    claude("vertex-claude-newer", "google", "claude-opus-5-5", anthropic_version="2026-10-21", **VERTEX),
    Family(
        "aws",
        "aws",
        CONVERSE,
        model=CLAUDE_ON_AWS,
        parameters=AWS,
        tells=frozenset((INPUT, OUTPUT, CACHE_READ, CACHE_WRITE)),
        reasoning_back=("reasoningText", STATE_BACK),
        differs=OBJECTS_IN_ONE_PIECE,
        reasons=OF_THE_MODEL,
        is_origin=True,
    ),
    replace(
        claude("aws-claude", "aws", CLAUDE_ON_AWS, api="messages", **AWS), wire=INVOKE, reasons=OF_THE_MODEL
    ),
    gemini("gemini", "gemini", "/v1beta", "gemini-2.5-pro"),
    gemini("gemini-newer", "gemini", "/v1", "gemini-3-pro"),
    gemini("vertex", "google", "", "gemini-2.5-pro", **VERTEX),
    Family(
        "cohere",
        "cohere",
        COHERE,
        tells=frozenset((INPUT, OUTPUT, CACHE_READ)),
        reasoning_back=("thinking", TEXT_BACK),
        is_origin=True,
        images_follow=True,
        reasons=UNNAMED,
        differs={
            # A refusal is text like any other; a filter is an error.
            "refusal": {"finish": "STOP"},
            "filter unary": {"fails": "PROVIDER_UNAVAILABLE"},
            "filter stream": {"fails": "PROVIDER_STREAM_BROKEN"},
        },
    ),
    Family(
        "ollama-native",
        "ollama",
        OLLAMA,
        parameters={"api": "native"},
        tells=frozenset((INPUT, OUTPUT)),
        reasoning_back=("thinking", TEXT_BACK),
        is_origin=True,
        reasons=UNNAMED,
        excused=dict.fromkeys(("echo image", "image in a result"), NO_IMAGES),
        differs={**OBJECTS, "refusal": {"finish": "STOP"}, "filter": {"finish": "STOP"}},
    ),
]
