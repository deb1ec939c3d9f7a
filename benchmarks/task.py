"""What one run is asked to do and what it tells: two values that cross a process boundary as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from .content import MIB
from .measure import cores


@dataclass(frozen=True)
class Files:
    """Files of one size and content.

    Attributes:
        paths: where they are.
        size: of each, in bytes.
        content: ``"random"`` or ``"zero"``.
    """

    paths: tuple[str, ...]
    size: int
    content: str = "random"


@dataclass(frozen=True)
class Task:
    """One run of one competitor, in a process of its own.

    Attributes:
        competitor: its name in the registry.
        url: of the sink, or of the link before it.
        files: what goes up; upload number i takes path i modulo their number.
        uploads: how many files go up in all.
        at_once: how many of them at the same time.
        workers: chunks in flight at the same time.
        chunk_size: bytes.
        api: where the token, the metadata and the status are asked for, if not at `url` too.
        beat: seconds between the heartbeats of the event loop; 0 for none.
        loop: ``"asyncio"`` or ``"uvloop"``.
        profile: file for cProfile's statistics of the main thread; it slows the run.
        extra: further `UploadOptions` of our own library; nobody else reads it.
    """

    competitor: str
    files: Files
    url: str = ""
    uploads: int = 1
    at_once: int = 1
    workers: int = 8
    chunk_size: int = 4 * MIB
    beat: float = 0.0
    api: str = ""
    loop: str = "asyncio"
    profile: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return self.api or self.url

    @property
    def total(self) -> int:
        """Bytes of all uploads together."""
        return self.uploads * self.files.size

    @property
    def chunks(self) -> int:
        """Ranges of all uploads together, if they are cut as asked."""
        return self.uploads * -(-self.files.size // self.chunk_size)

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        told = json.loads(text)
        files = told.pop("files")
        return cls(**told, files=Files(tuple(files["paths"]), files["size"], files["content"]))


@dataclass(frozen=True)
class Result:
    """What one run took. Loading code, opening the client and a first small upload are not part of it.

    Attributes:
        wall: seconds from the first request to the last answer.
        cpu: user and system seconds of the whole process.
        rss_before: resident bytes before.
        rss_peak: the most resident bytes at any moment of the run.
        upload_p50, upload_p99: seconds of one upload.
        lag_p50, lag_p99, lag_max: seconds by which a heartbeat of the event loop came late.
        machine_cpu: CPU seconds of the whole machine meanwhile, whoever spent them but for children of this process.
        sink_cpu: CPU seconds of the sink; filled in by whoever started it.
        retries: chunk requests beyond those that the chunk size asks for; filled in likewise.
    """

    wall: float
    cpu: float
    rss_before: int
    rss_peak: int
    upload_p50: float = 0.0
    upload_p99: float = 0.0
    lag_p50: float = 0.0
    lag_p99: float = 0.0
    lag_max: float = 0.0
    machine_cpu: float = 0.0
    sink_cpu: float = 0.0
    retries: int = 0

    @property
    def others(self) -> float:
        """The share of the machine that others than this run and its sink took, 0 to 1: noise."""
        return max(0.0, self.machine_cpu - self.cpu - self.sink_cpu) / (self.wall * cores())

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))
