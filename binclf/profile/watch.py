"""Rows watched while a run scores them, and refused where they cannot mean what training's did."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from binclf import artifact, commit
from binclf.errors import DataError
from binclf.parquet import Rows
from binclf.predict import Model
from binclf.profile.observation import Observation
from binclf.profile.records import PROFILE, Profile
from binclf.profile.skew import Skew, skews

log = logging.getLogger(__name__)

SAMPLE = 2**20  # rows, about


def profile_of(run: artifact.Run) -> Profile | None:
    """What a run's training rows look like; None of a run from before profiles."""
    content = run.contents.get(PROFILE)
    return None if content is None else Profile.from_json(commit.parse_json(content, run.path / PROFILE))


class Watch:
    """An `Observer` of the rows that a run scores; without a profile to compare with it sees nothing.

    Which row groups it looks at follows from all that is to be committed together, so what it finds is the
    same by however many calls and machines they are scored: who commits shows it what it `lacks`.
    """

    run: artifact.Run
    observation: Observation

    def __init__(self, *, is_sample: bool = False) -> None:
        """Of all rows, or of some row groups: looking takes as long as scoring does."""
        self.is_sample = is_sample
        self.reference: Profile | None = None
        self.numbers: tuple[int, ...] = ()
        self.sample_of = 0  # rows that those it is to see are a sample of; 0: they are all
        self._lacked: set[int] = set()

    def begin(self, run: artifact.Run, model: Model, numbers: Sequence[int], rows: int) -> None:
        """Forget what was seen; these row groups of so many rows are new to the output of a run."""
        self.run, self.limits, self.reference = run, run.config.drift, profile_of(run)
        self.observation = Observation(model)
        every = max(rows // SAMPLE, 1) if self.is_sample else 1
        self.sample_of = rows if every > 1 else 0
        self.numbers = tuple(numbers)
        self._lacked = set(self.numbers[::every])

    def lacks(self, number: int) -> bool:
        """Whether a row group is still to be seen."""
        return self.reference is not None and number in self._lacked

    def see(self, number: int, rows: Rows, logits: npt.NDArray[np.float64]) -> None:
        """As `Observer` says."""
        if self.lacks(number):
            self._lacked.discard(number)
            self.observation.see(number, rows, logits)

    def skews(self) -> list[Skew]:
        """Every column that is beyond a limit."""
        if self.reference is None:
            return []
        seen = self.observation.profile(self.reference)
        return skews(self.observation.model.features, self.reference, seen, self.limits)

    def check(self, also: Sequence[Skew] = ()) -> list[Skew]:
        """The same and what else was found of these rows, each as a warning.

        Raises:
            DataError: there are any, and `drift.on_skew` is "error".
        """
        found = [*self.skews(), *also]
        if found and self.limits.on_skew == "error":
            raise DataError(
                "\n".join(f"column {skew.words}" for skew in found)
                + "\nThe run's drift.on_skew = 'error' refuses such rows: mend them, retrain, or train with "
                "drift.on_skew = 'warn'."
            )
        for skew in found:
            log.warning("column %s", skew.words)
        return found
