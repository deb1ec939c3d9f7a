"""What callers hand in as a source, refused at once where it can't be one: the text says what to give instead."""

from __future__ import annotations

import inspect
import io
import mmap
import os
import re
from typing import Any, cast

from ...errors import ConfigurationError
from .base import octets

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def check_source(source: object) -> None:
    """Refuse what can't be uploaded, as far as that can be told without waiting. Nothing is opened.

    Raises:
        ConfigurationError: the text says what to give instead.
    """
    if isinstance(source, str):
        _check_text(source)
    elif isinstance(source, os.PathLike):
        try:
            named = cast("object", os.fspath(cast("os.PathLike[str]", source)))
        except Exception as problem:
            kind = type(cast("object", source)).__name__
            raise ConfigurationError(f"source, {article(kind)} {kind}, gives no path ({_said(problem)})") from problem
        if not isinstance(named, str):
            raise ConfigurationError(f"a path must be a string, not {type(named).__name__}: use os.fsdecode(path)")
    elif isinstance(source, bytes | bytearray | memoryview):
        octets("source is", cast("bytes", source), ConfigurationError)
    elif isinstance(source, type):
        raise ConfigurationError(f"source is the class {source.__name__}: give an object of it")
    else:
        _check_object(source)


def _check_text(path: str) -> None:
    if not path:
        raise ConfigurationError('source is "", not a path: give the path of a file')
    url = _URL.match(path)
    if url is None:
        return
    scheme = url[1].lower()
    if scheme in ("http", "https"):
        instead = "HttpSource(url)"
    elif scheme == "file":
        instead = "the path of the file"
    else:
        instead = f'ObjectSource.from_url("{scheme}://...")'
    raise ConfigurationError(f"source is a URL ({scheme}://...), not a path: give {instead}")


def _check_object(source: object) -> None:
    kind = type(source).__name__
    if isinstance(source, io.IOBase):
        raise ConfigurationError(f"source is an open file ({kind}), whose read() is not async: give its path, or bytes")
    if isinstance(source, mmap.mmap):
        raise ConfigurationError("source is an mmap: give memoryview(source), or the path of the file")
    if callable(getattr(source, "read_range", None)):
        _check_ranges(source, kind)
        return
    read = attribute(source, "read")
    if hasattr(type(source), "__aiter__") and not inspect.iscoroutinefunction(read):
        return
    if not callable(read):
        raise ConfigurationError(
            f"source can't be {article(kind)} {kind}: it must be a path, bytes, an async iterable of bytes, an object"
            f" with an async read(size), or a range source{_hint(source)}"
        )
    if _is_closed(source):
        raise ConfigurationError(
            f"source, {article(kind)} {kind}, is closed: upload it before it is closed (a web framework closes an"
            " uploaded file when its request has been answered), or give a path"
        )
    try:
        inspect.signature(read).bind(1)
    except TypeError:
        raise ConfigurationError(
            f"source, {article(kind)} {kind}, has a read() that takes no size: give an async iterable of its pieces,"
            " or an object with an async read(size)"
        ) from None
    except ValueError:
        return  # A function of C, of which nothing is known.


def _check_ranges(source: object, kind: str) -> None:
    if not callable(getattr(source, "identity", None)):
        raise ConfigurationError(
            f"source, {article(kind)} {kind}, has a read_range() and no identity(): add an async identity() that"
            " changes with the bytes, or gives an empty string"
        )


def attribute(source: object, name: str) -> object:
    """An attribute of a source, or None if it has none.

    Raises:
        ConfigurationError: it is there and can't be read.
    """
    try:
        return getattr(source, name, None)
    except Exception as problem:
        kind = type(source).__name__
        text = f"the {name} of source, {article(kind)} {kind}, can't be read ({_said(problem)})"
        raise ConfigurationError(text) from problem


def _said(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__


def _is_closed(source: Any) -> bool:
    return any(getattr(each, "closed", False) is True for each in (source, getattr(source, "file", None)))


def _hint(source: Any) -> str:
    try:
        memoryview(source).release()
    except (TypeError, ValueError, BufferError):
        return ""
    return "; give bytes(source) or memoryview(source)"


def article(word: str) -> str:
    """The indefinite article of a word."""
    return "an" if word[:1].lower() in "aeiou" else "a"
