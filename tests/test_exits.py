"""Every command ends at once, with its own code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import exits, exits_from_a_store


@pytest.mark.slow
def test_every_command_is_gone_soon_after_its_last_line_with_its_own_code(tmp_path: Path) -> None:
    _, wrong = exits(tmp_path / "job", 1)
    assert wrong == []


@pytest.mark.slow
def test_commands_on_a_store_are_gone_soon_after_their_last_line_too(tmp_path: Path) -> None:
    _, wrong = exits_from_a_store(tmp_path / "job", 1)
    assert wrong == []
