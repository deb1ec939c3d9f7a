"""Stores that watch what is done to them, for more than one suite."""

from __future__ import annotations

from iqiyi_async import MemoryTokenStore, Token
from iqiyi_async.stores import StoredToken


class VersionedStore(MemoryTokenStore):
    """Notes the versions that are written."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: list[int] = []

    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        written = await super().compare_and_set(key, expected, token)
        if written is not None:
            self.versions.append(written.version)
        return written
