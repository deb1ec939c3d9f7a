"""From an item to what the ledger keeps of it, and back to a source that can be uploaded."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from .._redaction import shown
from ..errors import ConfigurationError
from ..models import UploadItem
from .ledger.rows import metadata_from_json, metadata_to_json
from .manifest.columns import URL, is_text, readable
from .manifest.manifest import ManifestError
from .models import Claim, NewItem

#: Gives the source of a URL: anything that `AsyncVideoCloud.upload` takes, at once or awaited.
OpenSource = Callable[[str], Any]

#: Parameters of a URL that say who may read it until when, not what it is.
_SIGNED_BY = ("x-amz-", "x-goog-", "x-oss-", "x-cos-", "q-")
_SIGNATURE = frozenset(
    [
        *("signature", "expires", "ossaccesskeyid", "awsaccesskeyid", "googleaccessid", "security-token", "token"),
        *("sig", "se", "sp", "sr", "sv", "st", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv", "auth_key"),
        *("key-pair-id", "policy"),
    ]
)
LONGEST_KEY = 512


def new_item(item: object, root: Path) -> NewItem:
    """What the ledger keeps of an item. Nothing is opened or looked at.

    Raises:
        ConfigurationError: it is no item, or its source can't be found again later.
    """
    if isinstance(item, ManifestError):
        where = item.source or f"{item.manifest}, line {item.line}"
        identity = f"name:{item.source}" if item.source else f"line:{item.manifest}:{item.line}"
        return NewItem(identity, where, "", problem=str(item), manifest=item.manifest)
    if not isinstance(item, UploadItem):
        raise ConfigurationError(f"an item must be an UploadItem, not {type(item).__name__}")
    source = source_text(item.source, root)
    identity = f"key:{item.key}" if item.key is not None else _identity(source)
    return NewItem(identity, source, metadata_to_json(item.metadata), item.file_type or "", item.key or "")


def _fspath(source: os.PathLike[str] | os.PathLike[bytes]) -> object:
    return os.fspath(source)


def source_text(source: object, root: Path) -> str:
    """A path, relative to the root where it lies below it and with forward slashes; or a URL.

    Raises:
        ConfigurationError: neither.
    """
    path_like: Any = source
    given: object = _fspath(path_like) if hasattr(source, "__fspath__") else source
    if not isinstance(given, str):
        raise ConfigurationError(
            f"the source of an item of a batch must be a path or a URL, not {type(given).__name__}: other runners, and"
            " this one after a crash, have to find it again (upload_many takes everything)"
        )
    text = given
    if not text.strip():
        raise ConfigurationError("the source of an item is empty: give a path or a URL")
    if not text.isascii() and not is_text(text):
        raise ConfigurationError(f"{readable(text)}: the name is no text: rename the file")
    if "\0" in text:
        raise ConfigurationError("the source of an item holds a zero character")
    if isinstance(source, str) and URL.match(text):
        return text
    # Plain texts: a million of them are no matter for pathlib.
    base = str(root)
    path = os.path.normpath(text if os.path.isabs(text) else os.path.join(base, text))  # noqa: PTH117, PTH118
    below = base if base.endswith(os.sep) else base + os.sep
    return path[len(below) :].replace(os.sep, "/") if path.startswith(below) else path


def item_of(claim: Claim, root: Path) -> UploadItem:
    """The item of a claim, with its path below this runner's root."""
    source = claim.source if URL.match(claim.source) else root / claim.source
    return UploadItem(source, metadata_from_json(claim.metadata), claim.file_type or None, None, claim.key or None)


def upload_key(claim: Claim) -> str:
    """The name of a claim's upload in the ledger: no secret, and not too long."""
    name = claim.key or shown(claim.source)
    return name if len(name) <= LONGEST_KEY else hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


async def open_source(source: object, opened: OpenSource | None) -> Any:
    """What is uploaded for a source: the path itself, or what its URL stands for."""
    if not isinstance(source, str) or not URL.match(source):
        return source
    made: object = _default(source) if opened is None else opened(source)
    return await cast("Awaitable[object]", made) if inspect.isawaitable(made) else made


async def close_source(source: object) -> None:
    """Close a source that was opened for one upload."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


def _default(url: str) -> object:
    from ..sources import HttpSource, ObjectSource

    return HttpSource(url) if urlsplit(url).scheme.lower() in ("http", "https") else ObjectSource.from_url(url)


def _identity(source: str) -> str:
    if not URL.match(source):
        return f"path:{source}"
    query = [each for each in parse_qsl(urlsplit(source).query) if not _signs(each[0].lower())]
    told = hashlib.blake2b(urlencode(sorted(query)).encode(), digest_size=8).hexdigest() if query else ""
    return f"url:{shown(source)}{told and '#' + told}"


def _signs(parameter: str) -> bool:
    return parameter in _SIGNATURE or parameter.startswith(_SIGNED_BY)
