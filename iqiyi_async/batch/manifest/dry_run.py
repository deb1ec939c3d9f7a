"""Looking at everything a manifest names, without a request."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePath
from urllib.parse import urlsplit

import attrs

from ..._redaction import shown
from ...errors import ConfigurationError
from ...models import UploadItem
from ...protocol.uploads import check_file_type, doubt_about
from ...sources.http_source import checked_url
from ...sources.object_source import SCHEMES, parts_of_url
from ..sources import new_item
from .columns import URL
from .manifest import ManifestError


@attrs.frozen
class ManifestCheck:
    """What `Manifest.check` has found.

    Attributes:
        items: how many can be uploaded.
        bytes: of the files among them.
        unknown: items whose size only their server knows.
        problems: what can't be uploaded, or is there twice, and why.
    """

    items: int
    bytes: int
    unknown: int
    problems: tuple[str, ...]


def check_all(entries: Iterable[UploadItem | ManifestError], root: Path) -> ManifestCheck:
    """Look at all items: whether their files exist and can be read, their types, and whether one is there twice."""
    items = size = unknown = 0
    problems: list[str] = []
    seen: set[str] = set()
    for entry in entries:
        if isinstance(entry, ManifestError):
            problems.append(str(entry))
            continue
        source = shown(entry.source) if isinstance(entry.source, str) else str(entry.source)
        try:
            _check_new(new_item(entry, root).identity, seen)
            found = _size_of(entry, root)
        except ConfigurationError as error:
            problems.append(f"{source}: {str(error).removeprefix(source + ': ')}")
            continue
        items += 1
        size += found or 0
        unknown += found is None
    return ManifestCheck(items, size, unknown, tuple(problems))


def _check_new(identity: str, seen: set[str]) -> None:
    if identity in seen:
        raise ConfigurationError("it is there twice")
    seen.add(identity)


def _check_url(url: str) -> None:
    scheme = urlsplit(url).scheme.lower()
    if scheme in ("http", "https"):
        checked_url(url)
    elif scheme in SCHEMES:
        parts_of_url(url)
    else:
        raise ConfigurationError(
            f"{scheme}:// can't be read: give a path, or a URL with http, https, {', '.join(SCHEMES)}; or a Batch whose"
            " open_source knows it"
        )


def _size_of(item: UploadItem, root: Path) -> int | None:
    """The bytes of an item's file; None for a URL.

    Raises:
        ConfigurationError: it can't be uploaded.
    """
    url = isinstance(item.source, str) and URL.match(item.source)
    name: str = os.fspath(item.source)
    path = root / name
    suffix = PurePath(urlsplit(name).path if url else path.name).suffix
    if item.file_type is None and not suffix:
        raise ConfigurationError("file_type is needed: the name has no ending")
    doubt = doubt_about(check_file_type(item.file_type or suffix))
    if doubt is not None:
        raise ConfigurationError(doubt)
    if url:
        _check_url(name)
        return None
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigurationError(error.strerror or str(error)) from None
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError("not a file")
    if not os.access(path, os.R_OK):
        raise ConfigurationError("no permission to read it")
    if not found.st_size:
        raise ConfigurationError("the file is empty: nothing can be published of it")
    return found.st_size
