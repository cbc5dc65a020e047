"""Fixtures of the end-to-end tests: real servers, started once for each worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import postgres
from harness.odoo import Odoo, generate_metrics
from harness.postgres import Installation
from support.supabase import ROWS, Supabase


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs each test with the marker both_protocols over XML-RPC and over JSON-2."""
    if metafunc.definition.get_closest_marker("both_protocols") and "protocol" in metafunc.fixturenames:
        metafunc.parametrize("protocol", ["auto", "json2"], ids=["xmlrpc", "json2"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def protocol(request: pytest.FixtureRequest) -> str:
    """The protocol of the servers that the tests create."""
    return str(getattr(request, "param", "auto"))


@pytest.fixture(scope="session")
def odoo() -> Iterator[Odoo]:
    """A real Odoo 19 with the module, without demo records."""
    with Odoo() as running:
        yield running


@pytest.fixture(scope="module")
def erp(protocol: str) -> Iterator[Odoo]:
    """A separate Odoo for each file and protocol, with 2,000 metrics."""
    with Odoo() as odoo:
        generate_metrics(odoo, ROWS)
        yield odoo


@pytest.fixture(scope="session")
def _supabase(extension_pg: Installation) -> Iterator[Supabase]:
    with postgres.supabase_cluster(extension_pg) as cluster:
        cluster.psql("create extension ipai_sync")
        postgres.migrate(cluster)
        yield Supabase(cluster)


@pytest.fixture
def supabase(_supabase: Supabase, protocol: str, request: pytest.FixtureRequest) -> Iterator[Supabase]:
    """The cluster, reset to a new database after each test.

    It has the mirror sample_metrics, except for tests with the marker no_mirrors.
    """
    _supabase.protocol = protocol
    if request.node.get_closest_marker("no_mirrors"):
        _supabase.rows("delete from ipai.mirrors")
    yield _supabase
    _supabase.reset()
