"""Work that is halved with whoever waits is done once, all of it, whoever did which half."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from binclf.loader.prefetch import LEAST, Hands, prefetched

ROWS = 2 * LEAST


def doubled(hands: Hands, chunks: int, who: set[int]) -> Iterator[np.ndarray]:
    """Chunks of numbers, each worked on by halves; which threads did it is put in `who`."""
    for chunk in range(chunks):
        numbers, times = np.arange(ROWS) + chunk, np.zeros(ROWS, dtype=np.int64)

        def some(part: slice, numbers: np.ndarray = numbers, times: np.ndarray = times) -> None:
            who.add(threading.get_ident())
            time.sleep(0.002)  # others have their turn
            numbers[part] *= 2
            times[part] += 1

        hands.halve(some, ROWS)
        assert (times == 1).all()
        yield numbers


def test_who_waits_does_half_of_the_work() -> None:
    hands, who = Hands(), set[int]()
    found = list(prefetched(doubled(hands, 20, who), 1, hands))
    assert all(np.array_equal(numbers, 2 * (np.arange(ROWS) + i)) for i, numbers in enumerate(found))
    assert threading.get_ident() in who
    assert len(who) == 2


def test_who_has_other_work_is_not_waited_for() -> None:
    hands, who = Hands(), set[int]()
    stream = prefetched(doubled(hands, 3, who), 4, hands)
    next(stream)
    who.clear()
    time.sleep(0.1)  # the consumer computes; the others are made meanwhile
    assert threading.get_ident() not in who
    assert len(list(stream)) == 2


def test_nobody_waits_for_a_lone_thread_or_for_few_rows() -> None:
    parts: list[slice] = []
    Hands().halve(parts.append, ROWS)
    assert parts == [slice(0, ROWS)]

    def items(hands: Hands) -> Iterator[int]:
        time.sleep(0.02)
        hands.halve(parts.append, LEAST - 1)
        yield 1

    hands = Hands()
    assert list(prefetched(items(hands), 1, hands)) == [1]
    assert parts[1:] == [slice(0, LEAST - 1)]


@pytest.mark.parametrize("at_fault", [0, LEAST])
def test_what_goes_wrong_in_either_half_is_raised(at_fault: int) -> None:
    def items(hands: Hands) -> Iterator[int]:
        def some(part: slice) -> None:
            time.sleep(0.002)
            if part.start == at_fault:
                raise IndexError(f"row {at_fault}")

        time.sleep(0.02)
        hands.halve(some, ROWS)
        yield 1

    hands = Hands()
    with pytest.raises(IndexError, match=f"row {at_fault}"):
        list(prefetched(items(hands), 1, hands))


def test_a_consumer_that_leaves_is_not_waited_for() -> None:
    hands = Hands()
    stream = prefetched(doubled(hands, 10**6, set()), 1, hands)
    next(stream)
    began = time.monotonic()
    stream.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 2
