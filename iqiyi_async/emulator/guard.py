"""Who may use the control API: programs on this machine and the emulator's own page, never another web page.

A page of another site can make a browser send requests to loopback addresses, under a name of its own where it controls
the name service. Such requests show in the Host, Origin, Sec-Fetch-Site and Content-Type headers.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

from .contract import Code
from .replies import Reply, json_reply
from .violations import is_loopback, split_host

_FOREIGN_SITES = ("cross-site", "same-site")


def refusal(request: Request, public_url: str | None) -> Reply | None:
    """Why a control call is refused, as its answer; None for one that is allowed.

    Args:
        request: the control call.
        public_url: the configured address, whose host and origin are allowed besides loopback.
    """
    client, host = request.client, request.headers.get("host", "")
    if client is not None and not is_loopback(client.host):
        return _no(403, "the control API answers calls from loopback only")
    public = urlsplit(public_url) if public_url else None
    if not is_loopback(split_host(host)[0]) and (public is None or host.lower() != public.netloc.lower()):
        return _no(403, "the control API is served under a loopback address or --public-url only, not as this host")
    if request.headers.get("sec-fetch-site", "").lower() in _FOREIGN_SITES:
        return _no(403, "the control API takes no calls from other web pages")
    origin = request.headers.get("origin")
    own = {f"http://{host}".lower(), f"https://{host}".lower()}
    if public is not None:
        own.add(f"{public.scheme}://{public.netloc}".lower())
    if origin is not None and origin.lower() not in own:
        return _no(403, "the control API takes no calls from pages of another origin")
    return _check_content(request)


def _check_content(request: Request) -> Reply | None:
    """Refuse a body that is declared as anything but JSON: forms and plain text are what other pages can send."""
    content_type = request.headers.get("content-type")
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if not has_body or content_type is None or request.method not in ("POST", "PUT", "PATCH", "DELETE"):
        return None
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return None
    return _no(415, "send JSON: the Content-Type must be application/json (curl -H 'Content-Type: application/json')")


def _no(status: int, message: str) -> Reply:
    reply = json_reply({"code": Code.FAILED, "msg": message}, status)
    return reply.add_headers({"content-type": "application/json; charset=utf-8"})
