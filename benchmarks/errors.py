"""Standard errors against those of statsmodels: `python -m benchmarks.errors [--rows 20000]`.

Both fit the same rows of three files without a penalty; told is the largest relative difference of each kind
of errors. It needs statsmodels, to which row weights are given as `var_weights`.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm

from binclf import artifact, commit
from binclf.config import parse
from binclf.retrain import fit

KINDS: dict[str, dict[str, Any]] = {
    "model": {"cov_type": "nonrobust"},
    "hc0": {"cov_type": "HC0"},
    "clustered": {"cov_type": "cluster"},
}
NAMES = ("a", "b", "c")


def main() -> None:
    """A line for each kind, without weights and with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    logging.disable(logging.WARNING)
    for weighted in (False, True):
        table = made(rows, weighted=weighted)
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                ours = errors_of(Path(folder), table, kind, weighted=weighted)
            apart = np.abs(ours / theirs(table, kind, weighted=weighted) - 1).max()
            words = "with weights" if weighted else "without weights"
            sys.stdout.write(f"{rows:,} rows {words}, {kind}: within {apart:.1e}\n")


def made(rows: int, *, weighted: bool) -> pd.DataFrame:
    """Three numbers in units of their own, and groups of which each shares a number and some luck."""
    draw = np.random.default_rng(rows)
    who = draw.integers(0, rows // 20, rows)
    a, c = draw.normal(size=(2, rows))
    b = draw.normal(size=rows // 20)[who] + 0.3 * a
    z = 0.7 * a - 0.4 * b + 0.2 * c**2 + draw.normal(size=rows // 20)[who] - 0.5
    columns = {
        "a": 40 + 9 * a,
        "b": 1e5 * b,
        "c": c,
        "who": who,
        "y": draw.random(rows) < 1 / (1 + np.exp(-z)),
    }
    return pd.DataFrame(columns | ({"w": draw.integers(1, 5, rows).astype(float)} if weighted else {}))


def errors_of(folder: Path, table: pd.DataFrame, kind: str, *, weighted: bool) -> np.ndarray:
    """Ours, of the numbers and the intercept."""
    for place, rows in enumerate(np.array_split(np.arange(len(table)), 3)):
        path = folder / "data" / f"{place}.parquet"
        path.parent.mkdir(exist_ok=True)
        table.iloc[rows].to_parquet(path, row_group_size=1000, index=False)
    config = parse(
        {
            "name": "errors",
            "store": str(folder / "runs"),
            "data": {
                "path": str(folder / "data"),
                "label": "y",
                "group": "who",
                "weight": "w" if weighted else "",
            },
            "split": {"method": "none"},
            "train": {"solver": "newton", "l2": 0.0, "errors": kind, "ranks": 1},
            "registry": {"uri": "off"},
        }
    )
    run = artifact.begin(config)
    fit(run)
    told = commit.read_json(run / "model.json")["inference"]
    return np.array([*(told["numeric"][name]["per_unit"]["se"] for name in NAMES), told["intercept"]["se"]])


def theirs(table: pd.DataFrame, kind: str, *, weighted: bool) -> np.ndarray:
    """Statsmodels'."""
    design = np.column_stack([*(table[name].to_numpy() for name in NAMES), np.ones(len(table))])
    units = np.abs(design).max(axis=0)  # its own algebra is in float64 and minds them
    weights = table["w"].to_numpy() if weighted else None
    asked = KINDS[kind] | ({"cov_kwds": {"groups": table["who"].to_numpy()}} if kind == "clustered" else {})
    y = table["y"].to_numpy().astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = sm.GLM(y, design / units, family=sm.families.Binomial(), var_weights=weights)
        found = model.fit(tol=1e-13, maxiter=100, **asked)
    return np.asarray(found.bse / units)


if __name__ == "__main__":
    main()
