"""Reads fenced blocks of the documentation, and prints what psql prints for them."""

from __future__ import annotations

import re
from pathlib import Path

from harness import paths, postgres, shell
from harness.postgres import Cluster


def blocks(page: str, language: str) -> list[str]:
    """Returns the fenced blocks in this language, in order. Outputs have no language."""
    text = (paths.PROJECT / "docs" / page).read_text()
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


def printed(cluster: Cluster, sql: str, user: str = "postgres") -> str:
    """Runs statements with psql, also those that fail, and returns what it prints."""
    command: list[str | Path] = [cluster.installation.bindir / "psql", "-Xq", "-P", "footer=off", "-d", cluster.dsn(user=user)]
    done = shell.run(command, stdin=sql, capture=True, check=False, env=postgres.client_environment())
    return re.sub(r" +$", "", done.stderr + done.stdout, flags=re.MULTILINE)
