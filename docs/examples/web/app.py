"""Videos from browsers: uploads that survive bad links, reloads and restarts, with progress and a page to play them.

    npm install
    IQIYI_APP_KEY=... IQIYI_APP_SECRET=... uvicorn app:app --workers 4

Bytes go from the browser to the service as they come; nothing is written to this machine's disk. The worker processes
share the journal, so that a browser that comes back goes on, whichever of them answers.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from iqiyi_async import AsyncVideoCloud, FileTokenStore, Metadata, SqliteJournal, UploadReceipt, VideoCloudError
from iqiyi_async.web import BrowserUpload, TusGateway, UploadGrant

HERE = Path(__file__).parent
NODE_MODULES = Path(os.environ.get("NODE_MODULES", HERE / "node_modules"))
GIB = 1024**3


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """One client for each worker process. What browsers are sending when it ends goes on at another."""
    async with AsyncVideoCloud.from_env(token_store=FileTokenStore(), journal=SqliteJournal()) as cloud:
        app.state.cloud = cloud
        yield
        await gateway.aclose()
        await cloud.drain(timeout=10)


app = FastAPI(lifespan=lifespan)


async def authenticate(request: Request) -> str:
    """Who asks: here a visitor is whoever has the cookie. An application looks into its own session."""
    visitor = request.cookies.get("visitor")
    if visitor is None:
        raise HTTPException(401, "open the page first")
    return visitor


async def on_create(request: Request, upload: BrowserUpload) -> UploadGrant:
    """A new upload: who may, as what. An `HTTPException` refuses it."""
    name = Path(upload.metadata.get("filename", "video.mp4")).stem
    # Each visitor has a fair share of the workers.
    return UploadGrant(Metadata(name), group=await authenticate(request), max_size=20 * GIB)


async def on_finish(upload: BrowserUpload, receipt: UploadReceipt) -> None:
    """The service has a video: here an application writes `receipt.file_id` into its database (at least once)."""


gateway = TusGateway(lambda: app.state.cloud, on_create=on_create, authenticate=authenticate, on_finish=on_finish)
app.mount("/uploads", gateway)
app.mount("/node_modules", StaticFiles(directory=NODE_MODULES, check_dir=False))


@app.get("/")
async def page(request: Request) -> Response:
    """The page with the uploads."""
    response = FileResponse(HERE / "index.html")
    if "visitor" not in request.cookies:
        response.set_cookie("visitor", secrets.token_urlsafe(16), httponly=True, samesite="strict")
    return response


@app.get("/upload.js")
async def script() -> Response:
    """What the page does."""
    return FileResponse(HERE / "upload.js", media_type="text/javascript")


@app.get("/videos/{file_id}")
async def video(file_id: str) -> dict[str, str]:
    """Where a video can be played: URLs that live for some minutes, for the player to exchange."""
    try:
        urls = await app.state.cloud.get_urls(file_id)
    except VideoCloudError as error:
        raise HTTPException(404, str(error)) from error
    return dict(urls.mp4)


@app.get("/ready")
async def ready() -> dict[str, int]:
    """For a load balancer: a worker that is shutting down, or whose service is down, wants no new visitors."""
    stats = app.state.cloud.stats()
    if stats.outage:
        raise HTTPException(503, "the service is down")
    return {"active": stats.active, "waiting": stats.waiting}
