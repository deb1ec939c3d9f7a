"""Manifests as spreadsheets, scripts and folders write them."""

from __future__ import annotations

import asyncio
import codecs
import io
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async import Category, ConfigurationError, Metadata, UploadItem
from iqiyi_async.batch import Batch, HotFolder, Manifest
from iqiyi_async.batch.manifest.columns import CATEGORY_NAMES, ColumnError, category_of, tags_of

ROWS = "文件,标题,描述,标签,分类,类型\n三亚.mp4,三亚的海,海边的一天,海滩，海南,旅游,mp4\n"


def written(folder: Path, content: bytes, name: str = "videos.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        ROWS.encode(),
        codecs.BOM_UTF8 + ROWS.encode(),
        ROWS.encode("gb18030"),
        ROWS.encode("utf-16"),
        ROWS.replace("\n", "\r\n").encode("gb18030"),
        ('"' + ROWS.replace(",", '";"').replace("\n", '"\n"').removesuffix('"')).encode("gb18030"),
        ("\ufeff" + '"' + ROWS.replace(",", '","').replace("\n", '"\n"').removesuffix('"')).encode("gb18030"),
        ROWS.replace(",", ";").encode(),
        ROWS.replace(",", "\t").encode(),
        b"sep=;\r\n" + ROWS.replace(",", ";").encode(),
        b"\r\n" + ROWS.encode() + b",,,,,\r\n\r\n",
    ],
    ids=[
        "utf-8",
        "bom",
        "gb18030",
        "utf-16",
        "crlf",
        "quoted gb18030",
        "gb18030 bom",
        "semicolons",
        "tabs",
        "sep",
        "empty lines",
    ],
)
def test_a_spreadsheet_in_china(tmp_path: Path, content: bytes) -> None:
    (item,) = Manifest.read(written(tmp_path, content))
    metadata = Metadata("三亚的海", "海边的一天", ("海滩", "海南"), Category.TRAVEL)
    assert item == UploadItem(tmp_path / "三亚.mp4", metadata, "mp4")


def test_columns_in_any_order_and_others_between(tmp_path: Path) -> None:
    text = 'Category,note,TITLE,key,source\n9,x,"A film, long",k1,a.mp4\nTV series,,,,b.mp4\n'
    manifest = Manifest.read(written(tmp_path, text.encode()), root="/data")
    first, second = manifest
    assert first == UploadItem(Path("/data/a.mp4"), Metadata("A film, long", category=Category.TRAVEL), key="k1")
    assert second == UploadItem(Path("/data/b.mp4"), Metadata("b", category=Category.TV_SERIES))
    assert manifest.ignored_columns == ["note"]


def test_a_bad_line_names_file_line_and_column(tmp_path: Path) -> None:
    lines = [
        "source,title,category,tags,file_type",
        "a.mp4,A,nonsense,,",
        '"b.mp4","a title\nof two lines",travel,,',
        ",no source,,,",
        "c.mp4,C,travel,x,no type",
        f"d.mp4,{'长' * 1000},travel,,",
        "e.mp4,E,travel,,,,too many",
        "f.mp4,F,旅游,海,mp4",
    ]
    path = written(tmp_path, "\n".join(lines).encode())
    manifest = Manifest.read(path)
    assert [item.metadata.name for item in manifest] == ["a title\nof two lines", "F"]
    where = [(error.line, error.column) for error in manifest.errors]
    assert where == [(2, "category"), (5, "source"), (6, "file_type"), (7, "title"), (8, "")]
    assert all(str(error).startswith(f"{path}, line ") for error in manifest.errors)


@pytest.mark.parametrize(
    ("lines", "good", "bad"),
    [
        (['a.mp4,"open', "b.mp4,", 'c.mp4,"x, y"', "d.mp4,"], ["d"], 2),
        (["a.mp4,", 'b.mp4,"open', "c.mp4,", "d.mp4,"], ["a", "c", "d"], 3),
        (['a.mp4,the "final"', 'b.mp4,"the ""final"""'], ["a", "b"], None),
    ],
    ids=["until another", "until the end", "others"],
)
def test_a_quote_that_is_not_closed_is_told(tmp_path: Path, lines: list[str], good: list[str], bad: int | None) -> None:
    manifest = Manifest.read(written(tmp_path, "\n".join(["source,description", *lines, ""]).encode()))
    assert [item.metadata.name for item in manifest] == good
    assert [error.line for error in manifest.errors] == ([] if bad is None else [bad])
    assert all("quotes of line" in str(error) for error in manifest.errors)


@pytest.mark.parametrize("closed", [True, False])
def test_a_value_without_an_end_stops_no_others(tmp_path: Path, closed: bool) -> None:
    long = "a line of a description\n" * 50_000
    text = f'source,description\na.mp4,A\nb.mp4,"{long}{chr(34) if closed else ""}\nc.mp4,C\n'
    manifest = Manifest.read(written(tmp_path, text.encode()))
    names = [item.metadata.name for item in manifest]
    assert [error.line for error in manifest.errors] == [3]
    assert "field larger than field limit" in str(manifest.errors[0])
    # Where the value has no end, what is behind its first line is taken for lines.
    assert names == ["a", "c"] if closed else (len(names), names[-1]) == (50_001, "c")


def test_values_that_no_path_can_hold(tmp_path: Path) -> None:
    for name, content in (
        ("a.csv", "source\na\0.mp4\nb.mp4\n"),
        ("a.jsonl", '{"source": "\\ud800.mp4", "title": "A"}\n'),
    ):
        manifest = Manifest.read(written(tmp_path, content.encode(), name))
        assert [item.metadata.name for item in manifest] == ["b"] * (name == "a.csv")
        assert [error.column for error in manifest.errors] == ["source"]


@pytest.mark.skipif(os.sep != "/", reason="backslashes are separators there anyway")
def test_a_path_of_windows(tmp_path: Path) -> None:
    (item,) = Manifest.read(written(tmp_path, b"source\nraces\\final.mp4\n"))
    assert item == UploadItem(tmp_path / "races" / "final.mp4", Metadata("final"))


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        json.dumps({"source": "a.mp4", "title": "A", "tags": ["x", "y"], "category": 9, "other": 1}),
        "",
        json.dumps({"文件": "b.mp4", "分类": "纪录片"}, ensure_ascii=False),
        "{no json",
        "[1]",
        json.dumps({"source": "c.mp4", "tags": 7}),
        json.dumps({"source": "https://host/d.mp4?sig=x"}),
    ]
    manifest = Manifest.read(written(tmp_path, "\n".join(lines).encode(), "videos.jsonl"))
    first, second, third = manifest
    assert first.metadata == Metadata("A", tags=("x", "y"), category=Category.TRAVEL)
    assert second.metadata == Metadata("b", category=Category.DOCUMENTARY)
    assert (third.source, third.metadata.name) == ("https://host/d.mp4?sig=x", "d")
    assert [(error.line, error.column) for error in manifest.errors] == [(4, ""), (5, ""), (6, "tags")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_json_lines_with_a_mark(tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = '\ufeff{"文件": "海.mp4"}\n'.encode(encoding.removesuffix("-sig"))
    (item,) = Manifest.read(written(tmp_path, content, "videos.jsonl"))
    assert item.source == tmp_path / "海.mp4"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    (item,) = Manifest.read("-", root=tmp_path)
    assert item.source == tmp_path / "海.mp4"


@pytest.mark.parametrize("text", ["source\na.mp4\n", '{"source": "a.mp4"}\n'])
def test_standard_input(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    (item,) = Manifest.read("-", root=tmp_path)
    assert item.source == tmp_path / "a.mp4"


def test_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.MKV", "notes.txt", ".hidden.mp4", "sub/c.flv", ".git/d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = [str(Path(item.source).relative_to(tmp_path)) for item in Manifest.read(tmp_path)]
    assert names == ["a.MKV", "b.mp4", "sub/c.flv"]
    assert [item.metadata.name for item in Manifest.read(tmp_path)] == ["a", "b", "c"]
    assert [Path(item.source).name for item in Manifest.read(f"{tmp_path}/**/*.flv")] == ["c.flv"]
    assert [Path(item.source).name for item in Manifest.read(tmp_path / "b.mp4")] == ["b.mp4"]
    assert [item.source for item in Manifest.read("b.mp4", "*.MKV", root=tmp_path)] == [
        tmp_path / "b.mp4",
        tmp_path / "a.MKV",
    ]
    with pytest.raises(ConfigurationError, match="no file matches"):
        list(Manifest.read(f"{tmp_path}/*.avi"))
    with pytest.raises(ConfigurationError, match=r"(?i)no such file"):
        list(Manifest.read(tmp_path / "missing.csv"))


def test_a_pattern_does_not_go_in_circles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two links that lead back would have been followed in every order, forty deep."""
    for name in ("b.mp4", "sub/c.mp4", "sub/deep/d.mp4", ".hidden/e.mp4"):
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).write_bytes(b"x")
    for name in ("one", "two"):
        (tmp_path / "films" / "sub" / name).symlink_to(tmp_path / "films")
    (tmp_path / "link").symlink_to("films")

    def matching(pattern: str) -> list[str]:
        return [str(Path(each.source).relative_to(tmp_path)) for each in Manifest.read(pattern)]

    everything = ["b.mp4", "sub/c.mp4", "sub/deep/d.mp4"]
    monkeypatch.chdir(tmp_path)
    for pattern in ("films/**/*.mp4", f"{tmp_path}/fil*/**/*.mp4", "films/**", "**/films/**/**/*.mp4"):
        assert matching(pattern) == [f"films/{each}" for each in everything]
    # One that is named is followed.
    assert matching("link/**/*.mp4") == [f"link/{each}" for each in everything]
    assert matching("films/**/two/*.mp4") == ["films/sub/two/b.mp4"]
    monkeypatch.chdir(tmp_path / "films")
    assert matching("**/*.mp4") == matching("./**/*.mp4") == [f"films/{each}" for each in everything]


def test_iterables_are_read_lazily() -> None:
    read = []

    def items() -> object:
        for number in range(10):
            read.append(number)
            yield UploadItem(f"{number}.mp4", Metadata("A film"))

    entries = iter(Manifest.read(items()))  # type: ignore[arg-type]
    assert read == []
    next(entries)
    assert read == [0]


def test_files_that_can_not_be_manifests(tmp_path: Path) -> None:
    for content, words in [
        (b"", "empty"),
        (b"title\nx\n", "no column is called source"),
        (b"source,source\n", "two columns"),
        (b"source\n\xff\xff\xff\x00\x81", "neither in UTF-8 nor in GB18030"),
    ]:
        with pytest.raises(ConfigurationError, match=words):
            list(Manifest.read(written(tmp_path, content)))
    for name in ("videos.xlsx", "videos.XLS", "videos.ods", "videos.csv"):
        # Only the first has the bytes that its name promises.
        with pytest.raises(ConfigurationError, match=f"{name}: a spreadsheet .* save it as CSV"):
            list(Manifest.read(written(tmp_path, b"PK\x03\x04" + bytes(100), name)))
    cut = "source\na.mp4\n".encode("utf-16")[:-1]
    with pytest.raises(ConfigurationError, match="damaged or cut off"):
        list(Manifest.read(written(tmp_path, cut)))
    with pytest.raises(ConfigurationError):
        Manifest.read()
    with pytest.raises(ConfigurationError):
        Manifest.read(b"videos.csv")  # type: ignore[arg-type]


@pytest.mark.parametrize("category", Category)
def test_categories(category: Category) -> None:
    for name in (category, str(int(category)), f"{int(category)}.0", category.name, category.name.lower()):
        assert category_of(name) is category
    assert category_of(category.name.replace("_", " ").title()) is category
    assert category_of(CATEGORY_NAMES[category]) is category
    for wrong in ("11", "x", True, None, []):
        with pytest.raises(ColumnError):
            category_of(wrong)


@given(st.lists(st.text(st.characters(exclude_characters=",，;；、|\n\r", exclude_categories=["Cs", "Cc"]))))
def test_tags(tags: list[str]) -> None:
    expected = tuple(tag.strip() for tag in tags if tag.strip())
    assert tags_of("，".join(tags)) == expected
    assert tags_of(tags) == expected


def test_a_dry_run(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x" * 10)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder.mp4").mkdir()
    lines = "source\na.mp4\n./a.mp4\nmissing.mp4\nempty.mp4\nfolder.mp4\na.exe\nhttps://h/b.mp4\ns3://h/c.mp4\n,\n,x\n"
    checked = Manifest.read(written(tmp_path, lines.encode())).check()
    assert (checked.items, checked.bytes, checked.unknown) == (3, 10, 2)
    assert len(checked.problems) == 6
    for problem, words in zip(
        checked.problems, ["twice", "No such", "empty", "not a file", "exe", "line 11"], strict=True
    ):
        assert words in problem


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="file systems with names of any bytes")
@pytest.mark.anyio
async def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "good.mp4").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.mp4")).write_bytes(b"x")
    async with Batch(None, tmp_path / "a.ledger", root=folder) as batch:
        result = await batch.add(Manifest.read(folder))
        assert (result.added, result.invalid) == (1, 1)
        # Renamed, as the report says, it is no bad name any more.
        Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.mp4")).rename(folder / "better.mp4")
        result = await batch.add(Manifest.read(folder))
        assert (result.added, result.known, result.invalid) == (1, 1, 0)
        assert (await batch.status()).invalid == 0


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="file systems with names of any bytes")
@pytest.mark.anyio
async def test_a_spreadsheet_whose_name_is_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + "列表.csv".encode("gbk")))
    path.write_bytes(b"source,category\na.mp4,9\nb.mp4,x\n")
    async with Batch(None, tmp_path / "a.ledger", root=tmp_path) as batch:
        result = await batch.add(Manifest.read(path, root=tmp_path))
        assert (result.added, result.invalid) == (1, 1)


@pytest.mark.skipif(os.name != "posix", reason="paths of other systems have other limits")
def test_a_folder_that_can_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    for _ in range(20):
        # Deeper than a path may be long: nobody can read that, and permissions don't stop everybody.
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)
    manifest = Manifest.read(tmp_path)
    assert [Path(item.source).name for item in manifest] == ["good.mp4"]
    (problem,) = manifest.errors
    assert "can't be read" in str(problem)
    assert manifest.check().problems == (str(problem),)


@pytest.mark.anyio
async def test_bad_lines_in_the_ledger(tmp_path: Path) -> None:
    path = written(tmp_path, b"source,category\na.mp4,x\nb.mp4,9\n")
    async with Batch(None, tmp_path / "a.ledger", root=tmp_path) as batch:
        result = await batch.add(Manifest.read(path))
        assert (result.added, result.known, result.invalid) == (1, 0, 1)
        (bad,) = [each for each in await batch.report() if each.state == "invalid"]
        assert "line 2, column category" in bad.error
        # Corrected, it is no bad line any more.
        written(tmp_path, b"source,category\na.mp4,9\nb.mp4,9\n")
        result = await batch.add(Manifest.read(path))
        assert (result.added, result.known, result.invalid) == (1, 1, 0)
        assert (await batch.status()).invalid == 0


@pytest.mark.anyio
@pytest.mark.parametrize("source", ["films", "films/*.mp4", "films/a.mp4"])
async def test_what_is_named_from_the_current_folder_keeps_its_place(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A batch takes relative paths from its root, which here is another folder than the current one.
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    async with Batch(None, tmp_path / "spring.ledger", root="films") as batch:
        await batch.add(Manifest.read(source))
        assert [item.source for item in await batch.report()] == ["a.mp4"]


@pytest.mark.anyio
async def test_a_hot_folder_that_is_named_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hot").mkdir()
    (tmp_path / "hot" / "a.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    async with Batch(None, tmp_path / "spring.ledger", root="hot") as batch:
        found = await asyncio.to_thread(HotFolder(Path("hot"), settle_seconds=0).look)
        await batch.add(found)
        assert [item.source for item in await batch.report()] == ["a.mp4"]
