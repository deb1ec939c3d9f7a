"""multipart/form-data, held against two parsers that know nothing of this library."""

from __future__ import annotations

import re
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_multipart.multipart import MultipartParser, parse_options_header

from iqiyi_async.errors import ConfigurationError
from iqiyi_async.models import Category, Metadata, UploadTicket
from iqiyi_async.protocol import uploads, videos
from iqiyi_async.protocol.forms import content_type, form
from iqiyi_async.protocol.wire import SecretName

from .table import ENDPOINTS, VAULT, sent

BOUNDARY = "0123456789abcdef0123456789abcdef"
FILE = "4004551398f84a38a371e107f099d27e"


def by_python_multipart(header: str, body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Parts of a form: their headers, in lower case, and their content."""
    kind, options = parse_options_header(header)
    assert kind == b"multipart/form-data"
    parts: list[tuple[dict[str, str], bytes]] = []
    name = value = b""

    def begin() -> None:
        nonlocal name, value
        name = value = b""
        parts.append(({}, b""))

    def on_name(data: bytes, start: int, end: int) -> None:
        nonlocal name
        name += data[start:end]

    def on_value(data: bytes, start: int, end: int) -> None:
        nonlocal value
        value += data[start:end]

    def on_header() -> None:
        nonlocal name, value
        parts[-1][0][name.decode().lower()] = value.decode()
        name = value = b""

    def on_data(data: bytes, start: int, end: int) -> None:
        parts[-1] = (parts[-1][0], parts[-1][1] + data[start:end])

    ended = []
    callbacks: Any = {
        "on_part_begin": begin,
        "on_header_field": on_name,
        "on_header_value": on_value,
        "on_header_end": on_header,
        "on_part_data": on_data,
        "on_end": lambda: ended.append(True),
    }
    parser = MultipartParser(options[b"boundary"], callbacks)
    parser.write(body)
    parser.finalize()
    assert ended, "the form has no end"
    return parts


def by_email(header: str, body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """The same by the standard library. It takes line ends for its own, so it can only be trusted with data without."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + header.encode() + b"\r\n\r\n" + body)
    assert message.is_multipart()
    assert not message.defects
    return [
        ({k.lower(): str(v) for k, v in part.items()}, part.get_payload(decode=True)) for part in message.iter_parts()
    ]


FILE_HEADERS = {
    "content-disposition": 'form-data; name="file"; filename="file"',
    "content-type": "application/octet-stream",
}


def field(name: str, value: str) -> tuple[dict[str, str], bytes]:
    return {"content-disposition": f'form-data; name="{name}"'}, value.encode()


#: Bytes that look like the form's own: line ends, dashes, other boundaries.
tricky = st.lists(st.sampled_from([b"\r\n", b"--", b"-", b"\n", b"\r", BOUNDARY[:-1].encode(), b"\0", b"x"])).map(
    b"".join
)
contents = (st.binary(min_size=1, max_size=200) | tricky.filter(bool)).filter(
    lambda data: BOUNDARY.encode() not in data
)


@given(contents, st.integers(0, 2**52), st.integers(0, 2**40), st.sampled_from(["headers", "body"]))
def test_a_range_arrives_as_it_was_sent(data: bytes, first: int, behind: int, parameters: str) -> None:
    ticket = UploadTicket(FILE, "http://qichuan.iqiyi.com/upload", first + len(data) + behind)
    call = uploads.upload_chunk(ticket, first, data, parameters=parameters, boundary=BOUNDARY)
    out = sent(call)
    headers = dict(out.headers)
    naming = {
        "file_id": FILE,
        "file_size": str(ticket.file_size),
        "range": f"{first}-{first + len(data) - 1}",
    }
    parts = by_python_multipart(headers.pop("Content-Type"), out.body)
    assert parts[-1] == (FILE_HEADERS, data)
    if parameters == "headers":
        assert headers == naming
        assert len(parts) == 1
        assert urlsplit(out.url).query == ""
    else:
        assert headers == {}
        assert parts[:-1] == [field(*item) for item in naming.items()]
        assert urlsplit(out.url).query == "type=body"
    assert call.request.body_size == len(out.body)
    assert call.request.body[1] is data


@given(st.binary(min_size=1, max_size=100).filter(lambda data: not set(data) & set(b"\r\n")))
def test_the_standard_library_reads_the_same(data: bytes) -> None:
    body = b"".join(bytes(piece) for piece in form(BOUNDARY, (("a", "1"), ("b", "2-3")), data))
    assert by_email(content_type(BOUNDARY), body) == [field("a", "1"), field("b", "2-3"), (FILE_HEADERS, data)]


@given(st.integers(-3, 70), st.integers(0, 70), st.integers(1, 64))
def test_a_range_is_inside_of_its_file_or_refused(first: int, length: int, size: int) -> None:
    ticket = UploadTicket(FILE, "http://qichuan.iqiyi.com/upload", size)
    inside = first >= 0 and length > 0 and first + length <= size
    try:
        call = uploads.upload_chunk(ticket, first, bytes(length), boundary=BOUNDARY)
    except ConfigurationError:
        assert not inside
    else:
        assert inside
        begin, end = map(int, dict(sent(call).headers)["range"].split("-"))
        assert set(range(begin, end + 1)) == set(range(first, first + length))


#: What a title can hold: anything that can be written, line ends and tabs included.
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\t\n\r&=?#%+ ;,/"), max_size=60)
titles = texts.filter(lambda text: text.strip())


@given(
    titles,
    texts,
    st.lists(titles.map(lambda t: re.sub("[,，、]", "", t)).filter(str.strip), max_size=3),
    st.sampled_from([None, *Category]),
)
def test_any_metadata_arrives_as_it_was_given(
    name: str, description: str, tags: list[str], category: Category | None
) -> None:
    out = sent(uploads.set_metadata(ENDPOINTS, FILE, Metadata(name, description, tuple(tags), category)))
    assert out.url.isascii()
    assert out.url.isprintable()
    assert " " not in out.url
    query = parse_qsl(urlsplit(out.url).query, keep_blank_values=True, strict_parsing=True)
    expected = [
        ("access_token", VAULT[SecretName.ACCESS_TOKEN]),
        ("file_id", FILE),
        ("file_name", name),
        ("description", description),
    ]
    expected += [("tags", ",".join(tags))] if tags else []
    expected += [("file_type", str(int(category)))] if category else []
    assert query == expected


@given(st.lists(st.text(alphabet="0123456789abcdefXYZ_.-~:!@$*()+", min_size=1, max_size=40), min_size=1, max_size=100))
def test_any_ids_arrive_as_they_were_given(ids: list[str]) -> None:
    for call in (videos.delete_videos(ENDPOINTS, tuple(ids)), videos.list_videos(ENDPOINTS, tuple(ids), 1, 20)):
        query = dict(parse_qsl(urlsplit(sent(call).url).query, strict_parsing=True))
        assert query["file_ids"].split(",") == ids


@pytest.mark.parametrize(
    "call", [uploads.upload_chunk(UploadTicket(FILE, "http://a/u", 9), 0, b"x", boundary=BOUNDARY)]
)
def test_a_range_carries_no_secret_whatever_the_host(call: Any) -> None:
    out = sent(call)
    assert not any(secret in out.url + str(out.headers) + str(out.body) for secret in VAULT.values())
