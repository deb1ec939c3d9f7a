"""Whole runs: every competitor sends the right bytes, and a run that does not do its task is no result."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.__main__ import in_turn
from benchmarks.competitors import NAMES
from benchmarks.content import KIB, MIB, Content
from benchmarks.processes import CHECKOUT, RunFailedError
from benchmarks.scenarios import ALL
from benchmarks.scenarios.base import Case, Goal, Metric, Plan, Samples
from benchmarks.stalls import StallPlan
from benchmarks.stand import Stand
from benchmarks.task import Files, Result, Task

SIZE = 2 * MIB + 4321


def task(name: str, folder: Path, *, uploads: int = 1, at_once: int = 1) -> Task:
    path = folder / "film.mp4"
    Content("random").write(path, SIZE)
    files = Files((str(path),), SIZE)
    return Task(name, files, workers=3, chunk_size=256 * KIB, uploads=uploads, at_once=at_once)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "hollow"])
def test_a_competitor_sends_the_right_bytes(name: str, tmp_path: Path) -> None:
    if name not in ("ours", "raw", "bystander"):
        pytest.importorskip(name)
    with processes.sink(check=True) as url:
        asked = task(name, tmp_path, uploads=3, at_once=2)
        result = processes.run(replace(asked, url=url), url, limit=40)
        counts = processes.counts(url)
    assert counts["wrong"] == 0
    # A bystander's helper sends small first uploads of its own.
    assert name == "bystander" or result.retries == 0
    assert result.wall > 0
    assert result.upload_p99 >= result.upload_p50 > 0


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    asked = task("raw", tmp_path)
    with processes.sink() as url, pytest.raises(RunFailedError, match="more than 2 s"):
        processes.run(replace(asked, url=url), url, limit=2, stalls=StallPlan(1, 30))


def test_a_run_with_wrong_bytes_is_no_result(tmp_path: Path) -> None:
    asked = task("raw", tmp_path)
    Path(asked.files.paths[0]).write_bytes(bytes(SIZE))
    with processes.sink() as url, pytest.raises(RunFailedError, match="WrongAnswerError"):
        processes.run(replace(asked, url=url), url, limit=20)


def test_a_run_that_sends_less_is_no_result(tmp_path: Path) -> None:
    asked = task("raw", tmp_path)
    claimed = Files(asked.files.paths, SIZE + MIB)
    with processes.sink() as url, pytest.raises(RunFailedError, match="bytes of"):
        processes.run(replace(asked, url=url, files=claimed), url, limit=20)


def test_values_cross_the_process_boundary(tmp_path: Path) -> None:
    asked = Task("raw", Files(("a", "b"), 5, "zero"), extra={"chunk_size": "auto"}, beat=0.5)
    assert Task.from_json(asked.to_json()) == asked
    told = Result(1.5, 0.5, 100, 200, lag_max=0.25)
    assert Result.from_json(told.to_json()) == told


def test_the_command_writes_what_it_measured(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    options = f"--quick --only sink,imports --who hollow,httpx --repeat 1 --json {written} --scratch {tmp_path}"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options.split()],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(written.read_text())
    assert set(figures["scenarios"]) == {"sink", "imports"}
    row = figures["scenarios"]["imports"]["rows"][0]
    assert row["competitor"] == "httpx"
    assert 1 < row["figures"]["ms"]["median"] < 10_000
    assert figures["failures"] == []
    assert list(tmp_path.iterdir()) == [written], "no scratch file is left"


class Named(Case):
    """A case that is never run."""

    def run(self, stand: Stand, plan: Plan, repeat: int) -> Result:
        raise NotImplementedError


def test_competitors_alternate_and_take_turns_at_beginning() -> None:
    cases = [Named(name, setting) for setting in ("x", "y") for name in ("a", "b", "c")]
    order = [(case.setting, case.competitor) for case, _ in in_turn(cases, 2)]
    assert "".join(name for _, name in order) == "abcabcbcabca"
    assert [setting for setting, _ in order] == ["x"] * 3 + ["y"] * 3 + ["x"] * 3 + ["y"] * 3


def test_figures_of_samples() -> None:
    metric = Metric("s", lambda _, result: result.wall)
    samples = Samples()
    for wall in (1.0, 9.0, 2.0):
        samples.add(Named("a", "x"), Result(wall, 0, 0, 0))
    samples.add(Named("a", "y"), Result(5.0, 0, 0, 0))
    assert samples.median("a", "x", metric) == 2.0
    assert samples.best("a", metric) == (5.0, "y")
    assert samples.median("b", "x", metric) is None
    assert samples.best("b", metric) is None
    assert Goal("", 1.0, 1.0, at_least=True).met
    assert not Goal("", 1.01, 1.0, at_least=False).met


def test_every_scenario_has_distinct_cases(tmp_path: Path) -> None:
    plan = Plan(quick=True, repeats=1, competitors=tuple(name for name in NAMES if name != "ours"))
    for scenario in ALL.values():
        with Stand(tmp_path) as stand:
            cases = scenario.cases(plan, stand)
            assert cases
            assert len({(case.setting, case.competitor) for case in cases}) == len(cases)
        assert list(tmp_path.iterdir()) == []
