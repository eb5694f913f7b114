"""A comparison as a record: who was compared on which rows, what was refused, the verdict and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from binclf.compare.inference import ERROR_RATE, LEVEL, POWER
from binclf.compare.verdict import FALSE_SHARE, RULES, Judgement, Level, Verdict

FORMAT = 1
NAMES = {"train": "training", "validation": "validation"}
SHOWN = 5  # slices that the text names


@dataclass(frozen=True, slots=True)
class Comparison:
    """Champion and challenger on the same rows."""

    champion: str  # ids of the runs
    challenger: str
    data: str  # what was judged: the challenger's test part, or a path
    weight_column: str
    group: str  # column of the clusters; empty: each row is independent
    judgement: Judgement
    read: int  # rows
    unlabelled: int
    refused: int  # rows that one of the two was fitted on
    refused_of: Mapping[str, Mapping[str, int]]  # champion, challenger: train, validation
    files: Mapping[str, Any]  # how the champion's rows were known, in how many files

    @property
    def verdict(self) -> Verdict:
        """promote, keep or inconclusive."""
        return self.judgement.verdict

    @property
    def further_rows(self) -> int | None:
        """If inconclusive: rows beyond these that would decide with 90 % chance; None: not to be told."""
        return self.judgement.further_rows

    def is_promoted(self, rule: str) -> bool:
        """What `registry.promote` makes of it: if_better, if_not_worse, always or never.

        Raises:
            ConfigError: there is no such rule.
        """
        return self.judgement.is_promoted(rule)

    def as_json(self) -> dict[str, Any]:
        """For `comparison.json`; what is undefined is None, with its reason under `undefined`."""
        judged = self.judgement
        return {
            "format": FORMAT,
            "verdict": self.verdict,
            "promoted_by": [rule for rule in RULES if self.is_promoted(rule)],
            "text": self.text(),
            "champion": self.champion,
            "challenger": self.challenger,
            "data": self.data,
            "weight_column": self.weight_column,
            "group": self.group,
            "margin": judged.margin,
            "level": LEVEL,
            "error_rate": ERROR_RATE,
            "power": POWER,
            "further_rows": self.further_rows,
            "rows": judged.rows,
            "weight": judged.weight,
            "positive_rate": judged.positive_rate,
            "units": judged.log_loss.found.units if judged.log_loss.found else None,
            "units_of_rarer_class": judged.rarer_units if judged.log_loss.found else None,
            "identical": judged.identical and judged.rows > 0,
            "rows_read": self.read,
            "rows_unlabelled": self.unlabelled,
            "rows_refused": self.refused,
            "refused_of": {name: dict(parts) for name, parts in self.refused_of.items()},
            "files": dict(self.files),
            "log_loss": judged.log_loss.as_json(),
            "roc_auc": {**judged.roc_auc.as_json(), "rows": judged.ranked_rows},
            "decisions": dict(judged.decisions),
            "slices": {
                name: None if levels is None else [level.as_json() for level in levels]
                for name, levels in judged.slices.items()
            },
            "slices_false_share": FALSE_SHARE,
            "undefined": dict(judged.undefined),
        }

    def text(self) -> str:
        """In plain words, the verdict in the first line."""
        return "\n".join(filter(None, [self.headline(), *self._details(), *self._rows(), *self._slices()]))

    def headline(self) -> str:
        """One line: the difference, its interval, the rows, the verdict."""
        judged, found = self.judgement, self.judgement.log_loss.found
        if found is None:
            return f"challenger and champion cannot be compared, since {judged.lacking}: {self.verdict}"
        rows = f"on {judged.rows:,} rows"
        if judged.identical:
            told = f"challenger and champion say the same of every row, {rows}"
        else:
            seems = "seems " if self.verdict == "inconclusive" else ""
            told = f"challenger {seems}{_better(found.difference, found.low, found.high)} log-loss {rows}"
        if judged.margin:
            told += f", a margin of {judged.margin:g} asked for"
        return f"{told}: {self.verdict}{self._why()}"

    def _why(self) -> str:
        if self.verdict != "inconclusive":
            return ""
        told = f" ({self.judgement.lacking or 'the interval does not decide'}"
        further = self.further_rows
        if further is not None:
            told += f"; about {further:,} further rows would"
        return told + ")"

    def _details(self) -> list[str]:
        judged = self.judgement
        lines: list[str] = []
        for name, measured in (("log-loss", judged.log_loss), ("ROC-AUC", judged.roc_auc)):
            if measured.champion is not None and measured.challenger is not None:
                told = f"{name}: champion {measured.champion:.6f}, challenger {measured.challenger:.6f}"
                if found := measured.found:
                    told += f", difference {found.difference:+.6f} ({found.low:+.6f} to {found.high:+.6f})"
                if name == "ROC-AUC" and judged.ranked_rows < judged.rows:
                    told += f", of {judged.ranked_rows:,} rows"
                lines.append(told)
        if judged.rows:
            flips = (("to yes", judged.decisions["no_to_yes"]), ("to no", judged.decisions["yes_to_no"]))
            ways = [f"{flip['rows']:,} {way}{_share(flip)}" for way, flip in flips]
            lines.append(f"decisions that flip: {', '.join(ways)}")
        return lines

    def _rows(self) -> list[str]:
        lines: list[str] = []
        if self.refused:
            of = [
                f"{count:,} in the {who}'s {NAMES[part]} part"
                for who, parts in self.refused_of.items()
                for part, count in parts.items()
                if count
            ]
            lines.append(f"refused: {self.refused:,} of {self.read:,} rows, {', '.join(of)}")
        if self.unlabelled:
            lines.append(f"without a label: {self.unlabelled:,} rows")
        new = self.files.get("new", 0)
        if new:
            lines.append(f"taken as new: the rows of {new:,} files that the champion never had")
        return lines

    def _slices(self) -> list[str]:
        lines: list[str] = []
        for finding in ("worse", "better"):
            found = [
                (name, level)
                for name, levels in self.judgement.slices.items()
                for level in levels or ()
                if level.finding == finding
            ]
            found.sort(key=lambda pair: (pair[1].q_value or 0.0, pair[0], pair[1].level or ""))
            lines += [_slice(finding, *pair) for pair in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(f"and {len(found) - SHOWN:,} more slices where it is {finding}")
        return lines


@dataclass(frozen=True, slots=True)
class Sealed:
    """A comparison as `comparison.json` has it."""

    record: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """promote, keep or inconclusive."""
        return str(self.record["verdict"])

    def is_promoted(self, rule: str) -> bool:
        """Whether the challenger is to become champion by a rule of `registry.promote`."""
        return rule in self.record["promoted_by"]

    def as_json(self) -> dict[str, Any]:
        """The numbers."""
        return dict(self.record)


def _better(difference: float, low: float, high: float) -> str:
    """A difference of log-loss in words: better by 0.0021 (0.0012 to 0.0030)."""
    word, sign = ("better", -1.0) if difference <= 0 else ("worse", 1.0)
    ends = sorted((sign * low, sign * high))
    digits = 4
    while digits < 10 and round(ends[1] - ends[0], digits) * 10**digits < 10:
        digits += 1  # so that the interval shows two digits of its width
    return f"{word} by {sign * difference:.{digits}f} ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})"


def _share(flip: Mapping[str, Any]) -> str:
    share, rightly = flip["share"], flip["rightly"]
    return "" if share is None or rightly is None else f" ({share:.2%} of the weight, {rightly:.0%} rightly)"


def _slice(finding: str, column: str, level: Level) -> str:
    found = level.log_loss.found
    size = f" by {abs(found.difference):.4g}" if found else ""
    rows = f"on {level.rows:,} rows (q = {level.q_value or 0:.2g})"
    return f"slice {column} = {level.level or '(missing)'}: {finding}{size} {rows}"
