"""Each guide has its Chinese page, and the two say the same things: headings, code, links, tables and names agree."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

#: Guides that must be there in Chinese; a page that is there as well is compared too.
GUIDES = (
    "batches",
    "command-line",
    "decisions",
    "examples",
    "faults",
    "how-it-is-built",
    "index",
    "limits-and-tuning",
    "many-machines",
    "migration",
    "observability",
    "playing",
    "reference/errors",
    "sources",
    "start",
    "testing",
    "tokens-and-journals",
    "troubleshooting",
    "uploads",
    "versions",
    "web-backends",
)

#: One name for one thing, in the guides and on the command line: words that have another one there.
TERMS = {
    "台账": "账本",
    "授权令牌": "访问令牌",
    "后缀": "扩展名",
    "元信息": "元数据",
    "帐号": "账号",
    "断点上传": "断点续传",
    "分块": "分片",
    "切片": "分片",
    "凭证": "凭据",
    "批任务": "批次",
}

_FENCE = re.compile(r"^(?P<mark>`{3,}|~{3,})(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=mark)[ ]*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6}) +(.+?)(?: +\{[^}]*\})?$", re.MULTILINE)
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_CROSS_REFERENCE = re.compile(r"\][ ]?\[([^\]\n]+)\]")


@attrs.frozen
class Page:
    """What has to agree, of one page."""

    path: Path
    blocks: list[tuple[str, str]]
    headings: list[tuple[int, str]]
    links: list[str]
    code: set[str]
    tables: list[tuple[int, int]]
    prose: str


def read(path: Path) -> Page:
    text = path.read_text("utf-8")
    prose = _FENCE.sub("", text)
    without_code = _CODE.sub("", prose)
    return Page(
        path,
        blocks=[(match["info"].strip(), match["text"]) for match in _FENCE.finditer(text)],
        headings=[(len(match[1]), match[2]) for match in _HEADING.finditer(prose)],
        links=_LINK.findall(without_code) + _CROSS_REFERENCE.findall(without_code),
        code={" ".join(match[2].split()) for match in _CODE.finditer(prose)},
        tables=tables(prose),
        prose=without_code,
    )


def tables(prose: str) -> list[tuple[int, int]]:
    """Rows and columns of each table."""
    found: list[tuple[int, int]] = []
    rows = 0
    for line in [*prose.splitlines(), ""]:
        if line.lstrip().startswith("|"):
            rows += 1
            columns = _CODE.sub("", line).strip().strip("|").count("|") + 1
        elif rows:
            found.append((rows, columns))
            rows = 0
    return found


def translation(path: Path) -> Path:
    return path.with_name(f"{path.stem}.zh{path.suffix}")


def original(path: Path) -> Path:
    return path.with_name(path.name.replace(".zh.", "."))


def pages() -> list[Path]:
    named = {DOCS / f"{guide}.md" for guide in GUIDES}
    found = {original(path) for path in DOCS.rglob("*.zh.md")}
    return [ROOT / "README.md", *sorted(named | found)]


def targets(page: Page, language: str) -> Counter[str]:
    """Where the links of a page lead, apart from those between the languages; pages are named as the English ones are.

    A heading that is linked to has its English name on the Chinese page too: `## 限速 {#how-fast-it-may-go}`.
    """
    found: list[str] = []
    for link in page.links:
        address, hash_mark, place = link.partition("#")
        if "://" in address or not address:
            found.append(link)
            continue
        target = (page.path.parent / address).resolve()
        if {target, page.path.resolve()} <= {translation(original(page.path)), original(page.path)}:
            # From one language to the other.
            continue
        if language == "zh" and translation(target).exists():
            pytest.fail(f"{page.path.name} leads to {target.name}, which is there in Chinese")
        target = original(target)
        found.append(f"{target}{hash_mark}{place}")
    return Counter(found)


@pytest.fixture(params=pages(), ids=lambda path: path.stem)
def english(request: pytest.FixtureRequest) -> Page:
    path: Path = request.param
    assert path.exists(), f"{translation(path).name} has no English page"
    return read(path)


@pytest.fixture
def chinese(english: Page) -> Page:
    path = translation(english.path)
    assert path.exists(), f"{english.path.name} has no Chinese page"
    return read(path)


def test_headings_agree(english: Page, chinese: Page) -> None:
    assert [level for level, _ in chinese.headings] == [level for level, _ in english.headings]


def test_code_blocks_agree(english: Page, chinese: Page) -> None:
    assert chinese.blocks == english.blocks


def test_links_agree(english: Page, chinese: Page) -> None:
    assert targets(chinese, "zh") == targets(english, "en")


def test_tables_agree(english: Page, chinese: Page) -> None:
    assert chinese.tables == english.tables


def test_names_agree(english: Page, chinese: Page) -> None:
    """What stands as code in the text: an option that one page names, the other names too."""
    assert english.code - chinese.code == set()


def test_it_is_chinese(chinese: Page) -> None:
    """A paragraph that was pasted and never translated is found."""
    for line in chinese.prose.splitlines():
        words = re.findall(r"[A-Za-z]{2,}", re.sub(r"\]\([^)]*\)|\{[^}]*\}", "", line))
        assert len(words) < 12 or re.search(r"[一-鿿]", line), line


def test_terms_are_the_same_everywhere() -> None:
    texts = {path.name: path.read_text("utf-8") for path in [*DOCS.rglob("*.zh.md"), *ROOT.glob("*.zh.md")]}
    folder = files("iqiyi_async.cli")
    texts |= {name: folder.joinpath(name).read_text("utf-8") for name in ("chinese.json", "chinese_messages.json")}
    found = [f"{name}: {word}, not {other}" for other, word in TERMS.items() for name in texts if other in texts[name]]
    assert not found, "\n".join(found)


def test_it_leads_to_the_english_page(english: Page, chinese: Page) -> None:
    assert english.path.name in chinese.links
