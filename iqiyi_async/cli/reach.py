"""How an address is reached: its name, a connection, TLS, and what time it is there."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import attrs

from .findings import Finding, failed, fine, warned
from .messages import told
from .texts import about, joined, tr

#: A step that takes longer (seconds) would not work for an upload either.
PATIENCE = 10.0
#: Bytes of an answer's head that are looked at.
HEAD = 16384
#: Clocks that are so far apart (seconds) make logs of both sides hard to compare, and certificates look expired.
SKEW = 60.0


@attrs.frozen
class Reached:
    """What became of reaching an address.

    Attributes:
        finding: as it is shown.
        skew: seconds by which the clock there is ahead, or None.
    """

    finding: Finding
    skew: float | None = None


async def reach(address: str, *, needed: bool) -> Reached:
    """Resolve, connect, greet, and ask for nothing in particular.

    Args:
        address: an http(s) address.
        needed: whether uploads fail without it.
    """
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    bad = failed if needed else warned
    steps: list[str] = []
    writer: asyncio.StreamWriter | None = None
    step = tr("name lookup")
    remedy = tr("check the name and the name server (DNS)")
    try:
        async with asyncio.timeout(PATIENCE):
            began = time.monotonic()
            loop = asyncio.get_running_loop()
            infos = await loop.getaddrinfo(host, port, type=1)
            steps.append(_timed(step, began))
            step, began = tr("connection"), time.monotonic()
            remedy = tr("check the network and its firewall: port {port} must be open", port=port)
            reader, writer = await _connect(infos, host, port)
            steps.append(_timed(step, began))
            if parts.scheme == "https":
                step, began = "TLS", time.monotonic()
                remedy = tr("check the certificates of this machine (SSL_CERT_FILE) and its clock")
                await writer.start_tls(ssl.create_default_context(), server_hostname=host)
                steps.append(_timed(step, began))
            step, remedy = tr("answer"), tr("check the address: nothing there speaks HTTP")
            skew = await _skew(reader, writer, parts.netloc)
    except TimeoutError:
        return Reached(bad(address, tr("{step}: nothing within {seconds} s", step=step, seconds=PATIENCE), remedy))
    except (OSError, ssl.SSLError, EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Reached(bad(address, about(step, told(reason)), remedy))
    finally:
        if writer is not None:
            writer.transport.abort()
    return Reached(fine(address, joined(steps)), skew)


def look_at_clock(reached: Sequence[Reached]) -> Finding:
    """Compare the clocks."""
    skews = [each.skew for each in reached if each.skew is not None]
    if not skews:
        return fine("clock", tr("not compared: no address told the time"))
    skew = sorted(skews)[len(skews) // 2]
    if abs(skew) > SKEW:
        return warned(
            "clock",
            tr("this machine's clock is {seconds} s off", seconds=f"{-skew:+.0f}"),
            tr("set the clock, or let it follow a time server (timedatectl set-ntp true)"),
        )
    return fine("clock", tr("agrees with the service within {seconds} s", seconds=f"{max(abs(skew), 1):.0f}"))


async def _connect(
    infos: Sequence[tuple[Any, ...]], host: str, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The first address that takes a connection."""
    problem: OSError = OSError(f"{host} has no address")
    for info in infos:
        where: tuple[str, int] = info[4][:2]
        try:
            return await asyncio.open_connection(where[0], port, limit=HEAD)
        except OSError as error:
            problem = error
    raise problem


async def _skew(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> float | None:
    asked = time.time()
    writer.write(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii"))
    line = await _line(reader)
    if not line.startswith(b"HTTP/"):
        raise ValueError(tr("no HTTP answer"))
    # The Date has whole seconds: half of one is the best guess.
    here = (asked + time.time()) / 2
    while line.strip():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"date":
            try:
                there = parsedate_to_datetime(value.decode("ascii").strip()).replace(tzinfo=UTC)
            except (ValueError, OverflowError):
                # It answers, and tells no time that can be read.
                return None
            return (there - datetime.fromtimestamp(here, UTC)).total_seconds() + 0.5
        line = await _line(reader)
    return None


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        raise ValueError(tr("no HTTP answer")) from None


def _timed(step: str, began: float) -> str:
    return f"{step} {(time.monotonic() - began) * 1000:.0f} ms"
