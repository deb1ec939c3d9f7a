"""Which address is which operation, at which host, with which methods, and what browsers are told about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from .contract import Operation

#: What the upload host answers to every request, as recorded.
UPLOAD_CORS: Final[Mapping[str, str]] = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, PUT, GET, HEAD, OPTIONS",
    "access-control-max-age": "21600",
    "access-control-allow-headers": (
        "filetype, filesize, file_size, access_token, range, file_id, range_finished, status"
    ),
}
#: The same of openapi.iqiyi.com.
API_CORS: Final[Mapping[str, str]] = {
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "X-Requested-With",
}

UPLOAD_HOSTS: Final = frozenset({"upload.iqiyi.com", "qichuan.iqiyi.com", "qc.iqiyi.com"})
API_HOSTS: Final = frozenset({"openapi.iqiyi.com"})


@attrs.frozen
class Route:
    """An address.

    Attributes:
        operation: what it is for.
        methods: how it may be asked.
        hosts: the service's hosts that have it.
    """

    operation: Operation
    methods: tuple[str, ...] = ("GET",)
    hosts: frozenset[str] = API_HOSTS

    @property
    def cors(self) -> Mapping[str, str]:
        """What browsers are told."""
        return UPLOAD_CORS if self.hosts is UPLOAD_HOSTS else API_CORS


ROUTES: Final[Mapping[str, Route]] = {
    "/openupload": Route(Operation.REQUEST_UPLOAD, ("GET", "POST"), UPLOAD_HOSTS),
    "/upload": Route(Operation.UPLOAD_CHUNK, ("POST",), UPLOAD_HOSTS),
    "/uploadfinish": Route(Operation.FINISH_UPLOAD, ("POST", "GET"), UPLOAD_HOSTS),
    "/cancelupload": Route(Operation.CANCEL_UPLOAD, ("POST", "GET"), UPLOAD_HOSTS),
    "/api/file/info": Route(Operation.SET_METADATA),
    "/api/iqiyi/authorize": Route(Operation.AUTHORIZE),
    "/api/enterprise/authorize": Route(Operation.AUTHORIZE),
    "/api/person/authorize": Route(Operation.AUTHORIZE),
    "/api/oauth2/token": Route(Operation.REFRESH_TOKEN),
    "/api/file/fullStatus": Route(Operation.GET_STATUS),
    "/api/file/videoListForExternal": Route(Operation.LIST_VIDEOS),
    "/api/file/videoForExternal": Route(Operation.LIST_VIDEOS),
    "/api/file/fetchvideolist": Route(Operation.LIST_VIDEOS),
    "/api/file/count": Route(Operation.COUNT_VIDEOS),
    "/api/file/urllist": Route(Operation.GET_URLS),
    "/api/file/delete": Route(Operation.DELETE_VIDEOS),
}
_PREFIXES: Final[Mapping[str, Route]] = {
    "/play/": Route(Operation.RESOLVE_URL, ("GET", "HEAD"), frozenset()),
    "/media/": Route(Operation.PLAY, ("GET", "HEAD"), frozenset()),
    "/segment/": Route(Operation.PLAY, ("GET", "HEAD"), frozenset()),
}


def route_of(path: str) -> Route | None:
    """The route of a path; one slash at its end makes no difference."""
    found = ROUTES.get(path) or ROUTES.get(path.removesuffix("/"))
    return found or next((route for start, route in _PREFIXES.items() if path.startswith(start)), None)
