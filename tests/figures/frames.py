"""How many frames of this library lie between a chunk, or a call, and the socket: one upload is traced.

python tests/figures/frames.py
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import asyncio
import sys
from asyncio import selector_events
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import attrs

sys.path.insert(0, str(Path(__file__).parents[2]))

import iqiyi_async
from iqiyi_async import AsyncVideoCloud, Endpoints, Metadata, UploadOptions
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, EmulatorConfig, ThreadedEmulatorServer

PACKAGE = str(Path(iqiyi_async.__file__).parent)
#: Where the ways begin: of a chunk, of a call, and the part of both that is not the caller's.
TRANSFER, FACADE, SESSION = "upload/transfer.py", "client.py:", "_session.py:Session.exchange"


@attrs.frozen
class Write:
    """One write to a socket.

    Attributes:
        body: whether it carries the body of a range; a control call otherwise.
        frames: the functions of this library on its way, the last one first.
    """

    body: bool
    frames: tuple[str, ...]

    @property
    def of_upload(self) -> bool:
        """Whether it is a control call that an upload makes."""
        return not self.body and any(frame.startswith("upload/") for frame in self.frames)

    def depth(self, begin: str = "") -> int:
        """Frames of the way, from the outermost one of the module `begin` on."""
        there = [index for index, frame in enumerate(self.frames) if frame.startswith(begin)]
        return there[-1] + 1 if there else len(self.frames)


def traced(work: Callable[[], Awaitable[Any]]) -> list[Write]:
    """Do something in a loop of its own; every write that a frame of this library leads to, and that begins a
    request.

    What a task awaits is on the stack while it runs, so the stack at a write is the whole way within its task.
    """
    writes: list[Write] = []
    real = selector_events._SelectorSocketTransport.write  # type: ignore[attr-defined]

    def write(self: Any, data: Any) -> None:
        head = bytes(data[:200])
        if head.startswith((b"GET ", b"POST ")):
            frames = tuple(_ours(sys._getframe(1)))
            if frames:
                writes.append(Write(b"/upload HTTP" in head.split(b"\r\n")[0], frames))
        real(self, data)

    selector_events._SelectorSocketTransport.write = write  # type: ignore[attr-defined]
    try:
        asyncio.run(work())  # type: ignore[arg-type]
    finally:
        selector_events._SelectorSocketTransport.write = real  # type: ignore[attr-defined]
    return writes


def _ours(frame: FrameType | None) -> list[str]:
    found = []
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE) and "/emulator/" not in path:
            found.append(f"{Path(path).relative_to(PACKAGE).as_posix()}:{frame.f_code.co_qualname}")
        frame = frame.f_back
    return found


def measure() -> list[Write]:
    """Trace one upload by path and one look at its status, against an emulator in another thread."""
    with ThreadedEmulatorServer(EmulatorConfig(publish_after=0)) as server:

        async def work() -> None:
            async with AsyncVideoCloud(
                DEFAULT_APP_KEY,
                DEFAULT_APP_SECRET,
                endpoints=Endpoints.single(server.endpoint_url),
                options=UploadOptions(chunk_size=100_000, max_workers=2),
            ) as cloud:
                receipt = await cloud.upload(bytes(500_000), Metadata("Traced"), file_type="mp4")
                await cloud.get_status(receipt.file_id)

        return traced(work)


def main() -> None:
    """Print the longest way of each kind."""
    writes = measure()
    for body, begin, kind in ((True, TRANSFER, "a chunk, from Transfer"), (False, FACADE, "a call, from the facade")):
        ways = [write for write in writes if write.body is body and not write.of_upload]
        longest = max(ways, key=lambda write: write.depth(begin))
        print(f"{kind}: {longest.depth(begin)} frames")
        for frame in longest.frames[: longest.depth(begin)]:
            print(f"    {frame}")


if __name__ == "__main__":
    main()
