"""binclf: split (in place), train, and write the model with its certificate and standard errors.

With a third argument that is `train.cache`. Which files disagree is not asked, as no peer tells it.
"""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.common import LABEL, places, write
from binclf import artifact
from binclf.config import parse
from binclf.launch import one_heap
from binclf.parquet import find, footers
from binclf.retrain import fit

if __name__ == "__main__":
    data, answer = places()
    cache = sys.argv[3] if sys.argv[3:] else "auto"
    one_heap()
    rows = sum(foot.rows for foot in footers(find(data).files))
    with tempfile.TemporaryDirectory() as store:
        settings = {
            "name": "ours", "store": store, "data": {"path": data, "label": LABEL},
            "split": {"method": "none"}, "train": {"l2": 1 / rows, "cache": cache, "influence": False},
        }  # fmt: skip
        run = artifact.begin(parse(settings))
        fit(run)
        model = json.loads((Path(str(run)) / "model.json").read_text())
    numeric = model["numeric"].values()
    write(answer, [entry["per_unit"] for entry in numeric], model["intercept"])
    told = {name: model["training"][name] for name in ("certificate", "passes", "seconds", "reading_seconds")}
    told["errors"] = [entry["per_unit"]["se"] for entry in model["inference"]["numeric"].values()]
    Path(answer).with_suffix(".told.json").write_text(json.dumps(told))
