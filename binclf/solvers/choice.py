"""Which solver: the one that the settings ask for, or the first that is affordable of those that read them.

Newton's method has the fewest passes and the most to tell, where its Hessian is affordable. Beyond, lbfgs
finds the optimum in some dozens of passes, which are cheap where decoded rows are kept; where each pass
decodes them anew, minibatch gets further with the few that it takes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from binclf.config import Config, Train
from binclf.errors import ConfigError
from binclf.features import Features, Roles
from binclf.loader.memory import Shape, shown
from binclf.loader.tier import Job, Tier, choose
from binclf.solvers import checkpoint
from binclf.solvers.lbfgs import LEAST_PAIRS, MOST_PAIRS
from binclf.solvers.penalties import PATIENCE
from binclf.solvers.slopes import workers
from binclf.storage import Place
from binclf.world import World

UNASKED_WEIGHTS = 2048  # of which auto takes a Hessian, 32 MiB: beyond, minutes a pass go to small effects
VECTORS, COPIES = 13, 3  # of lbfgs, of float64, beside the threads' tables; and those a checkpoint copies
POINTS = 2 * (PATIENCE + 2)  # of a path of penalties, with what a checkpoint copies


@dataclass(frozen=True, slots=True)
class Choice:
    """A solver, and the reason in words."""

    name: str
    why: str
    lacking: str = ""  # why there is no Hessian; empty: it is affordable
    pairs: int = 0  # of lbfgs
    is_path: bool = False  # whether validation rows are to choose the penalty


@dataclass(frozen=True, slots=True)
class Wide:
    """What there is for lbfgs."""

    pairs: int  # that fit the memory; 0: not even the least
    lacking: str  # why it is not to be taken unasked; empty: it is affordable


def shape_of(config: Config, roles: Roles, features: Features | None = None) -> Shape:
    """What rows and weights take; before features are learnt, as if nothing were missing."""
    numbers, categories = len(roles.numeric), len(roles.categorical)
    is_wide = config.train.asked == "lbfgs"
    table = 2**config.features.hash_bits if is_wide and categories else 0
    plain = Shape(
        numbers=numbers,
        width=features.width if features else numbers,
        categories=categories,
        is_weighted=bool(config.data.weight),
        table=features.table_size if features else table,
        is_curved=config.train.asked == "newton",
    )
    is_path = config.train.choose_l2 or config.train.leaves_l2
    least = weight_bytes(LEAST_PAIRS, plain.table, is_path=is_path)
    return replace(plain, weight_bytes=least) if is_wide else plain


def choice_of(job: Job, tier: Tier, features: Features, checkpoints: Place | None, world: World) -> Choice:
    """The same on all ranks, which must all ask.

    Args:
        job: with the widths that were learnt.
        tier: where rows are kept already.
        features: whose weights are to be found.
        checkpoints: of an interrupted run, which goes on with the solver it began with.
        world: the ranks.

    Raises:
        ConfigError: no solver that reads what is set fits the memory.
    """
    lacking = unaffordable(job, tier, features, world)
    wide = Wide(0, "")
    if lacking or job.config.train.asked == "lbfgs":
        wide = room_for_pairs(job, tier, world)
    found = None if checkpoints is None else checkpoint.seen_by_all(checkpoints, world)
    began = "" if found is None else str(found.record.get("solver", "minibatch"))  # once they did not name it
    name, why = _named(job.config.train, began, lacking, wide)
    if name == "lbfgs" and not wide.pairs and not began:
        raise ConfigError(_too_wide(job, tier))
    return Choice(name, why, lacking, wide.pairs, _is_path(job, name, lacking))


def _is_path(job: Job, name: str, lacking: str) -> bool:
    """Whether the penalty is chosen: as settings ask; or unasked, where each of many weights has few rows."""
    train = job.config.train
    return train.choose_l2 or (name == "lbfgs" and bool(lacking) and _may_choose(job))


def _may_choose(job: Job) -> bool:
    """Whether settings leave the penalty of many weights to validation rows, and there are some."""
    train, validation = job.config.train, job.sources.get("validation")
    return train.choose_l2 or (train.leaves_l2 and validation is not None and validation.rows > 0)


def _named(train: Train, began: str, lacking: str, wide: Wide) -> tuple[str, str]:
    if train.solver != "auto":
        return train.solver, "train.solver names it"
    if train.asked != "auto":
        return train.asked, "settings that only it reads are set"
    if began:
        return began, "the run began with it"
    if not lacking:
        return "newton", "a Hessian of its weights is affordable"
    if not wide.lacking or "minibatch" not in train.able:
        return "lbfgs", lacking
    return "minibatch", f"{lacking}, and {wide.lacking}"


def unaffordable(job: Job, tier: Tier, features: Features, world: World) -> str:
    """Why there is to be no Hessian, unless the settings ask for one; empty: it is affordable.

    The same on all ranks, whose lanes and machines differ: what one of them lacks, all lack.
    """
    reasons = world.gather(_lacking(job, tier, features).encode())
    return next((reason.decode() for reason in reasons if reason), "")


def _lacking(job: Job, tier: Tier, features: Features) -> str:
    size = features.width + features.table_size + 1
    if size > UNASKED_WEIGHTS:
        return (
            f"a Hessian of {size:,} weights takes long: up to {UNASKED_WEIGHTS:,} one is worked out unasked"
        )
    if not _fits(job, tier, replace(job.shape, is_curved=True)):
        return f"a Hessian of {size:,} weights does not fit {shown(tier.budget)} of memory"
    return ""


def room_for_pairs(job: Job, tier: Tier, world: World) -> Wide:
    """As many pairs as all ranks have memory for."""
    counts = range(MOST_PAIRS, LEAST_PAIRS - 1, -1)
    own = next((count for count in counts if _fits(job, tier, _for_pairs(job, count))), 0)
    pairs = min(int(words) for words in world.gather(str(own).encode()))
    if not pairs:
        return Wide(0, f"lbfgs does not fit {shown(tier.budget)} of memory")
    if tier.name == "none":
        return Wide(pairs, "lbfgs would decode the rows in each of dozens of passes (see train.cache)")
    return Wide(pairs, "")


def needed(job: Job, tier: Tier, choice: Choice) -> Tier:
    """The tier with what the solver needs, now that it is known."""
    shape = job.shape
    if choice.name == "newton" or not choice.lacking:  # by whose means what others found is looked at, too
        shape = replace(shape, is_curved=True)
    elif choice.name == "lbfgs":
        shape = _for_pairs(job, choice.pairs)
    return replace(tier, need=choose(replace(job, shape=shape)).need)


def _for_pairs(job: Job, pairs: int) -> Shape:
    return replace(job.shape, weight_bytes=_bytes(job, pairs))


def _bytes(job: Job, pairs: int) -> int:
    return weight_bytes(pairs, job.shape.table, is_path=_may_choose(job))


def _fits(job: Job, tier: Tier, shape: Shape) -> bool:
    """Whether a solver of that shape leaves the rows where they are."""
    try:
        return choose(replace(job, shape=shape)).name == tier.name
    except ConfigError:
        return False


def _too_wide(job: Job, tier: Tier) -> str:
    size = job.shape.width + job.shape.table + 1
    own = size * _bytes(job, LEAST_PAIRS)
    least = -(-(tier.need.total - tier.need.weights + own) // 2**20)
    return (
        f"lbfgs needs {shown(own)} for {size:,} weights with the least of {LEAST_PAIRS} pairs, and a rank "
        f"{least} MiB in all, where {shown(tier.budget)} are allowed: set train.memory_bytes to "
        f"{least * 2**20} or more, lower features.hash_bits or features.max_levels, or use 'minibatch'."
    )


def weight_bytes(pairs: int, table: int, *, is_path: bool = False) -> int:
    """Of memory for each weight of lbfgs, with so many pairs and places of the table; and of a path."""
    vectors = VECTORS + COPIES + workers(table) + POINTS * is_path
    return 8 * vectors + 16 * pairs  # a checkpoint copies pairs, too
