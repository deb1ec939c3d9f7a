"""Manifests: what is to be uploaded, from spreadsheets, JSON Lines, folders and patterns."""

from __future__ import annotations

import codecs
import glob
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, cast

import attrs

from ..._redaction import shown
from ...errors import ConfigurationError
from ...models import Metadata, UploadItem
from ...protocol.uploads import FILE_TYPES
from .columns import URL, ColumnError, is_text, make_item, native, readable, stem_of
from .patterns import files_matching
from .tables import SPREADSHEET, csv_lines, json_lines

if TYPE_CHECKING:
    from .dry_run import ManifestCheck

#: So much of standard input is kept in memory; beyond, in a temporary file.
IN_MEMORY = 16 * 1024 * 1024
#: Endings of spreadsheets as their programs keep them.
_SPREADSHEETS = frozenset({"xlsx", "xlsm", "xlsb", "xls", "ods", "numbers", "et"})


@attrs.frozen
class ManifestError:
    """A line that can't be used; or a file or folder that can't, in a folder that is a manifest.

    Attributes:
        manifest: the file, or the folder.
        line: its number there, from 1; 0 for a file or folder.
        column: what is wrong in it, or an empty string where it is the line as a whole.
        message: why.
        source: the file or folder; an empty string for a line.
    """

    manifest: str
    line: int
    column: str
    message: str
    source: str = ""

    def __str__(self) -> str:
        if self.source:
            return f"{self.source}: {self.message}"
        where = f", column {self.column}" if self.column else ""
        return f"{self.manifest}, line {self.line}{where}: {self.message}"


class Manifest:
    """What is to be uploaded: an iterable of `UploadItem`, read again, line by line, each time it is iterated over.

    A line that can't be used is left out, and is in `errors` afterwards; `Batch.add` records it in the ledger.

    Attributes:
        root: what relative paths in it start from.
        errors: the lines that the latest iteration has left out.
        ignored_columns: headings of the latest iteration that are no columns of ours.
        files: CSV and JSON Lines files, folders and patterns that the latest iteration has read.
    """

    def __init__(
        self, sources: Sequence[str | os.PathLike[str] | Iterable[UploadItem]], root: Path | None = None
    ) -> None:
        self._sources = sources
        self.root = root
        self.errors: list[ManifestError] = []
        self.ignored_columns: list[str] = []
        self.files: list[str] = []

    @classmethod
    def read(
        cls,
        *sources: str | os.PathLike[str] | Iterable[UploadItem],
        root: str | os.PathLike[str] | None = None,
    ) -> Self:
        """A manifest of files, folders and patterns. Nothing is read before it is iterated over.

        Args:
            sources: each a CSV or JSON Lines file (``-`` is standard input) with the columns source, title,
                description, tags, category, file_type, key, in any order and also by their Chinese names; a folder,
                whose videos are taken, those in its folders too; a pattern such as ``"films/*.mp4"``; a video; or an
                iterable of `UploadItem`.
            root: what relative paths in a CSV or JSON Lines file start from; by default the folder of that file. A
                relative path among `sources` that is not found is looked for in it too.

        Raises:
            ConfigurationError: none of these.
        """
        if not sources:
            raise ConfigurationError("a manifest needs at least one source: a CSV or JSONL file, a folder, a pattern")
        for source in sources:
            given = cast("object", source)
            if isinstance(given, bytes) or not isinstance(given, str | os.PathLike | Iterable):
                raise ConfigurationError(f"a source of a manifest can't be {type(source).__name__}: give a path")
        return cls(sources, None if root is None else Path(root))

    def __iter__(self) -> Iterator[UploadItem]:
        for entry in self._entries(Path):
            if isinstance(entry, UploadItem):
                yield entry

    def entries(self) -> Iterator[UploadItem | ManifestError]:
        """The items, and the lines that can't be used among them. The paths of lines are texts: there may be a million.

        Raises:
            ConfigurationError: a file can't be read, or doesn't name its columns.
        """
        return self._entries(str)

    def again(self) -> Manifest:
        """The same manifest to be read a second time, without standard input, which can be read only once."""
        return Manifest([source for source in self._sources if source != "-"], self.root)

    def check(self) -> ManifestCheck:
        """Look at everything, without a request: whether files exist and can be read, types, metadata, and whether
        something is there twice. It blocks while it looks.

        Raises:
            ConfigurationError: a file of the manifest can't be read, or doesn't name its columns.
        """
        from .dry_run import check_all

        return check_all(self.entries(), Path.cwd())

    def __repr__(self) -> str:
        return f"<Manifest {[shown(each) if isinstance(each, str) else each for each in self._sources]!r}>"

    def _entries(self, make_path: Callable[[str], object]) -> Iterator[UploadItem | ManifestError]:
        self.errors, self.ignored_columns, self.files = [], [], []
        for source in self._sources:
            for entry in self._of(os.fspath(source), make_path) if isinstance(source, str | os.PathLike) else source:
                if isinstance(entry, ManifestError):
                    self.errors.append(entry)
                yield entry

    def _of(self, source: str, make_path: Callable[[str], object]) -> Iterator[UploadItem | ManifestError]:
        if source == "-":
            with _standard_input() as file:
                yield from self._table(file, "standard input", Path.cwd(), make_path, lines=None)
            return
        if URL.match(source):
            yield item_of_path(source)
            return
        path = self._found(Path(source))
        suffix = path.suffix.lower().removeprefix(".")
        if path.is_dir():
            yield from self._folder(path)
        elif suffix in ("csv", "tsv", "txt", "jsonl", "ndjson", "json"):
            with _opened(path) as file:
                lines = suffix not in ("csv", "tsv", "txt")
                yield from self._table(file, readable(str(path)), path.absolute().parent, make_path, lines=lines)
        elif suffix in _SPREADSHEETS and path.exists():
            raise ConfigurationError(f"{readable(str(path))}: {SPREADSHEET}")
        elif path.exists():
            yield from self._named(str(path), [str(path.absolute())])
        elif glob.has_magic(source):
            self.files.append(readable(source))
            yield from self._named(source, map(os.path.abspath, self._matching(source)))
        else:
            raise ConfigurationError(f"{source}: there is no such file or folder")

    def _folder(self, folder: Path) -> Iterator[UploadItem | ManifestError]:
        """The videos of a folder, and which of its folders can't be read."""
        unread: list[OSError] = []
        self.files.append(readable(str(folder)))
        # Whole paths: a batch takes relative ones from its own root, which may be another folder.
        yield from self._named(str(folder), videos_in(folder.absolute(), unread.append))
        for error in unread:
            where = readable(str(error.filename))
            yield ManifestError(readable(str(folder)), 0, "", f"it can't be read: {error.strerror}", where)

    def _named(self, manifest: str, paths: Iterable[str]) -> Iterator[UploadItem | ManifestError]:
        """The items of files; one whose name no ledger can hold stops no others."""
        for path in paths:
            if is_text(path):
                yield item_of_path(path)
            else:
                problem = "the name is no text: rename the file"
                yield ManifestError(readable(manifest), 0, "", problem, readable(path))

    def _found(self, path: Path) -> Path:
        if self.root is not None and not path.is_absolute() and not path.exists() and (self.root / path).exists():
            return self.root / path
        return path

    def _matching(self, pattern: str) -> list[str]:
        found = files_matching(pattern)
        if not found and self.root is not None:
            found = files_matching(pattern, str(self.root))
        if not found:
            raise ConfigurationError(f"{pattern}: no file matches")
        return found

    def _table(
        self, file: IO[bytes], name: str, folder: Path, make_path: Callable[[str], object], *, lines: bool | None
    ) -> Iterator[UploadItem | ManifestError]:
        self.files.append(name)
        if lines is None:
            start = file.read(64).removeprefix(codecs.BOM_UTF8).removeprefix("\ufeff".encode("gb18030"))
            lines = start.lstrip().startswith(b"{")
            file.seek(0)
        base = os.path.join(folder if self.root is None else self.root.absolute(), "")  # noqa: PTH118

        def locate(source: str) -> object:
            if URL.match(source):
                return source
            path = native(source)
            return make_path(path if os.path.isabs(path) else base + path)  # noqa: PTH117 - once for each line

        for line in (json_lines if lines else csv_lines)(file, name, self.ignored_columns):
            if line.problem:
                yield ManifestError(name, line.number, "", line.problem)
                continue
            try:
                item = make_item(line.values, locate)
            except ColumnError as error:
                yield ManifestError(name, line.number, error.column, str(error))
            else:
                yield item


def item_of_path(source: str) -> UploadItem:
    """The item of a path or a URL: the title is its name without the ending."""
    return UploadItem(source if URL.match(source) else Path(source), Metadata(_printable(stem_of(source))))


def _printable(name: str) -> str:
    """A title for a file whose name no text can hold."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name) if name.strip() else "video"


def videos_in(folder: Path, unread: Callable[[OSError], object] | None = None) -> Iterator[str]:
    """All videos in a folder and its folders, by name; hidden ones are left out.

    Args:
        folder: where.
        unread: called with the error of each folder that can't be read.
    """
    for where, folders, files in os.walk(folder, onerror=unread):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower().removeprefix(".") in FILE_TYPES:
                yield str(Path(where, name))


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _standard_input() -> IO[bytes]:
    """Standard input as a file that can be read twice: first for how it is written, then for what."""
    kept = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed by the one who reads it
    while piece := sys.stdin.buffer.read(64 * 1024):
        kept.write(piece)
    kept.seek(0)
    return cast("IO[bytes]", kept)
