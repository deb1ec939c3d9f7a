"""No answer is too odd: whatever bytes come, decoding gives a value or an error of ours."""

from __future__ import annotations

import json
import math
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iqiyi_async.errors import VideoCloudError
from iqiyi_async.protocol import videos
from iqiyi_async.protocol.answers import seconds_of
from iqiyi_async.protocol.wire import Answer

from .operations import SAMPLES
from .table import ASKED_AT, ENDPOINTS

LIST = videos.list_videos(ENDPOINTS, None, 1, 20)

WORDS = [
    "code", "code ", "msg", "data", "count", "access_token", "expires_in", "refresh_token", "file_id", "upload_url",
    "range_md5", "file_range_accepted", "urllist", "mp4", "m3u8", "img", "thumbnail", "fileIdBefore", "is_repeat", "l",
    "fileId", "fileName", "fileSize", "fileStatus", "createTime", "playCount", "duration", "pageUrl", "1", "96",
]  # fmt: skip
VALUES = [
    "A00000", "A0000", "A00007", "Q00001", "A21327", "A21331", "http://qichuan.iqiyi.com/upload", "http://127.0.0.1/",
    "", " ", "7", "007", "1_0", "0x1", "-1", "1e9", "nan", "inf", "١", "[]", "\ud800", "\0", "x" * 300,
]  # fmt: skip

numbers = st.integers() | st.floats() | st.sampled_from([10**30, -(10**30), 10**4000, 2**62, 2**63, 1e308, -0.0])
leaves = st.none() | st.booleans() | numbers | st.sampled_from(VALUES) | st.text(max_size=8)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=12,
)
answers = st.dictionaries(st.sampled_from(WORDS[:6]), values, max_size=5) | values
statuses = st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 404, 408, 413, 429, 500, 503, 599])


def decode_all(content: bytes, status: int, retry_after: str | None = None) -> None:
    came = Answer(status, content, ASKED_AT, retry_after)
    for sample in SAMPLES:
        problem = None
        try:
            sample.call.decode(came)
        except VideoCloudError as error:
            problem = error
        if problem is None:
            assert 200 <= status < 300 or sample.call.operation == "get_status"
        else:
            assert problem.operation == sample.call.operation
            assert str(problem).isprintable()


@given(st.binary(max_size=200), statuses)
def test_any_bytes(content: bytes, status: int) -> None:
    decode_all(content, status)


@given(answers, statuses, st.sampled_from(["", "var x=", "\ufeff", "cb("]))
def test_any_json(content: Any, status: int, before: str) -> None:
    decode_all(before.encode() + json.dumps(content).encode(), status)


@given(st.sampled_from(SAMPLES), st.data())
def test_any_change_of_a_good_answer(sample: Any, data: st.DataObject) -> None:
    """A field of a good answer replaced by anything, or left out: a value or an error of ours."""
    content = json.loads("{" + sample.inside + "}")
    inner = content["data"] if isinstance(content.get("data"), dict) and data.draw(st.booleans()) else content
    name = data.draw(st.sampled_from(sorted(inner)))
    if data.draw(st.booleans()):
        inner[name] = data.draw(values)
    else:
        del inner[name]
    decode_all(json.dumps(content).encode(), 200)


moments = numbers | st.floats(-1e12, 1e12) | st.integers(-(10**14), 10**14)


@given(moments | moments.map(str), moments, moments | st.sampled_from(VALUES))
@example(-1e11, 0, 0)
@example(-62_135_596_801, 0, 0)
@example(253_402_300_800, 0, 0)
def test_no_number_of_an_entry_ends_a_list(created: Any, size: Any, other: Any) -> None:
    entry = {"fileId": "7", "createTime": created, "fileSize": size, "duration": other, "playCount": other}
    came = Answer(200, json.dumps({"code": "A00000", "count": 1, "data": [entry]}).encode(), ASKED_AT)
    (video,) = LIST.decode(came).videos
    if video.created_at is not None:
        for hours in (-23, 23):
            video.created_at.astimezone(timezone(timedelta(hours=hours)))


@given(st.text(max_size=40) | st.text(alphabet="0123456789 :,-+GMTSunMonNovJan", max_size=40))
def test_any_retry_after(header: str) -> None:
    seconds = seconds_of(header, ASKED_AT)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))


@pytest.mark.parametrize("size", [2**21])
@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "unit", [b"{", b"}", b"[", b'"', b"\\", b'{"a":', b"{}", b"\xff", b"access_token=", b"a ", b" "]
)
def test_a_long_answer_is_refused_in_no_time(unit: bytes, size: int) -> None:
    """What is read is bounded (2 MiB); what is done with it must not grow faster than it."""
    came = Answer(200, (unit * size)[:size], ASKED_AT)
    with pytest.raises(VideoCloudError):
        SAMPLES[4].call.decode(came)
