"""Sealed runs to register, as many as a test wants, and registries that are made quickly."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binclf import artifact, commit
from binclf.registry.address import uri_of_store
from binclf.registry.server import Server


def sibling(
    run: Path,
    store: Path,
    number: int,
    *,
    until: str = "",
    registry: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    name: str = "people",
) -> artifact.Run:
    """A copy of a sealed run as another run of the same model, sealed anew; a greater number began later."""
    moment = datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=number)
    run_id = f"{name}-{moment:%Y%m%d-%H%M%S}-abcdef"
    path = store / run_id
    shutil.copytree(run, path)
    (path / artifact.MANIFEST).unlink()
    config = json.loads((path / "config.json").read_text())
    config |= {"name": name, "store": str(store), "registry": {"uri": "", **(registry or {})}}
    commit.write_json(path / "config.json", config)
    record = json.loads((path / "model.json").read_text())
    commit.write_json(path / "model.json", record | {"run": run_id, "name": name})
    begun = artifact.began(run_id).isoformat(timespec="microseconds")
    commit.write_json(path / "window.json", {"until": until, "begun": begun})
    if metrics is not None:
        commit.write_json(path / "metrics.json", metrics)
    artifact.seal(path)
    return artifact.open_run(path)


def metrics_of(run: Path, **changes: Any) -> dict[str, Any]:
    """A run's metrics with some of the test part's changed."""
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return found | {"test": found["test"] | changes}


def template(folder: Path) -> Path:
    """An empty registry, to be copied: making one takes seconds."""
    store = folder / "template"
    server = Server(uri_of_store(store))
    with server.turn():
        pass
    assert server.database is not None
    return server.database


@dataclass(frozen=True)
class Stub:
    """A decision that was made before."""

    verdict: str = "promote"

    def is_promoted(self, rule: str) -> bool:
        """As the verdict says, whatever the rule."""
        assert rule in ("if_better", "if_not_worse")
        return self.verdict == "promote"

    def as_json(self) -> dict[str, Any]:
        """Numbers."""
        return {"verdict": self.verdict, "difference": -0.01}


def promoting(champion: artifact.Run, challenger: artifact.Run) -> Stub:
    """Whoever challenges is better."""
    assert champion.id != challenger.id
    return Stub()


def keeping(champion: artifact.Run, challenger: artifact.Run) -> Stub:
    """Whoever challenges is not."""
    assert champion.id != challenger.id
    return Stub("keep")


def unasked(champion: artifact.Run, challenger: artifact.Run) -> Stub:
    """Nobody may be compared."""
    raise AssertionError(f"{champion.id} was compared with {challenger.id}")
