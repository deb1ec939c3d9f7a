"""Prepares the Chinese half of the site, a build of its own: pages in build/zh, settings in zensical.zh.toml.

python .site/chinese.py

A page is `NAME.zh.md` where there is one, and else the English `NAME.md`, with a line that says so.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
STAGED = ROOT / "build" / "zh"
SETTINGS = ROOT / "zensical.zh.toml"

#: `](NAME.zh.md#place)`: here the page is called NAME.md.
_LINK = re.compile(r"(\]\([^)\s]*)\.zh\.md\b")
#: The link to the English page, for those who read the file on its own; the site has a switch.
_SWITCH = re.compile(r"^\[English\]\(\S+\)\n\n", re.MULTILINE)
#: Behind the heading of a page that is in English.
_NOTICE = '!!! note "本页为英文"\n    {reason}\n\n'
_REFERENCE = "API 参考由源代码中的英文文档字符串生成。中文说明见各篇指南。"
_OTHER = "本页没有中文版。"


def page(path: Path) -> str:
    """The text of the page that is called `path` in the Chinese half."""
    chinese = path.with_name(f"{path.stem}.zh.md")
    if not chinese.exists():
        reason = _REFERENCE if path.parent.name == "reference" else _OTHER
        notice = _NOTICE.format(reason=reason)
        text = path.read_text("utf-8")
        heading = re.match(r"# .+\n\n", text)
        return text[: heading.end()] + notice + text[heading.end() :] if heading else notice + text
    text = _LINK.sub(r"\1.md", _SWITCH.sub("", chinese.read_text("utf-8"), count=1))
    # The reference of the errors: their docstrings stand on the English page only.
    names = re.findall(r"^::: .+\n(?: +.+\n)*", path.read_text("utf-8"), re.MULTILINE)
    return text if "\n::: " in text else "\n".join([text, *names])


def settings() -> dict[str, Any]:
    """Those of zensical.toml, with those of zh.toml put over them."""
    return _over(tomllib.loads((ROOT / "zensical.toml").read_text("utf-8")), tomllib.loads(_read("zh.toml")))


def stage() -> None:
    """Write the pages, what they show, and the settings."""
    shutil.rmtree(STAGED, ignore_errors=True)
    left_out = shutil.ignore_patterns("*.md", "llms.txt", "__pycache__", "node_modules")
    shutil.copytree(DOCS, STAGED, ignore=left_out)
    for path in DOCS.rglob("*.md"):
        if not path.name.endswith(".zh.md") and "node_modules" not in path.parts:
            (STAGED / path.relative_to(DOCS)).write_text(page(path), "utf-8")
    whole = settings()
    whole["project"]["docs_dir"] = STAGED.relative_to(ROOT).as_posix()
    SETTINGS.write_text("# Made by .site/chinese.py.\n" + tomli_w.dumps(whole), "utf-8")


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        merged[name] = _over(merged[name], value) if isinstance(merged.get(name), dict) else value
    return merged


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


if __name__ == "__main__":
    stage()
