"""The operations of the service one by one, as `upload` carries them out: for a journey of your own.

python step_by_step.py holiday.mp4
"""

import asyncio
import sys
from pathlib import Path

from iqiyi_async import AsyncVideoCloud, Metadata, VideoCloudError

CHUNK = 4 * 1024 * 1024


async def main(path: Path) -> None:
    data = await asyncio.to_thread(path.read_bytes)
    async with AsyncVideoCloud.from_env() as cloud:
        ticket = await cloud.request_upload("mp4", len(data))
        try:
            await cloud.set_metadata(ticket.file_id, Metadata(path.stem))  # always before finish
            async with asyncio.TaskGroup() as sending:
                for first in range(0, len(data), CHUNK):
                    sending.create_task(cloud.upload_chunk(ticket, first, data[first : first + CHUNK]))
            await cloud.finish_upload(ticket.file_id)
        except* VideoCloudError:
            await cloud.cancel_upload(ticket.file_id)
            raise
        print((await cloud.get_status(ticket.file_id)).state)
        async for video in cloud.iter_videos():
            print(video.file_id, video.name, video.created_at)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
