"""Where a secret goes, and where none is ever seen: reprs, errors, tracebacks with their locals, excerpts."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from iqiyi_async._redaction import redact
from iqiyi_async.config import Endpoints
from iqiyi_async.errors import ConfigurationError, VideoCloudError
from iqiyi_async.models import Token
from iqiyi_async.protocol import oauth, uploads, videos
from iqiyi_async.protocol.answers import excerpt_of, read
from iqiyi_async.protocol.hosts import trusted_origins
from iqiyi_async.protocol.wire import (
    Answer,
    MisdirectedSecretError,
    Request,
    SecretName,
    Secrets,
)
from iqiyi_async.transport.request import build_request

from .operations import SAMPLES, Sample
from .table import ASKED_AT, ENDPOINTS, VAULT, answer, filled

CANARY = "Zq9canary7f00d5ecret0123456789ab"
CANARIES = Secrets(dict.fromkeys(SecretName, CANARY))
TRUSTED = trusted_origins(ENDPOINTS)

each_operation = pytest.mark.parametrize("sample", SAMPLES, ids=str)


def shown(value: object) -> str:
    """All the ways in which a value gets into a log."""
    return "\n".join([repr(value), str(value), f"{value}", f"{[value]} {({'k': value},)}", f"{value} {value!r}"])


def told(error: BaseException) -> str:
    """All that a traceback tells, the locals of the library's frames included; not those of the test's own frame."""
    assert error.__traceback__ is not None
    inner = traceback.TracebackException(
        type(error), error, error.__traceback__.tb_next, capture_locals=True, compact=False
    )
    assert inner.stack, "no frame of the library"
    return "\n".join([*inner.format(), shown(error), shown(error.args), shown(vars(error))])


def sent_back(sample: Sample) -> list[Answer]:
    """Answers that repeat a secret in every place and go wrong in every way."""
    token = f'"access_token":"{CANARY}","refresh_token":"{CANARY}","client_secret":"{CANARY}"'
    bodies = [
        f"{{{token}}}",
        f'{{"code":"A00000",{token}}}',
        f'{{"code":"A00000","data":{{{token}}}}}',
        f'{{"code":"A00000","data":{{{token},"expires_in":"soon"}}}}',
        f'{{"code":"A00000","data":{{{token},"expires_in":-1}}}}',
        f'{{"code":"A00000","data":{{"access_token":"{CANARY} x","expires_in":60}}}}',
        f'{{"code":"A00000","data":{{"access_token":{{"{CANARY}":1}},"expires_in":60}}}}',
        f'{{"code":"A00000","data":[{{"fileId":7,"fileSize":"{CANARY}"}}]}}',
        f'{{"code":"A00000","count":"{CANARY}"}}',
        f'{{"code":"A00000","range_md5":["{CANARY}"],"file_range_accepted":"{CANARY}"}}',
        f'{{"code":"Q00001","data":{{{token}}}}}',
        f'{{"code":"A21325",{token}}}',
        f"access_token={CANARY}&expires_in=60",
        f"Fatal error: bad token {CANARY} in /var/www/{CANARY[:20]}.php",
        f"<html>{CANARY}</html>",
        f'[{{"access_token":"{CANARY}"}},{{}}]',
        f'"{CANARY}"',
        f'{{"access_token":"{CANARY}"',
    ]
    return [answer(body, status) for body in bodies for status in (200, 302, 400, 401, 404, 503)]


@each_operation
def test_a_call_shows_places_not_secrets(sample: Sample) -> None:
    request = sample.call.request
    assert request.secrets <= set(SecretName)
    assert "function" not in repr(sample.call)
    outgoing = build_request(request, CANARIES, TRUSTED)
    assert CANARY not in str(outgoing.url), "instruments note URLs"
    if request.secrets:
        assert CANARY in str(outgoing.extensions["target"]) + str(outgoing.headers.raw)
    for value in (sample.call, request, outgoing, copy.copy(outgoing)):
        assert CANARY not in shown(value)


def test_a_request_prints_where_it_goes_not_its_bytes() -> None:
    headers = (("access_token", SecretName.ACCESS_TOKEN),)
    request = Request("POST", "http://u/upload", headers, body=(b"bytes",), boundary="b0undary")
    place = "<SecretName.ACCESS_TOKEN: 'access token'>"
    assert repr(request) == (
        f"Request(method='POST', url='http://u/upload', headers=(('access_token', {place}),), query=(), form=())"
    )


@each_operation
def test_no_error_tells_what_an_answer_repeated(sample: Sample) -> None:
    errors = []
    for came in sent_back(sample):
        assert CANARY not in shown(came)
        try:
            sample.call.decode(came)
        except VideoCloudError as error:
            errors.append(error)
    assert len(errors) > 80
    for error in errors:
        text = told(error) + told_again(error)
        assert CANARY[:12] not in text, text


def told_again(error: VideoCloudError) -> str:
    copied = pickle.loads(pickle.dumps(error))
    return shown(copied) + shown(vars(copied))


def test_a_token_hides_itself() -> None:
    now = datetime(2013, 11, 19, tzinfo=UTC)
    token = Token(CANARY, CANARY, now, now)
    for value in (token, attrs.evolve(token), copy.deepcopy(token), pickle.loads(pickle.dumps(token))):
        assert CANARY not in shown(value)
        assert value.access_token == value.refresh_token == CANARY


def test_a_vault_shows_what_it_holds_not_what_it_is() -> None:
    assert shown(CANARIES).count("access token") == 7
    assert CANARY not in shown(CANARIES)
    assert CANARY not in shown(Secrets(CANARIES)) + shown(copy.copy(CANARIES))


def test_a_parsed_answer_hides_its_fields() -> None:
    reply = read(answer(f'{{"code":"A00000","data":{{"access_token":"{CANARY}"}},"x":"{CANARY}"}}'))
    assert CANARY not in shown(reply)
    assert CANARY not in shown(reply.fields)
    assert CANARY not in shown(reply.data)
    assert reply.data["access_token"] == reply.fields["x"] == CANARY


FOREIGN = [
    "http://openapi.iqiyi.com/api",
    "https://openapi.iqiyi.com:8443/api",
    "https://openapi.iqiyi.com.evil.example/api",
    "https://evil.example/?openapi.iqiyi.com",
    "https://evil.example/#https://openapi.iqiyi.com",
    "https://openapi.iqiyi.com@evil.example/",
    "https://openapi.iqiyi.com:443@evil.example/",
    "https://evil.example\\@openapi.iqiyi.com.evil.example/",
    "https://upload.iqiyi.com/openupload",
    "http://qc.iqiyi.com/upload",
    "http://220.181.184.157/upload",
    "http://127.0.0.1/upload",
    "https://[::1]/",
]


@pytest.mark.parametrize("secret", SecretName)
def test_a_stored_token_of_half_a_character_is_not_quoted_by_an_encoder(secret: SecretName) -> None:
    """What a store gives may be any text. It goes out as it is, and the service refuses it."""
    odd = Secrets({secret: "canary\ud800\r\n"})
    for request in (
        Request("GET", "http://upload.iqiyi.com/x", query=(("x", secret),)),
        Request("POST", "http://upload.iqiyi.com/x", form=(("x", secret),), boundary="b"),
    ):
        build_request(request, odd, TRUSTED)


@pytest.mark.parametrize("url", FOREIGN)
@pytest.mark.parametrize("secret", SecretName)
def test_a_secret_never_goes_to_a_foreign_origin(url: str, secret: SecretName) -> None:
    for request in (
        Request("GET", url, query=(("x", secret),)),
        Request("POST", url, headers=(("x", secret),)),
        Request("POST", url, form=(("x", secret),), boundary="b"),
    ):
        with pytest.raises(MisdirectedSecretError) as caught:
            build_request(request, CANARIES, TRUSTED)
        assert CANARY not in told(caught.value)


@pytest.mark.parametrize(
    "url", ["", "x", "//openapi.iqiyi.com/", "http://", "https://openapi.iqiyi.com:x/", "https://[::1"]
)
def test_a_secret_never_goes_to_what_is_no_address(url: str) -> None:
    with pytest.raises((MisdirectedSecretError, ValueError)) as caught:
        build_request(Request("GET", url, query=(("x", SecretName.ACCESS_TOKEN),)), CANARIES, TRUSTED)
    assert CANARY not in told(caught.value)


@pytest.mark.parametrize("url", FOREIGN)
def test_what_carries_no_secret_may_go_anywhere(url: str) -> None:
    try:
        assert build_request(Request("GET", url), CANARIES, TRUSTED).method == "GET"
    except ConfigurationError as error:
        assert "evil.example\\" in url, error  # noqa: PT017 - httpx knows no such URL


@pytest.mark.parametrize(
    "url",
    [
        "https://openapi.iqiyi.com/api/file/info",
        "HTTPS://OPENAPI.iqiyi.com:443/x",
        "https://openapi.iqiyi.com./x",
        "http://upload.iqiyi.com:80/openupload",
    ],
)
def test_a_secret_goes_to_the_service_in_any_spelling(url: str) -> None:
    request = Request(
        "GET", url, headers=(("a", "1"), ("t", SecretName.ACCESS_TOKEN)), query=(("s", SecretName.APP_SECRET),)
    )
    outgoing = build_request(request, CANARIES, TRUSTED)
    assert [(b"a", b"1"), (b"t", CANARY.encode())] == outgoing.headers.raw[-2:]
    assert outgoing.extensions["target"].endswith(f"?s={CANARY}".encode())


def test_a_secret_that_is_not_there_is_a_mistake_that_shows_no_other() -> None:
    request = Request("GET", "https://openapi.iqiyi.com/", query=(("x", SecretName.REFRESH_TOKEN),))
    with pytest.raises(KeyError) as caught:
        build_request(request, Secrets({SecretName.ACCESS_TOKEN: CANARY}), TRUSTED)
    assert CANARY not in told(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a/u", "http://a/u?type=body"),
        ("http://a/u?", "http://a/u?&type=body"),
        ("http://a/u?x=%2F", "http://a/u?x=%2F&type=body"),
        # A fragment never goes out; left in place it would swallow the query.
        ("http://a/u#part", "http://a/u?type=body"),
        ("http://a/u?x=1#part?y", "http://a/u?x=1&type=body"),
    ],
)
def test_a_query_goes_behind_what_is_there(url: str, expected: str) -> None:
    assert filled(Request("POST", url, query=(("type", "body"),)), VAULT, TRUSTED)[1] == expected


def test_nothing_needs_filling_without_places() -> None:
    request = Request("GET", "http://a/u?x", body=(b"1", b"2"))
    assert filled(request, Secrets(), frozenset()) == ("GET", "http://a/u?x", ())


def test_every_call_that_needs_the_token_goes_to_the_api_only() -> None:
    for base in ("http://127.0.0.1:8000", "https://proxy.example/iqiyi"):
        endpoints = Endpoints.single(base)
        for call in (
            oauth.authorize(endpoints),
            oauth.refresh(endpoints),
            uploads.request_upload(endpoints, "mp4", 1),
            uploads.finish_upload(endpoints, "7"),
            videos.get_status(endpoints, "7"),
            videos.delete_all_videos(endpoints),
        ):
            assert call.request.url.startswith(base + "/")
            with pytest.raises(MisdirectedSecretError):
                build_request(call.request, CANARIES, TRUSTED)


REDACTED = [
    ("", ""),
    ("nothing here", "nothing here"),
    (f"bad token {CANARY}!", "bad token <access token>!"),
    (f"{CANARY}{CANARY}", "<access token><access token>"),
    (CANARY.upper(), "<access token>"),
    (f"x{CANARY}y", "x<access token>y"),
]


@pytest.mark.parametrize(("text", "clean"), REDACTED)
def test_redact(text: str, clean: str) -> None:
    assert redact(text, Secrets({SecretName.ACCESS_TOKEN: CANARY})) == clean


def test_redact_knows_the_forms_in_which_a_service_repeats_a_secret() -> None:
    secret = "a/b+c=d&e%f g\"h'0123"
    vault = Secrets({SecretName.APP_SECRET: secret})
    escaped = json.dumps(secret)[1:-1]
    forms = [secret, quote(secret), quote(secret, safe=""), quote(secret, safe="").lower(), quote_plus(secret)]
    for form in [*forms, escaped, escaped.replace("/", "\\/")]:
        assert redact(f"<{form}>", vault) == "<<app secret>>", form


def test_redact_takes_half_a_surrogate_pair_out_too() -> None:
    vault = Secrets({SecretName.REFRESH_TOKEN: "\ud800refresh-canary"})
    assert redact("it was \ud800refresh-canary.", vault) == "it was <refresh token>."
    assert redact("nothing", vault) == "nothing"


@given(
    st.text(max_size=40) | st.text(alphabet="aA0Σσς%/+İK\ud800", min_size=1, max_size=20),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_redact_finds_a_secret_in_whatever_stands_around_it(secret: str, before: str, after: str) -> None:
    assume(len(secret) >= 4)
    vault = Secrets({SecretName.APP_SECRET: secret})
    for form in (secret, quote(secret, safe="", errors="surrogatepass"), json.dumps(secret)[1:-1]):
        assert "<app secret>" in redact(f"{before}{form}{after}", vault)


def test_redact_takes_the_longer_of_two_secrets_first() -> None:
    vault = Secrets(
        {SecretName.APP_KEY: "abcd", SecretName.APP_SECRET: "abcdefgh", SecretName.ACCESS_TOKEN: "zabcdefghz"}
    )
    assert redact("abcd abcdefgh zabcdefghz", vault) == "<app key> <app secret> <access token>"


@pytest.mark.parametrize("secret", ["a", "is", "key"])
def test_redact_leaves_words_alone_that_hold_a_short_secret(secret: str) -> None:
    words = "this is a key of the keyboard, and a failure is a failure"
    vault = Secrets({SecretName.APP_SECRET: secret})
    assert redact(words, vault) == words
    assert redact(f"client_secret={secret}&x=1", vault) == "client_secret=<app secret>&x=1"
    assert redact(f'{{"client_secret":"{secret}"}}', vault) == '{"client_secret":"<app secret>"}'


def test_redact_with_nothing_to_hide() -> None:
    assert redact("words", Secrets()) == "words"
    assert redact("words", Secrets({SecretName.APP_KEY: ""})) == "words"


secrets = st.text(alphabet="0123456789abcdefABCDEFZ-_.~+/=%& ", min_size=8, max_size=40).filter(
    lambda s: len(set(s)) > 4
)


@given(st.lists(st.one_of(st.text(max_size=20), st.sampled_from(list(SecretName))), max_size=8), secrets, secrets)
def test_redact_leaves_no_secret(pieces: list[Any], one: str, other: str) -> None:
    vault = Secrets(
        {
            SecretName.ACCESS_TOKEN: one,
            SecretName.REFRESH_TOKEN: one[:6] + other,
            SecretName.APP_KEY: one[1:-1],
            SecretName.APP_SECRET: other,
        }
    )
    text = "".join(vault[piece] if isinstance(piece, SecretName) else piece for piece in pieces)
    clean = redact(text, vault)
    assert not any(secret in clean for secret in vault.values())
    assert redact(clean, vault) == clean


@given(
    st.binary(max_size=60) | st.text(max_size=60).map(str.encode),
    st.text(alphabet="0123456789abcdefghijkXYZ-_.~+/=", min_size=16, max_size=64),
    st.binary(max_size=60) | st.text(max_size=60).map(str.encode),
    st.integers(0, 1400),
)
def test_no_excerpt_holds_what_looks_like_a_secret(before: bytes, secret: str, after: bytes, gap: int) -> None:
    secret = "Zq9!"[:3] + secret
    assume(secret not in repr(before + after))
    excerpt = excerpt_of(b" " * gap + before + b" " + secret.encode() + after)
    # Six characters of a 128-bit secret are no help to anyone; more would be a hole.
    assert secret[:6] not in excerpt
    assert len(excerpt) <= 160
    assert excerpt.isprintable()


@given(
    st.sampled_from(["access_token", "refresh_token", "client_secret", "client_id"]),
    st.sampled_from(["=", '":"', '" : "', "' => '", "%3D"]),
)
def test_no_excerpt_holds_the_value_of_a_secret_field_however_short(name: str, between: str) -> None:
    assert "Zq9x" not in excerpt_of(f"?{name}{between}Zq9x&a=1".encode())


@each_operation
def test_the_excerpt_of_an_answer_with_a_token_is_empty(sample: Sample) -> None:
    with pytest.raises(VideoCloudError) as caught:
        sample.call.decode(Answer(200, b"short Zq9", ASKED_AT))
    private = sample.call.operation in ("authorize", "refresh_token")
    assert caught.value.excerpt == ("" if private else "short Zq9")  # type: ignore[attr-defined]
