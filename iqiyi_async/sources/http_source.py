"""A file behind HTTP as a source: read by ranges of one pinned version, never spliced from two."""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self, TypeVar, cast
from urllib.parse import urljoin, urlsplit

import attrs
import httpx

from .. import _validation
from ..errors import ConfigurationError, ResponseError, SourceChangedError, VideoCloudError
from ..protocol import hosts
from ..transport import ConnectionPool, Connector, NameService
from ..transport.lane import LaneTransport
from ..transport.request import timeout_extension
from ._attempts import Attempts, PassingError, unreadable

T = TypeVar("T")

#: More redirects than this lead nowhere.
MOST_REDIRECTS = 5
MOST_CONNECTIONS = 64
#: Seconds for a connection, and without a byte of an answer.
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 30.0
#: A slow server is given so much time for its bytes, in bytes a second.
SLOWEST = 16 * 1024
#: Bytes of an answer that is not what was asked for.
MOST_OF_OTHERS = 64 * 1024

_REDIRECTS = {301, 302, 303, 307, 308}
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_OURS = {
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "te",
    "transfer-encoding",
}


@attrs.frozen
class _Version:
    """What a server says of the bytes that it has.

    Attributes:
        size: in bytes.
        etag: a strong one, or empty.
        modified: the Last-Modified, if it is a strong validator (RFC 9110, 8.8.2.2); or empty.
        hints: weak ones: they tell two versions apart, but not that two are the same.
    """

    size: int
    etag: str = ""
    modified: str = ""
    hints: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, size: int, headers: httpx.Headers) -> _Version:
        etag, modified = headers.get("etag", "").strip(), headers.get("last-modified", "").strip()
        strong = etag if re.fullmatch(r'"[\x21\x23-\x7e]*"', etag) else ""
        return cls(size, strong, "" if strong else _strong_date(modified, headers.get("date", "")), (etag, modified))

    @property
    def identity(self) -> str:
        """Changes with the bytes; empty if nothing strong is known."""
        strong = f"etag {self.etag}" if self.etag else self.modified and f"last-modified {self.modified}"
        return strong and f"{strong}, {self.size} bytes"

    @property
    def conditions(self) -> dict[str, str]:
        """Headers with which a server answers another version by 412, or by all of it."""
        if self.etag:
            return {"If-Match": self.etag, "If-Range": self.etag}
        if self.modified:
            return {"If-Unmodified-Since": self.modified, "If-Range": self.modified}
        return {}

    def differs(self, headers: httpx.Headers) -> bool:
        """Whether an answer is about another version."""
        pairs = zip(self.hints, (headers.get("etag", ""), headers.get("last-modified", "")), strict=True)
        return any(mine and theirs and mine != theirs.strip() for mine, theirs in pairs)


class HttpSource:
    """A file that a server hands out by ranges (RFC 9110, 14), such as behind a presigned URL.

    The version of the file that was there first is pinned by its strong ETag or its Last-Modified; bytes of another one
    end the upload. An upload that was interrupted goes on if the server still has that version. Without a strong
    validator the file can be uploaded but not resumed.

    Where the URL leads is asked for each range; redirects are followed, without `headers` to another origin, and into
    private networks only if `url` is in one. Connections are closed when nothing is read. Queries of URLs and headers
    appear in no text.

    Args:
        url: ``http://`` or ``https://``, as it goes over the wire: what is not ASCII is percent-encoded.
        headers: sent with each request to the origin of `url`, such as an Authorization.
        ssl_context: for TLS; by default the authorities of certifi, or those that the environment names.
        attempts: how failures that may pass are tried again.

    Attributes:
        name: the URL without its query, by which the upload is found again. URLs that differ in their query only need
            a ``key`` each.

    Raises:
        ConfigurationError: `url` or `headers` can't be sent.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        self._url = checked_url(url)
        self._headers = _checked_headers(headers)
        self.name: str = _shown(url)
        self._attempts = attempts or Attempts()
        names = NameService()
        self._names = names
        # Two kinds of connections: `open_to` guards those that a redirect leads over.
        self._open = Connector(names, ssl_context=ssl_context)
        self._guarded = Connector(names, ssl_context=ssl_context, open_to=frozenset())
        self._pool: ConnectionPool | None = None
        self._reading = 0
        self._version: _Version | None = None

    def __repr__(self) -> str:
        return f"HttpSource({self.name!r})"

    @property
    def size(self) -> int:
        """The bytes of the file; 0 until `identity` has asked for them."""
        return 0 if self._version is None else self._version.size

    async def identity(self) -> str:
        """Ask the server which version of the file it has. The ranges that are read from now on are of this one.

        Returns:
            A text that changes with the bytes; empty if the server gives no strong validator.

        Raises:
            ConfigurationError: the server does not have the file, or does not hand it out by ranges.
            UploadError: it can't be asked.
        """
        self._version = await self._use(self._look)
        return self._version.identity

    async def read_range(self, first: int, size: int) -> bytes:
        """Read a range.

        Args:
            first: index of the first byte, from 0.
            size: bytes, at least 1.

        Returns:
            Exactly `size` bytes.

        Raises:
            SourceChangedError: the server has another version of the file by now.
            UploadError: the bytes can't be had.
        """
        if self._version is None:
            await self.identity()
        return await self._use(lambda: self._range(first, size))

    async def aclose(self) -> None:
        """Close the connections; those in use, too. The source may be used again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _use(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try something, with connections that are closed when nobody needs them any more."""
        self._reading += 1
        try:
            return await self._attempts.run(attempt)
        finally:
            self._reading -= 1
            if not self._reading:
                await self.aclose()

    async def _look(self) -> _Version:
        response, _ = await self._ask(0, 1, {})
        status = response.status_code
        if status == 416 and _content_range(response) == (None, 0):
            raise ConfigurationError(f"{self.name} is empty: nothing can be published of it")
        if status == 200:
            raise ConfigurationError(
                f"{self.name} can't be read by ranges: the server ignores them; download it and give the path"
            )
        self._check_status(response, ConfigurationError)
        first, size = _content_range(response)
        if first != 0 or size is None:
            raise ConfigurationError(f"{self.name} can't be read by ranges: the server does not say how long it is")
        return _Version.of(size, response.headers)

    async def _range(self, first: int, size: int) -> bytes:
        version = self._version
        if version is None:
            raise ConfigurationError("a range is read after identity() has been awaited")
        response, content = await self._ask(first, size, version.conditions)
        if response.status_code in (412, 416) or version.differs(response.headers):
            raise self._changed("the server has another version of it")
        if response.status_code == 200:
            # With If-Range that is how a server says it, too.
            how = "the server sends all of it" if version.conditions else "the server ignores ranges by now"
            raise self._changed(how)
        self._check_status(response, unreadable)
        start, whole = _content_range(response)
        if whole != version.size:
            raise self._changed(f"it had {version.size} bytes, and now {whole}")
        if start != first or len(content) > size:
            raise unreadable(f"{self.name} can't be read: the server sent another range than was asked for")
        if len(content) < size:
            raise PassingError(f"{self.name} was cut off: the server sent {len(content)} of {size} bytes")
        return content

    async def _ask(self, first: int, size: int, conditions: dict[str, str]) -> tuple[httpx.Response, bytes]:
        """Ask for a range, wherever it is by now."""
        url, at_home = self._url, True
        for _ in range(MOST_REDIRECTS + 1):
            headers = {**(self._headers if at_home else {}), **conditions}
            headers |= {"Range": f"bytes={first}-{first + size - 1}", "Accept-Encoding": "identity"}
            response, content = await self._exchange(url, headers, size, guarded=not (at_home or await self._private()))
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location:
                return response, content
            url = await self._followed(url, location)
            at_home = at_home and hosts.origin(url) == hosts.origin(self._url)
        raise unreadable(f"{self.name} leads from one redirect to the next, more than {MOST_REDIRECTS} times")

    async def _followed(self, url: str, location: str) -> str:
        """Where a redirect leads, if it may be followed."""
        target = urljoin(url, location.strip()).partition("#")[0]
        problem = hosts.problem_with(target, private_allowed=True)
        if problem is None and urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
            problem = "it leaves TLS"
        if problem is None and hosts.is_private_host(urlsplit(target).hostname or "") and not await self._private():
            problem = "it leads to a private, loopback or link-local address"
        if problem is not None:
            raise unreadable(f"{self.name} redirects to {_shown(target)}, which is not followed: {problem}")
        return target

    async def _private(self) -> bool:
        """Whether the first URL is in a private network itself."""
        where = hosts.address(self._url)
        if hosts.is_private_host(where.host):
            return True
        try:
            found = await self._names.look_up(where.host, where.port)
        except OSError:
            return False
        return any(hosts.is_private_address(str(address[0])) for *_, address in found)

    async def _exchange(
        self, url: str, headers: dict[str, str], size: int, *, guarded: bool
    ) -> tuple[httpx.Response, bytes]:
        where = hosts.address(url)
        total = CONNECT_TIMEOUT + 2 * READ_TIMEOUT + size / SLOWEST
        request = httpx.Request(
            "GET",
            f"{where.scheme}://{where.authority}/",
            headers={"Host": where.authority, "Accept": "*/*", **headers},
            extensions={
                "target": where.target.encode("ascii"),
                "timeout": timeout_extension(CONNECT_TIMEOUT, READ_TIMEOUT, READ_TIMEOUT, total),
                "most": max(size, MOST_OF_OTHERS),
            },
        )
        if self._pool is None:
            self._pool = ConnectionPool(MOST_CONNECTIONS)
        pool = self._pool
        lane = await pool.acquire(hosts.origin(url), self._guarded_lane if guarded else self._open_lane)
        try:
            response = await lane.handle_async_request(request)
        except ResponseError:
            raise unreadable(
                f"{self.name} redirects to {where.host}, which is not followed: it leads to a private address"
            ) from None
        except (httpx.TransportError, OSError) as problem:
            raise PassingError(f"{self.name} can't be read: {where.host} did not answer ({problem})") from None
        finally:
            pool.release(lane)
        if not isinstance(response.stream, httpx.AsyncByteStream):
            raise unreadable(f"{self.name} can't be read: its answer has no bytes")
        # As they came: nothing is decompressed.
        return response, b"".join([piece async for piece in response.stream])

    def _open_lane(self) -> LaneTransport:
        return LaneTransport(self._open)

    def _guarded_lane(self) -> LaneTransport:
        return LaneTransport(self._guarded)

    def _check_status(self, response: httpx.Response, refused: Callable[[str], VideoCloudError]) -> None:
        """Refuse every answer that is not a part of the file, as it is."""
        status = response.status_code
        if status in _PASSING:
            raise PassingError(
                f"{self.name} can't be read: the server answered {status}",
                retry_after=_seconds(response.headers.get("retry-after")),
            )
        if status in (401, 403):
            raise refused(
                f"{self.name} can't be read: the server answered {status}; give it headers that it takes, or a new URL"
                " if this one has expired"
            )
        if status != 206:
            raise refused(f"{self.name} can't be read: the server answered {status}")
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise refused(f"{self.name} can't be read: the server sends it compressed, though that was not asked for")

    def _changed(self, how: str) -> SourceChangedError:
        return SourceChangedError(f"{self.name} changed while it was uploaded: {how}; nothing was published")


def checked_url(url: object) -> str:
    """The URL as it goes out; a ConfigurationError if it can't."""
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a string, not {type(url).__name__}")
    url = url.partition("#")[0]
    problem = hosts.problem_with(url, private_allowed=True)
    if problem is not None:
        raise ConfigurationError(
            f"the url {_shown(url)} can't be used: {problem}; give http:// or https://, percent-encoded, and"
            " credentials in headers"
        )
    return url


def _checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """No text quotes a value: it may be a secret."""
    if headers is None:
        return {}
    _validation.kind("headers", headers, Mapping)
    for name, value in cast("Mapping[object, object]", headers).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigurationError("headers must be strings, names and values")
        if not _TOKEN.fullmatch(name):
            raise ConfigurationError(f"headers: {name!r} is not the name of a header")
        if not _VALUE.fullmatch(value):
            raise ConfigurationError(f"headers: the value of {name} holds a character that HTTP does not allow there")
        if name.lower() in _OURS:
            raise ConfigurationError(f"headers: {name} is set by HttpSource itself; leave it out")
    return dict(headers)


def _shown(url: str) -> str:
    """A URL as texts show it: without its query, and without a user name."""
    whole = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = whole.partition("://")
    authority, slash, path = rest.partition("/")
    shown = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
    return "".join(character if character.isprintable() else "?" for character in shown)[:500]


def _content_range(response: httpx.Response) -> tuple[int | None, int | None]:
    """The first byte and the whole size, as far as the header Content-Range says them."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if found is None:
        return None, None
    return (None if found[1] is None else int(found[1])), (None if found[3] == "*" else int(found[3]))


def _strong_date(modified: str, date: str) -> str:
    """A Last-Modified, if a second change after it would have another date (RFC 9110, 8.8.2.2)."""
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except (TypeError, ValueError):
        return ""
    return modified if age.total_seconds() >= 1 else ""


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"[0-9]{1,6}", text.strip()) else None
