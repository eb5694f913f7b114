"""Laws of the house: small rooms, light doors, and nobody imports what is not theirs."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import flows

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for room in ("binclf", "flows", "deployments") for path in (ROOT / room).rglob("*.py"))
FILE_LINES, FUNCTION_LINES = 250, 50


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """All that is in a file, the module first."""
    return tuple(ast.walk(ast.parse(path.read_text())))


@cache
def imported_by(path: Path) -> set[str]:
    """Top-level names of every import in a file, wherever it stands."""
    found: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def loaded_after(statement: str) -> set[str]:
    """Heavy modules that a fresh interpreter has loaded after a statement."""
    heavy = "{'torch', 'prefect', 'pyarrow', 'pandas', 'matplotlib', 'sklearn', 'mlflow'}"
    code = f"import sys\n{statement}\nprint(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_there_are_sources_to_look_at() -> None:
    assert {"binclf/world/join.py", "binclf/solvers/minibatch.py", "flows/retrain.py"} <= set(
        map(name_of, SOURCES)
    )


def test_no_file_is_longer_than_250_lines() -> None:
    lines = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > FILE_LINES} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    long: list[str] = []
    for path in SOURCES:
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append(f"{name_of(path)}: {node.name} has {lines} lines")
    assert long == []


def test_the_library_has_never_heard_of_prefect() -> None:
    for path in (ROOT / "binclf").rglob("*.py"):
        assert not {"prefect", "flows", "deployments"} & imported_by(path), name_of(path)


def test_flows_and_deployments_hold_no_computation() -> None:
    for path in [*(ROOT / "flows").rglob("*.py"), *(ROOT / "deployments").rglob("*.py")]:
        heavy = {"torch", "pandas", "pyarrow", "numpy", "sklearn", "mlflow"}
        assert not heavy & imported_by(path), name_of(path)


def test_the_doors_to_pyarrow_torch_distributed_and_mlflow_are_the_only_ones() -> None:
    for path in (ROOT / "binclf").rglob("*.py"):
        name = name_of(path)
        if not name.startswith(("binclf/parquet/", "binclf/storage/")):
            assert "pyarrow" not in imported_by(path), name
        if not name.startswith("binclf/registry/"):
            assert "mlflow" not in imported_by(path), name
        if not name.startswith("binclf/world/"):
            assert "torch.distributed" not in path.read_text().replace(
                "only door to torch.distributed", ""
            ), name


def test_nothing_is_pickled() -> None:
    for path in SOURCES:
        assert not {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"} & imported_by(path)
        assert "torch.load(" not in path.read_text(), name_of(path)
        assert "torch.save(" not in path.read_text(), name_of(path)


def test_importing_binclf_loads_nothing_heavy() -> None:
    assert loaded_after("import binclf, binclf.config, binclf.errors, binclf.launch") == set()


@pytest.mark.slow
def test_a_launcher_a_scorer_and_a_flow_load_no_torch() -> None:
    unwanted = {"torch", "prefect", "mlflow"}
    assert not unwanted & loaded_after("import binclf.cli, binclf.retrain, binclf.registry")
    assert not unwanted & loaded_after("import binclf; binclf.score, binclf.load, binclf.evaluate")
    assert not {"torch", "pandas", "sklearn", "mlflow"} & loaded_after("import flows.retrain, flows.score")


@pytest.mark.slow
def test_a_rank_loads_torch_for_minibatch_alone() -> None:
    heavy = {"torch", "prefect", "pandas", "sklearn", "scipy", "mlflow"}
    newton = "import binclf.train, binclf.cli, binclf.solvers.newton"
    assert not loaded_after(newton) & heavy
    assert loaded_after(f"{newton}, binclf.solvers.minibatch") & heavy == {"torch"}


def test_python_m_binclf_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "binclf", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "retrain" in done.stdout
    assert "RANK" not in done.stdout


def test_every_room_of_the_library_is_typed_and_tells_what_it_is_for() -> None:
    assert (ROOT / "binclf" / "py.typed").exists()
    for path in SOURCES:
        module = nodes_of(path)[0]
        assert isinstance(module, ast.Module)
        assert ast.get_docstring(module), name_of(path)


def test_flows_tell_nobody_outside_of_runs_unless_somebody_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    for name in settings:
        monkeypatch.setenv(name, "")  # so that what is set here goes afterwards
        monkeypatch.delenv(name)
    importlib.reload(flows)
    assert {name: os.environ[name] for name in settings} == settings
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    importlib.reload(flows)
    assert os.environ["DO_NOT_TRACK"] == "0"
