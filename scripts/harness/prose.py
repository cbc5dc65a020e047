"""Checks that prose and comments have at most 100 columns; `scripts/check` runs it.

A line may be longer if nothing in it can be moved to the next line: a table, a code block, a URL.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from . import paths, shell

WIDTH = 100
#: The files that are checked, as git's pathspecs. A tree is added once its prose is rewritten.
CHECKED = (
    *("*.md", ":!addons", ":!apps"),
    *("scripts", "addons/*.py"),
    # test_upgrade.py is not rewritten yet.
    *("tests/*.py", ":!tests/e2e/test_upgrade.py"),
    *("sql", "migrations", "fuzz", "benches", "apps/scout-dashboard/src", "apps/scout-dashboard/tests"),
    *("src", "crates"),
)

#: A line and its number.
Line = tuple[int, str]


def markdown(text: str) -> Iterator[Line]:
    """The lines of prose: no code blocks, tables, HTML and comments."""
    fence = ""
    hidden = False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if mark := re.match(r"`{3,}|~{3,}", stripped):
            if not fence:
                fence = mark[0]
            elif stripped.startswith(fence):
                fence = ""
            continue
        hidden = hidden or "<!--" in line
        if not (fence or hidden or stripped.startswith(("|", "<"))):
            yield number, line
        hidden = hidden and "-->" not in line


def python(text: str) -> Iterator[Line]:
    """Comments on lines of their own, and docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    numbers: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            numbers.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    for number, line in enumerate(text.splitlines(), 1):
        if number in numbers or line.lstrip().startswith("#"):
            yield number, line


def starting_with(*marks: str) -> Callable[[str], Iterator[Line]]:
    """Reads the lines that begin with one of the marks of a comment."""

    def comments(text: str) -> Iterator[Line]:
        for number, line in enumerate(text.splitlines(), 1):
            if line.lstrip().startswith(marks):
                yield number, line

    return comments


READERS = {
    ".md": markdown,
    ".py": python,
    ".rs": starting_with("//"),
    ".sql": starting_with("--"),
    ".ts": starting_with("//", "/*", "* "),
    ".tsx": starting_with("//", "/*", "* "),
}


def too_long(line: str) -> bool:
    """Whether the line has more columns than allowed, and a place at which it can be broken."""
    if len(line) <= WIDTH:
        return False
    # Neither the mark of a comment or list nor the blanks within a code span are such places.
    content = re.sub(r"^\s*(?:(?://[/!]?|--|#:?|[-*+]|\d+\.)\s+)*", "", line)
    return " " in re.sub(r"`[^`]*`", "code", content).strip()


def findings(path: Path) -> Iterator[str]:
    if reader := READERS.get(path.suffix):
        for number, line in reader(path.read_text()):
            if too_long(line):
                name = path.relative_to(paths.PROJECT)
                yield f"{name}:{number}: {len(line)} columns, {WIDTH} are allowed"


def main() -> int:
    listed = shell.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *CHECKED],
        cwd=paths.PROJECT,
        capture=True,
    )
    files = sorted({paths.PROJECT / name for name in listed.stdout.splitlines()})
    found = [finding for path in files if path.is_file() for finding in findings(path)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
