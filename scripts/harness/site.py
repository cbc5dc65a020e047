"""Builds the docs site with mdBook, and finds dead links in it; `scripts/docs` runs it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from . import paths, setup, shell

#: Files that are no pages of the site are linked here.
REPOSITORY = "https://github.com/ipai-sync/ipai_sync"
SITE = paths.PROJECT / "target/site"
_MDBOOK = "0.5.4"
_INDEX = paths.PROJECT / "docs/README.md"
#: The pages, besides those that docs/README.md lists.
_OTHERS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "examples/*/README.md", "sql/README.md")
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)\s#]+)")
_TEMPLATE = f"""[book]
title = "ipai_sync"
language = "en"
src = "pages"

[output.html]
git-repository-url = "{REPOSITORY}"
additional-js = ["mermaid.js", "mermaid-start.js"]
no-section-label = true
# A page for addresses that do not exist would need to know the address of the site.
input-404 = ""

[output.html.print]
enable = false
"""


def build(site: Path = SITE) -> Path:
    """Builds the site into the folder `site`, and returns the folder."""
    mdbook, modules = ensure_mdbook(), setup.ensure_check_tools().node_modules
    book = paths.run_dir()
    pages = sorted({path for pattern in ("docs/**/*.md", "agents/*.md", *_OTHERS) for path in paths.PROJECT.glob(pattern)})
    for page in pages:
        target = book / "pages" / _place(page)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_with_links(page, set(pages)))
    shutil.copytree(paths.PROJECT / "docs/images", book / "pages/docs/images")
    (book / "pages/SUMMARY.md").write_text(_summary(pages))
    (book / "book.toml").write_text(_TEMPLATE)
    shutil.copyfile(modules / "@mermaid-js/tiny/dist/mermaid.tiny.js", book / "mermaid.js")
    shutil.copyfile(setup.CHECK_PROJECT / "mermaid-start.js", book / "mermaid-start.js")
    shutil.rmtree(site, ignore_errors=True)
    shell.run([mdbook, "build", "--dest-dir", site, book], capture=True)
    shutil.rmtree(book)
    return site


def ensure_mdbook() -> Path:
    """Builds mdBook from its source, only once."""
    folder = paths.CACHE / "mdbook"

    def make() -> None:
        shell.log_progress("Compiling mdBook: about a minute, only once")
        shell.run(
            [
                *("cargo", "install", "--quiet", "--locked", "--debug", f"mdbook@{_MDBOOK}"),
                *("--no-default-features", "--features", "search", "--root", folder),
            ],
            # Variables of a calling cargo would change the build.
            env={"CARGO_TARGET_DIR": str(folder / "target"), **{name: None for name in os.environ if name.startswith("CARGO_PKG_")}},
        )
        shutil.rmtree(folder / "target")

    setup.rebuild_if_changed(folder, paths.digest(_MDBOOK), make)
    return folder / "bin/mdbook"


def _place(page: Path) -> Path:
    """Returns where a page is in the book: mdBook wants README.md to be index.md."""
    name = "index.md" if page.name == "README.md" else page.name
    return page.relative_to(paths.PROJECT).with_name(name)


def _with_links(page: Path, pages: set[Path]) -> str:
    """Returns the page's text. Its links to files that are no pages lead to their source."""

    def link(match: re.Match[str]) -> str:
        target = (page.parent / match[1]).resolve()
        if target in pages:
            return os.path.relpath(_place(target), _place(page).parent)
        if target.is_relative_to(paths.PROJECT / "docs/images"):
            return match[1]
        return f"{REPOSITORY}/blob/main/{target.relative_to(paths.PROJECT)}"

    return _LINK.sub(link, page.read_text())


def _summary(pages: list[Path]) -> str:
    """Returns mdBook's table of contents: README, the sections of docs/README.md, and the rest."""
    lines = ["# Summary", "", "[ipai_sync](index.md)"]
    listed = {paths.PROJECT / "README.md", _INDEX}
    for match in re.finditer(r"^## (?P<section>.+)$|^- \[(?P<title>[^\]]+)\]\((?P<target>[^)#]+)\)", _INDEX.read_text(), re.MULTILINE):
        if match["section"]:
            lines += ["", f"# {match['section']}", ""]
            continue
        page = (_INDEX.parent / match["target"]).resolve()
        if page in pages and page not in listed:
            lines.append(f"- [{match['title']}]({_place(page)})")
            listed.add(page)
    lines += ["", "# Project", "", f"- [All pages]({_place(_INDEX)})"]
    lines += [f"- [{_title(page)}]({_place(page)})" for page in pages if page not in listed]
    return "\n".join(lines) + "\n"


def _title(page: Path) -> str:
    found = re.search(r"^# (.+)$", page.read_text(), re.MULTILINE)
    return found[1] if found else page.stem


class _Page(HTMLParser):
    """The ids of a page, and what it links to or loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.ids.update(values[name] for name in ("id", "name") if name in values)
        self.links += [values[name] for name in ("href", "src") if name in values]


def dead_links(site: Path) -> Iterator[str]:
    """Yields each link within the site whose file or section does not exist."""
    pages = {path: _Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:|//", link):
                continue
            file, _, anchor = unquote(link).partition("#")
            target = (path.parent / file.partition("?")[0]).resolve() if file else path
            if target.is_dir():
                target /= "index.html"
            known = pages.get(target)
            if not target.is_file() or (anchor and known is not None and anchor not in known.ids):
                yield f"{path.relative_to(site)}: {link}"


def main() -> int:
    site = build()
    dead = list(dead_links(site))
    print("\n".join([*(f"dead link in {link}" for link in dead), f"{site}/index.html"]))
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
