"""What the columns of a manifest are called, and how their texts become an item."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import cast
from urllib.parse import unquote, urlsplit

from ...errors import ConfigurationError
from ...models import Category, Metadata, UploadItem
from ...protocol.uploads import check_file_type

#: A source that is no path: everything that begins with a scheme, such as https:// or s3://.
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

COLUMNS: dict[str, tuple[str, ...]] = {
    "source": ("source", "file", "path", "文件", "文件名", "路径", "视频", "视频文件"),
    "title": ("title", "name", "标题", "名称", "片名"),
    "description": ("description", "描述", "简介"),
    "tags": ("tags", "标签"),
    "category": ("category", "分类", "频道", "类别"),
    "file_type": ("file_type", "type", "类型", "格式", "文件类型"),
    "key": ("key", "编号", "键"),
}
_NAMES: dict[str, str] = {name: column for column, names in COLUMNS.items() for name in names}

CATEGORY_NAMES: dict[Category, str] = {
    Category.FILM: "电影",
    Category.TV_SERIES: "电视剧",
    Category.DOCUMENTARY: "纪录片",
    Category.ANIMATION: "动漫",
    Category.MUSIC: "音乐",
    Category.VARIETY: "综艺",
    Category.ENTERTAINMENT: "娱乐",
    Category.GAMES: "游戏",
    Category.TRAVEL: "旅游",
    Category.TRAILER: "片花",
    Category.EDUCATION: "教育",
    Category.FASHION: "时尚",
    Category.CHILDREN: "少儿",
    Category.SHORT_FILM: "微电影",
    Category.SPORTS: "体育",
    Category.ADVERTISING: "广告",
    Category.LIFESTYLE: "生活",
    Category.COMEDY: "搞笑",
    Category.FINANCE: "财经",
    Category.NEWS: "资讯",
    Category.CARS: "汽车",
    Category.ORIGINAL: "原创",
    Category.MILITARY: "军事",
}
_BY_NAME: dict[str, Category] = {
    **{name: category for category, name in CATEGORY_NAMES.items()},
    **{category.name.replace("_", " ").lower(): category for category in Category},
}
_SEPARATORS = re.compile(r"[,，;；、|\n]")


class ColumnError(ValueError):
    """A value that can't be used.

    Attributes:
        column: where it stands.
    """

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


def column_of(heading: str) -> str | None:
    """The column that a heading stands for, in English or Chinese; None for one that is not ours."""
    return _NAMES.get(heading.strip().strip("\ufeff").lower().replace(" ", "_").replace("-", "_"))


def category_of(value: object) -> Category | None:
    """A category by its number, or its English or Chinese name; None for an empty text.

    Raises:
        ColumnError: there is no such category.
    """
    return _category(
        str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else "?"
    )


@lru_cache(1024)
def _category(text: str) -> Category | None:
    if not text:
        return None
    found = _BY_NAME.get(text.lower().replace("_", " ").replace("-", " "))
    if found is not None:
        return found
    try:
        # A spreadsheet may write 9 as 9.0.
        return Category(int(text.removesuffix(".0")))
    except ValueError:
        raise ColumnError(
            "category",
            f"{text[:40]!r} is no category: give its number, such as 9, its name, such as travel, or 旅游",
        ) from None


def tags_of(value: object) -> tuple[str, ...]:
    """Tags of a text that divides them by commas or semicolons, also full-width ones, or of a list.

    Raises:
        ColumnError: it is neither.
    """
    if isinstance(value, str):
        return tuple(tag.strip() for tag in _SEPARATORS.split(value) if tag.strip())
    tags = list(cast("Iterable[object]", value)) if isinstance(value, list | tuple) else [None]
    if not all(isinstance(tag, str) for tag in tags):
        raise ColumnError("tags", "tags must be a text, or a list of texts")
    return tuple(cast("str", tag).strip() for tag in tags if cast("str", tag).strip())


def stem_of(source: str) -> str:
    """What a video is called that has no title: its file without the ending."""
    path = unquote(urlsplit(source).path) if URL.match(source) else source
    return PurePath(path).stem or source


def native(source: str) -> str:
    """A path as this system writes it: spreadsheets come from Windows too."""
    return source.replace("\\", "/") if os.sep == "/" and "/" not in source else source


def is_text(name: str) -> bool:
    """Whether the name of a file can be written as text: on some systems names are any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable(name: str) -> str:
    """The name of a file with backslashes for what is no text in it."""
    return name.encode("utf-8", "backslashreplace").decode()


def make_item(values: Mapping[str, object], locate: Callable[[str], object] = str) -> UploadItem:
    """The item of one line.

    Args:
        values: by column; what is empty or missing has its default.
        locate: gives the whole path of a source.

    Raises:
        ColumnError: a value can't be used; it names the column.
    """
    source = _text(values, "source")
    if not source:
        raise ColumnError("source", "no source: give the path of a file, or a URL")
    if "\0" in source or not is_text(source):
        raise ColumnError("source", "source holds a control character or half a surrogate pair")
    title = _text(values, "title") or stem_of(native(source))
    tags = tags_of(values.get("tags") or "")
    category = category_of(values.get("category") or "")
    metadata = _metadata(title, _text(values, "description"), tags, category)
    key = _text(values, "key") or None
    if key is not None and len(key) > 512:
        raise ColumnError("key", f"the key has {len(key)} characters; the most is 512")
    return UploadItem(locate(source), metadata, _file_type(_text(values, "file_type")), None, key)


def _text(values: Mapping[str, object], column: str) -> str:
    value = values.get(column)
    if value is None:
        return ""
    if type(value) is str and column != "description":
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ColumnError(column, f"it must be a text, not {type(value).__name__}")
    text = str(value)
    return text if column == "description" else text.strip()


def _file_type(text: str) -> str | None:
    if not text:
        return None
    try:
        return check_file_type(text)
    except ConfigurationError as error:
        raise ColumnError("file_type", str(error)) from None


def _metadata(title: str, description: str, tags: tuple[str, ...], category: Category | None) -> Metadata:
    try:
        return Metadata(title, description, tags, category)
    except ConfigurationError as error:
        whole = error
    # Which of them it is: each by itself.
    parts = (("title", Metadata, title), ("description", _described, description), ("tags", _tagged, tags))
    for column, make, value in parts:
        try:
            cast("Callable[[object], object]", make)(value)
        except ConfigurationError as error:
            raise ColumnError(column, str(error)) from None
    raise ColumnError("description", str(whole)) from None


def _described(description: str) -> Metadata:
    return Metadata("-", description)


def _tagged(tags: tuple[str, ...]) -> Metadata:
    return Metadata("-", tags=tags)
