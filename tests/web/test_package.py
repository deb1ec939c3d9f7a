"""Without the extra, the gateway says which one is missing; nothing else breaks."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
sys.modules["starlette"] = None
from iqiyi_async import *
try:
    import iqiyi_async.web
except ImportError as problem:
    print(problem)
"""


def test_without_the_extra_the_gateway_says_so() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "the gateway needs an extra: pip install 'iqiyi-async[web]'\n"
