"""Complaints about a column of some rows know which column it is, and of which row group of which file."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from binclf.errors import located

Made = TypeVar("Made", bound=type)


def placed(*methods: str) -> Callable[[Made], Made]:
    """Of a class with a `place`: what these methods raise knows it, and their first argument, a column."""

    def decorate(made: Made) -> Made:
        for name in methods:
            setattr(made, name, _placed(getattr(made, name)))
        return made

    return decorate


def _placed(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Any, name: str, *rest: Any, **named: Any) -> Any:  # noqa: ANN401 - what the method takes
        with located(self.place, name):
            return method(self, name, *rest, **named)

    return call
