"""The command line: `iqiyi-async`, also `python -m iqiyi_async`.

What belongs here: the entry point, which stays able to speak when the extra is missing, the user interrupts, or
nobody reads any more. What must not: a command. Everything else is imported only when it is needed.

Exit codes: 0 done, 1 failed, 2 used wrongly, 130 ended by SIGINT (Ctrl-C), 143 ended by SIGTERM, 141 the reader of
the output went away.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

__all__ = ["main"]

INTERRUPTED, BROKEN_PIPE = 128 + 2, 128 + 13


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit.

    Args:
        argv: the words after the program's name; those of the process if None.
    """
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
        _drop_output()
    # From here on there is nothing to tidy up: a late signal ends the process without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
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
        sys.stderr.write(f"error: the command line needs an extra that is not installed ({missing})\n")
        sys.stderr.write("hint: pip install 'iqiyi-async[cli]'\n")
        return 1
    from .front import run

    return run(argv)


def _terminated(number: int, _: FrameType | None) -> NoReturn:
    """Before an event loop watches for signals there is nothing to drain."""
    raise SystemExit(128 + number)


def _drop_output() -> None:
    """Python flushes both streams at exit; without a reader that would complain once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
