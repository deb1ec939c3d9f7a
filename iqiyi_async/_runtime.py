"""Who is given to whom, and for how long: everything that lives as long as a client does.

What belongs here: making the rooms of one client, counting its uploads, and closing all of it in order. What must
not: what an operation is (`client`), and how an upload goes (`upload`).
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from functools import partial

import anyio
import attrs
import httpx

from ._auth import Send, TokenManager
from ._clocks import boottime, loop_time
from ._outage import Outage
from ._patience import Patience
from ._retry import Retries
from ._session import Session
from ._telemetry import Telemetry
from .config import Endpoints, RetryPolicy, UploadOptions
from .errors import ConfigurationError, VideoCloudError
from .models import ClientStats
from .protocol import hosts
from .protocol.wire import SecretName, Secrets
from .stores.base import TokenStore, UploadJournal
from .transport import ConnectionPool, Connector, Deadlines, HttpClient, NameService
from .transport.foreign import ForeignTransport, takes_targets
from .transport.lane import LaneTransport
from .upload.finish import Finisher
from .upload.routes import BackupHosts
from .upload.sharing.bandwidth import RequestLimiter
from .upload.sharing.workers import WorkerPool
from .upload.upload import Service
from .upload.uploads import Uploads

#: When the client is closed, exchanges over a foreign transport that nobody waits for any more have so many seconds.
LEFTOVER_SECONDS = 5.0


@attrs.frozen
class Timing:
    """Clocks, chance, and the seconds that no option changes. A simulation has its own, and so have tests.

    Attributes:
        wall_clock: Unix time in seconds.
        lease_clock: seconds on a clock that goes on in suspend: leases are counted by it.
        random: a number from 0 to 1.
        store_seconds: a token store that says nothing for so long has failed.
        cancel_seconds: how long a cancelled caller waits at most while the service is told that an upload is off.
        late_seconds: no range is sent once more before.
        event_seconds: between two events of an upload.
    """

    wall_clock: Callable[[], float] = time.time
    lease_clock: Callable[[], float] = boottime
    random: Callable[[], float] = random.random
    store_seconds: float = 20.0
    cancel_seconds: float = 5.0
    late_seconds: float = 1.0
    event_seconds: float = 0.1


class ClientRuntime:
    """The rooms of one client."""

    def __init__(
        self,
        credentials: Secrets,
        timing: Timing,
        *,
        token_store: TokenStore,
        journal: UploadJournal | None,
        endpoints: Endpoints,
        options: UploadOptions,
        retry: RetryPolicy,
        call_retry: RetryPolicy,
        transport: httpx.AsyncBaseTransport | None,
        ssl_context: ssl.SSLContext | None = None,
        shared: ClientRuntime | None = None,
    ) -> None:
        self.timing = timing
        self.endpoints = endpoints
        self._shared = shared
        self.options = options
        self.pool: WorkerPool = WorkerPool(options, timing.late_seconds) if shared is None else shared.pool
        self.pool.join()
        workers = self.pool.tuner.most_workers
        #: Connections for ranges. Clients that share a pool share their number.
        self.ranges: ConnectionPool = ConnectionPool(2 * workers) if shared is None else shared.ranges
        self._foreign = None if transport is None else ForeignTransport(transport, workers)
        trusted = hosts.trusted_origins(endpoints)
        requests = options.max_requests_per_second
        connector = Connector(
            NameService(), open_to=trusted if hosts.is_public(endpoints) else None, ssl_context=ssl_context
        )
        self._http = HttpClient(
            make=partial(LaneTransport, connector) if self._foreign is None else self._foreign.lane,
            control=ConnectionPool(options.max_control_connections),
            ranges=self.ranges,
            trusted=trusted,
            deadlines=Deadlines(options.connect_timeout, options.stall_timeout),
            clock=timing.wall_clock,
            before_request=None if requests is None else RequestLimiter(requests, time.monotonic).take,
            # httpx's own transport takes the target from where it holds no secret for instruments to note.
            whole_url=transport is not None and not takes_targets(transport),
            quotes=transport is None,
        )

        def make_auth(send: Send) -> TokenManager:
            return TokenManager(
                app_key=credentials[SecretName.APP_KEY],
                app_secret=credentials[SecretName.APP_SECRET],
                endpoints=endpoints,
                store=token_store,
                send=send,
                clock=timing.wall_clock,
                random=timing.random,
                impatience=max(5.0, call_retry.outage_patience),
                store_seconds=timing.store_seconds,
            )

        # Where calls without a range go. A host of ranges alone has a gate of its own.
        elsewhere = frozenset[str]() if options.parameters == "body" else frozenset({hosts.origin(endpoints.forms)})
        service_origins = (trusted - elsewhere) | {hosts.origin(endpoints.api), hosts.origin(endpoints.upload)}
        self._outage = Outage(service_origins, retry, timing.random)
        self.session = Session(
            http=self._http,
            outage=self._outage,
            retries=Retries(retry, timing.random),
            call_retries=Retries(call_retry, timing.random),
            make_auth=make_auth,
            telemetry=Telemetry(ranges=options.trace_ranges),
        )
        self.auth = self.session.auth
        self.finisher = Finisher(
            self.session,
            endpoints,
            parameters=options.parameters,
            boundary=self.pool.boundary,
            patience=options.doubt_patience,
            sleep=asyncio.sleep,
            clock=loop_time,
        )
        self.patience: Patience = Patience(
            retry.outage_patience, sleep=asyncio.sleep, clock=loop_time, random=timing.random
        )
        service = Service(
            self.session,
            endpoints,
            options,
            self.pool,
            BackupHosts(endpoints.backups),
            self.finisher,
            cancel_seconds=timing.cancel_seconds,
            event_seconds=timing.event_seconds,
        )
        self.uploads: Uploads = Uploads(
            service,
            resources=self.pool.resources,
            journal=journal,
            account=self.auth.account,
            lease_clock=timing.lease_clock,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self.state = "open"

    def check_usable(self, *, new_upload: bool = False) -> None:
        """Look whether the client may be used here and now.

        Raises:
            ConfigurationError: it is closed, or belongs to another event loop.
            VideoCloudError: it is draining, and takes no new uploads.
        """
        if self.state in ("closing", "closed"):
            raise ConfigurationError("the client is closed; make a new one")
        if new_upload and self.state == "draining":
            raise VideoCloudError("the client is shutting down and takes no new uploads", retryable=True)
        self.bind(asyncio.get_running_loop())

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """The client belongs to the loop that it is first used in, and so does the one whose workers it shares.

        Raises:
            ConfigurationError: it is another loop.
        """
        if self._shared is not None:
            self._shared.bind(loop)
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigurationError("the client was used in another event loop before; make one client for each loop")

    def stats(self) -> ClientStats:
        """What the client is doing at this moment."""
        return ClientStats(
            active=len(self.uploads),
            waiting=self.uploads.waiting,
            workers_busy=self.pool.busy,
            workers=self.pool.tuner.workers,
            outage=self._outage.down,
            bytes_per_second=self.uploads.rate,
        )

    async def drain(self, timeout: float) -> None:
        """Take no new uploads; let those finish that can within `timeout` seconds, stop the others where they can go
        on."""
        self.check_usable()
        self.state = "draining"
        await self.uploads.drain(timeout)

    def begin_close(self) -> None:
        """Take nothing new: who is told of an end that follows sees why."""
        if self.state != "closed":
            self.state = "closing"

    async def aclose(self) -> None:
        """End everything, in order: uploads, the renewal of the token, connections. What was given by the caller
        stays open."""
        if self.state == "closed":
            return
        self.state = "closed"
        with anyio.CancelScope(shield=True):
            await self.uploads.abort()
            await self.session.aclose()
            self._http.close()
            if self._foreign is not None:
                await self._foreign.wait_closed(LEFTOVER_SECONDS)
            await self.pool.leave()
