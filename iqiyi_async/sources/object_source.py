"""An object in a store (S3, Google, Azure, OSS, a folder ...) as a source, through obstore."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

import attrs

from .. import _validation
from ..errors import ConfigurationError, SourceChangedError
from ._attempts import Attempts, PassingError, unreadable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

#: What a URL may begin with, and the kind of store that it names.
SCHEMES = {"s3": "S3Store", "oss": "S3Store", "gs": "GCSStore", "az": "AzureStore"}


@attrs.frozen
class _Version:
    """Which bytes an object has."""

    size: int
    etag: str

    @property
    def identity(self) -> str:
        """Changes with the bytes; empty if the store gives no strong ETag."""
        return f"etag {self.etag}, {self.size} bytes" if self.etag else ""


def parts_of_url(url: str) -> tuple[str, str, str]:
    """The scheme, the bucket and the path of an object's URL.

    Raises:
        ConfigurationError: no such URL.
    """
    _validation.kind("url", url, str)
    parts = urlsplit(url)
    shown, path = _shown(url), unquote(parts.path.removeprefix("/"))
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(f"{shown!r} is none of s3:// gs:// az:// oss://; for https:// use HttpSource")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{shown!r} holds a user name: credentials come from the environment, or as settings")
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{shown!r} has a ? or a # behind it: in an object's path they are %3F and %23")
    if not parts.netloc or not path:
        raise ConfigurationError(f"{shown!r} is not like {parts.scheme}://bucket/path")
    return parts.scheme, parts.netloc, path


def _shown(url: str) -> str:
    """A URL without what may be secret."""
    scheme, found, rest = re.split(r"[?#]", url, maxsplit=1)[0].rpartition("://")
    return scheme + found + rest.rpartition("@")[2]


class ObjectSource:
    """An object in a store.

    The version that was there first is pinned by its ETag; bytes of another one end the upload. An upload that was
    interrupted goes on, on another machine too, if the object still is that version.

    Args:
        store: any store of obstore. It is borrowed, and keeps the credentials.
        path: of the object in the store.
        name: by which the upload is found again; by default made of the store's kind, its bucket, and the path.
        attempts: how failures that may pass are tried again; obstore has retries of its own beneath.

    Raises:
        ConfigurationError: `store` is no store, or `path` no path.
        ImportError: obstore is not installed.
    """

    def __init__(
        self, store: ObjectStore, path: str, *, name: str | None = None, attempts: Attempts | None = None
    ) -> None:
        _obstore()
        if not callable(getattr(store, "get_async", None)):
            raise ConfigurationError(f"store must be a store of obstore, such as S3Store, not {type(store).__name__}")
        self._store: Any = store
        self._path = _validation.text("path", path)
        self.name: str = _validation.text("name", _name_of(store, path) if name is None else name)
        self._attempts = attempts or Attempts()
        self._version: _Version | None = None

    @classmethod
    def from_url(cls, url: str, **config: Any) -> Self:
        """An object by its URL; credentials come from the environment, or from where the store's kind finds them.

        Args:
            url: ``s3://bucket/path``, ``gs://bucket/path``, ``az://container/path``, or ``oss://bucket/path``, which is
                read as S3 and needs its endpoint, in `config` or the environment variable ``AWS_ENDPOINT_URL``.
            config: further settings of the store, such as ``endpoint``, ``region`` or ``client_options``.

        Raises:
            ConfigurationError: no such URL, or the store can't be made of it.
            ImportError: obstore is not installed.
        """
        scheme, bucket, path = parts_of_url(url)
        library = _obstore()
        try:
            store = getattr(library.store, SCHEMES[scheme])(bucket, **_settings(scheme, bucket, config))
        except (library.exceptions.BaseError, TypeError, ValueError) as problem:
            raise ConfigurationError(f"no store can be made for {_shown(url)!r}: {_first_line(problem)}") from None
        return cls(store, path, name=f"{scheme}://{bucket}/{path}")

    def __repr__(self) -> str:
        return f"ObjectSource({self.name!r})"

    @property
    def size(self) -> int:
        """The bytes of the object; 0 until `identity` has asked for them."""
        return 0 if self._version is None else self._version.size

    async def identity(self) -> str:
        """Ask the store which version of the object it has. The ranges that are read from now on are of this one.

        Returns:
            A text that changes with the bytes; empty if the store gives no strong ETag.

        Raises:
            ConfigurationError: there is no such object, or it may not be read.
            UploadError: the store can't be asked.
        """
        self._version = await self._attempts.run(self._look)
        return self._version.identity

    async def read_range(self, first: int, size: int) -> memoryview:
        """Read a range.

        Args:
            first: index of the first byte, from 0.
            size: bytes, at least 1.

        Returns:
            Exactly `size` bytes.

        Raises:
            SourceChangedError: the store has another version of the object by now.
            UploadError: the bytes can't be had.
        """
        if self._version is None:
            await self.identity()
        return await self._attempts.run(lambda: self._range(first, size))

    async def aclose(self) -> None:
        """Nothing was opened: the store is the caller's."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _look(self) -> _Version:
        async def look() -> Any:
            try:
                return await _obstore().head_async(self._store, self._path)
            except FileNotFoundError:
                # Some servers refuse HEAD, and that is what it looks like.
                return (await _obstore().get_async(self._store, self._path, options={"range": (0, 1)})).meta

        meta: Any = await self._ask(look, ConfigurationError)
        if not meta["size"]:
            raise ConfigurationError(f"{self.name} is empty: nothing can be published of it")
        etag = meta["e_tag"] or ""
        return _Version(meta["size"], "" if etag.startswith("W/") else etag)

    async def _range(self, first: int, size: int) -> memoryview:
        version = self._version
        if version is None:
            raise ConfigurationError("a range is read after identity() has been awaited")
        options: dict[str, Any] = {"range": (first, first + size)}
        if version.etag:
            options["if_match"] = version.etag

        async def get() -> tuple[Any, Any]:
            result = await _obstore().get_async(self._store, self._path, options=options)
            return result, await result.bytes_async()

        result, content = await self._ask(get, unreadable)
        meta = result.meta
        if meta["size"] != version.size or (version.etag and meta["e_tag"] != version.etag):
            raise self._changed()
        if tuple(result.range) != (first, first + size) or len(content) != size:
            raise PassingError(f"{self.name} was cut off: the store gave {len(content)} of {size} bytes")
        return memoryview(content).cast("B")

    async def _ask(self, call: Callable[[], Awaitable[T]], refused: Callable[[str], Exception]) -> T:
        """Ask the store. Its errors quote settings and URLs: none of their text below the first line is passed on."""
        errors = _obstore().exceptions
        try:
            return await call()
        except errors.PreconditionError:
            raise self._changed() from None
        except FileNotFoundError:
            raise refused(f"{self.name} is not there") from None
        except (
            errors.InvalidPathError,
            errors.NotSupportedError,
            errors.PermissionDeniedError,
            errors.UnauthenticatedError,
            errors.UnknownConfigurationKeyError,
        ) as problem:
            raise refused(f"{self.name} can't be read: {_first_line(problem)}") from None
        except (errors.BaseError, OSError) as problem:
            raise PassingError(f"{self.name} can't be read: {_first_line(problem)}") from None

    def _changed(self) -> SourceChangedError:
        return SourceChangedError(
            f"{self.name} changed while it was uploaded: the store has another version of it; nothing was published"
        )


def _obstore() -> Any:
    """The library, if it is there."""
    try:
        import obstore
    except ImportError:
        raise ImportError("ObjectSource needs obstore: pip install 'iqiyi-async[objects]'", name="obstore") from None
    return obstore


def _settings(scheme: str, bucket: str, config: dict[str, Any]) -> dict[str, Any]:
    """What a store is made with, beside what it finds by itself."""
    settings = dict(config)
    environment = next(
        (value for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT") if (value := os.getenv(name))),
        "",
    )
    if SCHEMES[scheme] != "S3Store":
        return settings
    endpoint = str(settings.get("endpoint") or environment)
    parts = urlsplit(endpoint)
    if scheme == "oss" and not endpoint:
        raise ConfigurationError("oss:// needs its endpoint, such as https://oss-cn-hangzhou.aliyuncs.com")
    if scheme == "oss" and (parts.hostname or "").startswith("oss-"):
        # Its buckets are found by the name of the host only.
        settings["endpoint"] = parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl()
        settings["virtual_hosted_style_request"] = True
    elif endpoint:
        settings["endpoint"] = endpoint
    if parts.scheme == "http":
        # The caller has chosen http://.
        settings["client_options"] = {"allow_http": True, **(settings.get("client_options") or {})}
    return settings


def _name_of(store: Any, path: str) -> str:
    """What tells an object from those of other stores, as far as the store says it. No setting that may be secret."""
    settings: dict[str, Any] = dict(getattr(store, "config", None) or {})
    where = next((str(settings[key]) for key in ("bucket", "container_name") if settings.get(key)), "")
    account = str(settings.get("endpoint") or settings.get("account_name") or "").partition("?")[0].rpartition("@")[2]
    prefix = str(getattr(store, "prefix", None) or "").strip("/")
    return "/".join(part for part in (type(store).__name__, account, where, prefix, os.fspath(path)) if part)


def _first_line(problem: Exception) -> str:
    line = str(problem).partition("\n")[0]
    # A URL in it may be signed.
    return re.sub(r"\?[^\s\"')]*", "?...", line)[:500]
