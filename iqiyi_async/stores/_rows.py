"""An entry of the journal as the columns of a table, and back; the tables of all databases have the same ones."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

from .. import _validation
from ..errors import ConfigurationError
from ..models import ChunkReceipt, Fingerprint, JournalEntry, Phase
from ..protocol import hosts

#: The columns between `key` and `changed`, which the journal itself fills.
COLUMNS = (
    "file_id, upload_url, size, mtime_ns, inode, digest, device, ctime_ns, phase, name, account, grp, file_type,"
    " metadata, remember"
)
#: Databases hold whole numbers below this one.
MOST = 2**63
#: What is raised where a column holds something that its value can't be made of.
NO_VALUE = (ValueError, TypeError, OverflowError)
_MD5 = re.compile(r"[0-9a-f]{32}")


def columns_of(entry: JournalEntry) -> tuple[Any, ...]:
    """An entry as the values of `COLUMNS`. Numbers that may be greater than 2**63 are texts."""
    mark = entry.fingerprint
    return (
        *(entry.file_id, entry.upload_url, mark.size, mark.mtime_ns, str(mark.inode), mark.digest),
        *(str(mark.device), mark.ctime_ns, entry.phase.value, writable(entry.name), entry.account),
        *(writable(entry.group), entry.file_type, entry.metadata, entry.remember),
    )


def entry_of(row: Sequence[Any], ranges: Iterable[Sequence[Any]]) -> JournalEntry | None:
    """The entry of a row (`key`, `COLUMNS`, `changed`) and of the rows of its ranges (first, last, MD5, attempts); None
    if it can't be right: databases keep what other programs write into them."""
    key, file_id, url, size, mtime_ns, inode, digest, device, ctime_ns, phase, *rest = row
    name, account, group, file_type, metadata, remember, changed = rest
    try:
        entry = JournalEntry(
            file_id=_validation.file_id(file_id),
            upload_url=str(url),
            fingerprint=Fingerprint(int(size), int(mtime_ns), int(inode), str(digest), int(device), int(ctime_ns)),
            phase=Phase(phase),
            accepted=tuple(ChunkReceipt(int(a), int(b), str(md5), int(n)) for a, b, md5, n in ranges),
            name=str(name),
            account=str(account),
            group=str(group),
            file_type=str(file_type),
            metadata=str(metadata),
            remember=float(remember),
            changed=float(changed),
            key=str(key),
        )
    except (ConfigurationError, *NO_VALUE):
        return None
    return entry if _is_sound(entry) else None


def number(value: object) -> int:
    """A whole number of a column that a database can hold; 0 for whatever else was written there."""
    try:
        found = int(cast("int", value))
    except NO_VALUE:
        return 0
    return found if 0 <= found < MOST else 0


def moment(value: object) -> float:
    """A time of a column, in seconds since 1970; 0 for whatever else was written there."""
    try:
        found = float(cast("float", value))
    except NO_VALUE:
        return 0.0
    return found if math.isfinite(found) else 0.0


def writable(text: str) -> str:
    """A name that is no UTF-8 (another encoding of the file system), or has a zero in it, as text that every database
    takes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _is_sound(entry: JournalEntry) -> bool:
    look = entry.fingerprint
    return (
        0 < look.size < MOST
        and all(-MOST < each < MOST for each in (look.mtime_ns, look.ctime_ns))
        # Nothing is sent there any more once it is finished.
        and (entry.phase is Phase.FINISHED or hosts.problem_with(entry.upload_url, private_allowed=True) is None)
        and all(0 <= each.first <= each.last < look.size and 0 <= each.attempts < MOST for each in entry.accepted)
        and all(_MD5.fullmatch(each.md5) for each in entry.accepted)
    )
