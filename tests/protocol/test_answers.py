"""What is read the same way for every operation: texts around the JSON, HTTP statuses, answers that are none."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from iqiyi_async.errors import (
    AuthorizationError,
    ResponseError,
    ServiceError,
    ServiceUnavailableError,
    TransportError,
    VideoCloudError,
)
from iqiyi_async.protocol import oauth, uploads, videos
from iqiyi_async.protocol.answers import (
    excerpt_of,
    is_about_token,
    is_outage,
    may_be_outage,
    outcome_unknown,
    read,
    seconds_of,
)
from iqiyi_async.protocol.wire import Answer

from .operations import SAMPLES, Sample
from .table import ASKED_AT, ENDPOINTS, Fails, answer, check

each_operation = pytest.mark.parametrize("sample", SAMPLES, ids=str)


def test_the_samples_cover_every_operation() -> None:
    builders = {
        name
        for module in (oauth, uploads, videos)
        for name, function in vars(module).items()
        if inspect.isfunction(function) and str(function.__annotations__.get("return")).startswith("Call[")
    }
    operations = {"refresh_token" if name == "refresh" else name for name in builders if not name.startswith("_")}
    assert {sample.call.operation for sample in SAMPLES} == operations


# Around the JSON: what B8 of the contract saw, and what proxies and editors add.
@each_operation
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b" \r\n\t", b"\n\n"),
        (b"\xef\xbb\xbf", b""),
        (b"var videoUrl=", b""),
        (b"var videoUrl = ", b";"),
        (b"callback(", b")"),
        (b"/**/window.cb && cb(", b");\n"),
        (b"<pre>", b"</pre>"),
        (b"\xff\xfe\x00", b"\x80\x81"),
        ("结果：".encode("gbk"), "。".encode("gbk")),
        (b"[", b"]"),
    ],
)
def test_the_object_is_dug_out_of_what_is_around_it(sample: Sample, before: bytes, after: bytes) -> None:
    check(sample.call, before + b"{" + sample.inside.encode() + b"}" + after, sample.value)


def test_line_ends_that_stand_in_a_text_as_they_are() -> None:
    call = uploads.finish_upload(ENDPOINTS, "7")
    check(call, b'{"code":"A00000","msg":"well\r\n\tdone"}', None)
    check(call, b'{"code":"A00010","msg":"not\r\n\twell"}', Fails(ServiceError, message="not well"))


@each_operation
@pytest.mark.parametrize(
    "more",
    [
        '"msg":""',
        '"msg":null',
        '"msg":[]',
        '"msg":"ok","unknown":{"a":[1,null,{"b":1e400}]}',
        '" msg ":"ok","":0',
        '"deep":' + "[" * 500 + "]" * 500,
        '"huge":' + "9" * 4000,
        '"nan":NaN,"inf":-Infinity',
        '"half":"\\ud800"',
    ],
)
def test_fields_that_are_not_known_do_not_matter(sample: Sample, more: str) -> None:
    decoded = sample.call.decode(answer("{" + sample.inside + "," + more + "}"))
    if sample.call.operation != "get_status":
        assert decoded == sample.value
    else:
        assert decoded.code == "A00000"


@each_operation
def test_bytes_that_are_not_utf8_cost_their_characters_only(sample: Sample) -> None:
    check(sample.call, b'{"note":"\xff\xc3(\xb2\xbb",' + sample.inside.encode() + b"}", sample.value)


@each_operation
def test_a_message_in_gbk_does_not_hide_the_code(sample: Sample) -> None:
    came = b'{"code":"Q00001","msg":"' + "参数错误".encode("gbk") + b'"}'
    check(sample.call, came, Fails(ServiceError, code="Q00001"))


NO_OBJECT = [
    b"",
    b" ",
    b"\xef\xbb\xbf",
    b"\x00",
    b"OK",
    b"null",
    b"true",
    b"7",
    b'"A00000"',
    b"[]",
    b"[1,2]",
    b'[["code","A00000"]]',
    b'[{"code":"A00000"},{"code":"A00000"}]',
    b"{",
    b"}{",
    b'{"code":"A00000"',
    b"{'code': 'A00000'}",
    b"{code:A00000}",
    b'{"code":"A00000"}{"code":"A00000"}',
    b"<html><body>It works!</body></html>",
    b"<style>a {color: red}</style>",
    b'{"code":"A00000","data":' + b"[" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"code":"A00000","n":' + b"9" * 5000 + b"}",
    b"\xff" * 1000,
    '{"code":"A00000"}'.encode("utf-16"),
]


@each_operation
# Without backslashes: pytest does not find such a test by its name.
@pytest.mark.parametrize("content", NO_OBJECT, ids=lambda content: repr(content[:30]).replace("\\", "/"))
def test_an_answer_without_an_object_can_not_be_read(sample: Sample, content: bytes) -> None:
    for status in (200, 201, 204):
        check(sample.call, answer(content, status), Fails(ResponseError, status=status, retryable=True))


@each_operation
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
@pytest.mark.parametrize("content", ["", "{}", '{"code":"A00000"}', "<a href='http://evil'>moved</a>"])
def test_a_redirect_is_never_followed(sample: Sample, status: int, content: str) -> None:
    check(sample.call, answer(content, status), Fails(ResponseError, status=status, retryable=False, excerpt=""))


@each_operation
@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (400, "", Fails(ServiceError, code="HTTP 400", retryable=False)),
        (400, "<html>", Fails(ServiceError, code="HTTP 400", retryable=False)),
        (401, "", Fails(AuthorizationError, code="HTTP 401", retryable=False)),
        (401, "{}", Fails(AuthorizationError, code="HTTP 401")),
        (401, '{"code":"A21327","msg":"expired"}', Fails(AuthorizationError, code="A21327")),
        (401, '{"code":"A21332"}', Fails(AuthorizationError, code="A21332")),
        (403, "no", Fails(ServiceError, code="HTTP 403", message="", retryable=False)),
        (404, "[]", Fails(ServiceError, code="HTTP 404", retryable=False)),
        (404, '{"code":"Q00001","msg":"gone"}', Fails(ServiceError, code="Q00001", message="gone", retryable=False)),
        (411, "", Fails(ServiceError, code="HTTP 411", retryable=False)),
        (413, "<h1>Request Entity Too Large</h1>", Fails(ServiceError, code="HTTP 413", retryable=False)),
        (414, "", Fails(ServiceError, code="HTTP 414", retryable=False)),
        (499, "", Fails(ServiceError, code="HTTP 499", retryable=False)),
        (431, "", Fails(ServiceError, code="HTTP 431", retryable=False)),
        # A success that arrives under an HTTP error is none.
        (400, '{"code":"A00000"}', Fails(ServiceError, code="HTTP 400")),
        (401, '{"code":"A00000"}', Fails(AuthorizationError, code="HTTP 401")),
    ],
)
def test_http_errors(sample: Sample, status: int, content: str, expected: Fails) -> None:
    check(sample.call, answer(content, status), expected)


@each_operation
@pytest.mark.parametrize("status", [408, 429, 500, 501, 502, 503, 504, 520, 599])
@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", None),
        ("<html>Bad Gateway</html>", None),
        ("{}", None),
        ('{"code":" A21331 ","msg":"busy"}', "A21331"),
        ('{"code":"A00000"}', "A00000"),
    ],
)
def test_a_service_that_is_busy_or_broken(sample: Sample, status: int, content: str, code: str | None) -> None:
    expected = Fails(ServiceUnavailableError, code=code or f"HTTP {status}", retryable=True, retry_after=None)
    check(sample.call, answer(content, status), expected)


RETRY_AFTER: list[tuple[str | None, float | None]] = [
    (None, None),
    ("0", 0.0),
    ("7", 7.0),
    (" 120 ", 120.0),
    # However absurd: whoever waits has a bound of their own.
    ("99999999999999999999", 999999999.0),
    ("Tue, 19 Nov 2013 07:00:30 GMT", 30.0),
    ("Tue, 19 Nov 2013 08:00:00 +0100", 0.0),
    ("Tuesday, 19-Nov-13 07:01:00 GMT", 60.0),
    # The old form of a date, and one without a zone: GMT, wherever this machine is.
    ("Tue Nov 19 07:00:09 2013", 9.0),
    ("Tue, 19 Nov 2013 07:00:09 -0000", 9.0),
    # In the past: now.
    ("Mon, 18 Nov 2013 07:00:00 GMT", 0.0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() - ASKED_AT),
    ("", None),
    (" ", None),
    ("-5", None),
    ("+5", None),
    ("1.5", None),
    ("1e3", None),
    ("٣", None),
    ("soon", None),
    ("Tue, 99 Nov 2013 07:00:30 GMT", None),
    ("Tue, 19 Nov 2013 07:00:30 +9999999999", None),
    ("7, 8", None),
    ("\x00", None),
]


@pytest.fixture
def in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CST-8")
    if hasattr(time, "tzset"):
        time.tzset()
    yield
    monkeypatch.undo()
    if hasattr(time, "tzset"):
        time.tzset()


@pytest.mark.usefixtures("in_shanghai")
@pytest.mark.parametrize(("header", "seconds"), RETRY_AFTER)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    assert seconds_of(header, ASKED_AT) == seconds


@pytest.mark.usefixtures("in_shanghai")
@pytest.mark.parametrize(
    ("date", "answered_at", "seconds"),
    [
        # The server's own clock, however wrong, is the one that its date is by.
        ("Tue, 19 Nov 2013 06:00:00 GMT", ASKED_AT + 50, 3630.0),
        ("Tue, 19 Nov 2013 07:00:25 GMT", ASKED_AT + 50, 5.0),
        # From when the answer came, not from when it was asked for.
        (None, ASKED_AT + 20, 10.0),
        ("nonsense", ASKED_AT + 20, 10.0),
        # In another zone, in none, and with stray spaces.
        ("Tue, 19 Nov 2013 08:00:25 +0100", ASKED_AT + 50, 5.0),
        (" Tue, 19 Nov 2013 07:00:25 -0000 ", ASKED_AT + 50, 5.0),
        (None, None, 30.0),
    ],
)
def test_a_date_counts_from_the_moment_of_the_answer(
    date: str | None, answered_at: float | None, seconds: float
) -> None:
    came = Answer(503, b"", ASKED_AT, "Tue, 19 Nov 2013 07:00:30 GMT", answered_at, date)
    with pytest.raises(ServiceUnavailableError) as caught:
        read(came)
    assert caught.value.retry_after == seconds


@each_operation
@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("Tue, 19 Nov 2013 07:00:30 GMT", 30.0), ("x", None)])
def test_an_unavailable_service_says_how_long_to_wait(sample: Sample, header: str, seconds: float | None) -> None:
    for status in (408, 429, 503):
        check(sample.call, answer("", status, header), Fails(ServiceUnavailableError, retry_after=seconds))


@each_operation
@pytest.mark.parametrize("code", ["Q00001\\r\\nINFO all is well", "\\u001b[2JQ", "Z" * 5000])
def test_a_code_is_one_short_word(sample: Sample, code: str) -> None:
    if sample.call.operation == "get_status":
        shown = sample.call.decode(answer('{"code":"' + code + '"}')).code
        text = shown
    else:
        with pytest.raises(ServiceError) as caught:
            sample.call.decode(answer('{"code":"' + code + '"}'))
        shown, text = caught.value.code, str(caught.value)
    assert shown.isprintable()
    assert text.isprintable()
    assert shown in ("Q00001 INFO all is well", "[2JQ", "Z" * 64)


@each_operation
def test_the_words_of_the_service_can_not_forge_a_line_of_a_log(sample: Sample) -> None:
    words = "no\\n2026-01-01 INFO all is well\\r\\u001b[2J\\u0000\\ud800\\u2028" + "x" * 500
    with pytest.raises(ServiceError) as caught:
        sample.call.decode(answer('{"code":"Q00001","msg":"' + words + '"}'))
    text = str(caught.value)
    assert text.isprintable()
    assert "no 2026-01-01 INFO all is well" in text
    assert len(text) < 300
    text.encode()
    caught.value.message.encode()


@each_operation
def test_the_words_of_the_service_are_cut(sample: Sample) -> None:
    with pytest.raises(ServiceError) as caught:
        sample.call.decode(answer('{"code":"Q00001","msg":"' + "no way " * 300_000 + '"}'))
    assert caught.value.message == ("no way " * 100)[:500]


@each_operation
def test_json_in_a_json_string(sample: Sample) -> None:
    """One client of the service undoes the quotes and backslashes around a whole answer."""
    for around in ("%s", " %s;\n", "callback(%s)"):
        assert sample.call.decode(answer(around % json.dumps("{" + sample.inside + "}"))) == sample.value


def test_what_could_not_be_read_is_quoted_in_short() -> None:
    with pytest.raises(ResponseError) as caught:
        SAMPLES[4].call.decode(answer("<html>\n  <title>Welcome\tto\x00nginx!</title>" + "<p>" * 200))
    error = caught.value
    assert error.excerpt.startswith("<html> <title>Welcome to nginx!</title><p><p>")
    assert len(error.excerpt) == 160
    assert str(error) == (f"finish_upload: the answer (HTTP 200, 641 bytes) holds no JSON object: {error.excerpt!r}")


@pytest.mark.parametrize(
    ("content", "excerpt"),
    [
        (b"", ""),
        (b"plain words", "plain words"),
        (b"a\xffb", "a\ufffdb"),
        (b"token 0123456789abcdef0123456789abcdef here", "token … here"),
        (b"access_token=abc&x=1", "access_token=…&x=1"),
        (b"'refresh_token' => 'abc', 'x'", "'refresh_token' => '…', 'x'"),
        (b'"client_secret ": "a"', '"client_secret ": "…"'),
        # Cut in the middle of a word: what is left of it is not shown.
        (b" " * 1270 + b"Zq0123456789", ""),
        (b"ab " + b" " * 1270 + b"Zq0123456789abcdef", "ab"),
        # 1,280 bytes are looked at: this word ends there, and that one may go on.
        (b"ab " + b" " * 1272 + b"words", "ab words"),
        (b"ab " + b" " * 1273 + b"words", "ab"),
    ],
)
def test_excerpts(content: bytes, excerpt: str) -> None:
    assert excerpt_of(content) == excerpt


@pytest.mark.parametrize("field", ["asked_at", "status"])
def test_an_answer_can_be_printed(field: str) -> None:
    shown = repr(Answer(200, b"canary", ASKED_AT, "canary", None, "canary"))
    assert "canary" not in shown
    assert field in shown


def test_meanings_have_a_sentence_each() -> None:
    """Every documented code of an error, by operation: the class is checked in the tables; here, that it says why."""
    calls: dict[str, Any] = {sample.call.operation: sample.call for sample in SAMPLES}
    sentences = {}
    for operation, codes in {
        "request_upload": ("A00005", "A00007", "A00008", "A00009", "A00010", "A00018"),
        "upload_chunk": ("A00005", "A00010"),
        "authorize": ("Q00001", "A00007", "A21324"),
    }.items():
        for code in codes:
            with pytest.raises((ServiceError, AuthorizationError)) as caught:
                calls[operation].decode(answer('{"code":"' + code + '"}'))
            sentences[operation, code] = str(caught.value)
            assert f"({code})" in str(caught.value)
            assert "the service refused" not in str(caught.value)
    assert len(set(sentences.values())) == len(sentences)


def unavailable(code: str, operation: str = "finish_upload") -> VideoCloudError:
    return ServiceUnavailableError("busy", code=code, operation=operation)


def cut(*, sent: bool, operation: str = "finish_upload") -> VideoCloudError:
    return TransportError("cut", sent=sent, operation=operation)


UNREADABLE = ResponseError("odd", status=200, operation="finish_upload")
REFUSED = ServiceError("no", code="Q00001", operation="finish_upload")


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (cut(sent=True), True),
        (cut(sent=False), False),
        (UNREADABLE, True),
        (REFUSED, False),
        (AuthorizationError("no", code="A21327", operation="finish_upload"), False),
        (unavailable("HTTP 429"), False),
        (unavailable("HTTP 503"), False),
        (unavailable("A21331"), False),
        (unavailable("HTTP 500"), True),
        (unavailable("HTTP 504"), True),
        # The token could not be had, so the request was never sent.
        (cut(sent=True, operation="authorize"), False),
        (unavailable("HTTP 500", "refresh_token"), False),
    ],
)
def test_whether_a_request_may_have_been_done_all_the_same(error: VideoCloudError, unknown: bool) -> None:
    assert outcome_unknown(error) is unknown


@pytest.mark.parametrize(
    ("error", "about"),
    [
        (AuthorizationError("no", code="A21327"), True),
        (AuthorizationError("no", code="A21332"), True),
        (AuthorizationError("no", code="HTTP 401"), True),
        (AuthorizationError("no", code="A21324"), False),
        (AuthorizationError("no", code="HTTP 403"), False),
        (ServiceError("no", code="A21327"), False),
        (cut(sent=True), False),
    ],
)
def test_whether_the_token_was_refused(error: VideoCloudError, about: bool) -> None:
    assert is_about_token(error) is about


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (cut(sent=True), True),
        (cut(sent=False), True),
        (unavailable("HTTP 502"), True),
        (unavailable("HTTP 503"), True),
        (unavailable("HTTP 504"), True),
        (unavailable("HTTP 429"), False),
        (unavailable("HTTP 500"), False),
        (unavailable("A21331"), False),
        (REFUSED, False),
        (ServiceError("no", code="HTTP 503"), False),
        (UNREADABLE, False),
    ],
)
def test_whether_the_service_as_a_whole_is_down(error: VideoCloudError, outage: bool) -> None:
    assert is_outage(error) is outage


@pytest.mark.parametrize(
    ("error", "may_be"),
    [
        (unavailable("HTTP 429"), True),
        (unavailable("HTTP 500"), True),
        (unavailable("A21331"), True),
        (REFUSED, False),
        (ServiceError("no", code="HTTP 403"), False),
        (ResponseError("a page", status=200, retryable=True), True),
        (ResponseError("a redirect", status=302), False),
    ],
)
def test_whether_the_service_may_be_down(error: VideoCloudError, may_be: bool) -> None:
    assert may_be_outage(error) is may_be


def test_json_in_a_string_that_nests_too_deeply_is_no_object() -> None:
    deep = '{\\"a\\":' * 100_000
    check(SAMPLES[4].call, '"' + deep + '}"', Fails(ResponseError, status=200, retryable=True))


@pytest.mark.parametrize("status", [299, 400])
def test_only_redirects_are_redirects(status: int) -> None:
    """Others are read: the answer says what it means."""
    check(SAMPLES[4].call, answer('{"code":"Q00001"}', status), Fails(ServiceError, code="Q00001"))
