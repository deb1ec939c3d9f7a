"""What brings a request to a host and its answer back: the promise that `direct` and `borrowed` keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from ..protocol.wire import Headers, Outgoing
from .outcome import Patience, Reply


@attrs.frozen(repr=False)
class Errand:
    """A request and what there is to know on its way. It holds secrets, so it does not print itself.

    Attributes:
        outgoing: the request.
        headers: all that go out, in order: those of the request among them.
        patience: how long to wait.
        most: bytes of the answer; of a longer one it is enough to read more than these.
        on_sent: hears, for each piece of the body, how many bytes the network has taken.
    """

    outgoing: Outgoing
    headers: Headers
    patience: Patience
    most: int
    on_sent: Callable[[int], None] | None


class Carrier(Protocol):
    """One errand at a time. After any trouble it is closed."""

    async def carry(self, errand: Errand) -> Reply:
        """Send a request and read its answer.

        Raises:
            NoAnswerError: there was none.
            TimeoutError: it did not come in time.
            OSError: the system would not.
        """
        ...

    async def aclose(self) -> None:
        """Let go of the connection."""
        ...
