"""The gateway by the letter of tus 1.0.0: every header and every status, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from iqiyi_async import ConfigurationError, Metadata, SqliteJournal
from iqiyi_async.emulator import Fault, FaultPlan
from iqiyi_async.web import TusGateway, UploadGrant

from ..engine.tools import ONCE, cloud, content, until
from .conftest import Gateways, grant
from .tus import BODY, VERSION, Tus, encoded

pytestmark = pytest.mark.anyio

SIZE = 300_000
FILM = content(SIZE)


def faults(gateways: Gateways, *faults: Fault) -> None:
    gateways.emulator.use_faults(FaultPlan(faults))


def videos(gateways: Gateways) -> list[Any]:
    """What was finished."""
    return [each for each in gateways.emulator.files.values() if each.finished_at is not None]


def stored(gateways: Gateways) -> list[bytes]:
    """What has become a video."""
    return [gateways.emulator.content(each.file_id) for each in videos(gateways)]


async def test_an_upload_in_one_piece_becomes_a_video(gateways: Gateways) -> None:
    tus = await gateways()
    answer = await tus.create(SIZE)
    assert answer.status_code == 201
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers["Upload-Offset"] == "0"
    assert "GMT" in answer.headers["Upload-Expires"]
    url = answer.headers["Location"]
    assert url.startswith(tus.endpoint)
    assert len(url.removeprefix(tus.endpoint)) == 32

    answer = await tus.patch(url, 0, FILM)
    assert (answer.status_code, answer.headers["Upload-Offset"], answer.content) == (204, str(SIZE), b"")
    assert stored(gateways) == [FILM]
    answer = await tus.head(url)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (200, str(SIZE))
    assert answer.headers["Upload-Length"] == str(SIZE)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Upload-Metadata"] == encoded(filename="film.mp4")
    assert gateways.emulator.violations == ()


@pytest.mark.parametrize("chunk", [1, 70_000, 64 * 1024, SIZE - 1])
async def test_an_upload_in_several_pieces(gateways: Gateways, chunk: int) -> None:
    data = FILM if chunk > 1 else FILM[:7]
    tus = await gateways()
    url = await tus.new(len(data))
    for offset in range(0, len(data), chunk):
        piece = data[offset : offset + chunk]
        answer = await tus.patch(url, offset, piece)
        assert answer.status_code == 204, answer.text
        assert answer.headers["Upload-Offset"] == str(offset + len(piece))
    assert stored(gateways) == [data]


async def test_ranges_are_cut_evenly(gateways: Gateways) -> None:
    tus = await gateways(chunk_size=100_000)
    await tus.patch(await tus.new(210_000), 0, content(210_000))
    ranges = [(each.first, each.last) for each in gateways.emulator.history if each.operation == "upload_chunk"]
    assert sorted(ranges) == [(0, 69_999), (70_000, 139_999), (140_000, 209_999)]


async def test_a_creation_may_bring_bytes(gateways: Gateways) -> None:
    tus = await gateways()
    for data, there in ((FILM, SIZE), (FILM[:1000], 1000), (b"", 0)):
        answer = await tus.request(
            "POST", tus.endpoint, data, **BODY, Upload_Length=str(SIZE), Upload_Metadata=encoded(filename="a.mp4")
        )
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, str(there)), answer.text
    assert stored(gateways) == [FILM]


async def test_a_creation_whose_bytes_could_not_be_taken_stands(gateways: Gateways) -> None:
    tus = await gateways()
    faults(gateways, Fault(operation="upload_chunk", status=503))
    answer = await tus.request("POST", tus.endpoint, FILM, **BODY, Upload_Length=str(SIZE))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "0")
    faults(gateways)
    await tus.send_all(answer.headers["Location"], FILM)
    assert stored(gateways) == [FILM]


async def test_a_creation_whose_end_the_application_could_not_note_stands(gateways: Gateways) -> None:
    told: list[str] = []

    async def on_finish(upload: Any, receipt: Any) -> None:
        told.append(receipt.file_id)
        if len(told) == 1:
            raise RuntimeError("the database is down")

    tus = await gateways(on_finish=on_finish)
    answer = await tus.request("POST", tus.endpoint, FILM, **BODY, Upload_Length=str(SIZE))
    # A client without the URL would create a second upload, and the video would be there twice.
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "0")
    assert await tus.offset(answer.headers["Location"]) == SIZE
    assert len(videos(gateways)) == 1
    assert len(told) == 2


async def test_a_creation_with_a_wrong_body_leaves_nothing(gateways: Gateways) -> None:
    tus = await gateways()
    wrong = f"sha1 {base64.b64encode(hashlib.sha1(b'other').digest()).decode()}"
    for headers, status in (({"Upload_Checksum": wrong}, 460), ({"Upload_Checksum": "crc32 x"}, 400), ({}, 413)):
        body = FILM + b"x" if status == 413 else FILM
        answer = await tus.request("POST", tus.endpoint, body, **BODY, Upload_Length=str(SIZE), **headers)
        assert answer.status_code == status
        assert gateways.emulator.open_uploads() == ()


async def test_headers_that_are_there_twice_are_refused(gateways: Gateways) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    twice: list[tuple[str, str, list[tuple[str, str]]]] = [
        ("POST", tus.endpoint, [("Upload-Length", "1"), ("Upload-Length", "2")]),
        ("POST", tus.endpoint, [("Upload-Length", "1"), ("Upload-Metadata", "a"), ("Upload-Metadata", "b")]),
        ("PATCH", url, [*BODY.items(), ("Upload-Offset", "0"), ("Upload-Offset", "5")]),
        ("HEAD", url, [("Tus-Resumable", "1.0.0")]),
    ]
    for method, where, headers in twice:
        answer = await tus.http.request(method, where, headers=[*VERSION.items(), *headers])
        assert answer.status_code == 400, headers
    assert await tus.offset(url) == 0


async def test_an_empty_body_at_the_end_is_none_too_many(gateways: Gateways) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    await tus.patch(url, 0, FILM)
    answer = await tus.patch(url, SIZE, b"")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(SIZE))
    assert (await tus.patch(url, SIZE, b"x")).status_code == 409
    assert (await tus.patch(url, 0, b"")).status_code == 409


async def test_no_answer_may_be_kept_by_a_cache(gateways: Gateways) -> None:
    tus = await gateways()
    for answer in (await tus.head(f"{tus.endpoint}{'0' * 32}"), await tus.head(await tus.new(SIZE))):
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("fails", ["authenticate", "on_create"])
async def test_a_page_of_another_origin_sees_that_the_application_failed(gateways: Gateways, fails: str) -> None:
    async def fail(*_: Any) -> Any:
        raise RuntimeError("the database is down")

    tus = await gateways(**{fails: fail})
    answer = await tus.create(SIZE)
    assert answer.status_code == 500
    assert (answer.headers["Access-Control-Allow-Origin"], answer.headers["Tus-Resumable"]) == ("*", "1.0.0")
    assert "database" not in answer.text


async def test_a_name_that_can_be_no_video_is_refused(gateways: Gateways) -> None:
    tus = await gateways()
    answer = await tus.create(SIZE, "nul\0.mp4")
    assert answer.status_code == 422
    assert "name" in answer.text


@pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha256", "sha512"])
async def test_a_body_is_held_against_its_checksum(gateways: Gateways, algorithm: str) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    digest = base64.b64encode(hashlib.new(algorithm, FILM).digest()).decode()
    answer = await tus.patch(url, 0, FILM[:-1] + b"?", Upload_Checksum=f"{algorithm} {digest}")
    assert answer.status_code == 460
    assert await tus.offset(url) == 0
    answer = await tus.patch(url, 0, FILM, Upload_Checksum=f"{algorithm} {digest}")
    assert answer.status_code == 204, answer.text
    assert stored(gateways) == [FILM]


@pytest.mark.parametrize("text", ["sha1", "sha1 !!", "crc32 AAAA", f"sha256 {base64.b64encode(b'short').decode()}"])
async def test_a_checksum_that_means_nothing_is_refused(gateways: Gateways, text: str) -> None:
    tus = await gateways()
    assert (await tus.patch(await tus.new(SIZE), 0, FILM, Upload_Checksum=text)).status_code == 400


async def test_options_say_what_there_is(gateways: Gateways) -> None:
    tus = await gateways(max_size=10**9)
    answer = await tus.http.options(tus.endpoint)
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers["Tus-Max-Size"] == "1000000000"
    extensions = answer.headers["Tus-Extension"].split(",")
    assert set(extensions) == {"creation", "creation-with-upload", "termination", "expiration", "checksum"}
    assert {"sha1", "md5", "sha256"} <= set(answer.headers["Tus-Checksum-Algorithm"].split(","))


async def test_a_browser_of_another_origin_may_ask(gateways: Gateways) -> None:
    tus = await gateways()
    origin = {"Origin": "https://example.org"}
    answer = await tus.http.options(tus.endpoint, headers={**origin, "Access-Control-Request-Method": "PATCH"})
    assert answer.status_code == 204
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert {"tus-resumable", "upload-offset", "upload-length", "upload-metadata", "content-type"} <= set(
        allowed.replace(" ", "").split(",")
    )
    for answer in (await tus.create(SIZE, **origin), await tus.http.get(tus.endpoint, headers=origin)):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "location" in answer.headers["Access-Control-Expose-Headers"].lower()


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1"])
async def test_another_version_is_refused(gateways: Gateways, version: str | None) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    headers = {} if version is None else {"Tus-Resumable": version}
    for method, where in (("HEAD", url), ("PATCH", url), ("DELETE", url), ("POST", tus.endpoint)):
        answer = await tus.http.request(method, where, headers={**headers, **BODY, "Upload-Offset": "0"})
        assert (answer.status_code, answer.headers["Tus-Version"]) == (412, "1.0.0")


async def test_what_can_be_no_creation(gateways: Gateways) -> None:
    tus = await gateways(max_size=SIZE)
    cases: list[tuple[dict[str, str], int]] = [
        ({}, 400),
        ({"Upload-Length": "0"}, 400),
        ({"Upload-Length": "-1"}, 400),
        ({"Upload-Length": "1e3"}, 400),
        ({"Upload-Length": "9" * 17}, 413),
        ({"Upload-Length": "9" * 41}, 400),
        ({"Upload-Defer-Length": "1"}, 400),
        ({"Upload-Length": "5", "Upload-Concat": "partial"}, 400),
        ({"Upload-Length": "5", "Upload-Metadata": "filename !!"}, 400),
        ({"Upload-Length": "5", "Upload-Metadata": "a YQ==,a YQ=="}, 400),
        ({"Upload-Length": str(SIZE + 1)}, 413),
    ]
    for headers, status in cases:
        answer = await tus.http.post(tus.endpoint, headers={**VERSION, **headers})
        assert (answer.status_code, answer.headers["Tus-Resumable"]) == (status, "1.0.0"), headers
    assert (await tus.http.post(tus.endpoint, headers={**VERSION, "Upload-Length": str(SIZE)})).status_code == 201


async def test_what_can_be_no_patch(gateways: Gateways) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    answer = await tus.request("PATCH", url, b"x", Upload_Offset="0", Content_Type="text/plain")
    assert answer.status_code == 415
    assert (await tus.request("PATCH", url, b"x", **BODY)).status_code == 400
    assert (await tus.patch(url, 0, FILM + b"x")).status_code == 413
    answer = await tus.patch(url, 5, FILM[5:])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "0")
    assert (await tus.patch(url, 0, b"")).status_code == 204
    assert await tus.offset(url) == 0
    assert (await tus.patch(f"{tus.endpoint}{'0' * 32}", 0, FILM)).status_code == 404
    assert (await tus.head(f"{tus.endpoint}..%2f")).status_code == 404
    assert (await tus.request("PUT", url)).status_code == 405
    assert (await tus.http.get(url)).status_code == 405


async def test_a_body_in_pieces_of_unknown_number(gateways: Gateways) -> None:
    async def pieces(data: bytes) -> Any:
        for start in range(0, len(data), 50_000):
            yield data[start : start + 50_000]

    tus = await gateways()
    url = await tus.new(SIZE)
    assert (await tus.patch(url, 0, pieces(FILM + b"more"))).status_code == 413
    await tus.send_all(url, FILM)
    assert stored(gateways) == [FILM]
    url = await tus.new(SIZE)
    answer = await tus.patch(url, 0, pieces(FILM))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(SIZE))


@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
async def test_a_method_may_be_overridden(gateways: Gateways, method: str) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    answer = await tus.request(method, url, FILM[:10], **BODY, Upload_Offset="0", X_HTTP_Method_Override="patch")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "10")
    answer = await tus.request("POST", url, X_HTTP_Method_Override="HEAD")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (200, "10")
    assert (await tus.request("POST", url, X_HTTP_Method_Override="DELETE")).status_code == 204


async def test_a_deleted_upload_is_gone(gateways: Gateways) -> None:
    tus = await gateways()
    for sent in (b"", FILM[:100_000]):
        url = await tus.new(SIZE)
        if sent:
            await tus.patch(url, 0, sent)
        assert (await tus.request("DELETE", url)).status_code == 204
        for answer in (await tus.head(url), await tus.patch(url, 0, FILM), await tus.request("DELETE", url)):
            assert answer.status_code == 410
    assert gateways.emulator.open_uploads() == ()


async def test_a_deleted_upload_that_was_finished_stays_a_video(gateways: Gateways) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    await tus.patch(url, 0, FILM)
    assert (await tus.request("DELETE", url)).status_code == 204
    assert (await tus.head(url)).status_code == 410
    assert stored(gateways) == [FILM]


async def test_a_deletion_that_the_service_can_not_be_told_is_503(gateways: Gateways) -> None:
    tus = await gateways(call_retry=ONCE)
    url = await tus.new(SIZE)
    await tus.patch(url, 0, FILM[:100_000])
    faults(gateways, Fault(operation="cancel_upload", status=503))
    answer = await tus.request("DELETE", url)
    assert answer.status_code == 503
    assert "could not be cancelled" in answer.text
    assert len(gateways.emulator.open_uploads()) == 1
    faults(gateways)
    # It was announced: whoever comes next ends it.
    assert (await tus.request("DELETE", url)).status_code in (204, 410)
    assert gateways.emulator.open_uploads() == ()
    assert (await tus.head(url)).status_code == 410


async def test_an_upload_expires(gateways: Gateways) -> None:
    tus = await gateways(expires=0.5)
    url = await tus.new(SIZE)
    await tus.patch(url, 0, FILM[:100_000])
    assert len(gateways.emulator.open_uploads()) == 1
    await until(lambda: not gateways.emulator.open_uploads())
    assert (await tus.head(url)).status_code == 410
    assert (await tus.patch(url, 100_000, FILM[100_000:])).status_code == 410


async def test_an_upload_that_expires_in_an_outage_is_cancelled_after_it(gateways: Gateways) -> None:
    tus = await gateways(expires=0.5)
    url = await tus.new(SIZE)
    await tus.patch(url, 0, FILM[:100_000])
    faults(gateways, Fault(operation="cancel_upload", status=503))
    await until(lambda: any(each.operation == "cancel_upload" for each in gateways.emulator.history))
    faults(gateways)
    await until(lambda: not gateways.emulator.open_uploads())
    assert (await tus.head(url)).status_code == 410


async def test_an_upload_expires_although_a_body_is_open(gateways: Gateways) -> None:
    tus = await gateways(expires=0.5)
    url = await tus.new(SIZE)
    raw = await tus.begin_patch(url, 0, SIZE)
    await raw.send(FILM[:100_000])
    await until(lambda: bool(gateways.emulator.open_uploads()))
    await until(lambda: not gateways.emulator.open_uploads(), seconds=10)
    assert (await tus.head(url)).status_code == 410
    await raw.aclose()


async def test_the_application_is_told_of_a_video_although_its_browser_never_came_back(gateways: Gateways) -> None:
    told: list[str] = []
    working = False

    async def on_finish(upload: Any, receipt: Any) -> None:
        told.append(receipt.file_id)
        if not working:
            raise RuntimeError("the database is down")

    tus = await gateways(on_finish=on_finish, expires=0.5)
    url = await tus.new(SIZE)
    assert (await tus.patch(url, 0, FILM)).status_code == 500
    await until(lambda: len(told) == 2)
    # Who comes back in between does not upload the film again.
    assert (await tus.head(url)).status_code == 500
    working = True
    assert await tus.offset(url) == SIZE
    (video,) = videos(gateways)
    assert set(told) == {video.file_id}
    count = len(told)
    await asyncio.sleep(0.6)
    assert len(told) == count


async def test_an_upload_is_its_owners(gateways: Gateways) -> None:
    async def authenticate(request: Any) -> str:
        if "x-user" not in request.headers:
            raise HTTPException(401, "who are you?")
        return request.headers["x-user"]

    async def on_create(request: Any, upload: Any) -> UploadGrant:
        return UploadGrant(Metadata("a film"), owner=request.headers["x-user"])

    tus = await gateways(authenticate=authenticate, on_create=on_create)
    assert (await tus.create(SIZE)).status_code == 401
    url = await tus.new(SIZE, X_User="ann")
    for user, status in (("bob", 404), ("ann", 200)):
        assert (await tus.head(url, X_User=user)).status_code == status
    assert (await tus.patch(url, 0, FILM, X_User="bob")).status_code == 404
    assert (await tus.request("DELETE", url, X_User="bob")).status_code == 404
    assert (await tus.http.get(f"{url}/events", headers={"X-User": "bob"})).status_code == 404
    assert (await tus.head(url)).status_code == 401
    assert (await tus.http.options(url)).status_code == 204
    assert (await tus.patch(url, 0, FILM, X_User="ann")).status_code == 204


async def test_whoever_creates_without_naming_an_owner_is_the_owner(gateways: Gateways) -> None:
    async def authenticate(request: Any) -> str:
        return request.headers["x-user"]

    tus = await gateways(authenticate=authenticate)
    url = await tus.new(SIZE, X_User="ann")
    assert (await tus.head(url, X_User="ann")).status_code == 200
    assert (await tus.head(url, X_User="bob")).status_code == 404


async def test_the_application_says_what_may_be_uploaded(gateways: Gateways) -> None:
    seen: list[Any] = []

    async def on_create(request: Any, upload: Any) -> UploadGrant:
        seen.append(upload)
        if upload.metadata["filename"] == "bad":
            raise HTTPException(403, "not here", headers={"X-Why": "bad"})
        return UploadGrant(Metadata("海南", tags=("a", "b")), max_size=1000, group="tenant", file_type="mov")

    tus = await gateways(on_create=on_create)
    answer = await tus.create(10, "bad")
    assert (answer.status_code, answer.text, answer.headers["X-Why"]) == (403, "not here\n", "bad")
    assert (await tus.create(1001)).status_code == 413
    url = await tus.new(1000, "海南.mp4")
    assert (seen[-1].size, dict(seen[-1].metadata)) == (1000, {"filename": "海南.mp4"})
    assert url.endswith(seen[-1].id)
    assert (await tus.patch(url, 0, FILM[:1000])).status_code == 204
    (video,) = videos(gateways)
    assert video.name == "海南"


async def test_the_application_is_told_before_the_last_bytes_are_acknowledged(gateways: Gateways) -> None:
    told: list[Any] = []
    working = False

    async def on_finish(upload: Any, receipt: Any) -> None:
        told.append((upload.id, receipt.file_id, receipt.size, dict(upload.metadata)))
        if not working:
            raise RuntimeError("the database is down")

    tus = await gateways(on_finish=on_finish)
    url = await tus.new(SIZE)
    assert (await tus.patch(url, 0, FILM)).status_code == 500
    assert (await tus.head(url)).status_code == 500
    working = True
    assert await tus.offset(url) == SIZE
    assert await tus.offset(url) == SIZE
    (video,) = videos(gateways)
    assert told == [(url[-32:], video.file_id, SIZE, {"filename": "film.mp4"})] * 3


async def test_what_the_service_refuses_for_good_is_refused(gateways: Gateways) -> None:
    tus = await gateways()
    faults(gateways, Fault(operation="set_metadata", code="Q00001"))
    url = await tus.new(SIZE)
    answer = await tus.patch(url, 0, FILM)
    assert answer.status_code == 422
    assert "set_metadata" in answer.text
    assert (await tus.head(url)).status_code == 422
    assert (await tus.patch(url, 0, FILM)).status_code == 422
    assert stored(gateways) == []
    assert gateways.emulator.open_uploads() == ()


async def test_what_is_refused_for_good_and_can_not_be_cancelled_is_refused_too(
    gateways: Gateways, caplog: pytest.LogCaptureFixture
) -> None:
    tus = await gateways(call_retry=ONCE)
    faults(gateways, Fault(operation="set_metadata", code="Q00001"), Fault(operation="cancel_upload", status=503))
    url = await tus.new(SIZE)
    assert (await tus.patch(url, 0, FILM)).status_code == 422
    assert "could not be cancelled" in caplog.text
    assert (await tus.head(url)).status_code == 422


async def test_a_quota_that_is_used_up_is_a_refusal(gateways: Gateways) -> None:
    tus = await gateways()
    faults(gateways, Fault(operation="request_upload", code="A00018"))
    assert (await tus.patch(await tus.new(SIZE), 0, FILM)).status_code == 422


@pytest.mark.parametrize("operation", ["request_upload", "upload_chunk", "set_metadata", "finish_upload"])
async def test_an_outage_of_the_service_is_503(gateways: Gateways, operation: str) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    faults(gateways, Fault(operation=operation, status=503))
    answer = await tus.patch(url, 0, FILM)
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    answer = await tus.head(url)
    assert answer.status_code == 200
    assert int(answer.headers["Upload-Offset"]) < SIZE
    faults(gateways)
    await tus.send_all(url, FILM)
    assert stored(gateways) == [FILM]


async def test_the_end_is_not_acknowledged_while_it_is_in_doubt(gateways: Gateways) -> None:
    tus = await gateways(chunk_size=100_000)
    url = await tus.new(SIZE)
    faults(gateways, Fault(operation="finish_upload", status=503))
    assert (await tus.patch(url, 0, FILM)).status_code == 503
    assert await tus.offset(url) == 200_000
    chunks = len([each for each in gateways.emulator.history if each.operation == "upload_chunk"])
    faults(gateways, Fault(operation="finish_upload", call=1, status=503, times=1))
    # The same bytes: they are swallowed.
    answer = await tus.patch(url, 200_000, FILM[200_000:])
    assert answer.status_code in (204, 503)
    await tus.send_all(url, FILM)
    assert stored(gateways) == [FILM]
    assert len([each for each in gateways.emulator.history if each.operation == "upload_chunk"]) == chunks


async def test_other_bytes_at_the_end_are_not_swallowed(gateways: Gateways) -> None:
    tus = await gateways(chunk_size=100_000)
    url = await tus.new(SIZE)
    faults(gateways, Fault(operation="finish_upload", status=503))
    assert (await tus.patch(url, 0, FILM)).status_code == 503
    assert (await tus.patch(url, 200_000, b"?" * 100_000)).status_code == 409
    faults(gateways)
    assert (await tus.patch(url, 200_000, b"?" * 50_000)).status_code == 204
    assert (await tus.patch(url, 250_000, b"!" * 50_000)).status_code == 204
    assert stored(gateways) == [FILM[:200_000] + b"?" * 50_000 + b"!" * 50_000]


async def test_a_finish_whose_answer_was_lost_is_asked_for(gateways: Gateways) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    faults(gateways, Fault(operation="finish_upload", lost_answer=True), Fault(operation="get_status", status=503))
    assert (await tus.patch(url, 0, FILM)).status_code == 503
    faults(gateways)
    assert await tus.offset(url) == SIZE
    assert stored(gateways) == [FILM]
    assert len(videos(gateways)) == 1


async def test_an_upload_that_the_service_has_dropped_starts_over(gateways: Gateways) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    await tus.patch(url, 0, FILM[:100_000])
    faults(gateways, Fault(operation="upload_chunk", call=1, drop_file=True))
    assert (await tus.patch(url, 100_000, FILM[100_000:])).status_code == 409
    assert await tus.offset(url) == 0
    await tus.send_all(url, FILM)
    assert stored(gateways) == [FILM]


async def test_too_many_uploads_are_refused_in_time(gateways: Gateways) -> None:
    tus = await gateways(max_pending_uploads=1)
    url = await tus.new(SIZE)
    raw = await tus.begin_patch(url, 0, SIZE)
    await raw.send(FILM[:1000])
    await until(lambda: gateways.client.stats().active == 1)
    answer = await tus.create(SIZE)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    await raw.send(FILM[1000:])
    assert await raw.status() == 204
    await raw.aclose()
    assert (await tus.create(SIZE)).status_code == 201


async def test_behind_a_proxy_the_url_is_what_the_browser_sees(gateways: Gateways) -> None:
    tus = await gateways(root_path="/api")
    answer = await tus.create(SIZE, X_Forwarded_Proto="https", X_Forwarded_Host="films.example")
    assert answer.headers["Location"].startswith("https://films.example/api/uploads/")
    answer = await tus.create(SIZE, X_Forwarded_Proto="gopher", X_Forwarded_Host="a b<c>")
    assert answer.headers["Location"].startswith("http://127.0.0.1:")


def listen(tus: Tus, url: str) -> tuple[asyncio.Task[None], list[dict[str, Any]]]:
    """Listen to an upload's events beside the test; what they told so far."""
    seen: list[dict[str, Any]] = []

    async def listening() -> None:
        async for data in tus.events(url):
            told = json.loads(data)
            seen.append(told)

    return asyncio.create_task(listening()), seen


async def test_events_tell_both_halves_and_the_end(gateways: Gateways) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    listening, seen = listen(tus, url)
    await until(lambda: bool(seen))
    assert seen[0] == {
        "state": "receiving", "size": SIZE, "received": 0, "accepted": 0, "file_id": "", "problem": "",
    }  # fmt: skip
    await tus.patch(url, 0, FILM[:200_000])
    await until(lambda: seen[-1]["accepted"] == 200_000)
    await tus.patch(url, 200_000, FILM[200_000:])
    await asyncio.wait_for(listening, 10)
    (video,) = videos(gateways)
    assert (seen[-1]["state"], seen[-1]["file_id"], seen[-1]["accepted"]) == ("published", video.file_id, SIZE)
    answer = await tus.http.get(f"{url}/events", headers={"Last-Event-ID": "end"})
    assert answer.status_code == 204


async def test_events_outlive_a_store_that_fails_and_end_with_the_upload(
    gateways: Gateways, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(SqliteJournal):
        fails = 0

        async def load_upload(self, key: str) -> Any:
            if self.fails:
                self.fails -= 1
                raise OSError(28, "the disk is full")
            return await super().load_upload(key)

    journal = Failing(gateways.folder / "uploads.db")
    tus = await gateways(journal=journal)
    url = await tus.new(SIZE)
    listening, seen = listen(tus, url)
    await until(lambda: bool(seen))
    journal.fails = 1
    await until(lambda: "the disk is full" in caplog.text)
    assert (await tus.request("DELETE", url)).status_code == 204
    await asyncio.wait_for(listening, 10)
    assert [each["state"] for each in seen] == ["receiving", "cancelled"]


@pytest.mark.parametrize("closes", ["gateway", "client"])
@pytest.mark.parametrize("state", ["receiving", "publishing"])
async def test_events_end_without_a_verdict_when_the_server_ends(gateways: Gateways, closes: str, state: str) -> None:
    """A browser asks again, and another worker tells how it goes on."""
    tus = await gateways()
    faults(gateways, Fault(operation="finish_upload", lag=60.0))
    url = await tus.new(SIZE)
    listening, seen = listen(tus, url)
    if state == "publishing":
        await tus.patch(url, 0, FILM)
    await until(lambda: state in [each["state"] for each in seen])
    await (gateways.gateway if closes == "gateway" else gateways.client).aclose()
    await asyncio.wait_for(listening, 5)
    assert {each["state"] for each in seen} <= {"receiving", "publishing"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"cloud": 5},
        {"on_create": lambda request, upload: None},
        {"authenticate": 5},
        {"on_finish": lambda upload, receipt: None},
        {"max_size": 0},
        {"max_size": True},
        {"expires": 0},
        {"expires": "1"},
        {"spool": "/folder"},
    ],
    ids=lambda wrong: "-".join([*wrong, *(str(each) for each in wrong.values() if not callable(each))]),
)
def test_arguments_that_can_be_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        TusGateway(**{"cloud": cloud("http://127.0.0.1:1"), "on_create": grant, **wrong})
