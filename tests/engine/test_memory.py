"""Memory is that of the workers' chunks, whatever the size of the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1024 * 1024
SCRIPT = Path(__file__).parents[1] / "figures" / "memory_2gib.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["path", "stream"])
def test_growth_is_bounded(kind: str) -> None:
    command = [sys.executable, str(SCRIPT), "--size", str(256 * MIB + 7), "--kind", kind, "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=50).stdout)
    assert found["growth"] < 64 * MIB
    # Each worker has been at work; that all are at once when the service is slow enough is shown in `test_uploads`.
    assert found["connections"] == 8
    assert 2 <= found["chunks_at_once"] <= 8
