"""One range to the service, once: sent, answered, and the answer held against what was sent."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from .._session import Session
from ..errors import IntegrityError, ServiceUnavailableError, TransportError
from ..models import UploadTicket
from ..protocol import uploads
from .pool import Worker, WorkerPool
from .ranges import Range
from .source import Data


async def send_range(
    session: Session,
    pool: WorkerPool,
    lane: Worker,
    ticket: UploadTicket,
    part: Range,
    data: Data,
    on_sent: Callable[[int], None] | None = None,
) -> None:
    """Send a range over a lane (section 1.2) and check that the service stored what was sent.

    Raises:
        IntegrityError: it stored other bytes, or another number of them; sending the range again puts it right.
        VideoCloudError: it refused the range, or gave no answer.
    """
    address = pool.hosts.route(ticket.upload_url)
    call = uploads.upload_chunk(
        ticket if address == ticket.upload_url else attrs.evolve(ticket, upload_url=address),
        part.first,
        data.view,
        parameters=pool.options.parameters,
        boundary=pool.boundary,
    )
    try:
        stored = await session.renewing(lambda: session.exchange(lane.connection, call, on_sent=on_sent))
    except (TransportError, ServiceUnavailableError):
        pool.hosts.failed(ticket.upload_url, address)
        raise
    problem = _difference(stored, ticket, part, data)
    if problem is not None:
        raise IntegrityError(
            f"range {part.first}-{part.end - 1}: {problem}",
            file_id=ticket.file_id,
            operation="upload_chunk",
            retryable=True,
        )


def _difference(stored: uploads.RangeAnswer, ticket: UploadTicket, part: Range, data: Data) -> str | None:
    if stored.accepted != part.size:
        return f"the service accepted {stored.accepted} of {part.size} bytes"
    if stored.md5 != data.md5:
        return "the service's MD5 differs from that of the bytes sent"
    if stored.file_id not in (None, ticket.file_id):
        return "the service stored it under another file_id"
    return None
