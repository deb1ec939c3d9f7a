"""shim"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from .source import hashed


class SourceResources:
    def __init__(self, options):
        self.threads = ThreadPoolExecutor(2, "iqiyi-async")

    async def hashed(self, view):
        return await hashed(view, "md5", self.threads)

    async def aclose(self):
        self.threads.shutdown(wait=False)
