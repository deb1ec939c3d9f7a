"""From words to an exit code: one way in and out for all commands.

What belongs here: how the parser's and everybody's errors are told. What must not: a command.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from cyclopts import CycloptsError, UnknownCommandError, UnusedCliTokensError

from .app import COMMANDS, app
from .failures import MISUSED, UsageError, failure_of
from .screen import QuietPipe, Screen
from .words import clean


def run(argv: list[str]) -> int:
    """Run the command that the words name.

    Returns:
        Its exit code; errors are told on stderr.
    """
    screen = Screen()
    words = command_first(argv)
    try:
        if not words:
            app.help_print([], console=screen.errors)
            return MISUSED
        _refuse_secret(words)
        result: object = app(words, exit_on_error=False, print_error=False, console=QuietPipe(), verbose=False)
    except CycloptsError as error:
        screen.failure(failure_of(_misuse(error)))
        return MISUSED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: a person reads one line, and -v shows the rest
        failure = failure_of(error)
        if failure.unexpected and {"-v", "--verbose"} & set(words):
            sys.stderr.write("".join(traceback.format_exception(error)))
        screen.failure(failure)
        return failure.code
    return result if isinstance(result, int) else 0


def command_first(argv: list[str]) -> list[str]:
    """Options before the command's name mean the same as behind it."""
    if argv and argv[0].startswith("-"):
        for at, word in enumerate(argv):
            if word in COMMANDS:
                return [word, *argv[:at], *argv[at + 1 :]]
    return argv


def _refuse_secret(words: Sequence[str]) -> None:
    if words[0] != "emulator" and any(word.split("=")[0] == "--app-secret" for word in words):
        raise UsageError(
            "the app secret is no option: every user of this machine could read it",
            "set the environment variable IQIYI_APP_SECRET, or give --app-secret-file FILE",
        )


def _misuse(error: CycloptsError) -> UsageError:
    """The parser's error in our words."""
    about = error.command_chain[0] if error.command_chain else ""
    hint = f"iqiyi-async {about} --help lists what is possible" if about else "iqiyi-async --help lists the commands"
    text = str(error).rstrip()
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        text = f"unexpected argument {error.unused_tokens[0]!r}"
    elif isinstance(error, UnknownCommandError):
        text = text[0].lower() + text[1:]
    return UsageError(clean(text), hint)
