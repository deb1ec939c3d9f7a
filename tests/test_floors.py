"""The house: imports point down only, every library has one door, every module says what it is for.

The rules are read from the source with `ast`; nothing of the library is imported. A module that is new has to be given
a floor here before it can be used.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import iqiyi_async

PACKAGE = "iqiyi_async"
ROOT = Path(iqiyi_async.__file__).parent

#: The floor of each part: a module, or a folder with all that is in it.
FLOORS: dict[str, float] = {
    "errors": 0,
    "models": 0,
    "config": 0,
    "_validation": 0,
    "_addresses": 0,
    "_fair_queue": 0,
    "protocol": 1,
    "transport": 3,
    "_clocks": 2,
    "_outage": 2,
    "_retry": 3,
    "_concurrency": 3,
    "_telemetry": 3,
    "_redaction": 0,
    "_patience": 3,
    "_listing": 6,
    "_publication": 6,
    "stores": 3,
    "_auth": 4,
    "_session": 5,
    "upload": 6,
    "sources": 6,
    "_runtime": 6.5,
    "client": 7,
    "batch": 7.5,
    "__init__": 8,
    "testing": 9,
    "cli": 9,
    "emulator": 9,
    "pytest_plugin": 9,
    "integrations": 9,
    "web": 9,
    "__main__": 10,
}
WORDS, PROTOCOL, FACE, EDGES = 0, 1, 8, 9

#: What the edges may see of the rest: the public face. The emulator is a house of its own, seen through its front door.
FACES = {
    PACKAGE,
    f"{PACKAGE}.batch",
    f"{PACKAGE}.integrations.dask",
    f"{PACKAGE}.stores",
    f"{PACKAGE}.testing",
    f"{PACKAGE}.emulator",
}
#: The one class through which the gateway uses the engine, and the one place that makes it.
GATEWAY = {"web._client": {f"{PACKAGE}.upload.range_writer"}, "web.leases": {f"{PACKAGE}.upload.range_writer"}}

#: A library, and the only modules that may know it.
DOORS = {
    "httpx": ("transport", "sources", "client", "_runtime"),
    "httpcore": (),
    "h11": ("emulator",),
    "httptools": ("transport.connection.exchange",),
    "tenacity": (),
    "aiofiles": ("upload.reading.file_access", "stores", "web.spool"),
    "cattrs": ("protocol", "stores", "upload.journal.session"),
    "redis": ("stores",),
    "sqlite3": ("stores", "batch", "integrations"),
    "asyncpg": ("stores", "batch"),
    "obstore": ("sources",),
    "opentelemetry": ("_telemetry",),
    "distributed": ("integrations",),
    "aiohappyeyeballs": ("transport.connection.dial",),
    "filelock": ("stores", "upload", "emulator"),
    "starlette": ("emulator", "web", "integrations"),
    "uvicorn": ("emulator",),
    "python_multipart": ("emulator",),
    "multipart": ("emulator",),
    "cyclopts": ("cli",),
    "rich": ("cli",),
    "pytest": ("pytest_plugin", "testing"),
    "requests": (),
    "aiohttp": (),
}

#: The protocol and the words know no clock, no disk, no network and no loop.
IMPURE = {
    "aiofiles", "anyio", "asyncio", "concurrent", "httpx", "io", "logging", "os", "pathlib", "random", "secrets",
    "select", "selectors", "shutil", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
#: ... nor do they ask one that they have imported for something else.
IMPURE_CALLS = {
    "now",
    "utcnow",
    "today",
    "time",
    "monotonic",
    "getaddrinfo",
    "gethostbyname",
    "socket",
    "connect",
    "open",
}

#: Modules that are longer than the bound, how long they may be, and why.
LIMIT = 400
LONGER = {
    "sources.http_source": (420, "one source: asking, pinning, redirects, ranges"),
    "upload.transfer": (600, "one loop over the ranges of an upload: what is next, one range, late ranges"),
    "upload.range_writer": (460, "one upload, written piece by piece: lease, ranges, end"),
    "models": (600, "one list of values, most of it their descriptions"),
    "client": (700, "one method per operation: most of it is their descriptions"),
}


@attrs.frozen
class Import:
    """What a module imports: a module of the package by its full name, or a foreign one."""

    line: int
    name: str
    #: Not done while the module is imported: inside of a function, or for type checkers only.
    later: bool


@attrs.frozen
class Module:
    """A module of the package, without the package's own name: `protocol.wire`, `stores.__init__`."""

    name: str
    path: Path
    source: str
    tree: ast.Module

    @property
    def part(self) -> str:
        return self.name.partition(".")[0]

    def within(self, *parts: str) -> bool:
        return any(self.name == part or self.name.startswith(part + ".") for part in parts)


def modules(root: Path) -> dict[str, Module]:
    found = {}
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        source = path.read_text("utf-8")
        found[name] = Module(name, path, source, ast.parse(source))
    return found


def imports(module: Module, house: dict[str, Module]) -> list[Import]:
    """Everything imported anywhere in a module: inside of functions and for type checkers too."""
    package = [PACKAGE, *module.name.split(".")[:-1]]
    found: dict[Import, None] = {}
    for node, later in _statements(module.tree, later=False):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # `from . import x` is the module x if there is one, and a name of the package otherwise.
            full = [f"{origin}.{alias.name}" for alias in node.names]
            names = [each if _module_of(each, house) else origin for each in full]
        else:
            continue
        found.update((Import(node.lineno, name, later), None) for name in names)
    return list(found)


def _statements(node: ast.AST, *, later: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        inside = later or for_types or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield child, inside
        yield from _statements(child, later=inside)


def _module_of(full: str, house: dict[str, Module]) -> str | None:
    """The module of the package that a full name stands for: `iqiyi_async` is its `__init__`."""
    head, _, name = full.partition(".")
    if head != PACKAGE:
        return None
    return next((each for each in (name or "__init__", f"{name}.__init__") if each in house), None)


def upward(house: dict[str, Module]) -> Iterator[str]:
    """Imports that do not point down."""
    for module in house.values():
        if module.part not in FLOORS:
            yield f"{module.name}: has no floor; give it one in {Path(__file__).name}"
            continue
        for each in imports(module, house):
            target = _module_of(each.name, house)
            if each.name.partition(".")[0] == PACKAGE and not _may_see(module, each.name, target):
                yield f"{module.name}:{each.line}: must not import {each.name}"


def _may_see(module: Module, full: str, target: str | None) -> bool:
    if target is None:
        return False
    part, here, there = target.partition(".")[0], FLOORS[module.part], FLOORS.get(target.partition(".")[0], -1)
    if part == module.part and part != "__init__":
        return True
    if module.part == "emulator":
        return False
    if full in GATEWAY.get(module.name, ()):
        return True
    if here >= EDGES:
        return full in FACES or (module.part == "testing" and _is_public(target)) or here > EDGES
    return there < here or there == here == WORDS


def _is_public(target: str) -> bool:
    """`testing` proves stores of other people's making, so it may also see the public modules that describe them."""
    return not any(each.startswith("_") for each in target.split(".")) and FLOORS[target.partition(".")[0]] < FACE


def circles(house: dict[str, Module]) -> Iterator[str]:
    """Modules that need each other while they are imported."""
    needs = {
        name: {target for each in imports(module, house) if not each.later and (target := _module_of(each.name, house))}
        - {name}
        for name, module in house.items()
    }
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> Iterator[str]:
        if name in way:
            yield " -> ".join([*way[way.index(name) :], name])
        elif name not in done:
            for each in sorted(needs[name]):
                yield from visit(each, (*way, name))
            done.add(name)

    for name in needs:
        yield from visit(name, ())


def through_other_doors(house: dict[str, Module]) -> Iterator[str]:
    """Libraries that are imported elsewhere than in the one place that may know them."""
    for module in house.values():
        for each in imports(module, house):
            library = each.name.partition(".")[0]
            if library in DOORS and not module.within(*DOORS[library]):
                yield f"{module.name}:{each.line}: must not import {library}"


def impure(house: dict[str, Module]) -> Iterator[str]:
    """What would give the protocol or the words a clock, a disk, a network or a loop."""
    for module in house.values():
        if FLOORS.get(module.part, EDGES) > PROTOCOL:
            continue
        for each in imports(module, house):
            if each.name.partition(".")[0] in IMPURE:
                yield f"{module.name}:{each.line}: must not import {each.name}"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                yield f"{module.name}:{node.lineno}: must not await"
            elif isinstance(node, ast.Call) and _called(node) in IMPURE_CALLS:
                yield f"{module.name}:{node.lineno}: must not call {_called(node)}"


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def speechless(house: dict[str, Module]) -> Iterator[str]:
    """Modules that do not begin with what they are for."""
    for module in house.values():
        if module.source.strip() and not (ast.get_docstring(module.tree) or "").strip():
            yield f"{module.name}: does not say what it is for"


def too_long(house: dict[str, Module]) -> Iterator[str]:
    """Modules that hold more than one idea, by their length."""
    for module in house.values():
        lines = len(module.source.splitlines())
        bound, _ = LONGER.get(module.name, (LIMIT, ""))
        if lines > bound:
            yield f"{module.name}: has {lines} lines; the most is {bound}"
    for name in LONGER:
        if name in house and len(house[name].source.splitlines()) <= LIMIT:
            yield f"{name}: needs no exception any more"


RULES = [upward, circles, through_other_doors, impure, speechless, too_long]
HOUSE = modules(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house(rule: object) -> None:
    assert HOUSE, "nothing was read"
    assert callable(rule)
    complaints = "\n".join(rule(HOUSE))
    assert not complaints, complaints


def test_what_stands_is_seen() -> None:
    """The reader reads: imports that are known to be there are found."""
    seen = {name: {each.name for each in imports(module, HOUSE)} for name, module in HOUSE.items()}
    assert {f"{PACKAGE}.config", f"{PACKAGE}.models", f"{PACKAGE}.protocol.answers"} <= seen["protocol.oauth"]
    assert f"{PACKAGE}._validation" in seen["protocol.uploads"]
    assert f"{PACKAGE}.protocol.hosts" in seen["transport.client"]
    assert "httpx" in seen["transport.lane"]


# The rules themselves, held against small houses that break them.
DOC = '"""What it is for."""\n'
BROKEN = [
    (upward, {"errors": "from . import client", "client": ""}, "errors:2: must not import iqiyi_async.client"),
    (upward, {"models": "from . import Thing", "__init__": ""}, "models:2: must not import iqiyi_async"),
    (upward, {"_auth": "from ._session import x", "_session": ""}, "_auth:2: must not import iqiyi_async._session"),
    (
        upward,
        {"_retry": "from . import transport", "transport": ""},
        "_retry:2: must not import iqiyi_async.transport",
    ),
    (
        upward,
        {"stores.file": "from .._retry import x", "_retry": ""},
        "stores.file:2: must not import iqiyi_async._retry",
    ),
    (
        upward,
        {"protocol.a": "def f():\n  from ..upload.b import x", "upload.b": ""},
        "protocol.a:3: must not import iqiyi_async.upload.b",
    ),
    (
        upward,
        {"protocol.a": "if TYPE_CHECKING:\n  import iqiyi_async.client", "client": ""},
        "protocol.a:3: must not import iqiyi_async.client",
    ),
    (upward, {"cli.a": "from ..errors import x", "errors": ""}, "cli.a:2: must not import iqiyi_async.errors"),
    (
        upward,
        {"cli.a": "from .. import _validation", "_validation": ""},
        "cli.a:2: must not import iqiyi_async._validation",
    ),
    (
        upward,
        {"cli.a": "from ..emulator.b import x", "emulator.b": ""},
        "cli.a:2: must not import iqiyi_async.emulator.b",
    ),
    (upward, {"emulator.a": "from iqiyi_async import x", "__init__": ""}, "emulator.a:2: must not import iqiyi_async"),
    (
        upward,
        {"emulator.a": "from ..errors import x", "errors": ""},
        "emulator.a:2: must not import iqiyi_async.errors",
    ),
    (upward, {"testing": "from ._auth import x", "_auth": ""}, "testing:2: must not import iqiyi_async._auth"),
    (upward, {"client": "from .cli import x", "cli.__init__": ""}, "client:2: must not import iqiyi_async.cli"),
    (upward, {"client": "from .gone import x"}, "client:2: must not import iqiyi_async.gone"),
    (upward, {"novelty": ""}, "novelty: has no floor; give it one in test_floors.py"),
    (circles, {"upload.a": "from . import b", "upload.b": "from .a import x"}, "upload.a -> upload.b -> upload.a"),
    (through_other_doors, {"_session": "import httpx"}, "_session:2: must not import httpx"),
    (
        through_other_doors,
        {"upload.a": "if TYPE_CHECKING:\n  from httpx import x"},
        "upload.a:3: must not import httpx",
    ),
    (through_other_doors, {"upload.pool": "import aiofiles.os"}, "upload.pool:2: must not import aiofiles"),
    (through_other_doors, {"upload.a": "from tenacity.asyncio import x"}, "upload.a:2: must not import tenacity"),
    (impure, {"protocol.a": "import asyncio"}, "protocol.a:2: must not import asyncio"),
    (impure, {"protocol.a": "from os.path import x"}, "protocol.a:2: must not import os.path"),
    (impure, {"models": "async def f(): pass"}, "models:2: must not await"),
    (impure, {"protocol.a": "x = datetime.now(UTC)"}, "protocol.a:2: must not call now"),
    (impure, {"protocol.a": "open('x')"}, "protocol.a:2: must not call open"),
    (too_long, {"_auth": "x = 1\n" * 400}, "_auth: has 401 lines; the most is 400"),
    (too_long, {"models": "x = 1\n" * 600}, "models: has 601 lines; the most is 600"),
    (too_long, {"models": "x = 1"}, "models: needs no exception any more"),
]


def build(root: Path, sources: dict[str, str]) -> dict[str, Module]:
    for name, source in sources.items():
        path = root.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(DOC + source)
    return modules(root)


@pytest.mark.parametrize(("rule", "sources", "complaint"), BROKEN)
def test_a_broken_house_is_found_out(tmp_path: Path, rule: object, sources: dict[str, str], complaint: str) -> None:
    assert callable(rule)
    assert list(rule(build(tmp_path, sources))) == [complaint]


def test_a_module_without_a_word_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "errors.py").write_text("x = 1\n")
    (tmp_path / "models.py").write_text("# a comment is no docstring\nx = 1\n")
    (tmp_path / "config.py").write_text("")
    assert list(speechless(modules(tmp_path))) == [
        "errors: does not say what it is for",
        "models: does not say what it is for",
    ]


def test_a_sound_house_passes(tmp_path: Path) -> None:
    house = build(
        tmp_path,
        {
            "errors": "import enum",
            "models": "from . import _validation\nfrom .errors import x",
            "_validation": "from .errors import x",
            "protocol.__init__": "",
            "protocol.wire": "import json",
            "protocol.a": "from . import wire\nfrom .. import models\nfrom ..errors import x",
            "transport.__init__": "from ..protocol import wire\nfrom ..protocol.a import x",
            "transport.lane": "import httpx",
            "upload.__init__": "",
            "upload.reading.file_access": "import aiofiles\nif TYPE_CHECKING:\n  from ..upload import x",
            "upload.upload": "from .reading.file_access import x\nfrom .. import transport",
            "client": "from .upload import engine\nfrom .upload.upload import x\nimport iqiyi_async.errors",
            "__init__": "from .client import x\nfrom . import errors",
            "testing": "from . import x\nfrom .stores.base import y",
            "stores.base": "",
            "emulator.__init__": "from .app import x",
            "emulator.app": "import starlette.routing",
            "cli.__init__": "import iqiyi_async\nfrom ..testing import x\nfrom ..emulator import y\nfrom . import a",
            "cli.a": "import rich",
            "pytest_plugin": "import pytest\nfrom iqiyi_async import x, emulator",
            "__main__": "from .cli import main",
        },
    )
    assert [complaint for rule in RULES if rule is not too_long for complaint in rule(house)] == []
