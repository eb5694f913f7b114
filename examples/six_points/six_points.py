"""The tutorial's six points: written as Parquet, trained, and compared with what is known of them."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import pandas as pd

import binclf

POINTS = pd.DataFrame(
    {
        "x1": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "x2": [2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        "y": [0, 0, 1, 1, 1, 0],
    }
)
TUTORIAL = [0.3268, 0.3961, 0.4699, 0.5450, 0.6181, 0.6862]  # what its run of 1000 epochs ended at
MAXIMUM = [0.288372, 0.367727, 0.454957, 0.545043, 0.632273, 0.711628]  # maximum likelihood


def settings(folder: Path) -> dict[str, object]:
    """The tutorial's settings as a binclf config."""
    return {
        "name": "six-points",
        "store": str(folder / "runs"),
        "registry": {"uri": "off"},
        "data": {"path": str(folder / "points.parquet"), "label": "y"},
        "split": {"method": "none"},
        "features": {"standardise": False},
        "train": {
            "solver": "minibatch",
            "optimizer": "sgd",
            "learning_rate": 0.01,
            "batch_rows": 2,
            "epochs": 1000,
        },
    }


def run(folder: Path) -> pd.DataFrame:
    """Train in a folder; returns the points with our predictions and those that are known."""
    POINTS.to_parquet(folder / "points.parquet")
    model = binclf.load(binclf.retrain(binclf.parse(settings(folder))))
    return POINTS.assign(ours=model.predict_proba(POINTS), tutorial=TUTORIAL, maximum=MAXIMUM)


def main() -> None:
    """Print the table."""
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(run(Path(folder)).round(4).to_string(index=False) + "\n")


if __name__ == "__main__":
    main()
