"""The one order in which uploads wait for anything that they share: by bytes between groups, by priority within one.

The queue is pure: no clock and no event loop; the items are whatever its owner waits with. On whose behalf a task works
is a context variable, which all tasks of an upload inherit: so connections and limits far below need not be told.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Hashable
from contextvars import ContextVar
from typing import Generic, TypeVar

import attrs

T = TypeVar("T", bound=Hashable)

#: Of so many turns of a group at least one goes to the lowest priority that waits in it.
CYCLE = 8


@attrs.frozen
class Turn:
    """On whose behalf somebody waits.

    Attributes:
        group: whose upload it is; None is a group like any other.
        priority: higher goes first, within the group.
    """

    group: str | None = None
    priority: int = 0


#: On whose behalf this task works.
current_turn: ContextVar[Turn] = ContextVar("current_turn", default=Turn())  # noqa: B039 - frozen


class FairQueue(Generic[T]):
    """Items that wait their turn. Each may be in the queue once.

    Between groups this is deficit round robin with the smallest quantum: the group that has been given the fewest
    bytes is next. A larger quantum would be spent in one go by a group with many items, while a group whose only
    item comes back after each turn forfeits the rest of its own. A group that was away has saved nothing: it starts
    level with the group that is served now. So between two groups that both wait all the time the bytes differ by at
    most the largest cost of each, apart from what was charged.

    Within a group the highest priority is next, and first come, first served among equals. Of any `CYCLE` turns of a
    group the last goes to its lowest priority at the latest; where priorities lie in between, one more goes to the
    item of these that has waited longest, so that nothing waits forever.

    All operations take O(log n) steps, but for the turn that looks at the priorities in between.
    """

    def __init__(self) -> None:
        self._groups: dict[str | None, _Group[T]] = {}
        #: One entry for each known group: (bytes given, order of entry, name). The first may be less than by now.
        self._order: list[tuple[int, int, str | None]] = []
        self._entries = 0
        #: The bytes that the group that was served last had been given before.
        self._level = 0
        self._turns: dict[T, Turn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def __contains__(self, item: object) -> bool:
        return item in self._turns

    def push(self, turn: Turn, item: T, cost: int) -> None:
        """Let an item wait.

        Args:
            turn: on whose behalf.
            item: not in the queue yet.
            cost: the bytes that its turn will take; at least 1.

        Raises:
            ValueError: it waits already, or costs nothing.
        """
        if item in self._turns:
            raise ValueError("the item is in the queue already")
        if cost < 1:
            raise ValueError(f"a turn must cost at least 1, not {cost}")
        group = self._group(turn.group)
        if not group.waiting:
            group.given = max(group.given, self._level)
        group.push(turn.priority, item, cost, self._next_entry())
        self._turns[item] = turn

    def pop(self) -> T:
        """Take the item whose turn it is; its cost is charged to its group.

        Raises:
            IndexError: nobody waits.
        """
        while self._turns:
            group = self._take_least()
            if not group.waiting:
                # All who wait have been given as much by now: nothing is left to be made up for.
                del self._groups[group.name]
                continue
            item, cost = group.pop()
            group.given += cost
            self._enter(group)
            del self._turns[item]
            self._forget_one()
            return item
        raise IndexError("pop from an empty queue")

    def remove(self, item: T) -> bool:
        """Take an item out of the queue before its turn; nothing is charged.

        Returns:
            Whether it was there.
        """
        turn = self._turns.pop(item, None)
        if turn is None:
            return False
        self._groups[turn.group].remove(turn.priority, item)
        return True

    def charge(self, turn: Turn, cost: int) -> None:
        """Count bytes that a group was given without waiting for them, such as those of a hedge.

        Args:
            turn: on whose behalf.
            cost: the bytes; at least 0.

        Raises:
            ValueError: the cost is negative.
        """
        if cost < 0:
            raise ValueError(f"a charge must not be negative: {cost}")
        group = self._group(turn.group)
        group.given = max(group.given, self._level) + cost
        self._forget_one()

    def _group(self, name: str | None) -> _Group[T]:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(name, self._level)
            self._enter(group)
        return group

    def _take_least(self) -> _Group[T]:
        """Take the group that was given the least out of the order; its bytes are the new level."""
        while True:
            given, _, name = heapq.heappop(self._order)
            group = self._groups[name]
            if group.given == given:
                self._level = max(self._level, given)
                return group
            self._enter(group)

    def _forget_one(self) -> None:
        """When nobody waits, the group with the least to make up for is let off: so groups that never meet any other
        do not pile up."""
        if not self._turns and len(self._groups) > 1:
            del self._groups[self._take_least().name]

    def _enter(self, group: _Group[T]) -> None:
        heapq.heappush(self._order, (group.given, self._next_entry(), group.name))

    def _next_entry(self) -> int:
        self._entries += 1
        return self._entries


class _Group(Generic[T]):
    """The items of one group, by priority."""

    def __init__(self, name: str | None, given: int) -> None:
        self.name = name
        #: Bytes, counted from where the queue began; more by the level at which the group came.
        self.given = given
        self._priorities: list[int] = []
        #: By priority: each item with its cost and the order of its entry.
        self._levels: dict[int, OrderedDict[T, tuple[int, int]]] = {}
        #: Turns in a row that did not go to the lowest priority, and to one in between.
        self._lowest_passed = 0
        self._middle_passed = 0

    @property
    def waiting(self) -> bool:
        return bool(self._priorities)

    def push(self, priority: int, item: T, cost: int, entry: int) -> None:
        if priority not in self._levels:
            insort(self._priorities, priority)
            self._levels[priority] = OrderedDict()
        self._levels[priority][item] = (cost, entry)

    def pop(self) -> tuple[T, int]:
        priority = self._next_priority()
        self._lowest_passed = 0 if priority == self._priorities[0] else self._lowest_passed + 1
        between = self._priorities[0] < priority < self._priorities[-1]
        self._middle_passed = 0 if between or len(self._priorities) < 3 else self._middle_passed + 1
        level = self._levels[priority]
        item, (cost, _) = level.popitem(last=False)
        self._drop_if_empty(priority)
        return item, cost

    def remove(self, priority: int, item: T) -> None:
        del self._levels[priority][item]
        self._drop_if_empty(priority)

    def _next_priority(self) -> int:
        if self._lowest_passed >= CYCLE - 1:
            return self._priorities[0]
        between = self._priorities[1:-1] if self._middle_passed >= CYCLE - 1 else ()
        return min(between, key=self._oldest_entry, default=self._priorities[-1])

    def _oldest_entry(self, priority: int) -> int:
        _, entry = next(iter(self._levels[priority].values()))
        return entry

    def _drop_if_empty(self, priority: int) -> None:
        if not self._levels[priority]:
            del self._levels[priority]
            del self._priorities[bisect_left(self._priorities, priority)]
