"""What went wrong, in words for a person: one line what happened, one line what to do; and the exit code."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import Any

import attrs

from iqiyi_async import (
    AuthorizationError,
    ConfigurationError,
    DuplicateVideoError,
    IntegrityError,
    InvalidParameterError,
    QuotaExceededError,
    ResponseError,
    ServiceError,
    ServiceUnavailableError,
    SourceChangedError,
    TransportError,
    UnknownFileError,
    UploadError,
    VideoCloudError,
)

from .messages import told
from .texts import about, later, spoken, tr

FAILED, MISUSED = 1, 2


class UsageError(Exception):
    """The command was used wrongly; nothing was done."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class CommandError(Exception):
    """The command could not do what it was asked for, and it was no error of the library."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@attrs.frozen
class Failure:
    """One failure, ready to be shown."""

    message: str
    hint: str
    code: int = FAILED
    unexpected: bool = False


#: Codes of section 1.1 about the application itself; of other operations the same codes mean other things.
_APPLICATION_CODES = frozenset({"A00005", "A00007", "A00008", "A00009"})
_OPTIONS = {
    "app_key": "--app-key",
    "max_workers": "--workers",
    "chunk_size": "--chunk-size",
    "file_type": "--file-type",
    "page_size": "--page-size",
    "max_bandwidth": "--max-bandwidth",
    "max_attempts": "--max-attempts",
    "lease_seconds": "--lease",
}


def _configuration(_: ConfigurationError) -> str:
    return tr("nothing was sent; correct it and run the command again (--help lists what is possible)")


def _authorization(error: AuthorizationError) -> str:
    if error.operation == "request_upload" and error.code in _APPLICATION_CODES:
        return tr("look at the state of your application in the console of the iQIYI open platform")
    return tr("check the app key and the app secret (IQIYI_APP_KEY, IQIYI_APP_SECRET), and that they belong together")


def _quota(_: QuotaExceededError) -> str:
    return tr("delete videos that are no longer needed, or ask the platform for more room")


def _parameter(error: InvalidParameterError) -> str:
    if error.operation in ("get_urls", "get_status", "delete_videos"):
        return _unknown(error)
    if error.operation in ("request_upload", "upload_chunk", "finish_upload"):
        return tr(
            "a proxy on the way may drop headers with underscores: try --parameters body; iqiyi-async doctor finds out"
        )
    return tr("compare what was sent (-v shows more) with what your application may send")


def _unknown(error: ServiceError) -> str:
    if error.operation in ("upload_chunk", "finish_upload", "set_metadata", "upload"):
        return tr("the service has dropped the upload; run the same command again: it starts over")
    return tr("check the id; iqiyi-async list shows the videos that are published")


def _duplicate(error: DuplicateVideoError) -> str:
    return tr("nothing was sent; the video is {file_id}; --again uploads it once more", file_id=str(error.file_id))


def _unavailable(error: ServiceUnavailableError) -> str:
    if error.retry_after is None:
        return tr("the service is busy or down; run the same command again later")
    return tr(
        "the service is busy or down; run the same command again in {seconds} s", seconds=f"{error.retry_after:.0f}"
    )


def _service(error: ServiceError) -> str:
    if error.code == "HTTP 413":
        return _too_large()
    if error.code in ("HTTP 404", "HTTP 405", "HTTP 301", "HTTP 302"):
        return tr(
            "nothing of the service answers there: check --endpoint-url and IQIYI_ENDPOINT_URL;"
            " iqiyi-async doctor looks at each address"
        )
    if error.operation == "delete_videos" and error.code == "Q00001":
        return _unknown(error)
    if error.operation == "get_urls":
        return tr(
            "check the id; iqiyi-async status FILE_ID says where a video stands, iqiyi-async list shows those with URLs"
        )
    return tr("run the same command again later; if it stays so, ask the platform and name the code")


def _too_large() -> str:
    return tr(
        "a proxy on the way takes no requests of that size: try --chunk-size 512KiB; iqiyi-async doctor finds out"
        " what fits"
    )


def _transport(_: TransportError) -> str:
    return tr(
        "check the network and the address of the service, then run the same command again;"
        " iqiyi-async doctor looks at each address"
    )


def _response(error: ResponseError) -> str:
    if error.status == 413:
        return _too_large()
    return tr("check the address of the service; a proxy on the way may have answered in its place")


def _integrity(_: IntegrityError) -> str:
    return tr("something on the way changes the data; run the same command again over another connection")


def _changed(_: SourceChangedError) -> str:
    return tr("run the same command again once nothing writes to the file any more: it starts over")


def _upload(error: UploadError) -> str:
    cause = error.__cause__
    if "413" in str(error) or (isinstance(cause, ServiceError) and cause.code == "HTTP 413"):
        return _too_large()
    if not error.resumable:
        return tr("run the same command again: it starts over")
    return tr(
        "run the same command again: it goes on from there ({accepted} bytes are safe at the service)",
        accepted=f"{error.accepted:,}",
    )


def _any(_: VideoCloudError) -> str:
    return tr("run the same command again; -v shows more")


def _out_of_time(_: TimeoutError) -> str:
    return tr("the video is complete at the service; look later with: iqiyi-async status FILE_ID")


def _missing(error: ImportError) -> str:
    # Other extras are named by the error itself.
    other = "pip install" in str(error) and "[emulator]" not in str(error)
    return "" if other else "pip install 'iqiyi-async[cli,emulator]'"


def _system(error: OSError) -> str:
    known = {
        errno.ENOSPC: tr("make room on the disk and run the command again"),
        errno.EDQUOT: tr("make room in your quota and run the command again"),
        errno.EACCES: tr("check who may read and write it"),
        errno.EPERM: tr("check who may read and write it"),
        errno.EADDRINUSE: tr("choose another port; --port 0 takes a free one"),
        errno.EMFILE: tr("allow more open files (ulimit -n), or use fewer workers"),
    }
    return known.get(error.errno or 0, tr("it is a matter of this machine, not of the service"))


def _ours(error: UsageError | CommandError) -> str:
    return error.hint


#: The first kind that fits gives the hint and, for those who don't read English, the name of what happened: special
#: kinds before general ones. An empty name: the message is in the user's language.
_KINDS: tuple[tuple[type[BaseException], Callable[[Any], str], str], ...] = (
    (ConfigurationError, _configuration, later("wrong parameter")),
    (AuthorizationError, _authorization, later("authorization refused")),
    (QuotaExceededError, _quota, later("no room left")),
    (InvalidParameterError, _parameter, later("the service found a parameter wrong")),
    (UnknownFileError, _unknown, later("unknown file_id")),
    (DuplicateVideoError, _duplicate, later("the video is there already")),
    (ServiceUnavailableError, _unavailable, later("the service is not available")),
    (ServiceError, _service, later("the service refused")),
    (TransportError, _transport, later("no connection to the service")),
    (ResponseError, _response, later("an answer that can't be read")),
    (IntegrityError, _integrity, later("other bytes arrived than were sent")),
    (SourceChangedError, _changed, later("the file has changed")),
    (UploadError, _upload, later("the upload stopped")),
    (VideoCloudError, _any, later("the call failed")),
    (TimeoutError, _out_of_time, later("time is up")),
    (UsageError, _ours, ""),
    (CommandError, _ours, ""),
    (ImportError, _missing, later("a package is missing")),
    (OSError, _system, ""),
)


def failure_of(error: BaseException, *, options: bool = True) -> Failure:
    """The words and the exit code for an error.

    Args:
        error: what went wrong.
        options: whether what was wrong was given by options; otherwise names stay as they are: they may be columns.
    """
    for kind, hint, name in _KINDS:
        if isinstance(error, kind):
            code = MISUSED if isinstance(error, ConfigurationError | UsageError) else FAILED
            message = _message(error) if options else told(str(error))
            if name and spoken() != "en":
                what = tr(name)
                message = message if message.startswith(what) else about(what, message)
            return Failure(message, hint(error), code)
    text = tr("unexpected {kind}: {error}", kind=type(error).__name__, error=error)
    return Failure(text, tr("this is a mistake in the program; -v shows where it happened"), unexpected=True)


def in_options(text: str) -> str:
    """A text of the library with its names as the command line spells them, in the user's language."""
    for name, option in _OPTIONS.items():
        # In a list of columns it is the name of one.
        text = re.sub(rf"(?<!, )\b{name}\b", option, text)
    return told(f"--endpoint-url: {text}" if text.startswith("api ") else text)


def _message(error: BaseException) -> str:
    if isinstance(error, DuplicateVideoError):
        # What to do about it is the hint's, in the words of the command line.
        return told(str(error)).partition("; again=True")[0]
    if isinstance(error, ConfigurationError):
        return in_options(str(error))
    if isinstance(error, OSError) and error.strerror:
        return about(str(error.filename), told(error.strerror)) if error.filename else told(error.strerror)
    return told(str(error)) or type(error).__name__
