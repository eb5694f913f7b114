"""Which solver: the one that the settings ask for, or Newton's method where its Hessian is affordable."""

from __future__ import annotations

from dataclasses import dataclass, replace

from binclf.config import Train
from binclf.errors import ConfigError
from binclf.features import Features
from binclf.loader.memory import shown
from binclf.loader.tier import Job, Tier, choose
from binclf.solvers import checkpoint
from binclf.storage import Place
from binclf.world import World

UNASKED_WEIGHTS = 2048  # of which auto takes a Hessian, 32 MiB: beyond, minutes a pass go to small effects


@dataclass(frozen=True, slots=True)
class Choice:
    """A solver, and the reason in words."""

    name: str
    why: str


def choice_of(settings: Train, lacking: str, checkpoints: Place | None, world: World) -> Choice:
    """The same on all ranks.

    Args:
        settings: of the training.
        lacking: why a Hessian is not affordable, as the ranks agreed; empty: it is.
        checkpoints: of an interrupted run, which goes on with the solver it began with.
        world: the ranks.
    """
    if settings.asked != "auto":
        return Choice(settings.asked, _asking(settings))
    found = None if checkpoints is None else checkpoint.seen_by_all(checkpoints, world)
    if found is not None:
        # before newton was chosen unasked, checkpoints did not name their solver
        return Choice(str(found.record.get("solver", "minibatch")), "the run began with it")
    if lacking:
        return Choice("minibatch", lacking)
    return Choice("newton", "a Hessian of its weights is affordable")


def unaffordable(job: Job, tier: Tier, features: Features, world: World) -> str:
    """Why there is to be no Hessian, unless the settings ask for one; empty: it is affordable.

    The same on all ranks, whose lanes and machines differ: what one of them lacks, all lack.

    Args:
        job: with the widths that were learnt.
        tier: where rows are kept already.
        features: whose weights are to be found.
        world: the ranks.
    """
    reasons = world.gather(_lacking(job, tier, features).encode())
    return next((reason.decode() for reason in reasons if reason), "")


def _lacking(job: Job, tier: Tier, features: Features) -> str:
    size = features.width + features.table_size + 1
    if size > UNASKED_WEIGHTS:
        return (
            f"a Hessian of {size:,} weights takes long: up to {UNASKED_WEIGHTS:,} one is worked out unasked"
        )
    try:
        curved = choose(replace(job, shape=replace(job.shape, is_curved=True)))
    except ConfigError:
        curved = None
    if curved is None or curved.name != tier.name:
        return f"a Hessian of {size:,} weights does not fit {shown(tier.budget)} of memory"
    return ""


def _asking(settings: Train) -> str:
    if settings.solver != "auto":
        return "train.solver names it"
    return "settings that only it reads are set"
