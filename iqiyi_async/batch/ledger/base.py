"""What a ledger must do: the truth of a batch, for any number of runners.

Each claim of an item raises its fence, and has a name of its own; every write of a runner carries the fence, and is
without effect (False) when another claim was made since. The clock is the ledger's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...errors import ConfigurationError
from ...models import ChunkReceipt, JournalEntry, Phase
from ..models import BatchStatus, Claim, Ending, ItemRecord, ItemState, NewItem, Outlook

#: An item and the fence of its claim.
Held = tuple[int, int]


class LedgerError(OSError):
    """The ledger can't be reached or written at this moment.

    Attributes:
        lasting: waiting does not mend it: the database is not there, or refuses the credentials.
    """

    def __init__(self, text: str, *, lasting: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting


class Ledger(ABC):
    """One batch in a ledger.

    Attributes:
        shared: whether several machines may share it; uploads then stop when their leases can't be renewed.
        completes: as of an `UploadJournal`: calls are carried out to their ends, in the order in which they were made.

    Every method raises `LedgerError` if the ledger can't be reached.
    """

    shared: bool
    completes: bool = False

    @abstractmethod
    async def open(self) -> None:
        """Make the tables and the batch, where they are missing."""

    @abstractmethod
    async def add(self, items: Sequence[NewItem]) -> int:
        """Write items with identities that differ; known ones that were not begun, or that have failed without a video,
        take the new metadata.

        Returns:
            How many are new.
        """

    @abstractmethod
    async def clear_invalid(self, manifest: str) -> None:
        """Remove the invalid lines of a manifest, which is read again."""

    @abstractmethod
    async def claim(self, limit: int, ttl: float) -> list[Claim]:
        """Take up to so many items that are due and that nobody holds (any more), in their order, for `ttl` seconds;
        none when the batch was told to stop."""

    @abstractmethod
    async def claim_uploaded(self, limit: int, ttl: float) -> list[Claim]:
        """The same of items that are uploaded, whose publication nobody waits for (any more)."""

    @abstractmethod
    async def renew(self, held: Sequence[Held], ttl: float) -> set[int]:
        """Hold claims for `ttl` more seconds, all in one statement.

        Returns:
            The numbers of those that are still held.
        """

    @abstractmethod
    async def end(self, held: Held, ending: Ending) -> bool:
        """Write what a claim has come to; the upload of an item that is uploaded is finished. Said again it has no
        further effect, and is True."""

    @abstractmethod
    async def release(self, held: Sequence[Held]) -> None:
        """Give claims back as they were before."""

    # The journal of an item

    @abstractmethod
    async def load(self, number: int, key: str) -> JournalEntry | None:
        """What is known of an item's upload."""

    @abstractmethod
    async def begin(self, held: Held, entry: JournalEntry) -> bool:
        """Write an item's upload with its ranges, in place of whatever was there. It is on the disk."""

    @abstractmethod
    async def record(self, held: Held, file_id: str, chunk: ChunkReceipt) -> bool:
        """Add an accepted range."""

    @abstractmethod
    async def advance(self, held: Held, phase: Phase) -> bool:
        """Note that an item's upload has reached a phase. It is on the disk."""

    @abstractmethod
    async def forget(self, held: Held) -> bool:
        """Remove an item's upload and its ranges."""

    @abstractmethod
    async def find(self, number: int, size: int, digest: str) -> tuple[JournalEntry, ...]:
        """Finished uploads of other items of the ledger, in whatever batch, with that size and digest of samples."""

    # The batch

    @abstractmethod
    async def outlook(self) -> Outlook:
        """What is left."""

    @abstractmethod
    async def status(self) -> BatchStatus:
        """How many items are in which state."""

    @abstractmethod
    async def records(self, after: int, limit: int) -> list[ItemRecord]:
        """The items behind a number, in their order."""

    @abstractmethod
    async def states_of(self, sources: Sequence[str]) -> list[tuple[str, ItemState]]:
        """The items that have these sources: a source and a state for each, in no order."""

    @abstractmethod
    async def set_pages(self, pages: Sequence[tuple[int, str]]) -> None:
        """Keep play pages, by the numbers of items."""

    @abstractmethod
    async def retry_failed(self) -> int:
        """Let items that have failed wait again, without the failures so far.

        Returns:
            How many.
        """

    @abstractmethod
    async def stop(self, problem: str = "") -> None:
        """Tell all runners to take no more items; `problem` says why, if nobody wanted it."""

    @abstractmethod
    async def clear_stop(self) -> None:
        """The batch may go on."""

    # The runners

    @abstractmethod
    async def take_slot(self, ttl: float) -> Held:
        """Take the lowest numbered slot that is free: a runner that is alive has one."""

    @abstractmethod
    async def renew_slot(self, slot: Held, ttl: float) -> tuple[bool, int, bool]:
        """Hold a slot for `ttl` more seconds.

        Returns:
            Whether it was still held; how many slots are live; whether all others were renewed since this one was
            taken.
        """

    @abstractmethod
    async def free_slot(self, slot: Held) -> None:
        """Give a slot back."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the ledger; what is held stays held until it expires."""


def open_ledger(url: object, name: str, *, must_exist: bool = False) -> Ledger:
    """The ledger of a URL; nothing is opened.

    Args:
        url: ``sqlite:///relative/path``, ``sqlite:////absolute/path``, or ``postgresql://...``; or the path of an
            SQLite file.
        name: of the batch.
        must_exist: an SQLite file that is missing is an error, when it is first asked for something.

    Raises:
        ConfigurationError: no such URL.
    """
    if not isinstance(url, str | Path) or not str(url):
        raise ConfigurationError("ledger must be a URL, such as sqlite:///spring.ledger or postgresql://host/database")
    text = str(url)
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme in ("postgresql", "postgres"):
        from .postgres_ledger import PostgresLedger

        return PostgresLedger(text, name)
    from .sqlite_ledger import SqliteLedger

    if not scheme:
        return SqliteLedger(Path(text), name, must_exist=must_exist)
    if scheme != "sqlite":
        raise ConfigurationError(
            f"ledger can't be a {scheme}:// URL: give sqlite:///FILE or postgresql://HOST/DATABASE"
        )
    path = unquote(urlsplit(text).path)
    if urlsplit(text).netloc or len(path) < 2:
        raise ConfigurationError("ledger names no file: write sqlite:///spring.ledger, or sqlite:////srv/spring.ledger")
    return SqliteLedger(Path(path[1:]), name, must_exist=must_exist)
