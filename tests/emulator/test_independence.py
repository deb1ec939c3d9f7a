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
    assert len(text.splitlines()) <= 250
    assert "What belongs here" in text or path.name == "__init__.py"
