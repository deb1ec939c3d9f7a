"""The life of an upload: what the service accepts and refuses, as sections 1 and 7 of the document say.

What belongs here: rules, on records in memory. What must not: HTTP, disk, waiting. Every method decides and changes
the state in one step, so that concurrent requests cannot come between.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

import attrs

from .clock import Clock
from .config import EmulatorConfig
from .contract import APPLICATION_CODES, CATEGORIES, FILE_TYPES, Code, FileState, Refusal
from .extents import Extent
from .state import FileRecord, State

#: No file is larger than this; longer digit strings are nonsense, not numbers.
MAX_SIZE = 2**53
_RANGE = re.compile(r"([0-9]{1,16})-([0-9]{1,16})")
_DIGITS = re.compile(r"[0-9]{1,16}")


@attrs.frozen
class ChunkClaim:
    """A chunk that may be sent: `length` bytes as its range says, of which `limit` at most may come."""

    file_id: str
    first: int
    length: int
    limit: int


class Service:
    """The state machine of uploads."""

    def __init__(self, config: EmulatorConfig, state: State, clock: Clock) -> None:
        self._config = config
        self._state = state
        self._clock = clock

    def state_of(self, record: FileRecord) -> FileState:
        """Where a video stands now."""
        if record.deleted_at is not None:
            return FileState.DELETED
        if record.cancelled_at is not None:
            return FileState.CANCELLED
        if record.finished_at is None:
            return FileState.UPLOADING
        # Without metadata before finish a video never enters production.
        if not record.enters_production or self._clock.now() < record.finished_at + self._config.publish_after:
            return FileState.PUBLISHING
        return FileState.PUBLISHING_FAILED if record.duplicate_of else record.outcome

    def find(self, app_key: str, file_id: str | None) -> FileRecord | None:
        """A video of this application that has not been deleted."""
        record = self._state.files.get(file_id) if file_id else None
        if record is None or record.app_key != app_key or record.deleted_at is not None:
            return None
        return record

    def request_upload(self, app_key: str, params: Mapping[str, str]) -> FileRecord:
        """Section 1.1."""
        standing = APPLICATION_CODES.get(self._config.application)
        if standing is not None:
            raise Refusal(standing, f"the application is {self._config.application}")
        file_type, size_text = params.get("filetype", ""), params.get("filesize", "")
        if file_type.lower() not in FILE_TYPES:
            raise Refusal(Code.BAD_PARAMETER, "filetype must be one of " + " ".join(FILE_TYPES))
        size = int(size_text) if _DIGITS.fullmatch(size_text) else 0
        if not 0 < size <= MAX_SIZE:
            raise Refusal(Code.BAD_PARAMETER, "filesize must be a number of bytes, 1 or more")
        self._check_quota(app_key, size)
        return self._state.put_file(
            FileRecord(
                file_id=secrets.token_hex(16),
                app_key=app_key,
                file_type=file_type.lower(),
                size=size,
                created_at=self._clock.now(),
            )
        )

    def _check_quota(self, app_key: str, size: int) -> None:
        if self._config.quota_bytes is None and self._config.quota_files is None:
            return
        sizes = [
            record.size
            for record in self._state.files.values()
            if record.app_key == app_key and record.deleted_at is None and record.cancelled_at is None
        ]
        over_bytes = self._config.quota_bytes is not None and sum(sizes) + size > self._config.quota_bytes
        over_files = self._config.quota_files is not None and len(sizes) + 1 > self._config.quota_files
        if over_bytes or over_files:
            raise Refusal(Code.OVER_QUOTA, "the application's quota does not hold this file")

    def open_chunk(self, params: Mapping[str, str]) -> ChunkClaim:
        """Section 1.2, before the bytes: whether this range of this file may be sent.

        A range may name one byte more than the body then holds, even behind the end of the file: official clients do
        that, and the service bears it.
        """
        file_id, size, named = (params.get(name) for name in ("file_id", "file_size", "range"))
        if not file_id or not size or not named:
            raise Refusal(Code.BAD_PARAMETER, "file_id, file_size and range are required, as headers or form fields")
        record = self._uploading(file_id)
        if not _DIGITS.fullmatch(size) or int(size) != record.size:
            raise Refusal(Code.BAD_PARAMETER, f"file_size must be {record.size}, as it was requested")
        match = _RANGE.fullmatch(named)
        if match is None:
            raise Refusal(Code.BAD_PARAMETER, "range must be first-last: two numbers, inclusive, from 0")
        first, last = int(match[1]), int(match[2])
        if not first <= last <= record.size or first == record.size:
            raise Refusal(Code.BAD_PARAMETER, f"range must lie within 0-{record.size - 1}")
        length = last - first + 1
        return ChunkClaim(file_id, first, length, min(length, record.size - first))

    def check_length(self, claim: ChunkClaim, received: int) -> None:
        """Section 1.2, after the bytes: whether as many came as the range says, or one fewer."""
        if received < 1 or received < claim.length - 1:
            raise Refusal(Code.BAD_PARAMETER, f"the range names {claim.length} bytes; the body holds {received}")

    def accept(self, claim: ChunkClaim, offset: int, count: int) -> None:
        """Make `count` bytes that lie at `offset` of the data file part of the video."""
        self._uploading(claim.file_id)
        if count > 0:
            self._state.accept(claim.file_id, Extent(claim.first, claim.first + count, offset))

    def _uploading(self, file_id: str) -> FileRecord:
        record = self._state.files.get(file_id)
        if record is None or record.deleted_at is not None or record.cancelled_at is not None:
            raise Refusal(Code.BAD_FILE_ID, "file_id is unknown, cancelled or deleted")
        if record.finished_at is not None:
            raise Refusal(Code.BAD_PARAMETER, "the upload is finished")
        return record

    def _owned(self, app_key: str, params: Mapping[str, str]) -> FileRecord:
        record = self.find(app_key, params.get("file_id"))
        if record is None:
            raise Refusal(Code.BAD_FILE_ID, "file_id is missing, unknown or deleted")
        return record

    def check_finish(self, app_key: str, params: Mapping[str, str]) -> FileRecord:
        """Section 1.3, without carrying it out."""
        if params.get("range_finished") != "true":
            raise Refusal(Code.BAD_PARAMETER, "range_finished must be true")
        record = self._owned(app_key, params)
        if record.cancelled_at is not None:
            raise Refusal(Code.BAD_FILE_ID, "the upload was cancelled")
        missing = record.size - self._state.extents[record.file_id].covered
        if record.finished_at is None and missing:
            raise Refusal(Code.BAD_PARAMETER, f"{missing} of {record.size} bytes have not arrived")
        return record

    def finish(self, app_key: str, params: Mapping[str, str], digest: str | None = None) -> None:
        """Section 1.3. Repeating it changes nothing. `digest` is the file's MD5 where duplicates are looked for."""
        record = self.check_finish(app_key, params)
        if record.finished_at is not None:
            return
        self._state.put_file(
            attrs.evolve(
                record,
                finished_at=self._clock.now(),
                enters_production=record.name is not None,
                digest=digest,
                duplicate_of=self._earlier(record, digest),
            )
        )

    def _earlier(self, record: FileRecord, digest: str | None) -> str | None:
        for other in self._state.files.values():
            same = digest is not None and other.digest == digest and other.app_key == record.app_key
            if same and self.state_of(other) is FileState.PUBLISHED:
                return other.file_id
        return None

    def cancel(self, app_key: str, params: Mapping[str, str]) -> FileRecord:
        """Section 1.4. Repeating it changes nothing."""
        if params.get("status") != "2":
            raise Refusal(Code.BAD_PARAMETER, "status must be 2")
        record = self._owned(app_key, params)
        if record.finished_at is not None:
            raise Refusal(Code.BAD_PARAMETER, "the upload is finished")
        if record.cancelled_at is None:
            record = self._state.put_file(attrs.evolve(record, cancelled_at=self._clock.now()))
        return record

    def set_metadata(self, app_key: str, params: Mapping[str, str]) -> None:
        """Section 1.5."""
        record = self.find(app_key, params.get("file_id"))
        if record is None or record.cancelled_at is not None:
            raise Refusal(Code.FAILED, "file_id is missing or unknown")
        name, description = params.get("file_name"), params.get("description")
        if not name or description is None:
            raise Refusal(Code.FAILED, "file_name and description are required in the query")
        category = params.get("file_type", "")
        if category and (not _DIGITS.fullmatch(category) or int(category) not in CATEGORIES):
            raise Refusal(Code.FAILED, "file_type must be a category number of the document")
        tags = tuple(tag for tag in params.get("tags", "").split(",") if tag)
        number = int(category) if category else None
        self._state.put_file(attrs.evolve(record, name=name, description=description, tags=tags, category=number))

    def delete(self, app_key: str, params: Mapping[str, str]) -> list[str]:
        """Section 7; returns the ids whose data can go. `delete_type=0` deletes everything, as the real thing
        does."""
        kind, listed = params.get("delete_type"), params.get("file_ids", "")
        if kind not in ("0", "1"):
            raise Refusal(Code.FAILED, "delete_type must be 1 (these file_ids) or 0 (everything)")
        ids = [part.strip() for part in re.split("[,;]", listed) if part.strip()]
        if kind == "1" and not ids:
            raise Refusal(Code.FAILED, "file_ids is required in the query")
        own = [record for record in self._state.files.values() if record.app_key == app_key]
        chosen = own if kind == "0" else [record for record in own if record.file_id in frozenset(ids)]
        if kind == "1" and not chosen:
            raise Refusal(Code.FAILED, "none of these file_ids is known")
        gone = [record for record in chosen if record.deleted_at is None]
        for record in gone:
            self._state.put_file(attrs.evolve(record, deleted_at=self._clock.now()))
        return [record.file_id for record in gone]
