"""What all tests that pytest runs have in common: how some are selected, and the built extension."""

from __future__ import annotations

import inspect
import re
from collections.abc import Generator

import pytest
from xdist.workermanage import NodeManager

from harness import extension, paths
from harness.postgres import Installation

#: A statement that starts a real Odoo.
_STARTS_ODOO = re.compile(r"(?<!\w)Odoo\(")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ipai_sync")
    group.addoption("--part", action="append", default=[], metavar="TEXT", help="only tests whose file or name contains TEXT (repeatable)")
    group.addoption("--seed", type=int, help="of the random simulation of Odoo and its mirror")


def pytest_configure() -> None:
    # A worker that is interrupted stops its servers first, which takes longer than the 10 seconds that xdist allows.
    NodeManager.EXIT_TIMEOUT = 90


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    parts: list[str] = config.getoption("--part")
    for item in items:
        if isinstance(item, pytest.Function) and _needs_odoo(item):
            item.add_marker("odoo")
    normal = [item for item in items if not item.get_closest_marker("slow")]
    if parts:
        _keep(config, items, {item for item in items if any(part in item.nodeid for part in parts)})
    yield
    # By now pytest has applied -m and -k as well.
    left = set(items)
    cut = {item.path for item in normal if item not in left}
    _keep(config, items, {item for item in items if not (item.get_closest_marker("whole_file") and item.path in cut)})


def _keep(config: pytest.Config, items: list[pytest.Item], chosen: set[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def _needs_odoo(item: pytest.Function) -> bool:
    """Whether the test's file starts an Odoo, or a fixture that it shares with other files does."""
    fixtures = [definitions[-1].func for definitions in item._fixtureinfo.name2fixturedefs.values()]
    shared = [fixture for fixture in fixtures if fixture.__module__.endswith("conftest")]
    return any(_STARTS_ODOO.search(inspect.getsource(source)) for source in (item.module, *shared))


@pytest.fixture(scope="session")
def extension_pg() -> Installation:
    """A copy of PostgreSQL 15 of the worker's own, with the extension installed."""
    installation = Installation.default().relocated("tests", under=paths.run_dir())
    extension.build(installation, with_tests=True)
    return installation
