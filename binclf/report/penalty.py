"""The penalties that validation rows chose from."""

from __future__ import annotations

from binclf import artifact
from binclf.report import charts, numbers
from binclf.report.blocks import Cell, Chart, Charts, Section, Table, Words

EARLIER = "0.1 standard errors of its weights"  # of runs that did not say it
RULES = {
    "least": "the least log-loss on validation rows",
    "one_standard_error": "the strongest penalty within one standard error of the least on validation rows",
}


def section(run: artifact.Run) -> Section | None:
    """The path as a picture and as a table; None if the settings gave the penalty."""
    path = run.record["training"].get("penalties")
    if path is None:
        return None
    tried, taken = path["tried"], path["taken"]
    has_l1 = any(one["l1"] for one in tried)
    axis = "l1" if has_l1 else "l2"
    beside = f", l1 = {tried[taken]['l1']:.3g}" if has_l1 else ""
    about = (
        f"Taken was {RULES[path['rule']]} ({path['rows']:,} of them): l2 = {tried[taken]['l2']:.3g}{beside}. "
        f"Each was fitted to within {path.get('within', EARLIER)}, and the one that was taken to the end. As "
        "validation rows have chosen, their log-loss flatters a little; that of test rows does not."
    )
    lines = [Words([about])]
    if taken in (0, len(tried) - 1):
        lines.append(
            Words(["It is the last of the path on its side: beyond it none was tried."], mark="care")
        )
    rows = [
        [
            Cell(f"{one['l2']:.3g}", note="taken" if place == taken else "", order=one["l2"]),
            *([Cell(f"{one['l1']:.3g}", order=one["l1"])] if has_l1 else []),
            Cell(f"{one['log_loss']:.6f}", note=f"± {one['error']:.6f}", order=one["log_loss"]),
            Cell(f"{one['train_loss']:.6f}", order=one["train_loss"]),
            Cell(numbers.count(one["passes"])),
        ]
        for place, one in enumerate(tried)
    ]
    heads = ("l2", *(["l1"] if has_l1 else []), "Log-loss of validation", "Of train", "Passes")
    table = Table("penalties-table", "Penalties that were tried, the strongest first.", heads, rows)
    picture = Chart(
        "penalties",
        "Log-loss over the penalty",
        "Too strong on the right, too weak on the left: the validation curve is lowest between. Bars are a "
        "standard error each way, which all penalties share, as their rows are the same.",
        charts.penalties(tried, axis, taken),
    )
    return Section("penalty", "The choice of the penalty", [*lines, Charts([picture]), table])
