"""What a batch uses of a client besides its public face: an upload whose journal is the ledger."""

from __future__ import annotations

from ..client import AsyncVideoCloud
from ..models import UploadItem
from ..upload.handle import UploadHandle
from .item_journal import ItemJournal


def start(cloud: AsyncVideoCloud, item: UploadItem, journal: ItemJournal, lease_seconds: float) -> UploadHandle:
    """Start an item's upload."""
    return cloud._start(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        item, journal=journal, lease_seconds=lease_seconds
    )


def takes_uploads(cloud: AsyncVideoCloud) -> bool:
    """Whether the client is neither closed nor about to be."""
    return cloud._runtime.state == "open"  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def bandwidth_of(cloud: AsyncVideoCloud) -> int | None:
    """The limit that a client has, in bytes a second."""
    return cloud._runtime.pool.bandwidth.rate  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
