"""What is about to be committed, beside training: one verdict for all of it, and before any of it is seen.

It does not depend on how many calls, machines and kills it took to score the parts. What the call that
commits has not scored itself, an earlier call or another machine has; of that the watch is shown what it
lacks, about a million rows unless every row is to be watched. Where files have the label, too, a few row
groups are read once more with it, for features that were filled in with the outcome.
"""

from __future__ import annotations

from typing import Any

from binclf import artifact
from binclf.leaks import beside_training
from binclf.profile import Watch
from binclf.score.ledger import Ledger
from binclf.score.records import Part, Plan
from binclf.score.seal import Receipts, bad_files
from binclf.score.work import look
from binclf.scored import RowGroup, in_threads


def begin(run: artifact.Run, ledger: Ledger, plan: Plan, watch: Watch) -> None:
    """Begin to watch the files that are new to the output."""
    parts = _new(ledger, plan)
    watch.begin(run, ledger.job.model, _numbers(parts), sum(part.rows for part in parts))


def scrutinise(
    run: artifact.Run, ledger: Ledger, plan: Plan, receipts: Receipts, watch: Watch
) -> list[dict[str, Any]]:
    """The columns with skew of the files that are new to the output.

    Raises:
        DataError: there are any, and the run's `drift.on_skew` is "error".
    """
    parts = _new(ledger, plan)
    if watch.numbers != _numbers(parts):  # others have committed meanwhile, or nothing was watched yet
        begin(run, ledger, plan, watch)
    bad = {file.input for file in bad_files(plan, receipts)}
    lacked = [part for part in parts if part.input not in bad and any(map(watch.lacks, part.numbers))]
    for _ in in_threads(lambda part: look(ledger.job, part, watch), lacked):
        pass
    if not parts:
        return []
    labelled = [part for part in parts if part.input in plan.labelled and part.input not in bad]
    places = [
        (RowGroup(part.path, part.input, group, "", part.stamp), -(-part.rows // len(part.numbers)))
        for part in labelled
        for group in range(*part.groups)
    ]
    leaks = beside_training(run, [place for place, _ in places], [rows for _, rows in places])
    return [skew.as_json() for skew in watch.check(leaks)]


def _new(ledger: Ledger, plan: Plan) -> list[Part]:
    return [part for part in plan.parts if part.name not in ledger.parts]


def _numbers(parts: list[Part]) -> tuple[int, ...]:
    return tuple(number for part in parts for number in part.numbers)
