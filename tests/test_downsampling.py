"""Which rows of the larger class are trained on: a row's own lot, counted, and never moved by other files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.config import Config, parse
from binclf.errors import ConfigError, DataError
from binclf.features import Downsampling, Encoded
from binclf.loader import Balanced, BlockCache, HeldRows, Source, StreamedRows
from binclf.loader.downsampled import downsampled
from binclf.plan import foresee
from binclf.split import Split, ensure
from binclf.train import learn_features
from tests.trained import Alone, decoding, write

ALONE: Any = Alone()


def table(rows: int, first: int, *, nulls: bool = False) -> pa.Table:
    """Row i has n = first + i; every tenth label is positive; every seventh is null, if asked for."""
    n = np.arange(first, first + rows)
    label = pa.array(n % 10 == 0, pa.bool_(), mask=(n % 7 == 3) if nulls else None)
    return pa.table({"n": n.astype(np.float64), "w": (n % 3 + 1) / 2, "label": label})


def config(folder: Path, share: float, **sections: dict[str, Any]) -> Config:
    data = {"path": str(folder / "data"), "label": "label", "weight": "w", "downsample_majority": share}
    return parse(
        {
            "name": "down", "store": str(folder / "store"), "data": data | sections.get("data", {}),
            "split": {"method": "none"} | sections.get("split", {}), "train": sections.get("train", {}),
        }
    )  # fmt: skip


def kept_of(made: Config) -> tuple[Split, Split, np.ndarray]:
    """The split, the split as it is trained on, and `n` of the rows that are decoded."""
    split = ensure(made)
    kept, how = downsampled(made, split, decoding(made, split), ALONE)
    source = Source(kept.parts["train"], how)
    blocks = [source.decode(group) for group in range(len(source.group_rows))]
    assert source.rows == kept.rows("train") == sum(map(len, blocks))
    return split, kept, np.concatenate([b.residuals[:, 0] + b.centre[0] for b in blocks])


@given(
    st.lists(st.sampled_from([-1, 0, 1]), max_size=300), st.floats(1e-6, 1.0), st.floats(1e-6, 1.0),
    st.integers(0, 2**63 - 1), st.sampled_from([0, 1]),
)  # fmt: skip
def test_one_class_is_kept_whole_and_a_smaller_share_is_a_subset(
    labels: list[int], one: float, other: float, seed: int, larger: int
) -> None:
    rows = np.array(labels, dtype=np.int8)
    low, high = (Downsampling(s, larger, seed).kept("a", 3, rows) for s in sorted((one, other)))
    assert (low <= high).all()
    assert low[rows == 1 - larger].all()
    assert not high[rows < 0].any()
    assert Downsampling(1.0, larger, seed).kept("a", 3, rows).tolist() == (rows >= 0).tolist()


def test_rows_are_drawn_by_file_group_seed_and_place_with_the_share_as_chance() -> None:
    rows = np.zeros(20_000, dtype=np.int8)
    found = [
        Downsampling(0.1, 0, seed).kept(name, group, rows)
        for name, group, seed in (("a", 0, 1), ("b", 0, 1), ("a", 1, 1), ("a", 0, 2))
    ]
    for place, kept in enumerate(found):
        assert abs(int(kept.sum()) - 2000) < 5 * np.sqrt(20_000 * 0.09)
        for other in found[:place]:
            assert abs(int((kept & other).sum()) - 200) < 80  # independent


@pytest.mark.parametrize("method", ["none", "hash"])
@pytest.mark.parametrize("nulls", [False, True])
def test_counts_are_those_of_the_rows_that_are_decoded(method: str, nulls: bool, tmp_path: Path) -> None:
    split: dict[str, Any] = {"method": method}
    if method == "hash":
        split["key"] = ["n2"]
    for number, groups in enumerate(([300, 0, 1, 99], [7], [500])):
        rows = table(sum(groups), 1000 * number, nulls=nulls)
        rows = rows.append_column("n2", rows["n"].cast(pa.int64()))
        write(tmp_path / "data" / f"{number}.parquet", rows, groups)
    data = {"exclude": ["n2"], "on_null_label": "drop" if nulls else "error"}
    made = config(tmp_path, 0.3, split=split, data=data)
    natural, kept, found = kept_of(made)
    positive = found % 10 == 0
    every = natural.positives("train")
    assert (kept.positives("train"), int(positive.sum())) == (every, every)
    assert kept.weight("train") == pytest.approx(float(((found % 3 + 1) / 2).sum()), rel=1e-12)
    assert kept.base_rate("train") == pytest.approx(
        float((((found % 3 + 1) / 2)[positive]).sum()) / kept.weight("train"), rel=1e-12
    )
    left = natural.rows("train") - every
    assert 0.2 * left < len(found) - every < 0.4 * left
    if nulls:
        assert not (found % 7 == 3).any()
    assert {name: natural.parts[name] for name in natural.parts if name != "train"} == {
        name: kept.parts[name] for name in kept.parts if name != "train"
    }


def test_new_files_never_change_what_is_kept_of_old_ones(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / "data" / f"{number}.parquet", table(400, 1000 * number), [150, 250])
    made = config(tmp_path, 0.2)
    _, _, before = kept_of(made)
    for number in (0, 3, 4):  # before and after them, and with quite another share of positives
        rows = table(500, 1000 * number)
        if number == 4:
            rows = rows.set_column(2, "label", pa.array(np.arange(500) % 2 == 0))
        write(tmp_path / "data" / f"{number}.parquet", rows, [500])
    _, _, after = kept_of(made)
    assert len(after) > len(before)
    assert np.array_equal(after[(after >= 1000) & (after < 3000)], before)


def test_the_positive_class_may_be_the_larger_one(tmp_path: Path) -> None:
    rows = table(1000, 0)
    flipped = rows.set_column(2, "label", pa.compute.invert(rows["label"]))
    write(tmp_path / "data" / "a.parquet", flipped)
    natural, kept, found = kept_of(config(tmp_path, 0.25))
    assert natural.positives("train") == 900
    assert (found % 10 == 0).sum() == 100
    assert 150 < kept.positives("train") < 300


def test_another_share_or_seed_has_blocks_of_its_own_in_the_cache(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.parquet", table(300, 0))
    digests = set()
    for share, seed in ((1.0, 1), (0.5, 1), (0.4, 1), (0.5, 2)):
        made = config(tmp_path, share, train={"seed": seed})
        split = ensure(made)
        digests.add(downsampled(made, split, decoding(made, split), ALONE)[1].digest)
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("share", "change", "error", "words"),
    [
        (0.5, lambda n: n % 2 == 0, ConfigError, "no effect, as both classes have 50 training rows: remove"),
        (1e-6, lambda n: n % 10 == 0, DataError, "keeps 0 training rows of the larger class.*set it higher"),
    ],
)
def test_what_leaves_nothing_to_choose_is_refused(
    share: float, change: Callable[[Any], Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    rows = table(100, 0)
    write(tmp_path / "data" / "a.parquet", rows.set_column(2, "label", pa.array(change(np.arange(100)))))
    with pytest.raises(error, match=words):
        kept_of(config(tmp_path, share))


def test_what_is_foreseen_is_the_most_that_may_be_kept(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "data" / f"{number}.parquet", table(4000, 4000 * number))
    every, few = (foresee(config(tmp_path, share, train={"batch_rows": 100}), 1) for share in (1.0, 0.25))
    assert every["parts"] == few["parts"]
    assert (every["steps_per_epoch"], few["steps_per_epoch"]) == (120, 75)
    assert few["memory_bytes"] < every["memory_bytes"]
    assert "correct" not in every["passes"]
    assert few["passes"]["correct"] == 1


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"downsample_majority": 0.0}}, "data.downsample_majority = 0.0"),
        ({"data": {"downsample_majority": 1.5}}, "data.downsample_majority = 1.5"),
        ({"train": {"class_weight": "auto"}}, "train.class_weight = 'auto'"),
        ({"train": {"shuffle": False, "seed": 3}}, r"train\.seed has no effect with train\.shuffle = false"),
        (
            {"split": {"method": "none"}, "train": {"calibration": "platt"}},
            "calibration = 'platt' has no eff",
        ),
        ({"split": {"validation_fraction": 0.0}, "train": {"calibration": "isotonic"}}, "without validation"),
    ],
)
def test_settings_without_effect_or_bounds_are_refused(sections: dict[str, Any], words: str) -> None:
    base: dict[str, Any] = {"name": "a", "data": {"path": "x", "label": "y"}}
    merged = base | {k: base.get(k, {}) | v for k, v in sections.items()}
    with pytest.raises(ConfigError, match=words):
        parse(merged)


def test_the_seed_has_an_effect_without_shuffling_where_rows_are_drawn_by_it() -> None:
    data = {"path": "x", "label": "y", "downsample_majority": 0.5}
    assert parse({"name": "a", "data": data, "train": {"shuffle": False, "seed": 3}}).train.seed == 3


def test_all_tiers_keep_the_same_rows_and_weigh_them_alike(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.parquet", table(2000, 0, nulls=True), [700, 0, 1, 1299])
    made = config(tmp_path, 0.3, data={"on_null_label": "drop"})
    split = ensure(made)
    kept, how = downsampled(made, split, decoding(made, split), ALONE)
    source = Source(kept.parts["train"], how)
    learnt = learn_features(ALONE, made, how, kept, HeldRows(source))
    found = set()
    for _ in range(2):  # the cache is empty, and then full
        for store in (HeldRows(source), StreamedRows(source), StreamedRows(source, cache_of(tmp_path))):
            store.attach(learnt)
            balanced = Balanced(store, kept.weight("train"), kept.base_rate("train"))
            groups = [balanced.kept(group) for group in range(4)]
            rows = Encoded.joined(groups)
            assert rows.w is not None
            halves = [float(rows.w[rows.y == label].sum(dtype=float)) for label in (0, 1)]
            assert halves == pytest.approx([balanced.weight / 2] * 2, rel=1e-6)
            assert balanced.weight == pytest.approx(kept.weight("train"), rel=1e-6)
            found.add(b"".join(array.tobytes() for array in (rows.x, rows.ids, rows.y, rows.w)))
    assert len(found) == 1


def cache_of(folder: Path) -> BlockCache:
    """A small one."""
    return BlockCache(folder / "cache", 2**24)


def test_the_folder_may_move(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.parquet", table(400, 0))
    _, _, before = kept_of(config(tmp_path, 0.2))
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    _, _, after = kept_of(config(tmp_path, 0.2, data={"path": str(tmp_path / "elsewhere")}))
    assert np.array_equal(before, after)
