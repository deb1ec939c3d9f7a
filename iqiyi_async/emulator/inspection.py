"""What tests may look at and turn, from any thread: videos, history, violations, clock and faults."""

from __future__ import annotations

from typing import Any

import attrs

from .clock import Clock
from .contract import FileState
from .history import Exchange, History
from .plans import FaultPlan
from .service import Service
from .state import FileRecord, State
from .storage import Storage


@attrs.frozen(kw_only=True)
class FileView:
    """A video as tests see it: a snapshot.

    Attributes:
        file_id: its id.
        app_key: the application it belongs to.
        state: where it stands.
        file_type: such as mp4.
        size: bytes announced.
        accepted: bytes accepted.
        ranges: accepted ranges, merged: first and last byte, inclusive.
        name: from its metadata; None before.
        description: from its metadata.
        tags: from its metadata.
        category: from its metadata.
        created_at: seconds since the epoch, on the service's clock.
        finished_at: the same, of finish; None before.
        duplicate_of: an earlier video with the same bytes, where duplicates are looked for.
        plays: how often its bytes were fetched from the start.
        duration: seconds that it runs; 0 where the file does not say so.
    """

    file_id: str
    app_key: str
    state: FileState
    file_type: str
    size: int
    accepted: int
    ranges: tuple[tuple[int, int], ...]
    name: str | None
    description: str
    tags: tuple[str, ...]
    category: int | None
    created_at: float
    finished_at: float | None
    duplicate_of: str | None
    plays: int
    duration: int


class FaultSwitch:
    """The fault plan in force."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan

    @property
    def plan(self) -> FaultPlan:
        """The plan in force, with the record of what fired."""
        return self._plan

    def use(self, plan: FaultPlan) -> None:
        """Put another plan in its place."""
        self._plan = plan


class Inspected:
    """A view of an emulator's inside.

    Args:
        state: what the service knows.
        service: where a video stands.
        storage: the bytes.
        requests: the history.
        clock: the service's clock.
        faults: the plan in force.
    """

    def __init__(
        self, state: State, service: Service, storage: Storage, requests: History, clock: Clock, faults: FaultSwitch
    ) -> None:
        self._seen = (state, service, storage, requests)
        self._clock = clock
        self._faults = faults

    @property
    def clock(self) -> Clock:
        """The service's clock; `clock.advance(seconds)` turns it."""
        return self._clock

    @property
    def faults(self) -> FaultPlan:
        """The plan in force, with the record of what fired; assign another to change it."""
        return self._faults.plan

    @faults.setter
    def faults(self, plan: FaultPlan) -> None:
        self._faults.use(plan)

    def use_faults(self, plan: FaultPlan) -> None:
        """Put another plan in the place of the one in force."""
        self._faults.use(plan)

    @property
    def files(self) -> dict[str, FileView]:
        """All videos by id, in the order of their making; cancelled and deleted ones too."""
        state = self._seen[0]
        with state.guard:
            return {file_id: self._view(record) for file_id, record in state.files.items()}

    def latest_files(self, count: int) -> list[FileView]:
        """The newest `count` videos, newest first."""
        state = self._seen[0]
        with state.guard:
            ids = list(state.files)[: -count - 1 : -1]
            return [self._view(state.files[file_id]) for file_id in ids]

    @property
    def history(self) -> tuple[Exchange, ...]:
        """The latest requests, in the order of their arrival."""
        return self._seen[3].exchanges()

    @property
    def violations(self) -> tuple[str, ...]:
        """What requests did although the contract forbids it, in words that begin with the request's number."""
        return tuple(f"request {each.number}: {text}" for each in self.history for text in each.violations)

    def open_uploads(self) -> tuple[FileView, ...]:
        """The videos that are neither finished nor cancelled nor deleted."""
        return tuple(view for view in self.files.values() if view.state is FileState.UPLOADING)

    def published(self) -> tuple[FileView, ...]:
        """The published videos."""
        return tuple(view for view in self.files.values() if view.state is FileState.PUBLISHED)

    def content(self, file_id: str) -> bytes:
        """The accepted bytes of a video, gaps left out. Reads the disk, and holds all of it in memory.

        Raises:
            KeyError: no such video.
        """
        state, _, storage, _ = self._seen
        with state.guard:
            record, held = state.files[file_id], state.intervals[file_id]
        return storage.read(file_id, held, 0, record.size) if held.covered else b""

    def _view(self, record: FileRecord) -> FileView:
        state, service, _, _ = self._seen
        held = state.intervals[record.file_id]
        shared: dict[str, Any] = {field.name: getattr(record, field.name, None) for field in attrs.fields(FileView)}
        shared |= {"state": service.state_of(record), "accepted": held.covered, "ranges": held.ranges()}
        return FileView(**shared)
