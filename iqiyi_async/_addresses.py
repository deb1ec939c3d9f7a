"""Which texts are URLs that every part of this library reads alike, given by callers or by the service."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

#: Usual servers take no more, and the HTTP library refuses far longer ones with an error of its own.
MAX_URL = 8192

#: What has to be escaped in a URL (RFC 3986, 2); what is put on the wire is never mended, so it is refused before.
NOT_IN_URLS = ' \\"<>^`{|}'

#: A host, in brackets if it has colons, and perhaps a port.
_AUTHORITY = re.compile(r"(?:\[[^\[\]]*\]|[^\[\]:]*)(?::[0-9]*)?")
_NAME = re.compile(r"(?=.*[a-z0-9])[a-z0-9._-]+")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
#: What httpx takes for an IPv4 address, and refuses where it is none: any character separates its numbers.
_LIKE_IPV4 = re.compile(r"[0-9]+.[0-9]+.[0-9]+.[0-9]+")
#: RFC 1035, 2.3.4: no resolver asks for more.
_LONGEST_LABEL, _LONGEST_NAME = 63, 253


def problem_of(url: str) -> str | None:
    """Why a text is not an http(s) address that can be used, or None if it is.

    The length comes first, and nothing that is refused for it is kept anywhere (`urlsplit` keeps what it has seen).
    """
    if len(url) > MAX_URL:
        return "it is too long"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "it is not a URL"
    if parts.scheme not in ("http", "https"):
        return "its scheme is not http or https"
    if not host or port == 0:
        return "it names no host"
    if "@" in parts.netloc:
        return "it holds a user name"
    path, _, query = url.partition("?")
    # Quotation marks in a query are no URL either, but everybody sends them, and nobody takes them for something else.
    written = path + query.replace('"', "")
    if not url.isascii() or not url.isprintable() or any(c in written for c in NOT_IN_URLS) or not _is_plain(host):
        return "it holds a character that no URL has"
    if _AUTHORITY.fullmatch(parts.netloc) is None:
        return "its host is not written as a URL has it"
    if not _is_usual(host):
        return "its host is a number that is not an address in the usual spelling"
    if not _is_name(host):
        return "its host has an empty part, or one that is too long for a name"
    return None


def _is_plain(host: str) -> bool:
    """Whether a host is a name without escapes, or an address: some decode `%2e` in a host, and some do not."""
    if ":" not in host:
        return _NAME.fullmatch(host) is not None
    return _reads_as(IPv6Address, host.partition("%")[0])


def _is_usual(host: str) -> bool:
    """Whether a host whose last label is a number is an IPv4 address in four decimal parts.

    Resolvers take 127.1 and 0x7f.1 for addresses, some HTTP libraries take them for names, and others raise.
    """
    name = host.rstrip(".")
    numeric = _NUMBER.fullmatch(name.rpartition(".")[2]) or _LIKE_IPV4.fullmatch(host)
    return ":" in host or numeric is None or _reads_as(IPv4Address, name)


def _is_name(host: str) -> bool:
    """Whether the parts of a name are as long as name servers take them. A dot at the end is none."""
    name = host.removesuffix(".")
    return ":" in host or (len(name) <= _LONGEST_NAME and all(0 < len(x) <= _LONGEST_LABEL for x in name.split(".")))


def _reads_as(kind: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
