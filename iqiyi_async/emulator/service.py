"""The life of an upload: what the service accepts and refuses, as sections 1 and 7 of the document say.

Every method decides and changes the state in one step, without waiting, so that concurrent requests cannot come
between.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

import attrs

from .chunks import ChunkClaim, claim_of
from .clock import Clock
from .config import EmulatorConfig
from .contract import APPLICATION_CODES, CATEGORIES, Code, FileState, LostFileId, Refusal
from .intervals import Interval
from .state import FileRecord, State

#: No file is larger than this; longer digit strings are nonsense, not numbers.
MAX_SIZE = 2**53
_DIGITS = re.compile(r"[0-9]{1,16}")
#: Official clients send the extension of the file, whatever it is.
_FILE_TYPE = re.compile(r"[a-z0-9][a-z0-9_+-]{0,31}")
#: Both are in use: the document has `true`, public integrations send `1`.
_FINISHED = ("true", "1")

LATE_METADATA = "the upload was finished before its metadata was set: this video will never enter production"


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
        due = self._clock.now() >= record.finished_at + self._config.publish_after
        if not record.enters_production or not due:
            return FileState.PUBLISHING
        if record.duplicate_of or self.missing(record):
            return FileState.PUBLISHING_FAILED
        return record.outcome

    def missing(self, record: FileRecord) -> int:
        """How many bytes of a video have not been accepted."""
        return record.size - self._state.intervals[record.file_id].covered

    def is_listed(self, record: FileRecord) -> bool:
        """Whether lists have it, and it can be played: published, or in production and published before review."""
        state = self.state_of(record)
        if state is FileState.PUBLISHED:
            return True
        unreviewed = state in (FileState.PUBLISHING, FileState.REVIEW_FAILED) and record.enters_production
        return self._config.publish_before_review and unreviewed and not self.missing(record)

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
        file_type, size_text = params.get("filetype", "").lower(), params.get("filesize", "")
        if not _FILE_TYPE.fullmatch(file_type):
            raise Refusal(Code.BAD_PARAMETER, "filetype must be a file's extension without its dot, such as mp4")
        size = int(size_text) if _DIGITS.fullmatch(size_text) else 0
        if not 0 < size <= MAX_SIZE:
            raise Refusal(Code.BAD_PARAMETER, "filesize must be a number of bytes, 1 or more")
        self._check_quota(app_key, size)
        return self._state.put_file(
            FileRecord(
                file_id=secrets.token_hex(16),
                app_key=app_key,
                file_type=file_type,
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
        """Section 1.2, before the bytes: whether this range of this file may be sent."""
        file_id = params.get("file_id")
        if not file_id:
            raise LostFileId
        return claim_of(file_id, self._uploading(file_id).size, params)

    def accept(self, claim: ChunkClaim, offset: int, count: int) -> None:
        """Make `count` bytes that lie at `offset` of the data file part of the video."""
        self._uploading(claim.file_id)
        if count > 0:
            self._state.accept(claim.file_id, Interval(claim.first, claim.first + count, offset))

    def _uploading(self, file_id: str) -> FileRecord:
        record = self._state.files.get(file_id)
        if record is None or record.deleted_at is not None or record.cancelled_at is not None:
            raise Refusal(Code.BAD_FILE_ID, "file_id is unknown, cancelled or deleted")
        # Ranges that were under way when finish was said still complete the file.
        if record.finished_at is not None and not self.missing(record):
            raise Refusal(Code.BAD_PARAMETER, "the upload is finished")
        return record

    def _owned(self, app_key: str, params: Mapping[str, str]) -> FileRecord:
        if not params.get("file_id"):
            raise LostFileId
        record = self.find(app_key, params.get("file_id"))
        if record is None:
            raise Refusal(Code.BAD_FILE_ID, "file_id is unknown or deleted")
        return record

    def check_finish(self, app_key: str, params: Mapping[str, str]) -> FileRecord:
        """Section 1.3, without carrying it out."""
        if params.get("range_finished") not in _FINISHED:
            raise Refusal(Code.BAD_PARAMETER, "range_finished must be true")
        record = self._owned(app_key, params)
        if record.cancelled_at is not None:
            raise Refusal(Code.BAD_FILE_ID, "the upload was cancelled")
        if record.finished_at is not None and self._config.repeated_finish == Code.ALREADY_FINISHED:
            raise Refusal(Code.ALREADY_FINISHED, "the upload was finished before")
        missing = self.missing(record)
        if record.finished_at is None and missing and self._config.early_finish == "refused":
            raise Refusal(Code.BAD_PARAMETER, f"{missing} of {record.size} bytes have not arrived")
        return record

    def finish(
        self, app_key: str, params: Mapping[str, str], digest: str | None = None, duration: int = 0
    ) -> FileRecord:
        """Section 1.3. Repeating it changes nothing.

        The service does not prove completeness. A video whose bytes are not all there, and do not come either, fails
        to publish.

        Args:
            app_key: who finishes it.
            params: the request's parameters.
            digest: the file's MD5, where duplicates are looked for.
            duration: how long the video runs, in seconds, where that is known.

        Returns:
            The video as it was before.
        """
        record = self.check_finish(app_key, params)
        if record.finished_at is None:
            self._state.put_file(
                attrs.evolve(
                    record,
                    finished_at=self._clock.now(),
                    enters_production=record.name is not None,
                    digest=digest,
                    duplicate_of=self._earlier(record, digest),
                    duration=record.duration or duration,
                )
            )
        return record

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

    def set_metadata(self, app_key: str, params: Mapping[str, str]) -> str:
        """Section 1.5. Returns a hint for `msg`: empty, or that it came too late."""
        record = self.find(app_key, params.get("file_id"))
        if record is None or record.cancelled_at is not None:
            raise Refusal(Code.FAILED, "file_id is missing or unknown")
        name, description = params.get("file_name"), params.get("description")
        if not name or description is None:
            raise Refusal(Code.FAILED, "file_name and description are required in the query")
        category = params.get("file_type", "")
        if category and (not _DIGITS.fullmatch(category) or int(category) not in CATEGORIES):
            raise Refusal(Code.FAILED, "file_type must be a category number of the document")
        tags = tuple(tag for tag in (params.get("tags") or params.get("tag", "")).split(",") if tag)
        number = int(category) if category else None
        self._state.put_file(attrs.evolve(record, name=name, description=description, tags=tags, category=number))
        return LATE_METADATA if record.finished_at is not None and not record.enters_production else ""

    def delete(self, app_key: str, params: Mapping[str, str]) -> list[str]:
        """Section 7; returns the ids whose data can go. `delete_type=0` deletes everything, whatever ids are named."""
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
