"""One request out, one answer in, within deadlines and size limits."""

from __future__ import annotations

import sys
from collections.abc import Callable

import anyio

from ..config import MIB
from ..errors import ConfigurationError, ResponseError, TransportError
from ..protocol.hosts import address, origin
from ..protocol.wire import Answer, Headers, Outgoing, Request, Secrets, fill
from .carrier import Carrier, Errand
from .frames import bare
from .network import Network
from .outcome import NoAnswerError, Reply, reason

#: No answer of the service has a reason to be longer: a full page of 100 videos has some 100 KiB.
MAX_ANSWER = 2 * MIB

_USER_AGENT = "iqiyi-async"


class Connection:
    """One connection to one host at a time, kept alive between requests; for one request at a time."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._carrier: Carrier | None = None

    async def send(
        self,
        request: Request,
        secrets: Secrets,
        on_sent: Callable[[int], None] | None = None,
    ) -> Answer:
        """Send a request and read its answer whole. Redirects are not followed.

        Args:
            request: what goes out.
            secrets: what goes into its places for secrets.
            on_sent: hears, for each piece of the body, how many bytes the network has taken.

        Raises:
            TransportError: no whole answer came, in time; `sent` says whether the request may have arrived.
            ResponseError: the answer is too long, or compressed.
        """
        network = self._network
        if network.closed:
            raise ConfigurationError("the client is closed; make a new one")
        await network.check_name(request.url)
        outgoing = fill(request, secrets, network.trusted)
        size = request.body_size
        patience = network.timeouts.patience(size)
        asked_at = network.clock()
        outside = sys.exception()
        if self._carrier is None:
            self._carrier = network.carrier()
        whole = False
        try:
            reply = await self._carrier.carry(Errand(outgoing, _headers(outgoing, size), patience, MAX_ANSWER, on_sent))
            whole = True
        except TimeoutError as problem:
            bare(problem, outside)
            late = f"no whole answer from {origin(request.url)} within {patience.whole:.0f} s"
            raise TransportError(late, sent=True) from None
        except NoAnswerError as problem:
            raise _lost(request, str(problem), sent=problem.sent) from bare(problem.__cause__ or problem, outside)
        except OSError as problem:
            raise _lost(request, reason(problem), sent=True) from bare(problem, outside)
        except BaseException as problem:  # noqa: BLE001 - raised again at once
            # Cancellations too: whoever prints one with its frames would print the request.
            raise bare(problem, outside)  # noqa: B904 - the same exception
        finally:
            if not whole:
                # After an error or a cancellation nobody knows what state the connection is in: it is closed, and a
                # new one made when it is needed.
                await self.aclose()
        _check(reply)
        return Answer(reply.status, reply.content, asked_at, reply.header(b"retry-after"))

    async def aclose(self) -> None:
        """Close the connection. It may be used again: a new one is made then."""
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await carrier.aclose()


def _headers(outgoing: Outgoing, size: int) -> Headers:
    length = (("Content-Length", str(size)),) if outgoing.method == "POST" else ()
    return (
        ("Host", address(outgoing.address).authority),
        ("User-Agent", _USER_AGENT),
        ("Accept-Encoding", "identity"),
        *outgoing.headers,
        *length,
    )


def _check(reply: Reply) -> None:
    """Refuse what a server could fill our memory with."""
    if len(reply.content) > MAX_ANSWER:
        long = f"the answer (HTTP {reply.status}) is longer than {MAX_ANSWER} bytes"
        raise ResponseError(long, status=reply.status)
    if (reply.header(b"content-encoding") or "identity").strip().lower() != "identity":
        raise ResponseError("the answer is compressed, which was not asked for", status=reply.status)


def _lost(request: Request, why: str, *, sent: bool) -> TransportError:
    return TransportError(f"no whole answer from {origin(request.url)}: {why}", sent=sent)
