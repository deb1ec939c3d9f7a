"""Upload bytes as they come, here from a pipe. With a key and a journal, the same stream goes on after a crash.

cat holiday.mp4 | python stream.py 1048576
"""

import asyncio
import sys
from collections.abc import AsyncIterator

from anyio import wrap_file

from iqiyi_async import AsyncVideoCloud, Metadata, SqliteJournal


async def pieces() -> AsyncIterator[bytes]:
    standard_input = wrap_file(sys.stdin.buffer)
    while piece := await standard_input.read(64 * 1024):
        yield piece


async def main(size: int) -> None:
    async with AsyncVideoCloud.from_env(journal=SqliteJournal()) as cloud:
        receipt = await cloud.upload(pieces(), Metadata("From a pipe"), file_type="mp4", size=size, key="pipe-17")
        print("uploaded as", receipt.file_id)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
