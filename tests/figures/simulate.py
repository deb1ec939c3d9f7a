"""Simulated uploads under random faults until so many ranges were accepted: what was lost, doubled, or never ended.

python tests/figures/simulate.py [CHUNKS=100000] [SEED=0]
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.simulation.clock import HangError
from tests.simulation.outage import OUTAGES, outage
from tests.simulation.world import simulate


def main(wanted: int, seed: int) -> int:
    logging.disable(logging.CRITICAL)
    began, runs, chunks = time.monotonic(), 0, 0
    ends: Counter[str] = Counter()
    hangs: list[int] = []
    failures: list[str] = []
    while chunks < wanted:
        try:
            run = simulate(seed)
        except HangError:
            hangs.append(seed)
        else:
            chunks += run.chunks
            ends.update(end if isinstance(end, str) else type(end).__name__ for end in run.outcomes)
            failures += [f"seed {seed}: {problem}" for problem in run.problems]
        runs, seed = runs + 1, seed + 1
    seconds = time.monotonic() - began
    pace = 60 * runs / seconds
    print(f"{chunks} chunks accepted in {runs} runs of {sum(ends.values())} processes, {pace:.0f} runs a minute")
    for end, count in ends.most_common():
        print(f"  ended with {end:26}{count:8}")
    print(f"lost, doubled or wrong  {len(failures)}")
    print(f"hangs                   {len(hangs)}")
    for how in OUTAGES:
        storm = outage(how, calls=1000, uploads=50, budget=100)
        print(f"full outage, {how:15} {storm.requests:5} requests for {storm.calls} calls, at most {storm.bound:.0f}")
        if storm.requests > storm.bound:
            failures.append(f"outage: {how}")
    for line in [*failures, *(f"seed {each} hangs" for each in hangs)]:
        print("FAILED", line)
    return 1 if failures or hangs else 0


if __name__ == "__main__":
    chosen = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*[*chosen, *[100_000, 0][len(chosen) :]]))
