"""What a run begins with: a copy of what the newest finished run of the model keeps (docs/updates.md).

A copy, as the run that it is of may be pruned before this one is taken up again.
"""

from __future__ import annotations

import logging

from binclf import commit
from binclf.artifact.earlier import runs_of
from binclf.artifact.run import open_run
from binclf.artifact.seal import CHECKPOINTS
from binclf.config import Config
from binclf.errors import ArtifactError, ConfigError
from binclf.solvers.bundles import SUMS
from binclf.storage import Place, place_of

log = logging.getLogger(__name__)


def bring(config: Config, path: Place) -> None:
    """Copy the sums of the newest finished run that has some, and is as it was sealed, into one that begins.

    Args:
        config: the job, its paths absolute.
        path: of the run that begins.
    """
    for run in runs_of(place_of(config.store), config.name, sealed=True):
        if not (run / SUMS).exists():
            continue
        try:
            content = open_run(run).contents[SUMS]
        except (ArtifactError, ConfigError, KeyError) as error:
            log.warning("the sums of %s are not begun with: %s", run, error)
            continue
        commit.write_bytes(path / CHECKPOINTS / SUMS, content)
        return
