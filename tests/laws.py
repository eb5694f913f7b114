"""Hypothesis as this suite uses it: the same examples in each run, and a profile that hunts for others.

`steady`, which is loaded by `tests.conftest`, draws from a seed that is a test's own words, so that a run can
be repeated and CI never fails by chance. `hunt` (`make hunt`) draws anew each time, ten times as many, and
remembers in `.hypothesis` what failed. A failure that it finds is mended and stays as an `@example`.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

STEADY = 100  # examples of a law that names no number
HUNTED = 10  # times as many in a hunt

# no deadlines and no health check by the clock: another machine may be as slow as it likes
TIMELESS: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


def register() -> None:
    """Make both profiles known, and load the steady one.

    Both start from "default": with `CI` set, Hypothesis has loaded a profile of its own, which a profile
    without a parent would inherit.
    """
    plain = settings.get_profile("default")
    settings.register_profile(
        "steady", plain, derandomize=True, database=None, max_examples=STEADY, print_blob=True, **TIMELESS
    )
    settings.register_profile("hunt", plain, max_examples=HUNTED * STEADY, print_blob=True, **TIMELESS)
    settings.load_profile("steady")
    _draw_no_constants_of_the_code()


def examples(count: int, *, keeps_fixtures: bool = False, **others: Any) -> settings:
    """So many examples, and as many times more as the profile has.

    Args:
        count: Under `steady`.
        keeps_fixtures: What the test's fixtures set up holds for all examples alike.
        others: Of `hypothesis.settings`.
    """
    more = [HealthCheck.function_scoped_fixture] if keeps_fixtures else []
    quiet = [*settings().suppress_health_check, *more]
    times = settings().max_examples // STEADY
    return settings(max_examples=count * times, suppress_health_check=quiet, **others)


def _draw_no_constants_of_the_code() -> None:
    """Leave out, where runs are to be the same, the constants that Hypothesis finds in imported modules.

    It draws each twentieth value from them, so that examples depend on which tests a worker ran before. There
    is no setting for it.
    """
    found = providers._get_local_constants
    none = type(providers.GLOBAL_CONSTANTS)()
    providers._get_local_constants = lambda: none if settings().derandomize else found()
