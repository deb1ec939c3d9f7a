"""What every source of bytes promises, whatever it is made of, and the bytes of a range that it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import attrs

from ...errors import SourceChangedError, UploadError, VideoCloudError
from ...models import Bottleneck, ChunkReceipt, Fingerprint
from ..ranges import Range, covered
from .memory import allocate


def _nothing() -> None:
    """The memory of a file's range is the worker's, that of bytes is the caller's: there is nothing to give back."""


class AlreadyHeldError(UploadError):
    """Another run, here or elsewhere, holds the lease of the upload."""


class Chunk:
    """The bytes of a range.

    Attributes:
        first: index of the first byte in the source.
        size: how many bytes there are.
        view: the bytes; empty where a stream was only compared (``exact=True``).
        md5: of the bytes, in lower-case hex.
    """

    __slots__ = ("_give_back", "first", "md5", "size", "view")

    def __init__(
        self,
        first: int,
        view: bytes | memoryview,
        md5: str,
        *,
        size: int | None = None,
        give_back: Callable[[], None] = _nothing,
    ) -> None:
        self.first: int = first
        self.view: bytes | memoryview = view
        self.md5: str = md5
        self.size: int = len(view) if size is None else size
        self._give_back = give_back

    def release(self) -> None:
        """The bytes are not needed any more: their memory goes back to where it came from. Idempotent."""
        give_back, self._give_back = self._give_back, _nothing
        self.view = b""
        give_back()


class UploadSource(ABC):
    """Bytes of a known number.

    Attributes:
        name: what a person knows it by, printable.
        size: in bytes.
        file_type: what the service calls its kind.
        rereadable: whether a range can be read again; otherwise `gather` gives the ranges, once, in order.
        reads_ahead: whether a range is read before a worker is taken for it, because reading waits for a peer.
        reading: what an upload waits for while a range is read.
    """

    name: str
    size: int
    file_type: str
    rereadable: bool = True
    reads_ahead: bool = False
    reading: Bottleneck = Bottleneck.SOURCE

    async def identify(self) -> str | None:
        """What tells this source from others, for the journal; None if it can't be found again without a key."""
        return None

    @abstractmethod
    async def fingerprint(self) -> Fingerprint:
        """What the source looks like."""

    async def begin(self) -> None:  # noqa: B027 - most kinds have shown what they are already
        """Show that bytes can be had, before anything is sent; once more if an upload has to start over.

        Raises:
            ConfigurationError: they can't.
            SourceChangedError: they are not those of the first time.
            UploadError: the source failed.
        """

    async def pin(self) -> None:  # noqa: B027 - most kinds always are ready
        """Get ready to be read, before a worker is taken: a file is opened."""

    def unpin(self) -> None:  # noqa: B027 - see pin
        """What `pin` got ready was read, or will not be."""

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Chunk:
        """The bytes of a range, of a source that is `rereadable`.

        Args:
            part: which.
            buffer: gives the memory to read into, if the source needs any; one that reads ahead has memory that is
                shared by all.

        Raises:
            SourceChangedError: the source is shorter than it was, or another one.
            UploadError: it can't be read any more.
        """
        raise NotImplementedError(f"{type(self).__name__} is read in order, by gather")

    async def gather(self, most: int, *, exact: bool = False) -> Chunk:
        """The next bytes of a stream, in memory that is shared by all: up to `most`; fewer where others need the room
        or nothing came for a while.

        Args:
            most: bytes at most.
            exact: all of `most`, to be compared only: they are hashed and not kept.

        Raises:
            SourceChangedError: the stream ended too early, or goes on after its size.
            UploadError: the stream failed, or gave nothing for too long.
        """
        raise NotImplementedError(f"{type(self).__name__} is read range by range")

    def pause(self) -> None:  # noqa: B027 - only what waits for pieces has anything to do
        """The upload is paused: what was gathered is returned at once, and time does not count against the source."""

    def resume(self) -> None:  # noqa: B027 - see pause
        """The upload goes on."""

    async def matches(
        self, fingerprint: Fingerprint, accepted: Sequence[ChunkReceipt], *, all_ranges: bool = False
    ) -> bool:
        """Whether this is the source whose upload was begun: unchanged by its looks and samples, or equal in all
        ranges that were accepted.

        Args:
            fingerprint: of the source when its upload began.
            accepted: the ranges that the service holds.
            all_ranges: read all of them, whatever the source looks like.

        Raises:
            SourceChangedError: it changes while it is being read.
            UploadError: it can't be read.
        """
        return False

    async def is_video(self, fingerprint: Fingerprint, accepted: Sequence[ChunkReceipt]) -> bool:
        """Whether this is the source of an upload that is finished: nothing of it is sent any more.

        Args:
            fingerprint: of the source when its upload began.
            accepted: the ranges that were sent.

        Raises:
            SourceChangedError: it changes while it is being read.
            UploadError: it can't be read.
        """
        return await self.matches(fingerprint, accepted)

    async def compare(self, accepted: Sequence[ChunkReceipt]) -> None:
        """Read what was accepted and hold it against its MD5s; a stream is read on to the end of the last range.

        Raises:
            SourceChangedError: it differs.
            UploadError: it can't be read.
        """
        if not await self._equal(latest(accepted)):
            raise self._changed("bytes of it are not those that were sent")

    async def conclude(self, accepted: Sequence[ChunkReceipt], *, read_all: bool = False) -> None:
        """Everything was sent: is the source still what was sent of it?

        Args:
            accepted: the ranges that the service holds.
            read_all: read all of them again (``verify="end"``).

        Raises:
            SourceChangedError: it is not.
        """
        if read_all and self.rereadable:
            await self.compare(accepted)

    async def aclose(self) -> None:  # noqa: B027 - nor is there anything to close
        """Let go of the source, as far as it was opened here. What fails is logged."""

    async def _equal(self, known: Sequence[ChunkReceipt]) -> bool:
        """Whether ranges still have the MD5s under which they were accepted."""
        for chunk in known:
            if not 0 <= chunk.first <= chunk.last < self.size:
                return False
            found = await self.read(Range(chunk.first, chunk.size), allocate)
            found.release()
            if found.md5 != chunk.md5:
                return False
        return True

    def _changed(self, how: str) -> SourceChangedError:
        return SourceChangedError(f"{self.name} changed while it was uploaded: {how}; nothing was published")


def latest(accepted: Iterable[ChunkReceipt]) -> list[ChunkReceipt]:
    """Accepted ranges in order; of one that was accepted more than once, the last."""
    by_place = {(chunk.first, chunk.last): chunk for chunk in accepted}
    return sorted(by_place.values(), key=attrs.astuple)


def all_of(size: int, accepted: Iterable[ChunkReceipt]) -> bool:
    """Whether ranges are all of so many bytes."""
    return covered(size, [Range(each.first, each.size) for each in accepted]) == size


def octets(what: str, value: object, error: type[VideoCloudError]) -> memoryview:
    """Bytes, or a view of some that lie side by side, as single bytes; not copied.

    Raises:
        VideoCloudError: of the kind `error`: it is something else; the text says what to give instead.
    """
    if not isinstance(value, bytes | bytearray | memoryview):
        instead = "; give bytes(piece), or memoryview(piece)" if _has_buffer(value) else ""
        raise error(f"{what} {type(value).__name__} instead of bytes{instead}")
    try:
        return memoryview(cast("bytes", value)).cast("B")
    except (TypeError, ValueError):
        raise error(f"{what} a view with gaps, and its bytes must be contiguous: give bytes(view)") from None


def _has_buffer(value: Any) -> bool:
    try:
        memoryview(value).release()
    except (TypeError, ValueError, BufferError):
        return False
    return True


def printable(text: str) -> str:
    """A name as it can be shown and stored: what is no UTF-8, and what moves the cursor, is escaped."""
    known = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if known.isprintable():
        return known
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in known)
