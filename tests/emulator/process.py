"""An emulator in a process of its own, which can be killed."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

from iqiyi_async.emulator import EmulatorConfig, EmulatorServer

from .steps import Steps

PROGRAM = """
import asyncio, json, sys
from iqiyi_async.emulator import EmulatorConfig, serve
config = EmulatorConfig(**json.loads(sys.argv[1]))
asyncio.run(serve(config, on_ready=lambda ready: print(json.dumps(ready), flush=True)))
"""


class EmulatorProcess:
    """Runs until killed, or until the block ends."""

    def __init__(self, config: EmulatorConfig) -> None:
        self._options = {"publish_after": config.publish_after}
        if config.data_dir is not None:
            self._options["data_dir"] = str(config.data_dir)
        self._process: asyncio.subprocess.Process | None = None
        self.steps: Steps = cast("Any", None)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", PROGRAM, json.dumps(self._options)), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        ready = json.loads(await self._process.stdout.readline())
        token = self.steps.token if self.steps else ""
        self.steps = Steps(cast("EmulatorServer", SimpleNamespace(endpoint_url=ready["endpoint_url"])), token)

    async def kill(self) -> None:
        """SIGKILL: no time to write anything."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()

    def peak_memory(self) -> int:
        """The most memory that the process has held, in bytes."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024
