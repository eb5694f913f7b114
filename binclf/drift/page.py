"""Drift as a page, laid out as a run's report is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from binclf.drift import words
from binclf.drift.shift import Term
from binclf.drift.verdict import Drifted
from binclf.report import Finding, Level, Verdict
from binclf.report.blocks import Block, Cell, Section, Table, Terms, Words, cut
from binclf.report.page import laid_out
from binclf.report.text import plain

MOST_ROWS = 100
LONG = 12


def html(found: Drifted) -> str:
    """The page: the same text for the same drift."""
    level: Level = "stop" if found.skews else "care" if found.is_alarm else "good"
    findings = tuple(_findings(found))
    told = Verdict(level, words.headline(found), words.sentence(found) + ".", findings)
    return laid_out(
        "Drift", (found.run, f"beside {found.data}"), told, [_overview(found), _terms(found), _psi(found)]
    )


def _findings(found: Drifted) -> Iterator[Finding]:
    for skew in found.skews:
        yield Finding("stop", "skew", plain(f"Column {skew.words}", 400), "rows")
    for term in found.moved[: words.NAMED]:
        text = f"{words.signed(term.shift)} log-odds from {words.what(term)}."
        yield Finding("care", "shift", text, "columns")
    if found.refit is not None:
        level: Level = "care" if found.refit.is_advised else "good"
        yield Finding(level, "retrain", found.refit.words[0].upper() + found.refit.words[1:] + ".", "rows")


def _overview(found: Drifted) -> Section:
    limits, error = found.limits, found.shift_error
    terms = [
        (
            "Rows",
            Cell(
                f"{found.rows:,}{words.sampled(found)}", note=f"beside {found.training_rows:,} training rows"
            ),
        ),
        ("Data", Cell(plain(found.data, 200), is_data=True)),
        ("Mean log-odds moved by", Cell(words.signed(found.shift), note=f"standard error {error:.2g}")),
        (
            "Mean probability",
            Cell(f"{words.percent(found.probability[0])} to {words.percent(found.probability[1])}"),
        ),
        ("Limits", Cell(f"{limits.shift:g} log-odds, PSI {limits.psi:g}", note="both only beyond noise")),
    ]
    blocks: list[Block] = [Terms(terms)]
    lines = [f"Not told: {name}, as {reason}." for name, reason in found.undefined.items()]
    return Section("rows", "What was compared", [*blocks, *([Words(lines)] if lines else [])])


def _terms(found: Drifted) -> Section:
    ordered = sorted(found.terms, key=lambda term: -abs(term.shift or 0.0))
    largest = max((abs(term.shift or 0.0) for term in ordered), default=0.0) or 1.0
    moved = {(term.column, term.cause) for term in found.moved}
    rows = [_term(term, largest, is_moved=(term.column, term.cause) in moved) for term in ordered]
    shown, hidden = cut(rows, MOST_ROWS)
    table = Table(
        id="terms-table",
        caption="The terms add up to the whole shift of the mean log-odds.",
        heads=("Column", "What", "Before", "Now", "Log-odds", ""),
        rows=shown,
        words=2,
        hidden=hidden,
        elsewhere="the JSON",
        is_long=len(shown) > LONG,
    )
    return Section("columns", "What moved the score", [table])


def _term(term: Term, largest: float, *, is_moved: bool) -> Sequence[Cell]:
    form = words.number if term.cause == "values" else words.percent
    note = f"most by {plain(term.level)}" if term.level else ""
    return [
        Cell(plain(term.column), is_data=True),
        Cell(words.CAUSES[term.cause], note=note),
        Cell(form(term.before), order=term.before),
        Cell(form(term.after), order=term.after),
        Cell(words.signed(term.shift), order=term.shift, mark="care" if is_moved else ""),
        Cell("", bar=(term.shift or 0.0) / largest, order=term.shift),
    ]


def _psi(found: Drifted) -> Section:
    ordered = sorted(found.stability, key=lambda one: -one.psi)
    unstable = {one.column for one in found.unstable}
    rows = [
        [
            Cell(plain(one.column), is_data=True) if one.column else Cell("the score"),
            Cell(words.number(one.psi), order=one.psi, mark="care" if one.column in unstable else ""),
            Cell(words.number(one.noise), order=one.noise),
            Cell(str(one.bins), order=one.bins),
        ]
        for one in ordered
    ]
    shown, hidden = cut(rows, MOST_ROWS)
    caption = "Population stability index: below 0.1 little has changed, above 0.25 much."
    heads = ("Column", "PSI", "Chance alone, up to", "Bins")
    table = Table(
        "psi-table", caption, heads, shown, hidden=hidden, elsewhere="the JSON", is_long=len(shown) > LONG
    )
    return Section("distributions", "How distributions changed", [table])
