"""``python -m benchmarks``: run the scenarios, print a table for each, write everything as JSON."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from . import competitors, report
from .measure import wait_for_quiet
from .processes import CHECKOUT, RunFailedError
from .scenarios import ALL, Scenario
from .scenarios.base import Case, Goal, Plan, Samples
from .stand import Stand
from .task import Result

#: How often a run is done at most while the machine is noisy.
_TRIES = 5
#: Seconds for which each of them waits for the machine to become quiet.
_PATIENCE = 30.0
_RESULTS = Path(__file__).parent / "results" / "latest.json"


def main() -> int:
    """Exit code 0 if every run did its task, whether goals are reached or not."""
    told = _arguments()
    console = report.console()
    missing = {name: why for name in competitors.NAMES if (why := _why_not(name))}
    for name, why in missing.items():
        console.print(f"[yellow]{name} can't take part:[/] {why}", highlight=False)
    plan = Plan(
        quick=told.quick,
        repeats=told.repeat or (2 if told.quick else 5),
        competitors=tuple(name for name in told.who or competitors.NAMES if name not in missing),
        noise=told.noise / 100,
        loop=told.loop,
        profile=told.profile and str(Path(told.profile).resolve()),
        extra=dict(told.set),
    )
    if plan.profile:
        Path(plan.profile).mkdir(parents=True, exist_ok=True)
    started = datetime.now(UTC)
    machine, tables = report.machine(), {}
    goals: list[Goal] = []
    failures: list[str] = []
    for name in told.only or ALL:
        scenario = ALL[name]
        samples = _measure(scenario, plan, told.scratch, failures)
        console.print(report.table(scenario, samples, quick=plan.quick))
        tables[name] = report.as_json(scenario, samples)
        goals += scenario.goals(samples)
    if goals:
        console.print(report.goals_table(goals, judged=not plan.quick))
    written = {
        "started": started.isoformat(timespec="seconds"),
        "arguments": sys.argv[1:],
        "machine": machine,
        "versions": report.versions(),
        "repeats": plan.repeats,
        "quick": plan.quick,
        "noise": plan.noise,
        "missing": missing,
        "scenarios": tables,
        "goals": report.goals_json(goals, judged=not plan.quick),
        "failures": failures,
    }
    _write(told.json, written)
    console.print(f"Written to {told.json}", highlight=False)
    for failure in failures:
        # The whole traceback is in the JSON; its last line says what it was.
        what, _, traceback = failure.strip().partition("\n")
        console.print(f"FAILED {what} {traceback.rpartition(chr(10))[2]}", style="red", highlight=False, markup=False)
    return 1 if failures else 0


def _measure(scenario: Scenario, plan: Plan, scratch: Path | None, failures: list[str]) -> Samples:
    """All runs of a scenario, competitors in turn; a run that fails is noted and the rest go on."""
    samples = Samples()
    with Stand(scratch) as stand:
        cases = scenario.cases(plan, stand)
        # So that the table keeps the cases' order whatever the order of the runs.
        samples.results.update({case: [] for case in cases})
        runs = list(in_turn(cases, plan.repeats))
        for number, (case, repeat) in enumerate(runs, 1):
            begun = time.monotonic()
            try:
                result, again = _quiet_run(case, stand, plan, repeat)
            except RunFailedError as failure:
                failures.append(f"{scenario.name}, {case.setting}, {case.competitor}: {failure}")
                continue
            samples.add(case, result)
            noise = f", again {again} times for noise" if again else ""
            _progress(f"{scenario.name} {number}/{len(runs)}: {case.setting}, {case.competitor}{noise}", begun)
    samples.drop_empty()
    return samples


def _quiet_run(case: Case, stand: Stand, plan: Plan, repeat: int) -> tuple[Result, int]:
    """A run, done again while others take too much of the machine; and how often it was. The quietest one counts.

    What others take says nothing about the competitor, so that to choose by it favours none.
    """
    tries: list[Result] = []
    most = _TRIES if plan.noise and case.minds_noise else 1
    while len(tries) < most and not any(each.others <= plan.noise for each in tries):
        if most > 1:
            wait_for_quiet(plan.noise, _PATIENCE)
        tries.append(case.run(stand, plan, repeat))
    return min(tries, key=lambda each: each.others), len(tries) - 1


def in_turn(cases: Sequence[Case], repeats: int) -> Iterator[tuple[Case, int]]:
    """Competitors of one setting follow one another, each repetition beginning with another one."""
    settings = [list(group) for _, group in groupby(cases, key=lambda case: case.setting)]
    for repeat in range(repeats):
        for group in settings:
            first = repeat % len(group)
            for case in group[first:] + group[:first]:
                yield case, repeat


def _progress(what: str, begun: float) -> None:
    print(f"{what} ({time.monotonic() - begun:.1f} s)", file=sys.stderr, flush=True)


def _why_not(name: str) -> str:
    """Why a competitor can't be loaded, in a few words; nothing if it can."""
    program = f"from benchmarks.competitors import load; load({name!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=CHECKOUT, check=False
    )
    return done.stderr.strip().rpartition("\n")[2][:200] if done.returncode else ""


def _write(path: Path, written: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(written, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="See benchmarks/README.md.")
    parser.add_argument("--quick", action="store_true", help="a smoke run: sizes / 16, 2 repetitions, nothing judged")
    parser.add_argument("--only", type=_names(tuple(ALL)), help=f"some of {','.join(ALL)}")
    parser.add_argument("--who", type=_names(competitors.NAMES), help=f"some of {','.join(competitors.NAMES)}")
    parser.add_argument("--repeat", type=int, help="repetitions of every case (5)")
    parser.add_argument(
        "--noise",
        type=float,
        default=0,
        metavar="PERCENT",
        help=f"do a run again, up to {_TRIES} times, while others take more of the machine than this; 0: never",
    )
    parser.add_argument("--json", type=Path, default=_RESULTS, help="where the results go (%(default)s)")
    parser.add_argument("--scratch", type=Path, help="folder for the files to be uploaded (2 GiB at most)")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="for the asyncio competitors")
    parser.add_argument("--profile", default="", metavar="FOLDER", help="cProfile files of our own runs; slows them")
    parser.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="a further UploadOptions of our own library, such as chunk_size=auto",
    )
    return parser.parse_args()


def _names(allowed: tuple[str, ...]) -> Any:
    def names(text: str) -> list[str]:
        told = text.split(",")
        if unknown := set(told) - set(allowed):
            raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))}; there are {', '.join(allowed)}")
        return told

    return names


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
