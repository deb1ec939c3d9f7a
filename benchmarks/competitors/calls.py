"""The words of the service as the competitors say them: headers, queries, the cutting and checking of ranges.

Pure but for reading a file. Written a second time here, apart from the library's own, so that the benchmarks run
without it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Headers = dict[str, str]
Json = dict[str, Any]

#: A description as long as people write them.
DESCRIPTION = "Two weeks in Hainan: Sanya, Wuzhishan and the road back."

#: Seconds; longer than any stall, shorter than the time a run is given.
TIMEOUT = 60.0

_BOUNDARY = "b7f9c2e84d1a4b0f9d35c6aa01e27f44"

#: What is around a range, and its content type, for those who write the form themselves.
FORM_HEAD = (
    f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
FORM_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()
FORM_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"


class WrongAnswerError(Exception):
    """The sink's answer is not the expected one: the run is worth nothing."""


CREDENTIALS = {"client_id": "benchmark", "client_secret": "benchmark"}


def opening_headers(token: str, size: int) -> Headers:
    """Section 1.1 of the document."""
    return {"filetype": "mp4", "filesize": str(size), "access_token": token}


def range_headers(file_id: str, size: int, first: int, length: int) -> Headers:
    """Section 1.2."""
    return {"file_id": file_id, "file_size": str(size), "range": f"{first}-{first + length - 1}"}


def finishing_headers(token: str, file_id: str) -> Headers:
    """Section 1.3."""
    return {"range_finished": "true", "access_token": token, "file_id": file_id}


def metadata_query(token: str, file_id: str, name: str) -> dict[str, str]:
    """Section 1.5."""
    return {"access_token": token, "file_id": file_id, "file_name": name, "description": DESCRIPTION}


def data_of(answer: Json) -> Json:
    """The data of a successful answer."""
    if answer.get("code") != "A00000":
        raise WrongAnswerError(str(answer)[:200])
    data: Json = answer.get("data", {})
    return data


def token_of(answer: Json) -> str:
    """The token of an answer to authorize."""
    return str(data_of(answer)["access_token"])


def check_range(answer: Json, digest: str, length: int) -> None:
    """Compare what the sink says it stored with what was sent."""
    if answer.get("range_md5") != digest or answer.get("file_range_accepted") != length:
        raise WrongAnswerError(f"{answer} for {length} bytes with MD5 {digest}")


def ranges(size: int, chunk_size: int) -> Iterator[tuple[int, int]]:
    """First byte and length of every range."""
    for first in range(0, size, chunk_size):
        yield first, min(chunk_size, size - first)


def read_and_hash(file: int, first: int, length: int) -> tuple[bytes, str]:
    """A range and its MD5."""
    data = os.pread(file, length, first)
    return data, hashlib.md5(data, usedforsecurity=False).hexdigest()


@contextmanager
def opened_file(path: Path) -> Generator[int]:
    """A file descriptor for reading."""
    file = os.open(path, os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)
