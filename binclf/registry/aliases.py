"""Aliases: moved in turns, mended where a race was lost, and taken back.

Within a store one process moves aliases at a time. Across stores nothing holds: MLflow's aliases have no
compare-and-set. So a version that was found good says so first, by a tag (`binclf.outcome`), and only then
is the alias moved, to the newest window among all that say so, whoever moves it; and the alias and the
tags are read again until they agree. Whoever moves the alias last has seen every tag written before, so the
newest window wins, whatever the order in which two machines went.

A rollback marks the champion (`binclf.rolled_back`), and the alias goes to what it had replaced
(`binclf.replaced`), which was written down when it did; unless another store promotes a version meanwhile.
"""

from __future__ import annotations

import datetime
import logging
import time
from contextlib import suppress
from typing import Any

from binclf.errors import ArtifactError, BusyError, StorageError
from binclf.registry.address import Address, check_name, known
from binclf.registry.server import Server, tag_of
from binclf.registry.window import Window

log = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"
PROMOTED, KEPT = "promoted", "kept"  # the tag `binclf.outcome`, the last that a decision writes
ATTEMPTS = 10  # at the alias, while another store moves it


def version_at(server: Server, name: str, alias: str) -> Any | None:  # noqa: ANN401 - mlflow ModelVersion
    """The version that an alias points to; None if there is none."""
    return server.version_of(Address(name, alias))


def number_of(version: Any | None) -> str:  # noqa: ANN401
    """A version's number as text; empty for None."""
    return str(version.version) if version is not None else ""


def order_of(version: Any) -> tuple[str, str, int]:  # noqa: ANN401
    """Newer is greater: by the window; of two runs of one window the one that was registered later."""
    window = Window(tag_of(version, "until"), tag_of(version, "begun"))
    return (*window.order, int(version.version))


def enthrone(server: Server, version: Any, **tags: str) -> None:  # noqa: ANN401
    """Tag a version as promoted, then make it champion, unless a newer one says the same. Be in a `turn`."""
    replaced = number_of(version_at(server, version.name, CHAMPION))
    if replaced == number_of(version):  # by hand, so what was there before is not known
        replaced = ""
    server.conclude(version, **tags, replaced=replaced or "none", outcome=PROMOTED)
    settle(server, version.name)


def settle(server: Server, name: str) -> None:
    """Have the alias point to the newest window among the promoted; read again until it does.

    Raises:
        BusyError: others move it all the time.
    """
    for attempt in range(ATTEMPTS):
        newest = max(promoted(server, name), key=order_of, default=None)
        if newest is None:
            return  # what was promoted has been rolled back meanwhile
        if number_of(version_at(server, name, CHAMPION)) == number_of(newest):
            _unchallenge(server, newest)
            return
        if attempt:
            log.info("another store moved the champion of %s meanwhile: the newer data win", name)
            time.sleep(0.05 * attempt)
        _point(server, name, CHAMPION, newest)
    raise BusyError(f"the champion of {name} changes all the time: try again later.")


def _point(server: Server, name: str, alias: str, version: Any) -> None:  # noqa: ANN401
    """Move an alias; once more where two stores made it at the same moment and collided in MLflow."""
    with suppress(StorageError), server.asked() as client:
        client.set_registered_model_alias(name, alias, version.version)
        return
    with server.asked() as client:
        client.set_registered_model_alias(name, alias, version.version)


def promoted(server: Server, name: str) -> list[Any]:
    """The versions of a model that were found good and not taken back since."""
    return list(filter(is_promoted, server.versions(name)))


def is_promoted(version: Any) -> bool:  # noqa: ANN401
    """Whether a version was found good and was not taken back since."""
    return tag_of(version, "outcome") == PROMOTED and not tag_of(version, "rolled_back")


def challenge(server: Server, version: Any) -> None:  # noqa: ANN401 - mlflow ModelVersion
    """Make a new version the challenger, unless that has newer data. Be in a `turn`."""
    present = version_at(server, version.name, CHALLENGER)
    if present is None or order_of(present) < order_of(version):
        _point(server, version.name, CHALLENGER, version)


def _unchallenge(server: Server, champion: Any) -> None:  # noqa: ANN401
    present = version_at(server, champion.name, CHALLENGER)
    if present is not None and order_of(present) <= order_of(champion):
        with server.asked() as client:
            client.delete_registered_model_alias(champion.name, CHALLENGER)


def roll_back(name: str, registry: str) -> dict[str, Any]:
    """Make the model that the champion replaced champion again; twice goes back two.

    Args:
        name: of the model.
        registry: as in `open_run`.

    Returns:
        What `binclf rollback --json` tells.

    Raises:
        ArtifactError: there is no champion, or nothing that it replaced.
        StorageError: the registry cannot be reached.
        BusyError: others are at it.
    """
    server = Server(known(registry))
    check_name(name)
    server.check()
    with server.turn():
        good = set(map(number_of, promoted(server, name)))
        champion = version_at(server, name, CHAMPION)
        if champion is None:
            raise ArtifactError(f"{name} has no champion in {server.shown}: there is nothing to roll back.")
        before = _before(server, champion)
        server.tag(champion, rolled_back=_now())
        _point(server, name, CHAMPION, before)
        if not set(map(number_of, promoted(server, name))) <= good:  # another store promoted one meanwhile
            settle(server, name)
            before = version_at(server, name, CHAMPION) or before
    log.info("%s: version %s is champion, in the place of %s", name, before.version, champion.version)
    return {
        "model": name,
        "champion": int(before.version),
        "rolled_back": int(champion.version),
        "run": tag_of(before, "run"),
        "registry": server.shown,
    }


def throne(name: str, registry: str) -> dict[str, str]:
    """The runs that must not go, by id: the champion's, what a rollback would bring back, the challenger's.

    Raises:
        StorageError: the registry cannot be reached.
    """
    server = Server(registry)
    if server.database is not None and not server.database.exists():
        return {}
    found: dict[str, str] = {}
    challenger, champion = (version_at(server, name, alias) for alias in (CHALLENGER, CHAMPION))
    if challenger is not None:
        found[tag_of(challenger, "run")] = CHALLENGER
    if champion is not None:
        with suppress(ArtifactError):  # it is the first
            found[tag_of(_before(server, champion), "run")] = "what a rollback brings back"
        found[tag_of(champion, "run")] = CHAMPION
    return found


def _before(server: Server, champion: Any) -> Any:  # noqa: ANN401
    """What a champion replaced, and was not rolled back itself."""
    version, met = champion, {number_of(champion)}
    while True:
        number = tag_of(version, "replaced")
        if not number.isdigit() or number in met:  # each the other's: machines that raced, or a hand
            raise ArtifactError(
                f"version {champion.version} of {champion.name} is the first champion that is known: there "
                "is nothing to go back to. Set the alias 'champion' in MLflow, or retrain."
            )
        found = server.version_of(Address(champion.name, version=number))
        if found is None:
            raise ArtifactError(
                f"version {number} of {champion.name}, which version {version.version} replaced, was "
                "deleted: set the alias 'champion' in MLflow, or retrain."
            )
        if not tag_of(found, "rolled_back"):
            return found
        version = found
        met.add(number)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
