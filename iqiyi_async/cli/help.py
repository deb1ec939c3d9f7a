"""Help in the language of the user: what cyclopts reads from the commands, looked up in the catalogue."""

from __future__ import annotations

from typing import Any

import attrs
from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel
from rich.console import Console, ConsoleOptions
from rich.text import Text

from .texts import later, spoken, tr

#: What stands for words in the line that says how a command is called.
_WORDS = (later("COMMAND"), later("OPTIONS"), later("ARGS"))


@attrs.define(kw_only=True)
class TranslatedHelp(DefaultFormatter):
    """The usual help, translated."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one panel."""
        if spoken() != "en":
            panel = panel.copy(title=tr(str(panel.title)), entries=[_in_words(entry) for entry in panel.entries])
        super().__call__(console, options, panel)

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Print what a command is for."""
        super().render_description(console, options, _translated(description) if spoken() != "en" else description)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print how a command is called."""
        if spoken() != "en" and usage:
            text = str(usage).removeprefix("Usage:").strip()
            for word in _WORDS:
                text = text.replace(word, tr(word))
            console.print(Text(f"{tr('Usage:')}{text}\n"))
        else:
            super().render_usage(console, options, usage)


def _in_words(entry: HelpEntry) -> HelpEntry:
    """An entry in the user's language, with what the usual help adds to its description in English."""
    added: list[str] = []
    if entry.choices:
        added.append(tr("one of {choices}", choices=", ".join(entry.choices)))
    if entry.env_var:
        added.append(tr("environment variable {names}", names=", ".join(entry.env_var)))
    if entry.default is not None:
        added.append(tr("default {value}", value=entry.default))
    if entry.required:
        added.append(tr("required"))
    description = _translated(entry.description)
    if added:
        description = Text.assemble(plain_text(description or ""), *((f" [{each}]", "dim") for each in added))
    return attrs.evolve(entry, description=description, choices=None, env_var=None, default=None, required=False)


def plain_text(description: Any) -> str:
    """What a description says, on one line for each paragraph."""
    text = description if isinstance(description, str) else getattr(description, "plain", None) or _drawn(description)
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _drawn(description: Any) -> str:
    console = Console(width=10_000, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(description, end="")
    return captured.get()


def _translated(description: Any) -> Any:
    if not description:
        return description
    return Text("\n\n".join(tr(paragraph) for paragraph in plain_text(description).split("\n\n")) + "\n")
