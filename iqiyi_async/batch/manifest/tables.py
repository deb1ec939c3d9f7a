"""Lines of a manifest: CSV as spreadsheets write it, and JSON Lines, read one after the other."""

from __future__ import annotations

import codecs
import csv
import json
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import IO, Any, NamedTuple, cast

from ...errors import ConfigurationError
from .columns import COLUMNS, column_of

#: Bytes that are read at a time to find out how a text is written.
PIECE = 1024 * 1024
#: The end of a value that is too long is looked for within so many characters.
LONGEST = 16 * 1024 * 1024
_DELIMITERS = ",;\t"
#: What files begin with that are no text: .xlsx, .ods and .numbers; .xls.
_BINARY = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
#: What to do about a spreadsheet that is not CSV.
SPREADSHEET = "a spreadsheet in its program's own format can't be read: save it as CSV"


class Line(NamedTuple):
    """One line: its number in the file, and what stands in it by column; or why it can't be read."""

    number: int
    values: dict[str, object]
    problem: str = ""


def encoding_of(file: IO[bytes], name: str) -> str:
    """How a text is written: UTF-8 with or without its mark, UTF-16 with its mark, or GB18030 as Excel in China does.

    Raises:
        ConfigurationError: none of these, or no text.
    """
    start = file.read(4)
    file.seek(0)
    if start in _BINARY:
        raise ConfigurationError(f"{name}: {SPREADSHEET}")
    marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "gb18030"):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            while piece := file.read(PIECE):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        else:
            return encoding
        finally:
            file.seek(0)
    if marked:
        raise ConfigurationError(f"{name} is damaged or cut off: it begins as UTF-16, and is not: save it once more")
    raise ConfigurationError(f"{name} is written neither in UTF-8 nor in GB18030: save it as CSV UTF-8")


def csv_lines(file: IO[bytes], name: str, ignored: list[str]) -> Iterator[Line]:
    """The lines of a CSV file, which names its columns in its first line.

    Args:
        file: bytes that can be sought.
        name: of the file, for errors.
        ignored: gets the headings that are not ours.

    Raises:
        ConfigurationError: there is no line with the names of the columns, or none for the source.
    """
    with _text(file, name, "") as text:
        yield from _csv_lines(text, name, ignored)


def _csv_lines(text: TextIOWrapper, name: str, ignored: list[str]) -> Iterator[Line]:
    first = _first_line(text)
    delimiter = max(_DELIMITERS, key=first.count)
    if first.lower().startswith("sep=") and len(first.strip()) == 5:
        delimiter = first.strip()[-1]
    _rewind(text)
    lines = _Lines(text)
    # Strict: otherwise a quote that is not closed would make the lines behind it part of a description, unseen.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns = _columns(reader, name, ignored)
    for number, cells, problem in _rows(reader, lines):
        if problem:
            yield Line(number, {}, problem)
        elif any(map(str.strip, cells)):
            yield _line(number, cells, columns)


class _Lines:
    """The lines of a text, one after the other.

    Attributes:
        number: how many were read.
    """

    def __init__(self, text: TextIOWrapper) -> None:
        self._text = text
        self.number: int = 0
        self._row: list[str] = []
        self._again: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._text.readline()
        if not line:
            raise StopIteration
        self.number += 1
        self._row.append(line)
        return line

    def begin(self) -> None:
        """A row begins."""
        self._row = []

    def leave_value(self) -> None:
        """Go on behind the quote that ends a value; or behind the first line of the row if there is none within
        reach."""
        reach = LONGEST
        odd = sum(line.count('"') for line in self._row) % 2
        while odd and reach > 0:
            line = next(self, "")
            reach -= len(line) or reach
            odd ^= line.count('"') % 2
        if odd:
            self.go_back()

    def go_back(self) -> None:
        """Go on behind the first line of the row: its value has no end, and took the lines behind it."""
        self._again.extendleft(reversed(self._row[1:]))
        self.number -= len(self._row) - 1
        self._row = self._row[:1]


def json_lines(file: IO[bytes], name: str, ignored: list[str]) -> Iterator[Line]:
    """The lines of a JSON Lines file: an object on each."""
    with _text(file, name, "\n") as text:
        yield from _json_lines(text, ignored)


def _json_lines(text: TextIOWrapper, ignored: list[str]) -> Iterator[Line]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            value: object = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Line(number, {}, f"no JSON ({error})")
            continue
        if not isinstance(value, dict):
            yield Line(number, {}, "no JSON object: each line holds one")
            continue
        yield _object(number, cast("dict[str, object]", value), ignored)


@contextmanager
def _text(file: IO[bytes], name: str, newline: str) -> Generator[TextIOWrapper, None, None]:
    """The text of a file, which is left open."""
    text = TextIOWrapper(file, encoding_of(file, name), newline=newline)
    try:
        _rewind(text)
        yield text
    finally:
        text.detach()


def _rewind(text: TextIOWrapper) -> None:
    """Go to the start of a text, behind a byte order mark that its encoding leaves there (GB18030 may have one)."""
    text.seek(0)
    if text.read(1) != "\ufeff":
        text.seek(0)


def _object(number: int, given: dict[str, object], ignored: list[str]) -> Line:
    values: dict[str, object] = {}
    for heading, each in given.items():
        column = column_of(heading)
        if column is not None:
            values[column] = each
        elif heading not in ignored:
            ignored.append(heading)
    return Line(number, values)


def _first_line(text: TextIOWrapper) -> str:
    while line := text.readline():
        if line.strip():
            return line
    return ""


def _columns(reader: Any, name: str, ignored: list[str]) -> list[str | None]:
    try:
        headings = cast("list[str]", next(row for row in reader if any(row) and not _is_separator(row)))
    except StopIteration:
        raise ConfigurationError(f"{name} is empty: its first line must name the columns") from None
    except csv.Error as error:
        raise ConfigurationError(f"{name}, line {reader.line_num}: no CSV ({error})") from None
    columns = [column_of(heading) for heading in headings]
    if "source" not in columns:
        raise ConfigurationError(
            f"{name}, line {reader.line_num}: no column is called source (or 文件): the first line must name the"
            f" columns, which are {', '.join(COLUMNS)}"
        )
    twice = next((each for each in columns if each is not None and columns.count(each) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"{name}, line {reader.line_num}: two columns are called {twice}")
    ignored += [heading for heading, column in zip(headings, columns, strict=True) if column is None and heading]
    return columns


def _is_separator(row: Sequence[str]) -> bool:
    return row[0].lower().startswith("sep=")


def _rows(reader: Any, lines: _Lines) -> Iterator[tuple[int, list[str], str]]:
    while True:
        number = lines.number + 1
        lines.begin()
        try:
            yield number, next(reader), ""
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                # Otherwise the rest of a long description would be taken for lines.
                lines.leave_value()
            elif "end of data" in str(error):
                lines.go_back()
            last = f"-{lines.number}" if lines.number > number else ""
            yield number, [], f"no CSV ({error}): look at the quotes of line {number}{last}"


def _line(number: int, cells: list[str], columns: Sequence[str | None]) -> Line:
    if len(cells) > len(columns) and any(map(str.strip, cells[len(columns) :])):
        most = len(columns)
        return Line(number, {}, f"{len(cells)} values, but {most} columns: a value with a comma needs quotes")
    return Line(number, {column: cell for column, cell in zip(columns, cells, strict=False) if column is not None})
