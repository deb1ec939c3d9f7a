"""Options that several commands share, and the client that they make. No option holds a secret, because every user of
a machine can read the words of a command; it comes from the environment or from a private file."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import attrs
from cyclopts import Group, Parameter

from iqiyi_async import (
    AsyncVideoCloud,
    ConfigurationError,
    Endpoints,
    FileTokenStore,
    RetryPolicy,
    TokenStore,
    UploadJournal,
    UploadOptions,
)

from .failures import UsageError, in_options
from .messages import told
from .screen import Screen
from .texts import Language, about, tr
from .words import clean, parse_size, size

SHARED = Group("Account and output", sort_key=10)
#: Longer ones are no secrets but files given by mistake.
SECRET_BYTES = 4096
AUTO = "auto"


class _Word(Protocol):
    value: str


def bytes_or_auto(_: Any, words: Sequence[_Word]) -> int | Literal["auto"]:
    """The converter of sizes."""
    return "auto" if words[0].value == AUTO else parse_size(words[0].value)


def number_or_auto(_: Any, words: Sequence[_Word]) -> int | Literal["auto"]:
    """The converter of numbers."""
    text = words[0].value
    if text == AUTO:
        return "auto"
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{clean(text)!r} is neither a number nor auto")
    return int(text)


def in_words(value: int | Literal["auto"]) -> str:
    """A size as help shows it."""
    return size(value) if isinstance(value, int) else value


@Parameter(name="*")
@attrs.frozen
class Verbosity:
    """How much is said."""

    verbose: Annotated[
        bool,
        Parameter(name=["--verbose", "-v"], negative="", group=SHARED, show_default=False, help="Log to stderr."),
    ] = False
    quiet: Annotated[
        bool,
        Parameter(
            name=["--quiet", "-q"], negative="", group=SHARED, show_default=False, help="Only results and errors."
        ),
    ] = False

    lang: Annotated[
        Language | None,
        Parameter(
            name="--lang",
            group=SHARED,
            show_default=False,
            help="The language of this program; by default the locale's.",
        ),
    ] = None

    @property
    def level(self) -> int:
        """The level from which log records get a line."""
        if self.verbose:
            return logging.INFO
        return logging.ERROR if self.quiet else logging.WARNING


@Parameter(name="*")
@attrs.frozen
class Account(Verbosity):
    """Whose videos, and at which service."""

    app_key: Annotated[str | None, Parameter(env_var="IQIYI_APP_KEY", group=SHARED, help="The application's key.")] = (
        None
    )
    app_secret_file: Annotated[
        Path | None,
        Parameter(
            group=SHARED,
            help="A file that only you can read (mode 0600) and that holds the application's secret. Without it the"
            " secret is taken from the environment variable IQIYI_APP_SECRET. There is no option for the secret itself:"
            " every user of the machine could read it.",
        ),
    ] = None
    endpoint_url: Annotated[
        str | None,
        Parameter(
            env_var="IQIYI_ENDPOINT_URL",
            group=SHARED,
            help="One address for everything, such as an emulator's. By default the service's own.",
        ),
    ] = None

    @property
    def known(self) -> bool:
        """Whether there are credentials."""
        return bool(self.app_key) and (self.app_secret_file is not None or bool(os.environ.get("IQIYI_APP_SECRET")))

    def check(self) -> None:
        """See that there are credentials before anything is asked or sent.

        Raises:
            UsageError: one is missing.
        """
        if not self.app_key:
            raise UsageError(
                tr("there is no app key"), tr("set the environment variable IQIYI_APP_KEY, or give --app-key")
            )
        if self.app_secret_file is None and not os.environ.get("IQIYI_APP_SECRET"):
            raise UsageError(
                tr("there is no app secret"),
                tr(
                    "set the environment variable IQIYI_APP_SECRET, or put it into a file of mode 0600 and give"
                    " --app-secret-file FILE"
                ),
            )

    def client(
        self,
        *,
        token_store: TokenStore | None = None,
        journal: UploadJournal | None = None,
        options: UploadOptions | None = None,
        retry: RetryPolicy | None = None,
    ) -> AsyncVideoCloud:
        """The client, with tokens in the user's state folder unless another store is given.

        Raises:
            UsageError: an option or a credential can't work.
        """
        self.check()
        try:
            # The secret gets no name here: no frame of the program holds it.
            return AsyncVideoCloud(
                self.app_key or "",
                os.environ["IQIYI_APP_SECRET"] if self.app_secret_file is None else _content(self.app_secret_file),
                token_store=token_store or FileTokenStore(),
                journal=journal,
                endpoints=Endpoints.single(self.endpoint_url) if self.endpoint_url else None,
                options=options,
                retry=retry,
            )
        except ConfigurationError as error:
            raise UsageError(in_options(str(error)), tr("see --help for where it comes from")) from None

    def screen(self, **how: bool) -> Screen:
        """The screen of a command."""
        return Screen(quiet=self.quiet, **how)


def upload_options(**values: Any) -> UploadOptions:
    """The library's options of an upload.

    Raises:
        UsageError: a value out of its bounds.
    """
    try:
        return UploadOptions(**values)
    except ConfigurationError as error:
        raise UsageError(in_options(str(error)), tr("see --help for what is possible")) from None


def _nothing_else() -> str:
    return tr("give the file that holds nothing but the secret")


def _content(path: Path) -> str:
    """What a private file holds, without the end of its line.

    Raises:
        UsageError: it can't be read, or others can read it too.
    """
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode) and os.name == "posix" and found.st_mode & 0o077:
            mode = f"{found.st_mode & 0o777:04o}"
            raise UsageError(
                tr("{path} can be read by others (mode {mode})", path=path, mode=mode), f"chmod 600 {path}"
            )
        if found.st_size > SECRET_BYTES:
            raise UsageError(tr("{path} is too large for a secret", path=path), _nothing_else())
        return path.read_text("utf-8").strip("\r\n")
    except OSError as error:
        raise UsageError(
            about(f"--app-secret-file: {path}", told(error.strerror or "")), tr("check the path")
        ) from None
    except UnicodeDecodeError:
        raise UsageError(tr("{path} holds no text", path=path), _nothing_else()) from None
