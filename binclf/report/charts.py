"""The charts: matplotlib draws them, in colours that stand for roles, which the page's style sheet fills in.

matplotlib, since it is what every data team has and keeps; a plotting library in the page's script would make
the file larger and could not be printed or read without it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from binclf.metrics.intervals import of_rate
from binclf.report.svg import FAINT, INK, ONE, QUIET, TWO, inlined
from binclf.report.text import plain

SIZE = (4.4, 3.3)  # inches; the page scales it
SETTINGS: Any = {
    "svg.hashsalt": "binclf", "svg.fonttype": "none", "font.size": 10, "axes.spines.top": False,
    "axes.spines.right": False, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": QUIET,
    "xtick.color": QUIET, "xtick.labelcolor": INK, "ytick.color": QUIET, "ytick.labelcolor": INK,
    "grid.color": FAINT, "figure.facecolor": "none", "axes.facecolor": "none", "legend.frameon": False,
    "text.parse_math": False, "path.simplify": True,
}  # fmt: skip

Rows = Sequence[Mapping[str, float]]


def roc(points: Rows) -> str:
    """Recall over the false positive rate, and chance as a dashed line."""

    def draw(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        axes.plot([0, 1], [0, 1], **_chance())
        x, y = _xy(points, "false_positive_rate", "true_positive_rate")
        axes.plot(x, y, color=ONE, linewidth=2)
        _percents(axes, "of the negative, decided yes", "of the positive, decided yes")

    return _svg("roc", draw)


def precision_recall(points: Rows, positive_rate: float) -> str:
    """Precision over recall, and the share of positives as a dashed line."""

    def draw(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        axes.axhline(positive_rate, **_chance())
        x, y = _xy(points, "recall", "precision")
        axes.plot(x, y, color=ONE, linewidth=2)
        _percents(axes, "recall: of the positive, decided yes", "precision: of those, positive")

    return _svg("pr", draw)


def calibration(bins: Rows, *, is_counted: bool) -> str:
    """What came true over what was predicted; with 95 % bars (Wilson) where weights are counts of rows."""

    def draw(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        predicted, observed = _xy(bins, "predicted", "observed")
        end = min(1.0, 1.1 * max([*predicted, *observed, 0.01]))
        axes.plot([0, end], [0, end], **_chance())
        axes.plot(predicted, observed, color=ONE, linewidth=1)
        if is_counted:
            spans = [of_rate(b["observed"], b["weight"]) or (b["observed"],) * 2 for b in bins]
            low = [o - s[0] for o, s in zip(observed, spans, strict=True)]
            high = [s[1] - o for o, s in zip(observed, spans, strict=True)]
            axes.errorbar(
                predicted, observed, yerr=[low, high], fmt="none", color=ONE, linewidth=1, capsize=2
            )
        heaviest = max(b["weight"] for b in bins)
        sizes = [8 + 60 * b["weight"] / heaviest for b in bins]
        axes.scatter(predicted, observed, s=sizes, color=ONE, zorder=3)
        _percents(axes, "predicted", "came true", end)

    return _svg("calibration", draw)


def gains(rows: Rows) -> str:
    """The share of positives among the highest scores, and chance as a dashed line."""

    def draw(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        told = [row for row in rows if row.get("captured") is not None]
        axes.plot([0, 1], [0, 1], **_chance())
        x, y = _xy(told, "share", "captured")
        axes.plot([0.0, *x], [0.0, *y], color=ONE, linewidth=2, marker="o", markersize=3.5)
        _percents(axes, "of all rows, highest probabilities first", "of all positives, found")

    return _svg("gains", draw)


def scores(found: Mapping[str, Sequence[float]], threshold: float) -> str:
    """How the probabilities of each class are spread, and the threshold as a dashed line."""

    def draw(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        edges = found["edges"]
        for name, colour, style in (("negative", TWO, (0, (4, 1.5))), ("positive", ONE, "solid")):
            total = sum(found[name]) or 1.0
            shares = [weight / total for weight in found[name]]
            axes.stairs(shares, edges, color=colour, alpha=0.15, fill=True)
            axes.stairs(
                shares, edges, color=colour, linewidth=1.6, linestyle=style, label=name, baseline=None
            )
        axes.axvline(threshold, **_chance())
        _percents(axes, "probability (dashed: the threshold)", "of the class", _reach(found, threshold))
        axes.autoscale(axis="y")
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper right")

    return _svg("scores", draw)


def over_periods(
    name: str,
    periods: Sequence[str],
    series: Mapping[str, Sequence[tuple[float | None, Sequence[float] | None]]],
    band: Sequence[float] | None,
    *,
    is_share: bool = False,
) -> str:
    """Values of periods side by side, with their intervals, and a band that they are held against."""

    def draw(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        from matplotlib.ticker import FuncFormatter

        if band is not None:
            axes.axhspan(band[0], band[1], color=QUIET, alpha=0.25, linewidth=0)
        styles = ((ONE, "solid"), (TWO, (0, (4, 1.5))))
        for (label, values), (colour, style) in zip(series.items(), styles, strict=False):
            known = [(x, y, span) for x, (y, span) in enumerate(values) if y is not None]
            x, y = [one[0] for one in known], [one[1] for one in known]
            axes.plot(x, y, color=colour, linestyle=style, marker="o", markersize=4, label=label)
            spans = [(x, y, span) for x, y, span in known if span is not None]
            errors = [[y - span[0] for _, y, span in spans], [span[1] - y for _, y, span in spans]]
            axes.errorbar(
                [x for x, _, _ in spans], [y for _, y, _ in spans], yerr=errors, fmt="none", color=colour,
                linewidth=1, capsize=2,
            )  # fmt: skip
        every = -(-len(periods) // 8)
        axes.set_xticks(range(0, len(periods), every), [plain(p, 16) for p in periods[::every]])
        axes.set_xlim(-0.5, len(periods) - 0.5)
        axes.grid(visible=True, axis="y")
        if is_share:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
        if len(series) > 1:
            axes.legend(loc="best")

    return _svg(name, draw)


def trend(runs: Sequence[Mapping[str, Any]]) -> str:
    """Log-loss run by run, and that of the base rate as a dashed line; runs without one are left out."""

    def draw(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        told = [run for run in runs if run["log_loss"] is not None and run["base_log_loss"] is not None]
        places = list(range(len(told)))
        axes.plot(places, [run["base_log_loss"] for run in told], **_chance())
        axes.plot(
            places, [run["log_loss"] for run in told], color=ONE, linewidth=2, marker="o", markersize=3.5
        )
        axes.set(xlabel="run (the last is on the right; dashed: the base rate)", ylabel="log-loss")
        axes.set_xticks(places, ["" for _ in places])
        axes.grid(visible=True, axis="y")

    return _svg("trend", draw)


def penalties(tried: Rows, axis: str, taken: int) -> str:
    """Log-loss over the penalty that `axis` names: of validation, with its standard error, and of train."""

    def draw(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        x, y = _xy(tried, axis, "log_loss")
        errors = [one["error"] for one in tried]
        axes.errorbar(x, y, yerr=errors, color=ONE, linewidth=1.6, marker="o", markersize=4, capsize=2,
                      label="validation")  # fmt: skip
        axes.plot(x, [one["train_loss"] for one in tried], color=TWO, linestyle=(0, (4, 1.5)), label="train")
        axes.axvline(x[taken], **_chance())
        axes.set_xscale("log")
        axes.set(xlabel=f"{axis}, logarithmic (dashed: taken)", ylabel="log-loss")
        axes.grid(visible=True, axis="y")
        axes.legend(loc="best")

    return _svg("penalties", draw)


def _reach(found: Mapping[str, Sequence[float]], threshold: float) -> float:
    """Up to where nearly all rows lie: probabilities of rare events are all small."""
    both = [p + n for p, n in zip(found["positive"], found["negative"], strict=True)]
    left, total = 0.0, sum(both)
    for edge, weight in zip(found["edges"][1:], both, strict=True):
        left += weight
        if left >= 0.999 * total:
            return min(1.0, max(float(edge), threshold * 1.05))
    return 1.0


def _xy(points: Rows, x: str, y: str) -> tuple[list[float], list[float]]:
    return [point[x] for point in points], [point[y] for point in points]


def _chance() -> dict[str, Any]:
    return {"color": QUIET, "linestyle": (0, (4, 3)), "linewidth": 1}


def _percents(axes: Any, x: str, y: str, end: float = 1.0) -> None:  # noqa: ANN401 - matplotlib
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set(xlabel=x, ylabel=y, xlim=(0, end), ylim=(0, end * 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    axes.grid(visible=True)


def _svg(name: str, draw: Callable[[Any], None]) -> str:
    # matplotlib is imported here: it takes half a second that scoring and the ranks do not need
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return inlined(buffer.getvalue(), name)
