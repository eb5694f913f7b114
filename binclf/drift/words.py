"""Drift in words: one sentence for a log, and Markdown for who reads more."""

from __future__ import annotations

from binclf.drift.shift import Term
from binclf.drift.verdict import Drifted
from binclf.report.text import markdown, plain

NAMED = 3  # columns in a sentence
SHOWN = 15  # in a table
CAUSES = {
    "values": "values",
    "levels": "levels",
    "missing": "missing rate",
    "unseen": "rare or unseen levels",
}


def sentence(found: Drifted) -> str:
    """The shift and what did most of it: "score +0.31: +0.28 from `wind_gust` missing 3 % -> 41 %"."""
    if found.shift is None:
        return f"score not compared: {found.undefined.get('shift', '')}"
    told = sorted(found.terms, key=lambda term: -abs(term.shift or 0.0))
    largest = [term for term in told if abs(term.shift or 0.0) >= 0.005][:NAMED]
    named = found.moved[:NAMED] or largest
    parts = [f"{signed(term.shift)} from {what(term)}" for term in named]
    text = f"score {signed(found.shift)}"
    if parts:
        text += ": " + ", ".join(parts)
    shown = {term.column for term in named}
    names = [f"`{plain(one.column)}`" if one.column else "the score" for one in found.unstable]
    if names and not {one.column for one in found.unstable} <= shown:
        text += f"; distributed otherwise: {', '.join(names[:NAMED])}"
        text += f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return text


def what(term: Term) -> str:
    """What a term is about, and how that changed."""
    name = f"`{plain(term.column)}`"
    if term.cause == "missing":
        return f"{name} missing {percent(term.before)} -> {percent(term.after)}"
    if term.cause == "unseen":
        return f"{name} rare or unseen levels {percent(term.before)} -> {percent(term.after)}"
    if term.cause == "levels" and term.level:
        return (
            f"{name} levels (most by '{plain(term.level)}' {percent(term.before)} -> {percent(term.after)})"
        )
    if term.cause == "levels":
        return f"{name} levels"
    return f"{name} mean {number(term.before)} -> {number(term.after)}"


def headline(found: Drifted) -> str:
    """Whether someone should look, in a few words."""
    if not found.rows:
        return "There are no rows."
    if found.skews:
        return "These rows cannot mean what those of training did."
    return "These rows are not like those of training." if found.is_alarm else "Nothing to be alarmed about."


def sampled(found: Drifted) -> str:
    """What the rows are a sample of, behind their number; empty: they are all."""
    return f", a sample of the {found.sample_of:,}" if found.sample_of else ""


def markdown_of(found: Drifted) -> str:
    """One Markdown text: an artifact of a flow run, or a file."""
    lines = [
        f"# {headline(found)}",
        "",
        sentence(found).replace("<", "\\<"),
        "",
        f"{found.rows:,} rows{sampled(found)} of {markdown(found.data, 200)}, beside "
        f"{found.training_rows:,} training rows of {markdown(found.run)}. Mean probability "
        f"{percent(found.probability[0])} -> {percent(found.probability[1])}.",
        "",
    ]
    lines += [f"- skew: column {markdown(skew.words, 400)}" for skew in found.skews]
    if found.refit is not None:
        lines += [f"- {found.refit.words}"]
    lines += [
        "",
        "| column | what | before | now | log-odds | beyond the limits |",
        "|---|---|--:|--:|--:|---|",
    ]
    moved = {(term.column, term.cause) for term in found.moved}
    for term in sorted(found.terms, key=lambda term: -abs(term.shift or 0.0))[:SHOWN]:
        form = number if term.cause == "values" else percent
        level = f" (most by {markdown(term.level)})" if term.level else ""
        mark = "yes" if (term.column, term.cause) in moved else ""
        lines.append(
            f"| {markdown(term.column)} | {CAUSES[term.cause]}{level} | {form(term.before)} | "
            f"{form(term.after)} | {signed(term.shift)} | {mark} |"
        )
    lines += ["", "| distribution | PSI | chance alone | beyond the limits |", "|---|--:|--:|---|"]
    unstable = {one.column for one in found.unstable}
    for one in sorted(found.stability, key=lambda one: -one.psi)[:SHOWN]:
        name = markdown(one.column) if one.column else "*the score*"
        mark = "yes" if one.column in unstable else ""
        lines.append(f"| {name} | {number(one.psi)} | up to {number(one.noise)} | {mark} |")
    return "\n".join(lines) + "\n"


def signed(value: float | None) -> str:
    """Log-odds to two digits behind the point.

    >>> signed(0.314), signed(-0.001), signed(None)
    ('+0.31', '+0.00', '?')
    """
    return "?" if value is None else f"{round(value, 2) + 0.0:+.2f}"


def percent(share: float | None) -> str:
    """A share to the whole percent, or to two digits where it is less than ten.

    >>> percent(0.412), percent(0.031), percent(0.0004), percent(0.0)
    ('41 %', '3.1 %', '0.04 %', '0 %')
    """
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.2g} %"


def number(value: float | None) -> str:
    """To four digits."""
    return "-" if value is None else f"{value:.4g}"
