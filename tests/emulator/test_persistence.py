"""What a client was told survives a restart, and a kill at any moment."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import stat
from pathlib import Path

import pytest

from iqiyi_async.emulator import Emulator, EmulatorConfig, EmulatorServer, FileState

from .conftest import Begin
from .process import EmulatorProcess
from .steps import Steps, chunk, target
from .wire import get, wire

pytestmark = pytest.mark.anyio


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    config = EmulatorConfig(data_dir=tmp_path / "data", publish_after=100)
    data = os.urandom(100_000)
    async with EmulatorServer(config) as server:
        steps = Steps(server)
        granted = await steps.authorize()
        published = await steps.publish(data)
        waiting = await steps.open(5)
        await steps.chunk(waiting, 5, 0, b"hello")
        await steps.metadata(waiting, "假期")
        await steps.finish(waiting)
        half = await steps.open(10)
        await steps.chunk(half, 10, 7, b"hij")
        await steps.chunk(half, 10, 0, b"ab")
        cancelled, deleted = await steps.open(1), await steps.open(1)
        await steps.cancel(cancelled)
        await steps.api("/api/file/delete", delete_type="1", file_ids=deleted)
        url = (await steps.api("/api/file/urllist", file_id=published)).json["data"]["mp4"]["1"]
        before, offset = server.emulator.files, server.emulator.clock.offset
    for _ in range(2):
        async with EmulatorServer(config) as server:
            steps.server = server
            assert server.emulator.files == before
            assert server.emulator.clock.offset == offset
            assert server.emulator.content(published) == data
            assert server.emulator.content(half) == b"abhij"
            assert (await steps.ask(get(target(url)))).status == 200
            assert (await steps.status(cancelled)).code == "A00006"
    async with EmulatorServer(config) as server:
        steps.server = server
        await steps.chunk(half, 10, 2, b"cdefg")
        assert server.emulator.content(half) == b"abcdefghij"
        assert (await steps.finish(half)).code == "A00000"
        server.emulator.clock.advance(100)
        assert (await steps.status(waiting)).code == "A00000"
        answer = await steps.ask(
            get(
                f"/api/oauth2/token?client_id={config.app_key}&grant_type=refresh_token&refresh_token={granted['refresh_token']}"
            )
        )
        assert "access_token" in answer.json


async def test_a_kill_in_the_middle_of_a_chunk(tmp_path: Path) -> None:
    async with EmulatorProcess(EmulatorConfig(data_dir=tmp_path, publish_after=0)) as process:
        await process.steps.authorize()
        size = 3_000_000
        data = os.urandom(size)
        file_id = await process.steps.open(size)
        await process.steps.chunk(file_id, size, 0, data[:1_000_000])
        async with wire(process.steps.url) as line:
            await line.send(chunk(file_id, size, 1_000_000, data[1_000_000:])[:1_800_000])
            await process.kill()
        await process.start()
        steps = process.steps
        state = (await steps.ask(get("/__emulator__/state"))).json
        assert state["files"][0]["ranges"] == [[0, 999_999]]
        answer = await steps.chunk(file_id, size, 1_000_000, data[1_000_000:])
        assert answer.json["range_md5"] == hashlib.md5(data[1_000_000:]).hexdigest()
        await steps.metadata(file_id)
        assert (await steps.finish(file_id)).code == "A00000"
        assert (await steps.ask(get(f"/__emulator__/files/{file_id}/content"))).body == data


async def test_kills_at_random_moments(tmp_path: Path) -> None:
    """Every chunk that was answered is there, whatever was going on."""
    dice, size, step = random.Random(11), 600_000, 3000
    data = os.urandom(size)
    told: set[int] = set()
    async with EmulatorProcess(EmulatorConfig(data_dir=tmp_path, publish_after=0)) as process:
        await process.steps.authorize()
        file_id = await process.steps.open(size)
        left = list(range(0, size, step))
        dice.shuffle(left)

        async def writer() -> None:
            async with wire(process.steps.url) as line:
                while left:
                    first = left.pop()
                    answer = await line.ask(chunk(file_id, size, first, data[first : first + step]))
                    assert answer.code == "A00000"
                    told.add(first)

        for moment in (0.03, 0.06, 0.02):
            writers = [asyncio.create_task(writer()) for _ in range(4)]
            await asyncio.sleep(moment)
            await process.kill()
            await asyncio.gather(*writers, return_exceptions=True)
            await process.start()
            view = (await process.steps.ask(get("/__emulator__/state"))).json["files"][0]
            held = {byte for first, last in view["ranges"] for byte in range(first, last + 1, step)}
            assert told <= held
            left[:] = [first for first in range(0, size, step) if first not in held]
            dice.shuffle(left)
        await asyncio.gather(*(writer() for _ in range(4)))
        assert (await process.steps.ask(get(f"/__emulator__/files/{file_id}/content"))).body == data


async def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    config = EmulatorConfig(data_dir=tmp_path)
    async with EmulatorServer(config) as server:
        steps = Steps(server)
        await steps.authorize()
        file_id = await steps.open(5)
    log = tmp_path / "state.log"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"put":"range","file_id":"' + file_id.encode())
    async with Emulator(config) as emulator:
        assert emulator.files[file_id].accepted == 0
    log.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(ValueError, match="line 1"):
        await Emulator(config).start()
    log.write_bytes(whole + b'{"put":"something else"}\n')
    with pytest.raises(ValueError, match="cannot be read"):
        await Emulator(config).start()


async def test_the_log_is_written_anew_at_each_start(tmp_path: Path) -> None:
    config = EmulatorConfig(data_dir=tmp_path)
    async with Emulator(config) as emulator:
        for _ in range(500):
            emulator.clock.advance(1)
    assert (tmp_path / "state.log").read_bytes().count(b"\n") > 500
    async with Emulator(config) as emulator:
        assert emulator.clock.offset == 500
    assert (tmp_path / "state.log").read_bytes().count(b"\n") < 10


async def test_nothing_on_disk_can_be_presented_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with EmulatorServer(EmulatorConfig(data_dir=folder)) as server:
        steps = Steps(server)
        granted = await steps.authorize()
        await steps.publish(b"hello")
        log = (folder / "state.log").read_text("ascii")
        for secret in (granted["access_token"], granted["refresh_token"], server.emulator.config.app_secret):
            assert secret not in log
        for path in (folder, *folder.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


async def test_a_folder_belongs_to_one_emulator(tmp_path: Path) -> None:
    config = EmulatorConfig(data_dir=tmp_path)
    async with Emulator(config):
        with pytest.raises(ValueError, match="in use"):
            await Emulator(config).start()
    async with Emulator(config):
        pass


async def test_a_temporary_folder_is_removed(begin: Begin) -> None:
    async with EmulatorServer() as server:
        steps = Steps(server)
        await steps.authorize()
        file_id = await steps.publish(b"hello")
        folder = server.emulator.storage.path(file_id).parent.parent
        assert folder.is_dir()
    assert not folder.exists()
    assert server.emulator.files[file_id].state is FileState.PUBLISHED


async def test_data_of_unknown_videos_is_removed(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir(parents=True)
    orphan = tmp_path / "files" / f"{'0' * 32}.data"
    orphan.write_bytes(b"x")
    async with Emulator(EmulatorConfig(data_dir=tmp_path)):
        assert not orphan.exists()


async def test_a_change_is_on_disk_before_it_is_answered(tmp_path: Path) -> None:
    async with EmulatorServer(EmulatorConfig(data_dir=tmp_path)) as server:
        steps = Steps(server)
        await steps.authorize()
        file_id = await steps.open(5)
        await steps.chunk(file_id, 5, 0, b"hello")
        entries = [json.loads(line) for line in (tmp_path / "state.log").read_text("ascii").splitlines()]
        assert {"put": "range", "file_id": file_id, "extent": [0, 5, 0]} in entries
