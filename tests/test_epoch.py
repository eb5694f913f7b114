"""Each row once, in an order that a plain list can tell, whoever reads it and wherever he begins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf import hashing
from binclf.epoch import EpochPlan, check_ranks, checksum, checksum_of_all
from binclf.errors import ConfigError
from binclf.loader import pages
from binclf.loader.order import RowOrder
from tests.laws import examples
from tests.plans import key, oracle, permuted
from tests.plans import plans as random_plans


def rows_between(plan: EpochPlan, first: int, end: int, rank: int, ranks: int) -> list[int]:
    """A rank's rows of the positions [first, end)."""
    return RowOrder(plan, rank, ranks).rows(first, end).tolist()


@st.composite
def plans(draw: st.DrawFn) -> EpochPlan:
    size = st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 40))
    return EpochPlan(
        group_rows=tuple(draw(st.lists(size, max_size=12))),
        seed=draw(st.one_of(st.integers(0, 3), st.integers(0, 2**63 - 1))),
        epoch=draw(st.integers(0, 5)),
        lanes=draw(st.one_of(st.integers(1, 5), st.integers(1, 48))),
        window_rows=draw(st.one_of(st.integers(1, 4), st.integers(1, 60), st.just(2**30))),
        shuffle=draw(st.booleans()),
    )


@st.composite
def shared_plans(draw: st.DrawFn) -> tuple[EpochPlan, int, int]:
    """A plan, ranks W <= L, and rows of a step B, which may be more than all."""
    plan = draw(plans())
    return plan, draw(st.integers(1, plan.lanes)), draw(st.integers(1, 2 * plan.rows + 2))


@examples(150)
@given(plans())
def test_one_rank_reads_what_the_oracle_says(plan: EpochPlan) -> None:
    assert rows_between(plan, 0, plan.rows, 0, 1) == oracle(plan)


@examples(150)
@given(shared_plans())
def test_a_step_has_the_same_rows_for_any_number_of_ranks_each_in_order(
    case: tuple[EpochPlan, int, int],
) -> None:
    plan, ranks, batch_rows = case
    order = oracle(plan)
    assert plan.steps(batch_rows) == len(range(0, len(order), batch_rows))
    seen: list[int] = []
    for step in range(plan.steps(batch_rows)):
        first, end = step * batch_rows, min((step + 1) * batch_rows, plan.rows)
        for rank in range(ranks):
            expected = [order[p] for p in range(first, end) if p % plan.lanes % ranks == rank]
            found = rows_between(plan, first, end, rank, ranks)
            assert found == expected
            seen += found
    assert sorted(seen) == list(range(plan.rows))


@examples(100)
@given(shared_plans(), st.data())
def test_goes_on_from_any_position_with_other_ranks_and_steps(
    case: tuple[EpochPlan, int, int], data: st.DataObject
) -> None:
    plan, ranks, batch_rows = case
    position = data.draw(st.integers(0, plan.rows))
    rest: list[int] = []
    for first in range(position, plan.rows, batch_rows):
        end = min(first + batch_rows, plan.rows)
        shares = [rows_between(plan, first, end, rank, ranks) for rank in range(ranks)]
        rest += [share.pop(0) for p in range(first, end) for share in [shares[p % plan.lanes % ranks]]]
        assert not any(shares)
    assert rest == oracle(plan)[position:]


@examples(150)
@given(shared_plans(), st.data())
def test_no_rank_has_more_of_a_step_than_its_lanes_account_for(
    case: tuple[EpochPlan, int, int], data: st.DataObject
) -> None:
    plan, ranks, batch_rows = case
    first = data.draw(st.integers(0, plan.rows))
    end = min(first + batch_rows, plan.rows)
    shares = [plan.count(end, rank, ranks) - plan.count(first, rank, ranks) for rank in range(ranks)]
    assert sum(shares) == end - first
    assert max(shares) <= -(-plan.lanes // ranks) * -(-(end - first) // plan.lanes)
    assert shares == [len(rows_between(plan, first, end, rank, ranks)) for rank in range(ranks)]


@examples(150)
@given(shared_plans())
def test_a_group_is_owned_by_the_rank_whose_lane_holds_its_first_row(
    case: tuple[EpochPlan, int, int],
) -> None:
    plan, ranks, _ = case
    owners = plan.owners(ranks)
    assert owners.shape == (len(plan.group_rows),)
    assert ((owners >= 0) & (owners < ranks)).all()
    streamed = permuted(key(plan.seed, plan.epoch, "groups"), range(len(plan.group_rows)))
    order = streamed if plan.shuffle else range(len(plan.group_rows))
    size, longer = divmod(plan.rows, plan.lanes)
    lane_of = [lane for lane in range(plan.lanes) for _ in range(size + (lane < longer))]
    begin = 0
    for group in order:
        if plan.group_rows[group]:
            assert owners[group] == lane_of[begin] % ranks
        begin += plan.group_rows[group]


@examples(100)
@given(shared_plans())
def test_visits_are_the_rows_of_each_lane_in_the_order_in_which_windows_need_them(
    case: tuple[EpochPlan, int, int],
) -> None:
    plan, ranks, _ = case
    listed = oracle(plan)
    starts = np.concatenate([[0], np.cumsum(plan.group_rows)])
    for rank in range(ranks):
        visits = plan.visits(rank, ranks)
        assert (np.diff(visits.need) >= 0).all()
        own = range(plan.lanes) if plan.is_small else plan.lanes_of(rank, ranks)
        seen: dict[int, list[int]] = {lane: [] for lane in own}
        for place in np.lexsort((visits.offset, visits.lane)).tolist():
            lane, low = int(visits.lane[place]), int(visits.low[place])
            first = int(starts[visits.group[place]]) + low
            rows = list(range(first, first + int(visits.rows[place])))
            assert first + len(rows) <= starts[visits.group[place] + 1]
            assert int(visits.offset[place]) == len(seen[lane])
            seen[lane] += rows
            # no position before the one at which they are needed has any of them
            positions = [p for p in range(lane, plan.rows, plan.lanes) if listed[p] in set(rows)]
            assert plan.is_small or min(positions) >= visits.need[place]
        if plan.is_small:  # its rows go anywhere, so that each rank may need all row groups at once
            assert sorted(row for rows in seen.values() for row in rows) == sorted(listed)
            assert not visits.need.any()
        else:
            for lane, rows in seen.items():
                assert sorted(rows) == sorted(listed[lane :: plan.lanes])


@examples(100)
@given(shared_plans(), st.integers(1, 9), st.integers(1, 9), st.data())
def test_pages_are_held_as_long_as_windows_need_them_and_as_many_as_foreseen(
    case: tuple[EpochPlan, int, int], page: int, stride: int, data: st.DataObject
) -> None:
    plan, ranks, _ = case
    if plan.is_small:
        return
    listed = oracle(plan)
    where = {row: position for position, row in enumerate(listed)}
    starts = np.concatenate([[0], np.cumsum(plan.group_rows)])
    position = data.draw(st.integers(0, plan.rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE", page)
        patch.setattr(pages, "STRIDE", stride)
        for rank in range(ranks):
            held = pages.Pages.of(plan, rank, ranks, position)
            windows, seen = held.windows, set()
            of = {  # of each position that is not over, its window
                p: number
                for number in range(len(windows.lane))
                for p in range(int(windows.begin[number]), int(windows.after[number]), plan.lanes)
            }
            for place, visit in enumerate(held.visit.tolist()):
                first = starts[held.visits.group[visit]] + held.visits.low[visit]
                first += held.offset[place] - held.visits.offset[visit]
                rows = range(int(first), int(first + held.rows[place]))
                own = [of[where[row]] for row in rows]
                assert held.first[visit] <= min(own) <= max(own) == held.last[place]
                seen |= {where[row] for row in rows}
            assert seen == set(of)
            assert seen >= {p for p in range(position, plan.rows) if p % plan.lanes % ranks == rank}
            assert most_held(held, position) == held.most


def most_held(held: pages.Pages, position: int) -> int:
    """The most pages, counted window by window and stride by stride."""
    windows, opened, most = held.windows, 0, 0
    in_order: list[int] = []  # the positions behind the pages' last rows
    while position < held.plan.rows:
        position = min((position // held.stride + 1) * held.stride, held.plan.rows)
        while opened < len(windows.lane) and windows.begin[opened] < position:
            own = held.consumed[held.laid[opened] : held.laid[opened + 1]].tolist()
            assert own[-1] == windows.after[opened]
            in_order += own
            as_decoded = (held.first[held.visit] <= opened) & (held.last >= opened)
            most = max(most, len(in_order) + int(as_decoded.sum()))
            opened += 1
        in_order = [after for after in in_order if after > position]
    assert opened == len(windows.lane)
    assert not in_order
    return most


def test_random_epochs_killed_and_taken_up_by_other_ranks_see_each_row_once() -> None:
    assert random_plans(150, seed=5) == []


def test_the_random_cases_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    real = RowOrder.rows

    def repeated(self: RowOrder, first: int, end: int) -> np.ndarray:
        rows = real(self, first, end)
        rows[-1:] = rows[:1]
        return rows

    monkeypatch.setattr(RowOrder, "rows", repeated)
    assert len(random_plans(30, seed=5)) > 10


def test_the_order_differs_by_epoch_and_by_seed_and_is_the_files_own_unshuffled() -> None:
    groups = (50, 50)
    orders = {
        tuple(rows_between(EpochPlan(groups, seed, epoch, 4, 10, shuffle=True), 0, 100, 0, 1))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9
    tiny = {tuple(rows_between(EpochPlan((6,), 42, e, 32, 10, shuffle=True), 0, 6, 0, 1)) for e in range(40)}
    assert len(tiny) > 30  # fewer rows than lanes are mixed as well
    plain = EpochPlan(groups, 7, 7, 1, 10, shuffle=False)
    assert rows_between(plain, 0, 100, 0, 1) == list(range(100))


def test_a_huge_epoch_is_planned_without_listing_its_rows() -> None:
    plan = EpochPlan((10**5,) * 100_000, 1, 0, 48, 16384, shuffle=True)
    assert plan.rows == 10**10
    rows = RowOrder(plan, 3, 48).rows(10**10 - 5000, 10**10)
    assert 0 <= rows.min() <= rows.max() < 10**10
    assert 100 < len(rows) < 110


def test_permutation_is_frozen_for_ever() -> None:
    assert hashing.permutation(7, 10).tolist() == GOLDEN_PERMUTATION
    assert hashing.permutation(hashing.key(42, 3, "groups"), 6).tolist() == GOLDEN_GROUPS


def test_a_small_plan_is_frozen_for_ever() -> None:
    plan = EpochPlan((3, 0, 5, 4), 42, 1, 3, 2, shuffle=True)
    assert rows_between(plan, 0, 12, 0, 1) == GOLDEN_PLAN
    assert plan.owners(3).tolist() == GOLDEN_OWNERS


GOLDEN_PERMUTATION = [9, 0, 5, 1, 7, 4, 2, 3, 8, 6]
GOLDEN_GROUPS = [5, 4, 2, 1, 0, 3]
GOLDEN_PLAN = [0, 9, 5, 2, 10, 4, 1, 11, 7, 8, 3, 6]
GOLDEN_OWNERS = [0, 2, 1, 0]


@examples(100)
@given(st.integers(2, 200), st.data())
def test_the_checksum_tells_a_lost_a_repeated_and_a_swapped_row(rows: int, data: st.DataObject) -> None:
    every = np.array(data.draw(st.permutations(range(rows))), dtype=np.int64)
    good = checksum_of_all(rows)
    assert checksum(every) == good
    place = data.draw(st.integers(0, rows - 1))
    assert checksum(np.delete(every, place)) != good
    assert checksum(np.append(every, every[place])) != good
    swapped = every.copy()
    swapped[place] = every[place - 1]
    assert checksum(swapped) != good
    half = data.draw(st.integers(0, rows))
    assert (checksum(every[:half]) + checksum(every[half:])) % 2**64 == good


def test_the_checksum_is_the_sum_of_the_words_that_it_says() -> None:
    rows = [0, 1, 2, 5, 10**10, 2**62 + 1]
    words = [(row + 1) * 0x9E3779B97F4A7C15 % 2**64 for row in rows]
    expected = sum(word + 2 * word * (word ^ 0xD1B54A32D192ED03) for word in words) % 2**64
    assert checksum(np.array(rows, dtype=np.int64)) == expected


def test_the_checksum_tells_faults_whose_sums_and_squares_agree() -> None:
    for lost, repeated in (([1, 4], [2, 3]), ([1, 5, 6], [2, 3, 7]), ([0, 3, 5, 6], [1, 2, 4, 7])):
        for shift in range(0, 10**6, 1009):
            one, other = (checksum(np.array(rows, dtype=np.int64) + shift) for rows in (lost, repeated))
            assert one != other


def test_every_row_has_a_word_of_its_own() -> None:
    words = {checksum(np.array([row])) for row in range(50_000)}
    assert len(words) == 50_000
    assert 0 not in words


def test_the_checksum_of_all_rows_is_that_of_their_numbers_across_chunks() -> None:
    rows = 2**20 + 3
    assert checksum_of_all(rows) == checksum(np.arange(rows, dtype=np.int64))
    assert checksum_of_all(0) == 0


def test_more_ranks_than_lanes_are_refused_with_the_way_out() -> None:
    check_ranks(4, 4)
    with pytest.raises(ConfigError, match=r"5 ranks cannot share 4 lanes: set train.lanes to 5 or more"):
        check_ranks(5, 4)
