"""Which files disagree with the model that all of them gave, and how far each moved it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from binclf import artifact
from binclf.report import numbers
from binclf.report.blocks import Cell, Section, Table, Words
from binclf.report.text import plain

NAMED = 3  # coefficients of a file; files in a text
TITLE = "Which files disagree"
LEAST = 1e-300  # p that is told as such
MUCH = 1.0  # standard errors that one file moved a coefficient by


def section(run: artifact.Run) -> Section | None:
    """The files that chance explains least, or why they were not judged; None where nobody asked."""
    found = run.record.get("influence")
    if not found:
        return _why_not(run)
    rows = [_row(entry, found) for entry in found["worst"]]
    heads = ("File", "Rows", "Chi-square", "p", "Moved most, in standard errors")
    table = Table(
        "influence-table",
        f"The first {len(rows)} of {found['tests']:,} {found['of']}: what chance explains least is on top.",
        heads,
        rows,
    )
    return Section("influence", TITLE, [Words([*_words(found), *_cautions(run)]), table])


def _why_not(run: artifact.Run) -> Section | None:
    """None, too, where newton had but one file of too few rows to be taken apart."""
    solver = run.record["training"]["solver"]
    if solver == "newton" or not run.config.train.influence:
        return None
    words = (
        "Files were not judged beside the model: that takes the Hessian of the rows of each, which newton "
        f"alone works out, and this model was fitted by {plain(solver)}."
    )
    return Section("influence", TITLE, [Words([words])])


def lines(found: Mapping[str, Any]) -> list[str]:
    """The files that disagree beyond chance, the first few, as text."""
    if not found or not found["beyond_chance"]:
        return []
    named = found["worst"][: min(NAMED, found["beyond_chance"])]
    told = [f"- {_name(entry)}: {_chance(entry['p'])}{_moves(entry)}" for entry in named]
    return [_count(found), *told]


def _count(found: Mapping[str, Any]) -> str:
    beyond, tests, what = found["beyond_chance"], found["tests"], found["of"]
    if not beyond:
        return f"None of {tests:,} {what} disagrees with the model beyond chance."
    verb = "disagrees" if beyond == 1 else "disagree"
    return f"{beyond:,} of {tests:,} {what} {verb} with the model beyond chance:"


def _words(found: Mapping[str, Any]) -> Iterator[str]:
    level, tests = found["level"], found["tests"]
    yield _count(found).replace("chance:", "chance.")
    yield (
        f"Beyond chance is a p below {level:g} / {tests:,} = {level / tests:.2g}: where all are alike, at "
        f"most {level:.0%} of trainings have one there (Bonferroni). Each p is that of one alone: of "
        f"{tests:,} the least is about {1 / (tests + 1):.1g} where nothing is wrong."
    )
    yield (
        "One that disagrees pulls the model, and the others then look off by contrast: look at the first one "
        "first. With very many rows small differences are beyond chance, too: what matters then is how far "
        "the coefficients were moved."
    )


def _cautions(run: artifact.Run) -> Iterator[str]:
    data = run.config.data
    if data.group:
        yield (
            f"Rows of one {plain(data.group)} depend on each other, which this test does not know: each p is "
            "too low."
        )
    if data.weight:
        yield "Row weights are allowed for by their design effect."


def _row(entry: Mapping[str, Any], found: Mapping[str, Any]) -> list[Cell]:
    is_beyond = entry["p"] <= found["level"] / found["tests"]
    furthest = abs(entry["moved"][0]["errors"]) if entry["moved"] else 0.0
    moved = [f"{_of(move['path'])} {numbers.signed(move['errors'], 2)}" for move in entry["moved"][:NAMED]]
    return [
        Cell(_name(entry), is_data=True, mark="bad" if is_beyond else ""),
        Cell(f"{entry['rows']:,}", order=entry["rows"]),
        Cell(
            numbers.number(entry["statistic"]), note=f"{entry['freedom']:,} degrees", order=entry["statistic"]
        ),
        Cell(_p(entry["p"]), order=entry["p"], mark="bad" if is_beyond else ""),
        Cell("; ".join(moved), order=furthest, mark="care" if furthest >= MUCH else "", is_data=True),
    ]


def _name(entry: Mapping[str, Any]) -> str:
    if entry["row_groups"] is not None:
        first, last = entry["row_groups"]
        groups = f"row group {first}" if first == last else f"row groups {first} to {last}"
        return f"{plain(entry['file'], 200)}, {groups}"
    if entry["files"] == 1:
        return plain(entry["file"], 200)
    return f"{plain(entry['file'], 100)} to {plain(entry['last_file'], 100)} ({entry['files']:,} files)"


def _of(path: list[str]) -> str:
    """A coefficient in few words."""
    if len(path) == 1:
        return path[0]
    _, column, what = path
    return plain(column) if what == "per_unit" else f"{plain(column)} = {plain(what.removeprefix('level '))}"


def _moves(entry: Mapping[str, Any]) -> str:
    if not entry["moved"]:
        return ""
    first = entry["moved"][0]
    return f"; moved {_of(first['path'])} by {numbers.signed(first['errors'], 2)} standard errors"


def _chance(value: float) -> str:
    return f"p = {_p(value)}" if value > LEAST else f"p {_p(value)}"


def _p(value: float) -> str:
    if value >= 0.001:
        return numbers.p_value(value)
    return f"{value:.0e}" if value > LEAST else f"below {LEAST:g}"
