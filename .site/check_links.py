"""Every link of the built site leads to a file and a place in it; text that was included from elsewhere too.

python .site/check_links.py site
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

DOCS = Path(__file__).parents[1] / "docs"


class Page(HTMLParser):
    """The links of a page, and the places in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where it leads, and what it is called."""
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            elif value and (name == "src" or (name == "href" and tag == "a")):
                self.links.append(value)


def problems(site: Path) -> list[str]:
    """What is wrong, one line for each link."""
    # What was copied from docs/ is no page of the site: an example's own page, with addresses of its own server.
    copied = {half / path.relative_to(DOCS) for path in DOCS.rglob("*.html") for half in (site, site / "zh")}
    built = (path for path in site.rglob("*.html") if path.name != "404.html" and path not in copied)
    pages = {path.resolve(): Page(path) for path in built}
    found: list[str] = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            place = unquote(parts.fragment)
            if not target.is_file():
                found.append(f"{path.relative_to(site.resolve())}: there is no {link}")
            elif place and target in pages and place not in pages[target].places:
                found.append(f"{path.relative_to(site.resolve())}: there is no such place as {link}")
    return found


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]))
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    sys.exit(1 if wrong else 0)
