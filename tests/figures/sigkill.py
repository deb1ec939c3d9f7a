"""SIGKILL at N random moments of an upload: how many go on, and how much is sent again.

python tests/figures/sigkill.py [N=200] [SEED=1]
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.reliability.crash import CHUNK, SIZE, WORKERS, Outcome, Scene, moments


def main(count: int, seed: int) -> None:
    # The emulator's server library tells of each request whose client is killed.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    lost: list[str] = []
    with tempfile.TemporaryDirectory() as folder, Scene.set_up(Path(folder)) as scene:
        # The first one is slower: it gets a token, and everything is cold.
        duration = min(scene.duration() for _ in range(3))
        for number, delay in enumerate(moments(count, duration, seed)):
            try:
                outcomes.append(scene.kill(number, delay))
            except AssertionError as error:
                lost.append(f"kill {number} after {delay * 1000:.1f} ms: {error}")
    print(f"{count} kills (seed {seed}) of an upload of {SIZE} bytes that takes {duration * 1000:.0f} ms undisturbed")
    print(f"  before the first byte was accepted  {sum(each.before == 0 for each in outcomes):5}")
    print(f"  with some bytes accepted            {sum(0 < each.before < SIZE for each in outcomes):5}")
    print(
        f"  all bytes accepted, not finished    {sum(each.before == SIZE and not each.finished for each in outcomes):5}"
    )
    print(f"  finished already                    {sum(each.finished for each in outcomes):5}")
    print(f"went on, byte-identical, one video    {len(outcomes):5} of {count}")
    most = max((each.again for each in outcomes), default=0)
    print(f"most bytes sent again                 {most:9} of at most {WORKERS * CHUNK} (max_workers x chunk_size)")
    print(f"uploads without a byte left behind    {sum(each.orphans for each in outcomes):5}")
    print(f"{time.monotonic() - began:.1f} s")
    for line in lost:
        print("LOST", line)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["200", "1"][len(sys.argv) - 1 :])))
