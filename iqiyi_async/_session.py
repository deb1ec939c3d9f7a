"""Sending a call: token in, retry, one renewal, decode.

What belongs here: the one way in which every operation goes out. What must not: anything about uploads as a whole.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from ._auth import TokenManager
from ._lanes import Lanes
from ._retry import Retries
from .errors import (
    AuthorizationError,
    ResponseError,
    ServiceError,
    ServiceUnavailableError,
    TransportError,
    VideoCloudError,
)
from .models import StoredToken, Token
from .protocol.answers import TOKEN_REFUSED
from .protocol.wire import Call, SecretName, Secrets, redact
from .stores._worker import settle
from .transport import Connection, bare, chain

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

_NOTHING = Secrets()


def outcome_unknown(error: VideoCloudError) -> bool:
    """Whether the service may have done what was asked although it did not say so."""
    if isinstance(error, TransportError):
        return error.sent
    # 429 and 503 say that the request was turned away at the door; other 5xx, and what can't be read, say nothing.
    if isinstance(error, ServiceUnavailableError):
        return error.code not in ("HTTP 429", "HTTP 503", "A21331")
    return isinstance(error, ResponseError)


class Session:
    """The conversation of one client with the service."""

    def __init__(self, *, control: Lanes[Connection], retries: Retries) -> None:
        self._control = control
        self.retries = retries
        self.auth: TokenManager

    async def send(self, call: Call[T], *, patience: float = 0.0) -> T:
        """Send a call over a control lane, as often as its policy and its nature allow, and decode its answer.

        Args:
            call: what to do.
            patience: seconds for which even a cancelled caller waits for the answer to a request that is on its way.
                The call decodes it then, and what it comes to is lost.

        Raises:
            VideoCloudError: what the answer means, or that there was none.
        """
        if SecretName.ACCESS_TOKEN not in call.request.secrets:
            return await self._repeat(call, lambda: self._once(call, _NOTHING, patience))
        return await self._repeat(call, lambda: self._with_token(call, patience))

    async def send_for_token(self, call: Call[Token], secrets: Secrets) -> Token:
        """Send a call that gets a token: it carries other secrets, and no token."""
        return await self._repeat(call, lambda: self._once(call, secrets))

    async def exchange(
        self,
        connection: Connection,
        call: Call[T],
        secrets: Secrets = _NOTHING,
        on_sent: Callable[[int], None] | None = None,
    ) -> T:
        """Send a call once over a given connection. Errors say which operation and which upload they are about."""
        outside = sys.exception()
        try:
            return call.decode(await connection.send(call.request, secrets, on_sent))
        except VideoCloudError as error:
            self._complete(error, outside, call, secrets)
            # The frames of the decoding hold the answer, perhaps with a token in it.
            raise bare(error, outside)  # noqa: B904 - the same exception

    async def renewing(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do what carries no token. Should a token be refused all the same (the service may remember the one that an
        upload was requested with), renew it and do it once more."""
        known = self.auth.known
        try:
            return await attempt()
        except AuthorizationError as error:
            if not _is_about_token(error):
                raise
        await (self.auth.token() if known is None else self.auth.replace(known))
        return await attempt()

    async def _with_token(self, call: Call[T], patience: float) -> T:
        stored = await self.auth.token()
        try:
            return await self._once(call, _token_of(stored), patience)
        except AuthorizationError as error:
            if not _is_about_token(error):
                raise
        # Once: a service that refuses a new token too has something else against us.
        return await self._once(call, _token_of(await self.auth.replace(stored)), patience)

    async def _once(self, call: Call[T], secrets: Secrets, patience: float = 0.0) -> T:
        connection = await self._control.take()
        try:
            exchange = self.exchange(connection, call, secrets)
            return await (_heard(exchange, patience) if patience else exchange)
        finally:
            self._control.give(connection)

    async def _repeat(self, call: Call[T], attempt: Callable[[], Awaitable[T]]) -> T:
        def repeatable(error: VideoCloudError) -> bool:
            answered = call.repeatable_once_answered and not isinstance(error, TransportError)
            return error.retryable and (call.repeatable or answered or not outcome_unknown(error))

        def on_retry(error: VideoCloudError, wait: float) -> None:
            logger.info("%s; trying again in %.1f s", error, wait)

        return await self.retries.run(attempt, repeatable=repeatable, on_retry=on_retry)

    def redacted(self, text: str) -> str:
        """Words of the service without whatever it repeated of our secrets."""
        return redact(text, self.auth.secrets)

    def _complete(self, error: VideoCloudError, outside: BaseException | None, call: Call[T], secrets: Secrets) -> None:
        """Say what it was about, and take out of the service's words whatever it repeated of our secrets."""
        if error.operation is None:
            error.operation = call.operation
            error.args = (f"{call.operation}: {error}",)
        error.file_id = error.file_id or call.file_id
        known = Secrets({**self.auth.secrets, **secrets})
        for each in chain(error, outside):
            # What a caller's own transport raised may quote the request.
            each.args = tuple(redact(part, known) if isinstance(part, str) else part for part in each.args)
        if isinstance(error, ServiceError | AuthorizationError) and error.code is not None:
            error.code = redact(error.code, known)
        if isinstance(error, ServiceError):
            error.message = redact(error.message, known)
        elif isinstance(error, ResponseError):
            error.excerpt = redact(error.excerpt, known)


async def _heard(exchange: Coroutine[Any, Any, T], patience: float) -> T:
    """Await an exchange; a caller that is cancelled waits for its end, `patience` seconds at most."""
    task = asyncio.ensure_future(exchange)

    async def end() -> None:
        await asyncio.wait([task], timeout=patience)
        task.cancel()

    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await settle(asyncio.ensure_future(end()))
        await settle(task)
        raise


def _is_about_token(error: AuthorizationError) -> bool:
    return error.code in TOKEN_REFUSED or error.code == "HTTP 401"


def _token_of(stored: StoredToken) -> Secrets:
    return Secrets({SecretName.ACCESS_TOKEN: stored.token.access_token})
