"""What the service tells about videos: sections 4, 5 and 6 of the document, and what official clients ask besides."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .clock import Clock
from .contract import DEFAULT_PAGE_SIZE, LISTED_STATUS, MAX_PAGE_SIZE, STATUS_CODES, Code, FileState, Refusal
from .links import Links
from .service import Service
from .state import FileRecord, State

_NUMBER = re.compile(r"[0-9]{1,9}")


class Catalogue:
    """The reading side of the service."""

    def __init__(self, state: State, service: Service, links: Links, clock: Clock) -> None:
        self._state = state
        self._service = service
        self._links = links
        self._clock = clock

    def status(self, app_key: str, params: Mapping[str, str], base: str) -> dict[str, object]:
        """Section 4. Only a published video has data; every other state is a code.

        Raises:
            Refusal: the code of the state, or Q00001 for a missing file_id.
        """
        file_id = params.get("file_id")
        if not file_id:
            raise Refusal(Code.FAILED, "file_id is required in the query")
        record = self._service.find(app_key, file_id)
        if record is None:
            raise Refusal(Code.NO_SUCH_VIDEO, "no such video")
        if self._clock.now() < record.lag_until:
            raise Refusal(record.lag_code, "this answer lags behind, as a fault said")
        state = self._service.state_of(record)
        if state is FileState.PUBLISHING_FAILED and record.duplicate_of:
            again = {"is_repeat": 1, "fileIdBefore": record.duplicate_of}
            raise Refusal(Code.PUBLISHING_FAILED, "", again)
        if state is not FileState.PUBLISHED:
            raise Refusal(STATUS_CODES[state], state.value)
        return {
            "img": f"{base}/pictures/{file_id}.png",
            "thumbnail": f"{base}/pictures/{file_id}_160_90.png",
            "swfurl": f"{base}/page/{file_id}",
            "urllist": self._links.play_urls(base, record),
            "msg": "",
        }

    def urls(self, app_key: str, params: Mapping[str, str], base: str) -> dict[str, dict[str, str]]:
        """Section 6."""
        record = self._service.find(app_key, params.get("file_id"))
        if record is None:
            raise Refusal(Code.FAILED, "file_id is missing or unknown")
        if not self._service.is_listed(record):
            raise Refusal(Code.FAILED, "the video is not published")
        return self._links.play_urls(base, record)

    def videos(self, app_key: str, params: Mapping[str, str], base: str) -> tuple[int, list[dict[str, object]]]:
        """Section 5: how many videos the user has published in all, and this page of those asked for, oldest
        first."""
        size = _bounded(params, "page_size", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        page = _bounded(params, "page", 1, 10**9)
        listed = self._listed(app_key)
        wanted = frozenset(part.strip() for part in params.get("file_ids", "").split(",") if part.strip())
        chosen = [record for record in listed if not wanted or record.file_id in wanted]
        start = (page - 1) * size
        return len(listed), [self._row(record, base) for record in chosen[start : start + size]]

    def video(self, app_key: str, params: Mapping[str, str], base: str) -> list[dict[str, object]]:
        """One video in whatever state it is, as an array of one; `fileStatus` says which."""
        file_id = params.get("file_id") or params.get("file_ids")
        record = self._state.files.get(file_id) if file_id else None
        if record is None or record.app_key != app_key:
            raise Refusal(Code.FAILED, "file_id is missing or unknown")
        return [self._row(record, base)]

    def count(self, app_key: str) -> int:
        """How many videos the user has published."""
        return len(self._listed(app_key))

    def _listed(self, app_key: str) -> list[FileRecord]:
        now = self._clock.now()
        return [
            record
            for record in self._state.files.values()
            if record.app_key == app_key and record.lag_until <= now and self._service.is_listed(record)
        ]

    def _row(self, record: FileRecord, base: str) -> dict[str, object]:
        picture = f"{base}/pictures/{record.file_id}.png"
        return {
            "fileId": record.file_id,
            "fileName": record.name,
            "createTime": int(record.created_at),
            "description": record.description,
            "fileSize": record.size,
            "fileStatus": LISTED_STATUS[self._service.state_of(record)],
            "playCount": record.plays,
            "duration": record.duration,
            "img": picture,
            "originalImg": picture,
            "thumbnail": f"{base}/pictures/{record.file_id}_160_90.png",
            "pageUrl": f"{base}/page/{record.file_id}",
        }


def _bounded(params: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = params.get(name) or str(default)
    value = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= value <= most:
        raise Refusal(Code.FAILED, f"{name} must be a number from 1 to {most}")
    return value
