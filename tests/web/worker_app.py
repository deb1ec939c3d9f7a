"""The application of one worker process, as the tests of several start it."""

from __future__ import annotations

import os
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from iqiyi_async import AsyncVideoCloud, Metadata, RetryPolicy, SqliteJournal, UploadOptions
from iqiyi_async.web import TusGateway


def client() -> AsyncVideoCloud:
    return AsyncVideoCloud.from_env(
        journal=SqliteJournal(os.environ["JOURNAL"]),
        retry=RetryPolicy(initial_backoff=0.01, max_backoff=0.05),
        options=UploadOptions(chunk_size=64 * 1024, max_workers=4, doubt_patience=1.0),
    )


async def on_create(request: Any, upload: Any) -> Metadata:
    return Metadata(upload.metadata["filename"])


async def on_finish(upload: Any, receipt: Any) -> None:
    with open(os.environ["FINISHED"], "a") as note:  # noqa: PTH123
        note.write(f"{upload.id} {receipt.file_id}\n")


app = Starlette(routes=[Mount("/uploads", TusGateway(client, on_create=on_create, on_finish=on_finish))])
