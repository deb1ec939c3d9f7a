"""The guards of the suite itself: each catches what it is there for, or nobody would notice that it sleeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

CONFTEST = "from tests.conftest import anyio_backend, clean_environment, no_blocking, pytest_pyfunc_call\n"

SAMPLES = """
import asyncio
import os
import time

import iqiyi_async.errors
import pytest
from hypothesis import given, settings, strategies as st

pytestmark = pytest.mark.anyio
KEPT = set()
#: A call that stands in a frame of the library, for whoever looks at the stack.
BLOCKING = compile("time.sleep(0)", iqiyi_async.errors.__file__, "exec")


async def forever():
    await asyncio.Event().wait()


async def test_good():
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel()


async def test_good_with_a_task_that_ends_soon():
    KEPT.add(asyncio.create_task(asyncio.sleep(0.01)))


async def test_bad_leaves_a_task():
    KEPT.add(asyncio.create_task(forever()))


@pytest.mark.parametrize("n", [1, 2])
@settings(max_examples=3)
@given(st.just(1))
async def test_bad_leaves_a_task_in_an_example(n, one):
    KEPT.add(asyncio.create_task(forever()))


@pytest.mark.parametrize("n", [1, 2])
@settings(max_examples=3)
@given(st.just(1))
async def test_good_examples(n, one):
    assert asyncio.get_running_loop().is_running()


async def test_bad_blocks_in_the_library():
    exec(BLOCKING)


async def test_good_blocks_in_a_test():
    time.sleep(0)


async def test_bad_fails_by_itself():
    KEPT.add(asyncio.create_task(forever()))
    raise ZeroDivisionError("its own")


async def test_good_environment(tmp_path):
    names = [name for name in os.environ if name.startswith("IQIYI_") or name.lower().endswith("_proxy")]
    assert names == []
    assert os.environ["XDG_STATE_HOME"] == os.environ["HOME"] == str(tmp_path / "home")


async def test_good_backend():
    assert "asyncio" in type(asyncio.get_running_loop()).__module__
"""


def test_the_guards(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_samples.py").write_text(SAMPLES)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    foreign = {"IQIYI_APP_KEY": "k", "https_proxy": "http://127.0.0.1:9", "ALL_PROXY": "x", "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--tb=line",
        "--color=no",
    ]
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ | foreign, capture_output=True, text=True, timeout=50, check=False
    )
    outcomes = {
        name.partition("::")[2]: outcome
        for name, outcome, *_ in (
            line.split() for line in run.stdout.splitlines() if "::test_" in line and "%]" in line
        )
    }
    assert len(outcomes) == 12, run.stdout + run.stderr
    wrong = {n: o for n, o in outcomes.items() if o != ("PASSED" if n.startswith("test_good") else "FAILED")}
    assert not wrong, run.stdout
    assert run.stdout.count("the test left tasks behind") >= 3
    assert "Blocking call to time.sleep" in run.stdout
    assert "ZeroDivisionError: its own" in run.stdout
