"""Batches: any number of uploads, kept in a ledger, by one process or many machines."""

from __future__ import annotations

from .batch import Batch
from .dry_run import ManifestCheck
from .hot_folder import HotFolder
from .ledger import LedgerError
from .manifest import Manifest, ManifestError
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
