"""Whether a retraining is worth its while: Rao's test of the champion on labelled files it was not made from.

Asked before anything is split or trained, of the files that a training would take: what is to be left out by
`data.on_bad_file`, and what is refused, is the same. The champion is tested as it is, whatever the settings
of the next training are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from binclf import artifact, golden
from binclf.config import Config
from binclf.drift.rao import rao, unfit
from binclf.errors import BinclfError, DamageError, DataError
from binclf.labelled import Needed
from binclf.parquet import Footer, Found, footers
from binclf.predict import Model
from binclf.scored import places_of
from binclf.split import Plan, Task, plan
from binclf.split.again import DealtFile, dealt_files, selection_made_of
from binclf.split.intake import found_damaged

SHOWN = 3  # files that a reason names


@dataclass(frozen=True, slots=True)
class Worth:
    """Whether to retrain, and why."""

    is_given: bool
    reason: str


def worth(champion: artifact.Run, config: Config) -> Worth:
    """What the files that the champion was not made from say of a retraining.

    Files are known by name and content: a copy of one that the champion was made from tells nothing new.
    Where the test cannot be made, or the champion's own files are not what they were, a retraining is worth
    its while. The limits are those of the config's [drift].

    Args:
        champion: of the config's model.
        config: the job.

    Raises:
        DataError, ConfigError: as a training of the config would.
    """
    if words := _other_question(champion, config):
        return Worth(True, words)
    damaged: dict[str, str] = {}
    while True:  # again without files that turn out damaged, as a split does
        try:
            return _of_plan(champion, config, plan(config, damaged))
        except DamageError as error:
            found_damaged(config, [error], damaged)


def _other_question(champion: artifact.Run, config: Config) -> str:
    """Why the champion's answers are not those that are asked for; empty: they are."""
    old, new = champion.config.data, config.data
    for name in ("label", "positive", "weight"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            return f"the champion was trained with data.{name} = '{was}', and now it is '{now}'"
    return ""


def _of_plan(champion: artifact.Run, config: Config, todo: Plan) -> Worth:
    """The files of a split that is to be, beside those of the champion's."""
    known = {file.relative: file for file in dealt_files(champion.split).values()}
    prints = {task.relative: task.fingerprint for task in todo.tasks}
    if words := _altered(champion, known, prints):
        return Worth(True, words)
    seen = {prints[name] for name in known}
    unseen = [t for t in todo.tasks if t.fingerprint not in seen and t.relative not in todo.duplicates]
    if not unseen:
        return Worth(False, "there is no file that the champion was not made from: there is nothing new")
    return _tested(champion, config, unseen)


def _altered(champion: artifact.Run, known: Mapping[str, DealtFile], prints: Mapping[str, str]) -> str:
    """Which of the champion's files are not what they were; empty: all are."""
    if gone := [name for name in known if name not in prints]:
        return f"files that the champion was made from are gone, or left out as bad: {_some(gone)}"
    config, split = champion.config, champion.split
    changed = [
        name for name, file in known.items() if selection_made_of(config, split, file, prints[name]) is None
    ]
    return f"files that the champion was made from have changed: {_some(changed)}" if changed else ""


def _tested(champion: artifact.Run, config: Config, unseen: Sequence[Task]) -> Worth:
    """Rao's test on some files."""
    model = golden.model_of(champion)
    feet = footers(Found(task.relative, task.path) for task in unseen)
    names = _some([task.relative for task in unseen])
    words = unfit(model) or _misfit(champion, model, feet)
    if words:
        return Worth(True, f"the champion cannot be tested on {names}: {words}")
    try:
        found = rao(champion, model, places_of(feet), config.drift)
    except OverflowError as error:
        return Worth(True, f"the champion cannot be tested on {names}: {error}")
    if found is None:
        return Worth(False, f"no row of {names} has a label and weight: there is nothing new")
    return Worth(found.is_advised, found.told if found.is_advised else f"nothing is done: {found.told}")


def _misfit(champion: artifact.Run, model: Model, feet: Sequence[Footer]) -> str:
    """How files differ from what the champion reads; empty: they do not."""
    needed = Needed(champion.split.label, champion.config.data.weight, "", ())
    for foot in feet:
        problems: list[BinclfError] = list(needed.lacking(foot.columns, foot.relative, "the test"))
        try:
            model.check(foot.columns, foot.relative)
        except DataError as error:
            problems.append(error)
        if problems:
            return str(problems[0])
    return ""


def _some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are.

    >>> _some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
