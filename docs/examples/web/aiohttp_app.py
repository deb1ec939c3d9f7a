"""Without the gateway: one request, one upload, straight from the request's body to the service (aiohttp).

python aiohttp_app.py
curl --data-binary @film.mp4 'http://127.0.0.1:8080/videos?title=Film&key=film-1'
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from aiohttp import web

from iqiyi_async import AsyncVideoCloud, ConfigurationError, Metadata, SqliteJournal, VideoCloudError

CLOUD = web.AppKey("cloud", AsyncVideoCloud)


async def client(app: web.Application) -> AsyncIterator[None]:
    async with AsyncVideoCloud.from_env(journal=SqliteJournal()) as cloud:
        app[CLOUD] = cloud
        yield


async def upload(request: web.Request) -> web.Response:
    try:
        receipt = await request.app[CLOUD].upload(
            request.content.iter_any(),
            Metadata(request.query.get("title", "")),
            size=request.content_length,
            file_type="mp4",
            key=request.query.get("key"),
        )
    except ConfigurationError as error:
        return web.json_response({"error": str(error)}, status=400)
    except VideoCloudError as error:
        return web.json_response({"error": str(error)}, status=503 if error.retryable else 502)
    return web.json_response({"file_id": receipt.file_id}, status=201)


app = web.Application()
app.router.add_post("/videos", upload)
app.cleanup_ctx.append(client)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
