"""The test upload of `doctor`: what a proxy on the way does to it, and which options fit."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import Literal

import attrs

from iqiyi_async import (
    AsyncVideoCloud,
    ResponseError,
    RetryPolicy,
    ServiceError,
    TransportError,
    UploadOptions,
    UploadTicket,
    VideoCloudError,
)

from . import words
from .failures import failure_of
from .findings import Finding, failed, fine, warned
from .options import Account
from .texts import tr

Parameters = Literal["headers", "body"]
KIB, MIB = 1024, 1024 * 1024
SMALL = 64 * KIB
#: Sizes of the second range: that of the usual options, and what is tried where it is refused.
SIZES = (4 * MIB, 2 * MIB, 1 * MIB, 512 * KIB, 256 * KIB, 128 * KIB)
#: On a slow link the second range is so small that it takes about so many seconds.
SLOW_SECONDS = 10.0
#: Of failures that pass a second look is enough.
RETRY = RetryPolicy(max_attempts=2, initial_backoff=0.2, max_backoff=1.0, retry_after_cap=2.0, outage_patience=3.0)
#: A link on which an answer takes longer (seconds) needs more chunks under way.
FAR = 0.2
#: Bytes a second of one connection below which a few connections fill the link.
NARROW = 256 * KIB


#: What is looked at must not take longer, in seconds: the list of videos, a test upload, the end of one.
ACCOUNT_SECONDS, TRIAL_SECONDS, CANCEL_SECONDS = 20.0, 60.0, 5.0


class _LateError(TransportError):
    """A test upload took too long."""


@attrs.frozen
class Advice:
    """Options that fit what is on the way."""

    parameters: Parameters
    chunk_size: int
    max_workers: int

    @property
    def words(self) -> str:
        """As they are written on the command line."""
        size = words.size(self.chunk_size).replace(" ", "").replace(".0", "")
        return f"--parameters {self.parameters} --chunk-size {size} --workers {self.max_workers}"


@attrs.define
class _Try:
    """What became of one way of saying what a range is."""

    parameters: Parameters
    error: VideoCloudError | None = None
    #: The size that went through, and the smallest one that did not.
    taken: int = 0
    refused: int = 0
    answer_seconds: float = 0.0
    rate: float = 0.0


async def try_account(account: Account) -> Finding:
    """Ask for one entry of the list of videos: with a token, but without effect."""
    try:
        async with asyncio.timeout(ACCOUNT_SECONDS), account.client(retry=RETRY) as cloud:
            await cloud.list_videos(page_size=1)
    except TimeoutError:
        late = _LateError(tr("nothing within {seconds} s", seconds=f"{ACCOUNT_SECONDS:g}"), sent=True)
        return failed("account", str(late), failure_of(late).hint)
    except (VideoCloudError, OSError) as error:
        failure = failure_of(error)
        return failed("account", failure.message, failure.hint)
    return fine("account", tr("the service takes the credentials"))


async def try_uploads(account: Account) -> tuple[list[Finding], Advice | None]:
    """Send two ranges both ways, and cancel each upload.

    Returns:
        What was found, and options that fit, if any do.
    """
    headers = await _try(account, "headers")
    if isinstance(headers.error, _LateError):
        # The other way would be as late: what a proxy drops is missed at once.
        return [_finding(headers, needed=True)], None
    body = await _try(account, "body")
    best = headers if headers.error is None else body
    findings: list[Finding] = []
    if headers.error is not None and body.error is None:
        text = tr("a proxy on the way drops headers with underscores ({error})", error=headers.error)
        findings.append(failed(_check(headers), text, tr("upload with --parameters body")))
    else:
        findings.append(_finding(headers, needed=True))
    findings.append(_finding(body, needed=best is body))
    if best.error is not None:
        return findings, None
    chunk_size = best.taken if best.refused else SIZES[0]
    workers = 8
    if best.answer_seconds > FAR:
        workers = 16
    elif best.rate < NARROW:
        workers, chunk_size = 4, min(chunk_size, 1 * MIB)
    return findings, Advice(best.parameters, chunk_size, workers)


def _check(tried: _Try) -> str:
    if tried.parameters == "headers":
        return tr("test upload, parameters in headers")
    return tr("test upload, parameters in the body")


def _finding(tried: _Try, *, needed: bool) -> Finding:
    bad = failed if needed else warned
    check = _check(tried)
    if tried.error is not None:
        failure = failure_of(tried.error)
        return bad(check, failure.message, failure.hint)
    size = words.size(tried.taken)
    if tried.refused:
        return bad(
            check,
            tr("a proxy on the way refuses {refused} in one request, and takes {size}",
               refused=words.size(tried.refused), size=size),
            tr("upload with --chunk-size {size}", size=size.replace(" ", "").replace(".0", "")),
        )  # fmt: skip
    return fine(
        check,
        tr(
            "two ranges were taken ({size} at {rate}/s) and cancelled again",
            size=size,
            rate=words.size(tried.rate),
        ),
    )


async def _try(account: Account, parameters: Parameters) -> _Try:
    tried = _Try(parameters)
    options = UploadOptions(parameters=parameters, max_workers=1)
    try:
        async with asyncio.timeout(TRIAL_SECONDS), account.client(options=options, retry=RETRY) as cloud:
            ticket = await cloud.request_upload("mp4", SMALL + SIZES[0])
            try:
                await _send(cloud, ticket, tried)
            finally:
                with suppress(VideoCloudError, TimeoutError):
                    async with asyncio.timeout(CANCEL_SECONDS):
                        await cloud.cancel_upload(ticket.file_id)
    except TimeoutError:
        tried.error = _LateError(tr("nothing within {seconds} s", seconds=f"{TRIAL_SECONDS:g}"), sent=True)
    except VideoCloudError as error:
        tried.error = error
    return tried


async def _send(cloud: AsyncVideoCloud, ticket: UploadTicket, tried: _Try) -> None:
    tried.answer_seconds = await _timed(cloud, ticket, 0, SMALL)
    rate = SMALL / tried.answer_seconds
    for size in SIZES:
        if size / rate > SLOW_SECONDS and size > SIZES[-1]:
            continue
        try:
            seconds = await _timed(cloud, ticket, SMALL, size)
        except VideoCloudError as error:
            if not _too_large(error) or size == SIZES[-1]:
                raise
            tried.refused = size
        else:
            tried.taken, tried.rate = size, size / seconds
            return


async def _timed(cloud: AsyncVideoCloud, ticket: UploadTicket, first: int, size: int) -> float:
    began = time.monotonic()
    await cloud.upload_chunk(ticket, first, os.urandom(size))
    return max(time.monotonic() - began, 0.001)


def _too_large(error: BaseException | None) -> bool:
    """Whether a request was refused for its size, by anything between here and the service."""
    while error is not None:
        if isinstance(error, ServiceError) and error.code == "HTTP 413":
            return True
        if isinstance(error, ResponseError) and error.status == 413:
            return True
        error = error.__cause__
    return False
