"""Print the URL of the media of a published video: ask for its play URLs, then exchange the best one.

python play.py FILE_ID
"""

import asyncio
import sys

from iqiyi_async import AsyncVideoCloud, FileTokenStore, Quality

BEST_FIRST = (Quality.P1080, Quality.P720, Quality.SUPER, Quality.HIGH, Quality.SMOOTH, Quality.TOPSPEED)


async def media_url(cloud: AsyncVideoCloud, file_id: str) -> str | None:
    urls = await cloud.get_urls(file_id)  # valid for about 15 minutes: ask each time a video is played
    for quality in BEST_FIRST:
        if quality in urls.mp4:
            return await cloud.resolve_url(urls.mp4[quality])  # plays at this machine's address
    return None


async def main(file_id: str) -> None:
    async with AsyncVideoCloud.from_env(token_store=FileTokenStore()) as cloud:
        print(await media_url(cloud, file_id) or "there is nothing to play")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
