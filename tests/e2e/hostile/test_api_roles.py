"""Tests that API users, holders of the service key and other sessions do no harm to others."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from support.definitions import ScriptedOdoo, create_statement, execute, expect_error
from support.faulty import metric
from support.supabase import Supabase


@pytest.fixture
def metrics(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    """A database with the filled, unprotected mirror `metrics`."""
    supabase.rows(create_statement("metrics", "ipai.metrics", fields="name,code,notes,brand_id,active,write_date"))
    supabase.sync("metrics")
    return supabase


def protect(supabase: Supabase) -> None:
    """Protects the mirror `metrics`."""
    supabase.rows("""select ipai.protect_mirror('metrics', '{"notes": "tenants"}')""")


def as_role(supabase: Supabase, role: str, statement: str, claims: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Runs a statement as PostgREST does."""
    session = supabase.connect("authenticator")
    with session.transaction():
        execute(session, f"set local role {role}")
        session.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps({"app_metadata": claims or {}})])
        return execute(session, statement)


# anon (E3) ----------------------------------------------------------------------------------------


def test_protected_mirror_shows_no_row_to_anon(metrics: Supabase) -> None:
    """Also if anon may select: no policy shows it a row, not even those without an owner."""
    metrics.rows("grant usage on schema ipai to anon; grant select on ipai.metrics to anon")
    try:
        protect(metrics)
        assert as_role(metrics, "authenticated", "select from ipai.metrics") != []
        assert as_role(metrics, "anon", "select from ipai.metrics", {"tenants": "*"}) == []
    finally:
        metrics.rows("revoke usage on schema ipai from anon")


# Tenants (E7, E8) ---------------------------------------------------------------------------------


LONG = "".join(random.Random(4711).choices("0123456789abcdefghijklmnopqrstuvwxyz", k=3_000))


@pytest.mark.parametrize("when", ["before", "after"])
def test_long_text_of_a_tenant_does_not_stop_the_mirror(metrics: Supabase, erp: ScriptedOdoo, when: str) -> None:
    """A B-tree entry has at most 2,704 bytes. Any user of Odoo can write a longer text."""
    records = [metric(1, notes="acme"), metric(2, notes=LONG), metric(3, notes="globex")]
    records = [{**record, "write_date": "2026-02-01 00:00:00"} for record in records]
    if when == "before":
        erp.records = records
        metrics.rows("call ipai.run_sync('metrics', 'full', max_delete_ratio => 1)")
    protect(metrics)
    erp.records = records
    metrics.rows("call ipai.run_sync('metrics', 'full', max_delete_ratio => 1)")
    ids = "select odoo_id from ipai.metrics order by 1"
    for tenants, seen in (([], []), (["acme"], [1]), ([LONG], [2]), ([LONG[:2_700]], []), ("*", [1, 2, 3])):
        assert [row["odoo_id"] for row in as_role(metrics, "authenticated", ids, {"tenants": tenants})] == seen
    # The index serves the comparison with a tenant's own values.
    assert metrics.rows("select from pg_indexes where tablename = 'metrics' and indexdef like '%%notes%%'")


# The service key (E9) -----------------------------------------------------------------------------


def test_service_role_still_syncs(metrics: Supabase) -> None:
    """The checks on values and the privileges must leave everything that a run writes."""
    metrics.rows("grant usage on foreign server odoo to service_role")
    metrics.rows("create user mapping for service_role server odoo options (user 'admin', password 'admin')")
    session = metrics.connect()
    execute(session, "set role service_role")
    for mode in ("auto", "incremental", "reconcile", "full"):
        execute(session, f"call ipai.run_sync('metrics', '{mode}')")
    (run,) = execute(session, "select * from ipai.sync_mirror('metrics')")
    assert run["delta"] == 0
    execute(session, "select * from ipai.refresh_counts('metrics')")


# Addresses (E9) -----------------------------------------------------------------------------------

SERVER = "create server evil foreign data wrapper ipai_odoo options (url '{}', dbname 'odoo'{})"


@pytest.mark.parametrize(
    "url", ["http://evil.localhost", "http://evil.localhost:8069", "http://localhost.evil.example", "http://127.0.0.1.evil.example"]
)
def test_names_that_a_resolver_decides_need_allow_insecure(supabase: Supabase, url: str) -> None:
    """Only `localhost` itself is this machine. Other names are what a name server says."""
    found = expect_error(supabase, SERVER.format(url, ""))
    assert found.sqlstate == "22023" and "allow_insecure" in (found.message_hint or "")
    supabase.rows(SERVER.format(url, ", allow_insecure 'true'"))
    (row,) = supabase.rows("""select state from ipai.doctor() where "check" = 'address' and object = 'evil'""")
    assert row["state"] == "problem"
