"""Take an upload in hand: watch it, pause it for a second, and print what it waited for.

python watch_upload.py holiday.mp4
"""

import asyncio
import sys

from iqiyi_async import AsyncVideoCloud, Metadata


async def main(path: str) -> None:
    async with AsyncVideoCloud.from_env() as cloud:
        # At the end of the block an upload that has not ended is cancelled.
        async with cloud.start_upload(path, Metadata("Holiday")) as handle:
            handle.pause()
            asyncio.get_running_loop().call_later(1, handle.resume)
            async for event in handle.events():
                progress = event.progress
                print(event.state, f"{progress.accepted:,} of {progress.total:,} bytes", event.bottleneck or "")
            receipt = await handle
        for cause, share in receipt.time_by_cause.items():
            print(f"{share:.0%} of the time for {cause}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
