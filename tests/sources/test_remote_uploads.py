"""Uploads of what is not on disk: whole, never spliced from two versions, and resumed after a SIGKILL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    Endpoints,
    HttpSource,
    Metadata,
    ObjectSource,
    SourceChangedError,
    SqliteJournal,
    UploadOptions,
)
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, Fault, ThreadedEmulatorServer

from ..engine.tools import content
from .servers import Asked, nginx, part, serving

CHUNK = 64 * 1024
DATA = content(12 * CHUNK + 1000)


def cloud(server: ThreadedEmulatorServer, **more: Any) -> AsyncVideoCloud:
    options = UploadOptions(max_workers=2, chunk_size=CHUNK)
    endpoints = Endpoints.single(server.endpoint_url)
    return AsyncVideoCloud(DEFAULT_APP_KEY, DEFAULT_APP_SECRET, endpoints=endpoints, options=options, **more)


@pytest.mark.anyio
async def test_a_file_behind_http(iqiyi_emulator: ThreadedEmulatorServer, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "film.mp4").write_bytes(DATA)
    with nginx(tmp_path / "nginx", files) as url:
        async with (
            aclosing(SqliteJournal(tmp_path / "journal")) as journal,
            cloud(iqiyi_emulator, journal=journal) as client,
        ):
            receipt = await client.upload(HttpSource(f"{url}/film.mp4?sig=hush"), Metadata("Film"))
            assert iqiyi_emulator.content(receipt.file_id) == DATA
            again = await client.upload(HttpSource(f"{url}/film.mp4?sig=other"), Metadata("Film"))
            assert again.file_id == receipt.file_id
    assert b"hush" not in b"".join(path.read_bytes() for path in tmp_path.glob("journal*"))


@pytest.mark.anyio
async def test_an_object_in_a_store(iqiyi_emulator: ThreadedEmulatorServer) -> None:
    obstore = pytest.importorskip("obstore")
    store = obstore.store.MemoryStore()
    await obstore.put_async(store, "films/film.mp4", DATA)
    async with cloud(iqiyi_emulator) as client:
        receipt = await client.upload(ObjectSource(store, "films/film.mp4"), Metadata("Film"))
    assert iqiyi_emulator.content(receipt.file_id) == DATA


@pytest.mark.anyio
@pytest.mark.iqiyi_end_check(False)
@pytest.mark.parametrize("tagged", [True, False])
async def test_a_changed_file_is_never_spliced(iqiyi_emulator: ThreadedEmulatorServer, tagged: bool) -> None:
    """Without any validator it is the size that tells."""
    seen = 0

    def changing(asked: Asked) -> bytes:
        nonlocal seen
        seen += asked.range != (0, 0)
        data, tag = (DATA, '"one"') if seen < 5 else (DATA[::-1] + b"more", '"two"')
        return part(asked, data, **({"ETag": tag} if tagged else {}))

    async with serving(changing) as server, cloud(iqiyi_emulator) as client:
        with pytest.raises(SourceChangedError):
            await client.upload(HttpSource(f"{server.url}/film.mp4"), Metadata("Film"))
    assert not any(each.operation == "finish_upload" for each in iqiyi_emulator.history)


@pytest.mark.anyio
@pytest.mark.iqiyi_end_check(False)
@pytest.mark.skipif(
    not hasattr(os, "pread"), reason="without locks that end with their process, a claim runs out first"
)
async def test_killed_an_upload_goes_on(
    iqiyi_emulator: ThreadedEmulatorServer, iqiyi_faults: Any, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "film.mp4").write_bytes(DATA)
    iqiyi_faults.add(Fault(operation="upload_chunk", call=6, delay=3600))
    iqiyi_faults.add(Fault(operation="upload_chunk", call=7, delay=3600))
    with nginx(tmp_path / "nginx", files) as url:
        orders = {"url": f"{url}/film.mp4", "endpoint": iqiyi_emulator.endpoint_url, "journal": str(tmp_path / "db")}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.sources.test_remote_uploads", json.dumps(orders)],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        try:
            deadline = time.monotonic() + 30
            while [each.operation for each in iqiyi_emulator.history].count("upload_chunk") < 7:
                assert process.poll() is None, "it ended too early"
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait(10)
        iqiyi_faults.clear()
        async with (
            aclosing(SqliteJournal(tmp_path / "db")) as journal,
            cloud(iqiyi_emulator, journal=journal) as client,
        ):
            receipt = await client.upload(HttpSource(f"{url}/film.mp4"), Metadata("Film"))
    assert receipt.resumed_bytes >= 4 * CHUNK
    assert iqiyi_emulator.content(receipt.file_id) == DATA
    assert len(iqiyi_emulator.files) == 1


async def upload_until_killed(url: str, endpoint: str, journal: str) -> None:
    """What the process to be killed does."""
    options = UploadOptions(max_workers=2, chunk_size=CHUNK)
    async with AsyncVideoCloud(
        DEFAULT_APP_KEY,
        DEFAULT_APP_SECRET,
        endpoints=Endpoints.single(endpoint),
        options=options,
        journal=SqliteJournal(journal),
    ) as client:
        await client.upload(HttpSource(url), Metadata("Film"))


if __name__ == "__main__":
    import asyncio

    asyncio.run(upload_until_killed(**json.loads(sys.argv[1])))
