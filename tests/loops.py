"""Laws of loops, on any examples, compiled or not."""

from __future__ import annotations

from typing import Any

import hypothesis
from hypothesis import strategies as st

from tests.laws import examples

SEEDS = st.integers(0, 2**32 - 1)


def given(*strategies: Any) -> Any:
    """Hypothesis' own; what the fixture sets holds for all examples."""

    def applied(test: Any) -> Any:
        quiet = examples(60, keeps_fixtures=True)
        return quiet(hypothesis.given(*strategies)(test))

    return applied
