"""Checks CHANGELOG.md, and prints the notes of a release from it.

scripts/bootstrap harness.changelog            checks the form, that of Keep a Changelog, and that
                                               all parts of the project have the newest version
scripts/bootstrap harness.changelog 1.0.0      prints what the version changes
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping

from . import extension, paths

CHANGELOG = paths.PROJECT / "CHANGELOG.md"
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_RELEASE = re.compile(r"## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}")
_UNRELEASED = "## [Unreleased]"


def findings(text: str) -> Iterator[str]:
    """Yields what does not follow Keep a Changelog."""
    lines = text.splitlines()
    if lines[:1] != ["# Changelog"]:
        yield "1: the title is not # Changelog"
    versions: list[tuple[int, ...]] = []
    kinds: list[str] = []
    unreleased = 0
    for number, line in enumerate(lines, 1):
        if line.startswith("## "):
            kinds = []
            unreleased += line == _UNRELEASED
            if found := _RELEASE.fullmatch(line):
                versions.append(tuple(map(int, found[1].split("."))))
                if versions != sorted(set(versions), reverse=True):
                    yield f"{number}: the versions are not in descending order"
            elif line != _UNRELEASED or versions:
                yield f"{number}: neither {_UNRELEASED} at the top nor ## [1.2.3] - 2026-12-31"
        elif line.startswith("### "):
            kind = line.removeprefix("### ")
            if kind not in KINDS or kind in kinds:
                yield f"{number}: not one of {', '.join(KINDS)}, each at most once in a version"
            kinds.append(kind)
        elif line.startswith("- ") and not kinds:
            yield f"{number}: a change outside of a section such as ### Added"
    if unreleased != 1:
        yield f"1: {_UNRELEASED} occurs {unreleased} times"


def versions() -> dict[str, str]:
    """Returns the version that each part of the project states, by file."""
    meta = json.loads((paths.PROJECT / "META.json").read_text())
    manifests = {path: ast.literal_eval(path.read_text()) for path in sorted((paths.PROJECT / "addons/ipai").glob("*/__manifest__.py"))}
    return {
        "Cargo.toml": extension.version(),
        "META.json": meta["version"],
        "META.json, provides": meta["provides"][extension.NAME]["version"],
        **{str(path.relative_to(paths.PROJECT)): manifest["version"] for path, manifest in manifests.items()},
    }


def other_versions(text: str, stated: Mapping[str, str]) -> Iterator[str]:
    """Yields the parts whose version is not the newest of the changelog."""
    newest = re.search(rf"^{_RELEASE.pattern}$", text, re.MULTILINE)
    for part, version in stated.items():
        if newest is None or version != newest[1]:
            yield f"1: {part} has version {version}, and the changelog {newest[1] if newest else 'none'}"


def notes(text: str, version: str) -> str:
    """Returns the text below the heading of a version."""
    heading = re.search(rf"^## \[{re.escape(version)}\] - .*$", text, re.MULTILINE)
    if heading is None:
        raise SystemExit(f"CHANGELOG.md has no version {version}")
    rest = text[heading.end() :]
    following = re.search(r"^## ", rest, re.MULTILINE)
    return rest[: following.start() if following else None].strip()


def main() -> int:
    text = CHANGELOG.read_text()
    if sys.argv[1:]:
        print(notes(text, sys.argv[1].removeprefix("v")))
        return 0
    found = [f"CHANGELOG.md:{finding}" for finding in (*findings(text), *other_versions(text, versions()))]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
