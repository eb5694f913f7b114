"""What `evaluate.threshold` can say: a probability, or a rule by which validation rows choose one."""

from __future__ import annotations

import re
from dataclasses import dataclass

NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
PATTERN = (
    rf"^({NUMBER}|max_f1|(precision|recall)\s*>=\s*{NUMBER}"
    rf"|cost\(\s*fp\s*=\s*{NUMBER}\s*,\s*fn\s*=\s*{NUMBER}\s*\))$"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What `evaluate.threshold` says."""

    kind: str  # fixed, max_f1, precision, recall or cost
    values: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read a setting that fits `PATTERN`.

        Raises:
            ValueError: it does not, or a share is not within 0 and 1.
        """
        if not re.match(PATTERN, text):
            raise ValueError(f"'{text}' is no threshold")
        values = tuple(map(float, re.findall(NUMBER, text.replace("max_f1", ""))))
        kind = next((k for k in ("max_f1", "precision", "recall", "cost") if text.startswith(k)), "fixed")
        if kind in ("fixed", "precision", "recall") and not 0 <= values[0] <= 1:
            raise ValueError(f"'{text}' is not within 0 and 1")
        if kind == "cost" and not sum(values) > 0:
            raise ValueError(f"'{text}' has no cost")
        return cls(kind, values)

    @property
    def is_chosen(self) -> bool:
        """Whether rows choose it."""
        return self.kind != "fixed"
