"""A made data set, small stores over it, and one trained run that tests of many rooms look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import binclf
from binclf import artifact
from binclf.config import Config, parse
from binclf.features import Decoding, Features, roles
from binclf.loader import HeldRows, Source
from binclf.predict import Model
from binclf.retrain import retrain
from binclf.split import Split, ensure
from binclf.storage import Place
from binclf.train import learn_features
from binclf.world import World, join

CITIES = ("Aachen", "Bremen", "Celle", "Düren", "Erfurt")


def people(rows: int, seed: int = 0) -> pa.Table:
    """Numbers, moderate and heavy-tailed, booleans, text and integer codes, with nulls; a label from them."""
    random = np.random.default_rng(seed)
    age = random.normal(40.0, 12.0, rows)
    income = np.exp(random.normal(8.0, 1.5, rows))
    visits = random.poisson(3.0, rows)
    member = random.random(rows) < 0.4
    city = random.integers(0, len(CITIES), rows)
    code = random.integers(0, 4, rows)
    lacks_age, lacks_city, lacks_member = (random.random((3, rows)) < 0.15).tolist()
    z = -0.5 + 0.05 * (age - 40) - 0.3 * (visits - 3) + 0.9 * member + np.array([1.2, 0, -1, 0.4, 0])[city]
    label = random.random(rows) < 1 / (1 + np.exp(-z))
    return pa.table(
        {
            "id": pa.array(np.arange(rows) + 1_000_000 * seed, pa.int64()),
            "age": pa.array(age, pa.float64(), mask=np.array(lacks_age, dtype=bool)),
            "income": pa.array(income, pa.float64()),
            "visits": pa.array(visits, pa.int64()),
            "member": pa.array(member, pa.bool_(), mask=np.array(lacks_member, dtype=bool)),
            "city": pa.array([CITIES[i] for i in city], pa.string(), mask=np.array(lacks_city, dtype=bool)),
            "code": pa.array(code, pa.int32()),
            "w": pa.array(random.integers(1, 4, rows) / 2, pa.float64()),
            "bought": pa.array(label, pa.bool_()),
        }
    )


def write(path: Path, table: pa.Table, groups: list[int] | None = None) -> Path:
    """Write a table in row groups of these sizes (0: an empty one); None: one row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    start = 0
    with pq.ParquetWriter(
        path, table.schema, write_page_checksum=True, use_dictionary=False, compression="none"
    ) as writer:
        for rows in groups if groups is not None else [table.num_rows]:
            writer.write_table(table.slice(start, rows), row_group_size=max(rows, 1))
            start += rows
    assert start == table.num_rows
    return path


def settings(data: Path, store: Path, /, **sections: dict[str, Any]) -> Config:
    """A config for `people`, with sections changed."""
    base: dict[str, dict[str, Any]] = {
        "data": {"path": str(data), "label": "bought", "weight": "w", "ids": ["id"]},
        "split": {"seed": 1},
        "features": {"categorical": ["code"], "log1p": ["income"]},
        "train": {"epochs": 4, "device": "cpu", "ranks": 1, "lanes": 8},
        "evaluate": {},
        "drift": {},
        "registry": {"uri": "off"},  # MLflow takes seconds; tests of the registry have their own
    }
    merged = {name: {**base[name], **sections.get(name, {})} for name in base}
    return parse({"name": "people", "store": str(store), **merged})


class Alone:
    """A world of one for learning features, without torch.distributed."""

    rank, size = 0, 1

    def meet(self) -> None:
        """Nobody."""

    def sum_floats(self, values: np.ndarray) -> np.ndarray:
        """As they are."""
        return values

    def sum_integers(self, values: np.ndarray) -> np.ndarray:
        """As they are."""
        return values

    def gather(self, content: bytes) -> list[bytes]:
        """Ours."""
        return [content]

    def fold(self, pack: Callable[[], bytes], add: Callable[[bytes], None]) -> bytes:
        """Ours."""
        return pack()


def decoding(config: Config, split: Split) -> Decoding:
    """How the config's rows are decoded."""
    return Decoding(
        roles(config, split.columns), split.label, config.data.weight, tuple(config.features.log1p)
    )


def stores(config: Config) -> tuple[Split, Features, dict[str, HeldRows]]:
    """The split of a config, what is learnt from train, and a filled store with features for each part."""
    split = ensure(config)
    how = decoding(config, split)
    made = {part: HeldRows(Source(files, how)) for part, files in split.parts.items()}
    alone: Any = Alone()
    world: World = alone
    features = learn_features(world, config, how, split, made["train"])
    for store in made.values():
        store.attach(features)
        store.fill(range(len(store.source.group_rows)))
    return split, features, made


@dataclass(frozen=True)
class Whole:
    """All rows of a store as the model takes them, in canonical order."""

    x: np.ndarray  # [N, F]
    ids: np.ndarray  # [N, C]
    y: np.ndarray  # [N, 1]
    w: np.ndarray  # [N, 1]


def whole(store: HeldRows) -> Whole:
    """All rows of a filled store."""
    rows = store.gather(np.arange(store.source.rows))
    y = rows.y.astype(np.float32)[:, None]
    return Whole(rows.x.copy(), rows.ids, y, np.ones_like(y) if rows.w is None else rows.w[:, None])


@pytest.fixture(scope="session")
def people_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of 500 to 1,500 people, in uneven row groups."""
    folder = tmp_path_factory.mktemp("people")
    for number, groups in enumerate(([700, 800], [500], [1, 0, 600, 399])):
        write(folder / f"part-{number}.parquet", people(sum(groups), seed=number + 1), groups)
    return folder


@pytest.fixture(scope="session")
def trained_run(people_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed run over `people_dir`. Look, and copy before you change it."""
    run = on_disk(retrain(settings(people_dir, tmp_path_factory.mktemp("store"))))
    assert artifact.is_sealed(run)
    return run


def on_disk(place: Place) -> Path:
    """A place that is known to be a local path."""
    assert isinstance(place, Path)
    return place


@pytest.fixture(scope="session")
def model(trained_run: Path) -> Model:
    """The trained run, loaded."""
    return binclf.load(trained_run)


@pytest.fixture(scope="module")
def alone() -> Iterator[World]:
    """A world of one."""
    with join("cpu") as met:
        yield met
