"""Selects pytest's tests, and provides the built extension to them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Generator

import pytest
from xdist.workermanage import NodeManager

from harness import extension, paths, versions
from harness.postgres import Installation

#: A call that starts a real Odoo.
_STARTS_ODOO = re.compile(r"(?<!\w)Odoo\(")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ipai_sync")
    group.addoption("--part", action="append", default=[], metavar="TEXT", help="only tests whose file or name contains TEXT (repeatable)")
    group.addoption("--shard", metavar="K/N", help="only the files of the K-th of N shards")
    group.addoption("--seed", type=int, help="seed of the random simulation of Odoo and its mirror")


def pytest_configure() -> None:
    # An interrupted worker stops its servers first, which takes longer than xdist's limit of 10
    # seconds.
    NodeManager.EXIT_TIMEOUT = 90


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    parts: list[str] = config.getoption("--part")
    # They are no tests that a filter has left out, so this precedes the list of normal tests.
    items[:] = [item for item in items if not (_runs_program(item) and item.get_closest_marker("extension_only"))]
    for item in items:
        if _runs_program(item) and (item.get_closest_marker("program_nightly") or _uses_json2(item)):
            item.add_marker("slow")
        if isinstance(item, pytest.Function) and _needs_odoo(item):
            item.add_marker("odoo")
    normal = [item for item in items if not item.get_closest_marker("slow")]
    if parts:
        _keep(config, items, {item for item in items if any(part in item.nodeid for part in parts)})
    if shard := config.getoption("--shard"):
        number, shards = map(int, shard.split("/"))
        files = sorted({item.path for item in items})[number - 1 :: shards]
        _keep(config, items, {item for item in items if item.path in files})
    yield
    # pytest has applied -m and -k now.
    left = set(items)
    cut = {item.path for item in normal if item not in left}
    _keep(config, items, {item for item in items if not (item.get_closest_marker("whole_file") and item.path in cut)})


def _keep(config: pytest.Config, items: list[pytest.Item], chosen: set[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def _runs_program(item: pytest.Item) -> bool:
    """Returns whether the fixture `supabase` of the test runs mirrors with the program."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("supabase") == "program"


def _uses_json2(item: pytest.Item) -> bool:
    """Returns whether a parameter of the test chooses JSON-2."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and any(str(value).startswith("json2") for value in callspec.params.values())


def _needs_odoo(item: pytest.Function) -> bool:
    """Returns whether the test's file, or a shared fixture that the test uses, starts an Odoo."""
    fixtures = [definitions[-1].func for definitions in item._fixtureinfo.name2fixturedefs.values()]
    shared = [fixture for fixture in fixtures if fixture.__module__.endswith("conftest")]
    return any(_STARTS_ODOO.search(inspect.getsource(source)) for source in (item.module, *shared))


@pytest.fixture(scope="session")
def extension_pg() -> Installation:
    """Returns the worker's own copy of the target's Postgres, with the extension installed."""
    installation = versions.target().relocated("tests", under=paths.run_dir())
    extension.build(installation, with_tests=True)
    return installation
