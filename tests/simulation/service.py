"""The service in the same process: the emulator's own rules, with bytes in memory and the loop's time.

What belongs here: from a request's parameters to an answer, at once. What must not: faults, waiting.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs

from iqiyi_async.emulator.catalogue import Catalogue
from iqiyi_async.emulator.clock import Clock
from iqiyi_async.emulator.config import EmulatorConfig
from iqiyi_async.emulator.contract import Code, FileState, Refusal
from iqiyi_async.emulator.links import Links
from iqiyi_async.emulator.service import Service
from iqiyi_async.emulator.state import State
from iqiyi_async.emulator.tokens import TokenIssuer

BASE = "http://127.0.0.1:9"
#: Where the loop's time begins, as seconds since the epoch.
EPOCH = 1_800_000_000.0

OPERATIONS = {
    "/api/iqiyi/authorize": "authorize",
    "/api/oauth2/token": "refresh_token",
    "/openupload": "request_upload",
    "/upload": "upload_chunk",
    "/api/file/info": "set_metadata",
    "/uploadfinish": "finish_upload",
    "/cancelupload": "cancel_upload",
    "/api/file/fullStatus": "get_status",
}


class LoopClock(Clock):
    """The service's clock, by the loop's time."""

    def __init__(self, time: Callable[[], float]) -> None:
        super().__init__()
        self._time = time

    def now(self) -> float:
        return EPOCH + self._time() + self.offset


@attrs.frozen
class Asked:
    """A request, as far as the service cares.

    Attributes:
        operation: what is asked for.
        params: from its query, its headers and its form.
        data: the bytes of the file part.
    """

    operation: str
    params: Mapping[str, str]
    data: bytes = attrs.field(default=b"", repr=False)

    @classmethod
    def read(cls, url: str, headers: Mapping[str, str], body: bytes) -> Asked:
        """Read a request that has arrived whole."""
        parts = urlsplit(url)
        params = dict(parse_qsl(parts.query, keep_blank_values=True)) | dict(headers)
        data = b""
        if body:
            boundary = headers["content-type"].partition("boundary=")[2].strip('"').encode()
            for part in body.split(b"--" + boundary)[1:-1]:
                head, _, content = part.partition(b"\r\n\r\n")
                name = head.partition(b'name="')[2].partition(b'"')[0].decode()
                if name == "file":
                    data = content[:-2]
                else:
                    params[name] = content[:-2].decode()
        # As a form, finish goes to where ranges go.
        operation = "finish_upload" if "range_finished" in params else OPERATIONS[parts.path]
        return cls(operation, params, data)


class LocalService:
    """The service."""

    def __init__(self, time: Callable[[], float], config: EmulatorConfig, *, strict: bool = False) -> None:
        # The document does not say what a finished upload answers to being described or finished again: yes, or no.
        self._strict = strict
        self.clock = LoopClock(time)
        self.state = State(lambda entry: None)
        self.tokens = TokenIssuer(config, self.state, self.clock)
        self.service = Service(config, self.state, self.clock)
        self.catalogue = Catalogue(self.state, self.service, Links(self.state, self.clock, 900.0), self.clock)
        self._data: dict[str, bytearray] = {}
        self.accepted = 0

    def answer(self, asked: Asked, *, flip: bool = False, fewer: int = 0) -> dict[str, Any]:
        """Do what is asked. With `flip`, one bit of a chunk turns over on its way; `fewer` bytes of it are accepted."""
        try:
            return {"code": "A00000", **self._do(asked, flip, fewer)}
        except Refusal as refusal:
            return {"code": refusal.code, "msg": refusal.message, "data": dict(refusal.data or {})}

    def _do(self, asked: Asked, flip: bool, fewer: int) -> dict[str, Any]:
        params, key = asked.params, ""
        if asked.operation not in ("authorize", "refresh_token", "upload_chunk"):
            key = self.tokens.check(params.get("access_token"))
        if self._strict and asked.operation in ("set_metadata", "finish_upload"):
            record = self.service.find(key, params.get("file_id"))
            if record is not None and record.finished_at is not None:
                raise Refusal(Code.FAILED, "it is finished already")
        match asked.operation:
            case "authorize":
                return {"data": self.tokens.authorize(params)}
            case "refresh_token":
                return self.tokens.refresh(params)
            case "request_upload":
                record = self.service.request_upload(key, params)
                return {"data": {"upload_url": f"{BASE}/upload", "file_id": record.file_id}}
            case "upload_chunk":
                return self._chunk(asked, flip, fewer)
            case "set_metadata":
                self.service.set_metadata(key, params)
            case "finish_upload":
                self.service.finish(key, params)
            case "cancel_upload":
                self.service.cancel(key, params)
            case _:
                return {"data": self.catalogue.status(key, params, BASE)}
        return {}

    def _chunk(self, asked: Asked, flip: bool, fewer: int) -> dict[str, Any]:
        claim = self.service.open_chunk(asked.params)
        claim.check_length(len(asked.data))
        stored = bytearray(asked.data)
        if flip:
            stored[0] ^= 1
        count = max(0, len(stored) - fewer)
        held = self._data.setdefault(claim.file_id, bytearray())
        self.service.accept(claim, len(held), count)
        held += stored
        self.accepted += 1
        md5 = hashlib.md5(stored, usedforsecurity=False).hexdigest()
        return {"range_md5": md5, "file_range_accepted": count, "file_id": claim.file_id}

    def content(self, file_id: str) -> bytes:
        """What the service holds of a video."""
        record, intervals = self.state.files[file_id], self.state.intervals[file_id]
        held = self._data.get(file_id, b"")
        return b"".join(bytes(held[offset : offset + size]) for offset, size in intervals.pieces(0, record.size))

    def finished(self) -> dict[str, bytes]:
        """The videos whose upload is finished, with their bytes."""
        ended = (FileState.PUBLISHING, FileState.PUBLISHED)
        states = {file_id: self.service.state_of(record) for file_id, record in self.state.files.items()}
        return {file_id: self.content(file_id) for file_id, state in states.items() if state in ended}

    def text(self, asked: Asked, **damage: Any) -> bytes:
        """The answer as it goes over the wire."""
        answer = self.answer(asked, **damage)
        if asked.operation == "refresh_token" and answer["code"] == "A00000":
            del answer["code"]
        return json.dumps(answer).encode()
