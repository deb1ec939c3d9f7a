"""However many processes and tasks meet an expired token, one renewal is asked for."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .crash import breeder
from .refresh import redis_server, stampede

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")


@pytest.fixture(params=["file", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield str(tmp_path / "tokens.json")
        return
    if importlib.util.find_spec("redis") is None:
        pytest.skip("the redis library is not installed")
    with redis_server() as url:
        if url is None:
            pytest.skip("there is no redis-server on this machine")
        yield url


@pytest.mark.parametrize("cancelled", [0.0, 0.5])
def test_one_renewal_for_all(store: str, cancelled: float) -> None:
    with breeder() as made:
        herd = stampede(made, store, processes=3, tasks=20, cancelled=cancelled, seed=5)
    assert (herd.refreshes, herd.authorizations) == (1, 0)
    assert herd.ends.total() == 60
    assert set(herd.ends) == ({"VideoStatus", "CancelledError"} if cancelled else {"VideoStatus"})
