"""Every family, scenario, wire fault and error of the upstream, through the server, unary and streamed."""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import grpc
from runwire.v1 import completion_service_pb2 as pb
from runwire.v1 import completion_service_pb2_grpc as rpc
from runwire.v1 import message_pb2 as content

from cases import (
    BREAKING,
    ERRORS,
    LEGAL,
    MODES,
    NO_BODY,
    NO_STREAM,
    NO_STREAMED,
    NO_UNARY,
    SCENARIOS,
    STREAM,
    TEXT,
    UNARY,
    WAITS,
    Case,
    Legal,
    reason_of,
)
from configure import config, service_account
from families import FAMILIES, GEMINI, STATE_BACK, Family
from report import Cell, Outcome, report
from servers import Server, Upstream
from talk import (
    IMPATIENT,
    Stub,
    Wrong,
    ask,
    check,
    check_usage,
    expect,
    model_of,
    params,
    results,
    system,
    user,
)
from tokens import renewals

# So many conversations at once.
WORKERS = 16
BY_NAME = {case.row: case for case in SCENARIOS}


@dataclass
class Bench:
    """What a cell is played on."""

    stub: Stub
    upstream: Upstream
    # Conversations that have begun, by family and scenario, to be gone on with elsewhere.
    begun: dict[tuple[str, str], list[content.Message]]


# What the upstream has noted of the requests that hold a mark, in their order.
Entries = list[dict[str, object]]
# What remains to be looked up of a cell when all are played: the mark, and what to find under it.
Later = tuple[str, Callable[[Entries], None]]
Action = Callable[[Bench], Later | None]


@dataclass(frozen=True)
class Plan:
    """A cell that is to be played; `alone` where the upstream would mix it up with others."""

    cell: Cell
    action: Action
    alone: bool = False


def differing(family: Family, case: Case, mode: str) -> Case:
    """The case with what this family makes of its first turn."""
    first = case.turns[0]
    for key in (case.row, f"{case.row} {mode}"):
        first = replace(first, **family.differs.get(key, {}))
    rest = case.turns[1:]
    if case.result_image and family.images_follow:
        rest = tuple(replace(turn, any_text=True) for turn in rest)
    return replace(case, turns=(first, *rest))


def play(bench: Bench, family: Family, mode: str, case: Case, words: str, tells_usage: bool) -> None:
    """One conversation, turn by turn."""
    question = case.turns[0].text if case.name == "echo" else f"{case.name}{words}"
    messages = [user(question, case.image)]
    if case.system:
        messages.insert(0, system("Answer briefly."))
    for turn in case.turns:
        answer = ask(bench.stub, mode, params(model_of(family), messages, case))
        if turn.fails:
            expect("reason", answer.reason, turn.fails)
            return
        completion = check(answer, turn, family, mode)
        check_usage(completion, family, case.usage if tells_usage else (0,) * 5)
        messages += [completion.message, results(completion.message, case.result_image)]


NUMBERS = itertools.count()
MARK = re.compile(r"mark\d{6}")


def new_mark() -> str:
    """A word that no other request holds."""
    return f"mark{next(NUMBERS):06}"


def play_reasoning(bench: Bench, family: Family, mode: str, case: Case) -> Later:
    """A conversation whose first turn thinks; what stands of it in the later request is looked up."""
    mark = new_mark()
    play(bench, family, mode, case, f" {mark}", True)
    return mark, partial(check_reasoning, family=family, case=case)


def check_reasoning(entries: Entries, family: Family, case: Case) -> None:
    expect("requests", len(entries), len(case.turns))
    thought, later = case.turns[0].reasoning, entries[-1]["body"]
    if family.reasoning_back is None:
        expect("the reasoning is sent back", thought in json.dumps(later), False)
        return
    member, kind = family.reasoning_back
    found = list(members(later, member))
    if not any(value and (kind == STATE_BACK or value == thought) for value in found):
        raise Wrong(f"the reasoning is missing: {member} is {str(found)[:120]}")


def members(value: object, name: str) -> Iterator[object]:
    """All values of a member, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from members(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner, name)


def fail(bench: Bench, model: str, mode: str, prompt: str, reason: str) -> None:
    """A call that must fail with this reason, and say how long to wait where the upstream does."""
    answer = ask(bench.stub, mode, params(model, [user(prompt)], Case(prompt, "", ())))
    if answer.completion is not None:
        raise Wrong("no failure")
    expect("reason", answer.reason, reason)
    if prompt in WAITS:
        least, most = WAITS[prompt]
        if answer.retry is None or not least <= answer.retry <= most:
            raise Wrong(f"retry after {answer.retry}")


def begin(bench: Bench, origin: Family, name: str) -> None:
    """The first half of a conversation that goes on elsewhere."""
    case = BY_NAME[name]
    messages = [user(name)]
    answer = ask(bench.stub, UNARY, params(model_of(origin), messages, case))
    completion = check(answer, case.turns[0], origin, UNARY)
    bench.begun[origin.name, name] = [*messages, completion.message, results(completion.message)]


def move(bench: Bench, origin: Family, family: Family, mode: str, name: str) -> None:
    """A conversation that another family has begun goes on here."""
    case = BY_NAME[name]
    if family.moves_unasked:
        case = replace(case, options=None)
    request = params(model_of(family), bench.begun[origin.name, name], case)
    check(ask(bench.stub, mode, request), case.turns[1], family, mode)


def cancel(bench: Bench, family: Family, mode: str) -> Later:
    """A caller that leaves takes the provider's request along."""
    mark = new_mark()
    words = "#chunk_ms=20" if mode == STREAM else "#delay_ms=60000"
    request = params(model_of(family), [user(f"long {words} {mark}")], Case("long", "", ()))
    if mode == STREAM:
        stream = bench.stub.StreamCompletion(pb.StreamCompletionRequest(params=request))
        for event in stream:
            if event.delta.text:
                break
        stream.cancel()
    else:
        since = bench.upstream.ask("health")["requests"]
        call = bench.stub.GenerateCompletion.future(pb.GenerateCompletionRequest(params=request))
        wait_for(bench, mark, since)
        call.cancel()
    return mark, check_gone


def wait_for(bench: Bench, mark: str, since: int) -> None:
    """Returns once a request with this mark has come."""
    for _ in range(200):
        entries = bench.upstream.ask(f"journal?since={since}")
        if any(mark in str(entry.get("user")) for entry in entries):
            return
        # Those before have been seen; the last ones may not have been read as yet.
        since = max([since, *(entry["n"] - 2 * WORKERS for entry in entries)])
        time.sleep(0.05)
    raise Wrong("the request never came")


def check_gone(entries: Entries) -> None:
    if not any(entry.get("client_gone") for entry in entries):
        raise Wrong("the upstream has talked to the end")


# === the cells ===


def plans() -> Iterator[Plan | tuple[Cell, str]]:
    """Every cell: what to do, or why nothing is done."""
    for family in FAMILIES:
        yield from scenario_plans(family)
        yield from legal_plans(family)
        yield from breaking_plans(family)
        for kind, usual in ERRORS.items():
            for mode in MODES:
                reason = reason_of(family, kind, usual)
                action = partial(fail, model=model_of(family), mode=mode, prompt=kind, reason=reason)
                yield Plan(Cell(family.name, "errors", kind, mode), action)
        yield from move_plans(family)
        for mode in MODES:
            yield Plan(Cell(family.name, "cancel", "cancel", mode), partial(cancel, family=family, mode=mode))


def scenario_plans(family: Family) -> Iterator[Plan | tuple[Cell, str]]:
    for usual, mode in itertools.product(SCENARIOS, MODES):
        cell = Cell(family.name, usual.column, usual.row, mode)
        excuse = family.excused.get(usual.row, family.excused.get(f"{usual.row} {mode}"))
        if excuse:
            yield cell, excuse
            continue
        case = differing(family, usual, mode)
        if case.name == "thinktool":
            # The upstream knows Gemini's calls by name and arguments, and expects on all of them the
            # signature that it has given last.
            action = partial(play_reasoning, family=family, mode=mode, case=case)
            yield Plan(cell, action, alone=family.wire == GEMINI)
            continue
        # 200 kB in pieces of seven characters once is enough.
        words = " #piece=1000" if case.name == "bigargs" and family.name != "openai" else ""
        yield Plan(cell, partial(play, family=family, mode=mode, case=case, words=words, tells_usage=True))


def legal_plans(family: Family) -> Iterator[Plan | tuple[Cell, str]]:
    for fault in LEGAL:
        names = fault.scenarios if family.is_thorough else fault.scenarios[:1]
        for name, mode in itertools.product(names, MODES):
            cell = Cell(family.name, "legal", f"#{fault.words} {name}", mode)
            excuse = why_not(family, fault, mode)
            if excuse:
                yield cell, excuse
                continue
            case = differing(family, BY_NAME[name], mode)
            words, tells = f" #{fault.words}", fault.tells_usage
            action = partial(play, family=family, mode=mode, case=case, words=words, tells_usage=tells)
            yield Plan(cell, action)


def why_not(family: Family, fault: Legal, mode: str) -> str | None:
    if family.wire not in fault.wires:
        return fault.why_not
    if mode not in fault.modes:
        return NO_UNARY if mode == UNARY else NO_STREAMED
    return family.excused.get(f"#{fault.words}")


def breaking_plans(family: Family) -> Iterator[Plan | tuple[Cell, str]]:
    for (words, reasons), mode in itertools.product(BREAKING.items(), MODES):
        cell = Cell(family.name, "broken", f"#{words}", mode)
        usual = reasons[MODES.index(mode)]
        if usual is None:
            yield cell, NO_STREAM if mode == UNARY else NO_BODY
            continue
        reason = reason_of(family, words, usual)
        model = model_of(family, IMPATIENT if reason == "PROVIDER_TIMEOUT" else "")
        yield Plan(cell, partial(fail, model=model, mode=mode, prompt=f"plain #{words}", reason=reason))


def origins() -> Iterator[tuple[Family, str]]:
    """Where conversations begin, and which: parallel calls, and a call behind reasoning."""
    for origin in FAMILIES:
        if origin.is_origin:
            yield origin, "parallel"
            if origin.wire != GEMINI:
                yield origin, "thinktool"


def move_plans(family: Family) -> Iterator[Plan]:
    for (origin, name), mode in itertools.product(origins(), MODES):
        if origin.name != family.name:
            cell = Cell(family.name, "moves", f"{name} of {origin.name}", mode)
            yield Plan(cell, partial(move, origin=origin, family=family, mode=mode, name=name))


# === the run ===


def run(action: Callable[[], Later | None]) -> tuple[str, Later | None]:
    """The problem, if there is one, and what the action returns."""
    try:
        return "", action()
    except Wrong as wrong:
        return str(wrong), None
    except Exception as error:  # noqa: BLE001 - a cell that cannot be played has failed, not the run
        return f"{type(error).__name__}: {error}", None


def play_all(bench: Bench, only: str) -> list[Outcome]:
    chosen = [plan for plan in plans() if only in str(plan.cell if isinstance(plan, Plan) else plan[0])]
    outcomes = [Outcome(plan[0], excuse=plan[1]) for plan in chosen if not isinstance(plan, Plan)]
    ready = [plan for plan in chosen if isinstance(plan, Plan)]
    if any(plan.cell.column == "moves" for plan in ready):
        for origin, name in origins():
            begin(bench, origin, name)
    crowd = [plan for plan in ready if not plan.alone]
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        played = list(pool.map(lambda plan: run(lambda: plan.action(bench)), crowd))
    last = [plan for plan in ready if plan.alone]
    played += [run(lambda plan=plan: plan.action(bench)) for plan in last]
    noted = marked(bench.upstream)
    for plan, (problem, later) in zip(crowd + last, played, strict=True):
        found = problem if later is None else look_up(later, noted)
        outcomes.append(Outcome(plan.cell, problem=found))
    return outcomes


def look_up(later: Later, noted: dict[str, Entries]) -> str:
    mark, look = later
    return run(lambda: look(noted.get(mark, [])))[0]


def marked(upstream: Upstream) -> dict[str, Entries]:
    """What the upstream has noted, by the mark of the request."""
    noted: dict[str, Entries] = {}
    for entry in upstream.ask("journal"):
        if found := MARK.search(str(entry.get("user"))):
            noted.setdefault(found[0], []).append(entry)
    return noted


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--only", default="", help="cells that hold this text, such as 'mistral tool'")
    arguments = parser.parse_args()
    upstream = Upstream.start(arguments.kit)
    began = time.monotonic()
    try:
        # Every request of the run is kept, to be looked at in the end.
        upstream.tell("script", {"journal": 100_000})
        upstream.tell("reset")
        account = service_account(upstream)
        server = Server.start(config(upstream, account))
        with grpc.insecure_channel(server.address) as channel:
            bench = Bench(rpc.CompletionServiceStub(channel), upstream, {})
            outcomes = play_all(bench, arguments.only)
            violations = upstream.ask("violations?level=error")
            warnings = upstream.ask("violations?level=warn")
            if arguments.only in "tokens":
                for name, action in renewals(bench.stub, upstream, account):
                    outcomes.append(Outcome(Cell("vertex", "tokens", name, UNARY), problem=run(action)[0]))
        log = server.stop()
    finally:
        upstream.stop()
    told = any(secret in log for secret in ("sk-kit", "plain #", TEXT))
    secret = "a prompt or a key" if told else ""
    outcomes.append(Outcome(Cell("all", "log", "no prompt and no key in the log", UNARY), problem=secret))
    for number, violation in enumerate(violations):
        cell = Cell(violation["provider"], "violations", str(number), UNARY)
        outcomes.append(Outcome(cell, problem=json.dumps(violation, ensure_ascii=False)[:400]))
    passed, failed, excused = report(outcomes, whole=not arguments.only)
    kinds = Counter((warning["provider"], warning["rule"]) for warning in warnings)
    for (provider, rule), count in sorted(kinds.items()):
        print(f"noted by the upstream: {provider} {rule}, {count} times")
    print(f"{time.monotonic() - began:.0f} s, {excused} cells excused")
    print(f"\nkit: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
