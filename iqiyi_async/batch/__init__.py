"""Batches: any number of uploads, kept in a ledger, by one process or many machines."""

from __future__ import annotations

from .batch import Batch
from .ledger.base import LedgerError
from .manifest.dry_run import ManifestCheck
from .manifest.hot_folder import HotFolder
from .manifest.manifest import Manifest, ManifestError
from .models import AddResult, BatchStatus, ItemState
from .report import BatchReport, ReportItem
from .runner import RunningItem

__all__ = [
    "AddResult",
    "Batch",
    "BatchReport",
    "BatchStatus",
    "HotFolder",
    "ItemState",
    "LedgerError",
    "Manifest",
    "ManifestCheck",
    "ManifestError",
    "ReportItem",
    "RunningItem",
]
