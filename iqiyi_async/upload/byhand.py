"""One range sent by hand: the same lanes, checks and retries as in a whole upload."""

from __future__ import annotations

from .. import _validation
from .._session import Session
from ..models import ChunkReceipt, UploadTicket
from ..protocol.uploads import check_range
from .chunk import send_range
from .pool import WorkerPool
from .ranges import Range
from .source import Data, hashed


async def send_chunk(
    session: Session, pool: WorkerPool, ticket: UploadTicket, first: int, data: bytes | bytearray | memoryview
) -> ChunkReceipt:
    """Send one range until it is accepted.

    Raises:
        ConfigurationError: an empty range, or one outside of the file.
        VideoCloudError: it could not be brought there.
    """
    view = _validation.octets("data", data)
    part = Range(first, len(view))
    check_range(ticket, part.first, part.size)
    held = Data(view, await hashed(view, "md5", pool.threads))
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        async with pool.borrow() as lane:
            await send_range(session, pool, lane, ticket, part, held)

    await session.retries.run(attempt)
    return ChunkReceipt(part.first, part.end - 1, held.md5, attempts)
