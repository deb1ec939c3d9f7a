"""Where tokens are kept and uploads remembered.

What belongs here: the names. What must not: an import that costs time or needs an extra before it is used; the store
in Redis is therefore looked up only when somebody names it, and so is the journal in PostgreSQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models import Fingerprint, JournalEntry, Phase, StoredToken
from .base import TokenStore, UploadJournal
from .file import FileTokenStore
from .gateway import GatewayJournal, GatewayRecord, GatewayState, GatewayStore
from .memory import MemoryJournal, MemoryTokenStore
from .sqlite import SqliteJournal

if TYPE_CHECKING:
    from .postgres import PostgresJournal as PostgresJournal
    from .redis import RedisTokenStore as RedisTokenStore

__all__ = [
    "FileTokenStore",
    "Fingerprint",
    "GatewayJournal",
    "GatewayRecord",
    "GatewayState",
    "GatewayStore",
    "JournalEntry",
    "MemoryJournal",
    "MemoryTokenStore",
    "Phase",
    "PostgresJournal",
    "RedisTokenStore",
    "SqliteJournal",
    "StoredToken",
    "TokenStore",
    "UploadJournal",
]


def __getattr__(name: str) -> Any:
    if name == "RedisTokenStore":
        from .redis import RedisTokenStore

        return RedisTokenStore
    if name == "PostgresJournal":
        from .postgres import PostgresJournal

        return PostgresJournal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
