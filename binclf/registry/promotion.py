"""Whether a version deserves to be champion: decided once for each, and written down with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from binclf import artifact
from binclf.errors import ArtifactError, BusyError, StorageError
from binclf.registry.address import Address, known, tracking_uri
from binclf.registry.aliases import (
    CHAMPION,
    KEPT,
    challenge,
    enthrone,
    is_promoted,
    number_of,
    order_of,
    settle,
    version_at,
)
from binclf.registry.fetch import run_of
from binclf.registry.log import ensure_version
from binclf.registry.server import Server, tag_of
from binclf.registry.window import window_of

ATTEMPTS = 10  # at a comparison, while others change the champion meanwhile
FEWEST = 10  # independent rows of the rarer class, below which no interval of a first model is trusted


class Decision(Protocol):
    """What a comparison of champion and challenger found."""

    @property
    def verdict(self) -> str:
        """In a word: promote, keep or inconclusive."""

    def is_promoted(self, rule: str) -> bool:
        """Whether the challenger is to become champion by a rule of `registry.promote`."""

    def as_json(self) -> dict[str, Any]:
        """The numbers."""


Decide = Callable[[artifact.Run, artifact.Run], Decision]  # champion, challenger


def register(
    run: artifact.Run, decide: Decide, registry: str = "", pictures: Mapping[str, bytes] | None = None
) -> dict[str, Any]:
    """Register a sealed run as a version of its model, and make it champion if it deserves that.

    The same run is registered and decided on once, however often this is called and wherever it was cut off.

    Args:
        run: a sealed run.
        decide: compares the champion with the run; it is asked only if the config's rule needs it.
        registry: a tracking URI; empty: as the run's own config says.
        pictures: files by their names, to be seen beside the report.

    Returns:
        What `binclf register --json` tells: model, version, is_champion, champion, verdict, reason, registry,
        and decided_now: whether that was decided by this call.

    Raises:
        StorageError: the registry cannot be reached; a note says how to register the run later.
        BusyError: others are at it, or changed the champion during each of ten comparisons.
    """
    server = Server(known(registry) if registry else tracking_uri(run.config), run.path.parent)
    try:
        with server.turn():
            version = ensure_version(server, run, window_of(run), pictures or {})
            is_decided = bool(tag_of(version, "outcome"))
            if not is_decided:
                challenge(server, version)
            elif is_promoted(version):
                settle(server, version.name)  # a crash may have come between the tag and the alias
        if not is_decided:
            _decide(server, version, run, decide)
        return _told(server, version) | {"decided_now": not is_decided}
    except (StorageError, BusyError) as error:
        place = f" --registry {server.shown}" if registry else ""
        error.add_note(
            f"the run is sealed and safe; register it later with: binclf register {run.path}{place}"
        )
        raise


def _decide(server: Server, version: Any, run: artifact.Run, decide: Decide) -> None:  # noqa: ANN401
    """Compare outside of the turn, for that takes a pass over the rows; again if the champion changed."""
    for _ in range(ATTEMPTS):
        champion = version_at(server, version.name, CHAMPION)
        is_better, tags = _judge(server, champion, version, run, decide)
        with server.turn():
            now = server.version_of(Address(version.name, version=number_of(version)))
            if tag_of(now, "outcome"):  # another process registered the same run meanwhile
                return
            if number_of(version_at(server, version.name, CHAMPION)) != number_of(champion):
                continue
            if is_better:
                enthrone(server, version, **tags)
            else:
                server.conclude(version, **tags, outcome=KEPT)
            return
    raise BusyError(f"the champion of {version.name} changes all the time: try again later.")


def _judge(
    server: Server,
    champion: Any | None,  # noqa: ANN401 - mlflow ModelVersion
    version: Any,  # noqa: ANN401
    run: artifact.Run,
    decide: Decide,
) -> tuple[bool, dict[str, str]]:
    """Whether a version is to become champion, and what its tags are to say of that."""
    rule = run.config.registry.promote
    if rule == "never":
        return False, {"verdict": "keep", "reason": "registry.promote is never"}
    if champion is not None and order_of(champion) > order_of(version):
        reason = f"champion {champion.version} has newer data, until {order_of(champion)[0]}"
        return False, {"verdict": "keep", "reason": reason}
    if number_of(champion) == number_of(version):
        return True, {"verdict": "promote", "reason": "it was made champion by hand"}
    if rule == "always":
        return True, {"verdict": "promote", "reason": "registry.promote is always"}
    if champion is None:
        return first_of(run)
    try:
        found = decide(run_of(server, champion), run)
    except ArtifactError as error:
        return False, {"verdict": "inconclusive", "reason": f"the champion cannot be compared: {error}"}
    record = found.as_json()
    headline = str(record.get("text", "")).partition("\n")[0]
    reason = f"compared with version {champion.version}" + (f": {headline}" if headline else "")
    told = {"verdict": found.verdict, "reason": reason, "comparison": json.dumps(record, allow_nan=False)}
    return found.is_promoted(rule), told


def first_of(run: artifact.Run) -> tuple[bool, dict[str, str]]:
    """Whether a model without a champion is to be one: it has to beat the base rate on new rows beyond noise.

    What decides is the 95 % interval of how far its log-loss is below; `metrics` says what that takes the
    rows for.
    """
    metrics = json.loads(run.contents["metrics.json"])
    part = next((part for part in ("test", "validation") if part in metrics), "")
    if not part:
        return False, _words("inconclusive", "there are no test or validation rows to judge by")
    loss, base = metrics[part]["log_loss"], metrics[part]["base_log_loss"]
    if loss is None or base is None:
        return False, _words("inconclusive", f"its log-loss on {part} is undefined")
    # a margin of if_not_worse is one of leniency, and there is no champion to spare
    margin = run.config.registry.margin if run.config.registry.promote == "if_better" else 0.0
    asked = f" less the margin of {margin:g}" if margin else ""
    told = f"there was no champion, and log-loss {loss:.6f} on {part} is"
    than = f"{base:.6f} of the base rate{asked}"
    if not loss < base - margin:
        return False, _words("keep", f"{told} not below {than}")
    low, high = metrics[part]["intervals"].get("skill") or (None, None)
    if low is None:
        return False, _words("inconclusive", f"{told} below {than}, but of too few rows to have an interval")
    if (rarer := _rarer(metrics[part])) < FEWEST:
        few = f"the rarer class tells as much as {rarer:.0f} independent rows, and {FEWEST} are needed"
        return False, _words("inconclusive", f"{told} below {than}, but {few} for an interval to be trusted")
    by = f"(by {base - loss:.6f}, 95 % interval {low:.6f} to {high:.6f})"
    if low > margin:
        return True, _words("promote", f"{told} below {than} beyond noise {by}")
    advice = "have more rows, or set registry.promote = 'always' or the alias by hand"
    return False, _words("inconclusive", f"{told} below {than}, but not beyond noise {by}: {advice}")


def _rarer(found: Mapping[str, Any]) -> float:
    """How many rows, or groups, of equal weight the rarer class of a part tells as much as."""
    rate = found["positive_rate"]
    return float(found.get("units", found["rows"]) * min(rate, 1 - rate))


def _words(verdict: str, reason: str) -> dict[str, str]:
    return {"verdict": verdict, "reason": reason}


def _told(server: Server, version: Any) -> dict[str, Any]:  # noqa: ANN401
    now = server.version_of(Address(version.name, version=number_of(version)))
    champion = number_of(version_at(server, version.name, CHAMPION))
    return {
        "model": str(Address(version.name, version=number_of(version))),
        "version": int(version.version),
        "is_champion": champion == number_of(version),
        "champion": int(champion) if champion else None,
        "verdict": tag_of(now, "verdict"),
        "reason": tag_of(now, "reason"),
        "registry": server.shown,
    }
