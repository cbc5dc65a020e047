"""What all tests that pytest runs have in common: their selection, and the built extension."""

from __future__ import annotations

import pytest

from harness import extension, paths
from harness.postgres import Installation


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ipai_sync")
    group.addoption("--part", action="append", default=[], metavar="TEXT", help="only tests whose file or name contains TEXT (repeatable)")
    group.addoption("--seed", type=int, help="of the random simulation of Odoo and its mirror")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    parts: list[str] = config.getoption("--part")
    if not parts:
        return
    chosen = [item for item in items if any(part in item.nodeid for part in parts)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture(scope="session")
def extension_pg() -> Installation:
    """A copy of PostgreSQL 15 of the worker's own, with the extension installed."""
    installation = Installation.default().relocated("tests", under=paths.run_dir())
    extension.build(installation)
    return installation
