"""One emulator: the service and its addresses, without a socket."""

from __future__ import annotations

from typing import Self

from .app import EmulatorApp
from .config import EmulatorConfig
from .core import EmulatorCore


class Emulator(EmulatorCore):
    """The service on your machine, without a socket: an ASGI application and a view of its inside.

    It starts with its first request, or with `start`; `aclose` ends it. Everything belongs to one event loop at a
    time; from other threads use ThreadedEmulatorServer.

    Args:
        config: how it behaves; by default an EmulatorConfig as it is.
    """

    def __init__(self, config: EmulatorConfig | None = None) -> None:
        super().__init__(config)
        self.app: EmulatorApp = EmulatorApp(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
