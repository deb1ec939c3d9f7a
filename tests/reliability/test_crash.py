"""Killed with SIGKILL, an upload goes on in the next process, at once, and sends no more again than was under way."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from iqiyi_async import SqliteJournal

from .crash import Scene, breeder, moments

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes to be killed are forked")

KILLS = 20


def test_killed_at_random_moments_an_upload_goes_on(tmp_path: Path) -> None:
    with Scene.set_up(tmp_path) as scene:
        outcomes = [
            scene.kill(n, delay)
            for n, delay in enumerate(moments(KILLS, min(scene.duration(), scene.duration()), seed=7))
        ]
    assert any(outcome.before > 0 and not outcome.finished for outcome in outcomes), "no kill met the upload under way"


@pytest.mark.anyio
async def test_the_lease_of_a_process_that_died_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "uploads.db"
    journal = SqliteJournal(path)
    with breeder() as made:
        (pid,) = made.start(task="hold_lease", path=str(path), owner="the other")
        assert isinstance(made.hear("done"), int)
        assert not await journal.acquire("key", "me", 60.0), "its holder lives"
        os.kill(pid, signal.SIGSTOP)
        assert not await journal.acquire("key", "me", 60.0), "it is stopped, and may go on"
        made.kill()
        assert await journal.acquire("key", "me", 60.0)
    await journal.aclose()
    assert not list(tmp_path.glob("*.alive-*")), "nothing is left of either of them"
