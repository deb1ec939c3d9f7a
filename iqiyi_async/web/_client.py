"""What the gateway uses of a client besides its public face: a writer of ranges, and the journal."""

from __future__ import annotations

from collections.abc import Callable

from .. import AsyncVideoCloud, UploadError
from ..stores import GatewayJournal, GatewayRecord
from ..upload.range_writer import RangeWriter
from .records import Details


def store_of(cloud: AsyncVideoCloud) -> GatewayJournal:
    """The client's journal; one in memory if it has none.

    Raises:
        ConfigurationError: it can't keep the records of a gateway.
    """
    return cloud._runtime.uploads.gateway_journal()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def check_usable(cloud: AsyncVideoCloud) -> None:
    """Look whether the client takes uploads at all.

    Raises:
        VideoCloudError: it is draining or closed.
    """
    cloud._runtime.check_usable(new_upload=True)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def check_room(cloud: AsyncVideoCloud) -> None:
    """Look whether the client takes one more upload now.

    Raises:
        VideoCloudError: it is draining, closed, or has as many as it may.
    """
    check_usable(cloud)
    cloud._runtime.uploads.check_room()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def writer_of(
    cloud: AsyncVideoCloud, store: GatewayJournal, record: GatewayRecord, on_stop: Callable[[UploadError], None]
) -> RangeWriter:
    """A writer of one upload, whose lease is not held yet."""
    details = Details.of(record)
    uploads = cloud._runtime.uploads  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return uploads.writer(
        record.key,
        details.metadata,
        size=record.size or 0,
        file_type=details.file_type,
        name=details.metadata.name,
        group=details.group,
        journal=store,
        on_stop=on_stop,
    )
