"""What is checked before anything lands: `nox` runs the linters, the type checkers and the tests.

Python versions come from the classifiers of pyproject.toml; those that this machine does not have are left out. What
is tested is the built package, not the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SUPPORTED = [
    line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if line.startswith("Programming Language :: Python :: 3.")
]

#: What reads files, keeps memory, looks at sockets or locks files.
FALLBACKS = [
    *(f"tests/engine/test_{name}.py" for name in ("changing_sources", "identity", "kept_connections", "memory")),
    "tests/stores",
    "tests/sources",
    "tests/words",
]

nox.options.sessions = ["lint", "types", "docs", "package", "fallbacks", "tests"]
nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2025.2.9"


def _pythons() -> list[str]:
    """The supported versions that really start here; a version manager's shim may be there for one that does not.

    What is found outside of the PATH is put in front of it, for nox to find it too.
    """
    found: list[str] = []
    for version in SUPPORTED:
        candidates = [sys.executable, shutil.which(f"python{version}"), *_managed(version)]
        path = next((path for path in candidates if path and _version_of(path) == version), None)
        if path is not None:
            found.append(version)
            os.environ["PATH"] = os.pathsep.join([str(Path(path).parent), os.environ["PATH"]])
    return found


def _managed(version: str) -> list[str]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]


def _version_of(path: str) -> str | None:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([path, "-c", script], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


PYTHONS = _pythons()


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    session.install(*_group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Both type checkers, and how complete the types of the public face are."""
    session.install(".[all]", *_group("lint"))
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "iqiyi_async", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, into `site/`; a broken link is an error. `nox -s docs -- serve` shows it while it is written."""
    session.install(*_group("docs"))
    if session.posargs:
        session.run("zensical", *session.posargs)
        return
    shutil.rmtree(ROOT / "site", ignore_errors=True)
    session.run("zensical", "build", "--clean", "--strict")
    session.run("python", ".site/check_links.py", "site")


@nox.session
def package(session: nox.Session) -> None:
    """What is released: built, checked, and installed on its own in an empty environment."""
    session.install(*_group("package"))
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist))
    session.run("twine", "check", "--strict", *(str(each) for each in dist.iterdir()))
    for number, artefact in enumerate(sorted(dist.iterdir())):
        empty = Path(session.create_tmp()).resolve() / f"empty{number}"
        shutil.rmtree(empty, ignore_errors=True)
        session.run("python", "-m", "venv", str(empty))
        python = str(empty / ("Scripts" if os.name == "nt" else "bin") / "python")
        session.run(
            python, "-m", "pip", "install", "--quiet", f"iqiyi-async[cli,emulator] @ {artefact.as_uri()}", external=True
        )
        # Elsewhere: beside the sources, they would be imported in place of the package.
        with session.chdir(empty):
            session.run(python, "-m", "iqiyi_async", "demo", "--quiet", external=True)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The suite, against the installed package, on every Python that is there."""
    session.install(".[all]", *_group("test"))
    with _away(session):
        session.run("python", "-X", "dev", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def fallbacks(session: nox.Session) -> None:
    """The tests of files, memory, connections and stores, with everything taken away that Windows does not have."""
    session.install(".[all]", *_group("test"))
    with _away(session):
        session.run("python", "-m", "pytest", "-n", "2", "-p", "tests.as_windows", *FALLBACKS, *session.posargs)


@contextmanager
def _away(session: nox.Session) -> Iterator[None]:
    """A folder without the sources: beside them, they would be imported in place of the package."""
    away = Path(session.create_tmp())
    for each in ("tests", "docs"):
        shutil.rmtree(away / each, ignore_errors=True)
        shutil.copytree(ROOT / each, away / each, ignore=shutil.ignore_patterns("__pycache__"))
    for each in ("pyproject.toml", "README.md", "README.zh.md", "zensical.toml"):
        shutil.copy(ROOT / each, away)
    with session.chdir(away):
        yield


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks: a table on the terminal, JSON in benchmarks/results."""
    session.install(".[all]", "-r", str(ROOT / "benchmarks" / "requirements.txt"))
    session.run("python", "-m", "benchmarks", *session.posargs)


def _group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name)
