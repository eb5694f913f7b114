"""Whether a retraining is worth its while, by the labelled files that the champion was not made from."""

from __future__ import annotations

import logging
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from binclf import artifact, registry, stages
from binclf.config import Config, parse
from binclf.drift import drift, worth
from binclf.errors import ConfigError, DamageError
from binclf.retrain import retrain
from tests.made import write
from tests.refits import CHANGED, WORLD, rows

testing, asking = import_module("binclf.drift.rao"), import_module("binclf.drift.worth")

NOTHING = "there is no file that the champion was not made from: there is nothing new"
METHODS: dict[str, dict[str, Any]] = {
    "random": {},
    "random by groups": {},
    "hash": {"key": ["customer"]},
    "time": {},
    "column": {"column": "part"},
    "none": {},
}


def table(count: int, seed: int, slopes: Any = WORLD) -> pa.Table:
    """Labelled rows of a world, with columns for every method of a split."""
    draw = np.random.default_rng(seed)
    moments = draw.integers(0, 10**9, count).astype("datetime64[s]")
    parts = np.array(["train", "validation", "test"])[draw.choice(3, count, p=[0.6, 0.2, 0.2])]
    made = rows(count, draw, slopes).append_column("customer", pa.array(draw.integers(0, 500, count)))
    return made.append_column("moment", pa.array(moments)).append_column("part", pa.array(parts))


def job(folder: Path, method: str = "random", **changes: Any) -> Config:
    """A retraining on what lies in `folder / data`."""
    name, _, grouped = method.partition(" ")
    used = {"time": "moment"} if name == "time" else {"group": "customer"} if grouped else {}
    others = [column for column in ("customer", "moment", "part") if column not in used.values()]
    return parse(
        {
            "name": "champion",
            "store": str(folder / "runs"),
            "data": {"path": str(folder / "data"), "label": "y", "exclude": others, **used}
            | changes.pop("data", {}),
            "split": {"method": name, **METHODS[method]},
            "train": {"solver": "newton", "ranks": 1, "device": "cpu"},
            "registry": {"uri": "off"},
            **changes,
        }
    )


def champion_of(config: Config) -> artifact.Run:
    """A champion of two files."""
    data = Path(config.data.path)
    for number, count in enumerate((1500, 700)):
        write(data / f"{number}.parquet", table(count, number), group_rows=400)
    return artifact.open_run(retrain(config))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[artifact.Run, Path]:
    folder = tmp_path_factory.mktemp("made")
    return champion_of(job(folder)), folder


@pytest.fixture
def champion(made: tuple[artifact.Run, Path]) -> artifact.Run:
    return made[0]


@pytest.fixture
def config(made: tuple[artifact.Run, Path], tmp_path: Path) -> Config:
    """The same job on a copy of its data, which a test may change."""
    shutil.copytree(made[1] / "data", tmp_path / "data")
    return job(tmp_path)


def add(config: Config, name: str, made: pa.Table) -> Path:
    return write(Path(config.data.path) / name, made, group_rows=1000, write_page_checksum=True)


@pytest.mark.parametrize("slopes", [WORLD, CHANGED], ids=["unchanged", "changed"])
def test_it_is_what_the_test_of_the_unseen_files_alone_says(
    champion: artifact.Run, config: Config, tmp_path: Path, slopes: Any
) -> None:
    for number in (7, 8):
        made = table(2000, number, slopes)
        add(config, f"new-{number}.parquet", made)
        write(tmp_path / "alone" / f"new-{number}.parquet", made, group_rows=1000)
    found, told = worth(champion, config), drift(champion, tmp_path / "alone")["retrain"]
    assert found.is_given == told["is_advised"] == (slopes is CHANGED)
    advice = told["words"].partition(": ")[2]
    assert "on 4,000 labelled rows a refit would lower log-loss by about" in advice
    assert found.reason == (advice if found.is_given else f"nothing is done: {advice}")


def test_its_limits_are_those_of_the_config(champion: artifact.Run, config: Config) -> None:
    add(config, "new.parquet", table(4000, 7, CHANGED))
    assert worth(champion, config).is_given
    strict = parse(config.model_dump(), ["drift.retrain_gain=0.5"])
    assert worth(champion, strict).reason.endswith("which is less than drift.retrain_gain = 0.5")
    assert not worth(champion, strict).is_given


@pytest.mark.parametrize("method", METHODS)
def test_the_files_of_any_split_are_known_again(tmp_path: Path, method: str) -> None:
    config = job(tmp_path, method)
    champion = champion_of(config)
    assert (worth(champion, config).is_given, worth(champion, config).reason) == (False, NOTHING)
    made = add(config, "1.parquet", table(700, 5))
    changed = worth(champion, config)
    assert (changed.is_given, changed.reason) == (
        True, "files that the champion was made from have changed: 1.parquet"
    )  # fmt: skip
    made.unlink()
    gone = worth(champion, config).reason
    assert gone == "files that the champion was made from are gone, or left out as bad: 1.parquet"


def test_what_was_seen_under_another_name_is_nothing_new_and_copies_count_once(
    champion: artifact.Run, config: Config
) -> None:
    data = Path(config.data.path)
    shutil.copy(data / "0.parquet", data / "-copy.parquet")
    shutil.copy(data / "0.parquet", data / "9-copy.parquet")
    assert worth(champion, config).reason == NOTHING
    shutil.copy(add(config, "new.parquet", table(3000, 7)), data / "new-copy.parquet")
    assert "on 3,000 labelled rows" in worth(champion, config).reason


@pytest.mark.parametrize(("setting", "now"), [("positive", "false"), ("weight", "x1"), ("label", "x2")])
def test_another_question_is_no_question_to_the_champion(
    champion: artifact.Run, config: Config, setting: str, now: str
) -> None:
    was = getattr(config.data, setting)
    other = parse(config.model_dump(), [f"data.{setting}={now}"])
    found = worth(champion, other)
    assert found.is_given
    assert found.reason == f"the champion was trained with data.{setting} = '{was}', and now it is '{now}'"


def test_a_champion_that_cannot_be_tested_is_retrained(
    champion: artifact.Run, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = table(500, 7)
    add(config, "new.parquet", new)
    with monkeypatch.context() as patch:
        patch.setattr(testing, "MOST_WEIGHTS", 3)
        found = worth(champion, config)
    assert found.is_given
    assert found.reason.startswith("the champion cannot be tested on new.parquet: it has ")

    def beyond(*_: Any) -> None:
        raise OverflowError("beyond")

    with monkeypatch.context() as patch:
        patch.setattr(asking, "rao", beyond)
        found = worth(champion, config)
    assert (found.is_given, found.reason) == (True, "the champion cannot be tested on new.parquet: beyond")
    # a column that the next training is to do without, and new files lack
    narrow = parse(config.model_dump(), ['data.exclude=["x3", "customer", "moment", "part"]'])
    add(narrow, "new.parquet", new.drop_columns("x3"))
    found = worth(champion, narrow)
    assert found.is_given
    assert found.reason.startswith(
        "the champion cannot be tested on new.parquet: new.parquet lacks column 'x3'"
    )


def test_rows_without_labels_are_nothing_new(champion: artifact.Run, config: Config) -> None:
    new = table(300, 7)
    place = new.schema.get_field_index("y")
    add(config, "new.parquet", new.set_column(place, "y", pa.nulls(300, pa.bool_())))
    lenient = parse(config.model_dump(), ["data.on_null_label=drop"])
    found = worth(champion, lenient)
    assert (found.is_given, found.reason) == (
        False, "no row of new.parquet has a label and weight: there is nothing new"
    )  # fmt: skip


def test_damage_is_refused_or_left_out_as_in_a_training(champion: artifact.Run, config: Config) -> None:
    add(config, "good.parquet", table(2000, 7))
    bad = add(config, "bad.parquet", table(1000, 8))
    content = bytearray(bad.read_bytes())
    content[1000] ^= 1
    bad.write_bytes(content)
    with pytest.raises(DamageError, match=r"bad\.parquet"):
        worth(champion, config)
    lenient = parse(config.model_dump(), ["data.on_bad_file=quarantine"])
    assert "on 2,000 labelled rows" in worth(champion, lenient).reason
    # and one of the champion's own
    first = Path(config.data.path) / "0.parquet"
    first.write_bytes(first.read_bytes()[:-9])
    assert worth(champion, lenient).reason.endswith("are gone, or left out as bad: 0.parquet")


def kept(config: Config) -> set[Path]:
    return set(Path(config.store).rglob("*")) if Path(config.store).exists() else set()


def test_a_retraining_that_would_gain_nothing_is_not_begun(
    champion: artifact.Run, config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="when = 'worthwhile' asks for a champion"):
        stages.begin(config, "worthwhile")
    there = parse(config.model_dump(), ["registry.uri="])
    monkeypatch.setattr(registry, "champion_of", lambda *_: champion)
    add(there, "same.parquet", table(3000, 7))
    before = kept(there)
    begun = stages.begin(there, "worthwhile")
    assert (begun.run, begun.rows) == (str(champion.path), 2200)
    assert begun.reason.startswith("nothing is done: on 3,000 labelled rows a refit would lower log-loss by")
    assert kept(there) == before  # nothing was split
    add(there, "other.parquet", table(3000, 9, CHANGED))
    with caplog.at_level(logging.INFO, "binclf"):
        begun = stages.begin(there, "worthwhile")
    assert (begun.reason, begun.rows) == ("", 8200)
    assert "retraining: on 6,000 labelled rows a refit would lower log-loss" in caplog.text
    monkeypatch.setattr(registry, "champion_of", lambda *_: None)
    with caplog.at_level(logging.INFO, "binclf"):
        assert stages.begin(there, "worthwhile").run == begun.run  # which was cut off, and is taken up
    assert "retraining: champion has no champion yet" in caplog.text
