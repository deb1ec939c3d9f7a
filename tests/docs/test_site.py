"""The site is whole: every public name is in the reference, every page is in the navigation."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PUBLIC = [
    "iqiyi_async",
    "iqiyi_async.batch",
    "iqiyi_async.emulator",
    "iqiyi_async.integrations.dask",
    "iqiyi_async.pytest_plugin",
    "iqiyi_async.sources",
    "iqiyi_async.stores",
    "iqiyi_async.testing",
    "iqiyi_async.web",
]
#: Shown under their first name.
ALSO = {"iqiyi_async.sources": "iqiyi_async", "iqiyi_async.stores": "iqiyi_async"}


def module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name == name:
            pytest.skip(f"there is no {name}")
        pytest.skip(str(missing))
    except ImportError as missing:
        pytest.skip(str(missing))


def settings() -> dict[str, Any]:
    config: dict[str, Any] = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
    return config


def in_navigation(entries: list[Any]) -> list[str]:
    found: list[str] = []
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found += in_navigation(value) if isinstance(value, list) else [value]
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    shown = set(re.findall(r"^::: ([\w.]+)$", "\n".join(map(_text, DOCS.glob("reference/*.md"))), re.MULTILINE))
    public = module(name).__all__
    missing = [
        each for each in public if f"{name}.{each}" not in shown and f"{ALSO.get(name, name)}.{each}" not in shown
    ]
    assert missing == [], f"put them into docs/reference: {missing}"


def test_every_page_is_in_the_navigation() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if not path.name.endswith(".zh.md")}
    listed = in_navigation(settings()["nav"])
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == pages


def test_the_chinese_half_has_the_same_navigation() -> None:
    """The same pages in the same order, under Chinese names: the language switch leads from each to its twin."""
    chinese = tomllib.loads(_text(ROOT / ".site" / "zh.toml"))["project"]
    assert in_navigation(chinese["nav"]) == in_navigation(settings()["nav"])
    roots = [{each["lang"]: each["link"] for each in half["extra"]["alternate"]} for half in (settings(), chinese)]
    assert roots == [{"en": "", "zh": "zh/"}, {"en": "../", "zh": ""}]


def test_links_of_the_readme_lead_somewhere() -> None:
    """The site's own links are looked at when it is built; the README is no page of it."""
    for page in ROOT.glob("README*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)", _text(page)):
            if "://" not in target and target.partition("/")[0] in ("docs", "tests"):
                assert (ROOT / target).exists(), f"{page.name}: {target}"


def test_llms_txt_names_every_guide() -> None:
    text = _text(DOCS / "llms.txt")
    for page in in_navigation(settings()["nav"]):
        assert f"({page})" in text, f"docs/llms.txt says nothing of {page}"


def _text(path: Path) -> str:
    return path.read_text("utf-8")
