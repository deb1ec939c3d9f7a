"""Whatever is done in whatever order, the journal on the disk says the same as the one in memory."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from iqiyi_async.models import ChunkReceipt
from iqiyi_async.stores import Fingerprint, JournalEntry, MemoryJournal, Phase, SqliteJournal

KEYS = st.sampled_from(["0a", "0b"])
FILE_IDS = st.sampled_from(["file-1", "file-2"])
WHICH = st.sampled_from([-1, -1, -1, 0, 1])
OWNERS = st.sampled_from(["one", "two", "three"])
CHUNKS = st.builds(
    lambda first, size, md5, attempts: ChunkReceipt(first, first + size, md5, attempts),
    st.integers(0, 50),
    st.integers(0, 50),
    st.sampled_from(["a" * 32, "b" * 32]),
    st.integers(1, 9),
)
ENTRIES = st.builds(
    JournalEntry,
    FILE_IDS,
    st.sampled_from(["http://127.0.0.1/1", "http://127.0.0.1/2"]),
    st.builds(
        Fingerprint, st.integers(200, 2**50), st.integers(0, 2**62), st.integers(0, 2**64 - 1), st.text(max_size=5)
    ),
    st.sampled_from(Phase),
    st.lists(CHUNKS, max_size=3).map(tuple),
)


class Journals(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.now = 1_000_000.0
        self.runner = asyncio.Runner()
        self.model = MemoryJournal(clock=lambda: self.now, wall_clock=lambda: self.now)
        self.fences: dict[str, list[int]] = {}
        self.open_another()

    def same(self, method: str, *arguments: object) -> object:
        expected = self.runner.run(getattr(self.model, method)(*arguments))
        assert self.runner.run(getattr(self.journal, method)(*arguments)) == expected
        return expected

    def fence(self, key: str, which: int) -> int:
        """One of the fences that were given, or none of them."""
        given = self.fences.get(key, [])
        return given[which % len(given)] if given else 7

    @rule()
    def open_another(self) -> None:
        """As another process does that starts while the first one is still there."""
        self.first = getattr(self, "journal", None)
        self.journal = SqliteJournal(Path(self.folder, "uploads.db"), clock=lambda: self.now)
        if self.first is not None:
            self.same("load", "0a")
            self.give_all_back()
            self.runner.run(self.first.aclose())

    def give_all_back(self) -> None:
        """What a journal that is closed still holds is free at once: its process has gone."""
        for key, given in self.fences.items():
            self.same("release", key, given[-1])

    @rule()
    def close(self) -> None:
        self.give_all_back()
        self.runner.run(self.journal.aclose())

    @rule(seconds=st.floats(0.1, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=KEYS, which=WHICH, entry=ENTRIES)
    def begin(self, key: str, which: int, entry: JournalEntry) -> None:
        self.same("begin", key, self.fence(key, which), entry)

    @rule(key=KEYS, which=WHICH, chunks=st.lists(CHUNKS, min_size=1, max_size=4))
    def record(self, key: str, which: int, chunks: list[ChunkReceipt]) -> None:
        for chunk in chunks:
            self.same("record", key, self.fence(key, which), chunk)

    @rule(key=KEYS, which=WHICH, phase=st.sampled_from(Phase))
    def advance(self, key: str, which: int, phase: Phase) -> None:
        self.same("advance", key, self.fence(key, which), phase)

    @rule(key=KEYS, which=WHICH, by_hand=st.booleans())
    def forget(self, key: str, which: int, by_hand: bool) -> None:
        self.same("forget", key, None if by_hand else self.fence(key, which))

    @rule(key=KEYS)
    def load(self, key: str) -> None:
        self.same("load", key)

    @rule(key=KEYS, owner=OWNERS, ttl=st.sampled_from([1.0, 10.0, 60.0]))
    def acquire(self, key: str, owner: str, ttl: float) -> None:
        # So that no two fences are given within one microsecond.
        self.now += 0.001
        fence = self.same("acquire", key, owner, ttl)
        if isinstance(fence, int):
            self.fences.setdefault(key, []).append(fence)

    @rule(key=KEYS, which=WHICH, ttl=st.sampled_from([1.0, 10.0, 60.0]))
    def renew(self, key: str, which: int, ttl: float) -> None:
        self.same("renew", key, self.fence(key, which), ttl)

    @rule(key=KEYS, which=WHICH)
    def release(self, key: str, which: int) -> None:
        self.same("release", key, self.fence(key, which))

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            for key in ("0a", "0b"):
                self.same("load", key)
            self.runner.run(self.journal.aclose())
            self.runner.close()
            shutil.rmtree(self.folder)


TestJournals = Journals.TestCase
TestJournals.settings = settings(max_examples=40, stateful_step_count=25)
