"""A trained model in NumPy: rows to probabilities, without torch.

A row's score has the same bits alone, in a batch of any size, or in another order (`terms`). A row whose
log-odds are beyond doubles is refused, as one with an infinite number is: two such terms of opposite signs
leave nothing to score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from binclf import artifact, calibration
from binclf.calibration import AS_THEY_ARE, Calibration
from binclf.errors import ArtifactError, DataError
from binclf.explain import Contribution, Explanation, State
from binclf.features import OTHER, CategoricalColumn, Features, Lookup, NumericColumn
from binclf.metrics import NEVER
from binclf.metrics import probability as probability
from binclf.parquet import (
    Column,
    Kind,
    Rows,
    Texts,
    closest,
    feature_codes,
    feature_numbers,
    from_frame,
    zone_of,
)
from binclf.terms import Terms

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

# kinds that a feature accepts, by the kind that it was learnt from
ACCEPTED: Mapping[Kind, tuple[Kind, ...]] = {
    "boolean": ("boolean",),
    "integer": ("integer", "number"),
    "number": ("integer", "number"),
    "moment": ("moment",),
    "duration": ("duration",),
    "text": ("text",),
}


@dataclass(frozen=True, slots=True)
class Model:
    """A run, ready to score."""

    id: str
    features: Features = field(repr=False)
    weight: F64 = field(repr=False)  # [F] per standardised unit
    table: F64 = field(repr=False)  # [V]
    bias: float
    threshold: float
    lookups: tuple[Lookup, ...] = field(repr=False)  # of each categorical column
    calibration: Calibration = field(default=AS_THEY_ARE, repr=False)  # of the log-odds

    @property
    def terms(self) -> Terms:
        """What each column adds."""
        return Terms(self.features, self.weight, self.table, self.bias, self.lookups)

    def predict_proba(self, frame: object) -> F64:
        """Probability of yes, float64 [N], for a pandas DataFrame, a pyarrow Table, or a dict of one row.

        Columns are found by name; others are ignored.

        Raises:
            DataError: a column is missing or of another kind than learnt, or holds infinities, or numbers so
                large that a row's log-odds are beyond doubles.
        """
        return probability(self.logits(self.rows(frame)))

    def predict(self, frame: object) -> npt.NDArray[np.bool_]:
        """Whether the probability reaches the model's threshold, bool [N]."""
        return self.predict_proba(frame) >= self.threshold

    def explain(self, frame: object) -> Explanation:
        """What each column adds to the log-odds of each row; `binclf.explain` says against what.

        Takes what `predict_proba` takes, and refuses the same.
        """
        rows = self.rows(frame)
        logits, terms = self.sums(rows), self.terms.of(rows)
        contributions: list[Contribution] = []
        for numeric in self.features.numeric:
            numbers = feature_numbers(rows, numeric.column)
            missing = np.isnan(numbers)
            values = tuple(None if v != v else v for v in numbers.tolist())
            states: list[State] = ["missing" if is_missing else "value" for is_missing in missing]
            added = terms[len(contributions)].added()
            contributions.append(Contribution(numeric.name, values, tuple(states), added))
        for place, categorical in enumerate(self.features.categorical):
            codes, texts = feature_codes(rows, categorical.column)
            states = self._states(place, codes, texts)
            values = tuple(None if code < 0 else texts[code] for code in codes.tolist())
            added = terms[len(contributions)].added()
            contributions.append(Contribution(categorical.name, values, tuple(states), added))
        calibrated = probability(self.calibration.of(logits))
        return Explanation(self.id, self.bias, tuple(contributions), logits, calibrated)

    def rows(self, frame: object) -> Rows:
        """A frame, a table or a dict of one row as rows whose columns are those that were learnt.

        Raises:
            DataError: it is none of these, or a column is missing or of another kind.
        """
        rows = from_frame(frame, self.columns())
        self.check(rows.columns(), rows.place)
        return rows

    def columns(self) -> list[str]:
        """The columns that scoring reads."""
        return list(dict.fromkeys(name for column in self.features.columns for name in column.column.reads))

    def check(self, columns: Sequence[Column], place: str) -> None:
        """Compare the columns of a file or frame with those that were learnt.

        Raises:
            DataError: every missing column and every one of another kind, at once.
        """
        found = {column.name: column for column in columns}
        problems: list[str] = []
        if len(found) < len(columns):
            names = [column.name for column in columns]
            twice = sorted({name for name in names if names.count(name) > 1} & set(self.columns()))
            problems += [f"{place} has two columns named '{name}': rename one." for name in twice]
        for learnt in self.features.columns:
            for name in learnt.column.reads:
                problems += self._unlike(learnt, name, found, place)
        if problems:
            raise DataError("\n".join(dict.fromkeys(problems)))

    def _unlike(
        self, learnt: NumericColumn | CategoricalColumn, name: str, found: Mapping[str, Column], place: str
    ) -> list[str]:
        """How the column that a feature is read from differs from what was learnt."""
        column = found.get(name)
        if column is None:
            close = closest(name, found)
            hint = f" (it has '{close}')" if close else ""
            return [
                f"{place} lacks column '{name}'{hint}, which {self.id} learnt: bring the column, or retrain."
            ]
        if column.type == "null":  # pandas has no type for all None
            return []
        wanted: str = learnt.kind
        if learnt.column.part == "hour" and column.type.startswith("date"):
            wanted = "the hour of"
        elif learnt.kind == "moment" and column.kind == "moment":
            if bool(zone_of(column.type)) == bool(zone_of(learnt.column.type)):
                return []
            wanted = "zoned" if zone_of(learnt.column.type) else "zoneless"
        elif column.kind in _accepted(learnt):
            return []
        return [
            f"column '{name}' of {place} is {column.type}, and {self.id} learnt "
            f"{wanted} values: cast it, or retrain."
        ]

    def logits(self, rows: Rows) -> F64:
        """Log-odds of yes, calibrated, float64 [N]."""
        return self.calibration.of(self.sums(rows))

    def sums(self, rows: Rows) -> F64:
        """The intercept and each column's term added up, float64 [N]: log-odds before calibration.

        Raises:
            DataError: of a row they are not finite.
        """
        return self.terms.sums(rows)

    def _states(self, place: int, codes: I32, texts: Texts) -> list[State]:
        lookup = self.lookups[place]
        others = lookup.ids_of_texts(texts) == lookup.offset + OTHER
        known: State = "hashed" if lookup.is_hashed else "level"
        of_texts: list[State] = [
            "rare or unseen" if is_other and not lookup.is_hashed else known for is_other in others
        ]
        of_texts[-1] = "missing"  # a code of -1 finds it
        return [of_texts[code] for code in codes.tolist()]


def of_run(run: artifact.Run) -> Model:
    """The model of a run."""
    try:
        mapped = calibration.from_json((run.record.get("calibration") or {}).get("map"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"model.json of {run.path}: {error}. Train again.") from error
    threshold = run.record.get("threshold", "")
    if threshold not in (None, NEVER) and not (isinstance(threshold, int | float) and 0 <= threshold <= 1):
        raise ArtifactError(
            f"model.json of {run.path} has the threshold {threshold!r}: a probability is needed, or null. "
            "Train again."
        )
    return replace(
        of_weights(run.features, run.weights),
        id=run.id,
        threshold=NEVER if threshold is None else float(threshold),
        calibration=mapped,
    )


def of_weights(features: Features, weights: Mapping[str, F64]) -> Model:
    """The model of weights that a solver found, without a name and not calibrated."""
    empty = np.zeros(0)
    return Model(
        id="",
        features=features,
        weight=weights.get("weight", empty),
        table=weights.get("table", empty),
        bias=float(weights["bias"][0]),
        threshold=0.5,
        lookups=tuple(Lookup(features, place) for place in range(len(features.categorical))),
    )


def _accepted(learnt: NumericColumn | CategoricalColumn) -> tuple[Kind, ...]:
    if isinstance(learnt, CategoricalColumn):
        return (learnt.kind,)
    return ACCEPTED[learnt.kind]
