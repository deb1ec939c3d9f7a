"""shim"""
from __future__ import annotations
from collections import deque
from typing import Generic, TypeVar
import attrs
T = TypeVar("T")
@attrs.frozen
class Turn:
    group: str | None
    priority: int
class FairQueue(Generic[T]):
    def __init__(self): self._q = deque()
    def push(self, turn, item, cost): self._q.append(item)
    def pop(self): return self._q.popleft()
    def remove(self, item):
        if item in self._q: self._q.remove(item)
    def charge(self, turn, cost): pass
    def __len__(self): return len(self._q)
