"""What a range may hold: section 1.2 of the document, before and after its bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from .contract import Code, Refusal

_RANGE = re.compile(r"([0-9]{1,16})-([0-9]{1,16})")
_DIGITS = re.compile(r"[0-9]{1,16}")


@attrs.frozen
class ChunkClaim:
    """A chunk that may be sent: `length` bytes as its range says, of which `limit` at most may come."""

    file_id: str
    first: int
    length: int
    limit: int

    def check_length(self, received: int) -> None:
        """Refuse a body that holds fewer bytes than the range says, by more than one."""
        if received < 1 or received < self.length - 1:
            raise Refusal(Code.BAD_PARAMETER, f"the range names {self.length} bytes; the body holds {received}")


def claim_of(file_id: str, file_size: int, params: Mapping[str, str]) -> ChunkClaim:
    """Read the parameters of a chunk.

    A range may name one byte more than the body then holds, even behind the end of the file: official clients do that,
    and the service tolerates it.

    Raises:
        Refusal: A00010 for a parameter that is missing or does not fit the file.
    """
    size, named = params.get("file_size"), params.get("range")
    if not size or not named:
        raise Refusal(Code.BAD_PARAMETER, "file_id, file_size and range are required, as headers or form fields")
    if not _DIGITS.fullmatch(size) or int(size) != file_size:
        raise Refusal(Code.BAD_PARAMETER, f"file_size must be {file_size}, as it was requested")
    match = _RANGE.fullmatch(named)
    if match is None:
        raise Refusal(Code.BAD_PARAMETER, "range must be first-last: two numbers, inclusive, from 0")
    first, last = int(match[1]), int(match[2])
    if not first <= last <= file_size or first == file_size:
        raise Refusal(Code.BAD_PARAMETER, f"range must lie within 0-{file_size - 1}")
    length = last - first + 1
    return ChunkClaim(file_id, first, length, min(length, file_size - first))
