"""Reads the fenced blocks of pages whose commands tests execute, and builds what they call."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from support import program


@dataclass
class Block:
    """A fenced block with a language, and the output shown directly below it."""

    line: int
    section: str
    language: str
    text: str
    shown: str | None
    #: The position of `shown` in the page.
    span: tuple[int, int]


def blocks(page: str) -> list[Block]:
    found: list[Block] = []
    section = ""
    pattern = r"^(?:#+ (?P<title>[^\n]+)|```(?P<language>\w+)\n(?P<text>.*?)^```(?:\n```\n(?P<shown>.*?)^```)?)$"
    for match in re.finditer(pattern, page, re.MULTILINE | re.DOTALL):
        if title := match["title"]:
            section = title
        else:
            found.append(
                Block(
                    page.count("\n", 0, match.start()) + 1, section, match["language"], match["text"], match["shown"], match.span("shown")
                )
            )
    return found


def tidy(text: str) -> list[str]:
    """Returns an output as lines without trailing blanks."""
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def write_shown(page: Path, found: Iterable[Block]) -> None:
    """Writes the outputs of blocks into their page."""
    text = page.read_text()
    for block in reversed(list(found)):
        if block.shown is not None:
            text = text[: block.span[0]] + block.shown + text[block.span[1] :]
    page.write_text(text)


@functools.cache
def build_program() -> Path:
    """Builds the program `ipai-sync`."""
    return program.build()["ipai-sync"]
