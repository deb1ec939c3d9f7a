"""Rows of a ledger: values as texts, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from json.encoder import encode_basestring as _quoted
from typing import Any, cast

from ...models import Category, Fingerprint, JournalEntry, Metadata, Phase
from ...stores._rows import NO_VALUE
from ..models import Claim, ItemRecord, ItemState, NewItem


def columns_of(item: NewItem) -> tuple[str, ...]:
    """A new item as the first columns of its row."""
    return (item.identity, item.source, item.metadata, item.file_type, item.key, item.manifest)


def claim_of(row: Sequence[Any], *, uploaded: bool) -> Claim:
    """The claim of a row."""
    number, fence, source, metadata, file_type, key, attempts, file_id, size = row
    return Claim(number, fence, source, metadata, file_type, key, attempts, file_id, size, uploaded)


def record_of(row: Sequence[Any]) -> ItemRecord:
    """The record of a row; the metadata gives the title."""
    number, source, metadata, state, *rest = row
    title = metadata_from_json(metadata).name if metadata else ""
    return ItemRecord(number, source, title, ItemState(state), *rest)


def metadata_to_json(metadata: Metadata) -> str:
    """Metadata as a text."""
    # The library's own way takes three times as long for a text so short, and there may be a million items.
    fields = [f'"name": {_quoted(metadata.name)}']
    if metadata.description:
        fields.append(f'"description": {_quoted(metadata.description)}')
    if metadata.tags:
        fields.append(f'"tags": [{", ".join(map(_quoted, metadata.tags))}]')
    if metadata.category is not None:
        fields.append(f'"category": {int(metadata.category)}')
    return "{" + ", ".join(fields) + "}"


def metadata_from_json(text: str) -> Metadata:
    """The metadata of a text."""
    fields = cast("dict[str, Any]", json.loads(text))
    category = fields.get("category")
    return Metadata(
        fields["name"],
        fields.get("description", ""),
        tuple(fields.get("tags", ())),
        None if category is None else Category(category),
    )


def entry_to_json(entry: JournalEntry) -> str:
    """What a journal keeps of an upload, but for its ranges and what the ledger has columns for."""
    mark = entry.fingerprint
    return json.dumps(
        {
            "upload_url": entry.upload_url,
            "fingerprint": [mark.size, mark.mtime_ns, mark.inode, mark.digest, mark.device, mark.ctime_ns],
            "name": entry.name,
            "account": entry.account,
            "group": entry.group,
            "file_type": entry.file_type,
            "metadata": entry.metadata,
            "remember": entry.remember,
        }
    )


def entry_from_json(text: str, *, file_id: str, phase: str, changed: float, key: str) -> JournalEntry | None:
    """The entry of a text, without its ranges; None if it can't be right."""
    try:
        fields = cast("dict[str, Any]", json.loads(text))
        return JournalEntry(
            file_id=file_id,
            upload_url=str(fields["upload_url"]),
            fingerprint=Fingerprint(*fields["fingerprint"]),
            phase=Phase(phase),
            name=str(fields["name"]),
            account=str(fields["account"]),
            group=str(fields["group"]),
            file_type=str(fields["file_type"]),
            metadata=str(fields["metadata"]),
            remember=float(fields["remember"]),
            changed=changed,
            key=key,
        )
    except (KeyError, *NO_VALUE):
        return None
