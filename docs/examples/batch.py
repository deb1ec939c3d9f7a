"""Upload what a spreadsheet names, and write a report. Run again after a crash, it goes on.

python batch.py videos.csv
"""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

from iqiyi_async import AsyncVideoCloud, FileTokenStore
from iqiyi_async.batch import Batch, Manifest


async def main(spreadsheet: Path) -> None:
    folder = spreadsheet.parent
    async with AsyncVideoCloud.from_env(token_store=FileTokenStore()) as cloud:
        async with Batch(cloud, spreadsheet.with_suffix(".ledger"), name=spreadsheet.stem, root=folder) as batch:
            await batch.add(Manifest.read(spreadsheet, root=folder))
            async with aclosing(batch.run(concurrency=8, wait_until_published=True)) as outcomes:
                async for outcome in outcomes:
                    print(outcome.item.source, "done" if outcome.ok else outcome.error)
            report = await batch.report()
            await asyncio.to_thread(report.write, spreadsheet.with_suffix(".report.csv"))
            print(await batch.status())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
