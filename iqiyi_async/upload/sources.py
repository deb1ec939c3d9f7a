"""Where the bytes of an upload come from: what callers hand in, and what the engine asks of it.

The kinds are here (bytes, range sources), in `file_source` and in `streams`.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import io
import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Sequence
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import attrs

from .. import _validation
from .._concurrency import run_to_completion
from ..errors import ConfigurationError, SourceChangedError, UploadError
from ..models import Bottleneck, ChunkReceipt, Fingerprint
from ..protocol.uploads import check_file_size, check_file_type
from .fair_queue import Turn
from .ranges import Range
from .resources import SourceResources


@runtime_checkable
class AsyncReader(Protocol):
    """An object with an async `read`, such as an upload of a web framework."""

    async def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


@runtime_checkable
class RangeSource(Protocol):
    """A source that is read by ranges, in parallel, and resumed like a file: an object in a store, for instance.

    It may also have a ``name: str``, by which its upload is found again, and an async ``aclose()``.

    Attributes:
        size: in bytes; a source that has to ask for it may say 0 until `identity` was awaited.
    """

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    async def read_range(self, first: int, size: int) -> bytes | bytearray | memoryview:
        """Exactly `size` bytes from index `first` on. It does its own retries.

        Args:
            first: index of the first byte, from 0.
            size: bytes.
        """
        ...

    async def identity(self) -> str:
        """A text that changes when the bytes do, such as a strong ETag; empty if there is none, and then an upload
        can't be resumed."""
        ...


UploadInput = str | os.PathLike[str] | bytes | bytearray | memoryview | AsyncIterable[bytes] | AsyncReader | RangeSource


@attrs.frozen
class Chunk:
    """The bytes of a range and their MD5 in lower-case hex."""

    view: bytes | memoryview = attrs.field(repr=False)
    md5: str
    _release: Callable[[], None] = attrs.field(default=lambda: None, repr=False, eq=False, alias="release")

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.view)

    def release(self) -> None:
        """The bytes are not needed any more; once."""
        self._release()


class UploadSource(ABC):
    """Bytes of a known number.

    Attributes:
        name: what a person knows it by.
        size: in bytes.
        file_type: what the service calls its kind.
        rereadable: whether a range can be read again; otherwise its bytes are gathered in order, once.
        reads_ahead: whether a range is read before a worker is taken: reading waits for somebody else.
        reading: what a range waits for while it is read.
    """

    name: str
    size: int
    file_type: str
    rereadable: bool = True
    reads_ahead: bool = False
    reading: Bottleneck = Bottleneck.SOURCE

    async def begin(self) -> None:  # noqa: B027 - most kinds have shown what they are already
        """Show that bytes can be had, before anything is sent; once more if an upload has to start over.

        Raises:
            ConfigurationError: they can't.
            SourceChangedError: they are not those of the first time.
        """

    async def pin(self) -> None:  # noqa: B027 - only files are opened
        """Get ready to be read once, before a worker is taken."""

    def unpin(self) -> None:  # noqa: B027
        """What `pin` got ready was read, or will not be."""

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Chunk:
        """The bytes of a range; for sources that can be read again.

        Args:
            part: which.
            buffer: gives the memory to read into, if the source needs any.

        Raises:
            SourceChangedError: the source is shorter than it was.
            UploadError: it can't be read any more.
        """
        raise NotImplementedError

    async def gather(self, most: int) -> Chunk:
        """The next bytes, up to `most`; for streams.

        Raises:
            SourceChangedError: the stream is shorter or longer than it should be.
            UploadError: it failed, or gave nothing for too long.
        """
        raise NotImplementedError

    async def compare(self, accepted: Sequence[ChunkReceipt]) -> None:
        """Read on over ranges that the service holds, which follow one another; for streams.

        Raises:
            SourceChangedError: the bytes are others.
        """
        raise NotImplementedError

    async def identify(self) -> str | None:
        """What tells this source from others, for the journal; None if it can't be found again."""
        return None

    async def fingerprint(self) -> Fingerprint:
        """What the source looks like."""
        return Fingerprint(self.size, 0, 0, "")

    async def matches(
        self, fingerprint: Fingerprint, accepted: Sequence[ChunkReceipt], *, all_ranges: bool = False
    ) -> bool:
        """Whether the source has the bytes that an upload began with.

        Args:
            fingerprint: what the source looked like then.
            accepted: the ranges that the service holds.
            all_ranges: trust no looks: read all of them again.
        """
        mine = await self.fingerprint()
        return mine == fingerprint and (mine.digest != "" or await self._same_ranges(accepted))

    async def conclude(self, accepted: Sequence[ChunkReceipt], *, read_all: bool = False) -> None:  # noqa: B027
        """Everything was sent: look whether the source is still what it was, and let go of it.

        Args:
            accepted: the ranges that the service holds.
            read_all: read them all again, whatever the source looks like.

        Raises:
            SourceChangedError: it has changed.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of the source, as far as it was opened here."""

    async def _same_ranges(self, accepted: Sequence[ChunkReceipt]) -> bool:
        """Whether the ranges that the service holds are read again with the same MD5."""
        for each in accepted:
            if not 0 <= each.first <= each.last < self.size:
                return False
            chunk = await self.read(Range(each.first, each.size), _new_memory)
            try:
                if chunk.md5 != each.md5:
                    return False
            finally:
                chunk.release()
        return True

    def _changed(self, how: str) -> SourceChangedError:
        return SourceChangedError(f"{self.name} changed while it was uploaded: {how}; nothing was published")


class BytesSource(UploadSource):
    """Bytes in memory, sent from where they are."""

    reading = Bottleneck.HASHING

    def __init__(self, data: memoryview, file_type: str, resources: SourceResources) -> None:
        self._view = data
        self._resources = resources
        self._digest: str | None = None
        self.name = f"{len(data)} bytes"
        self.size = len(data)
        self.file_type = file_type

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Chunk:
        view = self._view[part.first : part.end]
        return Chunk(view, await self._resources.hashed(view))

    async def identify(self) -> str:
        return f"bytes:{await self._content()}"

    async def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.size, 0, 0, await self._content())

    async def aclose(self) -> None:
        """Nothing was opened."""

    async def _content(self) -> str:
        if self._digest is None:
            loop = asyncio.get_running_loop()
            self._digest = await run_to_completion(loop.run_in_executor(self._resources.reading, _blake2b, self._view))
        return self._digest


def failed_source(name: str, problem: Exception) -> UploadError:
    """The error of an upload whose source has raised."""
    words = f": {problem}" if str(problem) else ""
    return UploadError(f"{name} can't be read any more ({type(problem).__name__}{words})", retryable=False)


def check_source(source: object) -> None:
    """Refuse what can't be uploaded, as far as that shows without waiting.

    Raises:
        ConfigurationError: it says what to give instead.
    """
    if isinstance(source, str | os.PathLike):
        named = cast("object", os.fspath(cast("str | os.PathLike[str]", source)))
        if not isinstance(named, str):
            raise ConfigurationError(f"a path must be a string, not {type(named).__name__}; use os.fsdecode")
        if not named:
            raise ConfigurationError("source is an empty string: give the path of a file")
        scheme = named.partition("://")[0].lower() if "://" in named[:16] else ""
        if scheme in ("http", "https"):
            raise ConfigurationError("source is a URL: give HttpSource(url)")
        if scheme in ("s3", "gs", "az", "azure", "oss"):
            raise ConfigurationError(f"source is a URL: give ObjectSource.from_url({scheme}://...)")
        return
    if isinstance(source, bytes | bytearray | memoryview):
        check_file_size(len(_validation.octets("source", source)))
        return
    if isinstance(source, mmap.mmap):
        raise ConfigurationError("source can't be an mmap: give the path of its file, or memoryview(it)")
    if isinstance(source, io.IOBase):
        raise ConfigurationError(
            "source is a file that was opened to be read without await, which would block the event loop: give its"
            " path, or its bytes"
        )
    if is_range_source(source) or hasattr(type(source), "__aiter__") or callable(getattr(source, "read", None)):
        return
    raise ConfigurationError(
        f"source can't be a {type(source).__name__}: it must be a path, bytes, an async iterable of bytes, an object"
        " with an async read(n), or a RangeSource"
    )


def is_range_source(source: object) -> bool:
    """Whether something is read by ranges."""
    return callable(getattr(source, "read_range", None)) and callable(getattr(source, "identity", None))


async def make_source(
    source: object, *, size: int | None, file_type: str | None, resources: SourceResources, turn: Turn
) -> UploadSource:
    """Find out what kind of source this is, and whether it can be uploaded. A file is opened, looked at and closed.

    Raises:
        ConfigurationError: nothing that can be uploaded, or what must be known of it is not.
    """
    from .file_source import FileSource
    from .range_source import RangeUploadSource, ask_size
    from .streams import StreamSource, pieces_of

    check_source(source)
    if isinstance(source, str | os.PathLike):
        path = Path(cast("str", os.fspath(cast("str | os.PathLike[str]", source))))
        file = FileSource(path, _type_of(file_type, path.name), size, resources, turn)
        await file.look()
        return file
    if isinstance(source, bytes | bytearray | memoryview):
        view = _validation.octets("source", cast("object", source))
        if size is not None and size != len(view):
            raise ConfigurationError(f"size is {size!r}, but source has {len(view)} bytes")
        return BytesSource(view, _type_of(file_type, None), resources)
    known: object = getattr(source, "size", None) if size is None else size
    if is_range_source(source):
        named = str(getattr(source, "name", "")).partition("?")[0]
        if not known:
            known = await ask_size(cast("RangeSource", source), resources)
        return RangeUploadSource(cast("RangeSource", source), _size_of(known), _type_of(file_type, named), resources)
    kind = _type_of(file_type, getattr(source, "filename", None))
    read: object = getattr(source, "read", None)
    # What can be read and iterated over (files, sockets) is read: it iterates over lines, some up to a limit.
    iterable = hasattr(type(source), "__aiter__")
    name = str(getattr(source, "filename", None) or f"the stream {type(source).__name__}")
    if iterable and not inspect.iscoroutinefunction(read):
        return StreamSource(cast("AsyncIterable[bytes]", source), name, _size_of(known), kind, resources)
    return StreamSource(pieces_of(source), name, _size_of(known), kind, resources, is_reader=True)


def _type_of(file_type: object, name: object) -> str:
    if file_type is not None:
        return check_file_type(file_type)
    suffix = os.path.splitext(name)[1] if isinstance(name, str) else ""
    if not suffix:
        raise ConfigurationError(
            f"file_type is needed, such as 'mp4': {name or 'the source'!s} has no name that ends with one"
        )
    return check_file_type(suffix)


def _size_of(size: object) -> int:
    if size is None:
        raise ConfigurationError(
            "size is needed for a stream: the service wants to know the bytes before the first one"
        )
    return check_file_size(size)


def _new_memory(size: int) -> memoryview:
    return memoryview(bytearray(size))


def _blake2b(view: memoryview) -> str:
    return hashlib.blake2b(view, usedforsecurity=False).hexdigest()
