"""The public names are few, in order and light: nothing heavy is imported before it is used."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

import binclf
from tests.trained import settings

HEAVY = ("torch", "prefect", "pyarrow", "pandas", "numpy", "matplotlib", "mlflow", "sklearn")


def modules_after(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has imported after some code."""
    told = f"import json, sys; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{told}"], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_names_are_sorted_and_each_is_there() -> None:
    assert list(binclf.__all__) == sorted(binclf.__all__)
    for name in binclf.__all__:
        value = getattr(binclf, name)
        assert callable(value)
        assert not isinstance(value, types.ModuleType)
        assert value.__doc__


def test_a_name_that_is_not_there_is_told() -> None:
    with pytest.raises(AttributeError, match="module 'binclf' has no attribute 'retrian'"):
        _ = binclf.retrian


def test_each_name_is_what_its_room_defines() -> None:
    from binclf.config import Config, load, parse
    from binclf.predict import Model
    from binclf.registry import load as load_model

    assert binclf.Config is Config
    assert binclf.Model is Model
    assert (binclf.load_config, binclf.parse, binclf.load) == (load, parse, load_model)


def test_the_import_is_light_and_quick() -> None:
    """Quick by what it loads: a busy machine's clock tells nothing."""
    code = (
        "import sys, os, typing, importlib.metadata; before = set(sys.modules); import binclf; "
        "more = set(sys.modules) - before; assert len(more) <= 5, more; dir(binclf); binclf.__all__"
    )
    assert modules_after(code) == set()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("retrain", marks=pytest.mark.slow),
        pytest.param("evaluate", marks=pytest.mark.slow),
        "score",
    ],
)
def test_a_function_stays_the_function_after_its_module_is_imported(name: str) -> None:
    code = (
        f"import binclf, types, binclf.{name}; f = binclf.{name}; assert isinstance(f, types.FunctionType), f"
    )
    code += f"\nfrom binclf.{name} import {name} as g; assert f is g; assert binclf.{name} is g"
    assert "prefect" not in modules_after(code)


def test_loading_a_config_needs_neither_torch_nor_pyarrow(trained_run: Path) -> None:
    code = f"import binclf; binclf.load_config({str(trained_run / 'config.json')!r})"
    assert modules_after(code) & {"torch", "pyarrow", "prefect", "pandas"} == set()


@pytest.mark.slow
def test_scoring_imports_no_torch_from_python_or_from_the_command_line(
    trained_run: Path, people_dir: Path, tmp_path: Path
) -> None:
    arguments = [str(trained_run), str(people_dir), str(tmp_path / "out")]
    imported = modules_after(f"import binclf; binclf.score(*{arguments!r})")
    assert "pyarrow" in imported
    assert imported & {"torch", "prefect", "matplotlib", "mlflow", "sklearn"} == set()
    command = [sys.executable, "-X", "importtime", "-m", "binclf", "score", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert "binclf.score" in names
    assert names & {"torch", "prefect", "matplotlib", "mlflow", "sklearn"} == set()


@pytest.mark.slow
def test_a_launcher_imports_no_torch(people_dir: Path, tmp_path: Path) -> None:
    config = settings(people_dir, tmp_path / "store", train={"epochs": 1}).model_dump(mode="json")
    code = f"import binclf; binclf.retrain(binclf.parse({config!r}), in_process=False)"
    assert "torch" not in modules_after(code)
