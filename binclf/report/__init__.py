"""The report of a run: `report.html`, one page that needs nothing else, and `card.md`, a short model card.

Facts are gathered once (`facts`), judged in words (`verdict`), laid out as sections of blocks (`judged`,
`slices`, `against`, `source`, `learnt`, `disagreeing`, `changes`, `proof`) and set by one template (`page`).
Both files are written before the seal, so that what people read is what the manifest covers. Text from the
data is escaped by the template, and what cannot be seen in it is spelled out (`text`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from binclf import artifact, commit
from binclf.report import card, disagreeing, page
from binclf.report.facts import COMPARISON, comparison_of, gather, judged_part
from binclf.report.history import history, last_runs
from binclf.report.verdict import Finding, Level, Verdict, verdict
from binclf.storage import Place

PAGE, CARD = "report.html", "card.md"

__all__ = [
    "CARD",
    "COMPARISON",
    "PAGE",
    "Finding",
    "Level",
    "Verdict",
    "card_with_pictures",
    "history",
    "judged_part",
    "last_runs",
    "pictures_of",
    "read",
    "verdict",
    "verdict_of",
    "write",
]


def write(run: artifact.Run, found: Mapping[str, Any]) -> None:
    """Write the page and the card into an unsealed run.

    Args:
        run: the run.
        found: what `evaluate.of_parts` gave.
    """
    facts = gather(run, found)
    commit.write_bytes(run.path / PAGE, page.html(facts).encode())
    commit.write_bytes(run.path / CARD, card.text(facts).encode())


def verdict_of(run_dir: Place) -> Verdict:
    """The verdict on a run whose metrics are written."""
    return verdict(commit.read_json(run_dir / "metrics.json"), comparison_of(run_dir))


def read(path: str | Place) -> dict[str, Any]:
    """What a command tells of a finished run: where its report is, and what that says, as `text` too.

    Raises:
        ArtifactError: there is no such run, or it was altered.
    """
    run = artifact.open_run(path)
    comparison = json.loads(run.contents.get(COMPARISON, b"null"))
    told = verdict(json.loads(run.contents["metrics.json"]), comparison)
    where = {"report": str(run.path / PAGE), "card": str(run.path / CARD)}
    influence = run.record.get("influence") or {}
    findings = [f"- {finding.words}" for finding in told.findings]
    lines = [told.title, told.lead, *findings, *disagreeing.lines(influence), "", where["report"]]
    return {
        "run": str(run.path),
        "verdict": told.text,
        "findings": [finding.words for finding in told.findings],
        "influence": influence,
        **where,
        "text": "\n".join(lines),
    }


def card_with_pictures(path: str | Place) -> str:
    """The card of a finished run with its charts in it, as one Markdown text.

    Raises:
        ArtifactError: there is no such run, or it was altered.
    """
    run = artifact.open_run(path)
    return card.with_pictures(run.contents[CARD].decode(), run.contents[PAGE].decode())


def pictures_of(run: artifact.Run) -> dict[str, bytes]:
    """The charts of a sealed run's report by the names of files, each an SVG that stands alone."""
    drawn = card.pictures(run.contents[PAGE].decode())
    return {f"{name}.svg": picture.encode() for name, picture in drawn.items()}
