"""A pytest plugin that takes away what Windows does not have, so that the fallbacks are run: `-p tests.as_windows`.

It proves the branches, not Windows itself: paths, signals and file locks stay those of this system.
"""

from __future__ import annotations

import mmap
import os
import select
import sys
import time
from importlib import import_module

# These choose their own way when they are imported; theirs is not what is tested here.
for _needed in ("asyncio", "multiprocessing.connection", "subprocess", "tempfile", "filelock", "uvicorn"):
    import_module(_needed)

#: What the package looks for; it must not have been imported yet.
_MISSING = {
    os: ("preadv", "pread", "pwritev", "pwrite"),
    mmap: ("MAP_ANONYMOUS", "MAP_ANON", "MAP_PRIVATE", "PROT_READ", "PROT_WRITE"),
    select: ("poll", "epoll"),
    time: ("CLOCK_BOOTTIME",),
}
_MODULES = ("fcntl", "resource")

assert "iqiyi_async" not in sys.modules, "the plugin comes too late: the package has chosen already"
for _module, _names in _MISSING.items():
    for _name in _names:
        if hasattr(_module, _name):
            delattr(_module, _name)
for _name in _MODULES:
    sys.modules[_name] = None  # type: ignore[assignment]
