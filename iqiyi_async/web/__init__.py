"""For web back ends: browsers upload to a gateway that speaks tus 1.0 and pipes what comes to the service.

from iqiyi_async.web import TusGateway, UploadGrant

async def on_create(request, upload):
    return UploadGrant(Metadata(upload.metadata.get("filename", "video")), owner=request.user.id)

app.mount("/uploads", TusGateway(cloud, on_create=on_create))
"""

from __future__ import annotations

try:
    import starlette as _starlette  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ImportError as _missing:
    raise ImportError("the gateway needs an extra: pip install 'iqiyi-async[web]'") from _missing

from .gateway import TusGateway
from .records import BrowserUpload, UploadGrant
from .spool import Spool

__all__ = ["BrowserUpload", "Spool", "TusGateway", "UploadGrant"]
