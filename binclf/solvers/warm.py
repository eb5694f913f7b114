"""A start from what an earlier run knew: of each file its sums at a point, kept in the run (docs/updates.md).

What an earlier run keeps of files that are still there is carried to the units of now (`change`), and a pass
over the rows of all other files, at the same point, makes it whole: the loss's second-order model there. It
tells where to begin and nothing else; what is told of the result is of passes over all rows.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.config import Config
from binclf.errors import ArtifactError
from binclf.features import Features
from binclf.loader import Source
from binclf.solvers import checkpoint
from binclf.solvers.blocks import Reducer, Sums, square
from binclf.solvers.bundles import MOST_BYTES, SUMS, bundles_of, key_of, values_of
from binclf.solvers.change import carried, comparable
from binclf.solvers.cuts import least_rows, within
from binclf.solvers.descent import agreed
from binclf.solvers.problem import Problem, Seen, Solution
from binclf.storage import Place
from binclf.world import World

log = logging.getLogger(__name__)

F64 = npt.NDArray[np.float64]

FORMAT = 1
MOST_NEW = 0.5  # of all rows: of more, an earlier run says too little


@dataclass(frozen=True, slots=True)
class Kept:
    """What a run keeps of the files of its train."""

    run: str
    decoding: str  # digest of how rows were decoded
    features: Features  # whose units
    point: F64  # [p] and
    sums: F64  # [bundles, values_of(p)] are in
    files: tuple[tuple[str, ...], ...]  # of each bundle

    def packed(self) -> bytes:
        """As a file."""
        record = {
            "format": FORMAT,
            "run": self.run,
            "decoding": self.decoding,
            "features": self.features.as_json(),
            "files": self.files,
        }
        return checkpoint.packed({"point": self.point, "sums": self.sums}, record)

    @classmethod
    def read(cls, content: bytes) -> Kept:
        """What was packed.

        Raises:
            ValueError: it is damaged, or of another format.
        """
        try:
            arrays, record = checkpoint.unpacked(content)
            if record["format"] != FORMAT:
                raise ValueError(f"it is of format {record['format']}, and this binclf reads {FORMAT}")
            features = Features.from_json(record["features"])
            files = tuple(tuple(map(str, bundle)) for bundle in record["files"])
            found = cls(
                str(record["run"]), record["decoding"], features, arrays["point"], arrays["sums"], files
            )
        except (ArtifactError, *checkpoint.DAMAGE) as error:
            raise ValueError(str(error)) from error
        size = features.width + features.table_size + 1
        shapes = found.point.shape, found.sums.shape
        is_whole = all(np.isfinite(array).all() and array.dtype == np.float64 for array in arrays.values())
        if shapes != ((size,), (len(files), values_of(size))) or not is_whole:
            raise ValueError(f"its arrays {shapes} are not those of {size} weights and {len(files)} sums")
        return found

    def sums_of(self, present: set[str]) -> tuple[Sums | None, set[str]]:
        """Over the bundles of which all files are present, and these files; None if there are none."""
        used = [place for place, bundle in enumerate(self.files) if present.issuperset(bundle)]
        files = {file for place in used for file in self.files[place]}
        if not used:
            return None, files
        size, total = len(self.point), self.sums[used].sum(axis=0)
        hessian = square(size, total[2 + size :])
        return Sums(float(total[0]), float(total[1]), total[2 : 2 + size], hessian), files


class WarmStart:
    """What a training begins with, and what it leaves; all ranks alike, which must all ask."""

    def __init__(self, config: Config, source: Source, folder: Place, world: World) -> None:
        """Read what was copied when the run began.

        Args:
            config: of the run.
            source: of the rows that are trained on.
            folder: of checkpoints.
            world: the ranks.

        Raises:
            RankError: the ranks do not read the same.
        """
        self.source, self.folder, self.world = source, folder, world
        self.is_on = config.train.warm_start != "off" and "newton" in config.train.able
        self.reason = ""  # why there is none
        self._kept: Kept | None = None
        self._new: list[range] = []  # row groups of files that are not in the sums
        self._old: Sums | None = None  # over all others
        if self.is_on and (reason := self._read()):
            self._leave(reason)

    @property
    def is_there(self) -> bool:
        """Whether there is something to begin with."""
        return self._kept is not None

    def begun(self, problem: Problem) -> Problem:
        """The problem with what is known, by a pass over new rows; as it is for a run that goes on."""
        kept, old, features = self._kept, self._old, problem.features
        if kept is None or old is None:
            return problem
        reason = comparable(kept.features, features)
        if reason:
            self._leave(reason)
        elif checkpoint.seen_by_all(self.folder, self.world) is None:
            return replace(
                problem, seen=self._seen(problem, carried(Seen(kept.point, old), kept.features, features))
            )
        return problem

    def told(self) -> dict[str, Any]:
        """For `model.json`; nothing where none was asked for."""
        if not self.is_on:
            return {}
        rows = 0 if self._kept is None else self._new_rows()
        run = "" if self._kept is None else self._kept.run
        return {"warm_start": {"from": run, "reason": self.reason, "rows_looked_at_first": rows}}

    def kept(self, solution: Solution, problem: Problem, run: str) -> bytes | None:
        """What to keep for a later run: the file; None where there is nothing, or it would be too large."""
        seen = solution.seen
        if not self.is_on or seen is None:
            return None
        size, files = len(seen.point), len(self.source.files)
        if seen.sums.own is None:
            if self.world.rank == 0:
                log.warning(
                    "no sums are kept for a later run: those of %d weights are larger than %d MiB",
                    size, MOST_BYTES // 2**20,
                )  # fmt: skip
            return None
        bundles = bundles_of(self.source.files, size)
        sums = seen.sums.own.apart(self.world)
        names = tuple(bundle.files for bundle in bundles)
        found = Kept(run, self.source.how.digest, problem.features, seen.point, sums, names).packed()
        if self.world.rank == 0:
            apart = "" if len(bundles) == files else f", by runs of up to {len(names[0])}"
            log.info("sums of %d files are kept for a later run%s (%d kB)", files, apart, len(found) // 1000)
        return found

    def _read(self) -> str:
        """What was copied; returns why that is of no use."""
        path = self.folder / SUMS
        content = path.read_bytes() if path.exists() else b""
        self.world.agree({"sums of an earlier run": hashlib.sha256(content).hexdigest()})
        if not content:
            return "no finished run of this model has kept sums that can be read"
        try:
            kept = Kept.read(content)
        except ValueError as error:
            return f"the sums that were kept are damaged ({error})"
        if kept.decoding != self.source.how.digest:
            return f"the columns, the label or the weight are not those of {kept.run}"
        keys = [key_of(file) for file in self.source.files]
        self._old, known = kept.sums_of(set(keys))
        self._new = self._groups([key not in known for key in keys])
        if self._old is None or self._new_rows() > MOST_NEW * self.source.rows:
            return f"{self._new_rows():,} of {self.source.rows:,} rows are not in the sums of {kept.run}"
        self._kept = kept
        return ""

    def _groups(self, is_new: Sequence[bool]) -> list[range]:
        """The row groups of new files, those that follow each other together."""
        found: list[range] = []
        first = 0
        for file, new in zip(self.source.files, is_new, strict=True):
            end = first + len(file.groups)
            if new and found and found[-1].stop == first:
                found[-1] = range(found[-1].start, end)
            elif new:
                found.append(range(first, end))
            first = end
        return found

    def _new_rows(self) -> int:
        return sum(self.source.group_rows[group] for groups in self._new for group in groups)

    def _seen(self, problem: Problem, old: Seen) -> Seen:
        """At a point, over all rows, of whose sums those are known that are in bundles."""
        group_rows, sums = self.source.group_rows, old.sums
        reducer = Reducer(problem.train, problem.features, problem.weight, self.world)
        point, least = agreed(self.world, old.point), least_rows(reducer.size)
        blocks = [block for groups in self._new for block in within(groups, group_rows, least)]
        if blocks:
            new = reducer.at(point, blocks)
            sums = Sums(
                sums.weight + new.weight,
                sums.loss + new.loss,
                sums.gradient + new.gradient,
                sums.hessian + new.hessian,
            )
        if self.world.rank == 0:
            log.info(
                "at the optimum of an earlier run, by a look at %s new rows of %s: train loss %.9f",
                f"{self._new_rows():,}", f"{self.source.rows:,}", sums.loss / (sums.weight or 1.0),
            )  # fmt: skip
        return Seen(point, sums)

    def _leave(self, reason: str) -> None:
        """Begin as if there were no earlier run."""
        self.reason, self._kept = reason, None
        if self.world.rank == 0:
            log.warning("not begun where an earlier run ended: %s", reason)
