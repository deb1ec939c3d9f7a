"""Bytes on their way to disk: several writers at once, bodies that break off, and memory that does not grow."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import random
import sys
from pathlib import Path

import pytest

from iqiyi_async.emulator import EmulatorConfig

from .process import EmulatorProcess
from .steps import Steps, chunk
from .wire import get, until, wire

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


async def test_many_writers_out_of_order_overlapping_and_repeated(steps: Steps) -> None:
    size = 3 * MIB + 17
    data = os.urandom(size)
    file_id = await steps.open(size)
    dice = random.Random(7)
    cuts = sorted({0, size, *(dice.randrange(size) for _ in range(40))})
    pieces = [(first, min(size, end + dice.randrange(5000))) for first, end in itertools.pairwise(cuts)]
    pieces += dice.choices(pieces, k=10)
    dice.shuffle(pieces)

    async def writer(share: list[tuple[int, int]]) -> None:
        async with wire(steps.url) as line:
            for first, end in share:
                answer = await line.ask(chunk(file_id, size, first, data[first:end]))
                assert answer.json["range_md5"] == hashlib.md5(data[first:end]).hexdigest()

    async with asyncio.TaskGroup() as group:
        for at in range(8):
            group.create_task(writer(pieces[at::8]))
    assert steps.emulator.content(file_id) == data
    assert steps.emulator.files[file_id].ranges == ((0, size - 1),)
    assert len({entry.connection for entry in steps.emulator.history if entry.operation == "upload_chunk"}) == 8


@pytest.mark.parametrize("sent", [0, 1, 100_000, 1_400_000])
async def test_a_half_received_chunk_changes_nothing(steps: Steps, sent: int) -> None:
    size = 1_500_000
    good = os.urandom(size)
    file_id = await steps.open(size)
    await steps.chunk(file_id, size, 0, good)
    before = len(steps.emulator.history)
    async with wire(steps.url) as line:
        head = len(chunk(file_id, size, 0, b"")) - len("\r\n--frontier--\r\n")
        await line.send(chunk(file_id, size, 0, bytes(size))[: head + sent])
        await until(lambda: len(steps.emulator.history) > before and steps.emulator.history[-1].first is not None)
    await until(lambda: steps.emulator.history[-1].ending)
    assert steps.emulator.history[-1].ending == "disconnected"
    assert steps.emulator.content(file_id) == good


async def test_bytes_come_one_by_one(steps: Steps) -> None:
    """Wherever the body is cut, even inside its boundary."""
    file_id = await steps.open(12)
    data = b"\r\n--frontie\r"
    async with wire(steps.url) as line:
        for byte in chunk(file_id, 12, 0, data):
            await line.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await line.answer()).json["range_md5"] == hashlib.md5(data).hexdigest()
    assert steps.emulator.content(file_id) == data


async def test_a_region_is_used_again_after_a_failure(steps: Steps) -> None:
    """Retries do not make the data file grow."""
    file_id = await steps.open(100)
    for _ in range(5):
        async with wire(steps.url) as line:
            await line.send(chunk(file_id, 100, 0, b"x" * 100)[:-40])
            await asyncio.sleep(0.01)
    assert (await steps.chunk(file_id, 100, 0, b"y" * 100)).code == "A00000"
    assert steps.emulator.storage.path(file_id).stat().st_size <= 200


async def test_a_refusal_in_the_middle_of_a_large_body_is_heard(steps: Steps) -> None:
    file_id = await steps.open(20 * MIB)
    request = chunk(file_id, 20 * MIB, 0, bytes(20 * MIB)).replace(b"range: 0-20971519", b"range: 0-99")
    answer = await steps.ask(request)
    assert answer.code == "A00010"
    assert steps.emulator.history[-1].bytes > 20 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process from /proc")
async def test_memory_does_not_grow_with_the_body(tmp_path: Path) -> None:
    size, piece = 160 * MIB, bytes(MIB)
    async with EmulatorProcess(EmulatorConfig(publish_after=0, data_dir=tmp_path)) as process:
        steps = process.steps
        await steps.authorize()
        first = await steps.open(MIB)
        await steps.chunk(first, MIB, 0, piece)
        before = process.peak_memory()
        file_id = await steps.open(size)
        async with wire(steps.url) as line:
            await line.send(
                f"POST /upload HTTP/1.1\r\nHost: a\r\nfile_id: {file_id}\r\nfile_size: {size}\r\n"
                f"range: 0-{size - 1}\r\nContent-Length: {size}\r\n\r\n".encode()
            )
            for _ in range(size // MIB):
                await line.send(piece)
            answer = await line.answer()
            assert answer.json["file_range_accepted"] == size
            await line.send(get(f"/__emulator__/files/{file_id}/content"))
            await line.reader.readuntil(b"\r\n\r\n")
            md5 = hashlib.md5()
            left = size
            while left:
                data = await line.reader.read(left)
                assert data
                left -= len(data)
                md5.update(data)
        assert md5.hexdigest() == answer.json["range_md5"]
        assert process.peak_memory() - before < 16 * MIB
