"""Addresses that the emulator hands out, and the proof that they are its own.

A play URL lives for a quarter of an hour and leads to a second exchange; that one gives the real URL, which lives as
long. Both carry their expiry and a signature over it, so nothing about them needs to be stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

import attrs

from .clock import Clock
from .contract import FORMATS
from .state import FileRecord, State

_PATH = re.compile(r"/(play|media|segment)/([0-9a-f]{32})/(mp4|m3u8)/([0-9]+)(?:\.[a-z0-9_+-]+)?")


class LinkError(Exception):
    """This address cannot be served; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@attrs.frozen
class Link:
    """What a checked address leads to.

    Attributes:
        file_id: the video.
        kind: its format: mp4 or m3u8.
        quality: the key of its quality.
        is_segment: whether it leads to the bytes that a playlist names.
    """

    file_id: str
    kind: str
    quality: str
    is_segment: bool = False


class Links:
    """Makes and checks addresses."""

    def __init__(
        self, state: State, clock: Clock, lifetime: float, qualities: tuple[str, ...] = ("96", "1", "2")
    ) -> None:
        self._state = state
        self._clock = clock
        self._lifetime = lifetime
        self._qualities = qualities

    def play_urls(self, base: str, record: FileRecord) -> dict[str, dict[str, str]]:
        """Sections 4 and 6: for each format and quality the address of the second exchange."""
        qualities = record.qualities or self._qualities
        urls = {
            kind: {
                key: self._signed(base, f"/play/{record.file_id}/{kind}/{key}.{kind}")
                for key in qualities
                if key in keys
            }
            for kind, keys in FORMATS.items()
        }
        return {kind: addresses for kind, addresses in urls.items() if addresses}

    def real_url(self, base: str, link: Link, file_type: str) -> str:
        """Where the video is: the file itself, or a playlist that leads to it."""
        ending = "m3u8" if link.kind == "m3u8" else file_type
        return self._signed(base, f"/media/{link.file_id}/{link.kind}/{link.quality}.{ending}")

    def segment_url(self, base: str, link: Link, file_type: str) -> str:
        """Where the one segment of a playlist is."""
        return self._signed(base, f"/segment/{link.file_id}/{link.kind}/{link.quality}.{file_type}")

    def check(self, path: str, query: Mapping[str, str]) -> Link:
        """What a path and its query lead to.

        Raises:
            LinkError: 404 no such address; 403 not signed by this emulator, or expired.
        """
        match = _PATH.fullmatch(path)
        if match is None or match[4] not in FORMATS.get(match[3], ()):
            raise LinkError(404, "no such address")
        expires = query.get("expires", "")
        expected = self._signature(path, expires)
        if not hmac.compare_digest(expected.encode(), query.get("sign", "").encode("utf-8", "surrogatepass")):
            raise LinkError(403, "the signature of this address is wrong")
        if int(expires) <= self._clock.now():
            raise LinkError(403, "this address has expired; ask for the URL list again")
        return Link(match[2], match[3], match[4], match[1] == "segment")

    def _signed(self, base: str, path: str) -> str:
        expires = str(int(self._clock.now() + self._lifetime))
        return f"{base}{path}?expires={expires}&sign={self._signature(path, expires)}"

    def _signature(self, path: str, expires: str) -> str:
        text = f"{path}?{expires}".encode("utf-8", "surrogatepass")
        return hmac.new(self._state.signing_key, text, hashlib.sha256).hexdigest()[:32]
