"""The redis library: clients with our options, and its errors without frames."""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..errors import ConfigurationError
from ._codec import Sealed

#: A connection that the server has closed meanwhile is replaced once; that a server is away is told at once, because
#: the client can go on without it.
OPTIONS: dict[str, Any] = {"retry": Retry(NoBackoff(), 1)}
try:
    from redis.driver_info import DriverInfo
except ImportError:
    pass  # 7.0 and 7.1 have no such thing, and don't need it
else:
    # Made once, here: otherwise the library reads its own version from the disk for each connection, in the event
    # loop.
    OPTIONS["driver_info"] = DriverInfo()


def from_url(url: Sealed) -> Any:
    """A client for a URL.

    Raises:
        ConfigurationError: it can't be read.
    """
    library = cast("Any", Redis)  # its from_url takes what it likes
    try:
        return library.from_url(url.content, **OPTIONS)
    except ValueError:
        pass
    raise ConfigurationError("this is no URL of a Redis server; one looks like redis://localhost:6379/0")


def clean_error(error: BaseException) -> BaseException:
    """The same failure as an OSError, without the frames and, where it may quote the command, without the words."""
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return TimeoutError("Redis did not answer in time")
    if isinstance(error, RedisConnectionError):
        return ConnectionError(f"Redis can't be reached: {error}")
    if isinstance(error, RedisError):
        code = str(error).split(" ", 1)[0][:32]
        return OSError(f"Redis refused: {type(error).__name__} {code}")
    if isinstance(error, OSError):
        return OSError(f"Redis can't be reached: {error}")
    return error.with_traceback(None)
