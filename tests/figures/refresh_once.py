"""Many processes with many tasks at the moment the token expires: how many renewals are asked for.

python tests/figures/refresh_once.py [PROCESSES=8] [TASKS=100] [ROUNDS=3]
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.reliability.crash import breeder
from tests.reliability.refresh import redis_server, stampede


def main(processes: int, tasks: int, rounds: int) -> int:
    wrong = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(redis_server())
        made = stack.enter_context(breeder())
        print(f"{processes} processes x {tasks} tasks at token expiry")
        for name in ("file", "redis"):
            for cancelled in (0.0, 0.5):
                for number in range(rounds):
                    store = str(folder / f"{cancelled}-{number}.json") if name == "file" else url
                    if store is None:
                        print("  redis: there is no redis-server on this machine")
                        continue
                    herd = stampede(made, store, processes=processes, tasks=tasks, cancelled=cancelled, seed=number)
                    wrong += (herd.refreshes, herd.authorizations) != (1, 0)
                    asked = f"{herd.refreshes} refresh(es), {herd.authorizations} authorization(s)"
                    ends = f"{herd.ends['VideoStatus']} answered, {herd.ends['CancelledError']} cancelled"
                    print(f"  {name:6}{asked}; {ends}, {herd.seconds:.2f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    chosen = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*[*chosen, *[8, 100, 3][len(chosen) :]]))
