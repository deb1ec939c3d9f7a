"""Going through lists that are short, wrongly counted, or change meanwhile: every entry once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async._listing import pages, pages_of_some
from iqiyi_async.models import Video, VideoPage, VideoState

pytestmark = pytest.mark.anyio


@attrs.define
class Listing:
    """A service's list: what it holds, and its ways.

    Attributes:
        ids: the videos, in order.
        page_size: how many are asked for.
        cap: how many it gives at most.
        hidden: videos that count and take a place, and are not shown.
        count: what it says that there are, from all of them and from those on the page.
        chosen_late: ids are chosen after the list was cut into pages.
        ignored: no ids are chosen: all videos are given.
    """

    ids: list[str]
    page_size: int = 10
    cap: int = 100
    hidden: frozenset[str] = frozenset()
    count: Callable[[int, int], int] = lambda total, shown: total
    chosen_late: bool = False
    ignored: bool = False
    chosen: tuple[str, ...] | None = None
    asked: int = 0

    async def look(self, page: int) -> VideoPage:
        self.asked += 1
        assert self.asked < 1000, "it never ends"
        unit = min(self.page_size, self.cap)
        early = self.chosen is not None and not self.chosen_late and not self.ignored
        ids = [each for each in self.ids if not early or each in (self.chosen or ())]
        shown = [each for each in ids[(page - 1) * unit : page * unit] if each not in self.hidden]
        if self.chosen is not None and not self.ignored:
            shown = [each for each in shown if each in self.chosen]
        rows = tuple(video(each) for each in shown)
        return VideoPage(rows, self.count(len(self.ids), len(shown)), page, self.page_size)


def video(file_id: str) -> Video:
    return Video(file_id, "", "", 1, VideoState.PUBLISHED, None, 0, 0.0, None, None, None, None)


def names(number: int) -> list[str]:
    return [f"f{each}" for each in range(number)]


COUNTS: dict[str, Callable[[int, int], int]] = {
    "all": lambda total, shown: total,
    "the page": lambda total, shown: shown,
    "nothing": lambda total, shown: 0,
    "far too many": lambda total, shown: 10**9,
    "far too few": lambda total, shown: total // 2,
}


@pytest.mark.parametrize("count", [name for name in COUNTS if name != "far too few"])
@pytest.mark.parametrize(
    ("number", "size", "cap"), [(250, 100, 100), (60, 100, 50), (30, 10, 10), (1, 1, 1), (0, 5, 5)]
)
async def test_every_way_to_count(count: str, number: int, size: int, cap: int) -> None:
    listing = Listing(names(number), page_size=size, cap=cap, count=COUNTS[count])
    assert [each.file_id async for each in pages(listing.look)] == names(number)


async def test_short_pages_go_on() -> None:
    listing = Listing(names(30), hidden=frozenset({"f3", "f13", "f23"}))
    assert len([each async for each in pages(listing.look)]) == 27


async def test_no_request_too_many_where_the_count_is_right() -> None:
    listing = Listing(names(30))
    assert len([each async for each in pages(listing.look)]) == 30
    assert listing.asked == 3


@given(size=st.integers(1, 12), moves=st.lists(st.sampled_from(["delete", "add", "stay"]), max_size=60))
async def test_videos_that_come_in_do_not_hide_those_that_go(size: int, moves: list[str]) -> None:
    """An upload beside a loop that deletes what it meets: the count stays as it was, and entries move all the same."""
    listing = Listing(names(40), page_size=size)
    met: list[str] = []
    left = iter(moves)
    async for each in pages(listing.look):
        met.append(each.file_id)
        move = next(left, "stay")
        if move == "delete":
            listing.ids.remove(each.file_id)
        elif move == "add":
            listing.ids.insert(0, f"new{len(met)}")
    assert len(met) == len(set(met))
    assert set(names(40)) <= set(met)


@pytest.mark.parametrize("count", ["the page", "nothing"])
async def test_without_a_count_the_list_is_read_twice(count: str) -> None:
    listing = Listing(names(250), page_size=100, count=COUNTS[count])
    assert len([each async for each in pages(listing.look)]) == 250
    assert listing.asked == 2 * 4


async def test_a_service_that_repeats_one_page_without_a_count_is_left() -> None:
    async def look(page: int) -> VideoPage:
        assert page < 10
        return VideoPage((video("a"), video("b")), 0, page, 2)

    assert [each.file_id async for each in pages(look)] == ["a", "b"]


async def test_a_service_that_repeats_one_page_is_left() -> None:
    async def look(page: int) -> VideoPage:
        assert page < 10
        return VideoPage((video("a"), video("b")), 10**6, page, 2)

    assert [each.file_id async for each in pages(look)] == ["a", "b"]


@given(
    number=st.integers(0, 60),
    size=st.integers(1, 12),
    cap=st.integers(1, 12),
    gone=st.sets(st.integers(0, 59)),
    at_once=st.booleans(),
    count=st.sampled_from(["all", "the page", "nothing"]),
)
async def test_deleting_in_the_loop_loses_none(
    number: int, size: int, cap: int, gone: set[int], at_once: bool, count: str
) -> None:
    """Whatever is deleted of what was met, at once or after the page, however the service counts: each video is met
    once."""
    listing = Listing(names(number), page_size=size, cap=cap, count=COUNTS[count])
    met: list[str] = []
    waiting: list[str] = []
    async for each in pages(listing.look):
        met.append(each.file_id)
        if int(each.file_id[1:]) in gone:
            waiting.append(each.file_id)
        if at_once or len(waiting) > 7:
            for name in waiting:
                listing.ids.remove(name)
            waiting.clear()
    assert sorted(met) == sorted(names(number))


@given(st.integers(0, 60), st.integers(1, 12), st.sampled_from(sorted(COUNTS)), st.sets(st.integers(0, 59)))
async def test_some_ids(number: int, size: int, count: str, some: set[int]) -> None:
    chosen = (*(f"f{each}" for each in some if each < number), "absent")
    listing = Listing(names(number), page_size=size, count=COUNTS[count], chosen=chosen)
    found = [each.file_id async for each in pages_of_some(listing.look, chosen)]
    assert sorted(found) == sorted(set(chosen) - {"absent"})


@pytest.mark.parametrize("first", [0, 10, 95, 240])
async def test_ids_of_which_the_first_page_has_none(first: int) -> None:
    chosen = tuple(names(250)[first : first + 10])
    listing = Listing(names(250), page_size=10, chosen=chosen, chosen_late=True)
    assert [each.file_id async for each in pages_of_some(listing.look, chosen)] == list(chosen)


async def test_a_service_that_chooses_no_ids() -> None:
    """It gives all videos: the ones that were asked for are found among them, and no others are given."""
    listing = Listing(names(250))
    found = [each.file_id async for each in pages_of_some(listing.look, ("f5", "f117", "f249"))]
    assert found == ["f5", "f117", "f249"]


@pytest.mark.parametrize("count", [name for name in COUNTS if name != "far too few"])
@pytest.mark.parametrize(("size", "cap"), [(100, 30), (10, 100), (20, 7)])
async def test_a_service_that_chooses_no_ids_and_caps_its_pages_or_counts_wrongly(
    count: str, size: int, cap: int
) -> None:
    chosen = (*names(250)[150:160], "f249", "absent")
    listing = Listing(names(250), page_size=size, cap=cap, count=COUNTS[count], ignored=True, chosen=chosen)
    assert [each.file_id async for each in pages_of_some(listing.look, chosen)] == list(chosen[:-1])


async def test_a_service_that_repeats_one_page_is_left_whatever_ids_are_missing() -> None:
    async def look(page: int) -> VideoPage:
        assert page < 10
        return VideoPage((video("a"), video("b")), 10**6, page, 2)

    assert [each.file_id async for each in pages_of_some(look, ("b", "absent"))] == ["b"]


async def test_an_unknown_id_ends() -> None:
    listing: Any = Listing(names(10**6), page_size=100, chosen=("absent",))
    assert [each async for each in pages_of_some(listing.look, ("absent",))] == []
    assert listing.asked <= 100
