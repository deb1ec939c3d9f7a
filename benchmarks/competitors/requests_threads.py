"""requests in threads: one session each, the range handed over with ``files=``."""

from __future__ import annotations

from collections.abc import Mapping

import requests

from .base import Connection, ThreadedByHand
from .calls import TIMEOUT, Headers, Json, check_range, read_and_hash


class RequestsConnection(Connection):
    """One session."""

    def __init__(self) -> None:
        self._session = requests.Session()
        # The machine's proxy settings are none of a loopback test's business, and looking them up costs time.
        self._session.trust_env = False

    def call(self, method: str, url: str, headers: Headers, query: Mapping[str, str]) -> Json:
        """See the base class."""
        answer: Json = self._session.request(method, url, headers=headers, params=query, timeout=TIMEOUT).json()
        return answer

    def send_range(self, url: str, headers: Headers, file: int, first: int, length: int) -> None:
        """See the base class."""
        data, digest = read_and_hash(file, first, length)
        answer = self._session.post(url, headers=headers, files={"file": ("file", data)}, timeout=TIMEOUT)
        check_range(answer.json(), digest, length)

    def close(self) -> None:
        """See the base class."""
        self._session.close()


class RequestsThreads(ThreadedByHand):
    """See the module."""

    package = "requests"

    def connect(self) -> RequestsConnection:
        """See the base class."""
        return RequestsConnection()


COMPETITOR = RequestsThreads
