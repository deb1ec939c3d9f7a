"""Texts and exceptions without secrets: the one room that everything passes before it leaves."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, Protocol, cast
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

__all__ = ["iter_causes", "redact", "strip_tracebacks"]

#: So many characters of a secret are never left standing.
TELLING = 12

#: Secrets of fewer characters than this protect nothing, and are found in the middle of usual words.
SHORT = 4

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
#: A source that is no path: everything that begins with a scheme, such as https:// or s3://.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class NamedSecrets(Protocol):
    """Secrets, each under the name that takes its place in a text."""

    def items(self) -> Iterable[tuple[Enum, Any]]:
        """Each name with its secret."""
        ...


def strip_tracebacks(problem: BaseException, outside: BaseException | None) -> BaseException:
    """Take the frames off an exception and off everything that led to it: their local variables hold whole requests.

    Args:
        problem: the exception.
        outside: what the caller was handling before; it is not ours and stays as it is.

    Returns:
        The same exception.
    """
    for each in iter_causes(problem, outside):
        each.__traceback__ = None
    return problem


def iter_causes(problem: BaseException, outside: BaseException | None) -> Iterator[BaseException]:
    """An exception and everything that led to it, shown or suppressed, but for `outside` and what is behind it."""
    left: list[BaseException | None] = [problem]
    seen = {id(None), id(outside)}
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        parts = (
            cast("BaseExceptionGroup[BaseException]", each).exceptions if isinstance(each, BaseExceptionGroup) else ()
        )
        left += [each.__cause__, each.__context__, *parts]


def redact(text: str, secrets: NamedSecrets) -> str:
    """A text of the service with our secrets taken out, in whatever case and escaping it repeats them, and also where
    the text was shortened in the middle of one."""
    names = {
        _lower(form): f"<{secret.value}>" for secret, value in secrets.items() for form in _spellings(value) if form
    }
    # Nearly all texts hold none, and are spared the pattern.
    lowered = _lower(text)
    if not any(form[:TELLING] in lowered for form in names):
        return text
    # One pass, the longest first: a secret may be a part of another one.
    forms = sorted(names, key=len, reverse=True)
    pattern = "|".join([*map(_whole, forms), *(_cut_short(form) for form in forms if len(form) > TELLING)])

    def name(found: re.Match[str]) -> str:
        seen = _lower(found.group())
        return names.get(seen) or next(names[form] for form in forms if form.startswith(seen))

    return re.sub(pattern, name, text, flags=re.IGNORECASE | re.ASCII)


def shown(source: str) -> str:
    """A source for people, reports and logs: of a URL neither user, query nor fragment, which may be secret."""
    if not _URL.match(source):
        return source
    parts = urlsplit(source)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _whole(form: str) -> str:
    """A pattern for a form. One of few characters is found in any text: it counts only where a value stands."""
    escaped = re.escape(form)
    return escaped if len(form) >= SHORT else rf"""(?<=[=:"']){escaped}(?![0-9A-Za-z])"""


def _cut_short(form: str) -> str:
    """A pattern for the beginning of a form: its first telling characters, and as many more as there are."""
    rest = ""
    for character in reversed(form[TELLING:100]):
        rest = f"(?:{re.escape(character)}{rest})?"
    return re.escape(form[:TELLING]) + rest


def _spellings(value: str) -> set[str]:
    """A secret plain, percent-encoded, and as JSON writes it (PHP's with an escaped slash)."""
    in_json = json.dumps(value)[1:-1]
    # A stored secret may hold half a surrogate pair: the error of an encoder that takes none would quote it.
    quoted = [quote(value, safe, errors="surrogatepass") for safe in ("/", "")]
    plus = quote_plus(value, errors="surrogatepass")
    return {value, *quoted, plus, in_json, in_json.replace("/", "\\/")}


def _lower(text: str) -> str:
    """Lower case in ASCII alone, as the pattern ignores case: other letters change their number or go by context."""
    return text.translate(_LOWER)
