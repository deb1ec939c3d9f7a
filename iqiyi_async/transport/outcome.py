"""What an exchange comes to (a whole answer, or the reason why there is none), and how long one waits for it."""

from __future__ import annotations

import os
import ssl
from typing import NamedTuple


class Patience(NamedTuple):
    """How long to wait, in seconds: for the peer to take anything more, for anything of its answer, and for the
    exchange as a whole."""

    taking: float
    answering: float
    whole: float


class Reply(NamedTuple):
    """An answer, read whole. It may hold a token, and futures print their results, so it does not print itself."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes

    def header(self, name: bytes) -> str | None:
        """The first header of a name, which is given in lower case."""
        for each, value in self.headers:
            if each.lower() == name:
                return value.decode("latin-1")
        return None

    def __repr__(self) -> str:
        return f"<an answer with HTTP {self.status}>"


class NoAnswerError(Exception):
    """No whole answer came; its text says why. `sent`: whether the request may have arrived."""

    def __init__(self, why: str, *, sent: bool = True) -> None:
        super().__init__(why)
        self.sent = sent


class StalledError(NoAnswerError):
    """Nothing moved for as long as was allowed."""

    def __init__(self) -> None:
        super().__init__("nothing moved")


class BrokenError(NoAnswerError):
    """The connection ended, or the peer does not speak HTTP."""


def reason(problem: OSError) -> str:
    """What the system, or TLS, says of an error."""
    if isinstance(problem, ssl.SSLError):
        return str(problem)
    return os.strerror(problem.errno) if problem.errno and problem.errno > 0 else str(problem)
