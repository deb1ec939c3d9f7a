"""One range sent by hand: the same lanes, checks and retries as in a whole upload."""

from __future__ import annotations

from .. import _checks
from .._session import Session
from ..errors import ConfigurationError
from ..models import ChunkReceipt, UploadTicket
from .chunk import send_range
from .plan import Range
from .pool import Pool
from .source import Data, hashed


async def send_chunk(
    session: Session, pool: Pool, ticket: UploadTicket, first: int, data: bytes | bytearray | memoryview
) -> ChunkReceipt:
    """Send one range until it is accepted.

    Raises:
        ConfigurationError: an empty range, or one outside of the file.
        VideoCloudError: it could not be brought there.
    """
    if not isinstance(data, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"data must be bytes, not {type(data).__name__}")
    view = memoryview(data)
    if not view.c_contiguous:
        raise ConfigurationError("data must be contiguous bytes")
    view = view.cast("B")
    part = Range(_checks.whole("first", first, least=0), len(view))
    if not 0 < part.size <= ticket.file_size - part.first:
        raise ConfigurationError(
            f"a range of {part.size} bytes from {first} on is empty or outside of a file of {ticket.file_size} bytes"
        )
    held = Data(view, await hashed(view, "md5", pool.threads))
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        async with pool.borrow() as lane:
            await send_range(session, pool, lane, ticket, part, held)

    await session.retries.run(attempt)
    return ChunkReceipt(part.first, part.end - 1, held.md5, attempts)
