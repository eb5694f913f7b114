"""The order of an epoch by lists alone, as the design says it, and random cases beside it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Any

from binclf.epoch import EpochPlan
from binclf.loader.order import RowOrder

MASK = 2**64 - 1


def splitmix64(word: int) -> int:
    """The published algorithm, in Python's own integers."""
    z = (word + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def key(*parts: int | str) -> int:
    """One key of several parts."""
    state = 0
    for part in parts:
        text = part if isinstance(part, str) else ""
        word = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") if text else int(part)
        state = splitmix64(state ^ (word & MASK))
    return state


def permuted(seed: int, items: Sequence[Any]) -> list[Any]:
    """Items (at most 65,536) sorted by half a hash each, whose low bits are the place."""
    low = (1 << max(len(items) - 1, 0).bit_length()) - 1
    words = [splitmix64((i // 2) ^ seed) >> (32 * (i % 2)) & 0xFFFFFFFF for i in range(len(items))]
    places = sorted((word & ~low) | i for i, word in enumerate(words))
    return [items[place & low] for place in places]


def windows(plan: EpochPlan, lane: int, rows: list[int]) -> list[list[int]]:
    """A lane's rows in windows: the first is shorter the lower the lane's number."""
    head = max(plan.window_rows * (lane + 1) // plan.lanes, 1)
    return [rows[:head]] + [rows[i : i + plan.window_rows] for i in range(head, len(rows), plan.window_rows)]


def shuffled(plan: EpochPlan, lane: int, number: int, rows: list[int]) -> list[int]:
    """One window's rows."""
    own = key(plan.seed, plan.epoch, lane, number)
    if len(rows) < plan.window_rows:
        return permuted(own, rows)
    shift = own % len(rows)
    order = permuted(key(plan.seed, plan.epoch, "lane", lane), range(len(rows)))
    return [rows[order[i - shift]] for i in range(len(rows))]


def oracle(plan: EpochPlan) -> list[int]:
    """The canonical row of each position."""
    canonical: list[list[int]] = []
    for rows in plan.group_rows:
        start = sum(map(len, canonical))
        canonical.append(list(range(start, start + rows)))
    everything = [row for group in canonical for row in group]
    if plan.shuffle and len(everything) <= plan.lanes * plan.window_rows:
        return permuted(key(plan.seed, plan.epoch, "rows"), everything)
    if plan.shuffle:
        canonical = permuted(key(plan.seed, plan.epoch, "groups"), canonical)
    stream = [row for group in canonical for row in group]
    size, longer = divmod(len(stream), plan.lanes)
    lanes: list[list[int]] = []
    for number in range(plan.lanes):
        lane, stream = stream[: size + (number < longer)], stream[size + (number < longer) :]
        parts = windows(plan, number, lane)
        if plan.shuffle:
            parts = [shuffled(plan, number, place, rows) for place, rows in enumerate(parts)]
        lanes.append([row for part in parts for row in part])
    return [lanes[p % plan.lanes][p // plan.lanes] for p in range(plan.rows)]


def share(order: list[int], plan: EpochPlan, first: int, end: int, rank: int, ranks: int) -> list[int]:
    """What a rank is to see of the positions [first, end)."""
    return [order[p] for p in range(first, end) if p % plan.lanes % ranks == rank]


def drawn(draw: random.Random) -> EpochPlan:
    """A random plan: empty and uneven row groups, few and many lanes, small and huge windows."""
    sizes = [draw.choice([0, draw.randint(0, 3), draw.randint(0, 60)]) for _ in range(draw.randint(0, 12))]
    return EpochPlan(
        group_rows=tuple(sizes),
        seed=draw.choice([draw.randint(0, 3), draw.randrange(2**63)]),
        epoch=draw.randint(0, 5),
        lanes=draw.choice([draw.randint(1, 5), draw.randint(1, 48)]),
        window_rows=draw.choice([draw.randint(1, 4), draw.randint(1, 60), 2**30]),
        shuffle=draw.random() < 0.8,
    )


def wrong(plan: EpochPlan, draw: random.Random) -> str:
    """What is wrong with an epoch that is killed up to three times and taken up by other ranks and steps."""
    order, position, seen = oracle(plan), 0, list[int]()
    kills = sorted(draw.randint(0, plan.rows) for _ in range(draw.randint(0, 3)))
    for stop in [*kills, plan.rows]:
        ranks, batch_rows = draw.randint(1, plan.lanes), draw.randint(1, 2 * plan.rows + 2)
        readers = [RowOrder(plan, rank, ranks) for rank in range(ranks)]
        while position < stop:  # a kill loses what was not yet a step
            end = min(position + batch_rows, plan.rows)
            if end > stop:
                break
            for rank, reader in enumerate(readers):
                rows = reader.rows(position, end).tolist()
                if rows != share(order, plan, position, end, rank, ranks):
                    return f"{plan}: rank {rank} of {ranks} has other rows in [{position}, {end})"
                seen += rows
            position = end
        if stop == plan.rows and position < stop:  # the last run goes to the end
            seen += RowOrder(plan, 0, 1).rows(position, stop).tolist()
    return "" if sorted(seen) == list(range(plan.rows)) else f"{plan}: rows were lost or repeated"


def plans(count: int, seed: int) -> list[str]:
    """What is wrong in so many random cases."""
    draw = random.Random(seed)
    return [words for _ in range(count) if (words := wrong(drawn(draw), draw))]
