"""Plays every case in every language, and prints a table."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from runner.play import Case, Play, Stage
from runner.process import CLIENTS, HERE, Server, prepare

_FAILED = "FAIL"


async def main() -> int:
    """Play; the exit code says whether all passed."""
    arguments = _arguments()
    cases: list[Case] = json.loads((HERE / "cases.json").read_text())
    chosen = [case for case in cases if arguments.k in case["name"]]
    present = sorted(driver.parent.name for driver in CLIENTS.glob("*/conformance") if driver.is_file())
    languages = arguments.languages or present
    problems: dict[tuple[str, str], list[str]] = {}
    for language in languages:
        if wrong := await prepare(language) if language in present else "there is no such driver":
            print(f"{language}: cannot be built:\n{wrong}", flush=True)
            problems |= {(case["name"], language): ["not built"] for case in chosen}
    built = [language for language in languages if (chosen[0]["name"], language) not in problems]
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(built, await Server(Path(folder)).start())
        try:
            for case in chosen:
                for language in built:
                    wrong = await Play(stage, language, case).problems()
                    problems[case["name"], language] = wrong
                    for problem in wrong:
                        print(f"{case['name']} ({language}): {problem}", flush=True)
        finally:
            await stage.close()
    _print_table(chosen, languages, problems)
    failed = sum(1 for wrong in problems.values() if wrong)
    print(f"\n{len(problems) - failed} passed, {failed} failed")
    return 1 if failed or not problems else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("-k", default="", metavar="TEXT", help="only cases whose name holds this")
    parser.add_argument("languages", nargs="*", help="folders of clients/; default: all that have a driver")
    return parser.parse_args()


def _print_table(cases: list[Case], languages: list[str], problems: dict[tuple[str, str], list[str]]) -> None:
    width = max(len(case["name"]) for case in cases)
    columns = [max(len(language), len(_FAILED)) for language in languages]
    print("\n" + " " * width, *(f"{name:>{size}}" for name, size in zip(languages, columns, strict=True)))
    for case in cases:
        marks = [_FAILED if problems[case["name"], language] else "ok" for language in languages]
        print(
            f"{case['name']:{width}}", *(f"{mark:>{size}}" for mark, size in zip(marks, columns, strict=True))
        )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
