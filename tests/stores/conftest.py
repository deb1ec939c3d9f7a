"""Servers of the tests' own: Redis without a port, on a socket in a folder that goes away with it, and PostgreSQL."""

from __future__ import annotations

import importlib
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..batch.postgres import Postgres, programs, running


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    pytest.importorskip("redis", reason="the redis library is not installed")
    importlib.import_module("iqiyi_async.stores._redis_client")  # reads from the disk, so not within an event loop
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server on this machine")
    # Not in pytest's folder: the path of a socket has 100 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="iqr-"))
    socket = folder / "s"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said: list[str] = []
        for line in server.stdout:
            said.append(line)
            if "Ready to accept connections" in line or "ready to accept connections" in line:
                break
        else:
            pytest.fail("redis-server did not start:\n" + "".join(said))
        try:
            yield f"unix://{socket}"
        finally:
            server.terminate()
            server.communicate(timeout=10)
            shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    if programs() is None:
        pytest.skip("there is no PostgreSQL on this machine")
    with running() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The URL of a database that no other test has."""
    name = f"test_{secrets.token_hex(6)}"
    postgres.sql(f"CREATE DATABASE {name}")
    yield postgres.url_of(name)
    postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")
