"""Sections 2 and 3: authorize and refresh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from iqiyi_async.config import Endpoints
from iqiyi_async.errors import AuthorizationError, ResponseError, ServiceError, ServiceUnavailableError
from iqiyi_async.models import Token
from iqiyi_async.protocol import oauth
from iqiyi_async.protocol.wire import SecretName

from .table import ENDPOINTS, Fails, Sent, answer, check, sent

AUTHORIZE = oauth.authorize(ENDPOINTS)
REFRESH = oauth.refresh(ENDPOINTS)

ASKED = datetime(2013, 11, 19, 7, 0, tzinfo=UTC)


def token(access: str = "acc", refresh: str | None = "ref", seconds: float = 60) -> Token:
    return Token(access, refresh, ASKED, ASKED + timedelta(seconds=seconds))


def test_authorize_on_the_wire() -> None:
    assert sent(AUTHORIZE) == Sent(
        "GET",
        "https://openapi.iqiyi.com/api/iqiyi/authorize"
        "?client_id=key%200123456789abcdef&client_secret=s3cret%2F%2B%26%3D%2525.0123456789",
    )
    assert AUTHORIZE.request.secrets == {SecretName.APP_KEY, SecretName.APP_SECRET}
    assert AUTHORIZE.repeatable


def test_refresh_on_the_wire() -> None:
    assert sent(REFRESH) == Sent(
        "GET",
        "https://openapi.iqiyi.com/api/oauth2/token?client_id=key%200123456789abcdef"
        "&grant_type=refresh_token&refresh_token=r3fresh%2B%2F%3D%26%3F%23%25.0123456789",
    )
    assert REFRESH.request.secrets == {SecretName.APP_KEY, SecretName.REFRESH_TOKEN}
    assert REFRESH.repeatable


def test_a_base_with_a_path_keeps_it() -> None:
    endpoints = Endpoints.single("http://127.0.0.1:8000/proxy/")
    assert sent(oauth.authorize(endpoints), endpoints).url.startswith(
        "http://127.0.0.1:8000/proxy/api/iqiyi/authorize?client_id="
    )


UNUSABLE = Fails(ResponseError, status=200, retryable=False, excerpt="")

AUTHORIZE_ANSWERS = [
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":60,"refresh_token":"ref"}}', token()),
    # The document's own example: spaces behind keys, a code that has lost a zero.
    ('{"code ":"A0000","data":{"access_token ":" acc ","expires_in ":60,"refresh_token":"ref"}}', token()),
    ('{"code":"A00000 ","data":{"access_token":"acc","expires_in":"60","refresh_token":"ref"}}', token()),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":" 2592000 ","refresh_token":"ref"}}',
     token(seconds=2592000)),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":59.5,"refresh_token":"ref"}}', token(seconds=59.5)),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":1,"refresh_token":"ref"}}', token(seconds=1)),
    ('{"code":"A00000","data":{"access_token":12345,"expires_in":60,"refresh_token":"ref"}}', token("12345")),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":60}}', token(refresh=None)),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":60,"refresh_token":null}}', token(refresh=None)),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":60,"refresh_token":""}}', token(refresh=None)),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":60,"scope":[1],"uid":null}}', token(refresh=None)),
    ('{"code":"A00000","data":{"access_token":"acc","expiresIn":60,"refresh_token":"ref"}}', token()),
    ('{"code":"A00000","data":{"access_token":"acc","expiresIn":7,"expires_in":60,"refresh_token":"ref"}}', token()),
    ('"{\\"code\\":\\"A00000\\",\\"data\\":{\\"access_token\\":\\"acc\\",\\"expires_in\\":60}}"',
     token(refresh=None)),
    # What can't be used is refused at once, not when the token is needed.
    ('{"code":"A00000","data":{"access_token":"","expires_in":60}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"   ","expires_in":60}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":null,"expires_in":60}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":["acc"],"expires_in":60}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":true,"expires_in":60}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"a\\r\\nX: y","expires_in":60}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"ключ","expires_in":60}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"a b","expires_in":60}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":60,"refresh_token":"a\\u0000b"}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc"}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":null}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":0}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":-1}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":1e400}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":NaN}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":"nan"}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":1e30}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":10000000000}}', token(refresh=None, seconds=10**10)),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":10000000001}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":true}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":"soon"}}', UNUSABLE),
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":{}}}', UNUSABLE),
    ('{"code":"A00000","data":[]}', UNUSABLE),
    ('{"code":"A00000","data":null}', UNUSABLE),
    ('{"code":"A00000"}', UNUSABLE),
    # Codes of section 2; A00007 is neither a rejected application nor a failed publication here.
    ('{"code":"Q00001","msg":"failed"}', Fails(ServiceError, code="Q00001", message="failed", retryable=False)),
    ('{"code":"A00007"}', Fails(ServiceUnavailableError, code="A00007", retryable=True, retry_after=None)),
    ('{"code":"A21324","msg":"bad client"}', Fails(AuthorizationError, code="A21324", retryable=False)),
    # The family of authorization codes.
    *((f'{{"code":"A213{n}"}}', Fails(AuthorizationError, code=f"A213{n}", retryable=False))
      for n in (22, 23, 25, 26, 27, 28, 29, 30, 32)),
    ('{"code":"A21331"}', Fails(ServiceUnavailableError, code="A21331", retryable=True)),
    # What nobody has told us about.
    ('{"code":"A00010"}', Fails(ServiceError, code="A00010", message="", retryable=False)),
    ('{"code":"Z9","msg":"?"}', Fails(ServiceError, code="Z9", message="?")),
    ('{"code":500}', Fails(ServiceError, code="500")),
    ('{"data":{"access_token":"acc","expires_in":60}}', Fails(ResponseError, status=200, retryable=True)),
]  # fmt: skip

REFRESH_ANSWERS = [
    # At the top level, as documented, spaces behind keys included ...
    ('{"access_token":"acc","expires_in":60,"refresh_token":"ref"}', token()),
    ('{"access_token ":"acc","expires_in ":"60","refresh_token ":"ref"}', token()),
    ('{"code":"A00000","access_token":"acc","expires_in":60,"refresh_token":"ref"}', token()),
    ('{"access_token":"acc","expires_in":60}', token(refresh=None)),
    ('{"access_token":"acc","expires_in":60,"refresh_token":"ref","data":[]}', token()),
    # ... and in the envelope.
    ('{"code":"A00000","data":{"access_token":"acc","expires_in":60,"refresh_token":"ref"}}', token()),
    ('{"code":"A0000","data":{"access_token ":"acc","expires_in":60,"refresh_token":"ref"}}', token()),
    ('{"data":{"access_token":"acc","expires_in":60,"refresh_token":"ref"}}', token()),
    ('{"code":"A21325","msg":"revoked"}', Fails(AuthorizationError, code="A21325", retryable=False)),
    ('{"code":"A21331"}', Fails(ServiceUnavailableError, code="A21331", retryable=True)),
    ('{"code":"Q00001"}', Fails(ServiceError, code="Q00001")),
    # A code that says no outweighs a token beside it.
    ('{"code":"Q00001","access_token":"acc","expires_in":60}', Fails(ServiceError, code="Q00001")),
    # A00007 has no meaning of its own in section 3.
    ('{"code":"A00007"}', Fails(ServiceError, code="A00007", retryable=False)),
    ('{"error":"invalid_grant"}', UNUSABLE),
    ('{"access_token":"acc"}', UNUSABLE),
    ('{"access_token":null,"expires_in":60}', UNUSABLE),
    ("{}", UNUSABLE),
]


@pytest.mark.parametrize(("came", "expected"), AUTHORIZE_ANSWERS)
def test_authorize_answers(came: str, expected: object) -> None:
    check(AUTHORIZE, came, expected)


@pytest.mark.parametrize(("came", "expected"), REFRESH_ANSWERS)
def test_refresh_answers(came: str, expected: object) -> None:
    check(REFRESH, came, expected)


def test_the_life_of_a_token_counts_from_the_question_not_from_the_answer() -> None:
    decoded = AUTHORIZE.decode(answer(AUTHORIZE_ANSWERS[0][0]))
    assert decoded.obtained_at.timestamp() == 1384844400.0
    assert decoded.expires_at.timestamp() == 1384844460.0


def test_an_authorization_that_is_rejected_says_what_to_do_about_it() -> None:
    with pytest.raises(AuthorizationError, match=r"^authorize: the app key or app secret is wrong \(A21324\): no$"):
        AUTHORIZE.decode(answer('{"code":"A21324","msg":"no"}'))
