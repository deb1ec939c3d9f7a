"""Sending a call: token in, retry, one renewal, decode.

What belongs here: the one way in which every operation goes out. What must not: anything about uploads as a whole.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ._auth import Auth
from ._lanes import Lanes
from ._retry import Retries
from ._transport import Connection
from .errors import (
    AuthorizationError,
    ResponseError,
    ServiceError,
    ServiceUnavailableError,
    TransportError,
    VideoCloudError,
)
from .models import Token
from .protocol.answers import TOKEN_REFUSED
from .protocol.wire import Call, Secret, Vault, redact
from .stores.base import StoredToken

logger = logging.getLogger(__name__)

T = TypeVar("T")

_NOTHING = Vault()


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
        self.auth: Auth

    async def send(self, call: Call[T]) -> T:
        """Send a call over a control lane, as often as its policy and its nature allow, and decode its answer.

        Raises:
            VideoCloudError: what the answer means, or that there was none.
        """
        if Secret.ACCESS_TOKEN not in call.request.secrets:
            return await self._repeat(call, lambda: self._once(call, _NOTHING))
        return await self._repeat(call, lambda: self._with_token(call))

    async def send_for_token(self, call: Call[Token], secrets: Vault) -> Token:
        """Send a call that gets a token: it carries other secrets, and no token."""
        return await self._repeat(call, lambda: self._once(call, secrets))

    async def exchange(
        self,
        connection: Connection,
        call: Call[T],
        secrets: Vault = _NOTHING,
        on_sent: Callable[[int], None] | None = None,
    ) -> T:
        """Send a call once over a given connection. Errors say which operation and which upload they are about."""
        try:
            return call.decode(await connection.send(call.request, secrets, on_sent))
        except VideoCloudError as error:
            self._complete(error, call, secrets)
            raise

    async def _with_token(self, call: Call[T]) -> T:
        stored = await self.auth.token()
        try:
            return await self._once(call, _token_of(stored))
        except AuthorizationError as error:
            if error.code not in TOKEN_REFUSED and error.code != "HTTP 401":
                raise
        # Once: a service that refuses a new token too has something else against us.
        return await self._once(call, _token_of(await self.auth.replace(stored)))

    async def _once(self, call: Call[T], secrets: Vault) -> T:
        async with self._control.borrow() as connection:
            return await self.exchange(connection, call, secrets)

    async def _repeat(self, call: Call[T], attempt: Callable[[], Awaitable[T]]) -> T:
        def repeatable(error: VideoCloudError) -> bool:
            return error.retryable and (call.repeatable or not outcome_unknown(error))

        def on_retry(error: VideoCloudError, wait: float) -> None:
            logger.info("%s; trying again in %.1f s", error, wait)

        return await self.retries.run(attempt, repeatable=repeatable, on_retry=on_retry)

    def _complete(self, error: VideoCloudError, call: Call[T], secrets: Vault) -> None:
        """Say what it was about, and take out of the service's words whatever it repeated of our secrets."""
        if error.operation is None:
            error.operation = call.operation
            error.args = (f"{call.operation}: {error}",)
        error.file_id = error.file_id or call.file_id
        known = Vault({**self.auth.secrets, **secrets})
        error.args = tuple(redact(str(each), known) for each in error.args)
        if isinstance(error, ServiceError):
            error.message = redact(error.message, known)
        elif isinstance(error, ResponseError):
            error.excerpt = redact(error.excerpt, known)


def _token_of(stored: StoredToken) -> Vault:
    return Vault({Secret.ACCESS_TOKEN: stored.token.access_token})
