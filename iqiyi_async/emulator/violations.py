"""What requests do although the contract forbids it, where the service lets it pass: noted in the history."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from .calls import Call
from .contract import Operation
from .routes import API_HOSTS, UPLOAD_HOSTS, Route

_SECRETS = ("access_token", "client_secret", "refresh_token")


def split_host(header: str) -> tuple[str, int | None]:
    """Name and port of a Host header; an empty name for one that cannot be read."""
    try:
        parts = urlsplit(f"//{header}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return "", None
    return (name, port) if parts.netloc == header and "@" not in header else ("", None)


def is_loopback(name: str) -> bool:
    """Whether a host name or an address means this machine."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def of_call(call: Call, route: Route, public_url: str | None) -> Iterator[str]:
    """The violations that a request shows by itself, before it is handled."""
    wrong = _wrong_host(call, route, public_url)
    if wrong:
        yield wrong
    if (
        call.operation is Operation.DELETE_VIDEOS
        and call.query.get("delete_type") == "0"
        and call.query.get("file_ids")
    ):
        yield "delete_type=0 deletes everything, but file_ids names videos: send delete_type=1"


def of_chunk(call: Call) -> Iterator[str]:
    """The violations of a range, once its body has been read."""
    for name in sorted(call.named.intersection(_SECRETS)):
        yield f"{name} was sent along with a range: upload_url is the server's word, and must not get it"


def _wrong_host(call: Call, route: Route, public_url: str | None) -> str | None:
    header = call.request.headers.get("host", "")
    name, port = split_host(header)
    if public_url is not None and header.lower() == urlsplit(public_url).netloc.lower():
        return None
    if name in UPLOAD_HOSTS | API_HOSTS and (not route.hosts or name in route.hosts):
        return None
    # Behind a proxy the port is the proxy's; without one it is part of the address, and has to be named.
    server: tuple[str, int | None] = call.request.scope.get("server") or ("", None)
    if name and name == server[0] and port == server[1]:
        return None
    if is_loopback(name) and (port is not None or server[1] in (None, 80, 443)):
        return None
    return f"the Host header {header!r} is not where {call.path} was asked for"
