"""A PostgreSQL server of the tests' own, which can be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Where Debian keeps the programs that are not on the path.
FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
PATIENCE = 30.0
#: The one user that needs a password.
LOCKED = "locked"


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, or None."""
    found = [Path(each).parent for each in (shutil.which("pg_isready"), shutil.which("initdb")) if each]
    return next((each for each in [*FOLDERS, *found] if (each / "initdb").exists()), None)


class Postgres:
    """A server with an empty database, on loopback."""

    def __init__(self, folder: Path) -> None:
        found = programs()
        assert found is not None
        self._programs = found
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all {LOCKED} 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        """Of its database."""
        return self.url_of("postgres")

    def url_of(self, database: str, user: str = "postgres") -> str:
        """Of a database, for a user who needs no password."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers. After a kill the old server's processes may still end: then it is tried
        again."""
        deadline = time.monotonic() + PATIENCE
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        self._process = self._launch()
        while self._process.poll() is not None or subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < deadline, "postgres does not answer"
            time.sleep(0.05)
            if self._process.poll() is not None:
                self._process = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        options = ["-k", str(self._folder), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        return subprocess.Popen(
            [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._as_user(),
        )

    def stop(self) -> None:
        """Stop it: connections are cut."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """Kill the server with all its processes."""
        self._end(signal.SIGKILL)

    def forget(self) -> None:
        """Empty the tables of batches."""
        self.sql("TRUNCATE iqiyi_batch CASCADE")

    def sql(self, statement: str, url: str = "") -> str:
        """Execute a statement; what it answers."""
        psql = [str(self._programs / "psql"), "-q", "-A", "-t", url or self.url, "-c", statement]
        return subprocess.run(psql, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            process.wait(PATIENCE)
            # Those that were started by it have groups of their own; they end when it is gone.
            (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True) if number == signal.SIGKILL else None

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *words], capture_output=True, text=True, check=False, **self._as_user()
        )
        assert done.returncode == 0, done.stderr

    def _as_user(self) -> dict[str, object]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "cwd": str(self._folder), "extra_groups": []}


@contextmanager
def running() -> Iterator[Postgres]:
    """A server that runs, and is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="iqiyi-pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = Postgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
