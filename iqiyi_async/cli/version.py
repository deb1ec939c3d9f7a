"""Which version this is, as the installed distribution says."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """The version, or a word that says that the package was not installed but is run from its sources."""
    try:
        return installed("iqiyi-async")
    except PackageNotFoundError:
        return "(run from its sources)"
