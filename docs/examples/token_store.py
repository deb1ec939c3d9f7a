"""A token store of your own: tokens in a table of your application's database, here SQLite.

`test_token_store.py` proves it with the suite that the library's own stores pass.
"""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import AsyncGenerator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from datetime import datetime
from pathlib import Path
from typing import Any

from iqiyi_async import Token
from iqiyi_async.stores import StoredToken

SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (key TEXT PRIMARY KEY, version INTEGER NOT NULL, token TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS leases (key TEXT PRIMARY KEY, holder TEXT NOT NULL, ends REAL NOT NULL);
"""


class TableTokenStore:
    """Tokens in two tables. Encrypt what `_written` returns if others can read the database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1)  # statements are carried out in their order

    async def load(self, key: str) -> StoredToken | None:
        found = await self._execute("SELECT version, token FROM tokens WHERE key = ?", key)
        return StoredToken(found[0][0], _read(found[0][1])) if found else None

    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        """One statement compares and writes, so that two processes can't both succeed."""
        if expected is None:
            done = await self._execute(
                "INSERT INTO tokens VALUES (?, 1, ?) ON CONFLICT DO NOTHING RETURNING version", key, _written(token)
            )
        else:
            done = await self._execute(
                "UPDATE tokens SET version = version + 1, token = ? WHERE key = ? AND version = ? RETURNING version",
                _written(token),
                key,
                expected,
            )
        return StoredToken(done[0][0], token) if done else None

    @asynccontextmanager
    async def lease(self, key: str, *, ttl: float) -> AsyncGenerator[None, None]:
        """A row that one holder has at a time; a holder that died keeps it for `ttl` seconds at most."""
        holder = secrets.token_hex(8)
        try:
            while not await self._hold(key, holder, ttl):  # noqa: ASYNC110 - another process can't set an event
                await asyncio.sleep(0.05)
            yield
        finally:
            # Behind the statement that may have taken it, and carried out although this task is cancelled.
            given_back = self._submit("DELETE FROM leases WHERE key = ? AND holder = ?", key, holder)
            await asyncio.shield(asyncio.wrap_future(given_back))

    async def aclose(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)

    async def _hold(self, key: str, holder: str, ttl: float) -> bool:
        now = time.time()
        statement = """INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE
            SET holder = excluded.holder, ends = excluded.ends WHERE leases.ends < ? RETURNING holder"""
        return bool(await self._execute(statement, key, holder, now + ttl, now))

    async def _execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return await asyncio.wrap_future(self._submit(statement, *values))

    def _submit(self, statement: str, *values: object) -> Future[list[tuple[Any, ...]]]:
        return self._thread.submit(self._in_thread, statement, values)

    def _in_thread(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            with closing(sqlite3.connect(self._path, timeout=10)) as database, database:
                database.executescript(SCHEMA)
                return list(database.execute(statement, values))
        except sqlite3.Error as problem:
            raise OSError(f"the table of tokens can't be used: {problem}") from problem


def _written(token: Token) -> str:
    return json.dumps(
        [token.access_token, token.refresh_token, token.obtained_at.isoformat(), token.expires_at.isoformat()]
    )


def _read(text: str) -> Token:
    access_token, refresh_token, obtained_at, expires_at = json.loads(text)
    return Token(access_token, refresh_token, datetime.fromisoformat(obtained_at), datetime.fromisoformat(expires_at))
