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
    "--ignore=tests/stores/test_postgres_journal.py",
    "tests/sources",
    "tests/words",
]

#: Suites of extras, and of programs: slow, and the same on every Python.
ON_ONE_PYTHON = [
    *(f"tests/batch/test_{name}.py" for name in ("commands", "dask", "documents", "kills", "postgres")),
    "tests/cli",
    "tests/docs",
    "tests/emulator/test_page.py",
    "tests/sources",
    "tests/stores/test_postgres_journal.py",
    "tests/web",
]

#: What is covered at least, in percent of lines and branches: each part on its own, then all of the package. Where it
#: is not 100, some branches are left to load and chance: the least is a little below what was reached. It only rises.
COVERAGE = {
    "iqiyi_async/client.py": 100.0,
    "iqiyi_async/_session.py": 100.0,
    "iqiyi_async/_auth.py": 100.0,
    "iqiyi_async/protocol/*": 100.0,
    "iqiyi_async/upload/*": 99.5,
    "iqiyi_async/batch/*": 99.5,
    "iqiyi_async/*": 97.5,
}

JOURNAL_TESTS = [
    f"tests/engine/test_{name}.py" for name in ("journal_session", "journal_writes", "identity", "journal_failures")
]

#: What is changed by `mutants`, and the tests that must see it: the quickest first, as the first that fails is enough.
MUTATED = {
    "iqiyi_async/protocol": ["tests/protocol"],
    "iqiyi_async/upload/ranges.py": ["tests/engine/test_plan.py"],
    "iqiyi_async/upload/journal/claim.py": JOURNAL_TESTS,
    "iqiyi_async/upload/journal/session.py": JOURNAL_TESTS,
    "iqiyi_async/batch/ledger/sqlite_ledger.py": [
        *(f"tests/batch/test_{name}.py" for name in ("sqlite_ledger", "ledgers", "parts")),
        "-k 'not postgresql'",
    ],
}

#: The configuration of cosmic-ray. Annotations are not evaluated, so their `|` may be anything; of the other operators
#: one change each: what survives `<` for `<=` survives nothing else.
MUTANTS = """
[cosmic-ray]
module-path = "{module}"
timeout = 120.0
test-command = "python -m pytest -x -q --no-header -p no:cacheprovider -p no:xdist {tests}"
[cosmic-ray.distributor]
name = "local"
[cosmic-ray.filters.operators-filter]
exclude-operators = [
  'core/ReplaceBinaryOperator_(?!Add_Sub|Sub_Add|Mul_FloorDiv|Div_Mul|FloorDiv_Mul|Mod_FloorDiv)',
  'core/ReplaceComparisonOperator_(?!Eq_Not|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Is_IsNot|IsNot_Is$|In_NotIn|NotIn_In)',
]
"""

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
    """The site, into `site/`, its Chinese half into `site/zh/`; a broken link is an error. `nox -s docs -- serve` shows
    the English half while it is written."""
    session.install(*_group("docs"))
    if session.posargs:
        session.run("zensical", *session.posargs)
        return
    shutil.rmtree(ROOT / "site", ignore_errors=True)
    session.run("zensical", "build", "--clean", "--strict")
    session.run("python", ".site/chinese.py")
    session.run("zensical", "build", "--clean", "--strict", "--config-file", "zensical.zh.toml")
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
    """The suite, against the installed package, on every Python that is there. The newest one runs the whole of it; the
    others leave out the suites of extras."""
    session.install(".[all]", *_group("test"))
    whole = session.python == PYTHONS[-1] or bool(session.posargs)
    left_out = () if whole else (f"--ignore={each}" for each in ON_ONE_PYTHON)
    with _away(session):
        session.run("python", "-X", "dev", "-m", "pytest", "-n", "2", *left_out, *session.posargs)


@nox.session(python=PYTHONS[-1:])
def coverage(session: nox.Session) -> None:
    """What the suite covers, its own processes included, and whether that is enough: a run of its own, as measuring
    takes time. `nox -s coverage -- tests/engine` says what a part of the suite covers."""
    session.install(".[all]", *_group("test"))
    data = str(Path(session.create_tmp()).resolve() / ".coverage")
    session.run("python", "-m", "coverage", "erase", f"--data-file={data}")
    command = ("-m", "coverage", "run", f"--data-file={data}", "-m", "pytest", "-n", "2")
    with _away(session):
        session.run("python", "-X", "dev", *command, *session.posargs)
    # Here: the sources have their short names, and what was installed is the same.
    session.run("python", "-m", "coverage", "combine", "--quiet", f"--data-file={data}", str(Path(data).parent))
    session.run("python", "-m", "coverage", "report", f"--data-file={data}")
    short: list[str] = []
    for part, least in COVERAGE.items():
        command = ("-m", "coverage", "report", "--format=total", f"--include={part}", f"--data-file={data}")
        reached = float(session.run("python", *command, silent=True) or 0)
        session.log(f"{part}: {reached:g} %")
        if reached < least:
            short.append(f"{part} has {reached:g} % of {least:g} %")
    if short and not session.posargs:
        session.error(f"not enough is covered: {', '.join(short)}")


@nox.session
def fallbacks(session: nox.Session) -> None:
    """The tests of files, memory, connections and stores, with everything taken away that Windows does not have."""
    session.install(".[all]", *_group("test"))
    with _away(session):
        command = (
            "-m",
            "pytest",
            "-n",
            "2",
            "-p",
            "tests.as_windows",
            "--ignore=tests/stores/test_postgres_journal.py",
        )
        session.run("python", *command, *FALLBACKS, *session.posargs)


@contextmanager
def _away(session: nox.Session) -> Iterator[None]:
    """A folder without the sources: beside them, they would be imported in place of the package."""
    away = Path(session.create_tmp())
    for each in ("tests", "docs", ".site"):
        shutil.rmtree(away / each, ignore_errors=True)
        shutil.copytree(ROOT / each, away / each, ignore=shutil.ignore_patterns("__pycache__"))
    for each in ("pyproject.toml", "README.md", "README.zh.md", "zensical.toml"):
        shutil.copy(ROOT / each, away)
    with session.chdir(away):
        yield


@nox.session
def mutants(session: nox.Session) -> None:
    """Small changes of the code, one at a time: a test must fail for each. `nox -s mutants -- NAME ...` takes some of
    the modules; which changes may live, and why, stands in tests/figures/mutants.md. For hours."""
    session.install(".[all]", *_group("mutants"))
    session.env["HYPOTHESIS_PROFILE"] = "mutants"
    named = [each for each in MUTATED if not session.posargs or any(word in each for word in session.posargs)]
    with _away(session):
        # Here the sources are what is wanted: cosmic-ray writes each change into them.
        shutil.rmtree("iqiyi_async", ignore_errors=True)
        shutil.copytree(ROOT / "iqiyi_async", "iqiyi_async", ignore=shutil.ignore_patterns("__pycache__"))
        for number, module in enumerate(named):
            config, database = f"mutants{number}.toml", f"mutants{number}.sqlite"
            Path(config).write_text(MUTANTS.format(module=module, tests=" ".join(MUTATED[module])))
            Path(database).unlink(missing_ok=True)
            session.run("cosmic-ray", "init", config, database)
            session.run("cr-filter-operators", database, config)
            session.run("cosmic-ray", "baseline", config)
            session.run("cosmic-ray", "exec", config, database)
            session.run("cr-report", "--surviving-only", "--show-diff", database)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks: a table on the terminal, JSON in benchmarks/results."""
    session.install(".[all]", "-r", str(ROOT / "benchmarks" / "requirements.txt"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def figures(session: nox.Session) -> None:
    """The whole campaigns of kills, faults and loads; the suite runs a part of each. `-- NAME...` runs some of them."""
    session.install("-e", ".[all]", *_group("test"))
    every = [path.stem for path in sorted((ROOT / "tests" / "figures").glob("*.py")) if path.stem != "__init__"]
    for name in session.posargs or every:
        session.run("python", "-m", f"tests.figures.{name}")


def _group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name)
