"""Parts of moments: what Python's calendar says, the same in training and in scoring, by declaration only."""

from __future__ import annotations

import datetime
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.config import Config, parse
from binclf.errors import BinclfError, ConfigError, DataError
from binclf.features import Features, Roles, roles
from binclf.parquet import Column, Reader, Rows, feature_codes, feature_numbers
from binclf.parquet.parts import NAMES
from binclf.registry import load
from binclf.retrain import retrain
from tests import made
from tests.laws import examples
from tests.trained import on_disk

# pyarrow's own call to pandas, on a column with a time zone
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning:DeprecationWarning")

many = examples(150)

EPOCH = datetime.datetime(1970, 1, 1)
ZONES = ["", "UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Auckland"]


def config(**sections: Any) -> Config:
    data = {"path": "x", "label": "y"} | sections.pop("data", {})
    return parse({"name": "x", "data": data, **sections})


def part(name: str, arrow_type: Any, against: str = "") -> Column:
    return Column(f"c:{name}", "moment", str(arrow_type), "c", name, against)


def python_says(count: int, zone: str) -> datetime.datetime:
    """The wall clock of a count of microseconds, by Python's own calendar."""
    naive = EPOCH + datetime.timedelta(microseconds=count)
    return naive.replace(tzinfo=datetime.UTC).astimezone(ZoneInfo(zone)) if zone else naive


@many
@given(
    st.lists(st.datetimes(datetime.datetime(1901, 1, 2), datetime.datetime(2199, 12, 30)), min_size=1),
    st.sampled_from(ZONES),
    st.sampled_from(["s", "ms", "us", "ns"]),
)
def test_parts_are_those_of_python_s_calendar(moments: list[datetime.datetime], zone: str, unit: str) -> None:
    step = {"s": 1_000_000, "ms": 1000}.get(unit, 1)
    counts = [(one - EPOCH) // datetime.timedelta(microseconds=1) // step * step for one in moments]
    kind = pa.timestamp(unit, zone or None)
    column = pa.array([*counts, None], pa.timestamp("us", zone or None)).cast(kind)
    rows = Rows(pa.table({"c": column}), "a")
    walls = [python_says(count, zone) for count in counts]
    wanted = {
        "hour": [wall.hour for wall in walls],
        "weekday": [wall.weekday() for wall in walls],
        "month": [wall.month for wall in walls],
    }
    for name, values in wanted.items():
        numbers = feature_numbers(rows, part(name, kind))
        assert numbers.dtype == np.float64
        assert numbers[:-1].tolist() == values
        assert math.isnan(numbers[-1])
        codes, texts = feature_codes(rows, part(name, kind))
        assert codes.dtype == np.int32
        assert codes[-1] == -1
        said = [texts[code] for code in codes[:-1]]
        assert (
            said
            == {
                "hour": [f"{wall:%H}" for wall in walls],
                "weekday": [f"{wall:%A}".lower() for wall in walls],
                "month": [f"{wall:%B}".lower() for wall in walls],
            }[name]
        )


@many
@given(
    st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 1, 1)),
    st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 1, 1)),
    st.sampled_from(["", "Europe/Berlin"]),
)
def test_an_age_is_the_days_from_the_moment_to_the_row_s_time(
    moment: datetime.datetime, row_time: datetime.datetime, zone: str
) -> None:
    kind = pa.timestamp("us", zone or None)
    counts = [(one - EPOCH) // datetime.timedelta(microseconds=1) for one in (moment, row_time)]
    table = pa.table(
        {"c": pa.array([counts[0], None, counts[0]], kind), "t": pa.array([counts[1], counts[1], None], kind)}
    )
    age = feature_numbers(Rows(table, "a"), part("age_days", kind, "t"))
    assert age[0] == pytest.approx((row_time - moment) / datetime.timedelta(days=1), rel=1e-15, abs=1e-12)
    assert np.isnan(age[1:]).all()


def test_an_age_beyond_what_integers_count_has_its_sign() -> None:
    table = pa.table(
        {"c": pa.array([-(2**63) + 1], pa.timestamp("us")), "t": pa.array([2**62], pa.timestamp("us"))}
    )
    age = feature_numbers(Rows(table, "a"), part("age_days", "timestamp[us]", "t"))
    assert age[0] == pytest.approx((2.0**62 + 2.0**63) / 86_400e6)


def test_dates_have_a_weekday_and_a_month_and_a_file_without_values_has_none() -> None:
    rows = Rows(pa.table({"c": pa.array([0, 19_000, None], pa.int32()).cast(pa.date32())}), "a")
    assert feature_numbers(rows, part("weekday", "date32[day]"))[:2].tolist() == [3, 5]
    assert feature_numbers(rows, part("month", "date32[day]"))[:2].tolist() == [1, 1]
    empty = Rows(pa.table({"c": pa.nulls(2)}), "a")
    assert np.isnan(feature_numbers(empty, part("hour", "timestamp[us]"))).all()
    assert feature_codes(empty, part("hour", "timestamp[us]"))[0].tolist() == [-1, -1]


def test_parts_are_taken_on_the_clocks_that_were_learnt() -> None:
    """A file in another zone holds the same instants: its parts are those of the data set's zone."""
    count = pa.array([1_720_000_000_000_000])
    learnt = part("hour", "timestamp[us, tz=Asia/Tokyo]")
    found = {
        float(feature_numbers(Rows(pa.table({"c": count.cast(pa.timestamp("us", zone))}), "a"), learnt)[0])
        for zone in ("UTC", "Asia/Tokyo", "America/New_York", "+03:30")
    }
    assert found == {float(python_says(1_720_000_000_000_000, "Asia/Tokyo").hour)}


def test_a_zone_that_nobody_knows_is_named() -> None:
    kind = pa.timestamp("us", "Nowhere/Bad")
    rows = Rows(pa.table({"c": pa.array([0], kind)}), "a, row group 0")
    with pytest.raises(DataError, match=r"'c' of a, row group 0 has the time zone 'Nowhere/Bad', which"):
        feature_numbers(rows, part("hour", kind))


def test_names_of_categories_are_distinct_and_complete() -> None:
    assert {name: len(set(texts)) for name, texts in NAMES.items()} == {"hour": 24, "weekday": 7, "month": 12}


# Declarations

MOMENT = Column("when", "moment", "timestamp[us]")
TIME = Column("seen", "moment", "timestamp[us]")
DATE = Column("when", "moment", "date32[day]")
NUMBER = Column("n", "number", "double")


def sorted_by(columns: list[Column], data: dict[str, Any] | None = None, **features: Any) -> Roles:
    return roles(config(features=features, data=data or {}), columns)


def test_a_declared_part_is_a_feature_and_its_moment_is_none() -> None:
    found = sorted_by(
        [MOMENT, NUMBER, TIME],
        {"time": "seen"},
        numeric=["when:age_days", "seen:hour"],
        categorical=["when:weekday"],
        log1p=["when:age_days"],
    )
    assert [column.name for column in found.numeric] == ["n", "when:age_days", "seen:hour"]
    assert [column.name for column in found.categorical] == ["when:weekday"]
    assert [column.reads for column in found.numeric] == [("n",), ("when", "seen"), ("seen",)]
    assert found.categorical[0].reads == ("when",)


def test_a_moment_may_be_a_number_beside_its_parts() -> None:
    found = sorted_by([MOMENT], numeric=["when", "when:month"])
    assert [column.name for column in found.numeric] == ["when", "when:month"]


def test_a_column_of_the_full_name_comes_first() -> None:
    full = Column("when:hour", "integer", "int64")
    found = sorted_by([MOMENT, full, TIME], {"exclude": ["when", "seen"]}, categorical=["when:hour"])
    assert found.categorical == (full,)


def test_the_last_colon_counts() -> None:
    odd = Column("a:b", "moment", "timestamp[us]")
    assert sorted_by([odd], numeric=["a:b:month"]).numeric[0].source == "a:b"


WRONG: list[tuple[list[Column], dict[str, Any], dict[str, Any], str]] = [
    ([MOMENT], {}, {"numeric": ["when:year"]}, r"'when:year', and the parts of a moment are hour, weekday"),
    ([NUMBER], {}, {"numeric": ["n:hour"]}, r"'n:hour', a part of a moment, and column 'n' is double"),
    ([MOMENT], {"exclude": ["when"]}, {"numeric": ["when:hour"]}, r"data.exclude names 'when': remove it"),
    (
        [Column("when", "moment", "date32[day]")],
        {},
        {"numeric": ["when:hour"]},
        r"date32\[day\], which has no hour",
    ),
    ([MOMENT], {}, {"numeric": ["when:age_days"]}, r"name the column with that time in data\.time"),
    (
        [MOMENT, TIME],
        {"time": "seen"},
        {"categorical": ["when:age_days"]},
        r"an age is a number: hour",
    ),
    (
        [MOMENT, Column("seen", "integer", "int64")],
        {"time": "seen"},
        {"numeric": ["when:age_days"]},
        r"to data\.time = 'seen', which is int64: both must be moments",
    ),
    (
        [MOMENT, Column("seen", "moment", "timestamp[us, tz=UTC]")],
        {"time": "seen"},
        {"numeric": ["when:age_days"]},
        r"both must be moments, with a time zone or without",
    ),
    ([NUMBER], {}, {"numeric": ["gone:hour"]}, r"'gone:hour', which is not in all of the files"),
]


@pytest.mark.parametrize(("columns", "data", "features", "words"), WRONG)
def test_a_part_that_cannot_be_had_is_refused_in_words(
    columns: list[Column], data: dict[str, Any], features: dict[str, Any], words: str
) -> None:
    with pytest.raises(BinclfError, match=words) as caught:
        sorted_by(columns, data, **features)
    assert "features." in str(caught.value)
    assert ConfigError.exit_code == 2


def test_columns_survive_json() -> None:
    column = part("age_days", "timestamp[us]", "t")
    assert Column(**asdict(column)) == column


# Training and scoring


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    """Two files with a birth date, an event time in a zone, and a label that follows hour and age."""
    root = tmp_path_factory.mktemp("parts")
    draw = np.random.default_rng(4)
    for place, rows in enumerate((900, 700)):
        when = pd.Timestamp("2024-03-01", tz="Europe/Berlin") + pd.to_timedelta(
            draw.integers(0, 90 * 86400, rows), unit="s"
        )
        joined = when - pd.to_timedelta(draw.integers(0, 400 * 86400, rows), unit="s")
        score = (when.hour > 17) * 2.0 + (when.day_of_week == 6) - (when - joined).days / 200
        frame = pd.DataFrame(
            {"when": when, "joined": joined, "y": draw.random(rows) < 1 / (1 + np.exp(-score))}
        )
        frame.loc[draw.random(rows) < 0.1, "joined"] = pd.NaT
        columns = {
            name: pa.array(
                [None if pd.isna(one) else one.value // 1000 for one in frame[name]],
                pa.timestamp("us", "Europe/Berlin"),
            )
            for name in ("when", "joined")
        }
        made.write(root / "data" / f"{place}.parquet", {**columns, "y": frame["y"].to_numpy()})
    settings_of = {
        "name": "parts",
        "store": str(root / "store"),
        "registry": {"uri": "off"},
        "data": {"path": str(root / "data"), "label": "y", "time": "when"},
        "features": {
            "numeric": ["joined:age_days"],
            "categorical": ["when:hour", "when:weekday"],
        },
        "train": {"epochs": 3},
    }
    config = parse(settings_of)
    return on_disk(retrain(config)), config


def test_derived_features_are_learnt_kept_and_read_back(people: tuple[Path, Config]) -> None:
    run, _ = people
    model = load(run)
    assert model.columns() == ["joined", "when"]
    age, (hour, weekday) = model.features.numeric[0], model.features.categorical
    assert age.column == Column("joined:age_days", "moment", age.column.type, "joined", "age_days", "when")
    assert 0 <= age.low < age.high <= 400
    assert set(hour.levels) == set(NAMES["hour"])
    assert set(weekday.levels) == set(NAMES["weekday"])
    assert Features.from_json(model.features.as_json()) == model.features


def test_scoring_takes_parts_as_training_did(people: tuple[Path, Config]) -> None:
    """Probabilities from the file, from a frame in another zone, and by hand from the run's own numbers."""
    run, config = people
    model = load(run)
    path = Path(config.data.path) / "0.parquet"
    with Reader(path) as reader:
        rows = next(iter(reader.all(model.columns())))
    frame = rows.table.to_pandas()
    scores = model.predict_proba(frame)
    other = frame.assign(when=frame["when"].dt.tz_convert("America/New_York"))
    assert np.array_equal(model.predict_proba(other), scores)
    age, (hour, weekday) = model.features.numeric[0], model.features.categorical
    days = ((frame["when"] - frame["joined"]) / pd.Timedelta(days=1)).to_numpy()
    missing = np.isnan(days)
    logits = model.bias + (np.where(missing, age.fill, days) - age.centre) / age.scale * model.weight[0]
    logits += missing * model.weight[age.indicator]
    for column, texts in (
        (hour, frame["when"].dt.strftime("%H")),
        (weekday, frame["when"].dt.day_name().str.lower()),
    ):
        places = [column.offset + 2 + column.levels.index(text) for text in texts]
        logits += model.table[places]
    assert scores == pytest.approx(1 / (1 + np.exp(-logits)), rel=1e-12)


def test_what_scoring_needs_is_the_source_columns_with_their_zones(people: tuple[Path, Config]) -> None:
    model = load(people[0])
    when = pd.Series(pd.to_datetime(["2024-05-01 10:00"]))
    good = pd.DataFrame({"when": when.dt.tz_localize("UTC"), "joined": when.dt.tz_localize("UTC")})
    assert len(model.predict_proba(good)) == 1
    assert len(model.predict_proba(good.assign(joined=pd.Series([None], dtype=object)))) == 1
    with pytest.raises(DataError, match=r"the frame lacks column 'joined' \(it has 'Joined'\)"):
        model.predict_proba(good.rename(columns={"joined": "Joined"}))
    with pytest.raises(DataError, match=r"column 'when' .* is timestamp\[.*\], and .* learnt zoned values"):
        model.predict_proba(good.assign(when=when))
    dates = pa.table({"when": pa.array([19_000], pa.int32()).cast(pa.date32()), "joined": good["joined"]})
    with pytest.raises(DataError, match=r"column 'when' .* is date32\[day\], and .* learnt the hour of"):
        model.predict_proba(dates)
    with pytest.raises(DataError, match=r"column 'when' .* is int64, and .* learnt moment values"):
        model.predict_proba(good.assign(when=[5]))
