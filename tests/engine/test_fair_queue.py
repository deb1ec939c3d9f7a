"""The fair queue: shares by bytes between groups, priorities within one, and nobody waits for ever."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async._fair_queue import CYCLE, FairQueue, Turn

MIB = 1 << 20

groups = st.sampled_from([None, "a", "b", "c"])
priorities = st.integers(-2, 2)
turns = st.builds(Turn, groups, priorities)
costs = st.integers(1, 4 * MIB)


def drained(queue: FairQueue[int]) -> list[int]:
    return [queue.pop() for _ in range(len(queue))]


class Work:
    """A queue that never runs dry: what was served comes again."""

    def __init__(self) -> None:
        self.queue: FairQueue[int] = FairQueue()
        self.waiting: dict[int, tuple[Turn, int]] = {}
        self.bytes: Counter[str | None] = Counter()
        self._made = 0

    def add(self, turn: Turn, cost: int, times: int = 1) -> None:
        for _ in range(times):
            self._made += 1
            self.waiting[self._made] = (turn, cost)
            self.queue.push(turn, self._made, cost)

    def serve(self, again: Callable[[], int] | None = None) -> Turn:
        turn, cost = self.waiting.pop(self.queue.pop())
        self.bytes[turn.group] += cost
        self.add(turn, cost if again is None else again())
        return turn


def test_first_come_first_served_among_equals() -> None:
    queue: FairQueue[int] = FairQueue()
    for item in range(100):
        queue.push(Turn(), item, 1 + item % 7)
    assert drained(queue) == list(range(100))


def test_an_empty_queue() -> None:
    queue: FairQueue[int] = FairQueue()
    with pytest.raises(IndexError):
        queue.pop()
    queue.charge(Turn("a"), 10)
    with pytest.raises(IndexError):
        queue.pop()
    assert not queue.remove(1)


def test_what_can_not_wait() -> None:
    queue: FairQueue[int] = FairQueue()
    queue.push(Turn(), 1, 1)
    with pytest.raises(ValueError, match="already"):
        queue.push(Turn("a"), 1, 1)
    for cost in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            queue.push(Turn(), 2, cost)
    with pytest.raises(ValueError, match="negative"):
        queue.charge(Turn(), -1)
    assert len(queue) == 1
    assert 1 in queue
    assert 2 not in queue


def test_groups_alternate() -> None:
    work = Work()
    work.add(Turn("films"), 4 * MIB, 50)
    work.add(Turn("clip"), 4 * MIB, 1)
    assert [work.serve().group for _ in range(6)] == ["films", "clip"] * 3


def test_no_group_is_a_group() -> None:
    work = Work()
    work.add(Turn(None), 10, 5)
    work.add(Turn("a"), 10, 1)
    work.add(Turn("b"), 10, 3)
    served = Counter(work.serve().group for _ in range(300))
    assert served == {None: 100, "a": 100, "b": 100}


def test_shares_are_of_bytes_not_of_turns() -> None:
    work = Work()
    work.add(Turn("large"), 4 * MIB, 3)
    work.add(Turn("small"), 64 * 1024, 3)
    for _ in range(65 * 50):
        work.serve()
    assert abs(work.bytes["large"] - work.bytes["small"]) <= 4 * MIB + 64 * 1024


def test_a_group_that_was_away_has_saved_nothing() -> None:
    work = Work()
    work.add(Turn("long"), 100)
    for _ in range(1000):
        work.serve()
    work.add(Turn("new"), 100, 5)
    assert Counter(work.serve().group for _ in range(20)) == {"long": 10, "new": 10}


def test_a_group_whose_only_item_comes_back_has_its_share() -> None:
    """An upload stands in the queue once, and not while its range is sent."""
    queue: FairQueue[str] = FairQueue()
    for number in range(50):
        queue.push(Turn("many"), f"many {number}", 10)
    queue.push(Turn("one"), "one", 10)
    served = []
    for _ in range(40):
        served.append(item := queue.pop())
        if item == "one":
            queue.push(Turn("one"), "one", 10)
    assert served.count("one") == 20


def test_what_is_charged_is_made_up_for() -> None:
    work = Work()
    work.add(Turn("hedges"), 10)
    work.add(Turn("plain"), 10)
    work.queue.charge(Turn("hedges"), 100)
    assert Counter(work.serve().group for _ in range(12)) == {"hedges": 1, "plain": 11}
    assert Counter(work.serve().group for _ in range(20)) == {"hedges": 10, "plain": 10}


def test_what_was_charged_to_a_group_that_does_not_wait_is_not_forgotten() -> None:
    work = Work()
    work.add(Turn("plain"), 10)
    work.serve()
    work.queue.charge(Turn("hedges"), 50)
    work.add(Turn("hedges"), 10)
    served = [work.serve().group for _ in range(8)]
    assert served[:4] == ["plain"] * 4
    assert "hedges" in served[4:]


def test_a_higher_priority_goes_first_and_only_within_its_group() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(3):
        queue.push(Turn("a", 0), f"low {number}", 1)
    for number in range(3):
        queue.push(Turn("a", 9), f"high {number}", 1)
    queue.push(Turn("b", -5), "other", 1)
    order = [queue.pop() for _ in range(7)]
    assert order.index("other") <= 1
    assert [each for each in order if each != "other"] == ["high 0", "high 1", "high 2", "low 0", "low 1", "low 2"]


def test_the_last_of_eight_turns_is_the_lowest_priority_s() -> None:
    work = Work()
    work.add(Turn(priority=5), 10, 3)
    work.add(Turn(priority=0), 10)
    assert [work.serve().priority for _ in range(16)] == [*[5] * 7, 0, *[5] * 7, 0]


def test_priorities_in_between_are_not_starved_either() -> None:
    work = Work()
    for priority in range(5):
        work.add(Turn(priority=priority), 10, 2)
    served = Counter(work.serve().priority for _ in range(8 * 30))
    assert served[0] >= 30
    assert served[4] >= 5 * 30
    assert all(served[priority] >= 5 for priority in (1, 2, 3))


def test_turns_that_were_taken_before_a_lower_priority_came_do_not_count() -> None:
    work = Work()
    work.add(Turn(priority=5), 10)
    for _ in range(100):
        work.serve()
    for priority in (1, 0):
        work.add(Turn(priority=priority), 10)
    assert [work.serve().priority for _ in range(7)] == [5] * 7


@given(st.lists(st.tuples(turns, costs), max_size=60), st.data())
def test_everything_comes_out_once_but_what_was_removed(entries: list[tuple[Turn, int]], data: st.DataObject) -> None:
    queue: FairQueue[int] = FairQueue()
    for item, (turn, cost) in enumerate(entries):
        queue.push(turn, item, cost)
    removed = data.draw(st.sets(st.sampled_from(range(len(entries))))) if entries else set()
    assert all(queue.remove(item) for item in removed)
    assert not any(queue.remove(item) for item in removed)
    assert len(queue) == len(entries) - len(removed)
    assert sorted(drained(queue)) == sorted(set(range(len(entries))) - removed)


@given(st.lists(st.one_of(st.tuples(turns, costs), st.just("pop"), st.just("remove")), max_size=200), st.data())
def test_of_any_eight_turns_of_a_group_one_is_the_lowest_priority_s(steps: list[object], data: st.DataObject) -> None:
    queue: FairQueue[int] = FairQueue()
    waiting: dict[int, Turn] = {}
    lowest: dict[str | None, list[bool]] = defaultdict(list)
    for item, step in enumerate(steps):
        if isinstance(step, tuple):
            turn, cost = step
            queue.push(turn, item, cost)
            waiting[item] = turn
        elif waiting and step == "remove":
            gone = data.draw(st.sampled_from(sorted(waiting)))
            assert queue.remove(gone)
            del waiting[gone]
        elif waiting:
            served = queue.pop()
            group = waiting[served].group
            least = min(turn.priority for turn in waiting.values() if turn.group == group)
            lowest[group].append(waiting.pop(served).priority == least)
    for turns_of_group in lowest.values():
        for start in range(len(turns_of_group) - CYCLE + 1):
            assert any(turns_of_group[start : start + CYCLE])


@given(st.dictionaries(groups, st.tuples(st.integers(1, 5), costs), min_size=2), st.integers(50, 300))
def test_groups_that_all_wait_differ_by_little(shapes: dict[str | None, tuple[int, int]], rounds: int) -> None:
    work = Work()
    for group, (items, cost) in shapes.items():
        work.add(Turn(group), cost, items)
    for _ in range(rounds):
        work.serve()
    for one, (_, cost) in shapes.items():
        for other, (_, other_cost) in shapes.items():
            assert abs(work.bytes[one] - work.bytes[other]) <= cost + other_cost


@given(st.lists(turns, min_size=1, max_size=12), st.data())
def test_nobody_is_starved(others: list[Turn], data: st.DataObject) -> None:
    """Whatever its priority and group, an item is served, though every other one that was served comes again."""
    work = Work()
    for turn in others:
        work.add(turn, data.draw(st.integers(1, 4)))
    mine = data.draw(turns)
    work.queue.push(mine, -1, 4)
    work.waiting[-1] = (mine, 4)
    for _ in range(2_000):
        work.serve()
        if -1 not in work.waiting:
            return
    pytest.fail("it still waits")


def test_what_has_gone_leaves_nothing_behind() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(10_000):
        queue.push(Turn(f"user {number}"), number, 10)
        queue.push(Turn("always"), -1, 10)
        queue.charge(Turn(f"user {number}"), 10)
        assert {queue.pop(), queue.pop()} == {number, -1}
    assert len(queue._groups) < 10
    assert len(queue._order) < 10


def test_groups_that_never_meet_leave_nothing_behind() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(1000):
        queue.push(Turn(f"user {number}"), number, 10)
        assert queue.pop() == number
        queue.charge(Turn(f"other user {number}"), 1 + number % 7)
    assert len(queue._groups) < 10
    assert len(queue._order) < 10


def test_ten_thousand_groups_take_little_time() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(20_000):
        queue.push(Turn(f"user {number % 10_000}", number % 3), number, 1 + number % 4096)
    began = time.process_time()
    assert len(drained(queue)) == 20_000
    assert time.process_time() - began < 5
