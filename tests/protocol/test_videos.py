"""Sections 4 to 7: a video's status, the list of videos, their play URLs, their deletion."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from iqiyi_async.config import Endpoints
from iqiyi_async.errors import AuthorizationError, ConfigurationError, ResponseError, ServiceError
from iqiyi_async.models import PlayUrls, Quality, Video, VideoPage, VideoState, VideoStatus
from iqiyi_async.protocol import videos
from iqiyi_async.protocol.wire import Call, SecretName

from .table import ENDPOINTS, TOKEN, Fails, Sent, answer, check, sent

FILE = "3aa3c62db3714f27b99b8ac0ccc6a864"
OTHER = "37f864e49dc44ad2958f52e89b41b67d"
API = "https://openapi.iqiyi.com/api/file"
PLAY = "http://data.video.qiyi.com/videos/v/1/4de7.mp4?v=933670055"

STATUS = videos.get_status(ENDPOINTS, FILE)
LIST = videos.list_videos(ENDPOINTS, None, 1, 20)
URLS = videos.get_urls(ENDPOINTS, FILE)
RESOLVE = videos.resolve_url(ENDPOINTS, PLAY)
DELETE = videos.delete_videos(ENDPOINTS, (FILE, OTHER))
DELETE_ALL = videos.delete_all_videos(ENDPOINTS)

OUT = [
    (STATUS, f"{API}/fullStatus?access_token={TOKEN}&file_id={FILE}"),
    (LIST, f"{API}/videoListForExternal?access_token={TOKEN}&page_size=20&page=1"),
    (
        videos.list_videos(ENDPOINTS, (FILE, OTHER), 3, 100),
        f"{API}/videoListForExternal?access_token={TOKEN}&file_ids={FILE}%2C{OTHER}&page_size=100&page=3",
    ),
    (URLS, f"{API}/urllist?access_token={TOKEN}&file_id={FILE}"),
    (RESOLVE, PLAY),
    (DELETE, f"{API}/delete?access_token={TOKEN}&delete_type=1&file_ids={FILE}%2C{OTHER}"),
    (DELETE_ALL, f"{API}/delete?access_token={TOKEN}&delete_type=0&file_ids="),
]


@pytest.mark.parametrize(("call", "url"), OUT)
def test_requests(call: Call[Any], url: str) -> None:
    assert sent(call) == Sent("GET", url)
    # Deleting everything twice would delete what has come in between.
    assert call.repeatable == (call is not DELETE_ALL)


def test_which_calls_carry_the_token() -> None:
    calls = (STATUS, LIST, URLS, RESOLVE, DELETE, DELETE_ALL)
    assert [call for call in calls if call.request.secrets != {SecretName.ACCESS_TOKEN}] == [RESOLVE]
    assert RESOLVE.request.secrets == frozenset()


#: 15 minutes after the question.
EXPIRES = datetime(2013, 11, 19, 7, 15, tzinfo=UTC)
NO_URLS = PlayUrls({}, {}, EXPIRES)


def status(state: VideoState, code: str, message: str = "", **more: Any) -> VideoStatus:
    return VideoStatus(**{"file_id": FILE, "state": state, "code": code, "message": message, "urls": NO_URLS, **more})


STATUS_ANSWERS = [
    # The document's example, its spaces and the qualities of section 4 included.
    (
        """{ "code ": "A00000", "data": {
        "img": "http://pic8.qiyipic.com/thumb/20130427/v493238.jpg",
        "thumbnail": " http://pic8.qiyipic.com/thumb/20130426/v492138.jpg",
        "swfurl": "http://dispatcher.video.qiyi.com/dispatcher/shareplayer.swf?vid=fbd&cid=&bd=1 ",
        "urllist": {
          "mp4": {"2": "http://data.video.qiyi.com/2.mp4", "1 ": " http://data.video.qiyi.com/1.mp4 "},
          "m3u8": {"2": "http://m/2.m3u8", "96": "http://m/96.m3u8", "1": "http://m/1.m3u8",
                   "5": "http://m/5.m3u8", "4": null, "3": "", "17": "http://m/17.m3u8", "x": ["no"]}},
        "msg": "ok" } }""",
        status(
            VideoState.PUBLISHED,
            "A00000",
            "ok",
            urls=PlayUrls(
                {Quality.HIGH: "http://data.video.qiyi.com/2.mp4", Quality.SMOOTH: "http://data.video.qiyi.com/1.mp4"},
                {
                    Quality.HIGH: "http://m/2.m3u8",
                    Quality.TOPSPEED: "http://m/96.m3u8",
                    Quality.SMOOTH: "http://m/1.m3u8",
                    Quality.P1080: "http://m/5.m3u8",
                    "17": "http://m/17.m3u8",
                },
                EXPIRES,
            ),
            image="http://pic8.qiyipic.com/thumb/20130427/v493238.jpg",
            thumbnail="http://pic8.qiyipic.com/thumb/20130426/v492138.jpg",
            flash_url="http://dispatcher.video.qiyi.com/dispatcher/shareplayer.swf?vid=fbd&cid=&bd=1",
        ),
    ),
    # States, not errors. A00007 is a failed publication here.
    ('{"code":"A00000"}', status(VideoState.PUBLISHED, "A00000")),
    ('{"code":"A00001","msg":" wait "}', status(VideoState.PUBLISHING, "A00001", "wait")),
    ('{"code":"A00002"}', status(VideoState.REVIEW_FAILED, "A00002")),
    ('{"code":"A00003"}', status(VideoState.ABSENT, "A00003")),
    ('{"code":"A00004","data":[]}', status(VideoState.UPLOADING, "A00004")),
    ('{"code":"A00006","data":null}', status(VideoState.CANCELLED, "A00006")),
    ('{"code":"A00007","msg":"no"}', status(VideoState.PUBLISH_FAILED, "A00007", "no")),
    # A duplicate of an earlier video (contract, B10).
    (
        '{"code":"A00007","data":{"is_repeat":1,"fileIdBefore":"' + OTHER + '"}}',
        status(VideoState.PUBLISH_FAILED, "A00007", duplicate_of=OTHER),
    ),
    (
        '{"code ":"A00007","data ":{"is_repeat ":"1","fileIdBefore ":" ' + OTHER + ' ","urllist":[]}}',
        status(VideoState.PUBLISH_FAILED, "A00007", duplicate_of=OTHER),
    ),
    ('{"code":"A00007","data":{"fileIdBefore":7}}', status(VideoState.PUBLISH_FAILED, "A00007", duplicate_of="7")),
    *(
        ('{"code":"A00007","data":{"fileIdBefore":"' + odd + '"}}', status(VideoState.PUBLISH_FAILED, "A00007"))
        for odd in ("a\\u001b[2J", "a\\r\\nb", "a b", "x" * 300, "\\ud800")
    ),
    ('{"code":"A00007","data":{"is_repeat":0,"fileIdBefore":""}}', status(VideoState.PUBLISH_FAILED, "A00007")),
    # A code that nobody has told us about is data.
    ('{"code":"A00099","msg":"new"}', status(VideoState.UNKNOWN, "A00099", "new")),
    ('{"code":"A0000"}', status(VideoState.UNKNOWN, "A0000")),
    ('{"code":7}', status(VideoState.UNKNOWN, "7")),
    # Fields of another shape than documented are absent, not fatal.
    (
        '{"code":"A00000","data":{"img":[],"thumbnail":7,"swfurl":null,"urllist":{"mp4":[],"m3u8":"x"},"msg":[]}}',
        status(VideoState.PUBLISHED, "A00000"),
    ),
    ('{"code":"Q00001","msg":"no"}', Fails(ServiceError, code="Q00001", message="no", file_id=FILE, retryable=False)),
    ('{"code":"A21327"}', Fails(AuthorizationError, code="A21327")),
    ('{"code":"A21332"}', Fails(AuthorizationError, code="A21332")),
    ('{"data":{"img":"x"}}', Fails(ResponseError, retryable=True)),
    ("{}", Fails(ResponseError, retryable=True)),
]

MEIPAI = Video(
    file_id="903875148f0c420481ec09f757b23599",
    name="meipai001",
    description="百度美拍上传的第一个视频",
    size=0,
    state=VideoState.PUBLISHED,
    created_at=datetime(2013, 3, 25, 5, 58, 44, tzinfo=UTC),
    play_count=24,
    duration=10.0,
    image="http://pic7.qiyipic.com/thumb/20130426/v492995.jpg",
    original_image="http://img5.qiyipic.com/image/openapi/openapi_4901_352x256.jpg",
    thumbnail=None,
    page_url="http://www.iqiyi.com/common/qplay.html?cnid=23&tvid=537215&vid=757a",
)


def video(file_id: str = "7", **more: Any) -> Video:
    nothing: dict[str, Any] = dict.fromkeys(("created_at", "image", "original_image", "thumbnail", "page_url"))
    known = {"name": "", "description": "", "size": 0, "state": VideoState.UNKNOWN, "play_count": 0, "duration": 0.0}
    return Video(**{"file_id": file_id, **known, **nothing, **more})


def page(*entries: Video, total: int | None = None) -> VideoPage:
    return VideoPage(entries, len(entries) if total is None else total, 1, 20)


def listed(*entries: str) -> str:
    return '{"code":"A00000","count":1,"data":[' + ",".join(entries) + "]}"


LIST_ANSWERS = [
    (
        """{ "code ": "A00000", "count ": 20, "data ": [{ "fileId": "903875148f0c420481ec09f757b23599",
        "fileName": "meipai001", "createTime": 1364191124, "description": "百度美拍上传的第一个视频", "fileSize": 0,
        "fileStatus": 2, "playCount": 24, "duration": 10,
        "img": " http://pic7.qiyipic.com/thumb/20130426/v492995.jpg",
        "originalImg": "http://img5.qiyipic.com/image/openapi/openapi_4901_352x256.jpg", "thumbnail": "",
        "pageUrl": "http://www.iqiyi.com/common/qplay.html?cnid=23&tvid=537215&vid=757a " }] }""",
        page(MEIPAI, total=20),
    ),
    ('{"code":"A00000","count":0,"data":[]}', page()),
    ('{"code":"A00000","count":"0","data":null}', page()),
    ('{"code":"A00000"}', page()),
    ('{"code":"A00000","count":" 250 ","data":[{"fileId":7}]}', page(video(), total=250)),
    ('{"code":"A00000","count":null,"data":[{"fileId":"7"},{"fileId ":"8"}]}', page(video(), video("8"))),
    ('{"code":"A00000","count":3,"data":{}}', page(total=3)),
    # A count that can't be read costs the count, not the page: it is as good as absent.
    ('{"code":"A00000","count":"1,024","data":[{"fileId":"7"}]}', page(video(), total=1)),
    ('{"code":"A00000","count":[7],"data":[{"fileId":"7"}]}', page(video(), total=1)),
    ('{"code":"A00000","count":1e300,"data":[{"fileId":"7"}]}', page(video(), total=1)),
    # An object where a list should be: PHP writes a list with gaps so. No video may get lost silently.
    ('{"code":"A00000","count":1,"data":{"0":{"fileId":"7"}}}', Fails(ResponseError)),
    ('{"code":"A00000","count":1,"data":"7"}', Fails(ResponseError)),
    *(
        (listed('{"fileId":"7","fileStatus":' + value + "}"), page(video(state=state)))
        for value, state in [
            ("1", VideoState.PUBLISHING),
            ("2", VideoState.PUBLISHED),
            ('"3"', VideoState.REVIEW_FAILED),
            ("4.0", VideoState.ABSENT),
            ('" 5 "', VideoState.UPLOADING),
            ("6", VideoState.CANCELLED),
            ("0", VideoState.UNKNOWN),
            ("7", VideoState.UNKNOWN),
            ("null", VideoState.UNKNOWN),
            ('""', VideoState.UNKNOWN),
            ('" "', VideoState.UNKNOWN),
        ]
    ),
    (
        listed('{"fileId":"7","fileName":2012,"fileSize":"4294967296","playCount":"9","duration":"10.5"}'),
        page(video(name="2012", size=2**32, play_count=9, duration=10.5)),
    ),
    (listed('{"fileId":"7","img":null,"thumbnail":" ","pageUrl":"","duration":" "}'), page(video())),
    (listed('{"fileId":"7","createTime":"1364191124"}'), page(video(created_at=MEIPAI.created_at))),
    # Half a surrogate pair can be spelt in JSON, but not written anywhere.
    (listed('{"fileId":"7","fileName":"\\ud800x","img":"\\udfff"}'), page(video(name="?x", image="?"))),
    # A moment that no calendar has is none.
    (listed('{"fileId":"7","createTime":1e17}'), page(video())),
    (listed('{"fileId":"7","createTime":-62104060800}'), page(video(created_at=datetime(2, 1, 1, tzinfo=UTC)))),
    (listed('{"fileId":"7","createTime":-62104060801}'), page(video())),
    (
        listed('{"fileId":"7","createTime":253339228799}'),
        page(video(created_at=datetime(9997, 12, 31, 23, 59, 59, tzinfo=UTC))),
    ),
    (listed('{"fileId":"7","createTime":253339228800}'), page(video())),
    (listed('{"fileId":"7","createTime":-1e17}'), page(video())),
    (listed('{"fileId":"7","createTime":NaN}'), page(video())),
    # One odd field costs that field.
    (listed('{"fileId":"7","createTime":"2013-11-19 07:00:00"}'), page(video())),
    (listed('{"fileId":"7","createTime":1384844400000}'), page(video())),
    (listed('{"fileId":"7","createTime":{}}'), page(video())),
    (listed('{"fileId":"7","fileSize":"big"}'), page(video(size=None))),
    (listed('{"fileId":"7","fileSize":[1]}'), page(video(size=None))),
    (listed('{"fileId":"7","fileSize":1e400}'), page(video(size=None))),
    (listed('{"fileId":"7","fileSize":1.5}'), page(video(size=None))),
    # Beyond 2 to the power of 62 no number is a size.
    (listed(f'{{"fileId":"7","fileSize":{2**62}}}'), page(video(size=2**62))),
    (listed(f'{{"fileId":"7","fileSize":{2**62 + 1}}}'), page(video(size=None))),
    (listed('{"fileId":"7","playCount":true}'), page(video(play_count=None))),
    (listed('{"fileId":"7","playCount":"1,024"}'), page(video(play_count=None))),
    (listed('{"fileId":"7","duration":"00:10"}'), page(video(duration=None))),
    (listed('{"fileId":"7","duration":NaN}'), page(video(duration=None))),
    (listed('{"fileId":"7","duration":"nan"}'), page(video(duration=None))),
    (listed('{"fileId":"7","fileStatus":"published"}'), page(video())),
    (listed('{"fileId":"7","fileName":["x"],"description":{}}'), page(video())),
    # What is counted must be there: never an empty page for what can't be read.
    ('{"code":"A00000","count":3}', Fails(ResponseError, retryable=False)),
    ('{"code":"A00000","count":1}', Fails(ResponseError, retryable=False)),
    ('{"code":"A00000","count":"3","data":null}', Fails(ResponseError, retryable=False)),
    ('{"code":"A00000","count":3,"data":[]}', page(total=3)),
    ('{"code":"A00000","count":0}', page(total=0)),
    # A few more than were asked for are taken.
    (listed(*['{"fileId":"7"}'] * 200), page(*[video()] * 200, total=1)),
    (listed(*['{"fileId":"7"}'] * 201), Fails(ResponseError, retryable=False)),
    (listed('{"fileName":"who?"}'), Fails(ResponseError)),
    (listed("null"), Fails(ResponseError)),
    (listed("7"), Fails(ResponseError)),
    ('{"code":"A00000","count":"many","data":[]}', Fails(ResponseError)),
    ('{"code":"A00000","count":[],"data":[]}', Fails(ResponseError)),
    ('{"code":"Q00001"}', Fails(ServiceError, code="Q00001", retryable=False)),
    ('{"code":"A21332","msg":"invalid"}', Fails(AuthorizationError, code="A21332", retryable=False)),
    ('{"code":"A21327"}', Fails(AuthorizationError, code="A21327", retryable=False)),
    ('{"code":"A00003"}', Fails(ServiceError, code="A00003")),
    ('{"count":0,"data":[]}', Fails(ResponseError, retryable=True)),
]

URLS_ANSWERS = [
    (
        """{"code": "A00000", "data": {"mp4": {"1": "http://d/1.mp4?v=1", "2": "http://d/2.mp4"},
        "m3u8": {"1": "http://m/1.m3u8", "96": " http://m/96.m3u8"}}}""",
        PlayUrls(
            {Quality.SMOOTH: "http://d/1.mp4?v=1", Quality.HIGH: "http://d/2.mp4"},
            {Quality.SMOOTH: "http://m/1.m3u8", Quality.TOPSPEED: "http://m/96.m3u8"},
            EXPIRES,
        ),
    ),
    (
        '{"code":"A00000","data":{"m3u8 ":{"3 ":"http://m/3","4":"http://m/4","10":"http://m/10"}}}',
        PlayUrls({}, {Quality.SUPER: "http://m/3", Quality.P720: "http://m/4", "10": "http://m/10"}, EXPIRES),
    ),
    (
        '{"code":"A00000","data":{"mp4":{"1":"http://d/\\u001b[2J1\\r\\n","2":"'
        + "x" * 9000
        + '","3\\n\\u0007":"http://d/3"}}}',
        PlayUrls({Quality.SMOOTH: "http://d/[2J1", Quality.SUPER: "http://d/3"}, {}, EXPIRES),
    ),
    (
        '{"code":"A00000","data":{"mp4":{"' + "9" * 100 + '":"http://d/9"}}}',
        PlayUrls({"9" * 32: "http://d/9"}, {}, EXPIRES),
    ),
    # The longest URL that is one.
    (
        f'{{"code":"A00000","data":{{"mp4":{{"1":"http://d/{"x" * 8183}","2":"http://d/{"x" * 8184}"}}}}}}',
        PlayUrls({Quality.SMOOTH: f"http://d/{'x' * 8183}"}, {}, EXPIRES),
    ),
    ('{"code":"A00000","data":[]}', NO_URLS),
    ('{"code":"A00000","data":null}', NO_URLS),
    ('{"code":"A00000","data":{"mp4":null,"m3u8":[]}}', NO_URLS),
    ('{"code":"A00000"}', NO_URLS),
    ('{"code":"Q00001","msg":"x"}', Fails(ServiceError, code="Q00001", message="x", file_id=FILE)),
    ('{"code":"A00003"}', Fails(ServiceError, code="A00003", file_id=FILE)),
    ('{"code":"A21327"}', Fails(AuthorizationError, code="A21327")),
    ("{}", Fails(ResponseError, retryable=True)),
]

REAL = "http://220.181.184.157/r/1.mp4?key=0a1b"
NO_URL = Fails(ResponseError, status=200, retryable=False)
RESOLVE_ANSWERS = [
    ('var videoUrl={"code":"A00000","data":{"l":"' + REAL + '"}}', REAL),
    ('var videoUrl = {"code":"A00000","data":{"l":" ' + REAL + ' "}};\n', REAL),
    ('{"code":"A00000","data":{"l":"https://cdn.example:8443/1.m3u8"}}', "https://cdn.example:8443/1.m3u8"),
    ('{"code":"A00000","data":{"l":""}}', NO_URL),
    ('{"code":"A00000","data":{"l":null}}', NO_URL),
    ('{"code":"A00000","data":{"l":["http://a"]}}', NO_URL),
    ('{"code":"A00000","data":{}}', NO_URL),
    ('{"code":"A00000","data":[]}', NO_URL),
    ('{"code":"A00000","data":{"l":"http://127.0.0.1/admin"}}', NO_URL),
    ('{"code":"A00000","data":{"l":"file:///etc/passwd"}}', NO_URL),
    ('{"code":"A00000","data":{"l":"javascript:alert(1)"}}', NO_URL),
    ('{"code":"Q00001"}', Fails(ServiceError, code="Q00001")),
    ('{"data":{"l":"' + REAL + '"}}', Fails(ResponseError, retryable=True)),
]

DELETE_ANSWERS = [
    ('{"code":"A00000"}', None),
    ('{"code ":"A00000",}', Fails(ResponseError, retryable=True)),
    ('{"code ":"A00000 "}', None),
    ('{"code":"Q00001","msg":"no"}', Fails(ServiceError, code="Q00001", message="no", retryable=False)),
    ('{"code":"A21332"}', Fails(AuthorizationError, code="A21332")),
    ('{"code":"A00003"}', Fails(ServiceError, code="A00003")),
    ("{}", Fails(ResponseError, retryable=True)),
]


@pytest.mark.parametrize(("came", "expected"), STATUS_ANSWERS)
def test_status_answers(came: str, expected: object) -> None:
    check(STATUS, came, expected)


@pytest.mark.parametrize(("came", "expected"), LIST_ANSWERS)
def test_list_answers(came: str, expected: object) -> None:
    check(LIST, came, expected)


@pytest.mark.parametrize(("came", "expected"), URLS_ANSWERS)
def test_urls_answers(came: str, expected: object) -> None:
    check(URLS, came, expected)


@pytest.mark.parametrize(("came", "expected"), RESOLVE_ANSWERS)
def test_resolve_answers(came: str, expected: object) -> None:
    check(RESOLVE, came, expected)


@pytest.mark.parametrize("call", [DELETE, DELETE_ALL], ids=lambda call: call.operation)
@pytest.mark.parametrize(("came", "expected"), DELETE_ANSWERS)
def test_delete_answers(call: Call[None], came: str, expected: object) -> None:
    check(call, came, expected)


def test_known_qualities_are_members_and_unknown_ones_stay_as_they_came() -> None:
    urls = URLS.decode(answer('{"code":"A00000","data":{"mp4":{"5":"http://d/5","2160":"http://d/2160"}}}'))
    assert [type(key) for key in urls.mp4] == [Quality, str]
    assert urls.mp4["5"] == urls.mp4[Quality.P1080] == "http://d/5"


def test_a_page_says_what_was_asked_for() -> None:
    decoded = videos.list_videos(ENDPOINTS, (FILE,), 4, 7).decode(answer('{"code":"A00000","count":22,"data":[]}'))
    assert (decoded.page, decoded.page_size, decoded.total) == (4, 7, 22)


def test_what_is_wrong_with_an_entry_is_named_but_not_repeated() -> None:
    with pytest.raises(ResponseError, match=r"fileId") as caught:
        LIST.decode(answer(listed('{"fileId":["canary"]}')))
    assert "canary" not in str(caught.value)


def test_a_play_url_of_an_emulator_near_by() -> None:
    endpoints = Endpoints.single("http://127.0.0.1:8000")
    call = videos.resolve_url(endpoints, "http://127.0.0.1:8000/play/1")
    came = answer('var videoUrl={"code":"A00000","data":{"l":"http://127.0.0.1:8000/file/1.mp4"}}')
    assert call.decode(came) == "http://127.0.0.1:8000/file/1.mp4"


@pytest.mark.parametrize(
    "url",
    ["", "x", "//a/b", "ftp://a/b", "http://u:p@a/b", "http://[::1]/", "http://10.1.2.3/", "http://a b/", None, b"x"],
)
def test_a_play_url_that_must_not_be_followed(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^(the play URL is refused: |url must )"):
        videos.resolve_url(ENDPOINTS, url)


@pytest.mark.parametrize("number", [0, -1, 1.0, True, "1", None])
def test_pages_that_are_refused_before_any_request(number: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^page must be "):
        videos.list_videos(ENDPOINTS, None, number, 20)
    with pytest.raises(ConfigurationError, match=r"^page_size must be "):
        videos.list_videos(ENDPOINTS, None, 1, number)


def test_page_sizes_have_a_bound() -> None:
    videos.list_videos(ENDPOINTS, None, 1, 100)
    with pytest.raises(ConfigurationError, match=r"^page_size must be from 1 to 100, not 101$"):
        videos.list_videos(ENDPOINTS, None, 1, 101)


def test_lists_of_ids_have_a_bound() -> None:
    ids = tuple(map(str, range(101)))
    for build in (videos.delete_videos, lambda *args: videos.list_videos(*args, 1, 100)):
        assert sent(build(ENDPOINTS, ids[:100])).url.count("%2C") == 99
        with pytest.raises(ConfigurationError, match=r"^101 file_ids in one request; the most is 100$"):
            build(ENDPOINTS, ids)


def test_batches_hold_every_id_once_and_never_too_many() -> None:
    ids = tuple(map(str, range(250)))
    assert [len(batch) for batch in videos.batches(ids)] == [100, 100, 50]
    assert tuple(each for batch in videos.batches(ids) for each in batch) == ids
    assert list(videos.batches(())) == []


# A published integration deleted all of a user's videos. Nothing but the one method may say `delete_type=0`, and no
# list of ids may come out empty.
@pytest.mark.parametrize(
    "ids", [(), ("",), ("a", ""), (" ",), ("a,b",), ("a;b",), ("a&delete_type=0",), (None,), "abc"]
)
def test_a_deletion_of_no_particular_video_is_refused(ids: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^file_ids? "):
        videos.delete_videos(ENDPOINTS, ids)


@pytest.mark.parametrize("ids", [(), ("",), ("a,b",), ("a&page=2",), "abc"])
def test_a_list_of_no_particular_video_is_refused(ids: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^file_ids? "):
        videos.list_videos(ENDPOINTS, ids, 1, 20)


@pytest.mark.parametrize("operation", [videos.get_status, videos.get_urls])
@pytest.mark.parametrize("file_id", ["", "a b", "a,b", "a&b", "é", None])
def test_file_ids_that_could_split_a_query_are_refused(operation: Any, file_id: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^file_id "):
        operation(ENDPOINTS, file_id)


def test_only_one_method_deletes_everything() -> None:
    for call, _ in OUT:
        assert (("delete_type", "0") in call.request.query) == (call.operation == "delete_all_videos")
