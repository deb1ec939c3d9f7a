"""The values of a batch: its items' states, what the ledger keeps of an item, counts."""

from __future__ import annotations

from enum import StrEnum

import attrs


class ItemState(StrEnum):
    """Where an item of a batch stands.

    `WAITING` items may be backing off; `HELD` ones are being uploaded by a runner. `UPLOADED`: complete at the
    service, which has been told to publish. `DUPLICATE`: its bytes are a video already, which is no failure.
    `INVALID`: a line of a manifest that can't be used.
    """

    WAITING = "waiting"
    HELD = "held"
    UPLOADED = "uploaded"
    PUBLISHED = "published"
    DUPLICATE = "duplicate"
    REVIEW_FAILED = "review_failed"
    PUBLISH_FAILED = "publish_failed"
    FAILED = "failed"
    INVALID = "invalid"

    @property
    def failed(self) -> bool:
        """Whether it has ended badly."""
        return self in (
            ItemState.REVIEW_FAILED,
            ItemState.PUBLISH_FAILED,
            ItemState.FAILED,
            ItemState.INVALID,
        )


@attrs.frozen
class AddResult:
    """What `Batch.add` has done.

    Attributes:
        added: items that are new in the ledger.
        known: items that were there already.
        invalid: lines that can't be used; the ledger has a row for each.
    """

    added: int = 0
    known: int = 0
    invalid: int = 0


@attrs.frozen
class BatchStatus:
    """How many items of a batch are in which state.

    Attributes:
        waiting: to be uploaded, those that back off after a failure among them.
        held: being uploaded.
        uploaded: complete at the service and not (known to be) published.
        published: published.
        duplicate: whose bytes are a video already.
        review_failed: refused by the service's review.
        publish_failed: not published for another reason.
        failed: given up.
        invalid: lines of a manifest that can't be used.
        bytes: of all items that are complete at the service.
        runners: processes that are at work on the batch.
        stopping: whether it was told to stop.
        problem: why the batch has stopped as a whole, or an empty string.
    """

    waiting: int = 0
    held: int = 0
    uploaded: int = 0
    published: int = 0
    duplicate: int = 0
    review_failed: int = 0
    publish_failed: int = 0
    failed: int = 0
    invalid: int = 0
    bytes: int = 0
    runners: int = 0
    stopping: bool = False
    problem: str = ""

    @property
    def total(self) -> int:
        """All items."""
        return sum(getattr(self, state.value) for state in ItemState)

    @property
    def unfinished(self) -> int:
        """Items that are still to be uploaded."""
        return self.waiting + self.held

    @property
    def failures(self) -> int:
        """Items that have ended badly."""
        return sum(getattr(self, state.value) for state in ItemState if state.failed)


@attrs.frozen
class NewItem:
    """An item for the ledger: plain texts only.

    Attributes:
        identity: what makes it the same item when it is added again.
        source: a path, relative to the root where it lies below it, or a URL.
        metadata: as JSON.
        file_type: such as ``"mp4"``, or an empty string.
        key: the caller's own name for the source, or an empty string.
        problem: why it is invalid; empty for an item that can be uploaded.
        manifest: the file that an invalid line stands in.
    """

    identity: str
    source: str
    metadata: str
    file_type: str = ""
    key: str = ""
    problem: str = ""
    manifest: str = ""


@attrs.frozen
class Claim:
    """An item that is held: the fence is what every write to it carries.

    Attributes:
        number: of the item in its batch.
        fence: of this claim.
        source: as in `NewItem`, like metadata, file_type and key.
        attempts: how often its upload was tried and not put off.
        file_id: of its upload, or an empty string.
        size: its bytes, if they are known.
        uploaded: it is complete at the service; only its publication is waited for.
    """

    number: int
    fence: int
    source: str
    metadata: str
    file_type: str
    key: str
    attempts: int
    file_id: str = ""
    size: int = 0
    uploaded: bool = False


@attrs.frozen
class Ending:
    """What becomes of an item when a claim of it ends, or goes on to wait for publication.

    Attributes:
        state: its state from now on.
        delay: seconds before it may be claimed again.
        attempts: how often its upload was tried, this time included.
        file_id: of the video, if there is one.
        size: its bytes, if they are known.
        seconds: how long its upload took.
        error: what went wrong.
        hint: what to do about it.
        keep: the claim goes on.
        durable: it has to survive a loss of power: something follows that can't be undone. Otherwise the service is
            asked again.
    """

    state: ItemState
    delay: float = 0.0
    attempts: int = 0
    file_id: str = ""
    size: int = 0
    seconds: float = 0.0
    error: str = ""
    hint: str = ""
    keep: bool = False
    durable: bool = False


@attrs.frozen
class ItemRecord:
    """One item as a report shows it."""

    number: int
    source: str
    title: str
    state: ItemState
    file_id: str
    page_url: str
    size: int
    seconds: float
    attempts: int
    error: str
    hint: str
    key: str = ""


@attrs.frozen
class Outlook:
    """What is left of a batch, for a runner that has nothing to do.

    Attributes:
        waiting: items that could be claimed now or later.
        held: items that somebody holds.
        reviewed: items whose publication is not known.
        due: seconds until something can be claimed, as far as that is known.
        stopping: whether the batch was told to stop.
        problem: why, if it has stopped by itself.
    """

    waiting: int
    held: int
    reviewed: int
    due: float
    stopping: bool
    problem: str
