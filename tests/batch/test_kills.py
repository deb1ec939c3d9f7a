"""Runners, and their database, killed at random moments; the whole campaign is in tests/figures/batch_kills.py."""

from __future__ import annotations

import warnings

import pytest

from ..figures.batch_kills import campaign
from .postgres import programs


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_is_lost_or_doubled(kind: str) -> None:
    if kind == "postgresql" and programs() is None:
        pytest.skip("there is no PostgreSQL here")
    with warnings.catch_warnings():
        # The server's library tells of each connection that a killed runner has left.
        warnings.simplefilter("ignore", ResourceWarning)
        result = campaign(items=60, size=600_000, kills=20, database_kills=2, seed=7, postgres=kind == "postgresql")
    assert result.good, result
