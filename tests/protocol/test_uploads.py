"""Section 1: request an upload, send ranges, finish, cancel, describe."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import attrs
import pytest

from iqiyi_async.config import Endpoints
from iqiyi_async.errors import (
    AuthorizationError,
    ConfigurationError,
    InvalidParameterError,
    QuotaExceededError,
    ResponseError,
    ServiceError,
    ServiceUnavailableError,
    UnknownFileError,
)
from iqiyi_async.models import Category, Metadata, UploadTicket
from iqiyi_async.protocol import uploads
from iqiyi_async.protocol.uploads import RangeAnswer
from iqiyi_async.protocol.wire import Call, SecretName

from .table import ENDPOINTS, TOKEN, Fails, Sent, answer, check, sent

FILE = "4004551398f84a38a371e107f099d27e"
TICKET = UploadTicket(FILE, "http://qichuan.iqiyi.com/upload", 1024)
EMULATOR = Endpoints.single("http://127.0.0.1:8000")


def chunk(first: int = 0, data: bytes = b"ABCDE", ticket: UploadTicket = TICKET, **more: Any) -> Call[RangeAnswer]:
    return uploads.upload_chunk(ticket, first, data, boundary="b0undary", **more)


REQUEST = uploads.request_upload(ENDPOINTS, "mp4", 1024)
CHUNK = chunk()
FINISH = uploads.finish_upload(ENDPOINTS, FILE)
CANCEL = uploads.cancel_upload(ENDPOINTS, FILE)
DESCRIBE = uploads.set_metadata(ENDPOINTS, FILE, Metadata("Holiday"))

FORM = ("Content-Type", "multipart/form-data; boundary=b0undary")
FILE_PART = (
    b'--b0undary\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)


def fields(**named: str) -> bytes:
    """A form of fields only."""
    parts = [f'--b0undary\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{named[name]}\r\n' for name in named]
    return "".join([*parts, "--b0undary--\r\n"]).encode()


BODY: Any = {"parameters": "body", "boundary": "b0undary"}


def described(query: str) -> Sent:
    return Sent("GET", f"https://openapi.iqiyi.com/api/file/info?access_token={TOKEN}&file_id={FILE}&{query}")


OUT = [
    (
        REQUEST,
        Sent(
            "GET",
            "http://upload.iqiyi.com/openupload",
            (("filetype", "mp4"), ("filesize", "1024"), ("access_token", TOKEN)),
        ),
    ),
    # Section 1.2: ranges are inclusive and counted from 0; no `bytes=`; no token.
    (
        CHUNK,
        Sent(
            "POST",
            "http://qichuan.iqiyi.com/upload",
            (("file_id", FILE), ("file_size", "1024"), ("range", "0-4"), FORM),
            FILE_PART + b"ABCDE\r\n--b0undary--\r\n",
        ),
    ),
    (
        chunk(1023, b"\n"),
        Sent(
            "POST",
            "http://qichuan.iqiyi.com/upload",
            (("file_id", FILE), ("file_size", "1024"), ("range", "1023-1023"), FORM),
            FILE_PART + b"\n\r\n--b0undary--\r\n",
        ),
    ),
    (
        chunk(513, b"--b0undar\r\n", parameters="body"),
        Sent(
            "POST",
            "http://qichuan.iqiyi.com/upload?type=body",
            (FORM,),
            b'--b0undary\r\nContent-Disposition: form-data; name="file_id"\r\n\r\n' + FILE.encode() + b"\r\n"
            b'--b0undary\r\nContent-Disposition: form-data; name="file_size"\r\n\r\n1024\r\n'
            b'--b0undary\r\nContent-Disposition: form-data; name="range"\r\n\r\n513-523\r\n'
            + FILE_PART
            + b"--b0undar\r\n\r\n--b0undary--\r\n",
        ),
    ),
    # The document's "body 参数支持" (1.3, 1.4) and the recordings (1.1): no header with an underscore anywhere.
    (
        uploads.request_upload(ENDPOINTS, "mp4", 1024, **BODY),
        Sent(
            "POST",
            "http://qichuan.iqiyi.com/openupload?type=body",
            (FORM,),
            fields(filetype="mp4", filesize="1024", access_token=TOKEN),
        ),
    ),
    (
        uploads.finish_upload(ENDPOINTS, FILE, **BODY),
        Sent(
            "POST",
            "http://qichuan.iqiyi.com/upload?type=body",
            (FORM,),
            fields(range_finished="true", access_token=TOKEN, file_id=FILE),
        ),
    ),
    (
        uploads.cancel_upload(ENDPOINTS, FILE, **BODY),
        Sent(
            "POST",
            "http://qichuan.iqiyi.com/cancelupload?type=body",
            (FORM,),
            fields(status="2", access_token=TOKEN, file_id=FILE),
        ),
    ),
    # The address is the server's word: whatever query it has stays.
    (
        chunk(ticket=UploadTicket(FILE, "http://220.181.184.157/upload?node=7%2F&x", 5), parameters="body"),
        Sent(
            "POST",
            "http://220.181.184.157/upload?node=7%2F&x&type=body",
            (FORM,),
            b'--b0undary\r\nContent-Disposition: form-data; name="file_id"\r\n\r\n' + FILE.encode() + b"\r\n"
            b'--b0undary\r\nContent-Disposition: form-data; name="file_size"\r\n\r\n5\r\n'
            b'--b0undary\r\nContent-Disposition: form-data; name="range"\r\n\r\n0-4\r\n'
            + FILE_PART
            + b"ABCDE\r\n--b0undary--\r\n",
        ),
    ),
    (
        FINISH,
        Sent(
            "POST",
            "http://upload.iqiyi.com/uploadfinish",
            (("range_finished", "true"), ("access_token", TOKEN), ("file_id", FILE)),
        ),
    ),
    (
        CANCEL,
        Sent(
            "POST",
            "http://upload.iqiyi.com/cancelupload",
            (("status", "2"), ("access_token", TOKEN), ("file_id", FILE)),
        ),
    ),
    # The description is required, so it is sent, empty.
    (DESCRIBE, described("file_name=Holiday&description=")),
    (
        uploads.set_metadata(
            ENDPOINTS,
            FILE,
            Metadata("假期 & more", description="a+b=c?\n100%", tags=("海", "b c"), category=Category.TRAVEL),
        ),
        described(
            "file_name=%E5%81%87%E6%9C%9F%20%26%20more&description=a%2Bb%3Dc%3F%0A100%25&tags=%E6%B5%B7%2Cb%20c&file_type=9"
        ),
    ),
]


@pytest.mark.parametrize(("call", "out"), OUT)
def test_requests(call: Call[Any], out: Sent) -> None:
    assert sent(call) == out


def test_which_calls_carry_the_token_and_which_may_be_repeated() -> None:
    calls = (REQUEST, CHUNK, FINISH, CANCEL, DESCRIBE)
    assert [call for call in calls if call.request.secrets != {SecretName.ACCESS_TOKEN}] == [CHUNK]
    assert CHUNK.request.secrets == frozenset()
    assert [call.operation for call in calls if not call.repeatable] == ["finish_upload"]
    assert [call.file_id for call in calls] == [None, FILE, FILE, FILE, FILE]


REFUSED_TICKET = Fails(ResponseError, status=200, retryable=False)

REQUEST_ANSWERS = [
    # The document's own example.
    ('{"code": "A00000", "data": {"upload_url":\n"http://220.181.184.157/upload", "file_id":\n"' + FILE + '"}}',
     UploadTicket(FILE, "http://220.181.184.157/upload", 1024)),
    ('{"code ":"A00000","data ":{"upload_url ":" http://qichuan.iqiyi.com/upload ","file_id ":"7 "}}',
     UploadTicket("7", "http://qichuan.iqiyi.com/upload", 1024)),
    ('{"code":"A00000","data":{"upload_url":"https://qichuan.iqiyi.com:8443/u?a=1","file_id":7,"ttl":null}}',
     UploadTicket("7", "https://qichuan.iqiyi.com:8443/u?a=1", 1024)),
    ('{"code":"A00005"}', Fails(AuthorizationError, code="A00005", retryable=False)),
    ('{"code":"A00007","msg":"rejected"}', Fails(AuthorizationError, code="A00007", retryable=False)),
    ('{"code":"A00008"}', Fails(AuthorizationError, code="A00008", retryable=False)),
    ('{"code":"A00009"}', Fails(AuthorizationError, code="A00009", retryable=False)),
    ('{"code":"A00010","msg":"参数"}', Fails(InvalidParameterError, code="A00010", message="参数", retryable=False)),
    ('{"code":"A00018"}', Fails(QuotaExceededError, code="A00018", retryable=False)),
    ('{"code":"A21327"}', Fails(AuthorizationError, code="A21327")),
    ('{"code":"A21332"}', Fails(AuthorizationError, code="A21332")),
    ('{"code":"A21331"}', Fails(ServiceUnavailableError, code="A21331", retryable=True)),
    ('{"code":"A00004","msg":"?"}', Fails(ServiceError, code="A00004", message="?")),
    ('{"code":"A0000","data":{}}', Fails(ServiceError, code="A0000")),
    ('{"data":{"upload_url":"http://qichuan.iqiyi.com/upload","file_id":"7"}}', Fails(ResponseError, retryable=True)),
    ('{"code":"A00000"}', REFUSED_TICKET),
    ('{"code":"A00000","data":[]}', REFUSED_TICKET),
    ('{"code":"A00000","data":{"file_id":"7"}}', REFUSED_TICKET),
    ('{"code":"A00000","data":{"upload_url":"http://qichuan.iqiyi.com/upload","file_id":null}}', REFUSED_TICKET),
    ('{"code":"A00000","data":{"upload_url":"http://qichuan.iqiyi.com/upload","file_id":"a,b"}}', REFUSED_TICKET),
    ('{"code":"A00000","data":{"upload_url":"http://qichuan.iqiyi.com/upload","file_id":"a\\r\\nb"}}', REFUSED_TICKET),
    ('{"code":"A00000","data":{"upload_url":"http://qichuan.iqiyi.com/upload","file_id":"' + "7" * 257 + '"}}',
     REFUSED_TICKET),
    ('{"code":"A00000","data":{"upload_url":"http://127.0.0.1/upload","file_id":"7"}}', REFUSED_TICKET),
    ('{"code":"A00000","data":{"upload_url":"http://169.254.169.254/latest","file_id":"7"}}', REFUSED_TICKET),
    ('{"code":"A00000","data":{"upload_url":"ftp://qichuan.iqiyi.com/upload","file_id":"7"}}', REFUSED_TICKET),
    ('{"code":"A00000","data":{"upload_url":"http://u@qichuan.iqiyi.com/upload","file_id":"7"}}', REFUSED_TICKET),
    ('{"code":"A00000","data":{"upload_url":"/upload","file_id":"7"}}', REFUSED_TICKET),
    ('{"code":"A00000","data":{"upload_url":["http://qichuan.iqiyi.com"],"file_id":"7"}}', REFUSED_TICKET),
]  # fmt: skip

MD5 = "6f81e24140e8a84e176ebf02eece3e56"

CHUNK_ANSWERS = [
    ('{"code": "A00000", "range_md5":\n"' + MD5 + '", "file_range_accepted": 25,\n"file_id": "' + FILE + '"}',
     RangeAnswer(MD5, 25, FILE)),
    ('{"code ":"A00000 ","range_md5 ":" ' + MD5.upper() + ' ","file_range_accepted ":" 25 ","file_id":null}',
     RangeAnswer(MD5, 25, None)),
    ('{"code":"A00000","range_md5":"' + MD5 + '","file_range_accepted":25.0}', RangeAnswer(MD5, 25, None)),
    # At the top level as documented; in the envelope too, should the service ever wrap it.
    ('{"code":"A00000","data":{"range_md5":"' + MD5 + '","file_range_accepted":"25"}}', RangeAnswer(MD5, 25, None)),
    ('{"code":"A00005"}', Fails(UnknownFileError, code="A00005", file_id=FILE, retryable=False)),
    ('{"code":"A00010"}', Fails(InvalidParameterError, code="A00010", file_id=FILE, retryable=False)),
    ('{"code":"A00007"}', Fails(ServiceError, code="A00007", file_id=FILE)),
    ('{"code":"Q00001"}', Fails(ServiceError, code="Q00001", file_id=FILE)),
    ('{"range_md5":"' + MD5 + '","file_range_accepted":25}', Fails(ResponseError, retryable=True)),
    ('{"code":"A00000"}', Fails(ResponseError)),
    ('{"code":"A00000","file_range_accepted":25}', Fails(ResponseError)),
    ('{"code":"A00000","range_md5":"' + MD5 + '"}', Fails(ResponseError)),
    ('{"code":"A00000","range_md5":null,"file_range_accepted":25}', Fails(ResponseError)),
    ('{"code":"A00000","range_md5":"' + MD5 + '","file_range_accepted":"all"}', Fails(ResponseError)),
    ('{"code":"A00000","range_md5":"' + MD5 + '","file_range_accepted":24.9}', Fails(ResponseError)),
    ('{"code":"A00000","range_md5":"' + MD5 + '","file_range_accepted":true}', Fails(ResponseError)),
    ('{"code":"A00000","range_md5":"' + MD5 + '","file_range_accepted":NaN}', Fails(ResponseError)),
    ('{"code":"A00000","range_md5":"' + MD5 + '","file_range_accepted":1e999}', Fails(ResponseError)),
    ('{"code":"A00000","range_md5":"' + MD5 + '","file_range_accepted":' + "9" * 4000 + "}", Fails(ResponseError)),
    ('{"code":"A00000","range_md5":"' + MD5 + '","file_range_accepted":' + "9" * 5000 + "}", Fails(ResponseError)),
]  # fmt: skip

CODE_ONLY_ANSWERS = [
    ('{"code":"A00000"}', None),
    ('{ "code ": "A00000 ", "msg": "" }', None),
    ('{"code":"A00000","data":null,"msg":null}', None),
    ('{"code":"A00000","data":[],"extra":{"deep":[1]}}', None),
    ('{"code":"Q00001","msg":" not now "}', Fails(ServiceError, code="Q00001", message="not now", retryable=False)),
    ('{"code":"A00007"}', Fails(ServiceError, code="A00007", retryable=False)),
    ('{"code":"A21332"}', Fails(AuthorizationError, code="A21332")),
    ('{"code":"B99999","msg":"?"}', Fails(ServiceError, code="B99999", message="?", file_id=FILE)),
    ('{"code":"A0000"}', Fails(ServiceError, code="A0000")),
    ('{"code":null}', Fails(ResponseError, retryable=True)),
    ('{"code":["A00000"]}', Fails(ResponseError, retryable=True)),
    ("{}", Fails(ResponseError, retryable=True)),
]


@pytest.mark.parametrize(("came", "expected"), REQUEST_ANSWERS)
def test_request_answers(came: str, expected: object) -> None:
    check(REQUEST, came, expected)


@pytest.mark.parametrize(("came", "expected"), CHUNK_ANSWERS)
def test_chunk_answers(came: str, expected: object) -> None:
    check(CHUNK, came, expected)


@pytest.mark.parametrize("call", [FINISH, CANCEL, DESCRIBE], ids=lambda call: call.operation)
@pytest.mark.parametrize(("came", "expected"), CODE_ONLY_ANSWERS)
def test_answers_that_are_a_code_and_nothing_more(call: Call[None], came: str, expected: object) -> None:
    check(call, came, expected)


def test_an_emulator_near_by_may_name_itself() -> None:
    came = answer('{"code":"A00000","data":{"upload_url":"http://127.0.0.1:8000/upload","file_id":"7"}}')
    ticket = uploads.request_upload(EMULATOR, "mp4", 9).decode(came)
    assert ticket == UploadTicket("7", "http://127.0.0.1:8000/upload", 9)


@pytest.mark.parametrize(
    ("given", "kind"),
    [("mp4", "mp4"), (".MP4", "mp4"), (" Mkv ", "mkv"), ("rmvb", "rmvb"), ("TS", "ts"), (".vob", "vob")],
)
def test_file_types_in_one_spelling(given: str, kind: str) -> None:
    assert uploads.check_file_type(given) == kind
    assert dict(uploads.request_upload(ENDPOINTS, given, 1).request.headers)["filetype"] == kind


def test_the_types_that_the_official_uploader_admits() -> None:
    assert sorted(uploads.FILE_TYPES) == sorted(
        "mpg mpeg mp4 m4v flv f4v mkv avi rm rmvb wmv mov ts vob asf wm 3gp ram dat mpe qt divx dv".split()  # noqa: SIM905
    )


@pytest.mark.parametrize(
    "given", ["", " ", ".", "mp4.exe", "a-b", "m p", "mp4\r\nX: y", "mp4\0", "x" * 5000, "ｍｐ４", None, 4]
)
def test_other_file_types_are_refused_before_any_request(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^file_type "):
        uploads.request_upload(ENDPOINTS, given, 1)


def test_a_file_type_that_is_refused_is_quoted_in_short() -> None:
    with pytest.raises(ConfigurationError, match=r"^file_type '12345678901234567890' is not the ending"):
        uploads.check_file_type("123456789012345678901")


@pytest.mark.parametrize("given", ["webm", ".HEIC", "exe", "7z"])
def test_a_type_that_nobody_is_known_to_take_is_sent_with_a_warning(given: str) -> None:
    kind = uploads.check_file_type(given)
    assert dict(uploads.request_upload(ENDPOINTS, given, 1).request.headers)["filetype"] == kind
    assert kind in (uploads.doubt_about(kind) or "")
    assert uploads.doubt_about("divx") is None


LOST = "can not find file id None"


@pytest.mark.parametrize("call", [CHUNK, FINISH, CANCEL], ids=lambda call: call.operation)
def test_headers_that_were_lost_on_the_way(call: Call[Any]) -> None:
    """Not an upload that was dropped: nothing starts over, and the error says what helps."""
    came = answer('{"msg": "' + LOST + '", "code": "A00005"}')
    check(call, came, Fails(InvalidParameterError, code="A00005", message=LOST, file_id=FILE, retryable=False))
    with pytest.raises(InvalidParameterError, match='parameters="body"'):
        call.decode(came)


@pytest.mark.parametrize(
    "call",
    [
        chunk(parameters="body"),
        uploads.finish_upload(ENDPOINTS, FILE, parameters="body", boundary="b"),
        uploads.cancel_upload(ENDPOINTS, FILE, parameters="body", boundary="b"),
    ],
    ids=lambda call: call.operation,
)
def test_a_form_that_was_lost_on_the_way(call: Call[Any]) -> None:
    """The option that helps with headers is in use already."""
    came = answer('{"msg": "' + LOST + '", "code": "A00005"}')
    check(call, came, Fails(InvalidParameterError, code="A00005", file_id=FILE, retryable=False))
    with pytest.raises(InvalidParameterError, match="in the form") as caught:
        call.decode(came)
    assert "parameters=" not in str(caught.value)


def test_a_file_id_that_is_not_known_is_something_else() -> None:
    check(CHUNK, '{"msg": "can not find file id 7", "code": "A00005"}', Fails(UnknownFileError, code="A00005"))


def test_what_was_finished_before_is_finished() -> None:
    check(FINISH, '{"code":"A00012"}', None)
    check(CANCEL, '{"code":"A00012"}', Fails(ServiceError, code="A00012"))


def test_a_range_that_is_too_large_for_a_proxy() -> None:
    with pytest.raises(ServiceError, match=r"HTTP 413.*chunk_size"):
        CHUNK.decode(answer("<h1>413 Request Entity Too Large</h1>", 413))
    with pytest.raises(ServiceError, match=r"HTTP 414$"):
        CHUNK.decode(answer("", 414))
    with pytest.raises(ServiceError, match=r"HTTP 413$"):
        FINISH.decode(answer("", 413))


@pytest.mark.parametrize("given", [0, -1, 2**53 + 1, 1.0, True, "1024", None])
def test_other_sizes_are_refused_before_any_request(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^file_size must be "):
        uploads.request_upload(ENDPOINTS, "mp4", given)


@pytest.mark.parametrize("size", [1, 2**53])
def test_sizes_up_to_their_bounds(size: int) -> None:
    assert dict(uploads.request_upload(ENDPOINTS, "mp4", size).request.headers)["filesize"] == str(size)


@pytest.mark.parametrize(
    ("first", "data"),
    [(0, b""), (1023, b""), (1024, b""), (1024, b"x"), (1023, b"xy"), (0, b"x" * 1025), (10**30, b"x")],
)
def test_a_range_outside_of_its_file_is_refused(first: int, data: bytes) -> None:
    with pytest.raises(ConfigurationError, match="is empty or outside of a file of 1024 bytes"):
        chunk(first, data)


@pytest.mark.parametrize("first", [-1, 0.0, True, "0", None])
def test_a_range_begins_with_a_whole_number(first: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^first must be "):
        chunk(first)


@pytest.mark.parametrize("file_id", ["", "a\r\nb", 'a"b', "id;", "ид", None])
def test_a_range_of_a_made_up_file_id_never_gets_into_a_header(file_id: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^file_id "):
        chunk(ticket=UploadTicket(file_id, TICKET.upload_url, 1024))


def test_a_view_counts_in_bytes_whatever_its_items_are() -> None:
    view = memoryview(b"ABCDEFGH").cast("I")
    call = chunk(0, view)  # type: ignore[arg-type]
    assert dict(call.request.headers)["range"] == "0-7"
    assert sent(call).body == FILE_PART + b"ABCDEFGH\r\n--b0undary--\r\n"
    assert call.request.body_size == len(sent(call).body)


def test_a_view_with_gaps_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="contiguous"):
        chunk(0, memoryview(b"ABCDEFGH")[::2])  # type: ignore[arg-type]


def test_the_bytes_of_a_range_are_not_copied() -> None:
    data = bytearray(b"ABCDE")
    pieces = chunk(0, memoryview(data)).request.body  # type: ignore[arg-type]
    data[0:1] = b"Z"
    assert bytes(pieces[1]) == b"ZBCDE"


@pytest.mark.parametrize(
    ("ticket", "problem"),
    [
        (UploadTicket("a b", "http://qichuan.iqiyi.com/upload", 1), "^file_id holds"),
        (UploadTicket("7", "http://qichuan.iqiyi.com/upload", 0), "^file_size must be"),
        (UploadTicket("7", "http://10.0.0.1/upload", 1), "^the ticket's upload_url is refused: it leads to a private"),
        (UploadTicket("7", "qichuan.iqiyi.com/upload", 1), "^the ticket's upload_url is refused: its scheme"),
    ],
)
def test_a_ticket_that_was_kept_or_made_is_checked_again(ticket: UploadTicket, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        uploads.check_ticket(ticket, ENDPOINTS)


def test_a_good_ticket_passes() -> None:
    uploads.check_ticket(TICKET, ENDPOINTS)
    uploads.check_ticket(UploadTicket("7", "http://10.0.0.1/upload", 1), EMULATOR)


@pytest.mark.parametrize("operation", ["finish_upload", "cancel_upload"])
@pytest.mark.parametrize("file_id", ["", "a b", "a\nb", "é", "a&b", None, "x" * 257])
def test_file_ids_that_could_split_a_header_are_refused(operation: str, file_id: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^file_id "):
        getattr(uploads, operation)(ENDPOINTS, file_id)
    with pytest.raises(ConfigurationError, match=r"^file_id "):
        uploads.set_metadata(ENDPOINTS, file_id, Metadata("x"))


DIGEST_OF_A_SET = """
from iqiyi_async import Category, Metadata
from iqiyi_async.protocol.uploads import metadata_digest
print(metadata_digest(Metadata("名", "d", {"sea", "beach", "sun", "wind"}, Category.TRAVEL)))
"""


def test_the_digest_of_metadata_is_the_same_in_every_process() -> None:
    """Tags given as a set once made another key in each process, and another video."""
    seen = {
        subprocess.run(
            [sys.executable, "-c", DIGEST_OF_A_SET],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert len(seen) == 1


def test_the_digest_of_metadata_is_the_same_in_every_release() -> None:
    """Journals keep it."""
    metadata = Metadata("名", "d", ("sea", "sun"), Category.TRAVEL)
    assert uploads.metadata_digest(metadata) == "2a3d134b367f44991498185af2e1bf0b"


@pytest.mark.parametrize(
    "other",
    [Metadata("b"), Metadata("a", "d"), Metadata("a", tags=("t",)), Metadata("a", category=Category.FILM)],
)
def test_other_metadata_have_another_digest(other: Metadata) -> None:
    assert uploads.metadata_digest(other) != uploads.metadata_digest(Metadata("a"))
    assert uploads.metadata_digest(attrs.evolve(other)) == uploads.metadata_digest(other)
