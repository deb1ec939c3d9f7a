"""What a token store and an upload journal must prove: test suites for those who write their own.

What belongs here: classes of pytest tests that need nothing but pytest and anyio, and the two protocols. What must
not: tests of one store's own ways (its files, its server).

Inherit, say how a fresh and empty one is made, and how somebody else would open the same content::

    from iqiyi_async.testing import JournalContract, TokenStoreContract

    class TestMyTokenStore(TokenStoreContract):
        @pytest.fixture(autouse=True)
        def place(self, tmp_path):
            self.path = tmp_path / "tokens"

        async def make(self):
            return MyTokenStore(self.path)

        async def again(self, store):
            return MyTokenStore(self.path)

    class TestMyJournal(JournalContract):
        async def make(self):
            return MyJournal()

`GatewayStoreContract` is for a journal that also keeps the uploads of a web gateway (`stores.GatewayStore`).

The tests run on asyncio by anyio's pytest plugin, which comes with anyio; the class brings the `anyio_backend`
fixture they need. Each of them is bounded in time. They use keys such as `0a1b2c3d`, and leave nothing behind if the
class's `close` does not.
"""

from .gateway import GatewayStoreContract
from .journals import JournalContract
from .tokens import TokenStoreContract

__all__ = ["GatewayStoreContract", "JournalContract", "TokenStoreContract"]
