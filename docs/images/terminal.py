"""Draws `terminal.svg` and `terminal.zh.svg`: the command line at work, as a terminal shows it.

python -m pip install pyte '.[cli,emulator]' && python docs/images/terminal.py

Real uploads to the emulator, in a terminal that pyte emulates; one moment of them is exported by rich. The picture of
the emulator's page is made by `IQIYI_PICTURES=docs/images pytest tests/emulator/test_page.py`.
"""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import pyte  # type: ignore[import-not-found, import-untyped, unused-ignore]
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from iqiyi_async.emulator import (
    DEFAULT_APP_KEY,
    DEFAULT_APP_SECRET,
    EmulatorConfig,
    Fault,
    FaultPlan,
    ThreadedEmulatorServer,
)

COLUMNS, ROWS = 122, 12
FILES = {"beach.mp4": 3_000_000, "final.mp4": 24_000_000, "interview.mp4": 9_500_000, "trailer.mp4": 16_000_000}
COMMAND = ["iqiyi-async", "upload", "*.mp4", "--wait", "--chunk-size", "1MiB", "--max-bandwidth", "8MB"]
#: Seconds from the start of the command to the picture.
MOMENT = 4.4
#: Locales, and what their pictures are called.
PICTURES = {"C.UTF-8": "terminal.svg", "zh_CN.UTF-8": "terminal.zh.svg"}


def main() -> None:
    for locale, name in PICTURES.items():
        Path(__file__).with_name(name).write_text(picture(locale), "utf-8")


def picture(locale: str) -> str:
    """The program in the language of a locale, as SVG."""
    plan = FaultPlan((Fault(operation="upload_chunk", call=7, status=503),))
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadedEmulatorServer(EmulatorConfig(publish_after=30, faults=plan)) as server,
    ):
        for number, (name, size) in enumerate(FILES.items()):
            (Path(folder) / name).write_bytes(Random(number).randbytes(size))
        environment = {
            **os.environ,
            "IQIYI_APP_KEY": DEFAULT_APP_KEY,
            "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
            "IQIYI_ENDPOINT_URL": server.endpoint_url,
            "XDG_STATE_HOME": folder,
            "COLUMNS": str(COLUMNS),
            "LINES": str(ROWS),
            "TERM": "xterm-256color",
            "LANG": locale,
            "LC_ALL": locale,
            "PYTHONUTF8": "1",
        }
        screen = watched([sys.executable, "-m", "iqiyi_async", "upload", *FILES, *COMMAND[3:]], folder, environment)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), legacy_windows=False)
    console.print(Text(f"$ {' '.join(COMMAND)}", style="bold"))
    for row in lines(screen):
        console.print(row, no_wrap=True, crop=True)
    svg = console.export_svg(title="iqiyi-async", theme=DIMMED_MONOKAI, unique_id="terminal")
    # Nothing is loaded from elsewhere: the fonts of the machine are good enough.
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace, Menlo, Consolas")


def watched(command: list[str], folder: str, environment: dict[str, str]) -> pyte.Screen:
    """What a terminal shows at the moment of the picture."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    end = time.monotonic() + MOMENT
    while (left := end - time.monotonic()) > 0:
        if select.select([ours], [], [], left)[0]:
            stream.feed(os.read(ours, 65536))
    process.kill()
    process.wait()
    return screen


def lines(screen: pyte.Screen) -> list[Text]:
    """The rows of a terminal, with their colours."""
    rows: list[Text] = []
    for number in range(screen.lines):
        row = Text()
        for column in range(screen.columns):
            cell = screen.buffer[number][column]
            colour = cell.fg if not re.fullmatch(r"[0-9a-f]{6}", cell.fg) else f"#{cell.fg}"
            style = "" if colour == "default" else colour.replace("brown", "yellow")
            row.append(cell.data, f"{style} {'bold' if cell.bold else ''}".strip() or None)
        row.rstrip()
        rows.append(row)
    while rows and not rows[-1].plain:
        rows.pop()
    return rows


if __name__ == "__main__":
    main()
