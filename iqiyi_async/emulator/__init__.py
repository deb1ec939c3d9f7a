"""An emulator of the service on loopback: the same operations, the same refusals, faults on purpose, a clock to turn.

It is written from the service's contract, and imports nothing from the rest of the package: two readings of one
contract, so that a mistake of either shows.

    async with EmulatorServer() as server:
        print(server.endpoint_url, DEFAULT_APP_KEY, DEFAULT_APP_SECRET)
"""

from __future__ import annotations

try:
    import python_multipart as _python_multipart  # noqa: F401  # pyright: ignore[reportUnusedImport]
    import starlette as _starlette  # noqa: F401  # pyright: ignore[reportUnusedImport]
    import uvicorn as _uvicorn  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ImportError as _missing:
    raise ImportError("the emulator needs an extra: pip install 'iqiyi-async[emulator]'") from _missing

from .clock import Clock
from .conditions import Conditions, Flow
from .config import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, EmulatorConfig
from .contract import FileState, Operation
from .emulator import Emulator
from .faults import Fault
from .history import Exchange
from .inspection import FileView
from .plans import FaultPlan
from .proxy import FaultProxy
from .server import EmulatorServer, serve
from .threaded import ThreadedEmulatorServer

__all__ = [
    "DEFAULT_APP_KEY",
    "DEFAULT_APP_SECRET",
    "Clock",
    "Conditions",
    "Emulator",
    "EmulatorConfig",
    "EmulatorServer",
    "Exchange",
    "Fault",
    "FaultPlan",
    "FaultProxy",
    "FileState",
    "FileView",
    "Flow",
    "Operation",
    "ThreadedEmulatorServer",
    "serve",
]
