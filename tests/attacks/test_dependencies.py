"""What others bring in: floors above versions with known holes, and results that nobody unpickles."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FLOORS = {  # the first version without the hole
    "pyarrow": (14, 0, 1),  # CVE-2023-47248: a file's own type was unpickled
    "torch": (2, 10),  # CVE-2026-24747, CVE-2025-32434: code and memory by torch.load
    "prefect": (3, 0, 3),  # CVE-2024-8183: other pages could ask the API
    "mlflow": (3, 0),  # CVE-2025-11201: a model's name led out of the store
}


def requirements() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["flows"]]
    found = [re.match(r"([a-z-]+)(?:\[[^]]*\])?(.*)", text) for text in listed]
    return {own[1]: own[2] for own in found if own}


def test_dependencies_begin_above_versions_with_known_holes() -> None:
    asked = requirements()
    for name, floor in FLOORS.items():
        least = re.search(r">=([\d.]+)", asked[name])
        assert least, f"{name} has no floor"
        assert tuple(map(int, least[1].split("."))) >= floor, name


def test_results_of_flows_are_json() -> None:
    """Prefect pickles what it keeps unless it is told otherwise, and unpickles it when it is asked for."""
    kept = 0
    for path in (ROOT / "flows").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            said: dict[str, Any] = {}
            if isinstance(node, ast.Call):
                said = {word.arg or "": ast.unparse(word.value) for word in node.keywords}
            elif isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                said = {ast.unparse(key).strip("'"): ast.unparse(value) for key, value in pairs if key}
            if said.get("persist_result") == "True":
                kept += 1
                assert said.get("result_serializer") == "'json'", f"{path.name}: {ast.unparse(node)}"
    assert kept >= 2  # of tasks and of flows, each in one place
