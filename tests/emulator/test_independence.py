"""The emulator stands alone, shows what it says, and says what it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import iqiyi_async.emulator as face

FOLDER = Path(face.__file__).parent


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_nothing_of_the_rest_of_the_package_is_imported(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"line {node.lineno} reaches out of the folder"
            names = [node.module or ""] if node.level == 0 else []
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not [name for name in names if name.split(".")[0] == "iqiyi_async"]


def test_the_face_is_what_it_was() -> None:
    assert face.__all__ == sorted(face.__all__, key=lambda name: (not name.isupper(), name))
    assert set(face.__all__) == {
        *("DEFAULT_APP_KEY", "DEFAULT_APP_SECRET", "Clock", "Conditions", "Emulator", "EmulatorConfig"),
        *("EmulatorServer", "Exchange", "Fault", "FaultPlan", "FaultProxy", "FileState", "FileView", "Flow"),
        *("Operation", "ThreadedEmulatorServer", "serve"),
    }
    assert all(hasattr(face, name) for name in face.__all__)


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "python_multipart"])
def test_a_missing_extra_is_named(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "try:\n    import iqiyi_async.emulator\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "pip install 'iqiyi-async[emulator]'" in done.stdout


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_a_module_holds_one_idea(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text))


def test_imports_go_in_one_direction() -> None:
    """No module of the folder imports one that imports it, directly or by others, for type checkers either."""
    graph: dict[str, set[str]] = {}
    for path in FOLDER.glob("*.py"):
        nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
        own = [node for node in nodes if node.level == 1]
        graph[path.stem] = {name for node in own for name in ([node.module] if node.module else _names(node))}
    while leaves := [name for name, imported in graph.items() if not imported & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph


def _names(node: ast.ImportFrom) -> list[str]:
    return [alias.name for alias in node.names]


def test_nobody_sets_attributes_of_another_object() -> None:
    set_outside = {
        ast.unparse(target)
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) != "self"
    }
    # uvicorn's own objects, which have no other way in.
    assert set_outside == {"cycle.keep_alive", "config.loaded_app"}
