"""Tests that mirrors follow their table and their server when these are renamed or moved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.definitions import ScriptedOdoo, create_statement, execute, expect_error
from support.faulty import metric
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

STORED = "select server, target_schema::text as schema, target_table::text as name from ipai.mirrors where name = 'metrics'"
RUN = "call ipai.run_sync('metrics')"


@pytest.fixture
def erp() -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo([metric(number) for number in range(1, 4)]) as odoo:
        yield odoo


@pytest.fixture
def mirrored(supabase: Supabase, erp: ScriptedOdoo) -> Iterator[Supabase]:
    """A database with the filled mirror `metrics` in a schema of its own, read every hour."""
    supabase.server(erp.url)
    supabase.rows("drop schema if exists first, second cascade; create schema first; create schema second")
    supabase.rows(create_statement("metrics", "first.metrics", more=", server => 'odoo', reconcile_every => '1 hour'"))
    assert supabase.sync("metrics")["inserted"] == 3
    erp.records = [metric(number, name=f"Changed {number}", write_date="2026-01-06 08:00:00") for number in (2, 3, 4)]
    yield supabase
    supabase.rows("drop schema first cascade; drop schema second cascade")


@pytest.mark.parametrize(
    ("change", "schema", "name"),
    [
        ("alter table first.metrics rename to figures", "first", "figures"),
        ("alter table first.metrics set schema second", "second", "metrics"),
        ("alter schema first rename to third; create schema first", "third", "metrics"),
    ],
    ids=["renamed", "moved", "with its schema"],
)
def test_mirror_follows_its_table(mirrored: Supabase, change: str, schema: str, name: str) -> None:
    mirrored.rows(change)
    run = mirrored.sync("metrics", "incremental")
    assert (run["mode"], run["inserted"], run["updated"]) == ("incremental", 1, 2)
    assert mirrored.row(STORED) == {"server": "odoo", "schema": schema, "name": name}
    # The options stay, and the table has the rows.
    assert mirrored.row("select reconcile_every::text as every from ipai.mirrors")["every"] == "01:00:00"
    assert mirrored.row(f"select count(*) from {schema}.{name}") == {"count": 3}
    mirrored.rows("drop schema if exists third cascade")


def test_mirror_follows_its_server(mirrored: Supabase, erp: ScriptedOdoo) -> None:
    mirrored.rows("alter server odoo rename to erp")
    # The secret is bound to the name of the server.
    found = expect_error(mirrored, RUN)
    assert found.sqlstate == "42501" and "bind_odoo_secret" in (found.message_hint or "")
    mirrored.rows(found.message_hint or "")
    assert mirrored.sync("metrics")["updated"] == 2
    assert mirrored.row(STORED)["server"] == "erp"


def test_mirror_does_not_follow_while_another_table_has_its_name(mirrored: Supabase) -> None:
    mirrored.rows("alter table first.metrics rename to earlier; create table first.metrics (like first.earlier including all)")
    found = expect_error(mirrored, RUN)
    assert found.sqlstate == "42501" and "register_mirror" in (found.message_hint or "")
    assert mirrored.row(STORED)["name"] == "metrics"
    assert mirrored.rows("select from first.metrics") == []


def test_dropped_table_is_named(mirrored: Supabase) -> None:
    mirrored.rows("drop table first.metrics")
    assert expect_error(mirrored, RUN).sqlstate == "42P01"


def test_role_that_may_not_define_mirrors_is_told_who_can(mirrored: Supabase) -> None:
    mirrored.rows("alter table first.metrics rename to figures; grant usage on foreign server odoo to service_role")
    with mirrored.connect("supabase_admin") as session:
        execute(session, "set role service_role")
        with pytest.raises(Exception, match="was renamed") as raised:
            execute(session, RUN)
    assert "select ipai.register_mirror('metrics');" in str(raised.value)
    mirrored.rows("select ipai.register_mirror('metrics')")
    assert mirrored.row(STORED)["name"] == "figures"
