"""The run directory: what a training leaves behind, sealed by a manifest that is written last.

``` config.json split.json features.json model.safetensors model.json covariance.safetensors (of an exact
optimum) metrics.json report.html card.md receipts.json window.json profile.json alone.json golden.parquet
manifest.json sums.safetensors (where train.warm_start asks for it) ``` No manifest, no run: a directory
without one is a training that goes on, or one that can be resumed from its `checkpoints/`. The manifest has
the SHA-256 of every other file, and each file is read once: what was verified is what is used. Only JSON,
safetensors, Parquet, Markdown and one HTML page; nothing that executes on loading.
"""

from binclf.artifact.begin import began, begin
from binclf.artifact.earlier import runs_of, same_job
from binclf.artifact.run import Run, open_run
from binclf.artifact.seal import (
    CHECKPOINTS,
    MANIFEST,
    is_sealed,
    package_version,
    read_config,
    read_split,
    seal,
    working,
    write_covariance,
    write_model,
    write_threshold,
)
from binclf.artifact.settings import settings_of_result

__all__ = [
    "CHECKPOINTS",
    "MANIFEST",
    "Run",
    "began",
    "begin",
    "is_sealed",
    "open_run",
    "package_version",
    "read_config",
    "read_split",
    "runs_of",
    "same_job",
    "seal",
    "settings_of_result",
    "working",
    "write_covariance",
    "write_model",
    "write_threshold",
]
