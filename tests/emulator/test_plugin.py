"""The pytest plugin as its documentation shows it: tests as printed, violations, old versions of pytest's own parts."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import iqiyi_async
import iqiyi_async.pytest_plugin as plugin

pytest_plugins = ["pytester"]

ROOT = Path(iqiyi_async.__file__).parents[1]

HEAD = """
from iqiyi_async import Metadata
import http.client, pytest
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A place for a suite, from which the library under test is found, and no plugin but ours."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]")  # its own, or it would find this suite's in a folder above
    return pytester


def run(suite: pytest.Pytester, *options: str) -> pytest.RunResult:
    always = ("-p", "iqiyi_async.pytest_plugin", "-W", "error", "-p", "no:cacheprovider", "--strict-markers", "-q")
    return suite.runpytest_subprocess(*always, *options, timeout=50)


@pytest.mark.parametrize("page", ["README.md", "docs/testing.md"])
@pytest.mark.parametrize("more", [(), ("-p", "anyio.pytest_plugin")])
def test_the_tests_of_the_documentation_run_as_printed(
    suite: pytest.Pytester, page: str, more: tuple[str, ...]
) -> None:
    text = (Path(__file__).parents[2] / page).read_text("utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "def test_" in block]
    assert blocks
    for at, block in enumerate(blocks):
        suite.makepyfile(**{f"test_printed_{at}": block})
    result = run(suite, *more)
    assert result.ret == 0, result.stdout.str()


def test_violations_fail_the_test_that_made_them(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        HEAD
        + """
async def test_early(iqiyi_cloud):
    ticket = await iqiyi_cloud.request_upload("mp4", 10)
    await iqiyi_cloud.finish_upload(ticket.file_id)

@pytest.mark.iqiyi_end_check(violations=False)
async def test_early_on_purpose(iqiyi_cloud, iqiyi_emulator):
    ticket = await iqiyi_cloud.request_upload("mp4", 10)
    await iqiyi_cloud.finish_upload(ticket.file_id)
    assert len(iqiyi_emulator.violations) == 1

async def test_clean(iqiyi_cloud):
    receipt = await iqiyi_cloud.upload(b"x" * 200_000, Metadata("a"), file_type="mp4")
    await iqiyi_cloud.wait_until_published(receipt.file_id)
"""
    )
    result = run(suite)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*contract was broken by request *finish was said while 10 of 10 bytes*"])


def test_coroutines_of_other_plugins_are_left_alone(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
import pytest

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_theirs(iqiyi_cloud):
    await iqiyi_cloud.authorize()

async def test_without_our_fixtures():
    pass
"""
    )
    result = run(suite, "-p", "anyio.pytest_plugin", "-W", "default")
    assert result.parseoutcomes().get("passed") == 1, result.stdout.str()


def test_hooks_are_those_that_old_versions_of_pluggy_know() -> None:
    """`wrapper=True` came with pluggy 1.2, and before that stopped every run of pytest in the environment."""
    hooks = [getattr(plugin, name) for name in dir(plugin) if name.startswith("pytest_")]
    options = [getattr(hook, "pytest_impl", {}) for hook in hooks]
    assert not any(chosen.get("wrapper") for chosen in options)
