"""`emulator`: its options as the emulator's configuration, and the service on loopback until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .failures import UsageError
from .messages import told
from .screen import Screen
from .signals import Signals
from .texts import about, tr

if TYPE_CHECKING:
    from iqiyi_async.emulator import EmulatorConfig, FaultPlan


def config_for(faults: Path | None, **options: Any) -> EmulatorConfig:
    """The configuration that the options mean; those that are None are left to the emulator.

    Raises:
        UsageError: one of them means nothing.
        ImportError: the extra is missing.
    """
    from iqiyi_async.emulator import EmulatorConfig

    given = {name: value for name, value in options.items() if value is not None}
    if faults is not None:
        given["faults"] = _plan(faults)
    try:
        return EmulatorConfig(**given)
    except ValueError as error:
        text = str(error)
        for name in given:
            text = text.replace(name, "--" + name.replace("_", "-"))
        raise UsageError(told(text), tr("see iqiyi-async emulator --help")) from None


def _plan(path: Path) -> FaultPlan:
    from iqiyi_async.emulator import FaultPlan

    try:
        return FaultPlan.from_json(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(about(f"--faults: {path}", told(error.strerror or "")), tr("check the path")) from None
    except ValueError as error:
        hint = tr('a plan looks like {"seed": 7, "faults": [{"operation": "upload_chunk", "call": 2, "status": 503}]}')
        raise UsageError(about(f"--faults: {path}", told(str(error))), hint) from None


async def serve(config: EmulatorConfig, screen: Screen, signals: Signals, *, host: str, port: int) -> int:
    """Serve until the first signal; being told to stop is how a server ends well, so the code is 0."""
    from iqiyi_async.emulator import serve as serve_emulator

    signals.on_first = signals.asked.set
    try:
        await serve_emulator(config, host=host, port=port, on_ready=screen.record, stop=signals.asked)
    except ValueError as error:
        raise UsageError(told(str(error)), tr("see iqiyi-async emulator --help")) from None
    except OverflowError:
        raise UsageError(tr("--port: there is no port {port}", port=port), tr("0 takes a free one")) from None
    return 0
