"""The values: what they refuse, what they show, that they do not change."""

from __future__ import annotations

import copy
import inspect
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from iqiyi_async import models
from iqiyi_async.errors import ConfigurationError
from iqiyi_async.models import (
    Bottleneck,
    Category,
    ChunkReceipt,
    ClientStats,
    Fingerprint,
    JournalEntry,
    Metadata,
    Phase,
    PlayUrls,
    Quality,
    StoredToken,
    Token,
    UploadEvent,
    UploadItem,
    UploadOutcome,
    UploadProgress,
    UploadReceipt,
    UploadState,
    UploadTicket,
    Video,
    VideoPage,
    VideoState,
    VideoStatus,
)

NOW = datetime(2013, 11, 19, 7, 0, tzinfo=UTC)
URLS = PlayUrls({Quality.HIGH: "http://a"}, {}, NOW)
VIDEO = Video("7", "name", "", 9, VideoState.PUBLISHED, NOW, 1, 2.0, None, None, None, None)
RECEIPT = UploadReceipt("7", 9, 2, 1, 0, 0.5, "4 workers", {Bottleneck.NETWORK: 1.0})
PROGRESS = UploadProgress("7", 9, 5, 4, 1, 1, 0, 0.5)
ITEM = UploadItem("a.mp4", Metadata("Holiday"), "mp4", None, "a")

#: One of each, and the names that callers rely on, in order.
VALUES: list[tuple[Any, str]] = [
    (Metadata("Holiday", "Hainan", ("a", "b"), Category.TRAVEL), "name description tags category"),
    (Token("canary-access", "canary-refresh", NOW, NOW), "access_token refresh_token obtained_at expires_at"),
    (UploadTicket("7", "http://a/upload", 9), "file_id upload_url file_size"),
    (ChunkReceipt(0, 4, "0" * 32, 2), "first last md5 attempts"),
    (
        RECEIPT,
        "file_id size chunks retries resumed_bytes elapsed tuning time_by_cause",
    ),
    (PROGRESS, "file_id total sent accepted chunks_done chunks_in_flight retries elapsed"),
    (
        UploadEvent(UploadState.FINISHED, PROGRESS, Bottleneck.SERVICE, RECEIPT),
        "state progress bottleneck receipt error",
    ),
    (ClientStats(2, 1, 3, 8, False, 1.5), "active waiting workers_busy workers outage bytes_per_second"),
    (ITEM, "source metadata file_type size key"),
    (UploadOutcome(ITEM, RECEIPT), "item receipt status error duplicate"),
    (Fingerprint(9, 1, 2, "0" * 32, 3, 4), "size mtime_ns inode digest device ctime_ns"),
    (
        JournalEntry("7", "http://a/upload", Fingerprint(9, 0, 0, ""), Phase.FINISHING, (ChunkReceipt(0, 4, ""),)),
        "file_id upload_url fingerprint phase accepted name account group file_type metadata remember changed key",
    ),
    (StoredToken(3, Token("canary-access", "canary-refresh", NOW, NOW)), "version token"),
    (URLS, "mp4 m3u8 expires_at"),
    (
        VideoStatus("7", VideoState.PUBLISHED, "A00000", "", URLS, "i", "t", "f", "6"),
        "file_id state code message urls image thumbnail flash_url duplicate_of",
    ),
    (
        VIDEO,
        "file_id name description size state created_at play_count duration image original_image thumbnail page_url",
    ),
    (VideoPage((VIDEO,), 1, 1, 20), "videos total page page_size"),
]

each_value = pytest.mark.parametrize(("value", "names"), VALUES, ids=[type(value).__name__ for value, _ in VALUES])


def test_there_is_a_sample_of_each() -> None:
    kinds = {name for name in models.__all__ if attrs.has(getattr(models, name))}
    assert kinds == {type(value).__name__ for value, _ in VALUES}
    assert models.__all__ == sorted(models.__all__)


@each_value
def test_fields(value: Any, names: str) -> None:
    assert [field.name for field in attrs.fields(type(value))] == names.split()


@each_value
def test_nothing_changes(value: Any, names: str) -> None:
    for name in names.split():
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(value, name, None)
    with pytest.raises(AttributeError):
        value.something_else = 1


@each_value
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_are_equal(value: Any, names: str, copied: Any) -> None:
    assert copied(value) == value
    assert repr(copied(value)) == repr(value)
    assert copied(value) != attrs.evolve(value, **{names.split()[0]: "other"})


def test_an_item_can_stand_in_a_set_whatever_its_source_is() -> None:
    item = UploadItem(bytearray(b"abc"), Metadata("Holiday"))
    assert {item} == {UploadItem(bytearray(b"abc"), Metadata("Holiday"))}


@each_value
def test_each_field_is_described(value: Any, names: str) -> None:
    described = inspect.getdoc(type(value)) or ""
    assert [name for name in names.split() if f"\n    {name}: " not in described] == []


@each_value
def test_no_secret_is_printed(value: Any, names: str) -> None:
    shown = f"{value} {value!r} {attrs.fields(type(value))}"
    assert "canary" not in shown
    assert type(value).__name__ in shown


def test_defaults() -> None:
    assert Metadata("x") == Metadata("x", description="", tags=(), category=None)
    assert ChunkReceipt(0, 4, "").attempts == 1
    status = VideoStatus("7", VideoState.UNKNOWN, "", "", URLS)
    assert (status.image, status.thumbnail, status.flash_url, status.duplicate_of) == (None, None, None, None)


@pytest.mark.parametrize(("first", "last", "size"), [(0, 0, 1), (0, 4, 5), (513, 1023, 511)])
def test_the_size_of_a_range(first: int, last: int, size: int) -> None:
    assert ChunkReceipt(first, last, "").size == size


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"name": ""}, "name must not be empty"),
        ({"name": " \n"}, "name must not be empty"),
        ({"name": None}, "name must be a string, not NoneType"),
        ({"name": "x" * 4001}, "name has 4001 characters; the most is 4000"),
        ({"name": "a\0"}, "name holds a control character or half a surrogate pair"),
        ({"name": "\ud83d"}, "name holds a control character or half a surrogate pair"),
        ({"description": None}, "description must be a string, not NoneType"),
        ({"description": "a\x1b"}, "description holds a control character or half a surrogate pair"),
        ({"description": "x" * 4001}, "description has 4001 characters; the most is 4000"),
        ({"tags": "beach"}, "tags must be a collection of strings, such as ('beach', 'Hainan')"),
        ({"tags": None}, "tags must be a collection of strings, such as ('beach', 'Hainan')"),
        ({"tags": 7}, "tags must be a collection of strings, such as ('beach', 'Hainan')"),
        ({"tags": ["a,b"]}, "a tag must not hold a comma: the service separates tags with commas"),
        ({"tags": ["a", ""]}, "a tag must not be empty"),
        ({"tags": ["a", "，"]}, "a tag must not be empty"),
        ({"tags": ["、 ，"]}, "a tag must not be empty"),
        ({"tags": [7]}, "a tag must be a string, not int"),
        ({"tags": ["x" * 201]}, "a tag has 201 characters; the most is 200"),
        ({"tags": b"ab"}, "a tag must be a string, not int"),
        ({"category": 11}, "11 is not a category; use a member of Category"),
        ({"category": "travel"}, "'travel' is not a category; use a member of Category"),
        ({"category": True}, "True is not a category; use a member of Category"),
        ({"category": [9]}, "[9] is not a category; use a member of Category"),
    ],
)
def test_metadata_that_is_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Metadata(**{"name": "x", **values})
    assert str(caught.value) == problem
    with pytest.raises(ConfigurationError):
        attrs.evolve(Metadata("x"), **values)


def test_metadata_in_one_spelling() -> None:
    metadata = Metadata("x", tags=(tag for tag in ("a", "b c", "海")), category=9)  # type: ignore[arg-type]
    assert metadata.tags == ("a", "b c", "海")
    assert metadata.category is Category.TRAVEL
    assert hash(metadata) == hash(Metadata("x", tags=["a", "b c", "海"], category=Category.TRAVEL))


@pytest.mark.parametrize(
    ("given", "tags"),
    [
        (["海滩，三亚、度假"], ("海滩", "三亚", "度假")),
        (["海滩， 三亚 ", "a b"], ("海滩", "三亚", "a b")),
        (["，海滩，，"], ("海滩",)),
        ({"c", "a", "b"}, ("a", "b", "c")),
        (frozenset({"b，a"}), ("a", "b")),
        ({"b": 1, "a": 2}.keys(), ("a", "b")),
        (["b", "a"], ("b", "a")),
    ],
)
def test_tags(given: Any, tags: tuple[str, ...]) -> None:
    assert Metadata("x", tags=given).tags == tags


@pytest.mark.parametrize(("character", "bytes_each"), [("%", 3), ("影", 9), ("\U0001f3ac", 12)])
def test_metadata_fits_into_a_url(character: str, bytes_each: int) -> None:
    description = character * ((models.MOST_ENCODED - 2) // bytes_each)
    assert Metadata("x", description, tags=("b",)).description == description
    with pytest.raises(ConfigurationError, match=rf"take \d+ bytes of a URL; the most is {models.MOST_ENCODED} "):
        Metadata("x", description + character, tags=("b",))


@each_value
def test_values_have_a_hash(value: Any, names: str) -> None:
    assert hash(value) == hash(copy.copy(value))
    assert len({value, pickle.loads(pickle.dumps(value))}) == 1


CATEGORIES = (
    "1 电影 2 电视剧 3 纪录片 4 动漫 5 音乐 6 综艺 7 娱乐 8 游戏 9 旅游 10 片花 12 教育 13 时尚 15 少儿 16 微电影 "
    "17 体育 20 广告 21 生活 22 搞笑 24 财经 25 资讯 26 汽车 27 原创 28 军事"
)


def test_categories_are_those_of_the_document() -> None:
    assert sorted(Category) == [int(word) for word in CATEGORIES.split()[::2]]
    assert Category(9) is Category.TRAVEL
    assert Category.FILM == 1
    assert Category.SPORTS == 17
    assert Category.MILITARY == 28


def test_qualities_are_those_of_the_document() -> None:
    assert {quality.name: quality.value for quality in Quality} == {
        "TOPSPEED": "96",
        "SMOOTH": "1",
        "HIGH": "2",
        "SUPER": "3",
        "P720": "4",
        "P1080": "5",
    }
    assert {Quality.HIGH: 1}["2"] == 1


def test_which_states_of_an_upload_are_its_end() -> None:
    assert {state.name for state in UploadState if state.ended} == {"FINISHED", "FAILED", "CANCELLED"}


def test_an_outcome_without_an_error_is_ok() -> None:
    assert UploadOutcome(ITEM, RECEIPT).ok
    assert not UploadOutcome(ITEM, error=ConfigurationError("no such file")).ok


def test_which_states_are_final() -> None:
    assert {state.name for state in VideoState if not state.final} == {"UPLOADING", "PUBLISHING", "UNKNOWN"}
    assert {state.name for state in VideoState if state.final} == {
        "PUBLISHED",
        "REVIEW_FAILED",
        "PUBLISH_FAILED",
        "CANCELLED",
        "ABSENT",
    }


def test_a_token_is_compared_by_what_it_hides() -> None:
    token = Token("a", "b", NOW, NOW + timedelta(seconds=60))
    assert token != attrs.evolve(token, access_token="c")
    assert token != attrs.evolve(token, refresh_token=None)
    assert repr(token) == repr(attrs.evolve(token, access_token="c"))
