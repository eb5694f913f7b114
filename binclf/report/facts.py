"""What a report is made of, gathered once: the run, how it did, its receipts, and the run before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from binclf import artifact, commit
from binclf.errors import ArtifactError
from binclf.storage import Place

COMPARISON = "comparison.json"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the sections tell."""

    run: artifact.Run
    metrics: Mapping[str, Mapping[str, Any]]  # by part, as metrics.json has them
    pictures: Mapping[str, Mapping[str, Any]]  # by part: points of curves, bins, thresholds
    receipts: Mapping[str, Any]
    comparison: Mapping[str, Any] | None  # with the champion; None: there was none
    previous: artifact.Run | None  # of the same name in the same store
    no_previous: str  # why there is none

    @property
    def part(self) -> str:
        """The part that the run is judged by."""
        return judged_part(self.metrics)

    @property
    def judged(self) -> Mapping[str, Any]:
        """The metrics of that part."""
        return self.metrics[self.part]

    @property
    def is_weighted(self) -> bool:
        """Whether rows have weights, so that weights are no counts."""
        return bool(self.run.config.data.weight)


def judged_part(metrics: Mapping[str, Any]) -> str:
    """The part that a run is judged by: test, or what comes nearest to it."""
    return next(part for part in ("test", "validation", "train") if part in metrics)


def gather(run: artifact.Run, found: Mapping[str, Any]) -> Facts:
    """The facts of a run, `found` being what `evaluate.of_parts` gave."""
    previous, reason = previous_run(run)
    return Facts(
        run=run,
        metrics=found["metrics"],
        pictures=found["pictures"],
        receipts=commit.read_json(run.path / "receipts.json"),
        comparison=comparison_of(run.path),
        previous=previous,
        no_previous=reason,
    )


def comparison_of(run_dir: Place) -> Mapping[str, Any] | None:
    """What the comparison with the champion found; None where the run was compared with none."""
    path = run_dir / COMPARISON
    found: Mapping[str, Any] | None = commit.read_json(path) if path.exists() else None
    return found


def previous_run(run: artifact.Run) -> tuple[artifact.Run | None, str]:
    """The last sealed run of the same name that was begun before this one, or why there is none."""
    name = str(run.record["name"])
    runs = artifact.runs_of(run.path.parent, name, sealed=False)
    if run.path.name not in [path.name for path in runs]:
        return None, "this run's directory was renamed, so what came before it cannot be told"
    own = artifact.began(run.path.name)
    earlier = (path for path in runs if artifact.began(path.name) < own and artifact.is_sealed(path))
    place = next(earlier, None)
    if place is None:
        return None, f"the store has no earlier run of {name}"
    try:
        return artifact.open_run(place), ""
    except ArtifactError as error:
        return None, f"the run before this one cannot be read: {error}"
