"""Our own library in the same harness: default settings but for what a task asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import attrs

from iqiyi_async import AsyncVideoCloud, Endpoints, Metadata, UploadOptions

from .competitors.base import AsyncCompetitor
from .competitors.calls import DESCRIPTION
from .task import Task


class Ours(AsyncCompetitor):
    """See the module."""

    package = "iqiyi-async"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        settings: dict[str, Any] = {"max_workers": task.workers, "chunk_size": task.chunk_size, **task.extra}
        self._cloud = AsyncVideoCloud(
            "benchmark", "benchmark", endpoints=_endpoints(task), options=UploadOptions(**settings)
        )

    async def __aenter__(self) -> Self:
        await self._cloud.__aenter__()
        # The others have their token before the clock starts, too.
        await self._cloud.authorize()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._cloud.__aexit__(None, None, None)

    async def upload(self, path: Path, name: str) -> None:
        """See the base class."""
        await self._cloud.upload(path, Metadata(name, description=DESCRIPTION))


def _endpoints(task: Task) -> Endpoints:
    single = Endpoints.single(task.url)
    return attrs.evolve(single, api=task.api) if task.api else single


COMPETITOR = Ours
