"""Decoded rows on disk: decoded once for all runs, and never wrong whatever happens to the files."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from binclf.config import Config, parse
from binclf.features import Features
from binclf.loader import BlockCache, Order, Source, StreamedRows
from binclf.loader.cache import _size, cached_bytes
from binclf.loader.steps import Loader, StepDataset
from binclf.split import ensure
from tests import made
from tests.trained import decoding, people, settings, stores, whole, write

ORDER = Order(seed=3, lanes=8, window_rows=5, shuffle=True, batch_rows=64)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write(tmp_path / "data" / "a.parquet", people(180, 1), [100, 80])
    write(tmp_path / "data" / "b.parquet", people(71, 2), [71])
    return settings(tmp_path / "data", tmp_path / "store", split={"method": "none", "seed": 42})


def source_of(config: Config) -> Source:
    split = ensure(config)
    return Source(split.parts["train"], decoding(config, split))


def rows_of(source: Source, features: Features, cache: BlockCache) -> np.ndarray:
    """All numbers of an epoch through the cache."""
    store = StreamedRows(source, cache)
    store.attach(features)
    return np.concatenate([batch.x.numpy() for batch in Loader(StepDataset(store, ORDER, 0, 1)).epoch(0)])


@contextmanager
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The row groups that are decoded meanwhile."""
    seen: list[str] = []
    real = Source.decode

    def watched(self: Source, group: int, **options: Any) -> Any:
        file, index = self.place[group]
        seen.append(f"{file.relative} {index}")
        return real(self, group, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Source, "decode", watched)
        yield seen


def test_a_later_run_decodes_nothing_and_a_new_file_is_all_that_is_decoded(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, folder = stores(config)[1], tmp_path / "cache"
    with decoded(monkeypatch) as first:
        expected = rows_of(source_of(config), features, BlockCache(folder, 2**40))
    assert set(first) == {"a.parquet 0", "a.parquet 1", "b.parquet 0"}
    with decoded(monkeypatch) as second:
        assert np.array_equal(rows_of(source_of(config), features, BlockCache(folder, 2**40)), expected)
    assert second == []
    write(tmp_path / "data" / "c.parquet", people(50, 3))
    with decoded(monkeypatch) as third:
        assert len(rows_of(source_of(config), features, BlockCache(folder, 2**40))) == 301
    assert set(third) == {"c.parquet 0"}


def test_other_statistics_use_the_same_blocks_and_other_rules_do_not(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, cache = stores(config)[1], BlockCache(tmp_path / "cache", 2**40)
    rows_of(source_of(config), features, cache)
    section = config.features.model_copy(update={"impute": "zero", "standardise": False})
    plain = stores(config.model_copy(update={"features": section}))[1]
    with decoded(monkeypatch) as seen:
        assert not np.array_equal(
            rows_of(source_of(config), plain, cache), rows_of(source_of(config), features, cache)
        )
    assert seen == []
    logged = config.features.model_copy(update={"log1p": ("income", "visits")})
    with decoded(monkeypatch) as seen:
        rows_of(source_of(config.model_copy(update={"features": logged})), features, cache)
    assert len(set(seen)) == 3


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "gone", "header"])
def test_a_damaged_block_is_decoded_again(
    damage: str, config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features, folder = stores(config)[1], tmp_path / "cache"
    expected = rows_of(source_of(config), features, BlockCache(folder, 2**40))
    random = np.random.default_rng(5)
    for _ in range(10):
        path = sorted(folder.rglob("*.block"))[int(random.integers(3))]
        content = bytearray(path.read_bytes())
        if damage in ("flipped", "header"):
            content[int(random.integers(200 if damage == "header" else len(content)))] ^= 1 << int(
                random.integers(8)
            )
        left = {"cut": len(content) // 2, "empty": 0}.get(damage, len(content))
        path.write_bytes(content[:left])
        if damage == "gone":
            path.unlink()
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            assert np.array_equal(rows_of(source_of(config), features, BlockCache(folder, 2**40)), expected)
        assert damage in ("gone", "empty") or "is damaged: decoding it again" in caplog.text


def test_a_full_disk_costs_the_cache_and_not_the_rows(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    features = stores(config)[1]
    expected = rows_of(source_of(config), features, BlockCache(tmp_path / "cache", 2**40))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert np.array_equal(
        rows_of(source_of(config), features, BlockCache(tmp_path / "other", 2**40)), expected
    )
    assert "going on without caching more" in caplog.text
    assert not list((tmp_path / "other").rglob("*.tmp"))


def test_the_least_recently_used_make_room_and_never_the_runs_own(config: Config, tmp_path: Path) -> None:
    features, folder = stores(config)[1], tmp_path / "cache"
    source = source_of(config)
    rows_of(source, features, BlockCache(folder, 2**40))
    own = set(folder.iterdir())
    for age, name in ((300, "old"), (200, "older than new"), (100, "new")):
        (folder / name).mkdir()
        (folder / name / "0.block").write_bytes(bytes(1000))
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    needed = sum(path.stat().st_size for home in own for path in home.iterdir())
    BlockCache(folder, needed + 2500).prepare([source], needed)
    assert set(folder.iterdir()) == own | {folder / "older than new", folder / "new"}
    BlockCache(folder, 1).prepare([source], needed)
    assert set(folder.iterdir()) == own


FILL = """
import sys
from tests.test_cache import BlockCache, Path, rows_of, source_of, stores
from binclf.config import load
config = load(sys.argv[1])
print(rows_of(source_of(config), stores(config)[1], BlockCache(Path(sys.argv[2]), 2**40)).sum())
"""


@pytest.mark.slow
def test_processes_that_fill_one_cache_at_once_have_the_same_rows(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(config.model_dump_json())
    ensure(config)
    command = [sys.executable, "-c", FILL, str(path), str(tmp_path / "cache")]
    root = Path(__file__).parents[1]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(3)]
    told = {process.communicate(timeout=100)[0] for process in running}
    assert len(told) == 1
    assert all(process.returncode == 0 for process in running)
    assert len(list((tmp_path / "cache").rglob("*.block"))) == 3
    assert whole(stores(config)[2]["train"]).x.shape[0] == 251


def test_it_keeps_within_its_bytes_whatever_the_texts_take(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = pa.array([f"a name that nobody else has, number {i:06d}" for i in range(4000)])
    label = pa.array([i % 3 == 0 for i in range(4000)])
    folder = tmp_path / "data"
    made.write(folder / "a.parquet", pa.table({"name": names, "y": label}), group_rows=500)
    config = parse({"name": "x", "store": str(tmp_path / "s"), "split": {"method": "none"},
                    "data": {"path": str(folder), "label": "y"}})  # fmt: skip
    features = stores(config)[1]
    expected = rows_of(source_of(config), features, BlockCache(tmp_path / "whole", 2**40))
    whole_size = cached_bytes(tmp_path / "whole")
    for limit in (0, whole_size // 8, whole_size // 2):
        cache = tmp_path / f"cache-{limit}"
        assert np.array_equal(rows_of(source_of(config), features, BlockCache(cache, limit)), expected)
        assert cached_bytes(cache) <= limit
        assert "going on without caching more" in caplog.text
        caplog.clear()


def test_a_folder_that_another_run_removes_meanwhile_is_made_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, folder = stores(config)[1], tmp_path / "cache"
    cache, removed, lock = BlockCache(folder, 2**40), list[Path](), threading.RLock()
    real = Path.mkdir

    def made_and_removed(self: Path, *args: Any, **options: Any) -> None:
        with lock:  # two threads write: each folder is removed once, and while nothing is in it
            real(self, *args, **options)
            is_first = self.parent == folder and self not in removed
            removed.append(self)
            if is_first:
                self.rmdir()

    monkeypatch.setattr(Path, "mkdir", made_and_removed)
    rows_of(source_of(config), features, cache)
    assert len(list(folder.rglob("*.block"))) == 3
    assert cached_bytes(tmp_path / "never") == 0
    assert _size(tmp_path / "never") == 0
