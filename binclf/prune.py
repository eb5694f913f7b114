"""What a store no longer needs: runs that nobody goes back to, and parts and decoded rows of none that stay.

Kept are each model's champion, what a rollback would bring back, the challenger, the newest n runs, and every
run that is not finished; parts that a run that stays was made of, a renamed one too, and what is younger than
a day or was taken up again since, for a training may be about to begin; and decoded rows that were used since
the oldest of those runs began. A registry that cannot be asked stops it: who the champion is must be known.
Copies of runs that the registry has are its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binclf import artifact, commit, registry
from binclf.config import Config
from binclf.errors import ArtifactError, ConfigError
from binclf.split.again import slot_of
from binclf.storage import Place, remove_tree

log = logging.getLogger(__name__)

YOUNG_SECONDS = 86400.0
LEFT = ".removed-"


@dataclass(frozen=True, slots=True)
class Standing:
    """A run of a store, and why it stays; empty: it goes."""

    path: Path
    config: Config
    begun: float  # seconds since 1970
    stays: str


def prune(store: Place, *, keep: int = 5, name: str = "", is_meant: bool = False) -> dict[str, Any]:
    """Find what can go, and remove it if that is meant.

    Args:
        store: a local directory.
        keep: newest finished runs of each model that stay.
        name: of the one model whose runs may go; empty: of all.
        is_meant: False only tells.

    Raises:
        ConfigError: the store is no local directory, or `keep` is below 1.
        StorageError: a registry cannot be asked.
        BusyError: another process prunes.
    """
    if keep < 1:
        raise ConfigError(f"--keep {keep}: at least the newest run stays.")
    if not isinstance(store, Path) or not store.is_dir():
        raise ConfigError(f"{store} is no local directory: only such stores are pruned.")
    splitting = commit.locked(store / "split" / ".lock", wait=True) if is_meant else nullcontext()
    with commit.locked(store / ".prune.lock", wait=False), splitting:
        runs, strangers = _runs(store, keep, name)
        staying = [run for run in runs if run.stays]
        gone = [_told("left of a run", path) for path in store.glob(f"{LEFT}*")]
        gone += [_told("run", run.path) for run in runs if not run.stays]
        if staying:
            gone += [
                _told("part", path)
                for path in _parts(store / "split" / "parts", [r.path for r in staying] + strangers)
            ]
            gone += [_told("decoded rows", path) for path in _blocks(store / "cache", staying)]
        if is_meant:
            for entry in gone:
                _remove(Path(entry["path"]))
                log.info("removed %s %s", entry["what"], entry["path"])
    return {
        "store": str(store),
        "keep": [{"run": run.path.name, "why": run.stays} for run in staying],
        "remove": gone,
        "bytes": sum(entry["bytes"] for entry in gone),
        "removed": is_meant,
    }


def text_of(found: dict[str, Any]) -> str:
    """In words."""
    lines = [f"stays  {entry['run']} ({entry['why']})" for entry in found["keep"]]
    word = "gone" if found["removed"] else "goes"
    lines += [f"{word:<5}  {e['what']} {e['path']} ({e['bytes']:,} bytes)" for e in found["remove"]]
    size = f"{len(found['remove']):,} things, {found['bytes']:,} bytes"
    last = f"Removed: {size}." if found["removed"] else f"Nothing was removed yet: {size}. To do it: --yes."
    if not found["remove"]:
        last = "There is nothing to remove."
    return "\n".join([*lines, last])


def _runs(store: Path, keep: int, name: str) -> tuple[list[Standing], list[Path]]:
    """All runs of a store, the newest first, with why each stays; and what looks like a run and is none."""
    found: list[tuple[float, Path, Config]] = []
    strangers: list[Path] = []
    for path in store.iterdir():
        if (path / "config.json").is_file():
            try:
                found.append((artifact.began(path.name).timestamp(), path, artifact.read_config(path)))
            except (ArtifactError, ConfigError) as error:
                log.warning("%s stays, for it cannot be read as a run: %s", path, error)
                strangers.append(path)
    found.sort(key=lambda run: (run[0], run[1].name), reverse=True)
    thrones: dict[tuple[str, str], dict[str, str]] = {}
    counts: dict[str, int] = {}
    runs: list[Standing] = []
    for begun, path, config in found:
        uri = registry.tracking_uri(config)
        if uri and (config.name, uri) not in thrones:
            thrones[config.name, uri] = registry.throne(config.name, uri)
        why = thrones.get((config.name, uri), {}).get(path.name, "")
        if not artifact.is_sealed(path):
            why = "not finished: resume it, or remove it by hand"
        elif name not in ("", config.name):
            why = why or "of another model"
        else:
            counts[config.name] = counts.get(config.name, 0) + 1
            why = why or (f"one of the newest {keep}" if counts[config.name] <= keep else "")
        runs.append(Standing(path, config, begun, why))
    return runs, strangers


def _parts(folder: Path, staying: Iterable[Path]) -> list[Path]:
    """Files of the split that no run that stays was made of.

    Raises:
        ArtifactError: the split of one of them cannot be read.
    """
    if not folder.is_dir():
        return []
    used: set[str] = set()
    for run in staying:
        split = artifact.read_split(run)
        used |= {slot_of(file.id)[0] for files in split.parts.values() for file in files}
    used |= {path.stem for path in folder.glob("*.json") if _is_young(path)}  # made or taken up again
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(
        path
        for path in files
        if (path.stem if path.suffix == ".json" else path.stem.rpartition("-")[0]) not in used
        and not _is_young(path)
    )


def _blocks(folder: Path, staying: Iterable[Standing]) -> list[Path]:
    """Folders of decoded rows that were last used before any run that stays began."""
    since = min(run.begun for run in staying)
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and path.stat().st_mtime < since and not _is_young(path)
    )


def _is_young(path: Path) -> bool:
    return time.time() - path.stat().st_mtime < YOUNG_SECONDS


def _told(what: str, path: Path) -> dict[str, Any]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {"what": what, "path": str(path), "bytes": sum(file.stat().st_size for file in files)}


def _remove(path: Path) -> None:
    """A folder goes at once, by its name: half a run is none, and what a crash leaves goes next time."""
    if path.is_dir():
        left = path if path.name.startswith(LEFT) else path.with_name(LEFT + path.name)
        path.rename(left)
        remove_tree(left)
    else:
        path.unlink(missing_ok=True)
