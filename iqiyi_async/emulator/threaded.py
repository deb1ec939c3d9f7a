"""The emulator in a thread with an event loop of its own: for synchronous suites, fixtures, and several loops at
once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Literal, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from .config import EmulatorConfig
from .contract import FileState
from .emulator import Emulator
from .inspection import Inspected
from .server import EmulatorServer


class ThreadedEmulatorServer(Inspected):
    """Serves an emulator from a thread: `with ThreadedEmulatorServer(config) as server: ... server.endpoint_url`.

    Looking inside (`files`, `history`, `violations`, `open_uploads`, `published`), turning the clock and changing the
    faults work from any thread and do not wait for the server. `start`, `stop`, `reset` and what changes videos or
    tokens wait.

    Args:
        emulator: as EmulatorServer takes it, and so are the rest.

    Raises:
        ValueError: the host is not loopback.
    """

    def __init__(
        self, emulator: Emulator | EmulatorConfig | None = None, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._server = EmulatorServer(emulator, host=host, port=port)
        core = self._server.emulator
        super().__init__(core.state, core.service, core.storage, core.requests, core.clock, core.fault_switch)
        self._stack: ExitStack | None = None
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the thread and return when the socket listens. Raises as EmulatorServer.start does."""
        if self._stack is not None:
            raise RuntimeError("the server has started already")
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal("asyncio", name="iqiyi-emulator"))
            stack.enter_context(self._portal.wrap_async_context_manager(self._server))
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Stop the server and return when its thread has ended. Further calls change nothing."""
        stack, self._stack, self._portal = self._stack, None, None
        if stack is not None:
            stack.close()

    @property
    def emulator(self) -> Emulator:
        """The emulator that is served. Its coroutines belong to the server's loop."""
        return self._server.emulator

    @property
    def endpoint_url(self) -> str:
        """Where it listens, such as http://127.0.0.1:40123."""
        return self._server.endpoint_url

    def reset(self) -> None:
        """As Emulator.reset."""
        self._loop.call(self.emulator.reset)

    def set_outcome(
        self,
        file_id: str,
        outcome: FileState | str = FileState.PUBLISHED,
        *,
        qualities: Iterable[str] | None = None,
        duration: int | None = None,
    ) -> None:
        """As Emulator.set_outcome."""
        change = partial(self.emulator.set_outcome, file_id, outcome, qualities=qualities, duration=duration)
        self._loop.call(change)

    def spoil_tokens(
        self, how: Literal["expired", "revoked"] = "revoked", kind: Literal["access", "refresh"] = "access"
    ) -> None:
        """As Emulator.spoil_tokens."""
        self._loop.call(self.emulator.spoil_tokens, how, kind)

    @property
    def _loop(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("the server is not running")
        return self._portal
