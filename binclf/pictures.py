"""The pictures of a report."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

PICTURES = ("roc", "pr", "calibration")


def pictures(part: str, found: Mapping[str, Any]) -> dict[str, bytes]:
    """ROC, precision-recall and calibration of a part as SVG, the same bytes each time.

    `found` is what `evaluate.of_parts` gave.
    """
    metrics, curves = found["metrics"][part], found["pictures"][part]

    def roc(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
        axes.plot(*_columns(curves["roc"], "false_positive_rate", "true_positive_rate"))
        axes.set(title=f"ROC, {part}", xlabel="false positive rate", ylabel="true positive rate")

    def pr(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        axes.axhline(metrics["positive_rate"] or 0, color="0.6", linestyle="--", linewidth=1)
        axes.plot(*_columns(curves["pr"], "recall", "precision"))
        axes.set(title=f"Precision and recall, {part}", xlabel="recall", ylabel="precision")

    def calibration(axes: Any) -> None:  # noqa: ANN401 - matplotlib
        bins = curves["calibration"]
        heaviest = max((b["weight"] for b in bins), default=1.0)
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
        axes.plot([b["predicted"] for b in bins], [b["observed"] for b in bins], linewidth=1)
        axes.scatter(
            [b["predicted"] for b in bins],
            [b["observed"] for b in bins],
            s=[10 + 90 * b["weight"] / heaviest for b in bins],
        )
        axes.set(title=f"Calibration, {part}", xlabel="predicted", ylabel="observed")

    return {"roc": _svg(roc), "pr": _svg(pr), "calibration": _svg(calibration)}


def _columns(points: list[dict[str, float]], *names: str) -> list[list[float]]:
    return [[point[name] for point in points] for name in names]


def _svg(draw: Callable[[Any], None]) -> bytes:
    # matplotlib is imported here: it takes half a second that scoring and the ranks do not need
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "binclf", "font.size": 9}):
        figure = Figure(figsize=(4.2, 3.6), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(visible=True, alpha=0.3)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
