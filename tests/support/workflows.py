"""Reads the output of a step as GitHub's runner does."""

from __future__ import annotations

import re


def commands_in(output: str) -> list[str]:
    """Returns the lines that give the runner a command while it obeys them.

    The runner obeys `::command::` at the begin of a line, and `##[command]` anywhere in it.
    `::stop-commands::TOKEN` makes it ignore both until `::TOKEN::`.
    """
    found: list[str] = []
    token: str | None = None
    for line in output.splitlines():
        if token is not None:
            token = None if line.strip() == f"::{token}::" else token
        elif match := re.match(r"\s*::stop-commands::(.+)", line):
            token = match[1]
        elif re.match(r"\s*::", line) or "##[" in line:
            found.append(line)
    return found
