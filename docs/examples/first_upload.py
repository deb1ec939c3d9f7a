"""Upload one video, wait until it is published, and print where it plays.

python first_upload.py holiday.mp4 "Holiday"
"""

import asyncio
import sys

from iqiyi_async import AsyncVideoCloud, Category, FileTokenStore, Metadata, SqliteJournal, UploadProgress


def show(progress: UploadProgress) -> None:
    print(f"{progress.accepted:,} of {progress.total:,} bytes")


async def main(path: str, title: str) -> None:
    async with AsyncVideoCloud.from_env(token_store=FileTokenStore(), journal=SqliteJournal()) as cloud:
        metadata = Metadata(title, description="Sanya, 2026", tags=["beach", "Hainan"], category=Category.TRAVEL)
        receipt = await cloud.upload(path, metadata, on_progress=show)
        print("uploaded as", receipt.file_id)
        status = await cloud.wait_until_published(receipt.file_id, timeout=3600)
        print("published in these qualities:", ", ".join(status.urls.mp4))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
