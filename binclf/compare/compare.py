"""Two runs to a comparison: which rows may be judged, one pass over them, the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from binclf import golden
from binclf.artifact import Run
from binclf.compare.comparison import Comparison
from binclf.compare.history import History
from binclf.compare.membership import Judged, seen
from binclf.compare.stream import How, Outcome, stream
from binclf.compare.verdict import judge
from binclf.errors import ConfigError, DataError, together
from binclf.features import slice_columns
from binclf.labelled import Needed, refuse_unlabelled
from binclf.parquet import Column, find, footers
from binclf.storage import Place

WHO = ("champion", "challenger")
PARTS = ("train", "validation")


def compare(
    champion: Run,
    challenger: Run,
    *,
    margin: float = 0.0,
    data: str | Place | None = None,
    threads: int = 0,
) -> Comparison:
    """Judge both on the challenger's test part, or on other labelled data.

    Rows that either was fitted on are left out and counted. Label, weight, group and slices are those of the
    challenger.

    Args:
        champion: a run, sealed or about to be.
        challenger: another.
        margin: in log-loss, at least 0: by how much the challenger must be better to be promoted.
        data: labelled Parquet to judge on instead.
        threads: 0: one for each core; the answer has the same bits for any number.

    Raises:
        ConfigError: the two do not predict the same, there is no test part, or the margin is none.
        DataError: a column is missing, rows lack labels, or it cannot be known which rows a run has seen.
    """
    if not 0 <= margin < float("inf"):
        raise ConfigError(
            f"registry.margin = {margin}: it is a difference of log-loss, finite and at least 0."
        )
    _refuse_other_questions(champion, challenger)
    data_of, split = challenger.config.data, challenger.split
    slices, _ = slice_columns(challenger.config, split.columns)
    needed = Needed(split.label, data_of.weight, data_of.group, slices)
    how = How((golden.model_of(champion), golden.model_of(challenger)), needed)
    histories = (History(champion), History(challenger))
    files = _test_files(challenger, how, histories) if data is None else _other_files(data, how, histories)
    owner = histories[1] if data is None else None
    known = [(seen(histories[0], file, owner), seen(histories[1], file, owner)) for file in files]
    outcome = stream(how, list(zip(files, known, strict=True)), threads)
    refuse_unlabelled(challenger.config, outcome.unlabelled, str(data))
    told = "the challenger's test part" if data is None else str(data)
    found = _record((champion, challenger), how, told, outcome, margin, Counter(one.how for one, _ in known))
    return found


def _record(
    runs: tuple[Run, Run], how: How, data: str, outcome: Outcome, margin: float, files: Mapping[str, int]
) -> Comparison:
    """What came of the pass, judged."""
    refused_of = {
        who: dict(zip(PARTS, counts, strict=True))
        for who, counts in zip(WHO, outcome.refused_of.tolist(), strict=True)
    }
    return Comparison(
        champion=runs[0].id,
        challenger=runs[1].id,
        data=data,
        weight_column=how.needed.weight,
        group=how.needed.group,
        judgement=judge(outcome.tally, margin),
        read=outcome.rows,
        unlabelled=outcome.unlabelled,
        refused=outcome.refused,
        refused_of=refused_of,
        files=files,
    )


def _refuse_other_questions(champion: Run, challenger: Run) -> None:
    ours, theirs = challenger.split.label, champion.split.label
    if (ours.column, ours.positive) != (theirs.column, theirs.positive):
        raise ConfigError(
            f"{champion.id} predicts {theirs.column} = {theirs.positive} and {challenger.id} predicts "
            f"{ours.column} = {ours.positive}: only models of the same answer can be compared."
        )


def _test_files(challenger: Run, how: How, histories: Sequence[History]) -> list[Judged]:
    """The challenger's test part.

    Raises:
        ConfigError: it has none.
        DataError: its data lack columns.
    """
    split = challenger.split
    files = split.parts.get("test", ())
    if not files:
        raise ConfigError(
            f"{challenger.id} has no test part (split.method = '{split.method}'): name other labelled "
            "data that neither model was trained on, or split off a test part."
        )
    _check(how, histories, split.columns, f"the data of {challenger.id}")
    return [Judged(f.path, f.relative, f.groups, f.footer, f.expected, f.id) for f in files]


def _other_files(data: str | Place, how: How, histories: Sequence[History]) -> list[Judged]:
    """Other labelled data."""
    feet = footers(find(data).files)
    for foot in feet:
        _check(how, histories, foot.columns, foot.relative)
    return [Judged(foot.path, foot.relative, foot.groups, "", foot.stamp) for foot in feet]


def _check(how: How, histories: Sequence[History], columns: Sequence[Column], place: str) -> None:
    """Every column that is needed is there, and of the kind that was learnt."""
    problems = [problem for history in histories for problem in history.unlike(columns, place)]
    for model in how.models:
        try:
            model.check(columns, place)
        except DataError as error:
            problems.append(error)
    problems += how.needed.lacking(columns, place, "the comparison")
    if problems:
        raise together(problems)
