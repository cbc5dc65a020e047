"""Fixtures of the end-to-end tests: real servers, started once for each worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import postgres, shell, versions
from harness.odoo import Odoo, generate_metrics
from harness.postgres import Cluster, Installation
from support import program
from support.program import ProgramSupabase
from support.supabase import ROWS, Supabase


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


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """The program `ipai-sync` and the test `session` of crates/cli."""
    return program.build()


@pytest.fixture(scope="session")
def hosted(programs: dict[str, Path]) -> Iterator[Cluster]:
    """A cluster like a hosted project: it has no file of the extension, and `init` was run."""
    with postgres.supabase_cluster(versions.target()) as cluster:
        assert not list(cluster.installation.extension_dir.glob("ipai_sync*"))
        shell.run([programs["ipai-sync"], "init"], env={"DATABASE_URL": cluster.dsn(user="postgres")}, capture=True)
        postgres.migrate(cluster)
        yield cluster


@pytest.fixture(scope="session")
def _program_supabase(hosted: Cluster, programs: dict[str, Path]) -> ProgramSupabase:
    return ProgramSupabase(hosted, programs["ipai-sync"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs tests over both protocols and in both hosts, according to their markers."""
    has_mark = metafunc.definition.get_closest_marker
    if has_mark("both_protocols") and "protocol" in metafunc.fixturenames:
        metafunc.parametrize("protocol", ["auto", "json2"], ids=["xmlrpc", "json2"], indirect=True, scope="module")
    if "supabase" in metafunc.fixturenames and has_mark("both_hosts") and not has_mark("whole_file"):
        metafunc.parametrize("supabase", ["extension", "program"], indirect=True)


@pytest.fixture
def supabase(protocol: str, request: pytest.FixtureRequest) -> Iterator[Supabase]:
    """A database, reset after each test.

    The extension runs its mirrors, or with the parameter `program` the program ipai-sync. It has
    the mirror sample_metrics, except for tests with the marker no_mirrors.
    """
    host = "_program_supabase" if getattr(request, "param", None) == "program" else "_supabase"
    found: Supabase = request.getfixturevalue(host)
    found.protocol = protocol
    if request.node.get_closest_marker("no_mirrors"):
        found.rows("delete from ipai.mirrors")
    yield found
    found.reset()


@pytest.fixture
def hosted_supabase(_program_supabase: ProgramSupabase) -> Iterator[ProgramSupabase]:
    """A database without the extension, reset after each test, with the mirror sample_metrics."""
    yield _program_supabase
    _program_supabase.reset()
