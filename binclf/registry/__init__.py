"""Models by name and version in an MLflow registry, and which of them is the champion.

A sealed run is what is kept; the registry has a copy of it, a number, and two aliases: `champion` is the
model to score with, `challenger` the newest one that is not champion. MLflow is imported only by a call that
speaks to a registry (it takes seconds), never to load or score a run directory, and never by a rank.
"""

from __future__ import annotations

from binclf import artifact, golden, predict
from binclf.registry.address import is_address, page_of, tracking_uri
from binclf.registry.aliases import roll_back, throne
from binclf.registry.fetch import champion_of, fetch
from binclf.registry.promotion import Decide, Decision, register
from binclf.registry.window import WINDOW, Window, window_of
from binclf.storage import Place

__all__ = [
    "WINDOW",
    "Decide",
    "Decision",
    "Window",
    "champion_of",
    "is_address",
    "load",
    "open_run",
    "page_of",
    "register",
    "roll_back",
    "throne",
    "tracking_uri",
    "window_of",
]


def open_run(model: str | Place | artifact.Run, registry: str = "") -> artifact.Run:
    """A run, verified: by its directory, or by a model's address such as models:/churn@champion.

    Args:
        model: a run directory, an address, or a run that is open already.
        registry: for an address: an MLflow tracking URI, or the store that holds mlflow.db; empty:
            $MLFLOW_TRACKING_URI, else the store `runs` of the working directory.

    Raises:
        ArtifactError: there is no such run or model, or it was altered.
        StorageError: the registry cannot be reached.
    """
    if isinstance(model, artifact.Run):
        return model
    return fetch(str(model), registry) if is_address(model) else artifact.open_run(model)


def load(model: str | Place, registry: str = "") -> predict.Model:
    """Load a model to score with: of a finished run, or of an address such as models:/churn@champion.

    Args:
        model: a run directory or an address.
        registry: as in `open_run`.

    Raises:
        ArtifactError: there is no such run or model, it was altered, or its golden rows have other scores.
        StorageError: the registry cannot be reached.
    """
    return golden.model_of(open_run(model, registry))
