"""Ctrl-C and SIGTERM: the first one drains, the second one stops, nothing is lost and nothing goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from iqiyi_async.cli import signals
from iqiyi_async.emulator import Fault, FaultPlan, ThreadedEmulatorServer

from .program import eventually, has, run, started

MakeVideo = Callable[..., Path]

SIZE = 16 * 1024 * 1024
#: 32 KiB every tenth of a second and lane: far too slow to end while it drains.
SLOW = FaultPlan([Fault(operation="upload_chunk", delay=0.1)])
WORDS = ("--chunk-size", "32K", "--workers", "2", "--json")


def some_are_accepted(line: str) -> bool:
    return json.loads(line)["accepted"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_drains_and_the_same_command_goes_on(
    service: ThreadedEmulatorServer, video: MakeVideo, number: signal.Signals
) -> None:
    path = video(size=SIZE)
    service.faults = SLOW
    with started(service, "upload", path, *WORDS) as running:
        running.read_out(some_are_accepted)
        running.signal(number)
        done = running.finish()
    assert done.code == 128 + number
    assert "stopping: " in done.err
    assert "the same command again: it goes on" in done.err
    (result,) = done.results
    assert (result["ok"], result["resumable"]) == (False, True)
    (left,) = service.open_uploads()
    assert left.accepted == result["accepted"] > 0

    service.faults = FaultPlan()
    again = run(service, "upload", path, "-v")
    assert again.code == 0
    assert "goes on; " in again.err, again.text
    (view,) = service.published()
    assert view.file_id == left.file_id
    assert service.content(view.file_id) == path.read_bytes()
    assert "were there already" in again.out
    assert not service.open_uploads()


def test_the_second_signal_stops_at_once(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="upload_chunk", delay=60)])
    with started(service, "upload", video(size=SIZE), *WORDS) as running:
        running.read_out(has(event="progress"))
        running.signal(signal.SIGINT)
        running.read_err(lambda line: "a second Ctrl-C" in line)
        began = time.monotonic()
        running.signal(signal.SIGINT)
        done = running.finish()
    assert done.code == 130
    assert time.monotonic() - began < 3
    assert "stopped at once" in done.err


def test_a_signal_while_nothing_was_sent_yet(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="authorize", delay=60)])
    with started(service, "upload", video()) as running:
        eventually(lambda: service.history)
        running.signal(signal.SIGINT)
        done = running.finish()
    assert (done.code, done.out) == (130, "")
    assert "stopped: nothing was sent" in done.err
    assert not service.files


def test_a_signal_while_waiting(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="get_status", code="A00001")])
    with started(service, "upload", video(), "--wait", "--json") as running:
        eventually(lambda: any(exchange.operation.value == "get_status" for exchange in service.history))
        running.signal(signal.SIGTERM)
        done = running.finish()
    assert done.code == 143
    assert "complete, but not waited for" in done.err
    (result,) = done.results
    assert (result["ok"], result["state"]) == (True, None)


def test_without_a_journal_nothing_is_promised(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = SLOW
    with started(service, "upload", video(size=SIZE), *WORDS, "--no-journal", "--on-failure", "cancel") as running:
        running.read_out(some_are_accepted)
        running.signal(signal.SIGINT)
        done = running.finish()
    assert done.code == 130
    assert "it starts over" in done.err
    assert done.results[0]["resumable"] is False
    assert not service.open_uploads()


def test_files_that_were_not_begun_are_named(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = SLOW
    paths = [video(f"{number}.mp4", SIZE // 4) for number in range(6)]
    with started(service, "upload", *paths, *WORDS) as running:
        running.read_out(some_are_accepted)
        running.signal(signal.SIGINT)
        done = running.finish()
    assert done.code == 130
    assert done.err.count("not begun") == 2
    assert len(service.open_uploads()) == 4


def test_other_commands_end_at_the_first_signal(service: ThreadedEmulatorServer) -> None:
    service.faults = FaultPlan([Fault(operation="list_videos", delay=60)])
    with started(service, "list") as running:
        eventually(lambda: any(exchange.operation.value == "list_videos" for exchange in service.history))
        running.signal(signal.SIGINT)
        done = running.finish()
    assert (done.code, done.out, done.err) == (130, "", "")


STUBBORN = """
import asyncio, sys
from iqiyi_async.cli import signals

async def stubborn(caught):
    print("ready", flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("no", flush=True)

sys.exit(signals.run(stubborn))
"""


def test_the_third_signal_does_not_ask() -> None:
    with started(None, program=("-c", STUBBORN)) as running:
        for said in ("ready", "no", "no"):
            running.read_out(lambda line, said=said: line.strip() == said)
            running.signal(signal.SIGINT)
        assert running.finish().code == 130


def test_two_hangups_are_one_request(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    """The system and the shell both send one when a terminal goes away."""
    service.faults = SLOW
    with started(service, "upload", video(size=SIZE), *WORDS) as running:
        running.read_out(some_are_accepted)
        running.signal(signal.SIGHUP)
        running.read_err(lambda line: "stopping: " in line)
        running.signal(signal.SIGHUP)
        done = running.finish()
    assert done.code == 129
    assert "the same command again: it goes on" in done.err
    assert done.results[0]["resumable"] is True


def test_the_second_hangup_of_a_pair_may_come_late() -> None:
    """The results are still being written then."""
    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert signals.run(hung_up) == 129
        signal.raise_signal(signal.SIGHUP)
        assert signals.run(left_alone) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


async def hung_up(caught: signals.Signals) -> int:
    signal.raise_signal(signal.SIGHUP)
    await caught.asked.wait()
    await anyio.sleep_forever()
    return 0


async def left_alone(_: signals.Signals) -> int:
    return 0


IGNORING = (
    "import os, signal, sys;"
    "[signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)];"
    "os.execv(sys.executable, [sys.executable, '-m', 'iqiyi_async', *sys.argv[1:]])"
)


def test_what_was_to_be_ignored_stays_ignored(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    """`nohup iqiyi-async upload ... &` in a script: neither a hangup nor Ctrl-C in the shell ends it."""
    service.faults = FaultPlan([Fault(operation="upload_chunk", delay=0.1)])
    with started(service, "upload", video(size=1_000_000), *WORDS, program=("-c", IGNORING)) as running:
        running.read_out(some_are_accepted)
        running.signal(signal.SIGINT)
        running.signal(signal.SIGHUP)
        done = running.finish()
    assert (done.code, done.err) == (0, "")
    assert done.results[0]["ok"] is True


def test_a_whole_process_group_may_get_the_signal(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    """A terminal sends Ctrl-C to all processes of a job: there are none but the program itself."""
    service.faults = SLOW
    with started(service, "upload", video(size=SIZE), *WORDS) as running:
        running.read_out(some_are_accepted)
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        if children.exists():
            assert children.read_text() == ""
        os.kill(running.pid, signal.SIGTERM)
        assert running.finish().code == 143
