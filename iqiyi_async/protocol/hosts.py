"""Which host may be given what.

Two rules live here. Secrets go to the configured API hosts and nowhere else. An address that the service names (an
`upload_url`, a play URL) is followed only if it is plain http(s) without a user name, and does not lead into a
private network while the configured service is public: otherwise one forged answer could make a web back end
talk to its own neighbours.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from .._addresses import MAX_URL, problem_of
from ..config import Endpoints

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")
_LOCAL_ZONES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")

#: All of IPv6 that is handed out to the world (RFC 4291, 2.4): the rest is unassigned or private.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
#: Addresses whose last 32 bits are the IPv4 address that such a packet ends at: compatible and mapped (RFC 4291,
#: 2.5.5), translated (RFC 2765), NAT64 (RFC 6052).
_HOLDS_IPV4 = (
    IPv6Network("::/96"),
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("::ffff:0:0:0/96"),
    IPv6Network("64:ff9b::/96"),
)
#: Not all Python releases count the first (RFC 6890); the second is public by number, but answers each machine of one
#: cloud with its own secrets.
_INNER_IPV4 = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))


class Address(NamedTuple):
    """A URL in the parts that a request is made of.

    Attributes:
        scheme: http or https.
        host: a name or a number, as it is connected to.
        port: the scheme's own if the URL names none.
        authority: host and port as the URL has them, for the header of that name.
        target: path and query, as they came.
    """

    scheme: str
    host: str
    port: int
    authority: str
    target: str


@lru_cache(maxsize=256)
def address(url: str) -> Address:
    """Take a URL apart.

    Raises:
        ValueError: not a URL with a scheme and a host, or one that is too long.
    """
    if len(url) > MAX_URL:
        raise ValueError("too long")
    parts = urlsplit(url)
    if not parts.scheme or not parts.hostname:
        raise ValueError("not a URL with a scheme and a host")
    port = _DEFAULT_PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    # Cut out, not put together again: an empty query keeps its question mark.
    target = url.partition("://")[2].removeprefix(parts.netloc).partition("#")[0]
    return Address(parts.scheme, parts.hostname, port, parts.netloc, target if target[:1] == "/" else f"/{target}")


@lru_cache(maxsize=256)
def origin(url: str) -> str:
    """Scheme, host and port of a URL, in one spelling.

    Raises:
        ValueError: not a URL with a scheme and a host.
    """
    where = address(url)
    host = where.host.rstrip(".")
    host = f"[{host}]" if ":" in host else host
    return f"{where.scheme}://{host}:{where.port}"


def trusted_origins(endpoints: Endpoints) -> frozenset[str]:
    """The origins that secrets may be sent to."""
    return frozenset(map(origin, _addresses(endpoints)))


@lru_cache(maxsize=16)
def is_public(endpoints: Endpoints) -> bool:
    """Whether the configured service is out in the world, rather than an emulator or a proxy near by."""
    return not any(is_private_host(urlsplit(url).hostname or "") for url in _addresses(endpoints))


def forms_leave_home(endpoints: Endpoints) -> bool:
    """Whether forms would carry the token of a service near by out into the world: only `api` and `upload` were
    moved."""
    private = [is_private_host(address(url).host) for url in (endpoints.api, endpoints.upload, endpoints.forms)]
    return private == [True, True, False]


def _addresses(endpoints: Endpoints) -> list[str]:
    """Where calls with a token go."""
    named = (endpoints.api, endpoints.upload, endpoints.forms, endpoints.metadata, endpoints.urls)
    return [each for each in named if each is not None]


@lru_cache(maxsize=256)
def is_private_host(host: str) -> bool:
    """Whether a host, as it is written, is one of this machine's or of a private network."""
    name = host.rstrip(".").lower()
    if name in _LOCAL_NAMES or name.endswith(_LOCAL_ZONES) or not name:
        return True
    return is_private_address(name)


def is_private_address(text: str) -> bool:
    """Whether a text is an IP address, in any spelling that systems understand, that is not a public one."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        try:
            # 127.1, 0x7f.1 and 2130706433 are loopback too: inet_aton reads what the resolver would.
            address = IPv4Address(socket.inet_aton(text))
        except (OSError, ValueError):
            return False
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is None:
            return address not in _GLOBAL_UNICAST or not address.is_global
        address = inner
    return not address.is_global or address.is_multicast or any(address in network for network in _INNER_IPV4)


def _inner(address: IPv6Address) -> IPv4Address | None:
    if any(address in network for network in _HOLDS_IPV4):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def problem_with(url: str, *, private_allowed: bool) -> str | None:
    """Why an address that the service gave must not be followed, or None if it may.

    Args:
        url: what the service gave.
        private_allowed: whether the configured service is itself on a private network.
    """
    try:
        _check_given(url, private_allowed)
    except _RefusedError as refused:
        return str(refused)
    return None


class _RefusedError(Exception):
    """Why an address is refused."""


@lru_cache(maxsize=64)
def _check_given(url: str, private_allowed: bool) -> None:
    """The service names few addresses, for each upload anew. What raises is not kept: nothing refused fills memory."""
    problem = problem_of(url)
    if problem is not None:
        raise _RefusedError(problem)
    if not private_allowed and is_private_host(address(url).host):
        raise _RefusedError("it leads to a private, loopback or link-local address")


def base_of(url: str) -> str:
    """Scheme, host and port of a URL, as the URL spells them."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def fallback_urls(upload_url: str, endpoints: Endpoints) -> tuple[str, ...]:
    """Where the ranges of an upload may go, in order: the address that the service named, then the fallbacks of the
    endpoints (contract, C).

    A service on a private network is not left for a public host: its videos are nobody else's.
    """
    private = not is_public(endpoints)
    named = [upload_url]
    for fallback in endpoints.fallbacks:
        elsewhere = origin(fallback) not in map(origin, named)
        if elsewhere and not (private and not is_private_host(address(fallback).host)):
            named.append(f"{fallback}/upload")
    return tuple(named)
