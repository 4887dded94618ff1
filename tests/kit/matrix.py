"""Every scenario, wire fault and error of the upstream, through the server, unary and streamed."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.rpc import error_details_pb2, status_pb2
from runwire.v1 import completion_service_pb2 as pb
from runwire.v1 import completion_service_pb2_grpc as rpc
from runwire.v1 import generation_pb2 as generation
from runwire.v1 import message_pb2 as content

from cases import BREAKING, ERRORS, LEGAL, SCENARIOS, SHOWS_REASONING, SPEAKERS, TEXT, VENDORS, Case
from servers import Server, Upstream

MODES = ("unary", "stream")
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


class Wrong(Exception):
    """Something is not what it must be."""


@dataclass
class Answer:
    """An answer, or the reason why there is none."""

    completion: pb.Completion | None
    reason: str
    retry: float | None
    # What was shown of a stream: its texts joined, and its calls' arguments by part.
    shown: str


def model_of(provider: str) -> str:
    """The model that a provider is asked for."""
    speaker = SPEAKERS.get(provider.removeprefix(IMPATIENT))
    return f"{provider}:{speaker.model if speaker else 'kit-model'}"


def params(model: str, messages: list[content.Message], case: Case) -> pb.CompletionParams:
    request = pb.CompletionParams(model=model, messages=messages)
    if case.schema:
        request.options.output_schema_json = json.dumps(case.schema)
    for name, properties in TOOLS.items() if case.calls else ():
        schema = {"type": "object", "properties": properties}
        request.tools.append(
            generation.Tool(name=name, description=name, input_schema_json=json.dumps(schema))
        )
    return request


def ask(stub: rpc.CompletionServiceStub, mode: str, request: pb.CompletionParams) -> Answer:
    shown = ""
    try:
        if mode == "unary":
            reply = stub.GenerateCompletion(pb.GenerateCompletionRequest(params=request), timeout=DEADLINE)
            return Answer(reply.completion, "", None, "")
        for event in stub.StreamCompletion(pb.StreamCompletionRequest(params=request), timeout=DEADLINE):
            shown += event.delta.text
            if event.HasField("completion"):
                return Answer(event.completion, "", None, shown)
        raise Wrong("the stream ended without a completion")
    except grpc.RpcError as error:
        return Answer(None, *details(error), shown)


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


def check(answer: Answer, case: Case, mode: str, shows_reasoning: bool) -> content.Message:
    if answer.completion is None:
        raise Wrong(f"failed with {answer.reason}")
    completion = answer.completion
    message = completion.message
    finish = content.FinishReason.Name(completion.finish_reason).removeprefix("FINISH_REASON_")
    expect("finish", finish, case.finish)
    expect("text", texts(message), case.text or "")
    if mode == "stream":
        expect("what was shown", answer.shown, texts(message))
    calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
    expect("calls", [(c.name, arguments(c.arguments_json)) for c in calls], case.calls)
    expect("distinct ids", len({call.id for call in calls}), len(calls))
    reasoning = "".join(part.reasoning.text for part in message.parts)
    expect("reasoning", reasoning, (case.reasoning if shows_reasoning else None) or "")
    return message


def check_usage(completion: pb.Completion, wanted: tuple[int, int, int, int]) -> None:
    usage = completion.usage
    found = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens)
    expect("usage", found, wanted)


def user(text: str, image: bool = False) -> content.Message:
    parts = [content.Part(text=text)]
    if image:
        parts.append(content.Part(media=content.Media(media_type="image/png", data=PNG)))
    return content.Message(role=content.ROLE_USER, parts=parts)


def results(message: content.Message) -> content.Message:
    parts = [
        content.Part(
            tool_result=content.ToolResult(call_id=part.tool_call.id, parts=[content.Part(text="18C, clear")])
        )
        for part in message.parts
        if part.HasField("tool_call")
    ]
    return content.Message(role=content.ROLE_TOOL, parts=parts)


def play(stub: rpc.CompletionServiceStub, vendor: str, mode: str, case: Case, faults: str = "") -> None:
    """One conversation: a turn, and a second one when tools were called."""
    model, shows = model_of(vendor), vendor in SHOWS_REASONING or vendor in SPEAKERS
    prompt = f"{case.text if case.name == 'echo' else case.name}{faults}"
    messages = [user(prompt, case.image)]
    answer = ask(stub, mode, params(model, messages, case))
    message = check(answer, case, mode, shows)
    # With these words on the wire the upstream tells no tokens, or others.
    if answer.completion is not None and not faults:
        check_usage(answer.completion, case.usage)
    if case.then is not None:
        messages += [message, results(message)]
        answer = ask(stub, mode, params(model, messages, case))
        check(answer, Case(case.name, text=case.then), mode, shows)


def fail(stub: rpc.CompletionServiceStub, vendor: str, mode: str, prompt: str, reason: str) -> None:
    """A call that must fail with this reason."""
    answer = ask(stub, mode, params(model_of(vendor), [user(prompt)], Case(prompt)))
    if answer.completion is not None:
        raise Wrong("no failure")
    expect("reason", answer.reason, reason)
    if "retry_after" in prompt and (answer.retry is None or not 1.5 <= answer.retry <= 3):
        raise Wrong(f"retry after {answer.retry}")


def cases(stub: rpc.CompletionServiceStub):
    """Every cell: row, column, what to do."""
    by_name = {case.name: case for case in SCENARIOS}
    for vendor in VENDORS:
        for mode in MODES:
            for case in SCENARIOS:
                # 200 kB in pieces of seven characters once is enough.
                words = " #piece=1000" if case.name == "bigargs" and vendor != "openai" else ""
                row = f"{vendor} {case.name}"
                yield row, mode, lambda v=vendor, m=mode, c=case, w=words: play(stub, v, m, c, w)
    for provider, speaker in SPEAKERS.items():
        for mode in MODES:
            for usual in SCENARIOS:
                keys = (usual.name, f"{usual.name} {mode}")
                differs = {
                    name: value for key in keys for name, value in speaker.differs.get(key, {}).items()
                }
                case = replace(usual, **differs)
                words = " #piece=1000" if case.name == "bigargs" else ""
                row = f"{provider} {case.name}"
                yield row, mode, lambda p=provider, m=mode, c=case, w=words: play(stub, p, m, c, w)
    for provider in ("openai", *SPEAKERS):
        yield from wire_cases(stub, provider, by_name)


def wire_cases(stub: rpc.CompletionServiceStub, provider: str, by_name: dict[str, Case]):
    """Every wire fault and every error of one protocol."""
    prefix = "" if provider == "openai" else f"{provider} "
    errors = SPEAKERS[provider].errors if provider in SPEAKERS else {}
    for mode in MODES:
        for fault in LEGAL:
            for name in ("plain", "weather", "parallel"):
                case, words = by_name[name], f" #{fault}"
                row = f"{prefix}#{fault} {name}"
                yield row, mode, lambda m=mode, c=case, w=words: play(stub, provider, m, c, w)
        for fault, reasons in BREAKING.items():
            reason = reasons[MODES.index(mode)]
            if reason is None:
                continue
            asked = f"{IMPATIENT}{provider}" if reason == "PROVIDER_TIMEOUT" else provider
            prompt = f"plain #{fault}"
            yield (
                f"{prefix}#{fault}",
                mode,
                lambda v=asked, m=mode, p=prompt, r=reason: fail(stub, v, m, p, r),
            )
        for kind, usual in ERRORS.items():
            for vendor in ("openai", "groq") if provider == "openai" else (provider,):
                reason = errors.get(kind, usual)
                yield (
                    f"{vendor} error {kind}",
                    mode,
                    lambda v=vendor, m=mode, k=kind, r=reason: fail(stub, v, m, k, r),
                )


def cancel(stub: rpc.CompletionServiceStub, upstream: Upstream) -> None:
    """A caller that leaves takes the provider's request along."""
    request = params("openai:kit-model", [user("long #chunk_ms=20")], Case("long"))
    stream = stub.StreamCompletion(pb.StreamCompletionRequest(params=request))
    for event in stream:
        if event.delta.text:
            break
    stream.cancel()
    for _ in range(50):
        journal = upstream.ask("journal")
        if any(entry.get("client_gone") for entry in journal if entry.get("scenario") == "long"):
            return
        time.sleep(0.1)
    raise Wrong("the upstream still talks")


def service_account(upstream: Upstream) -> Path:
    """A key of Google's, for tokens of the upstream."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "kit",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "kit@kit.example",
        "token_uri": f"{upstream.url}/token",
    }
    file = Path(tempfile.mkdtemp(prefix="runwire-kit-")) / "account.json"
    file.write_text(json.dumps(account))
    return file


def config(upstream: Upstream) -> str:
    account = service_account(upstream)

    def section(name: str, kind: str, path: str, parameters: dict[str, str]) -> str:
        lines = [
            f"[providers.{name}]",
            f'kind = "{kind}"',
            f'base_url = "{upstream.url}{path}"',
            'api_key_env = "KIT_KEY"',
        ]
        if name.startswith(IMPATIENT):
            lines += ['first_byte_timeout = "1s"', 'idle_timeout = "1s"', 'timeout = "2s"']
        if parameters:
            lines.append(f"[providers.{name}.parameters]")
            lines += [f'{key} = "{value.format(account=account)}"' for key, value in parameters.items()]
        return "\n".join(lines)

    sections = [section(name, "openai", path, {}) for name, path in VENDORS.items()]
    sections.append(section(f"{IMPATIENT}openai", "openai", VENDORS["openai"], {}))
    for name, speaker in SPEAKERS.items():
        names = (name, f"{IMPATIENT}{name}")
        sections += [section(full, speaker.kind, speaker.path, speaker.parameters) for full in names]
    return "[retry]\nmax_attempts = 1\n" + "\n\n".join(sections) + "\n"


def report(rows: dict[str, dict[str, str]]) -> tuple[int, int]:
    passed = failed = 0
    print(f"{'':42} {'unary':8} stream")
    for row, cells in rows.items():
        marks = []
        for mode in MODES:
            outcome = cells.get(mode)
            marks.append("-" if outcome is None else "ok" if outcome == "" else "FAILED")
            passed += outcome == ""
            failed += bool(outcome)
        print(f"{row[:42]:42} {marks[0]:8} {marks[1]}")
    for row, cells in rows.items():
        for mode, outcome in cells.items():
            if outcome:
                print(f"FAILED {row} ({mode}): {outcome}")
    return passed, failed


def run(action) -> str:
    try:
        action()
    except Wrong as wrong:
        return str(wrong)
    return ""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--only", default="", help="rows that hold this text")
    arguments = parser.parse_args()
    upstream = Upstream.start(arguments.kit)
    try:
        server = Server.start(config(upstream))
        with grpc.insecure_channel(server.address) as channel:
            stub = rpc.CompletionServiceStub(channel)
            cells = [cell for cell in cases(stub) if arguments.only in cell[0]]
            # The upstream knows Gemini's calls by name and arguments, and expects the signature that it has
            # given last on all of them: those that get one go last, and one by one.
            cells.sort(key=lambda cell: cell[0].endswith(" thinktool"))
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                early = [cell for cell in cells if not cell[0].endswith(" thinktool")]
                outcomes = list(pool.map(lambda cell: run(cell[2]), early))
                outcomes += [run(action) for _, _, action in cells[len(early) :]]
            rows: dict[str, dict[str, str]] = {}
            for (row, mode, _), outcome in zip(cells, outcomes, strict=True):
                rows.setdefault(row, {})[mode] = outcome
            rows["cancellation reaches the upstream"] = {"stream": run(lambda: cancel(stub, upstream))}
        log = server.stop()
        rows["no prompt and no key in the log"] = {
            "unary": "a prompt or a key" if "sk-kit" in log or "plain #" in log or TEXT in log else ""
        }
        passed, failed = report(rows)
        for violation in upstream.ask("violations?level=error"):
            print("VIOLATION", json.dumps(violation, ensure_ascii=False)[:400])
            failed += 1
    finally:
        upstream.stop()
    print(f"\nkit: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
