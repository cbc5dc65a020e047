"""Lints workflows of GitHub Actions and shell scripts; `scripts/check` runs it.

actionlint checks the workflows, shellcheck their commands and the scripts of the repository. Each
action must be pinned to a commit, with its version in a comment.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from . import paths, setup, shell

FOLDERS = (".github/workflows", "examples/github-actions")
WORKFLOWS = sorted(path for folder in FOLDERS for path in paths.PROJECT.glob(f"{folder}/*.yml"))
ACTIONS = sorted(paths.PROJECT.glob(".github/actions/*/action.yml"))
_USES = re.compile(r"^\s*(?:- )?uses: (?P<action>\S+)(?P<rest>.*)$", re.MULTILINE)
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def unpinned(text: str) -> Iterator[str]:
    """Yields the actions that are not pinned to a commit, or whose version is not in a comment."""
    for match in _USES.finditer(text):
        local = match["action"].startswith("./")
        if not local and not (_PINNED.fullmatch(match["action"]) and re.fullmatch(r" # v\d+\.\d+\.\d+", match["rest"])):
            yield f"{match['action']} is not pinned: owner/name@<commit> # v1.2.3"


def commands(text: str) -> Iterator[str]:
    """Yields the commands of a workflow or an action, with a word in place of expressions."""
    document: dict[str, Any] = yaml.safe_load(text)
    jobs = document["jobs"].values() if "jobs" in document else [document["runs"]]
    for job in jobs:
        for step in job["steps"]:
            if "run" in step:
                yield re.sub(r"\$\{\{.*?\}\}", "expression", step["run"])


def scripts() -> list[Path]:
    """Returns the shell scripts of the repository."""
    listed = shell.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=paths.PROJECT, capture=True).stdout
    files = [paths.PROJECT / name for name in listed.splitlines()]
    return [path for path in files if path.is_file() and path.open("rb").readline().strip() in (b"#!/usr/bin/env bash", b"#!/bin/sh")]


def findings() -> Iterator[str]:
    """Yields what is wrong, with the name of the file."""
    pattern = f"{{{','.join(FOLDERS)}}}/*.yml"
    checked = shell.run([*setup.ensure_check_tools().actionlint, pattern], cwd=paths.PROJECT, check=False, capture=True)
    if checked.returncode != 0:
        yield checked.stdout + checked.stderr
    for path in [*WORKFLOWS, *ACTIONS]:
        name = path.relative_to(paths.PROJECT)
        yield from (f"{name}: {finding}" for finding in unpinned(path.read_text()))
        for command in commands(path.read_text()):
            # GitHub runs commands in this way.
            checked = shell.run(["shellcheck", "--shell=bash", "-"], stdin=f"set -eo pipefail\n{command}", check=False, capture=True)
            if checked.returncode != 0:
                yield f"{name}: {checked.stdout}"
    checked = shell.run(["shellcheck", *scripts()], check=False, capture=True)
    if checked.returncode != 0:
        yield checked.stdout + checked.stderr


def main() -> int:
    setup.ensure_system()
    found = list(findings())
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
