"""What every exported pipeline file has in common; the exporter appends it to the model's numbers.

It imports nothing of binclf, for it runs where binclf is not.
"""

# --- from here on it is part of the exported file ---
import datetime
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

DAY = pd.Timedelta(days=1)


class Regression(LogisticRegression):  # type: ignore[misc]
    """A logistic regression whose log-odds are finite, and whose probabilities are calibrated where told."""

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: ANN401 - scikit-learn's
        """Log-odds before calibration, float64 [N]."""
        with np.errstate(over="ignore", invalid="ignore"):
            logits = super().decision_function(X)
        if not np.isfinite(logits).all():
            raise ValueError("a row's log-odds are NaN, infinity or beyond the range of doubles")
        return np.asarray(logits)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: ANN401 - scikit-learn's
        """Probability of no and yes, float64 [N, 2]."""
        logits, calibration = self.decision_function(X), self.calibration_
        if "edges" in calibration:
            places = np.searchsorted(calibration["edges"], logits, side="right")
            found = np.array(calibration["probabilities"])[places]
        else:
            found = expit(logits * calibration["slope"] + calibration["intercept"])
        return np.column_stack([1 - found, found])


def pipeline(model: dict[str, Any]) -> Pipeline:
    """The fitted pipeline: a DataFrame in, `predict_proba` and `predict` (at the model's threshold) out."""
    numbers, levels = model["numbers"], model["levels"]
    coefficients = [[number["weight"] for number in numbers]]
    coefficients.append([number["missing_weight"] for number in numbers if number["has_indicator"]])
    coefficients += [[weight - level["other"] for weight in level["weights"]] for level in levels]
    features = []
    if numbers:
        read = FunctionTransformer(read_numbers, kw_args={"columns": numbers})
        features.append(("numbers", make_pipeline(read, imputer(numbers), scaler(numbers))))
    if levels:
        read = FunctionTransformer(read_levels, kw_args={"columns": levels})
        features.append(("levels", make_pipeline(read, encoder(levels))))
    regression = Regression()
    regression.calibration_ = model["calibration"]
    regression.classes_ = np.array([False, True])
    regression.coef_ = np.array([[one for group in coefficients for one in group]])
    # rare and unseen levels have no column of their own: a row without a known level adds their weight here
    regression.intercept_ = np.array([model["intercept"] + sum(level["other"] for level in levels)])
    regression.n_features_in_ = regression.coef_.shape[1]
    decided = FixedThresholdClassifier(
        regression, threshold=model["threshold"], response_method="predict_proba"
    )
    decided.estimator_ = regression
    return Pipeline([("features", FeatureUnion(features)), ("model", decided)])


def imputer(numbers: list[dict[str, Any]]) -> SimpleImputer:
    """Puts each column's own value for a missing one, and tells where it did, where train lacked some."""
    fills = [number["fill"] for number in numbers]
    lacking = [np.nan if number["has_indicator"] else number["fill"] for number in numbers]
    return SimpleImputer(strategy="median", add_indicator=True).fit(np.array([fills, fills, lacking]))


def scaler(numbers: list[dict[str, Any]]) -> StandardScaler:
    """Standardises the columns, and leaves the indicators after them as they are."""
    indicators = sum(number["has_indicator"] for number in numbers)
    made = StandardScaler()
    made.mean_ = np.array([number["centre"] for number in numbers] + [0.0] * indicators)
    made.scale_ = np.array([number["scale"] for number in numbers] + [1.0] * indicators)
    made.var_, made.n_features_in_, made.n_samples_seen_ = made.scale_**2, len(made.mean_), 1
    return made


def encoder(levels: list[dict[str, Any]]) -> OneHotEncoder:
    """One column for each level and for missing; none for a value that it does not know."""
    known = [np.array(level["levels"], dtype=object) for level in levels]
    example = np.array([[texts[0] for texts in known]], dtype=object)
    return OneHotEncoder(categories=known, handle_unknown="ignore").fit(example)


def read_numbers(frame: pd.DataFrame, columns: list[dict[str, Any]]) -> np.ndarray:
    """Numbers as the model takes them, float64; missing is NaN."""
    found = [read_number(frame, column) for column in columns]
    for place, column in enumerate(columns):
        if column["log1p"]:
            found[place] = np.sign(found[place]) * np.log1p(np.abs(found[place]))
    return np.column_stack(found)


def read_number(frame: pd.DataFrame, column: dict[str, Any]) -> np.ndarray:
    """One column, float64: moments in seconds since 1970, durations and times of day in seconds."""
    values = frame[column["source"]]
    if column["part"] == "age_days":
        zone = column["zone"]
        values = (moments(frame[column["against"]], zone) - moments(values, zone)) / 86400.0
    elif column["part"]:
        values = parts(values, column)
    elif column["kind"] == "moment":
        values = moments(values, column["zone"])
    elif column["kind"] == "duration":
        present = [isinstance(value, datetime.time) for value in values if not pd.isna(value)]
        values = values.astype("string") if present and all(present) else values
        values = pd.to_timedelta(values).dt.total_seconds()
    elif values.dtype == object:
        values = values.map(lambda value: np.nan if pd.isna(value) else float(value))
    return np.asarray(values.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan))


def moments(values: pd.Series, zone: str) -> pd.Series:
    """Seconds since 1970; missing is NaN."""
    counted = pd.to_datetime(values, utc=bool(zone)).astype(
        "datetime64[us, UTC]" if zone else "datetime64[us]"
    )
    return counted.astype("int64").where(counted.notna()) / 1e6


def parts(values: pd.Series, column: dict[str, Any]) -> pd.Series:
    """The hour, weekday (Monday is 0) or month, on the clocks of the column's zone."""
    zone = column["zone"]
    clock = pd.to_datetime(values, utc=bool(zone))
    if zone:
        clock = clock.dt.tz_convert(zone)
    return {"hour": clock.dt.hour, "weekday": clock.dt.day_of_week, "month": clock.dt.month}[column["part"]]


def read_levels(frame: pd.DataFrame, columns: list[dict[str, Any]]) -> np.ndarray:
    """Levels as text, or None."""
    found = np.empty((len(frame), len(columns)), dtype=object)
    for place, column in enumerate(columns):
        values = frame[column["source"]]
        if column["part"]:
            numbers, names = parts(values, column), column["names"]
            found[:, place] = [None if pd.isna(n) else names[int(n) - column["first"]] for n in numbers]
        else:
            found[:, place] = [
                None if lacks else text_of(value, column["kind"])
                for value, lacks in zip(values, values.isna(), strict=True)
            ]
    return found


def text_of(value: Any, kind: str) -> str:  # noqa: ANN401 - a cell
    """A level as binclf writes it: 7, true, or the text itself."""
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return str(int(value))  # pandas makes floats of integers that lack some
    return str(bool(value)).lower() if kind == "boolean" else str(value)
