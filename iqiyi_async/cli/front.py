"""From words to an exit code: one way in and out for all commands; how errors are told."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence

from cyclopts import (
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from .app import COMMANDS, app
from .failures import MISUSED, UsageError, failure_of
from .messages import told
from .screen import NARROWEST, Screen, at_least
from .texts import LANGUAGES, about, language_of, later, speak, spoken, tr
from .words import clean

#: Options that need no command.
_ALONE = frozenset({"--help", "-h", "--version"})


def run(argv: list[str]) -> int:
    """Run the command that the words name.

    Returns:
        Its exit code; errors are told on stderr.
    """
    _forget_empty_sizes()
    with Screen() as screen:
        try:
            words = command_first(_language_chosen(argv))
            if not words or words == ["batch"]:
                at_least(screen.errors, NARROWEST)
                app.help_print(words, console=screen.errors)
                return MISUSED
            _refuse_options_alone(words)
            _refuse_secret(words)
            result: object = app(words, exit_on_error=False, print_error=False, console=screen.results, verbose=False)
        except CycloptsError as error:
            screen.failure(failure_of(_misuse(error)))
            return MISUSED
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: a person reads one line, and -v shows the rest
            failure = failure_of(error)
            if failure.unexpected and {"-v", "--verbose"} & set(argv):
                screen.errors.print("".join(traceback.format_exception(error)))
            screen.failure(failure)
            return failure.code
        return result if isinstance(result, int) else 0


def _forget_empty_sizes() -> None:
    """A terminal of no columns is one whose size is not known, as `shutil.get_terminal_size` reads it too; rich would
    print nothing on it."""
    for name in ("COLUMNS", "LINES"):
        if os.environ.get(name) == "0":
            del os.environ[name]


def _language_chosen(argv: list[str]) -> list[str]:
    """Speak the language that is asked for; it holds for help and errors as well, so it is looked for first.

    Returns:
        The other words.
    """
    speak(language_of(os.environ))
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--":
            words += [word, *rest]
            break
        option, equals, value = word.partition("=")
        if option != "--lang":
            words.append(word)
            continue
        chosen = value if equals else next(rest, "")
        known = LANGUAGES.get(chosen)
        if known is None:
            raise UsageError(
                tr("--lang: {value} is no language of this program", value=repr(clean(chosen))),
                tr("--lang en or --lang zh"),
            )
        speak(known)
    return words


def command_first(argv: list[str]) -> list[str]:
    """Options before the command's name mean the same as behind it."""
    if argv and argv[0].startswith("-"):
        for at, word in enumerate(argv):
            if word in COMMANDS:
                return [word, *argv[:at], *argv[at + 1 :]]
    return argv


def _refuse_options_alone(words: Sequence[str]) -> None:
    if words[0].startswith("-") and not _ALONE.intersection(words):
        raise UsageError(tr("there is no command"), tr("iqiyi-async --help lists the commands"))


def _refuse_secret(words: Sequence[str]) -> None:
    if words[0] != "emulator" and any(word.split("=")[0] == "--app-secret" for word in words):
        raise UsageError(
            tr("the app secret is no option: every user of this machine could read it"),
            tr("set the environment variable IQIYI_APP_SECRET, or give --app-secret-file FILE"),
        )


def _misuse(error: CycloptsError) -> UsageError:
    """The parser's error in our words."""
    command = error.command_chain[0] if error.command_chain else ""
    hint = (
        tr("iqiyi-async {command} --help lists what is possible", command=command)
        if command
        else tr("iqiyi-async --help lists the commands")
    )
    text = str(error).rstrip()
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        text = tr("unexpected argument {word}", word=repr(error.unused_tokens[0]))
    elif spoken() == "en":
        if isinstance(error, UnknownCommandError):
            text = text[0].lower() + text[1:]
    elif (translated := told(text)) != text:
        text = translated
    else:
        text = about(tr(_kind(error)), text)
    return UsageError(clean(text), hint)


def _kind(error: CycloptsError) -> str:
    """What is wrong, for those who don't read the parser's English."""
    if isinstance(error, UnknownCommandError):
        return later("unknown command")
    if isinstance(error, UnknownOptionError):
        return later("unknown option")
    return later("a parameter is missing") if isinstance(error, MissingArgumentError) else later("wrong parameter")
