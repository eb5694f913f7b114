"""The page: one HTML file that needs nothing else, and may run nothing but its own script.

Jinja, since it escapes whatever comes from the data by default and keeps HTML in a file of its own. The
page's content security policy names the SHA-256 of its one style sheet and its one script and allows nothing
more: what should slip through the escaping still could neither run nor fetch.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from binclf.report import against, changes, disagreeing, judged, learnt, penalty, proof, slices, source
from binclf.report.blocks import Section
from binclf.report.facts import Facts
from binclf.report.text import plain
from binclf.report.verdict import Verdict, verdict


def html(facts: Facts) -> str:
    """The report of a run: the same text for the same facts."""
    run = facts.run
    told = verdict(facts.metrics, facts.comparison)
    return laid_out(run.config.name, (run.id, str(run.record["created"])), told, sections(facts))


def laid_out(name: str, run: tuple[str, str], told: Verdict, sections: Sequence[Section]) -> str:
    """A page of these sections, under a verdict.

    Args:
        name: of the model.
        run: its id, and a note beside it.
        told: what stands at the top.
        sections: in order.
    """
    style, script = _resource("page.css"), _resource("page.js")
    return str(
        _template().render(
            name=plain(name),
            run=plain(run[0]),
            created=plain(run[1], 200),
            verdict=told,
            sections=sections,
            style=style,
            script=script,
            policy=policy(style, script),
        )
    )


def sections(facts: Facts) -> list[Section]:
    """What the page tells, in the order in which one would ask."""
    found = [
        judged.metrics(facts),
        judged.curves(facts),
        slices.section(facts.judged, facts.part),
        judged.threshold(facts),
        against.section(facts.comparison),
        source.section(facts),
        learnt.section(facts.run),
        disagreeing.section(facts.run),
        source.columns(facts),
        changes.section(facts),
        penalty.section(facts.run),
        proof.optimum(facts.run),
        proof.receipts(facts),
        proof.again(facts.run),
    ]
    return [section for section in found if section is not None]


def policy(style: str, script: str) -> str:
    """The content security policy: nothing but this style sheet and this script."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; "
        "form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _resource(name: str) -> str:
    return files("binclf.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Any:  # noqa: ANN401 - jinja2.Template, which is imported late: ranks and scoring need none
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_resource("page.html"))
