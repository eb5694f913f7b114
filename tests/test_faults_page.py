"""The pages of faults and promises name tests that exist, and every case once."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
CASES = {"A": 30, "B": 14, "C": 16, "D": 42, "E": 16, "F": 15, "G": 22, "H": 15, "I": 12, "J": 14}
REFERENCE = re.compile(r"`([\w/]+\.py)::(\w+)`")


@cache
def functions(file: str) -> set[str]:
    """Names of the functions of a file of tests; none of a file that is not there."""
    path = TESTS / file
    if not path.is_file():
        return set()
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def rows(page: str) -> list[list[str]]:
    """The cells of a page's tables, without their heads."""
    lines = (DOCS / page).read_text().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [cells for cells in table if cells[0] and not set(cells[0]) <= {"-"}]


def test_each_case_stands_on_the_page_once() -> None:
    listed = [cells[0] for cells in rows("faults.md")]
    assert listed == [f"{letter}{n}" for letter, count in CASES.items() for n in range(1, count + 1)]


@pytest.mark.parametrize("page", ["faults.md", "assumptions.md"])
def test_each_test_that_is_named_exists(page: str) -> None:
    named = REFERENCE.findall((DOCS / page).read_text())
    assert len(named) > 10
    assert [f"{file}::{name}" for file, name in named if name not in functions(file)] == []


def test_each_case_has_a_test_or_says_that_there_is_none_and_they_are_counted() -> None:
    shown = 0
    for cells in rows("faults.md"):
        assert len(cells) == 4, cells[0]
        has_test, says_none = bool(REFERENCE.search(cells[3])), cells[3].startswith("*no test*: ")
        assert has_test != says_none, cells[0]
        assert all(cells), cells[0]
        shown += has_test
    assert f"\nShown: {shown} of {sum(CASES.values())}.\n" in (DOCS / "faults.md").read_text()


def test_each_promise_has_a_test() -> None:
    promises = rows("assumptions.md")
    assert len(promises) >= 10
    for cells in promises:
        assert REFERENCE.search(cells[-1]), cells[0]
