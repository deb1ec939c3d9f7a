"""Batches: any number of uploads, kept in a ledger, by one process or many machines."""

from __future__ import annotations

from .batch import Batch
from .manifest import Manifest, ManifestError
from .models import AddResult, BatchStatus, ItemState
from .report import BatchReport

__all__ = ["AddResult", "Batch", "BatchReport", "BatchStatus", "ItemState", "Manifest", "ManifestError"]
