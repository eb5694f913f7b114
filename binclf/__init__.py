"""binclf: the retraining pipeline for binary classification on Parquet that people can trust.

The names here are light: neither torch nor pyarrow nor prefect is imported until one of them is used. Five
(`compare`, `evaluate`, `export`, `retrain`, `score`) are functions that share their name with the module they
live in; `binclf.score` is always the function, and the module is reached by `from binclf.score import ...`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from binclf.compare import compare  # type: ignore[no-redef]  # the room has its name
    from binclf.config import Config, parse
    from binclf.config import load as load_config
    from binclf.evaluate import evaluate
    from binclf.export import export
    from binclf.predict import Model
    from binclf.registry import load
    from binclf.retrain import retrain
    from binclf.score import score

_HOMES = {
    "Config": ("binclf.config", "Config"),
    "Model": ("binclf.predict", "Model"),
    "compare": ("binclf.compare", "compare"),
    "evaluate": ("binclf.evaluate", "evaluate"),
    "export": ("binclf.export", "export"),
    "load": ("binclf.registry", "load"),
    "load_config": ("binclf.config", "load"),
    "parse": ("binclf.config", "parse"),
    "retrain": ("binclf.retrain", "retrain"),
    "score": ("binclf.score", "score"),
}

__all__ = [
    "Config",
    "Model",
    "compare",
    "evaluate",
    "export",
    "load",
    "load_config",
    "parse",
    "retrain",
    "score",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'binclf' has no attribute '{name}'")
    home, attribute = _HOMES[name]
    return getattr(import_module(home), attribute)


class _Package(ModuleType):
    """Keeps the import system from putting a module where a public function of its name belongs."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
