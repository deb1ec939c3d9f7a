"""Which host may be given what.

Two rules live here. Secrets go to the configured API hosts and nowhere else. An address that the service names (an
`upload_url`,
a play URL) is followed only if it is plain http(s) without a user name, and does not lead into a private network while
the
configured service is public: otherwise whoever can forge one answer could make a web back end talk to its own
neighbours.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from ..config import Endpoints

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")
_LOCAL_ZONES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def origin(url: str) -> str:
    """Scheme, host and port of a URL, in one spelling.

    Raises:
        ValueError: not a URL with a scheme and a host.
    """
    parts = urlsplit(url)
    if not parts.scheme or not parts.hostname:
        raise ValueError("not a URL with a scheme and a host")
    host = parts.hostname.rstrip(".")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)}"


def trusted_origins(endpoints: Endpoints) -> frozenset[str]:
    """The origins that secrets may be sent to."""
    return frozenset({origin(endpoints.api), origin(endpoints.upload)})


def is_public(endpoints: Endpoints) -> bool:
    """Whether the configured service is out in the world, rather than an emulator or a proxy near by."""
    return not any(is_private_host(urlsplit(url).hostname or "") for url in (endpoints.api, endpoints.upload))


def is_private_host(host: str) -> bool:
    """Whether a host, as it is written, is one of this machine's or of a private network."""
    name = host.rstrip(".").lower()
    if name in _LOCAL_NAMES or name.endswith(_LOCAL_ZONES) or not name:
        return True
    return is_private_address(name)


def is_private_address(text: str) -> bool:
    """Whether a text is an IP address, in any spelling that systems understand, that is not a public one."""
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        try:
            # 127.1, 0x7f.1 and 2130706433 are loopback too: inet_aton reads what the resolver would.
            address = ipaddress.IPv4Address(socket.inet_aton(text))
        except (OSError, ValueError):
            return False
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or address
    return not address.is_global or address.is_multicast


def problem_with(url: str, *, private_allowed: bool) -> str | None:
    """Why an address that the service gave must not be followed, or None if it may.

    Args:
        url: what the service gave.
        private_allowed: whether the configured service is itself on a private network.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "it is not a URL"
    if parts.scheme not in ("http", "https"):
        return "its scheme is not http or https"
    if not host or port == 0:
        return "it names no host"
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        return "it holds a user name"
    if not url.isascii() or not url.isprintable() or any(c in url for c in ' \\"<>^`{|}'):
        return "it holds a character that no URL has"
    if not private_allowed and is_private_host(host):
        return "it leads to a private, loopback or link-local address"
    return None
