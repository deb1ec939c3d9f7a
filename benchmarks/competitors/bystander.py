"""No competitor but a yardstick: an event loop that does nothing while another process uploads with raw sockets.

The lag it sees is the machine's own: what any loop suffers because the cores are busy.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from ..processes import CHECKOUT
from .base import AsyncCompetitor
from .calls import WrongAnswerError


class Bystander(AsyncCompetitor):
    """See the module."""

    async def upload(self, path: Path, name: str) -> None:
        """Watch another process upload the file."""
        task = replace(
            self.task, competitor="raw", files=replace(self.task.files, paths=(str(path),)), uploads=1, beat=0.0
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=CHECKOUT,
        )
        await process.communicate(task.to_json().encode())
        if process.returncode:
            raise WrongAnswerError(f"uploading {name} beside this process failed")


COMPETITOR = Bystander
