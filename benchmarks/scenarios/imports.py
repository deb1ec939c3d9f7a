"""Import time: what ``import iqiyi_async`` costs over ``import httpx``, and what each costs once its client is named.

The second counts as well: a package that loads its parts when they are asked for has not made them cheaper.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .. import processes
from ..stand import Stand
from ..task import Result
from .base import Case, Goal, Metric, Plan, Samples, Scenario, ratio

#: Fresh interpreters for one figure.
_TIMES = 5
_PACKAGE, _CLIENT = "the package", "its client"
_STATEMENTS = {
    ("ours", _PACKAGE): "import iqiyi_async",
    ("httpx", _PACKAGE): "import httpx",
    ("ours", _CLIENT): "from iqiyi_async import AsyncVideoCloud",
    ("httpx", _CLIENT): "from httpx import AsyncClient",
}
_PROGRAM = """\
import json, time
cpu, wall = time.process_time(), time.perf_counter()
{statement}
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""


@dataclass(frozen=True)
class ImportCase(Case):
    """A case that runs one import statement."""

    def run(self, stand: Stand, plan: Plan, repeat: int) -> Result:
        """See the base class."""
        told = [self._once(stand.folder / "compiled") for _ in range(_TIMES)]
        return Result(
            wall=statistics.median(wall for wall, _ in told),
            cpu=statistics.median(cpu for _, cpu in told),
            rss_before=0,
            rss_peak=0,
        )

    def _once(self, compiled: Path) -> tuple[float, float]:
        statement = _STATEMENTS[self.competitor, self.setting]
        program = _PROGRAM.format(statement=statement)
        # Bytecode is written, and read, whatever the machine's habits are.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=processes.CHECKOUT,
            env=environment,
            check=False,
        )
        if done.returncode:
            raise processes.RunFailedError(f"{statement} failed:\n{done.stderr[-2000:]}")
        wall, cpu = json.loads(done.stdout)
        return wall, cpu


_WALL = Metric("ms", lambda _, result: 1000 * result.wall, 1)
_CPU = Metric("CPU ms", lambda _, result: 1000 * result.cpu, 1)


def _cases(plan: Plan, stand: Stand) -> list[Case]:
    cases: list[Case] = [
        ImportCase(name, setting) for setting in (_PACKAGE, _CLIENT) for name in plan.among("ours", "httpx")
    ]
    for case in cases:
        # Once before anything counts, so that everything is compiled.
        case.run(stand, plan, 0)
    return cases


def _goals(samples: Samples) -> list[Goal]:
    goals: list[Goal] = []
    for setting in (_PACKAGE, _CLIENT):
        ours, theirs = (samples.median(name, setting, _WALL) for name in ("ours", "httpx"))
        goals += ratio(f"import time of {setting}, to httpx", ours, theirs, 1.25, at_least=False)
    return goals


SCENARIO = Scenario("imports", "Import time", _cases, (_WALL, _CPU), _goals)
