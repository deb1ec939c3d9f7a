"""A fresh access token for everyone, asked for once.

Two windows: in the soft one the token is renewed in the background while all tasks go on with the old one; in the
hard one all tasks wait. All waiters share one flight, and the flight belongs to the client, so that cancelling any
of them disturbs no other. Between processes the store's lease makes one of them renew and its compare-and-set keeps
the newest token; a task that waited finds the new token in the store and asks for none.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeGuard

import anyio
import attrs

from ._concurrency import is_cancellation
from ._redaction import redact
from .config import Endpoints
from .errors import AuthorizationError, ResponseError, ServiceError, TransportError, VideoCloudError
from .models import StoredToken, Token
from .protocol import oauth
from .protocol.wire import Call, SecretName, Secrets
from .stores.base import TokenStore

logger: logging.Logger = logging.getLogger(__name__)

#: The soft window is this last part of a token's life, spread a little so that many processes do not wake at once.
SOFT = 0.2
#: The hard window: a request made now must still arrive in time. For tokens of minutes it shrinks with their life.
HARD_SECONDS = 60.0
HARD = 0.05
#: Longer than any renewal takes with its retries; a holder that died is replaced after this many seconds.
LEASE_SECONDS = 60.0
#: After a renewal in the soft window failed, the next is not tried before so many seconds.
COOL_DOWN_SECONDS = 15.0

#: Sends a call for a token; whether somebody waits for it by the policy of calls outside of an upload.
Send = Callable[[Call[Token], Secrets, bool], Awaitable[Token]]


class TokenManager:
    """The token of one account at one service.

    Args:
        app_key: of the account.
        app_secret: of the account.
        endpoints: where the service lives.
        store: where the token is kept.
        send: sends the calls that get a token.
        clock: Unix time in seconds.
        random: a number from 0 to 1.
        impatience: how long a call that somebody waits for joins a renewal that was begun for uploads, in seconds.
        store_seconds: a store that says nothing for so long has failed.
    """

    def __init__(
        self,
        *,
        app_key: str,
        app_secret: str,
        endpoints: Endpoints,
        store: TokenStore,
        send: Send,
        clock: Callable[[], float],
        random: Callable[[], float],
        impatience: float = 5.0,
        store_seconds: float = 20.0,
    ) -> None:
        self._credentials = Secrets({SecretName.APP_KEY: app_key, SecretName.APP_SECRET: app_secret})
        self._endpoints = endpoints
        self._store = store
        self._send = send
        self._clock = clock
        self._random = random
        self._impatience = impatience
        self._store_seconds = store_seconds
        self._key = hashlib.blake2b(f"{app_key}\n{endpoints.api}".encode(), digest_size=16).hexdigest()
        self._now: StoredToken | None = None
        self._flight: asyncio.Task[StoredToken] | None = None
        self._impatient = False
        self._waiting = 0
        self._next_try = 0.0
        #: The last renewal brought the same token again (contract, B11): another one would, too.
        self._unchanged = False
        self._store_failed = False

    @property
    def account(self) -> str:
        """A name of the account that is no secret: what its token is stored under."""
        return self._key

    @property
    def known(self) -> StoredToken | None:
        """The token of this moment, whatever its age."""
        return self._now

    @property
    def secrets(self) -> Secrets:
        """All secrets known at this moment, to be kept out of texts."""
        known = Secrets(self._credentials)
        if self._now is not None:
            known[SecretName.ACCESS_TOKEN] = self._now.token.access_token
            known[SecretName.REFRESH_TOKEN] = self._now.token.refresh_token or ""
        return known

    @property
    def at_hand(self) -> bool:
        """Whether `token` has nothing to wait for."""
        now = self._now
        return now is not None and self._left(now.token) > (0.0 if self._unchanged else self._hard(now.token))

    @property
    def waiting(self) -> int:
        """How many wait for a token."""
        return self._waiting

    async def token(self, interactive: bool = False) -> StoredToken:
        """A token that can be used now.

        Args:
            interactive: somebody waits for it, who would rather have an error within seconds.

        Raises:
            AuthorizationError: the service refuses the credentials or the application.
            VideoCloudError: none could be had.
        """
        now = self._now
        if now is not None:
            left, life = self._left(now.token), _life(now.token)
            if left > life * SOFT * (0.9 + 0.2 * self._random()):
                return now
            # A token that was just renewed and is no younger than it was will do, as long as it lives.
            if left > (0.0 if self._unchanged else self._hard(now.token)):
                if self._clock() >= self._next_try:
                    self._take_off(now, interactive=False)
                return now
        return await self._renewed(now, interactive)

    async def replace(self, refused: StoredToken, interactive: bool = False) -> StoredToken:
        """Another token than the one that the service has just refused."""
        if self._now is not None and not _same(self._now, refused):
            return self._now
        return await self._renewed(refused, interactive)

    async def authorize(self) -> Token:
        """Ask for a new token with key and secret, whatever there is, and keep it."""
        token = await self._send(oauth.authorize(self._endpoints), self._credentials, True)
        return (await self._keep(token, await self._load())).token

    async def refresh(self) -> Token:
        """Renew the token now, whatever its age."""
        return (await self._renewed(self._now or await self._load(), interactive=True)).token

    async def _renewed(self, stale: StoredToken | None, interactive: bool) -> StoredToken:
        flight = self._take_off(stale, interactive=interactive)
        if interactive:
            return await (self._join(flight) if self._impatient else self._join_briefly(flight))
        if not self._impatient:
            return await self._join(flight)
        try:
            return await self._join(flight)
        except VideoCloudError as error:
            if not error.exhausted:
                raise
        # It was begun for somebody who gives up soon.
        return await self._join(self._take_off(stale, interactive=False))

    async def aclose(self) -> None:
        """End a renewal that is under way."""
        flight, self._flight = self._flight, None
        if flight is not None and not flight.done():
            flight.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([flight])

    def _take_off(self, stale: StoredToken | None, *, interactive: bool) -> asyncio.Task[StoredToken]:
        if self._flight is None or self._flight.done():
            self._impatient = interactive
            self._flight = asyncio.create_task(self._renew(stale), name="iqiyi-async token renewal")
            self._flight.add_done_callback(self._landed)
        return self._flight

    async def _join_briefly(self, flight: asyncio.Task[StoredToken]) -> StoredToken:
        """Wait for a renewal that was begun for uploads, which wait longer than a call that somebody waits for."""
        try:
            async with asyncio.timeout(self._impatience):
                return await self._join(flight)
        except TimeoutError:
            late = f"the access token is not renewed yet after {self._impatience:g} s"
            raise TransportError(late, sent=False, operation="refresh_token") from None

    async def _join(self, flight: asyncio.Task[StoredToken]) -> StoredToken:
        self._waiting += 1
        try:
            return await asyncio.shield(flight)
        except VideoCloudError as error:
            # Every waiter gets an error of its own: a shared one would gather everybody's frames.
            raise copy.copy(error) from error.__cause__
        except asyncio.CancelledError as problem:
            if flight.cancelled() and not is_cancellation(problem):
                raise VideoCloudError("the client was closed while its token was renewed") from None
            raise
        finally:
            self._waiting -= 1

    def _landed(self, flight: asyncio.Task[StoredToken]) -> None:
        if not flight.cancelled() and (error := flight.exception()) is not None:
            # Also reached when nobody waits: a renewal in the soft window may fail, there is time for another.
            self._next_try = self._clock() + COOL_DOWN_SECONDS
            logger.warning("the access token could not be renewed: %s", error)

    async def _renew(self, stale: StoredToken | None) -> StoredToken:
        """Get another token than `stale`: somebody else's from the store, or one of our own."""
        found = await self._load()
        if self._good(found, stale):
            return self._use(found)
        async with self._lease():
            found = await self._load()
            if self._good(found, stale):
                return self._use(found)
            return await self._keep(await self._ask(found or stale), found)

    async def _ask(self, before: StoredToken | None) -> Token:
        if before is not None and before.token.refresh_token:
            # Never a name of its own for the token: an error that passes here must not find it in this frame.
            secrets = Secrets({**self._credentials, SecretName.REFRESH_TOKEN: before.token.refresh_token})
            try:
                token = await self._send(oauth.refresh(self._endpoints), secrets, self._impatient)
            except (AuthorizationError, ServiceError, ResponseError) as error:
                logger.info("the token was not refreshed (%s); authorizing with key and secret", type(error).__name__)
            else:
                # RFC 6749, 6: a service that does not rotate its refresh token need not send it again.
                return token if token.refresh_token else attrs.evolve(token, refresh_token=before.token.refresh_token)
        return await self._send(oauth.authorize(self._endpoints), self._credentials, self._impatient)

    async def _keep(self, token: Token, before: StoredToken | None) -> StoredToken:
        """Store a new token. Should somebody have been faster, theirs is the newest, and ours is dropped."""
        for _ in range(3):
            async with self._store_may_fail():
                written = await self._store.compare_and_set(self._key, before.version if before else None, token)
                if written is not None:
                    return self._use(written)
                newer = await self._store.load(self._key)
                if self._good(newer, before):
                    return self._use(newer)
                before = newer
                continue
            break
        return self._use(StoredToken(before.version if before else 0, token))

    async def _load(self) -> StoredToken | None:
        async with self._store_may_fail():
            return await self._store.load(self._key)
        return None

    @asynccontextmanager
    async def _lease(self) -> AsyncGenerator[None, None]:
        """The store's lease, if it can be had; without it the compare-and-set still keeps the newest token."""
        async with AsyncExitStack() as held:
            async with self._store_may_fail(2 * LEASE_SECONDS):
                lease = self._store.lease(self._key, ttl=LEASE_SECONDS)
                await lease.__aenter__()
                held.push_async_callback(self._leave, lease)
            yield

    async def _leave(self, lease: AbstractAsyncContextManager[None]) -> None:
        async with self._store_may_fail():
            await lease.__aexit__(None, None, None)

    @asynccontextmanager
    async def _store_may_fail(self, seconds: float | None = None) -> AsyncGenerator[None, None]:
        try:
            async with asyncio.timeout(seconds or self._store_seconds):
                yield
        except Exception as problem:  # noqa: BLE001 - a store of the caller's may raise whatever its library does
            if not self._store_failed:
                self._store_failed = True
                logger.warning("the token store failed (%s); the token is kept in memory", self._words(problem))

    def _words(self, problem: Exception) -> str:
        """What went wrong with the store: its own words where they name a path, the reason and the remedy. Those of
        other libraries may quote an address with a password."""
        kind = type(problem).__name__
        careful = isinstance(problem, PermissionError | VideoCloudError)
        if careful or (isinstance(problem, OSError) and problem.filename is not None):
            return f"{kind}: {redact(str(problem), self.secrets)}"
        return kind

    def _good(self, found: StoredToken | None, stale: StoredToken | None) -> TypeGuard[StoredToken]:
        """Whether what the store holds is a renewal of `stale`: another token, or the same one given once more."""
        if found is None or not _fit(found.token):
            return False
        if stale is not None and found.token.access_token == stale.token.access_token:
            return not _same(found, stale) and self._left(found.token) > 0
        return self._left(found.token) > self._hard(found.token)

    def _use(self, stored: StoredToken) -> StoredToken:
        before, self._now = self._now, stored
        self._unchanged = before is not None and before.token.access_token == stored.token.access_token
        if self._unchanged:
            left = self._left(stored.token)
            self._next_try = self._clock() + max(1.0, min(COOL_DOWN_SECONDS, left / 2))
        return stored

    def _left(self, token: Token) -> float:
        return token.expires_at.timestamp() - self._clock()

    def _hard(self, token: Token) -> float:
        return min(HARD_SECONDS, _life(token) * HARD)


def _life(token: Token) -> float:
    return (token.expires_at - token.obtained_at).total_seconds()


def _fit(token: Token) -> bool:
    """Whether a token out of a store can travel in a header: an error of the HTTP library would quote it."""
    return re.fullmatch("[!-~]+", token.access_token) is not None


def _same(one: StoredToken, other: StoredToken) -> bool:
    """Whether both are one and the same answer of the service: it may give the same token several times."""
    return one.token.access_token == other.token.access_token and one.token.obtained_at == other.token.obtained_at
