"""What a web gateway keeps of each upload that browsers send, and the protocol of a journal that can keep it."""

from __future__ import annotations

from enum import Enum
from typing import Protocol, cast, runtime_checkable

import attrs

from ..errors import ConfigurationError
from .base import UploadJournal


class GatewayState(Enum):
    """How far an upload through the gateway is."""

    #: Bytes are expected, or the end of the upload is in doubt.
    OPEN = "open"
    #: The service has it as a video; the application has not been told yet.
    FINISHED = "finished"
    #: The application has been told.
    DONE = "done"
    #: The service, or the application, refused it for good.
    REFUSED = "refused"
    #: The browser gave it up.
    CANCELLED = "cancelled"
    #: Nothing came for too long.
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do: the video is known to the application, or there is none."""
        return self not in (GatewayState.OPEN, GatewayState.FINISHED)


@attrs.frozen
class GatewayRecord:
    """One upload of a browser.

    Attributes:
        key: its name in URLs and in the journal: 32 hexadecimal digits that nobody can guess.
        owner: who may go on with it, as the application names users; empty if everyone who knows its URL may.
        details: what the gateway has to remember besides (JSON); the store keeps it as it is.
        size: bytes; None while the browser has not said.
        expires: when it is given up unless bytes come (Unix time, seconds); one that has ended is forgotten then.
        offset: bytes from the beginning on that the service has accepted without a gap.
        received: bytes from the beginning on that have come from the browser.
        state: how far it is.
        file_id: its name at the service, as soon as it is a video.
        problem: why it was refused, for people.
        releases: how often its holder was asked to let go of it; counted by the store.
    """

    key: str
    owner: str
    details: str
    size: int | None
    expires: float
    offset: int = 0
    received: int = 0
    state: GatewayState = GatewayState.OPEN
    file_id: str = ""
    problem: str = ""
    releases: int = 0

    @property
    def untold(self) -> bool:
        """Whether it is a video that the application does not know yet. One that expired so is told all the same."""
        return self.state is GatewayState.FINISHED or (self.state is GatewayState.EXPIRED and self.file_id != "")


@runtime_checkable
class GatewayStore(Protocol):
    """An `UploadJournal` that can also keep the records of a web gateway.

    A record and the journal's entry of the same upload have the same key, and the journal's lease of that key guards
    both: `set_offset` and `update_upload` carry its fence, and have no effect (False) when the lease is lost or the
    record is gone. Everything may fail with `OSError`, or an error of the store's own library.
    """

    async def create_upload(self, record: GatewayRecord) -> bool:
        """Add a record; no lease is needed. It survives a loss of power.

        Args:
            record: with a key of its own.

        Returns:
            False if the key is taken; then nothing has changed.
        """
        ...

    async def load_upload(self, key: str) -> GatewayRecord | None:
        """Read a record.

        Args:
            key: of the upload.

        Returns:
            The record, or None if there is none.
        """
        ...

    async def set_offset(self, key: str, fence: int, offset: int, received: int, expires: float) -> bool:
        """Note how far an upload is, and until when it is kept.

        Args:
            key: of the upload.
            fence: of the lease.
            offset: bytes from the beginning on that the service has accepted without a gap.
            received: bytes from the beginning on that have come from the browser.
            expires: when it is given up unless bytes come (Unix time, seconds).

        Returns:
            False if the lease is lost or the record is gone; then nothing has changed.
        """
        ...

    async def update_upload(self, record: GatewayRecord, fence: int) -> bool:
        """Write everything of a record but `key`, `owner` and `releases`. It survives a loss of power.

        Args:
            record: what to write, under its key.
            fence: of the lease.

        Returns:
            False if the lease is lost or the record is gone; then nothing has changed.
        """
        ...

    async def request_release(self, key: str) -> bool:
        """Ask the holder of a key's lease to give it back: `releases` grows by one.

        Args:
            key: of the upload.

        Returns:
            False if there is no such record.
        """
        ...

    async def expire_uploads(self, limit: int = 50) -> tuple[GatewayRecord, ...]:
        """End what nobody has gone on with: records in the states OPEN and FINISHED whose time is over become EXPIRED,
        to be kept for one day more. Other records are removed when their time is over.

        Args:
            limit: how many at most are ended, and how many removed.

        Returns:
            Those that have become EXPIRED by this call: each is returned once, to one caller.
        """
        ...


class GatewayJournal(UploadJournal, GatewayStore, Protocol):
    """A journal that keeps the records of a gateway too."""


#: How long it is remembered of an upload that it has expired, in seconds.
EXPIRED_FOR = 86400.0

_METHODS = ("create_upload", "load_upload", "set_offset", "update_upload", "request_release", "expire_uploads")


def gateway_journal(journal: object) -> GatewayJournal:
    """A client's journal, if it can keep the records of a gateway.

    Raises:
        ConfigurationError: a method is missing; the error names it.
    """
    missing = [name for name in _METHODS if not callable(getattr(journal, name, None))]
    if missing:
        raise ConfigurationError(
            f"the client's journal, a {type(journal).__name__}, can't keep the uploads of a gateway: it has no"
            f" {', '.join(missing)}; give the client a SqliteJournal (one machine) or a PostgresJournal (several)"
        )
    return cast("GatewayJournal", journal)
