"""The command line: `iqiyi-async`, also `python -m iqiyi_async`. This module is able to speak when the extra is
missing, the user interrupts, or nobody reads; everything else is imported only when it is needed.

Exit codes: 0 done, 1 failed, 2 used wrongly, 129 ended by SIGHUP (the terminal went away), 130 by SIGINT (Ctrl-C), 143
by SIGTERM, 141 the reader of the output went away.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

__all__ = ["main"]

FAILED, INTERRUPTED, BROKEN_PIPE = 1, 128 + 2, 128 + 13


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit.

    Args:
        argv: the words after the program's name; those of the process if None.
    """
    _open_missing_streams()
    ending = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What this process was told to ignore (`nohup` does that) stays ignored.
    ending = [number for number in ending if signal.getsignal(number) is not signal.SIG_IGN]
    for number in ending:
        signal.signal(number, _terminated)
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:
        code = FAILED
        _last_words(f"error: stdout: {error.strerror}\n")
    _drop_output()
    # From here on there is nothing to tidy up: a late signal ends the process without a word.
    for number in ending:
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _run(argv: list[str]) -> int:
    if argv == ["--version"]:
        from .version import version

        sys.stdout.write(f"iqiyi-async {version()}\n")
        return 0
    try:
        import cyclopts as _cyclopts  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import rich as _rich  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as missing:
        from .texts import language_of, speak, tr

        speak(language_of(os.environ))
        what = tr("the command line needs an extra that is not installed ({missing})", missing=missing)
        _last_words(f"{tr('error: ')}{what}\n{tr('hint: ')}pip install 'iqiyi-async[cli]'\n")
        return FAILED
    from .front import run

    return run(argv)


def _terminated(number: int, _: FrameType | None) -> NoReturn:
    """Before an event loop watches for signals there is nothing to drain."""
    raise SystemExit(128 + number)


def _open_missing_streams() -> None:
    """Streams that the parent process had closed lead nowhere; else the next file that is opened, such
    as a journal, would get the number of stdout and be written over by every line."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            # Never closed, as the streams that Python opens itself: it would complain at exit.
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def _last_words(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        return


def _drop_output() -> None:
    """Python flushes both streams at exit; where that fails it would complain once more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
