"""Fixtures that tests of several rooms share."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from binclf import kernels
from binclf.kernels import library
from tests import laws
from tests.bucket import bucket, kept_bucket, s3_address, twice_at_most
from tests.exports import odd_run, run_without_clocks, run_without_durations
from tests.optimum import known, many_blocks
from tests.postgres import postgres
from tests.splits import flights
from tests.trained import alone, model, people_dir, trained_run

__all__ = [
    "alone",
    "bucket",
    "flights",
    "kept_bucket",
    "known",
    "many_blocks",
    "model",
    "odd_run",
    "people_dir",
    "postgres",
    "run_without_clocks",
    "run_without_durations",
    "s3_address",
    "trained_run",
    "twice_at_most",
]

laws.register()

ALL_SLOW = re.compile(r"^pytestmark = (\[\s*)?pytest\.mark\.slow\b", re.MULTILINE)
SERVERS = {"postgres", "s3_address"}  # fixtures that start one


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no more than is needed: each worker imports all that is collected.

    That are modules of helpers, which would be searched for doctests, and, where slow tests are left out,
    files of nothing else: Prefect's server and client alone take seconds.
    """
    if collection_path.suffix != ".py":
        return None
    is_test = collection_path.name.startswith("test_")
    leaves_slow_out = config.option.markexpr == "not slow"
    is_left_out = not is_test or (leaves_slow_out and ALL_SLOW.search(collection_path.read_text()))
    return True if is_left_out else None  # None: as others say


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a server are slow; files of slow tests come first, the quick ones fill the end.

    (Which file a worker takes next goes by this order: one that began a file of servers last would leave the
    other idle.)
    """
    slow, all_of = Counter[Path](), Counter[Path]()
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
        all_of[item.path] += 1
        slow[item.path] += item.get_closest_marker("slow") is not None
    items.sort(key=lambda item: -slow[item.path] / all_of[item.path])


@pytest.fixture(params=["compiled", "numpy"])
def either_loops(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test twice: with compiled loops, where there are any, and with NumPy's."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.setattr(library, "loops", None)
        elif not kernels.IS_COMPILED:
            pytest.skip("there was no compiler when binclf was installed")
        yield
