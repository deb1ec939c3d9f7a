"""What a seed leads to: the source, the options, and what is to happen to each process that uploads it."""

from __future__ import annotations

import random

import attrs

from iqiyi_async import RetryPolicy, UploadOptions

from .network import FATES, Weather

#: A process that was killed keeps its lease for this long, in seconds.
LEASE = 61.0


@attrs.frozen
class Attempt:
    """What one process is to do.

    Attributes:
        weather: what its requests meet.
        killed: after how many seconds it is killed, or None.
        cancelled: after how many seconds its caller has enough, or None.
        rest: seconds until the next process begins.
    """

    weather: Weather
    killed: float | None = None
    cancelled: float | None = None
    rest: float = LEASE


@attrs.frozen
class Script:
    """What a seed leads to."""

    seed: int
    size: int
    options: UploadOptions
    retry: RetryPolicy
    journal: bool
    stream: bool
    strict: bool
    token_lifetime: float
    attempts: tuple[Attempt, ...]

    @classmethod
    def of(cls, seed: int) -> Script:
        """Think one up."""
        chance = random.Random(seed)
        size = chance.choice([1, chance.randint(1, 2000), chance.randint(1, 48_000)])
        options = UploadOptions(
            max_workers=chance.randint(1, 8),
            chunk_size=chance.choice([257, 1024, 4096, 8192]),
            parameters=chance.choice(["headers", "body"]),
            on_failure=chance.choice(["keep", "keep", "cancel"]),
            connect_timeout=5.0,
            stall_timeout=20.0,
        )
        attempts = [_attempt(chance) for _ in range(chance.randint(0, 3))]
        return cls(
            seed=seed,
            size=size,
            options=options,
            retry=RetryPolicy(max_attempts=chance.randint(1, 8), budget=chance.choice([3, 20, 100])),
            journal=chance.random() < 0.8,
            stream=chance.random() < 0.15,
            strict=chance.random() < 0.5,
            token_lifetime=chance.choice([30.0, 300.0, 86_400.0]),
            attempts=(*attempts, Attempt(Weather())),
        )


def _attempt(chance: random.Random) -> Attempt:
    begin = chance.uniform(0, 5)
    outages = [(begin, begin + chance.expovariate(0.02), chance.choice([*FATES]))] if chance.random() < 0.3 else []
    weather = Weather(
        trouble=chance.choice([0.02, 0.1, 0.3, 0.6]),
        outages=tuple(outages),
        forgets=chance.choice([0.0, 0.0, 0.02]),
        lag=chance.choice([0.0, 0.0, chance.uniform(0, 30)]),
    )
    end = chance.expovariate(0.5)
    killed, cancelled = chance.choice([(None, None), (None, None), (end, None), (None, end)])
    return Attempt(weather, killed, cancelled, chance.choice([0.0, 10.0, LEASE]))
