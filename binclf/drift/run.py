"""The verb `drift`: rows beside those that a run was trained on, in one pass over their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from binclf import artifact, commit, golden, registry
from binclf.drift.page import html
from binclf.drift.rao import rao, unfit
from binclf.drift.verdict import Drifted, judged
from binclf.drift.words import markdown_of, sentence
from binclf.errors import ArtifactError, ConfigError, DataError
from binclf.leaks import beside_training, has_label
from binclf.parquet import Footer, find, footers
from binclf.predict import Model
from binclf.profile import Observation, Profile, Watch, profile_of, skews
from binclf.scored import RowGroup, in_threads, places_of
from binclf.storage import Place, place_of

FORMS = (".html", ".md", ".json")


def drift(run: str | Place | artifact.Run, data: str | Place, output: str | Place = "") -> dict[str, Any]:
    """How the rows of Parquet files differ from those that a run was trained on, in units of its score.

    Where all files have the run's label, they also tell whether to retrain.

    Args:
        run: a run directory, or an address such as models:/churn@champion.
        data: a file, a directory or a glob.
        output: a file to write: a page (.html), Markdown (.md) or JSON (.json); empty: none.

    Returns:
        What `binclf drift --json` tells; `text` is the same as Markdown.

    Raises:
        ArtifactError: there is no such run, or it has no profile.
        DataError: a file lacks a column or has it of another kind, or is damaged.
    """
    if output:
        check_form(output)
    opened = registry.open_run(run)
    model, reference = golden.model_of(opened), _reference(opened)
    feet = footers(find(data).files)
    for foot in feet:
        model.check(foot.columns, foot.relative)
    places = places_of(feet)
    found = beside(opened, model, reference, observed(model, places).profile(reference), str(data))
    found = _with_refit(opened, model, _with_leaks(opened, found, feet), feet, places)
    if output:
        write(found, place_of(output))
    return as_json(found) | {"text": markdown_of(found)}


def of_watch(watch: Watch, data: str) -> Drifted | None:
    """The drift of rows that were watched while they were scored; None if none was, or without a profile."""
    if watch.reference is None or not watch.observation.rows:
        return None
    seen = watch.observation.profile(watch.reference)
    found = beside(watch.run, watch.observation.model, watch.reference, seen, data)
    return replace(found, sample_of=watch.sample_of)


def beside(run: artifact.Run, model: Model, old: Profile, new: Profile, data: str) -> Drifted:
    """Two profiles of a run's columns compared by its limits."""
    limits = run.config.drift
    return judged(model, data, (old, new), tuple(skews(model.features, old, new, limits)), limits)


def observed(model: Model, places: Sequence[RowGroup]) -> Observation:
    """What row groups look like, by threads."""
    found = Observation(model)
    texts = [c.name for c in model.features.categorical if c.kind == "text"]

    def one(numbered: tuple[int, RowGroup]) -> None:
        number, place = numbered
        rows = place.read(model.columns(), texts)
        found.see(number, rows, model.logits(rows))

    for _ in in_threads(one, list(enumerate(places))):
        pass
    return found


def check_form(output: str | Place) -> Place:
    """Where a page, Markdown or JSON is to be written.

    Raises:
        ConfigError: its name says none of these.
    """
    place = place_of(output)
    if place.suffix not in FORMS:
        raise ConfigError(f"{output} is to end in {', '.join(FORMS)}: that says what is written.")
    return place


def as_json(found: Drifted) -> dict[str, Any]:
    """All of it, the sentence too."""
    return {**found.as_json(), "sentence": sentence(found)}


def told_of(found: Drifted | None) -> dict[str, Any]:
    """In short, for who is notified: sentence, columns, and Markdown as `text`; empty: no row was seen."""
    if found is None:
        return {}
    return {
        "run": found.run,
        "data": found.data,
        "rows": found.rows,
        "sample_of": found.sample_of,
        "training_rows": found.training_rows,
        "shift": found.shift,
        "sentence": sentence(found),
        "moved": list(dict.fromkeys(term.column for term in found.moved)),
        "unstable": [one.column for one in found.unstable],
        "skewed": [skew.column for skew in found.skews],
        "is_alarm": found.is_alarm,
        "text": markdown_of(found),
    }


def write(found: Drifted, place: Place) -> None:
    """As a page, Markdown or JSON, by the name's ending."""
    if place.suffix == ".json":
        commit.write_json(place, as_json(found))
    else:
        commit.write_bytes(place, (html if place.suffix == ".html" else markdown_of)(found).encode())


def _reference(run: artifact.Run) -> Profile:
    found = profile_of(run)
    if found is None:
        raise ArtifactError(
            f"{run.path} has no profile of its training rows, as an older binclf sealed it: train again."
        )
    return found


def _with_leaks(run: artifact.Run, found: Drifted, feet: Sequence[Footer]) -> Drifted:
    """With features that tell the label alone, in the files that have it."""
    labelled = [foot for foot in feet if has_label(foot, run.split.label)]
    sizes = [rows for foot in labelled for rows in foot.groups]
    return replace(found, skews=(*found.skews, *beside_training(run, places_of(labelled), sizes)))


def _with_refit(
    run: artifact.Run, model: Model, found: Drifted, feet: Sequence[Footer], places: Sequence[RowGroup]
) -> Drifted:
    """With what labels say, where all files have them."""
    label, weight = run.split.label, run.config.data.weight
    columns = [(foot, foot.column(label.column)) for foot in feet]
    if not columns or any(column is None for _, column in columns):
        return found
    for foot, column in columns:
        if column is not None and column.kind != label.kind:
            raise DataError(
                f"label '{label.column}' of {foot.relative} is {column.type}, and the run learnt "
                f"{label.kind}: cast it."
            )
        if weight and foot.column(weight) is None:
            raise DataError(
                f"{foot.relative} has labels and lacks the weight column '{weight}': bring it, or drop the "
                "label to see the drift alone."
            )
    reason, refit = unfit(model) or "no row has a label and weight", None
    if not unfit(model):
        try:
            refit = rao(run, model, places, found.limits)
        except OverflowError as error:
            reason = str(error)
    if refit is None:
        undefined = {**found.undefined, "retrain": reason}
        return replace(found, undefined=undefined)
    return replace(found, refit=refit)
