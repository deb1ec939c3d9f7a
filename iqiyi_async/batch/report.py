"""The report of a batch: what became of each item, as a spreadsheet or as JSON."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from .._redaction import shown
from ..errors import ConfigurationError
from .models import BatchStatus, ItemRecord

COLUMNS = (
    "source",
    "title",
    "file_id",
    "state",
    "page_url",
    "urls",
    "bytes",
    "seconds",
    "attempts",
    "error",
    "hint",
    "key",
)
#: A cell that begins with one of these is computed by spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@attrs.frozen
class ReportItem:
    """One item of a report.

    Attributes:
        source: its path, relative to the root where it lies below it, or its URL without a query.
        title: what the video is called.
        file_id: the video; of a duplicate the earlier one; empty if there is none.
        state: where the item stands: a member of `ItemState`, as a text.
        page_url: where it is played, once published.
        urls: play URLs, if they were asked for; they expire after about 15 minutes.
        bytes: its size, if it is known.
        seconds: how long its upload took.
        attempts: how often its upload was tried.
        error: what went wrong last.
        hint: what to do about it.
        key: the caller's own name for it.
    """

    source: str
    title: str
    file_id: str
    state: str
    page_url: str = ""
    urls: tuple[str, ...] = ()
    bytes: int = 0
    seconds: float = 0.0
    attempts: int = 0
    error: str = ""
    hint: str = ""
    key: str = ""

    @classmethod
    def of(cls, record: ItemRecord, page_url: str = "", urls: Sequence[str] = ()) -> ReportItem:
        """The item of a row of the ledger."""
        return cls(
            shown(record.source),
            record.title,
            record.file_id,
            record.state.value,
            page_url or record.page_url,
            tuple(urls),
            record.size,
            round(record.seconds, 3),
            record.attempts,
            record.error,
            record.hint,
            record.key,
        )


@attrs.frozen
class BatchReport:
    """What became of each item of a batch.

    Attributes:
        name: of the batch.
        status: how many items are in which state.
        items: all of them, in the order in which they were added.
    """

    name: str
    status: BatchStatus
    items: tuple[ReportItem, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[ReportItem]:
        return iter(self.items)

    def to_csv(self) -> str:
        """The report as CSV, without the mark that spreadsheets want. Texts that a spreadsheet would take for formulas
        have an apostrophe before them; in JSON they are as they are."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for item in self.items:
            values = dict(zip(COLUMNS, _values(item), strict=True))
            writer.writerow(map(_no_formula, {**values, "urls": " ".join(item.urls)}.values()))
        return text.getvalue()

    def to_json(self) -> str:
        """The report as JSON."""
        items = [dict(zip(COLUMNS, _values(item), strict=True)) for item in self.items]
        whole = {"batch": self.name, "status": attrs.asdict(self.status), "items": items}
        return json.dumps(whole, ensure_ascii=False, indent=1)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the report into a file, in place of whatever was there.

        Args:
            path: ends with ``.csv`` (UTF-8 with the mark that spreadsheets want) or ``.json``.

        Raises:
            ConfigurationError: it ends with something else.
            OSError: it can't be written; what was there before stays.
        """
        target = Path(path)
        kind = target.suffix.lower()
        if kind not in (".csv", ".json"):
            raise ConfigurationError(f"a report is written as .csv or .json, not as {target.name!r}")
        content = self.to_csv().encode("utf-8-sig") if kind == ".csv" else self.to_json().encode()
        fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
        try:
            fresh.write_bytes(content)
            fresh.replace(target)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise


def _no_formula(value: object) -> object:
    """A cell that no spreadsheet computes: names of files and answers of the service may be anybody's words."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _values(item: ReportItem) -> list[Any]:
    values: Mapping[str, Any] = attrs.asdict(item, recurse=False)
    return [values[column] for column in COLUMNS]
