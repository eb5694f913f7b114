"""Each error has its own exit code, and can be raised again from its name alone."""

from __future__ import annotations

import inspect

import pytest

from binclf import errors
from binclf.errors import KINDS, BinclfError

PROMISED = {
    "ConfigError": 2,
    "DataError": 10,
    "DamageError": 10,
    "ArtifactError": 12,
    "StorageError": 13,
    "RankError": 14,
    "BusyError": 75,
}


def test_exit_codes_are_the_promised_ones() -> None:
    assert {name: kind.exit_code for name, kind in KINDS.items()} == PROMISED
    assert BinclfError.exit_code == 70


def test_every_error_of_the_module_can_be_raised_by_name() -> None:
    kinds = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, BinclfError) and kind is not BinclfError
    }
    assert kinds == KINDS


@pytest.mark.parametrize("name", PROMISED)
def test_an_error_says_its_words_and_nothing_else(name: str) -> None:
    with pytest.raises(BinclfError, match=r"^part-3 is gone\.$") as caught:
        raise KINDS[name]("part-3 is gone.")
    assert str(caught.value) == "part-3 is gone."
    assert type(caught.value).__name__ == name


def test_errors_are_what_python_calls_them_too() -> None:
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.DataError, ValueError)
    assert issubclass(errors.StorageError, OSError)
