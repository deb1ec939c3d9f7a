"""What the runs of one scenario share: sinks, links and files, made when first asked for and gone at the end."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Self

from . import processes
from .content import Content, write_sparse
from .link import Link
from .task import Files


class Stand:
    """A context manager that owns the servers and a scratch folder.

    Args:
        scratch: where to make the folder; None for the system's place for temporary files.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        self._stack = contextlib.ExitStack()
        self._scratch = scratch
        self._folder = Path()
        self._sinks: dict[str, str] = {}
        self._links: dict[tuple[Link, str, int], str] = {}

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=self._scratch)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def folder(self) -> Path:
        """Where files may be made; it is removed at the end."""
        return self._folder

    def sink(self, content: str) -> str:
        """The URL of the sink for files of this content."""
        if content not in self._sinks:
            self._sinks[content] = self._stack.enter_context(processes.sink(content))
        return self._sinks[content]

    def near_end(self, properties: Link | None, content: str, host: int = 0) -> str:
        """The URL that a client is to use: of a link to the sink, or of the sink itself if there is none. Each `host`
        has a link of its own."""
        target = self.sink(content)
        if properties is None:
            return target
        key = (properties, target, host)
        if key not in self._links:
            self._links[key] = self._stack.enter_context(processes.link(properties, target))
        return self._links[key]

    def files(self, content: str, size: int, count: int = 1) -> Files:
        """So many files of a size in bytes; those of zeros are sparse."""
        folder = self._folder / f"{content}-{size}"
        folder.mkdir(exist_ok=True)
        made = Content(content)
        paths = [folder / f"{index:05}.mp4" for index in range(count)]
        for path in paths:
            if path.exists():
                continue
            if content == "zero":
                write_sparse(path, size)
            else:
                made.write(path, size)
        return Files(tuple(map(str, paths)), size, content)
