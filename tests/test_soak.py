"""A few rounds of `python -m tests.soak`, which goes on for half an hour."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.soak import soaked

SAMPLE = ("damaged input", "kill all ranks", "no large file")


@pytest.mark.slow
def test_a_store_outlives_some_rounds_of_faults(tmp_path: Path) -> None:
    soak = soaked(tmp_path, 5, faults=SAMPLE)
    assert soak.broken == []
    assert soak.fired + soak.missed == Counter(SAMPLE)
    assert soak.fired["damaged input"] == 1
