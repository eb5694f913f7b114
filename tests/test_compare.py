"""Two runs on the rows that neither was fitted on: which those are, however they were split."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as oracle

import binclf
from binclf import artifact, hashing
from binclf.artifact import Run
from binclf.cli import main
from binclf.compare import Comparison, compare, tally
from binclf.config import Config, parse
from binclf.errors import ConfigError, DataError
from binclf.retrain import retrain
from binclf.storage import remove_tree
from tests.trained import CITIES, people, stores, write

Made = Callable[..., Run]
NOTHING: Any = MappingProxyType({})
START = datetime.datetime(2024, 1, 1)


def with_more(table: pa.Table, seed: int) -> pa.Table:
    """People with a moment, a customer and a part that the data themselves say."""
    draw = np.random.default_rng(1000 + seed)
    rows = table.num_rows
    minutes = [START + datetime.timedelta(minutes=int(m)) for m in draw.integers(0, 10_000, rows)]
    part = draw.choice(["train", "validation", "test"], rows, p=[0.6, 0.1, 0.3])
    table = table.append_column("when", pa.array(minutes, pa.timestamp("us")))
    table = table.append_column("customer", pa.array(draw.integers(0, 120, rows)))
    return table.append_column("part", pa.array(part.tolist(), pa.string()))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three files of people."""
    for number, rows in enumerate((700, 300, 500)):
        table = with_more(people(rows, seed=number + 1), number)
        write(tmp_path / "data" / f"part-{number}.parquet", table, [200, rows - 200])
    return tmp_path / "data"


@pytest.fixture
def made(data: Path, tmp_path: Path) -> Made:
    """A run on the data with weights out of thin air, each in its own store unless told; quick."""
    count = itertools.count()

    def begin(store: str = "", roles: Any = NOTHING, evaluate: Any = NOTHING, **split: Any) -> Run:
        number = next(count)
        path = data / "part-0.parquet" if split.pop("is_alone", False) else data / split.pop("folder", "")
        config = config_of(path, tmp_path / (store or f"store-{number}"), roles, evaluate, split)
        divided, features, _ = stores(config)
        draw = np.random.default_rng(number)
        weights = {
            "weight": draw.normal(0, 0.3, features.width),
            "table": draw.normal(0, 0.3, features.table_size),
        }
        record = {"run": f"run-{number}", "threshold": 0.5}
        weights["bias"] = np.zeros(1)
        return Run(tmp_path, config, divided, features, weights, record, {})

    return begin


def config_of(data: Path, store: Path, roles: Any, evaluate: Any, split: Any, **train: Any) -> Config:
    named = {roles.get("time"), roles.get("group")}
    exclude = [name for name in ("when", "customer", "part") if name not in named]
    columns = {"label": "bought", "weight": "w", "ids": ["id"], "exclude": exclude, **roles}
    sections = {"data": {"path": str(data), **columns}, "split": split, "evaluate": evaluate, "train": train}
    return parse({"name": "people", "store": str(store), "registry": {"uri": "off"}, **sections})


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, Run]:
    """A folder of data, a run that was held down far too much, and one that was not."""
    folder = tmp_path_factory.mktemp("contest")
    write(folder / "data" / "people.parquet", with_more(people(1500, seed=1), 1), [600, 900])
    runs = []
    for l2 in (3.0, 1e-3):
        config = config_of(
            folder / "data",
            folder / "runs",
            NOTHING,
            {"slices": ["city", "when:month"]},
            {},
            solver="newton",
            l2=l2,
        )
        runs.append(artifact.open_run(retrain(config)))
    return folder / "data", runs[0], runs[1]


def ids_of(run: Run, *parts: str) -> set[int]:
    """The ids of a run's rows in some parts, from the part files."""
    found: set[int] = set()
    for part in parts:
        for file in run.split.parts.get(part, ()):
            found |= set(pq.ParquetFile(file.path).read(["id"]).column("id").to_pylist())
    return found


def assert_refused(
    found: Comparison, champion: Run, challenger: Run, rows: set[int] | None = None
) -> set[int]:
    """Exactly the judged rows that either was fitted on are refused and counted; returns those left."""
    rows = ids_of(challenger, "test") if rows is None else rows
    told = {}
    for who, run in (("champion", champion), ("challenger", challenger)):
        told[who] = {part: len(rows & ids_of(run, part)) for part in ("train", "validation")}
    fitted = ids_of(champion, "train", "validation") | ids_of(challenger, "train", "validation")
    assert found.refused_of == told
    assert found.refused == len(rows & fitted)
    assert found.judgement.rows == len(rows - fitted)
    assert found.read == len(rows)
    return rows - fitted


def table_of(data: Path, ids: set[int]) -> pa.Table:
    tables = [pq.ParquetFile(path).read() for path in sorted(data.rglob("*.parquet"))]
    table = pa.concat_tables(tables)
    return table.filter(pa.array([value in ids for value in table.column("id").to_pylist()]))


def test_the_same_split_is_compared_on_all_test_rows_as_scikit_learn_would(
    contest: tuple[Path, Run, Run],
) -> None:
    data, champion, challenger = contest
    found = compare(champion, challenger)
    table = table_of(data, assert_refused(found, champion, challenger))
    assert found.files == {"same_part": 1}
    assert found.refused == 0
    y, w = table.column("bought").to_numpy(), table.column("w").to_numpy()
    for run, loss, area in (
        (champion, found.judgement.log_loss.champion, found.judgement.roc_auc.champion),
        (challenger, found.judgement.log_loss.challenger, found.judgement.roc_auc.challenger),
    ):
        p = binclf.load(run.path).predict_proba(table)
        assert loss == pytest.approx(oracle.log_loss(y, p, sample_weight=w), abs=1e-12)
        assert area == pytest.approx(oracle.roc_auc_score(y, p, sample_weight=w), abs=1e-12)
    assert found.verdict == "promote"  # l2 = 3 is far too much
    told = found.as_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    levels = told["slices"]["city"]
    assert sum(level["rows"] for level in levels) == told["rows"]
    assert {level["level"] for level in levels} == {*CITIES, None}
    assert [level["level"] for level in told["slices"]["when:month"]] == ["january"]
    assert found.headline().startswith("challenger better by 0.")
    assert found.headline().endswith("rows: promote")


@pytest.mark.parametrize("group", ["", "customer"])
def test_any_number_of_threads_gives_the_same_bits(group: str, made: Made) -> None:
    roles = {"group": group}
    champion, challenger = made("one", roles), made("one", roles, {"slices": ["city"]})
    told = [compare(champion, challenger, threads=n).as_json() for n in (1, 2, 5)]
    assert told[0] == told[1] == told[2]
    assert told[0]["group"] == group
    if group:
        assert told[0]["units"] < 40


@pytest.mark.parametrize(
    "split",
    [
        {"seed": 2},
        {"seed": 1, "test_fraction": 0.35},
        {"seed": 1, "validation_fraction": 0.0},
        {"seed": 3, "stratify": False},
        {"method": "hash", "key": ["customer"], "seed": 5},
        {"method": "time"},
        {"method": "time", "test_fraction": 0.4},
        {"method": "column", "column": "part"},
    ],
)
@pytest.mark.parametrize("other", [{"seed": 1}, {"method": "time", "test_fraction": 0.3}])
def test_rows_are_known_across_methods_seeds_and_fractions(
    split: dict[str, Any], other: dict[str, Any], made: Made
) -> None:
    champion, challenger = (made(roles={"time": "when"}, **how) for how in (split, other))
    assert_refused(compare(champion, challenger), champion, challenger)
    assert_refused(compare(challenger, champion), challenger, champion)


def test_a_sample_is_drawn_by_the_numbers_of_rows(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    champion, challenger = made("one"), made("one")
    monkeypatch.setattr(tally, "MOST_RANKED", 100)
    rows = challenger.split.rows("test")
    drawn = hashing.mix(hashing.mix(np.arange(rows)) ^ np.uint64(tally._SAMPLE))
    wanted = next(n for k in range(1, 9) if (n := int((drawn < np.uint64(2 ** (64 - k))).sum())) <= 100)
    told = compare(champion, challenger)
    assert told.judgement.ranked_rows == wanted
    assert f", of {wanted} rows" in told.text()


def test_a_whole_file_that_a_moved_cut_takes_from_training_to_test_is_refused(made: Made, data: Path) -> None:
    """Its part file is the same for both: only what part it belonged to differs."""
    for number, path in enumerate(sorted(data.glob("*.parquet"))):
        table = pq.ParquetFile(path).read()
        moments = [START + datetime.timedelta(days=30 * number, minutes=k) for k in range(table.num_rows)]
        place = table.column_names.index("when")
        write(path, table.set_column(place, "when", pa.array(moments, pa.timestamp("us"))))
    when = {"roles": {"time": "when"}, "method": "time", "validation_from": "2024-01-01 08:00"}
    champion = made(**when, test_from="2024-02-29")
    challenger = made(**when, test_from="2024-01-30")
    found = compare(champion, challenger)
    assert_refused(found, champion, challenger)
    assert found.files == {"same_part": 2}
    assert (found.refused, found.refused_of["champion"]) == (300, {"train": 0, "validation": 300})
    assert_refused(compare(challenger, champion), challenger, champion)


def test_files_added_are_new_and_old_rows_stay_where_they_are(made: Made, data: Path) -> None:
    champion = made(store="one")
    write(data / "part-9.parquet", with_more(people(400, seed=9), 9))
    challenger = made(store="one")
    found = compare(champion, challenger)
    assert_refused(found, champion, challenger)
    assert (found.refused, found.files) == (0, {"same_part": 3, "new": 1})
    assert "taken as new: the rows of 1 files that the champion never had" in found.text()


def test_a_file_that_was_renamed_is_known_by_its_content(made: Made, data: Path) -> None:
    champion = made()
    (data / "part-1.parquet").rename(data / "moved.parquet")
    challenger = made()
    found = compare(champion, challenger)
    assert_refused(found, champion, challenger)
    assert found.files == {"same_part": 2, "same_content": 1}
    assert found.refused > 0


def test_a_copy_of_a_file_is_refused_where_the_original_was_trained_on(made: Made, data: Path) -> None:
    champion = made(validation_fraction=0.0)
    write(data / "copy.parquet", pq.ParquetFile(data / "part-0.parquet").read(), [200, 500])
    (data / "copy.parquet").write_bytes((data / "part-0.parquet").read_bytes())
    challenger = made(validation_fraction=0.0)
    found = compare(champion, challenger)
    train = ids_of(challenger, "train")
    tests = [
        (file.relative, pq.ParquetFile(file.path).read(["id"]).column("id").to_pylist())
        for file in challenger.split.parts["test"]
    ]
    assert found.refused_of["challenger"]["train"] == sum(i in train for _, ids in tests for i in ids)
    assert found.refused_of["challenger"]["train"] > 0


@pytest.mark.parametrize("method", ["random", "none", "column"])
def test_a_file_that_was_altered_is_refused_by_name(method: str, made: Made, data: Path) -> None:
    split = {"method": method, "column": "part"} if method == "column" else {"method": method}
    champion = made(**split)
    write(data / "part-1.parquet", with_more(people(310, seed=2), 1))
    challenger = made()
    with pytest.raises(DataError, match=rf"part-1\.parquet has other content than when {champion.id} was tr"):
        compare(champion, challenger)


def test_an_altered_file_of_a_folder_is_known_by_its_place(made: Made, data: Path) -> None:
    """A champion of last year's folder, a challenger of all years: the same file has two relative names."""
    old = data / "2025" / "old.parquet"
    write(old, with_more(people(400, seed=7), 1))
    champion = made(folder="2025")
    assert compare(champion, made()).refused > 0  # as it was: known by its content
    write(old, with_more(people(410, seed=7), 1))
    with pytest.raises(DataError, match=rf"old\.parquet has other content than when {champion.id} was tr"):
        compare(champion, made())


@pytest.mark.parametrize(
    "split", [{"method": "hash", "key": ["customer"]}, {"method": "time"}, {"method": "random", "seed": 3}]
)
def test_an_altered_file_is_judged_where_the_rows_themselves_decide(
    split: dict[str, Any], made: Made, data: Path
) -> None:
    group = {"group": "customer"} if split["method"] == "random" else {}
    champion = made(roles={"time": "when", **group}, **split)
    table = pq.ParquetFile(data / "part-1.parquet").read()
    write(data / "part-1.parquet", table.slice(30))
    challenger = made(roles={"time": "when"}, seed=8)
    assert_refused(compare(champion, challenger), champion, challenger)


def test_what_was_trained_on_everything_leaves_no_rows_and_no_verdict(made: Made) -> None:
    champion = made(method="none")
    challenger = made()
    found = compare(champion, challenger)
    assert (found.judgement.rows, found.verdict) == (0, "inconclusive")
    assert found.refused == found.read == challenger.split.rows("test")
    assert found.headline() == (
        "challenger and champion cannot be compared, since no rows are left to compare on: inconclusive"
    )
    assert not found.is_promoted("if_not_worse")
    assert found.as_json()["undefined"]["log_loss"] == "no rows are left to compare on"
    with pytest.raises(
        ConfigError, match=r"has no test part \(split\.method = 'none'\): name other labelled"
    ):
        compare(challenger, champion)


@pytest.mark.parametrize("is_alone", [(True, True), (True, False), (False, True)])
def test_a_file_that_was_the_whole_data_set_is_known_too(is_alone: tuple[bool, bool], made: Made) -> None:
    """Its counts are rounded otherwise."""
    champion, challenger = (made(seed=seed, is_alone=alone) for seed, alone in enumerate(is_alone))
    assert_refused(compare(champion, challenger), champion, challenger)


@pytest.mark.slow
def test_other_data_are_judged_without_the_rows_that_either_saw(
    made: Made, data: Path, tmp_path: Path
) -> None:
    champion, challenger = made(seed=4), made()
    found = compare(champion, challenger, data=data)
    everything = set(table_of(data, set(range(9_000_000))).column("id").to_pylist())
    assert_refused(found, champion, challenger, everything)
    fresh = write(tmp_path / "fresh" / "part-0.parquet", with_more(people(600, seed=30), 30))
    found = compare(champion, challenger, data=fresh.parent)
    assert (found.refused, found.judgement.rows) == (0, 600)
    assert found.data == str(fresh.parent)
    found = compare(made(method="none"), challenger, data=fresh)
    assert (found.refused, found.judgement.rows) == (0, 600)


def test_other_data_in_the_place_of_altered_training_files_are_refused(made: Made, data: Path) -> None:
    champion, challenger = made(), made()
    write(data / "part-2.parquet", with_more(people(50, seed=77), 77))
    with pytest.raises(DataError, match=r"part-2\.parquet has other content than when"):
        compare(champion, challenger, data=data)


def test_sources_may_be_gone_where_they_are_not_needed(made: Made, data: Path) -> None:
    champion, challenger, other = made(store="one"), made(store="one"), made(seed=2)
    remove_tree(data)
    assert compare(champion, challenger).judgement.rows == challenger.split.rows("test")
    with pytest.raises(DataError, match=rf"part-0\.parquet is gone, and only it tells which .*{other.id}"):
        compare(other, challenger)
    remove_tree(Path(challenger.config.store) / "split" / "parts")
    with pytest.raises(
        DataError, match=rf"part-0\.parquet changed or went since {challenger.id} was trained"
    ):
        compare(other, challenger)


def test_unlike_questions_and_columns_that_lack_are_refused(made: Made, data: Path, tmp_path: Path) -> None:
    champion, challenger = made(), made(roles={"positive": "false"})
    with pytest.raises(ConfigError, match=r"predicts bought = True and .* predicts bought = False"):
        compare(champion, challenger)
    lacking = write(tmp_path / "y.parquet", people(100, seed=40).drop_columns("w"))
    with pytest.raises(DataError, match=r"y\.parquet lacks column 'w', which the comparison needs"):
        compare(champion, champion, data=lacking)
    with pytest.raises(ConfigError, match=r"registry\.margin = -1"):
        compare(champion, champion, margin=-1.0)
    lacking = write(tmp_path / "x.parquet", people(100, seed=40).drop_columns("age"))
    with pytest.raises(DataError, match="lacks column 'age'"):
        compare(champion, champion, data=lacking)
    holed = people(100, seed=41)
    column = pa.array([None, *holed.column("bought").to_pylist()[1:]], pa.bool_())
    holed = holed.set_column(holed.column_names.index("bought"), "bought", column)
    with pytest.raises(DataError, match=r"label 'bought' of .* holds 1 nulls"):
        compare(champion, champion, data=write(tmp_path / "holed.parquet", holed))


@pytest.mark.parametrize(("column", "kept"), [("customer", "key"), ("when", "time")])
def test_a_column_that_a_run_was_split_by_must_be_as_it_was(
    column: str, kept: str, made: Made, tmp_path: Path
) -> None:
    how = {"method": "hash", "key": [column]} if kept == "key" else {"method": "time"}
    champion, challenger = made(roles={"time": "when"}, **how), made(roles={"time": "when"})
    table = with_more(people(100, seed=50), 50)
    texts = pa.array([str(value) for value in table.column(column).to_pylist()])
    retyped = write(
        tmp_path / "retyped.parquet", table.set_column(table.column_names.index(column), column, texts)
    )
    with pytest.raises(
        DataError, match=rf"has column '{column}' as string, and {champion.id} was split by it"
    ):
        compare(champion, challenger, data=retyped)
    lacking = write(tmp_path / "lacking.parquet", table.drop_columns(column))
    with pytest.raises(DataError, match=rf"lacks column '{column}', and {champion.id} was split by it"):
        compare(champion, challenger, data=lacking)


def test_the_command_tells_it_and_ends_with_11_where_the_gate_refuses(
    contest: tuple[Path, Run, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    _, weak, strong = contest
    endings: dict[tuple[str, ...], int] = {}
    for order in ((strong, weak), (weak, strong)):
        for options in ((), ("--strict",)):
            with pytest.raises(SystemExit) as ended:
                main(["compare", *(str(run.path) for run in order), *options])
            endings[(order[0].id, *options)] = int(ended.value.code or 0)
    assert endings == {
        (strong.id,): 0, (strong.id, "--strict"): 0, (weak.id,): 0, (weak.id, "--strict"): 11,
    }  # fmt: skip
    captured = capsys.readouterr()
    assert captured.out.count("log-loss on 301 rows: promote\n") == 2
    assert "log-loss on 301 rows" not in captured.err  # it is shown, so it is not logged
    with pytest.raises(SystemExit):
        main(["compare", str(strong.path), str(weak.path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["is_promoted"], told["promote"]) == ("promote", True, "if_better")
    assert told["champion"] == weak.id
