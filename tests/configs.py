"""Settings that tests of the config begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from binclf.config import Data, Evaluate, Features, Split, Train

OTHER_VALUES: dict[str, Any] = {  # of each setting of [split], one that is not the default
    "test_fraction": 0.3,
    "validation_fraction": 0.2,
    "seed": 7,
    "stratify": False,
    "test_from": "2024-01-01",
    "validation_from": "2023-01-01",
    "key": ["who"],
    "column": "part",
}
NEEDED: dict[str, dict[str, dict[str, Any]]] = {  # what each method cannot do without
    "random": {},
    "hash": {"split": {"key": ["who"]}},
    "time": {"data": {"time": "when"}},
    "column": {"split": {"column": "part"}},
    "none": {},
}
SECTIONS: dict[str, type[BaseModel]] = {
    "data": Data,
    "split": Split,
    "features": Features,
    "train": Train,
    "evaluate": Evaluate,
}
TOML = """
name = "late-flights"
store = "runs"

[data]
path = "flights/*.parquet"
label = "late"
positive = true
weight = "w"
ids = ["flight_id"]
time = "departure"
exclude = ["arr_delay"]
on_null_label = "drop"

[split]
method = "time"
test_from = 2013-10-01

[features]
categorical = ["month"]
log1p = ["distance"]
min_count = 3

[train]
l2 = 0.001
optimizer = "sgd"
momentum = 0.9

[evaluate]
threshold = 0.25
"""


def settings_of(**sections: dict[str, Any]) -> dict[str, Any]:
    """Small valid settings with these sections' keys added."""
    base: dict[str, Any] = {"name": "made", "data": {"path": "/d", "label": "y"}}
    for name, section in sections.items():
        base[name] = {**base.get(name, {}), **section}
    return base


def written(tmp_path: Path, text: str = TOML) -> Path:
    path = tmp_path / "made.toml"
    path.write_text(text, encoding="utf-8")
    return path
