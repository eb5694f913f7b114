"""Runs of a store, newest first, and among them the one that did the same job before."""

from __future__ import annotations

import logging
import re

from binclf import commit
from binclf.artifact.seal import MANIFEST, package_version, read_config
from binclf.artifact.settings import settings_of_result
from binclf.config import Config
from binclf.errors import ArtifactError, ConfigError
from binclf.storage import Place

log = logging.getLogger(__name__)

ID = r"-\d{8}-\d{6}-[0-9a-f]{6}"  # what `begin` puts behind a model's name


def runs_of(store: Place, name: str, *, sealed: bool) -> list[Place]:
    """The runs of a model, the one that was begun last first.

    Args:
        store: where runs are kept.
        name: of the model.
        sealed: finished runs alone; False: those that were cut off, too.
    """
    mark = MANIFEST if sealed else "config.json"
    found = [path.parent for path in store.glob(f"{name}-*/{mark}")]
    named = [path for path in found if re.fullmatch(re.escape(name) + ID, path.name)]
    return sorted(named, key=lambda path: path.name[-22:], reverse=True)


def same_job(config: Config, split: str, store: Place) -> Place | None:
    """The newest run of the same settings, data and binclf, finished or not; None if there is none.

    Args:
        config: the job, its paths absolute.
        split: digest of the split, which names the files by their content and what becomes of each row.
        store: where to look.
    """
    wanted = settings_of_result(config)
    for path in runs_of(store, config.name, sealed=False):
        try:
            if settings_of_result(read_config(path)) == wanted and _is_of(path, split):
                return path
        except (ArtifactError, ConfigError) as error:  # of another version, or damaged: it is not ours
            log.info("passing over %s: %s", path, error)
    return None


def _is_of(path: Place, split: str) -> bool:
    if not (path / "split.json").exists() or commit.read_json(path / "split.json")["digest"] != split:
        return False
    model = path / "model.json"
    return not model.exists() or commit.read_json(model)["binclf"] == package_version()
