"""What a source of bytes is, whatever it is made of, and how its bytes are hashed.

What belongs here: the promises every source keeps. The kinds are next door: `files`, `streams`; `inputs` tells them
apart.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Literal, TypeVar

import anyio
import attrs

from ..config import KIB, MIB
from ..models import Fingerprint
from .ranges import Range

T = TypeVar("T")

#: Hashing less than this takes less time than the way to a thread and back.
INLINE_HASH = 64 * KIB

#: So many bytes are hashed at a stretch: somewhat more than a millisecond.
STRETCH = MIB


@attrs.frozen
class Data:
    """The bytes of a range and their MD5 in lower-case hex."""

    view: bytes | memoryview = attrs.field(repr=False)
    md5: str


class Source(ABC):
    """Bytes of a known number, read range by range.

    Attributes:
        size: in bytes.
        file_type: what the service calls its kind.
        threads: where it is read and hashed; the event loop's own threads if None.
        rereadable: whether a range can be read again; otherwise ranges must be asked for in order, once.
    """

    size: int
    file_type: str
    rereadable: bool = True
    threads: Executor | None = None

    async def begin(self) -> None:  # noqa: B027 - most kinds have shown what they are already
        """Show that bytes can be had, before anything is sent; once more if an upload has to start over.

        Raises:
            ConfigurationError: they can't.
            SourceChangedError: they are not those of the first time.
        """

    @abstractmethod
    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Data:
        """The bytes of a range.

        Args:
            part: which.
            buffer: gives the memory to read into, if the source needs any.

        Raises:
            SourceChangedError: the source is shorter than it was.
            UploadError: it can't be read any more.
        """

    async def identify(self) -> str | None:
        """What tells this source from others, for the journal; None if it can't be found again."""
        return None

    async def fingerprint(self) -> Fingerprint:
        """What the source looks like."""
        return Fingerprint(self.size, 0, 0, "")

    async def conclude(self) -> None:  # noqa: B027 - nor to look at
        """Everything was sent: look whether the source is still what it was when it was opened, and let go of it.

        Raises:
            SourceChangedError: it is not.
        """

    async def aclose(self) -> None:  # noqa: B027 - nor to close
        """Let go of the source, as far as it was opened here."""


async def settled(work: Awaitable[T]) -> T:
    """Await work that is done in a thread, and do not leave before it has ended, even when cancelled.

    Otherwise the thread would still read into a buffer that the next upload has got, or from a file that is closed.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            while not task.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


async def hashed(view: memoryview, kind: Literal["md5", "blake2b"], threads: Executor | None = None) -> str:
    """The digest of some bytes, in hex: in a thread if there are many, where hashlib lets go of the interpreter's
    lock."""
    if len(view) <= INLINE_HASH:
        return _digest(view, kind)
    return await settled(asyncio.get_running_loop().run_in_executor(threads, _digest, view, kind))


def _digest(view: memoryview, kind: str) -> str:
    # The service's own check; nothing here rests on its being hard to forge.
    hashing = hashlib.new(kind, usedforsecurity=False)
    for start in range(0, len(view), STRETCH):
        if start:
            give_way()
        hashing.update(view[start : start + STRETCH])
    return hashing.hexdigest()


def give_way() -> None:
    """Between two stretches: let whoever waits for this processor have it.

    A thread that hashes never waits for anything. Where all processors hash, the system would let the event loop have
    one at its next tick only, some 4 ms later.
    """
    if hasattr(os, "sched_yield"):
        os.sched_yield()
