"""What callers hand in, as a source: a path, bytes, an async iterable, an object with an async `read`."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path, PurePath
from typing import Any, Protocol, cast, runtime_checkable

from .. import _validation
from ..config import MIB
from ..errors import ConfigurationError
from ..protocol.uploads import check_file_size, check_file_type
from .file_source import PathSource
from .source import Source
from .streams import BytesSource, StreamSource


@runtime_checkable
class AsyncReader(Protocol):
    """An object with an async `read`, such as an upload of a web framework."""

    async def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


Input = str | os.PathLike[str] | bytes | bytearray | memoryview | AsyncIterable[bytes] | AsyncReader


async def make_source(source: object, *, size: int | None, file_type: str | None) -> Source:
    """Find out what kind of source this is, and whether it can be uploaded. A file is opened; `aclose` closes it.

    Raises:
        ConfigurationError: nothing that can be uploaded, or what must be known of it is not.
    """
    if isinstance(source, str | os.PathLike):
        named = cast("object", os.fspath(cast("str | os.PathLike[str]", source)))
        if not isinstance(named, str):
            raise ConfigurationError(f"a path must be a string, not {type(named).__name__}")
        path = Path(named)
        return await _opened(PathSource(path, _type_of(file_type, path.name), size))
    if isinstance(source, bytes | bytearray | memoryview):
        view = _validation.octets("source", cast("object", source))
        if size is not None and size != len(view):
            raise ConfigurationError(f"size is {size!r}, but source has {len(view)} bytes")
        check_file_size(len(view))
        return BytesSource(view, _type_of(file_type, None))
    known: object = getattr(source, "size", None) if size is None else size
    kind = _type_of(file_type, getattr(source, "filename", None))
    read: object = getattr(source, "read", None)
    # What can be read and iterated over (files, sockets) is read: it iterates over lines, some up to a limit.
    iterable = hasattr(type(source), "__aiter__")
    if iterable and not inspect.iscoroutinefunction(read):
        return StreamSource(cast("AsyncIterable[bytes]", source), _size_of(known), kind)
    if callable(read):
        return StreamSource(_pieces(source), _size_of(known), kind)
    raise ConfigurationError(
        f"source can't be a {type(source).__name__}: it must be a path, bytes, an async iterable of bytes,"
        " or an object with an async read()"
    )


async def _opened(file: PathSource) -> PathSource:
    try:
        await file.open()
    except BaseException:
        await file.aclose()
        raise
    return file


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
                f"source, a {type(reader).__name__}, has a read() that is not async; give its path, or its bytes"
            )
        piece = await reading
        if not piece:
            return
        yield piece
