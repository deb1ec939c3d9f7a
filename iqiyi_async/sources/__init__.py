"""Sources that are not on disk: a file behind HTTP, an object in a store. They are read by ranges, in parallel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .http_source import HttpSource
    from .object_source import ObjectSource

__all__ = ["HttpSource", "ObjectSource"]


def __getattr__(name: str) -> Any:
    # Each is loaded when it is first asked for: an HTTP library takes as long as all the rest.
    if name == "HttpSource":
        from .http_source import HttpSource

        return HttpSource
    if name == "ObjectSource":
        from .object_source import ObjectSource

        return ObjectSource
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
