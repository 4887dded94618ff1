"""Prints the matrix: families by columns, and what is not tested with its reason."""

from __future__ import annotations

import string
from collections import defaultdict
from dataclasses import dataclass

from cases import COLUMNS, MODES
from families import FAMILIES


@dataclass(frozen=True)
class Cell:
    """One thing that is tested of one family."""

    family: str
    column: str
    row: str
    mode: str

    def __str__(self) -> str:
        return f"{self.family} {self.column} {self.row} {self.mode}"


@dataclass(frozen=True)
class Outcome:
    """What came of a cell: it has passed, or there is a problem, or a reason why it is not tested."""

    cell: Cell
    problem: str = ""
    excuse: str = ""


def report(outcomes: list[Outcome], whole: bool) -> tuple[int, int, int]:
    """Prints everything; returns how many passed, failed and were excused."""
    if whole:
        outcomes = outcomes + untested(outcomes)
    letters: dict[str, str] = {}
    names = iter(string.ascii_lowercase + string.ascii_uppercase)
    for outcome in outcomes:
        if outcome.excuse and outcome.excuse not in letters:
            letters[outcome.excuse] = next(names)
    marks: dict[tuple[str, str], dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        cell = outcome.cell
        marks[cell.family, cell.column][cell.mode].append(outcome)
    print("Cells that passed, of those that were played, unary and streamed; letters: what is excused.\n")
    texts = {
        (family.name, column): mark(marks[family.name, column], letters)
        for family in FAMILIES
        for column in COLUMNS
    }
    widths = {
        column: max(len(column), *(len(texts[family.name, column]) for family in FAMILIES))
        for column in COLUMNS
    }
    print(" " * 20 + "  ".join(f"{column:{widths[column]}}" for column in COLUMNS))
    for family in FAMILIES:
        cells = (f"{texts[family.name, column]:{widths[column]}}" for column in COLUMNS)
        print(f"{family.name:20}" + "  ".join(cells).rstrip())
    print()
    for excuse, letter in letters.items():
        count = sum(outcome.excuse == excuse for outcome in outcomes)
        print(f"{letter}: {excuse} ({count} cells)")
    print()
    for outcome in outcomes:
        if outcome.problem:
            print(f"FAILED {outcome.cell}: {outcome.problem}")
    failed = sum(bool(outcome.problem) for outcome in outcomes)
    excused = sum(bool(outcome.excuse) for outcome in outcomes)
    return len(outcomes) - failed - excused, failed, excused


def mark(modes: dict[str, list[Outcome]], letters: dict[str, str]) -> str:
    """Such as `6/6 5/6 ab`."""
    counts = []
    for mode in MODES:
        played = [outcome for outcome in modes[mode] if not outcome.excuse]
        passed = sum(not outcome.problem for outcome in played)
        counts.append(f"{passed}/{len(played)}" if played else "-")
    excuses = {letters[outcome.excuse] for mode in MODES for outcome in modes[mode] if outcome.excuse}
    return " ".join([*counts, "".join(sorted(excuses))]).strip()


def untested(outcomes: list[Outcome]) -> list[Outcome]:
    """Cells of the matrix in which nothing was played and nothing excused: failures."""
    there = {(outcome.cell.family, outcome.cell.column, outcome.cell.mode) for outcome in outcomes}
    return [
        Outcome(Cell(family.name, column, "", mode), problem="untested")
        for family in FAMILIES
        for column in COLUMNS
        for mode in MODES
        if (family.name, column, mode) not in there
    ]
