"""Run one seed again and tell it, or many seeds and count.

python -m tests.simulation --seed 4711
python -m tests.simulation --runs 10000 [--first 0]
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import argparse
import logging
import sys
import time

from .world import Run, simulate


def tell(run: Run) -> None:
    print(run.script)
    print("\n".join(run.trace))
    for problem in run.problems:
        print("PROBLEM", problem)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one run again, told step by step")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first of many seeds")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if options.seed is not None:
        run = simulate(options.seed)
        tell(run)
        return 1 if run.problems else 0
    began, chunks, failed = time.monotonic(), 0, 0
    for seed in range(options.first, options.first + options.runs):
        run = simulate(seed)
        chunks += run.chunks
        if run.problems:
            failed += 1
            print(f"seed {seed}: {run.problems[0]}; again with: python -m tests.simulation --seed {seed}")
    seconds = time.monotonic() - began
    print(f"{options.runs} runs, {chunks} chunks, {failed} failed, {60 * options.runs / seconds:.0f} runs a minute")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
