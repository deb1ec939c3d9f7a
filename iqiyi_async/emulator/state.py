"""What the service knows and keeps over a restart: videos, accepted ranges, tokens; each change is one log entry.

Tokens are kept as digests, so that neither a log entry nor a dump of the state shows one that could be presented.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import attrs

from .contract import Code, FileState
from .intervals import Interval, IntervalMap

Entry = dict[str, Any]


def _strings(value: Sequence[str]) -> tuple[str, ...]:
    return tuple(value)


@attrs.frozen(kw_only=True)
class FileRecord:
    """One video. Times are seconds since the epoch, on the service's clock; sizes are bytes."""

    file_id: str
    app_key: str
    file_type: str
    size: int
    created_at: float
    name: str | None = None
    description: str = ""
    tags: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    category: int | None = None
    finished_at: float | None = None
    enters_production: bool = False
    outcome: FileState = attrs.field(default=FileState.PUBLISHED, converter=FileState)
    cancelled_at: float | None = None
    deleted_at: float | None = None
    duplicate_of: str | None = None
    digest: str | None = None
    lag_until: float = 0.0
    lag_code: str = Code.UPLOADING
    plays: int = 0
    duration: int = 0
    qualities: tuple[str, ...] | None = attrs.field(default=None, converter=attrs.converters.optional(_strings))


@attrs.frozen(kw_only=True)
class TokenRecord:
    """One token, by the digest of its text. `kind` is `access` or `refresh`.

    The text follows from `serial` and the state's signing key, so that authorize can answer the same one again.
    """

    kind: str
    app_key: str
    expires_at: float
    revoked: bool = False
    serial: str = ""


def fingerprint(token: str) -> str:
    """What stands for a token in memory and on disk."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class State:
    """The records, each change of which is handed to `sink` as a JSON-ready log entry.

    Changes belong to the server's loop; other threads may look, while they hold `guard`.

    Args:
        sink: takes the entry of each change, in order.
    """

    def __init__(self, sink: Callable[[Entry], None]) -> None:
        self._sink = sink
        self.guard: AbstractContextManager[object] = threading.RLock()
        self.signing_key: bytes = secrets.token_bytes(32)
        self.clock_offset: float = 0.0
        self.files: dict[str, FileRecord] = {}
        self.intervals: dict[str, IntervalMap] = {}
        self.tokens: dict[str, TokenRecord] = {}

    def put_file(self, record: FileRecord) -> FileRecord:
        """Make or replace a video's record."""
        self._change({"put": "file", **attrs.asdict(record)})
        return self.files[record.file_id]

    def put_token(self, digest: str, record: TokenRecord) -> None:
        """Make or replace a token's record."""
        self._change({"put": "token", "digest": digest, **attrs.asdict(record)})

    def accept(self, file_id: str, interval: Interval) -> None:
        """Make these bytes part of the video."""
        self._change({"put": "range", "file_id": file_id, "extent": list(interval)})

    def drop_file(self, file_id: str) -> None:
        """Forget a video altogether."""
        self._change({"put": "forget", "file_id": file_id})

    def turn_clock(self, offset: float) -> None:
        """Note how far the clock is ahead, in seconds."""
        self._change({"put": "clock", "offset": offset})

    def reset(self) -> None:
        """Forget everything but the signing key."""
        self._change({"put": "reset"})

    def _change(self, entry: Entry) -> None:
        with self.guard:
            self.apply(entry)
            self._sink(entry)

    def apply(self, entry: Mapping[str, Any]) -> None:
        """Carry out one entry, new or read back from the log.

        Raises:
            KeyError, TypeError, ValueError: not an entry of this version.
        """
        values = dict(entry)
        match values.pop("put"):
            case "file":
                record = FileRecord(**values)
                self.files[record.file_id] = record
                self.intervals.setdefault(record.file_id, IntervalMap())
                if record.deleted_at is not None or record.cancelled_at is not None:
                    self.intervals[record.file_id] = IntervalMap()
            case "range":
                self.intervals[values["file_id"]].add(Interval(*values["extent"]))
            case "token":
                digest = values.pop("digest")
                self.tokens[digest] = TokenRecord(**values)
            case "forget":
                self.files.pop(values["file_id"], None)
                self.intervals.pop(values["file_id"], None)
            case "clock":
                self.clock_offset = float(values["offset"])
            case "key":
                self.signing_key = bytes.fromhex(values["key"])
            case "reset":
                self.files.clear()
                self.intervals.clear()
                self.tokens.clear()
                self.clock_offset = 0.0
            case other:
                raise ValueError(f"unknown entry {other!r}")

    def entries(self, since: float) -> Iterator[Entry]:
        """The fewest entries that rebuild this state; tokens that expired before `since` are left behind."""
        yield {"put": "key", "key": self.signing_key.hex()}
        yield {"put": "clock", "offset": self.clock_offset}
        for digest, token in self.tokens.items():
            if token.expires_at > since:
                yield {"put": "token", "digest": digest, **attrs.asdict(token)}
        for file_id, record in self.files.items():
            yield {"put": "file", **attrs.asdict(record)}
            for interval in self.intervals[file_id]:
                yield {"put": "range", "file_id": file_id, "extent": list(interval)}
