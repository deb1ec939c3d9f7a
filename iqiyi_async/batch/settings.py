"""How the items of a batch are tried."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import attrs

from ..client import AsyncVideoCloud
from ..errors import VideoCloudError
from ..models import JournalEntry, VideoState
from ..upload.sharing.timetable import Timetable
from .afterwards import OnSuccess
from .ledger.base import Ledger, LedgerError
from .manifest.columns import URL
from .models import Claim
from .sources import OpenSource

logger: logging.Logger = logging.getLogger(__name__)

#: States in which a video is safe.
SafeStates = tuple[VideoState, ...]
#: The service has the whole video; it is on its way or published.
COMPLETE: SafeStates = (VideoState.PUBLISHING, VideoState.PUBLISHED)
PUBLISHED: SafeStates = (VideoState.PUBLISHED,)


@attrs.frozen
class Settings:
    """What holds for all items of a batch.

    Attributes:
        root: what relative sources start from on this machine.
        open_source: gives the source of a URL, or None.
        max_attempts: after so many failures an item is given up.
        first_backoff: the wait after its first failure, in seconds; each further one doubles it.
        max_backoff: the longest wait, in seconds.
        lease_seconds: how long a runner that died keeps others from its items.
        ledger_patience: how long a ledger that can't be reached is waited for, in seconds.
        max_bandwidth: bytes a second over all runners, by the time of day, or None.
        on_success: what becomes of files whose videos are safe.
    """

    root: Path
    open_source: OpenSource | None = None
    max_attempts: int = 5
    first_backoff: float = 5.0
    max_backoff: float = 600.0
    lease_seconds: float = 60.0
    ledger_patience: float = 600.0
    max_bandwidth: Timetable | None = None
    on_success: OnSuccess = attrs.field(factory=OnSuccess)

    @property
    def tidies(self) -> bool:
        """Whether files are moved or deleted."""
        return self.on_success.action != "none"

    def located(self) -> Settings:
        """The same with absolute paths."""
        return attrs.evolve(
            self, root=Path(os.path.normpath(self.root.absolute())), on_success=self.on_success.located()
        )

    def backoff(self, failures: int, random: Callable[[], float]) -> float:
        """Seconds to wait after so many failures: half of it certain, half of it random."""
        most = min(self.max_backoff, self.first_backoff * 2.0 ** min(failures - 1, 32))
        return most * (0.5 + 0.5 * random())

    async def tidy(
        self, cloud: AsyncVideoCloud, ledger: Ledger, claim: Claim, safe: SafeStates, entry: JournalEntry | None = None
    ) -> None:
        """Move or delete the file of an item whose video is safe. A file that can't be is left, and the log says so.

        Args:
            cloud: asked for the state of the video.
            ledger: asked for what was uploaded.
            claim: of the item, with the file_id of its video.
            safe: the states in which the video is safe; empty if it is known to be.
            entry: what was uploaded, if it is not the item's own upload: the file is compared with it as a whole.
        """
        if not self.tidies or URL.match(claim.source):
            return
        try:
            if safe and (await cloud.get_status(claim.file_id)).state not in safe:
                logger.warning("video %s could not be verified: %s is left", claim.file_id, claim.source)
                return
            uploaded = await ledger.load(claim.number, "") if entry is None else _to_be_compared(entry)
        except (VideoCloudError, LedgerError) as error:
            logger.warning("%s is left where it is: %s", claim.source, error)
            return
        if uploaded is None:
            logger.warning("%s is left where it is: it is not known what was uploaded", claim.source)
            return
        apply, path = self.on_success.apply, self.root / claim.source
        problem = await asyncio.to_thread(apply, path, self.root, uploaded)
        if problem:
            logger.warning("%s", problem)


def _to_be_compared(entry: JournalEntry) -> JournalEntry:
    """The upload of another file: its time says nothing about this one."""
    return attrs.evolve(entry, fingerprint=attrs.evolve(entry.fingerprint, mtime_ns=0))
