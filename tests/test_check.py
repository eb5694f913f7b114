"""The preflight finds everything that would stop a run, in all files at once, and writes nothing."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.check import check, samples, text_of
from binclf.cli import main
from binclf.config import Config
from binclf.errors import BinclfError, ConfigError, DataError
from binclf.features import roles
from binclf.parquet import Found, layout
from binclf.split import ensure
from tests import made
from tests.laws import examples
from tests.test_quarantine import change_a_type, cut_short, drop_a_column, flip_a_label

SIZES = (300, 200, 250)


def tree(root: Path) -> dict[str, tuple[str, int]]:
    """Every file and folder below a folder: digest and time."""
    return {
        path.relative_to(root).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.stat().st_mtime_ns,
        )
        for path in sorted(root.rglob("*"))
    }


def replaced(path: Path, name: str, values: Any) -> None:
    """Write a file again with one column replaced or added."""
    table = pq.read_table(path)
    column = values if isinstance(values, pa.Array) else pa.array(values)
    if name in table.column_names:
        table = table.set_column(table.column_names.index(name), name, column)
    else:
        table = table.append_column(name, column)
    made.write(path, table)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return made.mixed_files(tmp_path / "data", SIZES)


def config_for(data: Path, /, **sections: Any) -> Config:
    return made.config(data, data.parent / "store", **sections)


def problems_of(data: Path, /, **sections: Any) -> list[str]:
    found = check(config_for(data, **sections))
    assert found["ok"] == (not found["problems"])
    assert (found["exit_code"] == 0) == found["ok"]
    return list(found["problems"])


def test_good_data_are_ready_and_counted(data: Path) -> None:
    (data / "notes.txt").write_text("x")
    labels = pa.concat_tables([pq.read_table(path) for path in data.glob("*.parquet")])["label"]
    found = check(config_for(data, data={"weight": "w"}))
    assert found["ok"]
    assert found["problems"] == []
    assert found["exit_code"] == 0
    assert (found["files"], found["rows"], found["unlabelled"]) == (3, sum(SIZES), 0)
    assert found["positive_rate"] == labels.to_numpy().mean()
    assert found["passed_over"] == [["notes.txt", "it does not end in .parquet or .pq"]]
    used = roles(
        config_for(data, data={"weight": "w"}), ensure(config_for(data, data={"weight": "w"})).columns
    )
    assert found["columns"]["numeric"] == [column.name for column in used.numeric]
    assert found["columns"]["categorical"] == [column.name for column in used.categorical]
    assert found["columns"]["weight"] == ["w"]
    assert json.loads(json.dumps(found)) == found


METHODS: list[dict[str, Any]] = [
    {"split": {"method": "random"}},
    {"split": {"method": "hash", "key": ["id"]}},
    {"split": {"method": "time"}, "data": {"time": "time"}},
    {"split": {"method": "none"}},
    {"split": {"method": "random"}, "data": {"group": "who"}},
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("is_bad", [False, True])
def test_nothing_is_written(method: dict[str, Any], is_bad: bool, data: Path) -> None:
    if is_bad:
        drop_a_column(data / "part-001.parquet")
        replaced(data / "part-002.parquet", "label", pa.nulls(250, pa.bool_()))
    before = tree(data.parent)
    assert check(config_for(data, **method))["ok"] != is_bad
    assert tree(data.parent) == before
    assert not (data.parent / "store").exists()


def test_a_store_that_is_there_is_left_as_it_is(data: Path) -> None:
    ensure(config_for(data))
    before = tree(data.parent)
    assert check(config_for(data))["ok"]
    assert tree(data.parent) == before


def test_every_problem_of_every_file_is_told_at_once(data: Path) -> None:
    made.mixed_files(data / "more", (100,) * 7, seed=9)
    files = sorted(data.rglob("*.parquet"))
    cut_short(files[0])
    drop_a_column(files[1])
    change_a_type(files[2])
    flip_a_label(made.write(files[3], made.mixed(300)))
    replaced(files[4], "label", pa.nulls(100, pa.bool_()))
    replaced(files[5], "w", [-1.0] * 100)
    replaced(files[6], "time", pa.nulls(100, pa.timestamp("us")))
    (data / "more" / "table.parquet").write_text("a,b\n1,2\n")
    asked = {
        "split": {"method": "time"},
        "data": {"time": "time", "weight": "w"},
        "features": {"numeric": ["numbr"], "categorical": ["time:weekdy"]},
    }
    told = "\n".join(problems_of(data, **asked))
    for words in (
        f"{files[0].relative_to(data)} is not a whole Parquet file",
        "lacks column 'word'",
        "column 'number' is",
        "column 'label' of more/part-",
        "is damaged",
        "holds 100 nulls, the first in row 0: each row needs a label",
        "holds 100 values that are negative",
        "each row needs a time to be split by it",
        "more/table.parquet is no Parquet file but looks like text or CSV",
        "features.numeric names column 'numbr', which the data lack (did you mean 'number'?)",
    ):
        assert words in told, words


PLANTED = ("cut", "lacks", "type", "labels", "third", "null label")


@examples(25)
@given(planted=st.lists(st.sampled_from(PLANTED), min_size=0, max_size=3, unique=True))
def test_it_is_ready_exactly_where_a_run_s_split_goes_through(
    planted: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("planted")
    data = made.mixed_files(root / "data", (120, 120, 120, 120))
    files = sorted(data.iterdir())
    for place, fault in enumerate(planted):
        if fault == "cut":
            cut_short(files[place])
        elif fault == "lacks":
            drop_a_column(files[place])
        elif fault == "type":
            change_a_type(files[place])
        elif fault == "labels":
            flip_a_label(files[place])
        elif fault == "third":
            replaced(files[place], "label", pa.array([["yes", "no", "so"][i % 3] for i in range(120)]))
        else:
            replaced(files[place], "label", pa.nulls(120, pa.bool_()))
    found = check(config_for(data))
    assert found["ok"] == (not planted)
    assert len(found["problems"]) >= len(planted)
    refused: BinclfError | None = None
    try:
        ensure(config_for(data))
    except BinclfError as error:
        refused = error
    assert (refused is None) == found["ok"]
    if refused is not None:
        assert refused.exit_code == found["exit_code"]
        if not isinstance(refused, DataError):
            assert isinstance(refused, ConfigError)
    shutil.rmtree(root)


def test_labels_of_a_third_value_over_all_files_are_told(tmp_path: Path) -> None:
    for place, values in enumerate((["a", "b"], ["a", "c"])):
        table = pa.table({"n": np.arange(100.0), "y": [values[i % 2] for i in range(100)]})
        made.write(tmp_path / "data" / f"{place}.parquet", table)
    data = {"path": str(tmp_path / "data"), "label": "y", "positive": "a", "ids": [], "exclude": []}
    told = problems_of(tmp_path / "data", data=data)
    assert told == [
        "label 'y' of 1.parquet holds 'c', a third value beside a, b: a binary label has two. "
        "Map them to two, or choose another column."
    ]


def test_a_name_that_is_not_there_is_told_once_and_not_again_in_what_follows(data: Path) -> None:
    """A mistyped time column would else be a feature of no sort, and a mistyped feature be told twice."""
    told = problems_of(
        data,
        data={"time": "tme", "exclude": ["who", "w"], "label": "labl"},
        features={"categorical": ["wordd", "nothing_like_it"], "log1p": ["numbr"]},
    )
    assert [line.split("'")[1] for line in told] == ["labl", "tme", "wordd", "nothing_like_it", "numbr"]
    assert "did you mean 'time'?" in told[1]
    (other,) = problems_of(data, data={"exclude": ["who", "w"]})
    assert "columns 'time' (timestamp[us]) are neither" in other  # the negative control


def test_one_class_no_weight_and_cuts_that_cannot_be_are_told(data: Path) -> None:
    late = {"method": "time", "test_from": "2024-01-01", "validation_from": "2024-01-02"}
    assert "validation begins at" in problems_of(data, split=late, data={"time": "time"})[0]
    for path, rows in zip(sorted(data.iterdir()), SIZES, strict=True):
        replaced(path, "w", [0.0] * rows)
    assert problems_of(data, data={"weight": "w"}) == ["all rows weigh nothing ('w')."]
    for path, rows in zip(sorted(data.iterdir()), SIZES, strict=True):
        replaced(path, "label", [True] * rows)
    assert problems_of(data) == [
        "all 750 labelled rows have a positive label ('label'): both classes are needed. Check data.positive."
    ]


def test_features_that_cannot_be_decided_are_told_with_integers_that_are_no_numbers(data: Path) -> None:
    for path, rows in zip(sorted(data.iterdir()), SIZES, strict=True):
        replaced(path, "blob", pa.array([b"x"] * rows))
        replaced(path, "huge", np.arange(rows) + 2**60)
    told = problems_of(data)
    assert "columns 'blob' (binary) are neither numbers nor categories" in told[0]
    assert "column 'huge' of part-000.parquet holds integers beyond 2^53" in told[1]
    assert len(told) == 2
    assert problems_of(data, data={"exclude": ["blob", "huge", "who", "time", "w"]}) == []


def test_what_is_odd_and_no_obstacle_is_a_warning(data: Path) -> None:
    draw = np.random.default_rng(0)
    for path, rows in zip(sorted(data.iterdir()), SIZES, strict=True):
        replaced(path, "account", draw.choice(2**40, rows, replace=False))
        replaced(path, "cents", draw.integers(0, 2**40, rows) // 2**38 * 2**38)  # wide, and with repeats
    replaced(data / "part-001.parquet", "label", [False] * SIZES[1])
    replaced(data / "part-002.parquet", "small", np.arange(250, dtype=np.int64))
    found = check(config_for(data))
    assert found["ok"]
    warnings = "\n".join(found["warnings"])
    assert "column 'account' looks like an id: 750 of 750 values that were looked at differ" in warnings
    assert "cents" not in warnings
    assert "3 of 3 files, such as part-000.parquet, have no checksums" in warnings
    assert "1 of 3 files have one label only, such as part-001.parquet ('label' is always False)" in warnings
    assert "column 'small' is int16 in 2 files, such as part-000.parquet: taken as int64" in warnings


def written(root: Path, columns: dict[str, Any], *, rows: int = 500, files: int = 3) -> Path:
    """Files of `mixed` rows with columns that a call of each makes, given rows and the first's id."""
    for number in range(files):
        table = made.mixed(rows, first=number * rows)
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values(rows, number * rows)))
        made.write(root / f"{number}.parquet", table, group_rows=100)
    return root


def dates(form: str) -> Any:
    return lambda rows, first: [
        (datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=first + i)).strftime(form)
        for i in range(rows)
    ]


LOOKS = {
    "number_in_order": (lambda rows, first: np.arange(first, first + rows), "looks like an id: 800 of 800"),
    "given": (
        lambda rows, first: np.random.default_rng(1).permutation(rows) + 1.0 + first,
        "looks like an id",
    ),
    "far": (lambda rows, first: np.random.default_rng(first).integers(0, 2**40, rows), "looks like an id"),
    "day": (dates("%Y-%m-%d"), "holds dates as text, such as '2020-01-0"),
    "moment": (dates("%Y-%m-%dT%H:%M:%S.250Z"), "holds dates as text"),
    "american": (dates("%m/%d/%Y"), "holds dates as text"),
    "german": (dates("%d.%m.%y"), "holds dates as text"),
    "compact": (dates("%Y%m%d"), "holds dates as text"),
    "decimal": (
        lambda rows, first: [f"{i % 40 / 2}" for i in range(rows)],
        "holds numbers as text, such as",
    ),
    "prose": (
        lambda rows, first: [f"they said {i} things" for i in range(first, first + rows)],
        "free text or",
    ),
}


@pytest.mark.parametrize("name", LOOKS)
def test_columns_that_are_hardly_features_are_told_by_what_they_look_like(tmp_path: Path, name: str) -> None:
    data = written(tmp_path / "data", {name: LOOKS[name][0]})
    found = check(config_for(data))
    assert found["ok"]
    (told,) = [words for words in found["warnings"] if f"'{name}'" in words]
    assert LOOKS[name][1] in told
    assert told.endswith("(8 of 15 row groups were looked at)")
    assert "data.exclude" in told
    assert found["sample"] == {"rows": 800, "row_groups": 8, "of_row_groups": 15}
    assert "looked at      800 rows in 8 of 15 row groups" in text_of(found)
    assert check(config_for(data))["warnings"] == found["warnings"]  # always the same row groups


def test_columns_that_are_features_are_not_warned_of(tmp_path: Path) -> None:
    """Measurements never come twice, amounts seldom do, and codes may look like years."""
    columns = {
        "measured": lambda rows, first: np.random.default_rng(first).normal(size=rows),
        "amount": lambda rows, first: np.random.default_rng(first).integers(0, 10**6, rows),
        "year": lambda rows, first: np.random.default_rng(first).integers(1990, 2025, rows).astype(str),
        "code": lambda rows, first: [f"{i % 48}-{i % 3}" for i in range(rows)],
    }
    warnings = check(config_for(written(tmp_path / "data", columns)))["warnings"]
    assert not [words for words in warnings if "looked at" in words]


def test_infinite_values_are_a_problem_beside_others(tmp_path: Path) -> None:
    data = written(tmp_path / "data", {"bad": lambda rows, first: [np.inf, *range(rows - 1)]})
    told = problems_of(data, features={"categorical": ["number"]})
    assert len(told) == 2
    assert "column 'bad' of 0.parquet, row group 0 holds 1 infinite values" in told[1]
    assert problems_of(data, data={"exclude": ["who", "time", "w", "bad"]}) == []


def test_large_row_groups_are_looked_at_only_as_far_as_the_bound_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = written(tmp_path / "data", {})
    monkeypatch.setattr(samples, "MOST_CELLS", 7 * 250)  # 7 columns: two row groups of 100 rows
    assert check(config_for(data))["sample"] == {"rows": 200, "row_groups": 2, "of_row_groups": 15}
    monkeypatch.setattr(samples, "MOST_CELLS", 1)
    assert check(config_for(data))["sample"]["row_groups"] == 1


def test_row_groups_that_are_read_slowly_are_told(tmp_path: Path) -> None:
    made.write(tmp_path / "data" / "a.parquet", made.mixed(10_000), group_rows=100)
    made.write(tmp_path / "data" / "b.parquet", made.mixed(10_000), group_rows=10_000)
    (told,) = [w for w in check(config_for(tmp_path / "data"))["warnings"] if "row groups" in w]
    assert told.startswith(
        "1 of 2 files, such as a.parquet with 100, have row groups of fewer than 1024 rows"
    )


def test_what_would_be_quarantined_is_told_and_does_not_stop_a_run(data: Path) -> None:
    cut_short(data / "part-000.parquet")
    flip_a_label(data / "part-001.parquet")
    assert len(problems_of(data)) == 2
    for method in METHODS:
        data_section = method.get("data", {}) | {"on_bad_file": "quarantine"}
        config = made.config(data, data.parent / "store", split=method["split"], data=data_section)
        found = check(config)
        assert found["ok"], found["problems"]
        assert sum("would be quarantined" in warning for warning in found["warnings"]) == 2
        assert [name for name, _ in found["quarantined"]] == ["part-000.parquet", "part-001.parquet"]
        receipt = ensure(config).receipt
        assert (found["files"], found["rows"]) == (receipt["files"], receipt["rows"])
        assert len(receipt["quarantined_files"]) == 2


def test_partition_folders_that_are_not_read_are_told_once(tmp_path: Path) -> None:
    for day in (1, 2, 3):
        made.write(tmp_path / "data" / f"day={day}" / "a.parquet", made.mixed(100))
    told = problems_of(tmp_path / "data")
    assert len(told) == 1
    assert "partition folder 'day=1'" in told[0]


def test_no_data_at_all_is_one_problem(tmp_path: Path) -> None:
    found = check(config_for(tmp_path / "nowhere"))
    assert found["exit_code"] == 10
    assert len(found["problems"]) == 1
    assert "does not exist" in found["problems"][0]


def test_files_without_rows_are_told_as_no_rows(tmp_path: Path) -> None:
    made.write(tmp_path / "data" / "a.parquet", made.mixed(0))
    assert problems_of(tmp_path / "data")[0].startswith("all 0 labelled rows have no positive label")


# The store


def test_a_store_that_cannot_be_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data.parent / "file").write_text("x")
    found = check(made.config(data, data.parent / "file" / "store"))
    assert found["exit_code"] == 13
    assert "is a file, not a directory" in found["problems"][0]
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    assert "cannot be written: choose another place" in check(config_for(data))["problems"][0]


def test_a_disk_that_is_too_small_is_told_with_the_figures(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(data)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    found = check(config_for(data))
    assert found["exit_code"] == 13
    assert f"the split needs about {found['disk_bytes']:,} bytes, and 1,000 are free" in found["problems"][0]
    assert check(config_for(data, split={"method": "none"}))["ok"]  # which writes no parts


def test_the_disk_that_a_split_takes_is_foretold_within_a_half(tmp_path: Path) -> None:
    made.mixed_files(tmp_path / "data", (40_000, 40_000), group_rows=20_000)
    foretold = check(config_for(tmp_path / "data"))["disk_bytes"]
    ensure(config_for(tmp_path / "data"))
    written = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*.parquet"))
    assert 0.5 * foretold < written < 1.5 * foretold


# What a file's layout tells


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("use_dictionary", [True, False])
@pytest.mark.parametrize("has_checksums", [True, False])
def test_page_checksums_are_seen_in_the_first_page(
    has_checksums: bool, use_dictionary: bool, version: str, tmp_path: Path
) -> None:
    path = made.write(
        tmp_path / "a.parquet",
        made.mixed(70_000),
        group_rows=70_000,
        write_page_checksum=has_checksums,
        use_dictionary=use_dictionary,
        data_page_version=version,
    )
    assert layout(Found("a.parquet", path)).has_checksums == has_checksums


def test_ranges_of_integers_are_those_of_all_row_groups(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(-(2**40), 2**40, 1000)
    path = made.write(tmp_path / "a.parquet", {"n": values, "x": values / 2, "nothing": pa.nulls(1000)})
    assert layout(Found("a.parquet", path)).integers == {"n": (values.min(), values.max())}


# The command


def run_check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["check", *arguments])
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def toml_for(data: Path, *lines: str) -> str:
    path = data.parent / "config.toml"
    head = [
        'name = "made"',
        'store = "store"',
        "[data]",
        f'path = "{data}"',
        'label = "label"',
        'ids = ["id"]',
    ]
    path.write_text("\n".join([*head, 'exclude = ["who", "time", "w"]', *lines]))
    return str(path)


def test_the_command_ends_with_0_and_a_summary(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_check(capsys, toml_for(data))
    assert code == 0
    assert out.endswith("ready: nothing that would stop a run was found\n")
    assert "rows           750" in out
    assert "scanning labels of 3 files" in err


def test_the_command_ends_with_10_and_all_problems_capped(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in range(25):
        made.write(data / f"bad-{place:02}.parquet", made.mixed(9))
        cut_short(data / f"bad-{place:02}.parquet")
    code, out, _ = run_check(capsys, toml_for(data))
    assert code == 10
    assert sum(line.startswith("problem: ") for line in out.splitlines()) == 20
    assert "and 5 more problems (--json has all)" in out
    assert out.endswith("NOT READY: 25 problems\n")
    code, out, _ = run_check(capsys, toml_for(data), "--json")
    assert code == 10
    assert out.count("\n") == 1
    told = json.loads(out)
    assert told["ok"] is False
    assert len(told["problems"]) == 25


def test_the_command_ends_with_2_where_the_config_is_at_fault(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run_check(capsys, toml_for(data, "[features]", 'categorical = ["number"]'))
    assert code == 2
    assert "problem: features.categorical names column 'number', which is double" in out
    code, _, err = run_check(capsys, toml_for(data, "[train]", "ranks = 99", "lanes = 8"))
    assert code == 2
    assert "needs train.lanes >= 99" in err


def test_a_long_list_of_columns_is_cut() -> None:
    names = [f"c{place}" for place in range(12)]
    result = {"problems": [], "warnings": [], "columns": {"numeric": names, "categorical": []}}
    assert "numeric        12: c0, c1, c2, c3, c4, c5, c6, c7 and 4 more" in text_of(result)
