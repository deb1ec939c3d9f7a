"""Help in the language of the user: what cyclopts reads from the commands, looked up in the catalogue."""

from __future__ import annotations

from typing import Any

import attrs
from cyclopts.help import DefaultFormatter, HelpPanel
from rich.console import Console, ConsoleOptions
from rich.text import Text

from .texts import spoken, tr


@attrs.define(kw_only=True)
class TranslatedHelp(DefaultFormatter):
    """The usual help, translated."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one panel."""
        if spoken() != "en":
            entries = [attrs.evolve(entry, description=_translated(entry.description)) for entry in panel.entries]
            panel = panel.copy(title=tr(str(panel.title)), entries=entries)
        super().__call__(console, options, panel)

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Print what a command is for."""
        super().render_description(console, options, _translated(description) if spoken() != "en" else description)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print how a command is called."""
        if spoken() != "en" and usage:
            text = str(usage).removeprefix("Usage:").strip()
            console.print(Text(f"{tr('Usage:')}{text}\n"))
        else:
            super().render_usage(console, options, usage)


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
