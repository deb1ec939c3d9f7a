"""The journal of `journal.py`, held to what every journal must do."""

from pathlib import Path

import pytest
from journal import TableJournal

from iqiyi_async.testing import JournalContract


class TestTableJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "application.db"

    async def make(self) -> TableJournal:
        return TableJournal(self.path)

    async def again(self, made: object) -> TableJournal:
        return TableJournal(self.path)
