"""Upload a file that lies behind HTTP, without a copy on this machine: ranges are read in parallel.

python from_url.py https://media.example/film.mp4
"""

import asyncio
import sys

from iqiyi_async import AsyncVideoCloud, HttpSource, Metadata, SqliteJournal


async def main(url: str) -> None:
    async with AsyncVideoCloud.from_env(journal=SqliteJournal()) as cloud:
        receipt = await cloud.upload(HttpSource(url), Metadata("Film"))
        print("uploaded as", receipt.file_id)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
