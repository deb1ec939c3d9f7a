"""The poller of all who wait for publication: what it asks, how often, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from iqiyi_async import (
    AuthorizationError,
    PlayUrls,
    ServiceError,
    TransportError,
    Video,
    VideoCloudError,
    VideoPage,
    VideoState,
    VideoStatus,
)
from iqiyi_async._publication import Publication

from .tools import in_time

pytestmark = pytest.mark.anyio

NO_URLS = PlayUrls({}, {}, datetime(2026, 1, 1, tzinfo=UTC))


class Videos:
    """A service with videos in states, and a clock that sleeping moves on.

    Attributes:
        states: by file_id; what is not here is absent.
        listed: by file_id: what the list says of it, if it has it although it is not published, or says it otherwise.
        errors: by file_id: what a look at it raises; under "" what a page raises.
        rounds: what was asked between two sleeps.
    """

    def __init__(self, states: dict[str, VideoState]) -> None:
        self.states = states
        self.listed: dict[str, VideoState] = {}
        self.errors: dict[str, VideoCloudError] = {}
        self.now = 0.0
        self.rounds: list[Counter[str]] = [Counter()]
        self.waits: list[float] = []
        self.looks: list[str] = []
        self.publication = Publication(
            self.status, self.page, patience=600.0, sleep=self.sleep, clock=lambda: self.now, random=lambda: 0.5
        )

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.waits.append(seconds)
        self.now += seconds
        self.rounds.append(Counter())
        self.at_round(len(self.rounds))

    def at_round(self, number: int) -> None:
        """What happens at the service."""

    async def status(self, file_id: str) -> VideoStatus:
        self.rounds[-1]["status"] += 1
        self.looks.append(file_id)
        await asyncio.sleep(0)
        if file_id in self.errors:
            raise self.errors[file_id]
        return VideoStatus(file_id, self.states.get(file_id, VideoState.ABSENT), "A", "", NO_URLS)

    async def page(self, file_ids: tuple[str, ...]) -> VideoPage:
        assert 0 < len(file_ids) <= 100
        self.rounds[-1]["pages"] += 1
        await asyncio.sleep(0)
        if "" in self.errors:
            raise self.errors[""]
        shown = [each for each in file_ids if self.states.get(each) is VideoState.PUBLISHED or each in self.listed]
        self.rounds[-1]["turned up"] += len(shown)
        rows = tuple(
            Video(each, "", "", 1, self.listed.get(each, VideoState.PUBLISHED), None, 0, 0.0, None, None, None, None)
            for each in shown
        )
        return VideoPage(rows, len(self.states), 1, 100)

    async def ended(self, file_ids: list[str], timeout: float | None = None) -> list[tuple[str, VideoState]]:
        return [(status.file_id, status.state) async for status in self.publication.ended(file_ids, timeout)]


def names(number: int) -> list[str]:
    return [f"f{each}" for each in range(number)]


async def test_five_thousand_who_wait() -> None:
    """At most 60 requests a round beside one look for each that turned up, which is seen within one interval."""
    ids = names(5000)
    videos = Videos(dict.fromkeys(ids, VideoState.PUBLISHING))

    def some_more(number: int) -> None:
        for each in ids[(number - 2) * 500 : (number - 1) * 500]:
            videos.states[each] = VideoState.PUBLISHED

    videos.at_round = some_more  # type: ignore[method-assign]
    waiting = [asyncio.ensure_future(videos.ended(ids[part::50])) for part in range(50)]
    ended = [each for part in await in_time(asyncio.gather(*waiting), 30) for each in part]
    assert sorted(ended) == sorted((each, VideoState.PUBLISHED) for each in ids)
    asked = [each for each in videos.rounds if each]
    assert asked[0] == {"pages": 50, "status": 10, "turned up": 0}
    for each in asked:
        assert each["pages"] + each["status"] - each["turned up"] <= 60
    assert max(videos.looks.count(each) for each in ids[::500]) <= 2
    assert max(videos.waits) <= 15 * 1.1


async def test_an_entry_that_does_not_say_its_state_is_looked_at_when_it_turns_up() -> None:
    ids = names(200)
    videos = Videos(dict.fromkeys(ids, VideoState.PUBLISHING))

    def publish(number: int) -> None:
        if number == 4:
            videos.states |= dict.fromkeys(ids, VideoState.PUBLISHED)
            videos.listed |= dict.fromkeys(ids, VideoState.UNKNOWN)

    videos.at_round = publish  # type: ignore[method-assign]
    assert len(await in_time(videos.ended(ids))) == 200
    assert len([each for each in videos.rounds if each]) == 4


async def test_one_that_is_published_before_its_review_is_not_looked_at_in_each_round() -> None:
    ids = names(200)
    videos = Videos(dict.fromkeys(ids, VideoState.PUBLISHING))
    videos.listed |= dict.fromkeys(ids, VideoState.PUBLISHING)

    def publish(number: int) -> None:
        if number == 5:
            videos.states |= dict.fromkeys(ids, VideoState.PUBLISHED)
            videos.listed.clear()

    videos.at_round = publish  # type: ignore[method-assign]
    assert len(await in_time(videos.ended(ids))) == 200
    assert [each["status"] for each in videos.rounds if each] == [200, 10, 10, 10, 200]


async def test_failed_ones_are_noticed_ten_a_round_and_the_least_recently_looked_at_first() -> None:
    ids = names(35)
    videos = Videos(dict.fromkeys(ids, VideoState.PUBLISHING))

    def fail(number: int) -> None:
        if number == 5:
            assert sorted(videos.looks) == sorted([*ids, *videos.looks[:5]]), "each once before any is looked at twice"
            for each in ids:
                videos.states[each] = VideoState.REVIEW_FAILED

    videos.at_round = fail  # type: ignore[method-assign]
    assert sorted(await in_time(videos.ended(ids))) == sorted((each, VideoState.REVIEW_FAILED) for each in ids)
    assert [each["status"] for each in videos.rounds if each][:4] == [10, 10, 10, 10]


async def test_a_few_need_no_pages() -> None:
    videos = Videos({"a": VideoState.PUBLISHED, "b": VideoState.PUBLISHING})
    videos.at_round = lambda number: videos.states.update(b=VideoState.PUBLISHED)  # type: ignore[method-assign]
    assert await in_time(videos.ended(["a", "b", "a", "gone"])) == [
        ("a", VideoState.PUBLISHED),
        ("gone", VideoState.ABSENT),
        ("b", VideoState.PUBLISHED),
    ]
    assert sum(videos.rounds, Counter()) == {"status": 4}


async def test_looks_become_rarer() -> None:
    videos = Videos({"a": VideoState.UPLOADING})
    videos.at_round = lambda number: (number > 12 and videos.states.clear()) or None  # type: ignore[method-assign]
    assert await in_time(videos.ended(["a"])) == [("a", VideoState.ABSENT)]
    assert videos.waits[:3] == [0.5, 0.75, 1.125]
    assert videos.waits[-1] == 15.0


async def test_who_waits_for_the_same_video_looks_once() -> None:
    videos = Videos({"a": VideoState.PUBLISHED})
    assert len(await in_time(asyncio.gather(*(videos.ended(["a"]) for _ in range(20))))) == 20
    assert videos.looks == ["a"]


async def test_the_time_is_over_after_what_ended() -> None:
    videos = Videos({"a": VideoState.PUBLISHED, "b": VideoState.PUBLISHING})
    ended = []
    with pytest.raises(TimeoutError, match=r"^1 of 2 videos are not published after 0 s, b first$"):
        async for status in videos.publication.ended(["b", "a"], 0):
            ended.append(status.file_id)  # noqa: PERF401 - it ends with an error
    assert ended == ["a"]
    assert videos.looks == ["b", "a"]


async def test_failed_looks_are_outlived_for_the_patience() -> None:
    videos = Videos({"a": VideoState.PUBLISHED})
    videos.errors = {"a": TransportError("cut", sent=True)}
    videos.at_round = lambda number: (videos.now > 500 and videos.errors.clear()) or None  # type: ignore[method-assign]
    assert await in_time(videos.ended(["a"])) == [("a", VideoState.PUBLISHED)]
    videos.errors = {"a": TransportError("cut", sent=True)}
    videos.at_round = lambda number: None  # type: ignore[method-assign]
    before = videos.now
    with pytest.raises(TransportError):
        await in_time(videos.ended(["a"]))
    assert 600 <= videos.now - before < 620


async def test_one_that_can_not_be_looked_at_costs_no_other() -> None:
    videos = Videos(dict.fromkeys(names(30), VideoState.PUBLISHED))
    videos.errors = {"f7": ServiceError("no", code="Q00001")}
    ended = []
    with pytest.raises(ServiceError):
        async for status in videos.publication.ended(names(30), None):
            ended.append(status.file_id)  # noqa: PERF401 - it ends with an error
    assert sorted(ended) == sorted(set(names(30)) - {"f7"})


async def test_a_refusal_of_the_application_ends_all() -> None:
    videos = Videos(dict.fromkeys(names(30), VideoState.PUBLISHING))
    videos.errors = {"": AuthorizationError("frozen", code="A00008")}
    with pytest.raises(AuthorizationError):
        await in_time(videos.ended(names(30)))


async def test_a_list_that_is_broken_leaves_single_looks() -> None:
    videos = Videos(dict.fromkeys(names(30), VideoState.PUBLISHED))
    videos.errors = {"": ServiceError("no", code="Q00001")}
    assert len(await in_time(videos.ended(names(30)))) == 30


async def test_nobody_waits_any_more() -> None:
    videos = Videos({"a": VideoState.PUBLISHING})
    waiting = asyncio.ensure_future(videos.ended(["a"]))
    while len(videos.looks) < 3:
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0.01)
    looks = len(videos.looks)
    await asyncio.sleep(0.01)
    assert len(videos.looks) == looks
    videos.states["a"] = VideoState.PUBLISHED
    assert await in_time(videos.ended(["a"])) == [("a", VideoState.PUBLISHED)]


async def test_the_client_is_closed() -> None:
    videos = Videos({"a": VideoState.PUBLISHING})
    waiting = asyncio.ensure_future(videos.ended(["a"]))
    while not videos.looks:
        await asyncio.sleep(0)
    await videos.publication.aclose()
    with pytest.raises(VideoCloudError, match="the client was closed"):
        await in_time(waiting)


async def test_one_that_takes_very_long_is_named(caplog: pytest.LogCaptureFixture) -> None:
    videos = Videos({"a": VideoState.UPLOADING, "b": VideoState.UPLOADING})
    videos.at_round = lambda number: (videos.now > 2000 and videos.states.clear()) or None  # type: ignore[method-assign]
    await in_time(videos.ended(["a", "b"]))
    (record,) = caplog.records
    assert record.getMessage().startswith("2 videos are not published after 600 s (a is uploading): ")
    assert record.__dict__["file_id"] == "a"


async def test_a_video_that_ends_as_the_time_is_over_is_given() -> None:
    """Its look and the time limit end in one turn of the loop."""
    loop = asyncio.get_running_loop()
    published = VideoStatus("a", VideoState.PUBLISHED, "A00000", "", NO_URLS)
    looked = asyncio.Event()
    answer: asyncio.Future[VideoStatus] = loop.create_future()

    async def status(file_id: str) -> VideoStatus:
        looked.set()
        return await answer

    async def page(file_ids: Sequence[str]) -> VideoPage:
        return VideoPage((), 0, 1, 100)

    publication = Publication(status, page, patience=600.0, sleep=asyncio.sleep, clock=loop.time, random=lambda: 0.5)
    waiting = asyncio.create_task(anext(publication.ended(["a"], 0.2)))
    await looked.wait()
    answer.set_result(published)
    # Not a turn of the loop until the time is over.
    time.sleep(0.3)
    assert await waiting == published
    await publication.aclose()
