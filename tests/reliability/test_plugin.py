"""The pytest plugin: in whose loops its fixtures work, what its end check finds, and what it says then.

Each test writes a small suite and runs it in a process of its own, as a user's would.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

import iqiyi_async

pytest_plugins = ["pytester"]

ROOT = str(Path(iqiyi_async.__file__).parents[1])

HEAD = """
import asyncio
import pytest
from iqiyi_async import AsyncVideoCloud, Endpoints, Metadata, MemoryTokenStore, UploadError, UploadOptions
META = Metadata("A test")
DATA = bytes(range(256)) * 1000
"""

JOURNEYS = """
{mark}
async def test_upload(iqiyi_cloud, iqiyi_emulator):
    receipt = await iqiyi_cloud.upload(DATA, META, file_type="mp4")
    assert receipt.chunks == 4
    assert iqiyi_emulator.content(receipt.file_id) == DATA
    assert (await iqiyi_cloud.wait_until_published(receipt.file_id)).state.value == "published"

{mark}
@pytest.mark.iqiyi_faults(operation="upload_chunk", call=2, status=503)
@pytest.mark.iqiyi_faults({{"operation": "finish_upload", "call": 1, "lost_answer": True}})
async def test_faults_of_markers(iqiyi_cloud):
    assert (await iqiyi_cloud.upload(DATA, META, file_type="mp4")).retries == 1

{mark}
async def test_faults_added_on_the_way(iqiyi_cloud, iqiyi_faults):
    iqiyi_faults.add(operation="upload_chunk", call=5, status=503)
    await iqiyi_cloud.upload(DATA, META, file_type="mp4")
    iqiyi_faults.add(operation="set_metadata", call=1, status=500)
    assert (await iqiyi_cloud.upload(DATA, META, file_type="mp4")).retries == 1
    assert iqiyi_faults.plan.fired == (1, 1)

{mark}
@pytest.mark.iqiyi_emulator(app_key="my-key", publish_after=100.0)
@pytest.mark.iqiyi_cloud(options=UploadOptions(chunk_size=1000, max_workers=2), token_store=MemoryTokenStore())
async def test_options_of_markers(iqiyi_cloud, iqiyi_emulator):
    receipt = await iqiyi_cloud.upload(DATA, META, file_type="mp4")
    assert receipt.chunks == 256
    assert iqiyi_emulator.emulator.config.app_key == "my-key"
    assert (await iqiyi_cloud.get_status(receipt.file_id)).state.value == "publishing"
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A place for a suite, from which the library under test is found."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")]))
    return pytester


def run(suite: pytest.Pytester, *options: str) -> pytest.RunResult:
    loaded = entry_points(group="pytest11", name="iqiyi_async")
    load = () if loaded else ("-p", "iqiyi_async.pytest_plugin")
    if find_spec("pytest_asyncio") is not None:
        # Where it is installed it wants to be told this, and -W error makes an error of its warning.
        load = (*load, "-o", "asyncio_default_fixture_loop_scope=function")
    always = ("-W", "error", "-p", "no:cacheprovider", "--strict-markers", "--strict-config", "-q")
    return suite.runpytest_subprocess(*load, *always, *options, timeout=50)


@pytest.mark.parametrize(
    ("plugin", "mark"),
    [
        ("anyio", '@pytest.mark.anyio\n@pytest.mark.parametrize("anyio_backend", ["asyncio"])'),
        ("pytest_asyncio", "@pytest.mark.asyncio"),
    ],
)
def test_fixtures_work_in_the_loops_of(suite: pytest.Pytester, plugin: str, mark: str) -> None:
    if find_spec(plugin) is None:
        pytest.skip(f"{plugin} is not installed")
    suite.makepyfile(HEAD + JOURNEYS.format(mark=mark))
    run(suite).assert_outcomes(passed=4)


def test_fixtures_work_in_synchronous_tests(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        HEAD
        + """
def test_a_loop_of_its_own(iqiyi_cloud, iqiyi_emulator):
    receipt = asyncio.run(iqiyi_cloud.upload(DATA, META, file_type="mp4"))
    assert iqiyi_emulator.content(receipt.file_id) == DATA
    assert "closed" in repr(iqiyi_cloud)

def test_a_client_of_its_own(iqiyi_emulator):
    async def main():
        config = iqiyi_emulator.emulator.config
        endpoints = Endpoints.single(iqiyi_emulator.endpoint_url)
        async with AsyncVideoCloud(config.app_key, config.app_secret, endpoints=endpoints) as cloud:
            await cloud.upload(DATA, META, file_type="mp4")
    asyncio.run(main())
    assert len(iqiyi_emulator.published()) == 1

def test_emulators_share_nothing(iqiyi_emulator):
    assert iqiyi_emulator.files == {}
"""
    )
    run(suite).assert_outcomes(passed=3)


CARELESS = """
@pytest.mark.iqiyi_faults(operation="upload_chunk", call=[1, 9], status=503)
def test_fault_that_never_strikes(iqiyi_cloud):
    asyncio.run(iqiyi_cloud.upload(DATA, META, file_type="mp4"))

@pytest.mark.iqiyi_faults(operation="finish_upload", status=400)
def test_half_open(iqiyi_cloud):
    with pytest.raises(UploadError):
        asyncio.run(iqiyi_cloud.upload(DATA, META, file_type="mp4"))
"""


def test_end_check_finds_what_was_forgotten(suite: pytest.Pytester) -> None:
    suite.makepyfile(HEAD + CARELESS)
    result = run(suite)
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(
        [
            "a planned fault never fired*'upload_chunk', 'call': [[]1, 9[]]*the test made 5 such call(s)*=False*",
            "an upload was left half open: * 256000 of 256000 bytes*Finish or cancel*iqiyi_end_check(uploads=False)*",
        ]
    )


def test_end_check_is_silent_after_a_failure_and_where_it_is_turned_off(suite: pytest.Pytester) -> None:
    marked = CARELESS.replace("def test", "@pytest.mark.iqiyi_end_check(faults=False)\ndef test", 1)
    marked = marked.replace(
        '\n@pytest.mark.iqiyi_faults(operation="fin',
        '\n@pytest.mark.iqiyi_end_check(False)\n@pytest.mark.iqiyi_faults(operation="fin',
    )
    failing = """
@pytest.mark.iqiyi_faults(operation="upload_chunk", call=1, status=503)
def test_that_fails(iqiyi_emulator):
    assert False, "for a reason of its own"
"""
    suite.makepyfile(test_marked=HEAD + marked, test_failing=HEAD + failing)
    run(suite).assert_outcomes(passed=2, failed=1)
    suite.makepyfile(test_marked=HEAD, test_failing=HEAD, test_ini=HEAD + CARELESS)
    suite.makeini("[pytest]\niqiyi_end_check = false\n")
    run(suite).assert_outcomes(passed=2)


def test_markers_that_can_do_nothing_are_refused(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        HEAD
        + """
@pytest.mark.iqiyi_faults(operation="upload_chunk", call=1, status=503)
def test_without_the_fixture():
    pass

@pytest.mark.iqiyi_faults(operation="upload_chunks", status=503)
def test_of_an_unknown_operation(iqiyi_emulator):
    pass

@pytest.mark.iqiyi_emulator(publish_later=1)
def test_of_an_unknown_option(iqiyi_emulator):
    pass
"""
    )
    result = run(suite)
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines_random(
        [
            "*the marker iqiyi_faults does nothing without the fixture iqiyi_emulator*",
            "the marker iqiyi_faults can't be used: *operation*",
            "the marker iqiyi_emulator can't be used: *publish_later*",
        ]
    )


def test_without_the_extra_the_fixtures_say_what_to_install(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.mkpydir("broken").joinpath("starlette.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", f"{suite.path / 'broken'}:{ROOT}")
    suite.makepyfile("def test_it(iqiyi_cloud):\n    pass\n\ndef test_other():\n    pass\n")
    result = run(suite)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the emulator needs an extra: pip install 'iqiyi-async[[]emulator]'*"])


def test_loading_the_plugin_costs_a_run_of_pytest_nothing() -> None:
    script = """
import sys, pytest
before = set(sys.modules)
import iqiyi_async.pytest_plugin
print(sorted(set(sys.modules) - before))
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": ROOT}, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "['iqiyi_async', 'iqiyi_async.pytest_plugin']"
