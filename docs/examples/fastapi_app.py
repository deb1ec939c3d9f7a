"""A web back end that loses nothing: videos are spooled to disk, uploaded in the background, and go on after a
restart.

    IQIYI_APP_KEY=... IQIYI_APP_SECRET=... uvicorn fastapi_app:app

A request is answered as soon as its video is safe on this machine's disk. On SIGTERM the server stops, what is nearly
done is finished, the rest is noted in the journal; the next start finds the spooled files and goes on where each of
them was.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from fastapi import FastAPI, Request, UploadFile

from iqiyi_async import AsyncVideoCloud, FileTokenStore, Metadata, SqliteJournal, UploadError, VideoCloudError

SPOOL = Path(os.environ.get("SPOOL", "spool"))
DRAIN_SECONDS = 20.0


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """One client for the whole application; its uploads live in one task group."""
    await anyio.Path(SPOOL).mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncVideoCloud.from_env(token_store=FileTokenStore(), journal=SqliteJournal()) as cloud:
        async with asyncio.TaskGroup() as uploads:
            app.state.cloud, app.state.uploads, app.state.results = cloud, uploads, {}
            async for note in anyio.Path(SPOOL).glob("*.json"):
                uploads.create_task(publish(app, Path(note)))
            yield
            await cloud.drain(timeout=DRAIN_SECONDS)


app = FastAPI(lifespan=lifespan)


@app.post("/videos", status_code=202)
async def create(request: Request, video: UploadFile, title: str) -> dict[str, str]:
    """Take a video, and upload it in the background."""
    name = uuid.uuid4().hex
    path = SPOOL / f"{name}{Path(video.filename or '').suffix or '.mp4'}"
    async with await anyio.open_file(path, "wb") as spooled:
        while piece := await video.read(1024 * 1024):
            await spooled.write(piece)
    note = SPOOL / f"{name}.json"
    await anyio.Path(note).write_text(json.dumps({"path": str(path), "title": title}))
    request.app.state.uploads.create_task(publish(request.app, note))
    return {"id": name}


@app.get("/videos/{name}")
async def look(request: Request, name: str) -> dict[str, str]:
    """What has become of a video."""
    results: dict[str, dict[str, str]] = request.app.state.results
    return results.get(name, {"state": "uploading"})


async def publish(app: FastAPI, note: Path) -> None:
    """Upload a spooled video, and remove it once the service holds it."""
    order = json.loads(await anyio.Path(note).read_text())
    try:
        receipt = await app.state.cloud.upload(order["path"], Metadata(order["title"]))
    except UploadError as error:
        # Kept in the spool: the next start goes on from there.
        app.state.results[note.stem] = {"state": "interrupted" if error.resumable else "failed", "why": str(error)}
    except VideoCloudError as error:
        app.state.results[note.stem] = {"state": "failed", "why": str(error)}
    else:
        app.state.results[note.stem] = {"state": "uploaded", "file_id": receipt.file_id}
        await anyio.Path(note).unlink()
        await anyio.Path(order["path"]).unlink()
