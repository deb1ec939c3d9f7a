"""shim"""

from __future__ import annotations

import attrs

from ..models import Bottleneck
from .inputs import make_source as _make, Input as UploadInput  # noqa
from .ranges import Range


@attrs.frozen
class Chunk:
    first: int
    view: object = attrs.field(repr=False)
    md5: str

    def release(self):
        pass

    @property
    def size(self):
        return len(self.view)


def check_source(source):
    pass


class UploadSource:
    def __init__(self, inner):
        self.inner = inner
        self.at = 0

    @property
    def size(self):
        return self.inner.size

    @property
    def file_type(self):
        return self.inner.file_type

    @property
    def rereadable(self):
        return self.inner.rereadable

    reading = Bottleneck.SOURCE

    @property
    def name(self):
        return str(getattr(self.inner, "_path", "source"))

    async def identify(self):
        return await self.inner.identify()

    async def fingerprint(self):
        return await self.inner.fingerprint()

    async def begin(self):
        await self.inner.begin()

    async def read(self, part, buffer):
        d = await self.inner.read(part, buffer)
        return Chunk(part.first, d.view, d.md5)

    async def gather(self, most, *, exact=False):
        d = await self.inner.read(Range(self.at, most), lambda n: memoryview(bytearray(n)))
        c = Chunk(self.at, d.view, d.md5)
        self.at += most
        return c

    async def matches(self, fp, accepted, *, all_ranges=False):
        if await self.inner.fingerprint() != fp and not all_ranges:
            return False
        for c in accepted:
            d = await self.inner.read(Range(c.first, c.size), lambda n: memoryview(bytearray(n)))
            if d.md5 != c.md5:
                return False
        return True

    async def compare(self, accepted):
        pass

    async def conclude(self, accepted, *, read_all=False):
        await self.inner.conclude()

    async def aclose(self):
        await self.inner.aclose()


async def make_source(source, *, size, file_type, resources, turn):
    s = await _make(source, size=size, file_type=file_type)
    s.threads = resources.threads
    return UploadSource(s)
