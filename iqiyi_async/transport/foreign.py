"""The caller's own transport: each exchange runs in a task that nothing cancels.

A cancelled exchange costs httpcore 1.0 a place in its pool forever. So who gives up leaves the exchange to its end:
its body gives out no more pieces, an answer that has begun is closed, and httpx's own timeouts end the rest.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import anyio
import httpx

from ..config import MIB
from .lane import SealedResponse
from .request import BodyStoppedError, RequestBody

logger: logging.Logger = logging.getLogger(__name__)

#: How long somebody who gives up waits for the end of the exchange, in seconds.
PATIENCE = 1.0


class ForeignFaultError(httpx.TransportError):
    """The transport did what none may do: it is at fault, and not the network."""


class ForeignTransport(httpx.AsyncBaseTransport):
    """The exchanges of one client over a transport that the caller has brought, and closes.

    Args:
        transport: the caller's.
        leftovers: so many exchanges that nobody waits for any more may be under way; the next request waits.
        most: bytes of an answer that are read; of a longer one it is enough to read more than these.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, leftovers: int, *, most: int = 2 * MIB) -> None:
        self._transport = transport
        self._most = most
        self._leftovers = leftovers
        self._left: set[asyncio.Task[httpx.Response]] = set()

    def lane(self) -> ForeignLane:
        """One exchange at a time over this transport."""
        return ForeignLane(self)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer, up to the first piece that makes it too long.

        Raises:
            httpx.TransportError: there was no whole answer.
            TimeoutError: it took longer than the extension ``timeout`` allows in total.
        """
        await self._make_room(request.extensions["timeout"]["pool"])
        body = request.stream if isinstance(request.stream, RequestBody) else None
        given_up = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._exchange(request, given_up), name="iqiyi-async exchange")
        total = request.extensions["timeout"].get("total")
        late = False
        try:
            await asyncio.wait([task], timeout=total)
        finally:
            late = not task.done()
            if late:
                given_up.set()
                if body is not None:
                    body.stop()
                self._left.add(task)
                task.add_done_callback(self._ended)
                with anyio.CancelScope(shield=True):
                    await self._linger(task)
        if late:
            raise TimeoutError(f"nothing whole within {total:.0f} s")
        return task.result()

    async def wait_closed(self, seconds: float) -> None:
        """Wait for the exchanges that nobody waits for any more."""
        if self._left:
            await asyncio.wait(list(self._left), timeout=seconds)

    async def _make_room(self, seconds: float) -> None:
        if len(self._left) >= self._leftovers:
            await asyncio.wait(self._left, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if len(self._left) >= self._leftovers:
                what = f"{len(self._left)} exchanges that were given up have not ended"
                raise httpx.PoolTimeout(f"{what}: the transport obeys no timeout")

    async def _linger(self, task: asyncio.Task[httpx.Response]) -> None:
        # Should it be cancelled once more: the first cancellation leaves in any case.
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=PATIENCE)

    def _ended(self, task: asyncio.Task[httpx.Response]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()

    async def _exchange(self, request: httpx.Request, given_up: asyncio.Event) -> httpx.Response:
        try:
            response: Any = await self._transport.handle_async_request(request)
        except BodyStoppedError:
            raise httpx.WriteError("given up") from None
        except (httpx.TransportError, OSError):
            raise
        except (Exception, asyncio.CancelledError) as problem:
            raise _failed(problem) from problem
        if not isinstance(response, httpx.Response):
            raise ForeignFaultError(f"the transport gave {type(response).__name__} instead of an httpx.Response")
        if not isinstance(response.stream, httpx.AsyncByteStream):
            raise ForeignFaultError("the transport's answer can't be read in an event loop")
        try:
            content = await self._read(response.stream, given_up)
        except BaseException:
            with suppress(Exception):
                await response.aclose()
            raise
        try:
            await response.aclose()
        except Exception as problem:  # noqa: BLE001 - the answer is there
            # Without its text: it may quote the request.
            logger.warning("an answer could not be closed by the transport (%s)", type(problem).__name__)
        return SealedResponse(response.status_code, response.headers.raw, content)

    async def _read(self, stream: httpx.AsyncByteStream, given_up: asyncio.Event) -> bytes:
        content = bytearray()
        try:
            if not given_up.is_set():
                async for part in stream:
                    content += part
                    if len(content) > self._most or given_up.is_set():
                        break
        except (httpx.TransportError, OSError):
            raise
        except (Exception, asyncio.CancelledError) as problem:
            raise _failed(problem) from problem
        return bytes(content)


def _failed(problem: BaseException) -> BaseException:
    """What the exchange ends with. Nothing of ours cancels it: a cancellation comes from within the transport, unless
    the event loop ends."""
    if isinstance(problem, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
        return problem
    return ForeignFaultError(f"the transport failed ({type(problem).__name__})")


def takes_targets(transport: httpx.AsyncBaseTransport) -> bool:
    """Whether a transport is known to take the target of a request from ``extensions["target"]``, and from there alone.

    One that goes through an HTTP proxy puts it in the place of the proxy's own: it would ask the proxy to
    ``CONNECT /path?query``, secrets included.
    """
    # There is no public way to see it. Should a name change, the whole URL is handed over, which always works.
    pool = getattr(transport, "_pool", None) if isinstance(transport, httpx.AsyncHTTPTransport) else None
    return type(pool).__name__ == "AsyncConnectionPool"


class ForeignLane:
    """One exchange at a time over the caller's transport."""

    reusable = True

    def __init__(self, transport: ForeignTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer (see `ForeignTransport`)."""
        return await self._transport.handle_async_request(request)

    def close(self) -> None:
        """The transport stays open: it is the caller's."""
