"""Upload all videos of a folder, eight at a time; a failure of one does not stop the others.

python many.py FOLDER
"""

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

from iqiyi_async import AsyncVideoCloud, FileTokenStore, Metadata, SqliteJournal, UploadItem


async def main(paths: Iterable[Path]) -> int:
    failures = 0
    items = (UploadItem(path, Metadata(path.stem)) for path in paths)  # read only as fast as they are sent
    async with AsyncVideoCloud.from_env(token_store=FileTokenStore(), journal=SqliteJournal()) as cloud:
        async for outcome in cloud.upload_many(items, concurrency=8, wait_until_published=True):
            if outcome.receipt is not None and outcome.ok:
                print(outcome.item.source, "is published as", outcome.receipt.file_id)
            else:
                failures += 1
                print(outcome.item.source, "failed:", outcome.error)
    return failures


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(Path(sys.argv[1]).glob("*.mp4"))) else 0)
