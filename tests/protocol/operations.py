"""Every operation once, with an answer that it takes and what it makes of it: for what is the same for all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from iqiyi_async.models import Metadata, PlayUrls, Token, UploadTicket, VideoPage, VideoState, VideoStatus
from iqiyi_async.protocol import oauth, uploads, videos
from iqiyi_async.protocol.uploads import RangeAnswer
from iqiyi_async.protocol.wire import Call

from .table import ENDPOINTS

ASKED = datetime(2013, 11, 19, 7, 0, tzinfo=UTC)
TICKET = UploadTicket("7", "http://qichuan.iqiyi.com/upload", 1024)
TOKEN = Token("acc", "ref", ASKED, ASKED + timedelta(seconds=60))
URLS = PlayUrls({"1": "http://d/1"}, {}, ASKED + timedelta(minutes=15))


@attrs.frozen
class Sample:
    """An operation, the inside of an answer (without its braces), and the value in it."""

    call: Call[Any]
    inside: str
    value: object

    def __str__(self) -> str:
        return self.call.operation


SAMPLES = [
    Sample(
        oauth.authorize(ENDPOINTS),
        '"code":"A00000","data":{"access_token":"acc","expires_in":60,"refresh_token":"ref"}',
        TOKEN,
    ),
    Sample(oauth.refresh(ENDPOINTS), '"access_token":"acc","expires_in":60,"refresh_token":"ref"', TOKEN),
    Sample(
        uploads.request_upload(ENDPOINTS, "mp4", 1024),
        '"code":"A00000","data":{"file_id":"7","upload_url":"http://qichuan.iqiyi.com/upload"}',
        TICKET,
    ),
    Sample(
        uploads.upload_chunk(TICKET, 0, b"ABCDE", boundary="b0undary"),
        '"code":"A00000","range_md5":"2ecdde3959051d913f61b14579ea136d","file_range_accepted":5,"file_id":"7"',
        RangeAnswer("2ecdde3959051d913f61b14579ea136d", 5, "7"),
    ),
    Sample(uploads.finish_upload(ENDPOINTS, "7"), '"code":"A00000"', None),
    Sample(uploads.cancel_upload(ENDPOINTS, "7"), '"code":"A00000"', None),
    Sample(uploads.set_metadata(ENDPOINTS, "7", Metadata("x")), '"code":"A00000"', None),
    Sample(
        videos.get_status(ENDPOINTS, "7"),
        '"code":"A00000","data":{"urllist":{"mp4":{"1":"http://d/1"}}}',
        VideoStatus("7", VideoState.PUBLISHED, "A00000", "", URLS),
    ),
    Sample(
        videos.list_videos(ENDPOINTS, None, 1, 20),
        '"code":"A00000","count":9,"data":[]',
        VideoPage((), 9, page=1, page_size=20),
    ),
    Sample(videos.get_urls(ENDPOINTS, "7"), '"code":"A00000","data":{"mp4":{"1":"http://d/1"}}', URLS),
    Sample(
        videos.resolve_url(ENDPOINTS, "http://data.video.qiyi.com/1.mp4"),
        '"code":"A00000","data":{"l":"http://220.181.184.157/1.mp4"}',
        "http://220.181.184.157/1.mp4",
    ),
    Sample(videos.delete_videos(ENDPOINTS, ("7",)), '"code":"A00000"', None),
    Sample(videos.delete_all_videos(ENDPOINTS), '"code":"A00000"', None),
]
