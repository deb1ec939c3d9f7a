"""Without the gateway: one request, one upload, straight from the request's body to the service (Starlette).

    curl --data-binary @film.mp4 'http://127.0.0.1:8000/videos?title=Film&key=film-1'

A stream can't be read again: after a failure the client sends the whole body once more, under the same `key`; what the
service has already is compared and not sent again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from iqiyi_async import AsyncVideoCloud, ConfigurationError, Metadata, SqliteJournal, VideoCloudError


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    async with AsyncVideoCloud.from_env(journal=SqliteJournal()) as cloud:
        app.state.cloud = cloud
        yield


async def upload(request: Request) -> Response:
    try:
        receipt = await request.app.state.cloud.upload(
            request.stream(),
            Metadata(request.query_params.get("title", "")),
            size=int(request.headers.get("content-length", 0)),
            file_type="mp4",
            key=request.query_params.get("key"),
        )
    except ConfigurationError as error:
        return JSONResponse({"error": str(error)}, 400)
    except VideoCloudError as error:
        return JSONResponse({"error": str(error)}, 503 if error.retryable else 502)
    return JSONResponse({"file_id": receipt.file_id}, 201)


app = Starlette(routes=[Route("/videos", upload, methods=["POST"])], lifespan=lifespan)
