"""One emulator: its parts put together, its lifetime, and what tests may look at.

What belongs here: composition and inspection. What must not: rules, HTTP, sockets.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, Literal, Self

import attrs
from anyio import Event, Lock
from filelock import FileLock, Timeout

from .app import EmulatorApp
from .catalogue import Catalogue
from .clock import Clock
from .config import EmulatorConfig
from .contract import FileState
from .effects import World
from .faults import FaultPlan
from .grants import Grants
from .history import Exchange, History
from .links import Links
from .log import StateLog
from .service import Service
from .state import FileRecord, State
from .storage import Storage
from .threads import in_thread

#: Expired tokens are remembered so long over restarts, in seconds, to be told from unknown ones.
TOKEN_MEMORY = 86_400.0
_OUTCOMES = (FileState.PUBLISHED, FileState.REVIEW_FAILED, FileState.PUBLISHING_FAILED)


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


class Emulator:
    """The service on your machine, without a socket: an ASGI application and a view of its inside.

    It starts with its first request, or with `start`; `aclose` ends it. Everything belongs to one event loop at a
    time; from other threads use ThreadedEmulatorServer.

    Args:
        config: how it behaves; by default an EmulatorConfig as it is.
    """

    def __init__(self, config: EmulatorConfig | None = None) -> None:
        self.config: EmulatorConfig = config or EmulatorConfig()
        self.log: StateLog = StateLog()
        self.storage: Storage = Storage()
        self.state: State = State(self.log.append)
        self.clock: Clock = Clock(self.state.turn_clock)
        self.grants: Grants = Grants(self.config, self.state, self.clock)
        self.service: Service = Service(self.config, self.state, self.clock)
        self.links: Links = Links(self.state, self.clock, self.config.url_lifetime)
        self.catalogue: Catalogue = Catalogue(self.state, self.service, self.links, self.clock)
        self.requests: History = History(self.clock, self.config.history_limit)
        self.world: World = World(self.grants, self.state, self.clock)
        self.faults: FaultPlan = self.config.faults
        self.app: EmulatorApp = EmulatorApp(self)
        self._temporary: weakref.finalize[[str, bool], Emulator] | None = None
        self._lock: FileLock | None = None
        self._turn = Lock()
        self._started = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Open the data folder and take over what is in it. Further calls change nothing.

        Raises:
            ValueError: the data folder is in use by another emulator, or what lies in it cannot be read.
            OSError: the folder cannot be made or written.
        """
        if self._started:
            return
        async with self._turn:
            if not self._started:
                await in_thread(self._open)
                self.world.stop = Event()
                self._started = True

    async def aclose(self) -> None:
        """Write what is left and let go of the data folder; a temporary one is removed. May be called again."""
        async with self._turn:
            if self._started:
                self._started = False
                await in_thread(self._close)

    def _open(self) -> None:
        folder = self.config.data_dir
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="iqiyi-emulator-"))
            self._temporary = weakref.finalize(self, shutil.rmtree, str(folder), True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = FileLock(folder / "lock", mode=0o600, thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"data_dir {folder} is in use by another emulator") from None
        try:
            self._replay(folder)
        except BaseException:
            self._lock.release()
            raise

    def _replay(self, folder: Path) -> None:
        path = folder / "state.log"
        self.state.apply({"put": "reset"})
        for number, entry in enumerate(self.log.read(path), 1):
            try:
                self.state.apply(entry)
            except (KeyError, TypeError, ValueError):
                raise ValueError(f"{path}: line {number} cannot be read") from None
        self.clock.restore(self.state.clock_offset)
        self.storage.open(folder / "files", self.state.extents)
        self.log.start(path, self.state.entries(self.clock.now() - TOKEN_MEMORY))

    def _close(self) -> None:
        self.log.close()
        self.storage.close()
        if self._lock is not None:
            self._lock.release()
        if self._temporary is not None:
            self._temporary()

    async def reset(self) -> None:
        """Back to an empty service: no videos, tokens or history, the clock as the machine's, faults as
        configured."""
        await self.start()
        held = list(self.state.files)
        self.state.reset()
        self.clock.restore(0.0)
        self.requests.clear()
        self.faults = self.config.faults
        self.faults.restart()
        await self.storage.remove(held)
        await self.log.commit()

    @property
    def files(self) -> dict[str, FileView]:
        """All videos by id, in the order of their making; cancelled and deleted ones too."""
        with self.state.guard:
            return {file_id: self._view(record) for file_id, record in self.state.files.items()}

    @property
    def history(self) -> tuple[Exchange, ...]:
        """The latest requests, in the order of their arrival."""
        return self.requests.exchanges()

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
        with self.state.guard:
            record, held = self.state.files[file_id], self.state.extents[file_id]
        return self.storage.read(file_id, held, 0, record.size) if held.covered else b""

    def set_outcome(self, file_id: str, outcome: FileState | str) -> None:
        """Decide what becomes of a video: published, review_failed or publishing_failed.

        Raises:
            KeyError: no such video.
            ValueError: not one of the three.
        """
        chosen = FileState(outcome)
        if chosen not in _OUTCOMES:
            raise ValueError("outcome must be " + ", ".join(_OUTCOMES))
        self.state.put_file(attrs.evolve(self.state.files[file_id], outcome=chosen))

    def spoil_tokens(
        self, how: Literal["expired", "revoked"] = "revoked", kind: Literal["access", "refresh"] = "access"
    ) -> None:
        """Make all tokens of a kind invalid, as if they had expired or been revoked."""
        self.grants.spoil_all(how, kind)

    def _view(self, record: FileRecord) -> FileView:
        held = self.state.extents[record.file_id]
        shared: dict[str, Any] = {field.name: getattr(record, field.name, None) for field in attrs.fields(FileView)}
        shared |= {"state": self.service.state_of(record), "accepted": held.covered, "ranges": held.ranges()}
        return FileView(**shared)
