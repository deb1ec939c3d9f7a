"""Which chunk requests the sink lets stall, and where: a seeded plan, the same for every competitor of one
repetition.

Of every `every` chunk requests exactly one stalls, at a place drawn from the seed. (Drawing each request's lot by
itself would make the number of stalls, and so the time, a matter of luck.) Half of them stop in the middle of the
body, the others hold back the answer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Stall = Literal["body", "answer"]


@dataclass(frozen=True)
class StallPlan:
    """How chunk requests stall.

    Attributes:
        every: one request of so many; 0 for none.
        seconds: how long it makes no progress.
        seed: of the places.
    """

    every: int = 0
    seconds: float = 10.0
    seed: int = 0

    def at(self, index: int) -> Stall | None:
        """Where the chunk request of this index (from 0, in order of arrival) stalls, if it does."""
        if not self.every:
            return None
        block, place = divmod(index, self.every)
        draw = random.Random(self.seed * 1_000_003 + block)
        if place != draw.randrange(self.every):
            return None
        return "body" if draw.random() < 0.5 else "answer"
