"""Both languages: each text of the command line has a Chinese one, which is shown where the locale asks for it."""

from __future__ import annotations

import ast
import errno
import io
import os
import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cyclopts.exceptions
import pytest
from cyclopts.help import HelpPanel
from rich.console import Console, ConsoleOptions

from iqiyi_async import cli
from iqiyi_async.cli import front, texts
from iqiyi_async.cli.app import COMMANDS, app
from iqiyi_async.cli.help import TranslatedHelp, plain_text
from iqiyi_async.cli.messages import messages, told
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
    for english in ("Usage", "Parameters", "Commands", "Wait until", "OPTIONS", "[default", "[choices", "env var"):
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


#: Messages that are put together from small pieces.
COMPOSED = (
    "the ledger in PostgreSQL can't be used: {why}",
    "the ledger in PostgreSQL can't be reached: {why}",
    "the upload journal in PostgreSQL can't be used: {why}",
    "the upload journal in PostgreSQL can't be reached: {why}",
    "{name} is video {file_id} already, as {other}: nothing was sent; again=True uploads it once more",
    "{name} must be at least {least}, not {value}",
    "{name} must be from {least} to {most}, not {value}",
    "{operation}: nothing was sent, the service is down for {seconds} s: {why}",
    "[Errno {number}] {reason}",
    "review failed",
    "publish failed",
    "api is not a URL",
    "api must be a URL that begins with http:// or https:// and names a host",
    "api must not hold a user name or a password",
    "the connection was closed in the middle of an answer",
    "the connection was closed without an answer",
    "{name} is video {file_id} already, with other metadata: nothing was sent; again=True uploads it once more",
    "{time} is not a time of day: write it like 08:00-20:00=10MB,else=off",
    "{text} is not a time of day from and to: write it like 08:00-20:00=10MB,else=off",
    "{text} is no part of a day: write it like 08:00-20:00=10MB,else=off",
    "'{name}' must be >= 0: {value}",
    "'{name}' must be < inf: {value}",
    'unable to convert "{value}" into bool.',
    'unable to convert "{value}" into float.',
    'unable to convert "{value}" into int.',
)
#: What is the same in both languages: addresses, files, options, commands, values, units, names of the service.
NAMES = re.compile(
    r"\w+://\S*|(?:/[A-Za-z0-9_.-]+)+|\S+\.(?:mp4|csv|json)|-{1,2}[a-z-]+|'[^']*'|\d+[A-Za-z]*|move:DIR"
    r"|(?<![A-Za-z])(?:iqiyi-async(?: (?:batch )?[a-z]+)?|batch run|a planned fault|can not find file id None|nginx"
    r"|app key|app secret|[A-Z_]+|KiB"
    r"|file_id|secret|upload|uplaod|else|key|auto|off|none|delete|headers|body|JSON Lines|zzz|travel|foo|category"
    r"|batch, upload, unfinished, status, list, urls, delete, emulator|run, status, retry, stop, report)(?![A-Za-z])"
)


def english_in(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]{2,}", NAMES.sub("", text))


@pytest.mark.parametrize(
    "words",
    [
        ("upload",),
        ("uplaod",),
        ("zzz",),
        ("upload", "x.mp4", "--zzz"),
        ("upload", "x.mp4", "--wurkers", "3"),
        ("upload", "x.mp4", "--workers", "zzz"),
        ("upload", "x.mp4", "--workers", "0"),
        ("upload", "x.mp4", "--chunk-size", "3X"),
        ("upload", "x.mp4", "--max-bandwidth", "3x"),
        ("upload", "x.mp4", "--parameters", "zzz"),
        ("upload", "x.mp4", "y.mp4"),
        ("list", "--page", "x"),
        ("list", "--page-size", "500"),
        ("list", "--endpoint-url", "x"),
        ("demo", "x.mp4"),
        ("emulator", "--faults", "x.json"),
        ("upload", "x.mp4", "--max-bandwidth", "25:00-26:00=1MB"),
        ("upload", "x.mp4", "--max-bandwidth", "noon=1MB"),
        ("upload", "x.mp4", "--json=zzz"),
        ("list", "--app-key", " x"),
        ("status", ""),
        ("emulator", "--host", "zzz"),
        ("emulator", "--app-key", ""),
        ("emulator", "--public-url", "ftp://x"),
        ("emulator", "--token-lifetime", "-1"),
        ("emulator", "--data-dir", "busy.json"),
        ("-q",),
        ("batch", "zzz"),
        ("batch", "run", "x.csv", "--dry-run"),
        ("batch", "run", "m.csv", "--dry-run"),
        ("batch", "run", "--ledger", "mysql://x"),
        ("batch", "run", "--on-success", "zzz"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_in_chinese(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQIYI_APP_KEY", "the-app-key")
    monkeypatch.setenv("IQIYI_APP_SECRET", "the-app-secret")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "busy.json").mkdir()
    (tmp_path / "busy.json" / "state.log").write_text("nonsense\n")
    (tmp_path / "m.csv").write_text("source,category\nx.mp4,travel\nx.mp4,foo\nx,\n", "utf-8")
    try:
        assert front.run([*words, "--lang", "zh"]) in (1, 2)
    finally:
        texts.speak("en")
    err = capfd.readouterr().err
    assert err.startswith("错误：") or "m.csv" in words
    assert english_in(err) == [], err


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"operation": "request_upload", "code": "A00018"}, "空间不足：请求上传：超过应用的最大配额（A00018）"),
        ({"operation": "request_upload", "code": "A00005"}, "授权被拒绝：请求上传：应用待审核（A00005）"),
        ({"operation": "request_upload", "code": "A00010"}, "服务端认为参数有误：请求上传：输入参数错误（A00010）"),
        ({"operation": "upload_chunk", "code": "A00010"}, "上传中断：上传分片：输入参数错误（A00010）"),
        ({"operation": "upload_chunk", "status": 404}, "上传中断：上传分片：服务端以 HTTP 404 拒绝"),
        (
            {"operation": "upload_chunk", "status": 413},
            "服务端或途中的代理不接受 100000 字节的分片（HTTP 413）",
        ),
        (
            {"operation": "finish_upload", "body": '{"code": "A00005", "msg": "can not find file id None"}'},
            "通知上传完成：请求的参数在途中丢失，可能是代理丢弃了带下划线的请求头（nginx 默认如此）（A00005）",
        ),
        ({"operation": "set_metadata", "code": "Q00001"}, "上传中断：提交元数据：失败（Q00001）"),
        ({"operation": "finish_upload", "code": "Q00001"}, "上传中断：通知上传完成：失败（Q00001）"),
        ({"operation": "authorize", "code": "A21324"}, "授权被拒绝：授权：app key 或 app secret 无效（A21324）"),
        ({"operation": "authorize", "status": 302}, "授权：服务端返回重定向（HTTP 302），本程序从不跟随"),
    ],
)
def test_what_the_service_refuses_is_told_in_chinese(
    service: ThreadedEmulatorServer, video: MakeVideo, fault: dict[str, Any], told: str
) -> None:
    service.faults = FaultPlan([Fault(**fault)])
    done = run(service, "upload", video(), LANG="zh_CN.UTF-8", LC_ALL="", PYTHONUTF8="1")
    assert done.code == 1
    assert told in done.err
    assert english_in(done.err) == [], done.err


def test_what_is_never_published_is_told_in_chinese(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    path = video()
    service.faults = FaultPlan([Fault(operation="get_status", code="A00002")])
    done = run(service, "upload", path, "--wait", LANG="zh_CN.UTF-8", LC_ALL="", PYTHONUTF8="1")
    assert done.code == 1
    assert re.search(r"视频 \w+ 不会发布（A00002）：审核未通过", done.err), done.err


def test_an_operation_is_named_once(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="request_upload", code="A00018")])
    assert run(service, "upload", video()).err.count("request_upload") == 1


def test_messages_are_those_of_the_library() -> None:
    """A text that was changed in the library, and stayed as it was here, is found."""
    said = [os.strerror(number) for number in errno.errorcode]
    for path in (*FOLDER.parent.rglob("*.py"), Path(cyclopts.exceptions.__file__)):
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        constants = (node.value for node in nodes if isinstance(node, ast.Constant))
        said += [re.sub(r"%[sdr]|%\.\df", "", value) for value in constants if isinstance(value, str)]
    everything = "\n".join(said)
    stale = [
        message.english
        for message in messages()
        # With a capital letter: of the system, or of the parser of options.
        if not message.english[0].isupper()
        and message.english not in COMPOSED
        and not all(part.strip(" (;:,") in everything for part in re.split(r"\{\w+\}", message.english))
    ]
    assert not stale, "\n".join(stale)
    for message in messages():
        assert names(message.english) >= names(message.chinese), message.english


def test_texts_of_others_stay_as_they_are() -> None:
    texts.speak("zh")
    try:
        assert told("a: b.mp4") == "a: b.mp4"
        assert told("a.mp4: Permission denied") == "a.mp4：权限不足"
        assert told("something new: Connection refused") == "something new：连接被拒绝"
    finally:
        texts.speak("en")
    assert told("a.mp4: Permission denied") == "a.mp4: Permission denied"


def test_a_terminal_without_the_letters_gets_english(service: ThreadedEmulatorServer) -> None:
    done = run(service, "list", LC_ALL="zh_CN", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "0 of 0 videos" in done.err
