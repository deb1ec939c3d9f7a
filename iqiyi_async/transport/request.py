"""How a request of the protocol becomes an `httpx.Request`, with its secrets in their places.

The target goes out as it is, in ``extensions["target"]``: httpx rewrites URLs, and an `upload_url` must stay as it
came. httpcore honours that extension too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import httpx

from ..config import KIB
from ..errors import ConfigurationError
from ..protocol import hosts
from ..protocol.forms import fields_only
from ..protocol.wire import Body, Fields, MisdirectedSecretError, Request, SecretName, Secrets

#: What other transports than ours ask for at a time, in bytes.
PIECE = 256 * KIB

_USER_AGENT = (b"User-Agent", b"iqiyi-async")
_NO_CODING = (b"Accept-Encoding", b"identity")
#: A URL that is longer is parsed each time: what is kept must not fill the memory.
_LONGEST_KEPT = 512


class BodyStoppedError(Exception):
    """Nobody waits for the exchange any more, so the rest of its body is not sent."""


class RequestBody(httpx.AsyncByteStream):
    """A body in parts that are not joined.

    Attributes:
        parts: what is sent, one after the other. Our own connections send them from where they are.
        on_sent: called with the number of bytes for each write (ours), or for each piece that was asked for (others).
        allow: awaited with a number of bytes before they are written; how many may be. None: as fast as can be.
        told: how many bytes `on_sent` was called with.
    """

    def __init__(
        self,
        parts: Body,
        on_sent: Callable[[int], None] | None = None,
        told: int = 0,
        allow: Callable[[int], Awaitable[int]] | None = None,
    ) -> None:
        self.parts: Body = parts
        self.on_sent = on_sent
        self.allow = allow
        self.told: int = told
        self._again = told
        self._stopped = False

    def sent(self, count: int) -> None:
        """Note that so many bytes more have gone out; those that had gone out before are not told again."""
        new = count - self._again
        self._again = max(0, -new)
        if new > 0:
            self.told += new
            if self.on_sent is not None:
                self.on_sent(new)

    def stop(self) -> None:
        """Give out no more pieces: the memory of the parts may be used for something else."""
        self._stopped = True
        self.parts = ()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            view = memoryview(part)
            start = 0
            while start < len(view):
                most = min(PIECE, len(view) - start)
                if self.allow is not None:
                    most = await self.allow(most)
                if self._stopped:
                    raise BodyStoppedError
                piece = bytes(view[start : start + most])
                yield piece
                self.sent(len(piece))
                start += most


class RawHeaders:
    """Headers that become httpx's when somebody asks for them: for most requests and answers of ours nobody does."""

    _raw_headers: list[tuple[bytes, bytes]]
    _made: httpx.Headers | None = None

    @property
    def headers(self) -> httpx.Headers:
        """The headers."""
        if self._made is None:
            self._made = httpx.Headers(self._raw_headers)
        return self._made

    @headers.setter
    def headers(self, given: httpx.Headers) -> None:
        self._made = given

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as they came, or as they go out."""
        return self._raw_headers if self._made is None else self._made.raw

    def _hold(self, raw_headers: list[tuple[bytes, bytes]]) -> None:
        """In place of what httpx's own constructor has made."""
        self._raw_headers, self._made = raw_headers, None


class SealedRequest(RawHeaders, httpx.Request):
    """A request that prints neither its URL nor its headers: it stands in frames that a traceback may show."""

    def __init__(
        self,
        method: str,
        url: httpx.URL,
        raw_headers: list[tuple[bytes, bytes]],
        stream: httpx.AsyncByteStream,
        extensions: dict[str, Any],
    ) -> None:
        super().__init__(method, url, stream=stream, extensions=extensions)
        self._hold(raw_headers)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.method!r})>"


def build_request(
    request: Request,
    secrets: Secrets,
    trusted: frozenset[str],
    *,
    body: RequestBody | None = None,
    timeout: dict[str, float] | None = None,
    whole_url: bool = False,
    last: bool = False,
) -> httpx.Request:
    """Put the secrets of a request in their places.

    Args:
        request: the request.
        secrets: at least those that it has places for.
        trusted: the origins that secrets may be sent to.
        body: what is sent; the request's own body if None.
        timeout: seconds, for the extension of that name.
        whole_url: put the query into the URL, for a transport that may not know ``extensions["target"]``, or may make
            something else of it. Without it the URL holds no secret, so that instruments may note it.
        last: ask for the connection to be closed after the answer.

    Raises:
        MisdirectedSecretError: the request has a place for a secret but its host is not a trusted one.
        ConfigurationError: the URL can't be read.
    """
    if request.secrets and hosts.origin(request.url) not in trusted:
        raise MisdirectedSecretError(f"a secret must not go to {hosts.origin(request.url)}")
    where = hosts.address(request.url)
    target, url = where.target, request.url
    if request.query:
        # The names are the protocol's own, and hold nothing that needs an escape.
        query = "&".join([f"{name}={_quoted(value, secrets)}" for name, value in request.query])
        target += ("&" if "?" in target else "?") + query
    size = request.body_size
    if request.form:
        # Filled in here, like the headers: before, a request holds no secret.
        filled = [(name, secrets[value] if isinstance(value, SecretName) else value) for name, value in request.form]
        form = fields_only(request.boundary, filled)
        body, size = RequestBody((form,)), len(form)
    headers = [(b"Host", _bytes(where.authority)), _USER_AGENT, _NO_CODING, *_filled(request.headers, secrets)]
    if last:
        headers.append((b"Connection", b"close"))
    if size or request.method == "POST":
        headers.append((b"Content-Length", b"%d" % size))
    stream: httpx.AsyncByteStream = (body or RequestBody(request.body)) if size else httpx.ByteStream(b"")
    if whole_url and request.query:
        url = f"{where.scheme}://{where.authority}{target}"
    parsed = _parsed(url) if whole_url or len(url) > _LONGEST_KEPT else _kept(url)
    extensions: dict[str, Any] = {"target": _bytes(target), "timeout": timeout or {}}
    if whole_url and (request.secrets or parsed.raw_path == extensions["target"]):
        # A proxy behind that transport would be asked for this target itself.
        del extensions["target"]
    made = SealedRequest(request.method, parsed, headers, stream, extensions)
    if not size and whole_url:
        # Some transports send any other stream in chunks, even if nothing comes out of it.
        made.read()
    return made


def _quoted(value: str | SecretName, secrets: Secrets) -> str:
    # A secret from a store may be any text: it is the service that refuses it, not an encoder that quotes it.
    return quote(secrets[value] if isinstance(value, SecretName) else value, safe="", errors="surrogatepass")


def _filled(fields: Fields, secrets: Secrets) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode("ascii"), _bytes(secrets[value] if isinstance(value, SecretName) else value))
        for name, value in fields
    ]


def _bytes(text: str) -> bytes:
    # Nothing outside of ASCII is ever sent: it is refused later, by an error that does not quote it.
    return text.encode("utf-8", "surrogatepass")


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        pass
    raise ConfigurationError("the address of a request is not a URL that can be used")


@lru_cache(maxsize=128)
def _kept(url: str) -> httpx.URL:
    return _parsed(url)


def timeout_extension(connect: float, write: float, read: float, total: float) -> dict[str, Any]:
    """Waits in seconds as httpx spells them, and the bound of the whole exchange (`total`), which is ours alone."""
    return {"connect": connect, "pool": connect + write, "write": write, "read": read, "total": total}
