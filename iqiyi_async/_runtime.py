"""Who is given to whom, and for how long: everything that lives as long as a client does.

What belongs here: making the rooms of one client, counting its uploads, and closing all of it in order. What must
not: what an operation is (`client`), and how an upload goes (`upload`).
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio

from ._auth import TokenManager
from ._lanes import Lanes
from ._retry import Retries
from ._session import Session
from .config import Endpoints, RetryPolicy, UploadOptions
from .errors import ConfigurationError, VideoCloudError
from .models import Metadata, UploadReceipt
from .protocol import hosts
from .protocol.wire import SecretName, Secrets
from .stores.base import TokenStore, UploadJournal
from .transport import Connection, Network, Timeouts
from .upload.journal_session import JournalSession, journal_key
from .upload.pool import WorkerPool
from .upload.progress import OnProgress, Progress
from .upload.source import Source
from .upload.upload import Upload

if TYPE_CHECKING:
    from .transport.borrowed import Transport

#: Connections for everything that is not a chunk. Such calls are short; more of them would only wait at the service.
CONTROL_LANES = 8


class ClientRuntime:
    """The rooms of one client."""

    #: Unix time in seconds; a simulation sets its own.
    wall_clock = staticmethod(time.time)
    random = staticmethod(random.random)

    def __init__(
        self,
        credentials: Secrets,
        *,
        token_store: TokenStore,
        journal: UploadJournal | None,
        endpoints: Endpoints,
        options: UploadOptions,
        retry: RetryPolicy,
        transport: Transport | None,
    ) -> None:
        self.endpoints = endpoints
        self._journal = journal
        self._network = Network(
            timeouts=Timeouts(options.connect_timeout, options.stall_timeout),
            trusted=hosts.trusted_origins(endpoints),
            public=hosts.is_public(endpoints),
            clock=self.wall_clock,
            transport=transport,
        )
        self._control = Lanes(CONTROL_LANES, partial(Connection, self._network))
        self.session = Session(control=self._control, retries=Retries(retry, self.random))
        self.auth = self.session.auth = TokenManager(
            app_key=credentials[SecretName.APP_KEY],
            app_secret=credentials[SecretName.APP_SECRET],
            endpoints=endpoints,
            store=token_store,
            send=self.session.send_for_token,
            clock=self.wall_clock,
            random=self.random,
        )
        self.pool = WorkerPool(self._network, options, endpoints.backups)
        self._uploads: dict[Upload, asyncio.Event] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.state = "open"

    @property
    def uploads(self) -> int:
        """How many uploads are under way."""
        return len(self._uploads)

    def check_usable(self, *, new_upload: bool = False) -> None:
        """Look whether the client may be used here and now.

        Raises:
            ConfigurationError: it is closed, or belongs to another event loop.
            VideoCloudError: it is draining, and takes no new uploads.
        """
        if self.state == "closed":
            raise ConfigurationError("the client is closed; make a new one")
        if new_upload and self.state == "draining":
            raise VideoCloudError("the client is shutting down and takes no new uploads", retryable=True)
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigurationError("the client was used in another event loop before; make one client for each loop")

    async def upload(self, source: Source, metadata: Metadata, on_progress: OnProgress | None) -> UploadReceipt:
        """Run one upload, known to `drain` and `aclose` while it lasts."""
        progress = Progress(source.size, asyncio.get_running_loop().time, on_progress)
        identity = None if self._journal is None else await source.identify()
        key = "" if identity is None else journal_key(self.auth.account, identity, source.file_type, metadata)
        # Nothing is awaited from here to the upload itself: `drain` and `aclose` see it, or it does not begin.
        self.check_usable(new_upload=True)
        upload = Upload(
            session=self.session,
            pool=self.pool,
            endpoints=self.endpoints,
            source=source,
            metadata=metadata,
            log=JournalSession(self._journal if key else None, key),
            progress=progress,
        )
        over = self._uploads[upload] = asyncio.Event()
        try:
            return await upload.run()
        finally:
            del self._uploads[upload]
            over.set()

    async def drain(self, timeout: float) -> None:
        """Take no new uploads; let those finish that can within `timeout` seconds, stop the others where they can go
        on."""
        self.check_usable()
        self.state = "draining"
        for upload in self._uploads:
            upload.stop(timeout)
        waiting = list(self._uploads.values())
        with anyio.move_on_after(timeout):
            for over in waiting:
                await over.wait()
        await self._abort()

    async def aclose(self) -> None:
        """End everything, in order: uploads, the renewal of the token, connections. What was given by the caller
        stays open."""
        if self.state == "closed":
            return
        self.state = "closed"
        self._network.closed = True
        with anyio.CancelScope(shield=True):
            await self._abort()
            await self.auth.aclose()
            await self._control.aclose()
            await self.pool.aclose()

    async def _abort(self) -> None:
        ending = list(self._uploads.items())
        for upload, _ in ending:
            upload.abort()
        for _, over in ending:
            await over.wait()
