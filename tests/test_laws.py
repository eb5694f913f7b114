"""Each run of this suite draws the same examples, and a hunt others."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.laws import HUNTED, examples


def drawn(count: int, strategy: st.SearchStrategy[Any]) -> list[Any]:
    """What a law is tried on."""
    found = list[Any]()

    @examples(count, database=None)
    @given(strategy)
    def law(example: Any) -> None:
        found.append(example)

    law()
    return found


@contextmanager
def profile(name: str) -> Iterator[None]:
    """Another profile for as long as the block lasts."""
    before = settings.get_current_profile_name()
    settings.load_profile(name)
    try:
        yield
    finally:
        settings.load_profile(before)


def test_examples_are_the_same_whatever_was_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with profile("steady"):
        before = drawn(60, st.integers())
        numbers = range(10**12, 10**13, 10**10)
        (tmp_path / "full_of_constants.py").write_text("\n".join(f"N{n} = {n}" for n in numbers))
        monkeypatch.syspath_prepend(tmp_path)
        importlib.import_module("full_of_constants")
        assert drawn(60, st.integers()) == before
        del sys.modules["full_of_constants"]
        assert len(before) == 60


def test_a_hunt_draws_more_examples_and_other_ones_each_time() -> None:
    with profile("hunt"):
        tosses = drawn(10, st.lists(st.booleans(), min_size=20))
        assert len(tosses) == HUNTED * 10
        assert tosses != drawn(10, st.lists(st.booleans(), min_size=20))
