"""What went wrong, in words for a person: one line what happened, one line what to do; and the exit code.

What belongs here: a sentence for each kind of error. What must not: printing.
"""

from __future__ import annotations

import errno
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
    "max_workers": "--workers",
    "chunk_size": "--chunk-size",
    "file_type": "--file-type",
    "page_size": "--page-size",
}
_AGAIN = "run the same command again"


def _configuration(_: ConfigurationError) -> str:
    return "nothing was sent; correct it and run the command again (--help lists what is possible)"


def _authorization(error: AuthorizationError) -> str:
    if error.operation == "request_upload" and error.code in _APPLICATION_CODES:
        return "look at the state of your application in the console of the iQIYI open platform"
    return "check the app key and the app secret (IQIYI_APP_KEY, IQIYI_APP_SECRET), and that they belong together"


def _duplicate(error: DuplicateVideoError) -> str:
    return f"see it with: iqiyi-async status {error.file_id}; --again uploads the same bytes once more"


def _unavailable(error: ServiceUnavailableError) -> str:
    wait = "later" if error.retry_after is None else f"in {error.retry_after:.0f} s"
    return f"the service is busy or down; {_AGAIN} {wait}"


def _integrity(_: IntegrityError) -> str:
    return f"something on the way changes the data; {_AGAIN} over another connection"


def _upload(error: UploadError) -> str:
    if not error.resumable:
        return f"{_AGAIN}: it starts over"
    return f"{_AGAIN}: it goes on from there ({error.accepted:,} bytes are safe at the service)"


def _out_of_time(_: TimeoutError) -> str:
    return "the video is complete at the service; look later with: iqiyi-async status FILE_ID"


def _system(error: OSError) -> str:
    known = {
        errno.ENOSPC: "make room on the disk and run the command again",
        errno.EDQUOT: "make room in your quota and run the command again",
        errno.EACCES: "check who may read and write it",
        errno.EPERM: "check who may read and write it",
        errno.EADDRINUSE: "choose another port; --port 0 takes a free one",
        errno.EMFILE: "allow more open files (ulimit -n), or use fewer workers",
    }
    return known.get(error.errno or 0, "it is a matter of this machine, not of the service")


#: The first kind that fits gives the hint: special kinds before general ones.
_HINTS: tuple[tuple[type[BaseException], Callable[[Any], str]], ...] = (
    (ConfigurationError, _configuration),
    (AuthorizationError, _authorization),
    (DuplicateVideoError, _duplicate),
    (QuotaExceededError, lambda _: "delete videos that are no longer needed, or ask the platform for more room"),
    (InvalidParameterError, lambda _: "compare what was sent (-v shows more) with what your application may send"),
    (UnknownFileError, lambda _: "check the id; iqiyi-async list shows the videos that are published"),
    (ServiceUnavailableError, _unavailable),
    (ServiceError, lambda _: f"{_AGAIN} later; if it stays so, ask the platform and name the code"),
    (TransportError, lambda _: f"check the network and the address of the service, then {_AGAIN}"),
    (ResponseError, lambda _: "check the address of the service; a proxy on the way may have answered in its place"),
    (IntegrityError, _integrity),
    (SourceChangedError, lambda _: f"{_AGAIN} once nothing writes to the file any more: it starts over"),
    (UploadError, _upload),
    (VideoCloudError, lambda _: f"{_AGAIN}; -v shows more"),
    (TimeoutError, _out_of_time),
    (UsageError, lambda error: error.hint),
    (CommandError, lambda error: error.hint),
    (ImportError, lambda error: "" if "pip install" in str(error) else "pip install 'iqiyi-async[cli,emulator]'"),
    (OSError, _system),
)


def failure_of(error: BaseException) -> Failure:
    """The words and the exit code for an error."""
    for kind, hint in _HINTS:
        if isinstance(error, kind):
            code = MISUSED if isinstance(error, ConfigurationError | UsageError) else FAILED
            return Failure(_message(error), hint(error), code)
    text = f"unexpected {type(error).__name__}: {error}"
    return Failure(text, "this is a mistake in the program; -v shows where it happened", unexpected=True)


def in_options(text: str) -> str:
    """The library's names as the command line spells them."""
    for name, option in _OPTIONS.items():
        text = text.replace(name, option)
    return f"--endpoint-url: {text}" if text.startswith("api ") else text


def _message(error: BaseException) -> str:
    if isinstance(error, ConfigurationError):
        return in_options(str(error))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
