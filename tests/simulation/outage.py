"""Many calls in a full outage: how many requests a client makes for them."""

from __future__ import annotations

import asyncio
import random

import attrs

from iqiyi_async import Endpoints, Metadata, RetryPolicy, UploadOptions, VideoCloudError
from iqiyi_async.emulator.config import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, EmulatorConfig

from .clock import VirtualLoop
from .network import Network, Weather
from .service import BASE, LocalService
from .world import virtual_client

#: Ways in which nothing gets through.
OUTAGES = ("refused", "connect_hangs", "cut_on_the_way", "silence", "turned_away")
#: What an upload asks for before its first range can be sent.
BEGINNING = 1
#: Probes while the calls of an upload wait: for `outage_patience`, at least half of `max_backoff` apart, but for the
#: first few.
PROBES = 600 / 10 + 8


@attrs.frozen
class Storm:
    """What an outage came to.

    Attributes:
        calls: calls that were asked for, each range of an upload one of them.
        requests: requests that were sent for them.
        budget: what the policy allows beyond them.
    """

    calls: int
    requests: int
    budget: int

    @property
    def bound(self) -> float:
        """The most that is allowed."""
        return 1.1 * self.calls + self.budget + PROBES


def outage(how: str, *, calls: int, uploads: int, budget: int, seed: int = 0) -> Storm:
    """Have one client make calls while it is well, then as many in a full outage, and count the latter's requests.

    Args:
        how: the fate of every request.
        calls: looks at a status, all at once.
        uploads: uploads that are begun in the outage.
        budget: of the policy.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_outage(how, calls, uploads, budget, seed))


async def _outage(how: str, calls: int, uploads: int, budget: int, seed: int) -> Storm:
    loop = asyncio.get_running_loop()
    service = LocalService(loop.time, EmulatorConfig())
    network = Network(service, Weather(), random.Random(seed), [])
    async with virtual_client(loop, seed)(
        DEFAULT_APP_KEY,
        DEFAULT_APP_SECRET,
        endpoints=Endpoints.single(BASE),
        options=UploadOptions(chunk_size=1000),
        retry=RetryPolicy(budget=budget),
        transport=network,
    ) as cloud:
        receipt = await cloud.upload(b"x" * 5000, Metadata("Before"), file_type="mp4")
        network.requests.clear()
        network.weather = Weather(outages=((0.0, float("inf"), how),))
        work = [cloud.get_status(receipt.file_id) for _ in range(calls)]
        work += [cloud.upload(b"y" * 5000, Metadata("In it"), file_type="mp4") for _ in range(uploads)]
        ends = await asyncio.gather(*work, return_exceptions=True)
    assert all(isinstance(end, VideoCloudError) for end in ends), ends
    return Storm(calls + BEGINNING * uploads, network.requests.total(), budget)
