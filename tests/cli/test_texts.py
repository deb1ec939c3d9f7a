"""Both languages: each text of the command line has a Chinese one, which is shown where the locale asks for it."""

from __future__ import annotations

import ast
import io
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclopts.help import HelpPanel
from rich.console import Console, ConsoleOptions

from iqiyi_async import cli
from iqiyi_async.cli import texts
from iqiyi_async.cli.app import COMMANDS, app
from iqiyi_async.cli.help import TranslatedHelp, plain_text
from iqiyi_async.emulator import Fault, FaultPlan, ThreadedEmulatorServer

from .program import run

MakeVideo = Callable[..., Path]

FOLDER = Path(cli.__file__).parent
#: Functions whose argument of that number is a text.
CALLS = {"tr": 0, "later": 0, "count": 1}


def texts_in_code() -> Iterator[str]:
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
                given = node.args[CALLS[node.func.id]]
                if isinstance(given, ast.Constant):
                    assert isinstance(given.value, str)
                    yield given.value


class Recorder(TranslatedHelp):
    """Notes what help would say."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        if panel.entries:
            self.said.add(str(panel.title))
        for entry in panel.entries:
            if entry.description:
                self.said.update(plain_text(entry.description).split("\n\n"))

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        if description:
            self.said.update(plain_text(description).split("\n\n"))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        self.said.add("Usage:")


def texts_in_help(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    recorder = Recorder()
    monkeypatch.setattr(app, "help_formatter", recorder)
    batches = (["batch", name] for name in app["batch"] if not name.startswith("-"))
    for words in ([], *([command] for command in COMMANDS), *batches):
        app.help_print(words, console=Console(file=io.StringIO()))
    return recorder.said


def names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_text_has_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {*texts_in_code(), *texts_in_help(monkeypatch)}
    known = texts.catalogue()
    assert len(needed) > 200
    missing = sorted(needed - known.keys())
    assert not missing, "\n".join(missing)
    assert not sorted(known.keys() - needed), "texts that nobody uses any more"


def test_texts_hold_the_same_values_in_both_languages() -> None:
    for english, chinese in texts.catalogue().items():
        assert any(ord(letter) > 0x2E80 for letter in chinese) or chinese == english, chinese
        if "{" in english and '{"' not in english:
            assert names(english) == names(chinese), chinese


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
    ],
)
def test_the_locale_decides(environment: dict[str, str], language: str) -> None:
    assert texts.language_of(environment) == language


def test_chinese_where_the_locale_is(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    path = video()
    done = run(service, "upload", path, "--wait", LC_ALL="zh_CN.UTF-8", PYTHONUTF8="1")
    assert done.code == 0
    assert "已上传" in done.out
    assert "等待发布" in done.err
    assert "published" not in done.text
    told = run(service, "upload", "--help", LC_ALL="zh_CN.UTF-8", PYTHONUTF8="1")
    assert "断点续传" in told.out
    for english in ("Usage", "Parameters", "Commands", "Wait until"):
        assert english not in told.out


def test_the_option_goes_before_the_locale(service: ThreadedEmulatorServer, tmp_path: Path) -> None:
    chinese = run(service, "--lang", "zh", "upload", tmp_path / "absent.mp4", PYTHONUTF8="1")
    assert chinese.code == 2
    assert chinese.err.startswith("错误：")
    assert "提示：" in chinese.err
    english = run(service, "upload", tmp_path / "absent.mp4", "--lang=en", LANG="zh_CN.UTF-8", PYTHONUTF8="1")
    assert english.err.startswith("error: ")
    refused = run(None, "--lang", "fr", "list")
    assert (refused.code, "--lang zh" in refused.err) == (2, True)


def test_errors_have_a_name_in_chinese(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="request_upload", code="A00018")])
    done = run(service, "upload", video(), LANG="zh_CN.UTF-8", LC_ALL="", PYTHONUTF8="1")
    assert done.code == 1
    assert "空间不足" in done.err


def test_a_terminal_without_the_letters_gets_english(service: ThreadedEmulatorServer) -> None:
    done = run(service, "list", LC_ALL="zh_CN", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "0 of 0 videos" in done.err
