"""Killing an uploading process at a random moment, and looking at what the next one makes of it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

import iqiyi_async
from iqiyi_async.emulator import EmulatorConfig, ThreadedEmulatorServer

WORKERS, CHUNK = 4, 64 * 1024
#: Enough ranges for a kill to meet the middle of some, and a last one that is shorter.
SIZE = 160 * CHUNK - 1000
#: No process of these takes longer, in seconds.
PATIENCE = 30.0


class Breeder:
    """The process that makes the processes to be killed."""

    def __init__(self) -> None:
        root = str(Path(iqiyi_async.__file__).parents[1])
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": root},
        )
        self._pids: list[int] = []
        self._unheard: list[dict[str, Any]] = []

    def start(self, **orders: Any) -> list[int]:
        """Have a process made, or `copies` of them; their numbers."""
        assert self._process.stdin is not None
        self._unheard.clear()
        self._process.stdin.write(json.dumps(orders).encode() + b"\n")
        self._process.stdin.flush()
        self._pids = list(self.hear("pids"))
        return self._pids

    def kill(self) -> None:
        """Kill what was made last."""
        pids, self._pids = self._pids, []
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert self.hear("exits") == [-signal.SIGKILL] * len(pids)

    def hear(self, word: str) -> Any:
        """Wait until it says a word, or a failure. What else it says meanwhile is kept until the next start: a quick
        copy may have said that it has begun before its number was told."""
        assert self._process.stdout is not None
        for number, earlier in enumerate(self._unheard):
            if word in earlier:
                return self._unheard.pop(number)[word]
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            if word in said:
                return said[word]
            if "failed" in said and word != "exits":
                raise AssertionError(said["failed"])
            self._unheard.append(said)
        raise AssertionError("the worker has ended")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._pids:
            self.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(PATIENCE)


@contextmanager
def breeder() -> Iterator[Breeder]:
    """A breeder, and its end."""
    made = Breeder()
    try:
        yield made
    finally:
        made.close()


@attrs.frozen
class Outcome:
    """What a kill led to.

    Attributes:
        before: bytes that the service had accepted when the process was killed.
        finished: whether the upload was finished at the service by then.
        again: bytes that were sent more than once.
        resumed: bytes that the second process did not have to send.
        orphans: uploads without a byte that nobody knows any more: the answer with their name was on its way.
    """

    before: int
    finished: bool
    again: int
    resumed: int
    orphans: int


@attrs.frozen
class Scene:
    """A service, a film, and a maker of processes."""

    server: ThreadedEmulatorServer
    breeder: Breeder
    folder: Path
    content: bytes = attrs.field(repr=False)

    @classmethod
    @contextmanager
    def set_up(cls, folder: Path) -> Iterator[Scene]:
        """Everything that is needed, and its end."""
        content = random.Random(1).randbytes(SIZE)
        (folder / "film.mp4").write_bytes(content)
        with ThreadedEmulatorServer(EmulatorConfig(publish_after=0)) as server, breeder() as made:
            yield cls(server, made, folder, content)

    def start(self, state: str) -> None:
        """Begin to upload, remembering in the folder `state`."""
        folder = self.folder / state
        folder.mkdir(exist_ok=True)
        film = str(self.folder / "film.mp4")
        where = {"url": self.server.endpoint_url, "folder": str(folder), "path": film}
        self.breeder.start(task="upload", workers=WORKERS, chunk=CHUNK, **where)
        self.breeder.hear("begun")

    def duration(self) -> float:
        """Seconds that an upload takes when nobody disturbs it."""
        self.start(f"undisturbed-{time.monotonic()}")
        seconds = self.breeder.hear("done")["seconds"]
        self.breeder.kill()
        return float(seconds)

    def kill(self, number: int, delay: float) -> Outcome:
        """Upload, kill after `delay` seconds, upload again, and look at everything.

        Raises:
            AssertionError: something was lost or doubled.
        """
        self.server.reset()
        state = f"run-{number}"
        self.start(state)
        time.sleep(delay)
        self.breeder.kill()
        before = sum(view.accepted for view in self.server.files.values())
        finished = bool(self.server.published())
        self.start(state)
        done = self.breeder.hear("done")
        self.breeder.kill()
        return self._judge(before, finished, done)

    def _judge(self, before: int, finished: bool, done: dict[str, Any]) -> Outcome:
        published = [view.file_id for view in self.server.published()]
        assert published == [done["file_id"]], f"published are {published}"
        assert self.server.content(done["file_id"]) == self.content, "the service holds other bytes"
        sent = 0
        for each in self.server.history:
            if each.operation == "upload_chunk" and each.first is not None and each.last is not None:
                sent += min(each.bytes, each.last - each.first + 1)
        again = sent - SIZE
        assert 0 <= again <= WORKERS * CHUNK, f"{again} bytes were sent again"
        orphans = self.server.open_uploads()
        assert sum(view.accepted for view in orphans) == 0, "an upload was left behind with bytes in it"
        return Outcome(before, finished, again, done["resumed"], len(orphans))


def moments(count: int, duration: float, seed: int) -> list[float]:
    """Random moments of an upload, and a little behind its end, in seconds."""
    chance = random.Random(seed)
    return [chance.random() * duration * 1.1 for _ in range(count)]
