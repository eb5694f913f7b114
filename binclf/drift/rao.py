"""Retrain or not: Rao's score test of a model on new labelled rows, in one pass and without a refit.

With g the gradient of the log-loss summed over n new rows, and H its Hessian, both at the model's weights:
T = g' H^-1 g (Rao 1948). A refit on the new rows would lower their loss by about T / 2, to second order. The
model is itself an estimate, from N rows, so that without a change g varies by H (1 + n / N), and
T / (1 + n / N) is about chi-square, with a degree of freedom for each direction that H knows. (Taken for
known, weights of 10^6 rows would be "wrong" on any 10^6 others in most tests.) Of what a refit gains on its
own rows chance is 1 / 2 a degree of freedom, and as much is lost on rows that it has not seen: on fresh rows
the gain is (T - 2 p) / 2 n, as in Akaike's criterion.

A penalty holds the weights where the gradient is not 0; so it is added, as in training: g + W l2 w. With row
weights (W their sum) all is divided by their design effect, sum(w^2) / sum(w). Left out are weights that the
new rows tell next to nothing of (less than `LEAST` of information, as of a level with a few rows, of which
chi-square promises nothing), and those that l1 holds at 0.

The covariance of the columns is taken as unchanged: where it is not, the promise about false alarms is rough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import artifact
from binclf.calibration import Line
from binclf.config import Drift
from binclf.features import Decoding, Encoder, Roles, decode
from binclf.loader.source import ahead, threads
from binclf.metrics import Unrounded
from binclf.metrics.chisquare import tail
from binclf.parquet import Reader
from binclf.predict import Model
from binclf.scored import RowGroup
from binclf.solvers.blocks import curvature_at, flat, square
from binclf.solvers.quadratic import Inverse

F64 = npt.NDArray[np.float64]

MOST_WEIGHTS = 4096  # as newton takes
LEAST = 5.0  # of information on a weight, the sum of w p (1 - p) x^2, that makes it testable
AHEAD = 3  # sums before the gradient: weight, squared weight, loss


@dataclass(frozen=True, slots=True)
class Refit:
    """What new labelled rows say of the model."""

    rows: int
    log_loss: float  # of the model on them
    statistic: float  # T / (1 + n / N), less the design effect of weights
    freedom: int
    untested: int  # weights left out
    p_value: float
    gain_on_these: float  # of a refit, in log-loss, on the rows that it would be fitted on
    gain: float  # and on fresh ones
    level: float
    least_gain: float

    @property
    def is_advised(self) -> bool:
        """Whether to retrain: beyond chance, and for a gain that is worth it."""
        return self.p_value <= self.level and self.gain >= self.least_gain

    @property
    def told(self) -> str:
        """What was found, and where no refit is advised, why not."""
        chance = f"p = {self.p_value:.2g}" if self.p_value >= 1e-300 else "p below 1e-300"
        told = (
            f"on {self.rows:,} labelled rows a refit would lower log-loss by about {self.gain:.2g}, from "
            f"{self.log_loss:.4g} ({chance}, {self.freedom} degrees of freedom)"
        )
        if self.is_advised:
            return told
        if self.p_value > self.level:
            return f"{told}, which chance may do"
        return f"{told}, which is less than drift.retrain_gain = {self.least_gain:g}"

    @property
    def words(self) -> str:
        """The advice, with its reason."""
        return f"{'retrain' if self.is_advised else 'no need to retrain'}: {self.told}"

    def as_json(self) -> dict[str, Any]:
        """For `drift.json`."""
        return {
            "is_advised": self.is_advised, "words": self.words, "rows": self.rows, "log_loss": self.log_loss,
            "statistic": self.statistic, "freedom": self.freedom, "untested_weights": self.untested,
            "p_value": self.p_value, "gain_on_these": self.gain_on_these, "gain": self.gain,
        }  # fmt: skip


def unfit(model: Model) -> str:
    """Why a model cannot be tested so; empty: it can."""
    size = model.features.width + model.features.table_size + 1
    if size > MOST_WEIGHTS:
        return f"it has {size:,} weights, and the test takes at most {MOST_WEIGHTS:,}"
    return ""


def rao(run: artifact.Run, model: Model, places: Sequence[RowGroup], limits: Drift) -> Refit | None:
    """Test a model on labelled rows; None if none of them has a label and weight.

    The same bits for any number of threads. Isotonic calibration, which no weights are, is passed over.

    Raises:
        DataError: the data are damaged, or a label or weight is none.
        OverflowError: a sum over the rows is no number: to be told as untested, which both callers do.
    """
    point, is_scaled = _point(model)
    rows, sums = _sums(run, model, places, point)
    weight, squares, loss = sums[:AHEAD].tolist()
    if not weight > 0:
        return None
    size = len(point)
    gradient, hessian = sums[AHEAD : AHEAD + size], square(size, sums[AHEAD + size :])
    training = run.record["training"]
    effect = squares / weight
    held = np.append(point[:-1], 0.0)
    tested = np.diag(hessian) >= LEAST * effect
    if not is_scaled:
        gradient = gradient + weight * float(training.get("l2") or 0.0) * held
        if training.get("l1"):
            gradient = gradient + weight * float(training["l1"]) * np.sign(held)
            tested &= (point != 0) | (np.arange(size) == size - 1)
    inverse = Inverse(hessian[np.ix_(tested, tested)])
    statistic = float(gradient[tested] @ inverse.times(gradient[tested]))
    old = run.split.weight("train") * run.features.rows / max(run.split.rows("train"), 1)
    scaled = statistic / effect / (1.0 + weight / old)
    return Refit(
        rows=rows,
        log_loss=loss / weight,
        statistic=scaled,
        freedom=inverse.rank,
        untested=int((~tested).sum()),
        p_value=tail(scaled, inverse.rank),
        gain_on_these=statistic / (2 * weight),
        gain=max(statistic - 2 * effect * inverse.rank, 0.0) / (2 * weight),
        level=limits.retrain_level,
        least_gain=limits.retrain_gain,
    )


def _point(model: Model) -> tuple[F64, bool]:
    """The weights, float64 [p]; those a line makes of them are held by no penalty."""
    point = np.concatenate([model.weight, model.table, [model.bias]])
    if not isinstance(model.calibration, Line) or model.calibration == Line():
        return point, False
    point = point * model.calibration.slope
    point[-1] += model.calibration.intercept
    return point, True


def _sums(run: artifact.Run, model: Model, places: Sequence[RowGroup], point: F64) -> tuple[int, F64]:
    """Labelled rows, and their weight, squared weight, loss, gradient and Hessian's triangle."""
    features = model.features
    roles = Roles(tuple(c.column for c in features.numeric), tuple(c.column for c in features.categorical))
    log1p = tuple(c.name for c in features.numeric if c.is_log1p)
    how = Decoding(roles, run.split.label, run.config.data.weight, log1p)
    encoder, coded = Encoder(features), how.coded

    def one(place: RowGroup) -> tuple[int, F64]:
        with Reader(place.path, place.name, coded, place.digest, place.stamp) as reader:
            rows = encoder.encode(decode(reader, place.group, how))
        found = curvature_at(features, point, encoder.blanks)
        found.add(rows.x, rows.ids, rows.y, rows.w)
        weights = np.ones(len(rows)) if rows.w is None else rows.w.astype(np.float64)
        told = [weights.sum(), (weights * weights).sum(), found.loss]
        return len(rows), np.concatenate([told, flat(features, found)])

    size = len(point)
    total, count = Unrounded(AHEAD + size + size * (size + 1) // 2), 0
    for rows, values in ahead(one, places, threads()):
        count += rows
        total.add(values)
    sums = total.total()
    if not math.isfinite(sums.sum()):
        raise OverflowError("log-odds of these rows are beyond what a sum can hold")
    return count, sums
