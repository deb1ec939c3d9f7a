"""What callers hand in, as a source: a path, bytes, an async iterable, an object with an async `read`, or one that is
read by ranges."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from ... import _validation
from ..._concurrency import is_cancellation
from ..._fair_queue import Turn
from ...config import KIB, MIB
from ...errors import ConfigurationError, SourceChangedError, UploadError, VideoCloudError
from ...models import Bottleneck, ChunkReceipt, Fingerprint
from ...protocol.uploads import check_file_size, check_file_type
from ..ranges import Range
from .base import Chunk, UploadSource, all_of, latest, octets, printable
from .checks import article, attribute, check_source
from .file_access import SAMPLE, sampled
from .file_source import PathSource
from .resources import SourceResources, digest
from .streams import StreamSource

__all__ = ["AsyncReader", "Chunk", "RangeSource", "UploadInput", "UploadSource", "check_source", "make_source"]

T = TypeVar("T")

#: A range of a slow peer may take as long as it needs at this rate, in bytes a second, beside ``source_timeout``.
SLOWEST = 16 * KIB


@runtime_checkable
class AsyncReader(Protocol):
    """An object with an async `read`, such as an upload of a web framework."""

    async def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


@runtime_checkable
class RangeSource(Protocol):
    """An object whose bytes can be had range by range, in parallel, and again: a file of another service, a store.

    It may also have a ``name: str``, by which its upload is found again, and its type, where it ends with one: the same
    name for the same object, whatever is in it.
    """

    @property
    def size(self) -> int:
        """How many bytes it has."""
        ...

    async def read_range(self, first: int, size: int, /) -> bytes | bytearray | memoryview:
        """Exactly `size` bytes from index `first` on; what can be tried again is tried again here."""
        ...

    async def identity(self) -> str:
        """A text that changes whenever the bytes do, such as a strong ETag; empty if there is none, and then an upload
        can't be resumed."""
        ...


UploadInput = str | os.PathLike[str] | bytes | bytearray | memoryview | AsyncIterable[bytes] | AsyncReader | RangeSource


class BytesSource(UploadSource):
    """Bytes in memory, sent from where they are."""

    reading = Bottleneck.HASHING

    def __init__(self, view: memoryview, file_type: str, resources: SourceResources) -> None:
        self._view = view
        self._resources = resources
        self._digest: str | None = None
        self.name: str = f"the source of {len(view)} bytes"
        self.size: int = len(view)
        self.file_type = file_type

    async def identify(self) -> str:
        return f"bytes:{await self._content()}"

    async def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.size, 0, 0, self._samples())

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Chunk:
        view = self._view[part.first : part.end]
        return Chunk(part.first, view, await self._resources.hashed(view))

    async def matches(
        self, fingerprint: Fingerprint, accepted: Sequence[ChunkReceipt], *, all_ranges: bool = False
    ) -> bool:
        if fingerprint.size != self.size:
            return False
        known = latest(accepted)
        # All bytes are enough: under the same key the source may have been of another kind, with another digest.
        if not all_of(self.size, known) and not await self._is_digest(fingerprint.digest):
            return False
        return await self._equal(known)

    async def conclude(self, accepted: Sequence[ChunkReceipt], *, read_all: bool = False) -> None:
        # What can be written to may have been, while it was sent; a view that is read-only may show such memory, or a
        # file.
        if read_all or not isinstance(self._view.obj, bytes):
            await self.compare(accepted)

    async def aclose(self) -> None:
        # The caller may want to close what the bytes belong to, such as a mapped file.
        with suppress(BufferError):
            self._view.release()

    async def _is_digest(self, digest: str) -> bool:
        # Earlier releases wrote down a digest of the whole.
        return digest == self._samples() or digest == await self._content()

    def _samples(self) -> str:
        return sampled(lambda first: self._view[first : first + SAMPLE], self.size)

    async def _content(self) -> str:
        if self._digest is None:
            self._digest = await self._resources.hashed(self._view, "blake2b")
        return self._digest


class RangeUploadSource(UploadSource):
    """An object that is read by ranges, over the network as a rule: so a range is read before a worker is taken."""

    reads_ahead = True

    def __init__(
        self,
        source: RangeSource,
        *,
        name: str,
        size: int,
        file_type: str,
        resources: SourceResources,
        turn: Turn,
    ) -> None:
        self.name: str = printable(name) or f"the {type(source).__name__}"
        self.size = size
        self.file_type = file_type
        self._source = source
        self._real_name = name
        self._resources = resources
        self._turn = turn
        self._identity: str | None = None

    async def begin(self) -> None:
        await self._known_identity()

    async def identify(self) -> str | None:
        return f"range:{self._real_name}" if self._real_name and await self._known_identity() else None

    async def fingerprint(self) -> Fingerprint:
        identity = await self._known_identity()
        return Fingerprint(self.size, 0, 0, digest(identity.encode("utf-8", "surrogatepass"), "blake2b"))

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Chunk:
        memory = self._resources.memory
        await memory.reserve(self._turn, part.size)
        try:
            view = await self._range(part)
            md5 = await self._resources.hashed(view)
        except BaseException:
            memory.release(part.size)
            raise
        return Chunk(part.first, view, md5, give_back=partial(memory.release, part.size))

    async def matches(
        self, fingerprint: Fingerprint, accepted: Sequence[ChunkReceipt], *, all_ranges: bool = False
    ) -> bool:
        if fingerprint.size != self.size:
            return False
        if all_ranges and accepted:
            return await self._equal(latest(accepted))
        # Without a strong identity nothing says that the bytes are still the same.
        return bool(await self._known_identity()) and fingerprint.digest == (await self.fingerprint()).digest

    async def is_video(self, fingerprint: Fingerprint, accepted: Sequence[ChunkReceipt]) -> bool:
        if await self.matches(fingerprint, accepted):
            return True
        # Another identity, or none, may stand for the same bytes: only all of them can tell.
        known = latest(accepted)
        return fingerprint.size == self.size and all_of(self.size, known) and await self._equal(known)

    async def conclude(self, accepted: Sequence[ChunkReceipt], *, read_all: bool = False) -> None:
        if await self._ask_identity() != await self._known_identity():
            raise self._changed("its identity is another one")
        await super().conclude(accepted, read_all=read_all)

    async def _known_identity(self) -> str:
        if self._identity is None:
            self._identity = await self._ask_identity()
        return self._identity

    async def _ask_identity(self) -> str:
        identity: object = await self._asked("identity()", self._source.identity, 0)
        if not isinstance(identity, str):
            raise ConfigurationError(
                f"identity() of {self.name} gave {type(identity).__name__} instead of a string: give one that changes"
                " with the bytes, or an empty one"
            )
        return identity

    async def _range(self, part: Range) -> memoryview:
        reading = partial(self._source.read_range, part.first, part.size)
        given: object = await self._asked("read_range()", reading, part.size)
        view = octets(f"read_range() of {self.name} gave", given, SourceChangedError)
        if len(view) != part.size:
            raise self._changed(f"{len(view)} bytes were given of the {part.size} from {part.first} on")
        return view

    async def _awaited(self, what: str, work: object) -> object:
        if not inspect.isawaitable(work):
            raise ConfigurationError(f"{what} of {self.name} is not async: make it an async function")
        return cast("object", await work)

    async def _asked(self, what: str, ask: Callable[[], object], size: int) -> object:
        patience = self._resources.options.source_timeout
        limit = asyncio.timeout(patience + size / SLOWEST)
        task = asyncio.current_task()
        cancels = 0 if task is None else task.cancelling()
        try:
            async with limit:
                return await self._awaited(what, ask())
        except VideoCloudError:
            raise
        except (Exception, asyncio.CancelledError) as problem:
            if is_cancellation(problem, cancels):
                raise
            if limit.expired():
                raise UploadError(
                    f"{self.name} has given no bytes for {patience + size / SLOWEST:g} s (source_timeout); nothing was"
                    " published",
                    retryable=False,
                ) from None
            said = f": {problem}" if str(problem) else ""
            raise UploadError(f"{self.name} failed ({type(problem).__name__}{said})", retryable=False) from problem


async def make_source(
    source: object,
    *,
    size: int | None,
    file_type: str | None,
    resources: SourceResources,
    turn: Turn = Turn(None, 0),  # noqa: B008 - frozen
    findable: bool = True,
) -> UploadSource:
    """Find out what kind of source this is, and whether it can be uploaded. A file is opened, looked at and closed.

    Args:
        source: what a caller handed in.
        size: bytes of it; needed for streams only.
        file_type: such as ``"mp4"``; by default from the name of the source.
        resources: threads, open files and memory.
        turn: whose upload it is.
        findable: whether a file is to be found again by its path (`UploadSource.identify`).

    Raises:
        ConfigurationError: nothing that can be uploaded, or what must be known of it is not.
    """
    check_source(source)
    if isinstance(source, str | os.PathLike):
        path = Path(cast("str | os.PathLike[str]", source))
        of_type = partial(_type_of, file_type, path.name)
        return await PathSource.of(path, of_type, size, resources, turn, findable=findable)
    if isinstance(source, bytes | bytearray | memoryview):
        view = octets("source is", cast("bytes", source), ConfigurationError)
        _check_same_size(size, len(view), "source")
        check_file_size(len(view))
        return BytesSource(view, _type_of(file_type, None), resources)
    known = attribute(source, "size")
    if callable(getattr(source, "read_range", None)):
        given: object = getattr(source, "name", None)
        name = "" if given is None else _validation.text("the name of the range source", given)
        kind = _type_of(file_type, name.partition("?")[0])
        ranges = cast("RangeSource", source)
        made = partial(RangeUploadSource, ranges, name=name, file_type=kind, resources=resources, turn=turn)
        if not known:
            # It knows its size only once it was asked for its identity.
            await made(size=0).begin()
            known = attribute(source, "size")
        whole = _size_of(known)
        _check_same_size(size, whole, name or "the range source")
        return made(size=whole)
    filename: object = getattr(source, "filename", None)
    read: object = getattr(source, "read", None)
    # What can be read and iterated over (files, sockets) is read: it iterates over lines, some up to a limit.
    iterated = hasattr(type(source), "__aiter__") and not inspect.iscoroutinefunction(read)
    kind = _type_of(file_type, filename)
    return StreamSource(
        cast("AsyncIterable[bytes]", source) if iterated else _pieces(source),
        name=printable(filename) if isinstance(filename, str) and filename else "the stream",
        size=_size_of(known if size is None else size),
        file_type=kind,
        resources=resources,
        turn=turn,
    )


def _check_same_size(given: object, found: int, name: str) -> None:
    if given is not None and (isinstance(given, bool) or given != found):
        raise ConfigurationError(f"size is {given!r}, but {name} has {found} bytes")


def _type_of(file_type: object, name: object) -> str:
    if file_type is not None:
        return check_file_type(file_type)
    suffix = PurePath(name).suffix if isinstance(name, str) else ""
    if not suffix:
        raise ConfigurationError("file_type is needed, such as 'mp4': the source has no name that ends with one")
    return check_file_type(suffix)


def _size_of(size: object) -> int:
    if size is None:
        raise ConfigurationError(
            "size is needed for a stream: the service wants to know the bytes before the first one"
        )
    return check_file_size(size)


async def _pieces(reader: Any) -> AsyncGenerator[bytes, None]:
    """An object with an async `read` as a stream."""
    while True:
        reading = reader.read(MIB)
        if not inspect.isawaitable(reading):
            raise ConfigurationError(
                f"source, {article(type(reader).__name__)} {type(reader).__name__}, has a read() that is not async;"
                " give its path, or its bytes"
            )
        piece: object = await reading
        if piece is None or (isinstance(piece, bytes | bytearray | memoryview) and not piece):
            return
        yield cast("bytes", piece)  # looked at by the stream, which names its type
