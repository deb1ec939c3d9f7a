"""Tokens in Redis, shared by processes on any number of machines.

What belongs here: keys, scripts and the lease. What must not: any use of the `redis` library elsewhere.

Commands and answers hold tokens, and the library's own errors keep both in their frames. So each command runs in a
task of its own, and its failure is raised as a new error, without those frames and without words that may quote the
command.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..models import StoredToken, Token
from ._codec import Sealed, token_from_json, token_to_json
from ._polling import poll
from ._turns import Turns
from ._worker import raise_clean, settle

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisTokenStore"]

logger: logging.Logger = logging.getLogger(__name__)

#: A command that takes longer than this many seconds has failed, whatever the client's own limits are.
PATIENCE = 5.0

# A hash with `version` and `token`. The versions of a lost key go on by the server's clock, in microseconds: whatever
# was there was written earlier, with fewer than one write in a microsecond.
COMPARE_AND_SET = """
local current = redis.call('HGET', KEYS[1], 'version')
if (current or '') ~= ARGV[1] then return false end
local version = tonumber(current or '')
if version then
  version = version + 1
else
  local now = redis.call('TIME')
  version = now[1] * 1000000 + now[2]
end
version = string.format('%.0f', version)
redis.call('HSET', KEYS[1], 'version', version, 'token', ARGV[2])
return version
"""

# Takes a lease or prolongs one's own. Sent twice, because the first answer was lost, it does no harm.
HOLD = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

GIVE_BACK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RedisTokenStore:
    """Tokens in Redis (5 or later), for any number of tasks and processes on any machines.

    A lease is a key that expires: while it is held it is prolonged at each third of its time, and when its holder
    dies it ends by itself. A store belongs to one event loop.

    Args:
        client_or_url: a client of `redis.asyncio`, which stays open; or a URL such as `redis://localhost:6379/0`, for
            a client of the store's own, which `aclose` or `async with` closes.
        prefix: what the store's keys begin with.

    Raises:
        ConfigurationError: the URL can't be read.
        ImportError: redis is not installed; it comes with ``pip install 'iqiyi-async[redis]'``.

    Every method raises `OSError` if the server can't be reached or refuses.
    """

    def __init__(self, client_or_url: Redis | str, *, prefix: str = "iqiyi-async:") -> None:
        try:
            from . import _redis_client
        except ImportError:
            raise ImportError("RedisTokenStore needs redis: pip install 'iqiyi-async[redis]'", name="redis") from None
        self._library = _redis_client
        self._prefix = prefix
        self._owned = isinstance(client_or_url, str)
        # A URL may hold a password.
        given = Sealed(client_or_url)
        del client_or_url
        self._client: Any = _redis_client.from_url(given) if self._owned else given.content
        self._turns = Turns()

    async def load(self, key: str) -> StoredToken | None:
        """The newest token of a key, or None."""
        _, stored = _decoded(await self._send("HMGET", self._prefix + "token:" + key, "version", "token"))
        return stored

    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        """Write a token if the key's version is still `expected`; None if it is not."""
        written = await self._write(key, "" if expected is None else str(expected), token)
        if written is None and expected is None:
            # What can't be read counts as nothing, but it has a version, and the script goes by that.
            found = await self._send("HMGET", self._prefix + "token:" + key, "version", "token")
            version, stored = _decoded(found)
            if version and stored is None:
                written = await self._write(key, version, token)
        return written

    @asynccontextmanager
    async def lease(self, key: str, *, ttl: float) -> AsyncGenerator[None, None]:
        """Be the only one, among all who use this server and prefix, that renews this key.

        Args:
            key: the account.
            ttl: seconds after which the lease of a holder that died ends.
        """
        hold = partial(self._hold, self._prefix + "lease:" + key, secrets.token_hex(16), ttl)
        async with self._turns.of(key):
            try:
                await poll(hold, first=0.02, most=0.25)
                keeper = asyncio.create_task(self._keep(hold, ttl), name="iqiyi-async token lease")
                try:
                    yield
                finally:
                    keeper.cancel()
                    await settle(keeper)
            finally:
                # Also after a cancelled or failed wait: the server may have given the lease all the same.
                await settle(asyncio.create_task(self._give_back(*hold.args[:2])))

    async def aclose(self) -> None:
        """Close the store's own client; a client that was given stays open."""
        if self._owned:
            await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<RedisTokenStore with the prefix {self._prefix!r}>"

    async def _write(self, key: str, expected: str, token: Token) -> StoredToken | None:
        content = Sealed(json.dumps(token_to_json(token)))
        answer = await self._send("EVAL", COMPARE_AND_SET, "1", self._prefix + "token:" + key, expected, content)
        return None if answer.content is None else StoredToken(int(answer.content), token)

    async def _hold(self, name: str, owner: str, ttl: float) -> bool:
        milliseconds = max(1, round(ttl * 1000))
        return bool((await self._send("EVAL", HOLD, "1", name, owner, str(milliseconds))).content)

    async def _keep(self, hold: partial[Any], ttl: float) -> None:
        while True:
            await asyncio.sleep(ttl / 3)
            try:
                if not await hold():
                    logger.warning("the lease of a token was lost, it was not prolonged in time")
                    return
            except OSError as error:
                # The lease has time for another try; and should it end, the versions keep the newest token.
                logger.info("the lease of a token could not be prolonged yet: %s", error)

    async def _give_back(self, name: str, owner: str) -> None:
        try:
            await self._send("EVAL", GIVE_BACK, "1", name, owner)
        except OSError as error:
            logger.info("the lease of a token was not given back, it ends by itself: %s", error)

    async def _send(self, *command: str | Sealed) -> Sealed:
        """Send a command; a caller that is cancelled leaves no task and no half-read connection behind."""
        return await raise_clean(self._execute(command), self._library.clean_error)

    async def _execute(self, command: tuple[str | Sealed, ...]) -> Sealed:
        async with asyncio.timeout(PATIENCE):
            words = (each.content if isinstance(each, Sealed) else each for each in command)
            return Sealed(await self._client.execute_command(*words))


def _decoded(answer: Sealed) -> tuple[str, StoredToken | None]:
    """The version as it stands there, and the token with it if both can be read."""
    version, content = (each.decode(errors="replace") if isinstance(each, bytes) else each for each in answer.content)
    try:
        token = token_from_json(json.loads(content or "null"))
    except (ValueError, RecursionError):
        token = None
    if token is None or not version or not version.isdecimal():
        return version or "", None
    return version, StoredToken(int(version), token)
