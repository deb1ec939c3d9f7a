"""The parts of one emulator put together, and their lifetime; without HTTP."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import attrs
from anyio import Lock
from filelock import FileLock, Timeout

from .catalogue import Catalogue
from .clock import Clock
from .config import EmulatorConfig
from .contract import FileState, quality_keys
from .effects import World
from .history import History
from .inspection import FaultSwitch, Inspected
from .links import Links
from .log import StateLog
from .service import Service
from .state import State
from .storage import Storage
from .threads import in_thread
from .tokens import TokenIssuer

#: Expired tokens are remembered so long over restarts, in seconds, to be told from unknown ones.
TOKEN_MEMORY = 86_400.0
_OUTCOMES = (FileState.PUBLISHED, FileState.PUBLISHING, FileState.REVIEW_FAILED, FileState.PUBLISHING_FAILED)


class EmulatorCore(Inspected):
    """The service without its addresses.

    Args:
        config: how it behaves; by default an EmulatorConfig as it is.
    """

    def __init__(self, config: EmulatorConfig | None = None) -> None:
        self.config: EmulatorConfig = config or EmulatorConfig()
        self.log: StateLog = StateLog()
        self.storage: Storage = Storage()
        self.state: State = State(self.log.append)
        clock = Clock(self.state.turn_clock)
        self.tokens: TokenIssuer = TokenIssuer(self.config, self.state, clock)
        self.service: Service = Service(self.config, self.state, clock)
        self.links: Links = Links(self.state, clock, self.config.url_lifetime, self.config.qualities)
        self.catalogue: Catalogue = Catalogue(self.state, self.service, self.links, clock)
        self.requests: History = History(clock, self.config.history_limit)
        self.world: World = World(self.tokens, self.state, clock)
        self.fault_switch: FaultSwitch = FaultSwitch(self.config.faults)
        super().__init__(self.state, self.service, self.storage, self.requests, clock, self.fault_switch)
        self._temporary: weakref.finalize[[str, bool], EmulatorCore] | None = None
        self._lock: FileLock | None = None
        self._turn = Lock()
        self._started = False

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
                self.world.open()
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
        self.storage.open(folder / "files", self.state.intervals)
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
        self.fault_switch.use(self.config.faults)
        self.faults.restart()
        await self.storage.remove(held)
        await self.log.commit()

    def set_outcome(
        self,
        file_id: str,
        outcome: FileState | str = FileState.PUBLISHED,
        *,
        qualities: Iterable[str] | None = None,
        duration: int | None = None,
    ) -> None:
        """Decide what becomes of a video once its production is over.

        Args:
            file_id: the video.
            outcome: published, review_failed, publishing_failed, or publishing, which never ends.
            qualities: those it is published in, by name (`super`, `720P`) or key; as configured unless given.
            duration: seconds that it runs; read from the file unless given.

        Raises:
            KeyError: no such video.
            ValueError: not an outcome, not a quality, not a duration.
        """
        chosen = FileState(outcome)
        if chosen not in _OUTCOMES:
            raise ValueError("outcome must be " + ", ".join(_OUTCOMES))
        if duration is not None and (type(duration) is not int or duration < 0):
            raise ValueError("duration must be a whole number of seconds, zero or more")
        record = self.state.files[file_id]
        keys = record.qualities if qualities is None else quality_keys(qualities)
        known = record.duration if duration is None else duration
        self.state.put_file(attrs.evolve(record, outcome=chosen, qualities=keys, duration=known))

    def spoil_tokens(
        self, how: Literal["expired", "revoked"] = "revoked", kind: Literal["access", "refresh"] = "access"
    ) -> None:
        """Make all tokens of a kind invalid, as if they had expired or been revoked."""
        self.tokens.spoil_all(how, kind)
