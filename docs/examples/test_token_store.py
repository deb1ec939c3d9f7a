"""The store of `token_store.py`, held to what every token store must do."""

from pathlib import Path

import pytest
from token_store import TableTokenStore

from iqiyi_async.testing import TokenStoreContract


class TestTableTokenStore(TokenStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "application.db"

    async def make(self) -> TableTokenStore:
        return TableTokenStore(self.path)

    async def again(self, made: object) -> TableTokenStore:
        return TableTokenStore(self.path)
