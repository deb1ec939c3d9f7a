"""What people would use instead, each in a module of its own, and our library beside them.

All do the same task: open an upload, send its ranges in parallel with their MD5 computed and compared, set the
metadata, finish. Names are loaded when they are asked for, so that a process holds one competitor only.
"""

from __future__ import annotations

from importlib import import_module

from .base import Competitor

__all__ = ["ASYNC", "NAMES", "Competitor", "load"]

_MODULES = {
    "ours": "benchmarks.ours",
    "raw": "benchmarks.competitors.raw_threads",
    "pycurl": "benchmarks.competitors.pycurl_threads",
    "requests": "benchmarks.competitors.requests_threads",
    "httpx": "benchmarks.competitors.httpx_by_hand",
    "aiohttp": "benchmarks.competitors.aiohttp_by_hand",
    "hollow": "benchmarks.competitors.hollow",
    "bystander": "benchmarks.competitors.bystander",
}

NAMES = tuple(_MODULES)

#: Those that run on an event loop, and so have a lag.
ASYNC = ("ours", "httpx", "aiohttp", "bystander")


def load(name: str) -> type[Competitor]:
    """The competitor of a name.

    Raises:
        ImportError: what it is made with is not installed.
    """
    competitor: type[Competitor] = import_module(_MODULES[name]).COMPETITOR
    return competitor
