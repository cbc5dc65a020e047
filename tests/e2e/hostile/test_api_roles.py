"""Tests that API users, holders of the service key and other sessions do no harm to others."""

from __future__ import annotations

import json
import random
from typing import Any

import psycopg
import pytest

from support.definitions import ScriptedOdoo, create_statement, execute, expect_error
from support.faulty import MODEL, metric
from support.hostile import ATTACKER, Attacker, create_shared_mirror, texts_of
from support.supabase import Supabase

RUN = "call ipai.run_sync('metrics')"


@pytest.fixture
def metrics(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    """A database with the filled, unprotected mirror `metrics`."""
    supabase.rows(create_statement("metrics", "ipai.metrics", fields="name,code,notes,brand_id,active,write_date"))
    supabase.sync("metrics")
    return supabase


def protect(supabase: Supabase, claims: str = '{"notes": "tenants"}') -> list[str]:
    """Protects the mirror `metrics`, and returns the warnings."""
    warnings: list[str] = []
    session = supabase.connect()
    session.add_notice_handler(lambda notice: warnings.append(texts_of(notice)))
    session.execute("select ipai.protect_mirror('metrics', %s)", [claims])
    return warnings


def as_role(supabase: Supabase, role: str, statement: str, claims: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Runs a statement as PostgREST does."""
    session = supabase.connect("authenticator")
    with session.transaction():
        execute(session, f"set local role {role}")
        session.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps({"app_metadata": claims or {}})])
        return execute(session, statement)


# anon (E3) ----------------------------------------------------------------------------------------

#: A table as Supabase's default privileges left it: open to everyone without row-level security.
OPEN_TABLE = """
    create table public.metrics (odoo_id bigint unique, name text, notes text, write_date timestamptz);
    grant all on public.metrics to anon, authenticated, service_role
"""
CREATE_OPEN = f"""
    select * from ipai.create_mirror('{MODEL}', 'public.metrics', name => 'metrics',
        columns => '{{"name": "name", "notes": "notes", "write_date": "write_date"}}')
"""


@pytest.fixture
def opened(supabase: Supabase, erp: ScriptedOdoo) -> tuple[Supabase, str]:
    """A mirror whose table is open to anon, and what `create_mirror` has said about it."""
    supabase.rows(OPEN_TABLE)
    # With these privileges, anon could plant code. They stop the mirror.
    found = expect_error(supabase, CREATE_OPEN)
    assert found.sqlstate == "42501" and "anon" in (found.message_primary or "")
    supabase.rows(found.message_hint or "")
    said: list[str] = []
    session = supabase.connect()
    session.add_notice_handler(lambda notice: said.append(texts_of(notice)))
    execute(session, CREATE_OPEN)
    supabase.sync("metrics")
    return supabase, "\n".join(said)


def test_create_mirror_reports_a_table_that_is_open_to_anon(opened: tuple[Supabase, str]) -> None:
    _, said = opened
    assert "anon" in said and "public.metrics" in said


def test_doctor_reports_a_table_that_is_open_to_anon(opened: tuple[Supabase, str]) -> None:
    supabase, _ = opened
    # The table is really open.
    assert len(as_role(supabase, "anon", "select from public.metrics")) == 6
    rows = supabase.rows("select * from ipai.doctor() where object = 'public.metrics'")
    assert [row for row in rows if row["state"] == "problem" and "anon" in f"{row['finding']} {row['remedy']}"], rows
    assert not [row for row in rows if row["state"] == "ok" and "may not read it" in row["finding"]], rows


def test_doctor_reports_a_policy_for_anon(metrics: Supabase) -> None:
    """With a policy for everyone, anon reads the rows of all tenants."""
    metrics.rows("grant usage on schema ipai to anon; grant select on ipai.metrics to anon")
    metrics.rows("create policy open_to_all on ipai.metrics for select using (true)")
    try:
        rows = metrics.rows("select * from ipai.doctor() where object = 'ipai.metrics' and state = 'problem'")
        assert [row for row in rows if "anon" in f"{row['finding']} {row['remedy']}"], rows
    finally:
        metrics.rows("revoke usage on schema ipai from anon")


@pytest.mark.parametrize("privileges", ["insert, delete", "select, insert, update, delete, truncate"])
def test_protect_mirror_reports_privileges_of_anon(metrics: Supabase, privileges: str) -> None:
    """It warns of them. It refuses TRIGGER and REFERENCES, with which a role plants code."""
    metrics.rows(f"grant {privileges} on ipai.metrics to anon")
    warned = "\n".join(protect(metrics))
    held = metrics.row("select has_table_privilege('anon', 'ipai.metrics', 'insert, update, delete') as held")["held"]
    assert not held or "anon" in warned


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


def test_tenants_are_compared_bytewise(metrics: Supabase, erp: ScriptedOdoo) -> None:
    """A nondeterministic collation would show the rows of ACME to acme."""
    metrics.cluster.psql(
        "create collation extensions.ignores_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
        "alter table ipai.metrics alter notes type text collate extensions.ignores_case"
    )
    try:
        erp.records = [
            metric(number, notes=notes, write_date="2026-02-01 00:00:00") for number, notes in enumerate(("acme", "ACME", "Acmé"), 1)
        ]
        metrics.rows("call ipai.run_sync('metrics', 'full', max_delete_ratio => 1)")
        try:
            protect(metrics)
        except psycopg.Error as error:
            assert error.sqlstate == "22023" and "collation" in texts_of(error.diag) and error.diag.message_hint
            return
        ids = "select odoo_id from ipai.metrics order by 1"
        for tenant, seen in (("acme", [1]), ("ACME", [2]), ("aCME", [])):
            assert [row["odoo_id"] for row in as_role(metrics, "authenticated", ids, {"tenants": [tenant]})] == seen
    finally:
        metrics.rows("drop table ipai.metrics")
        metrics.cluster.psql("drop collation extensions.ignores_case")


# Plain passwords (E4) -----------------------------------------------------------------------------


def test_doctor_reports_a_plain_password_that_others_read(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Members of pg_read_all_data read the catalog: on Supabase a role for read-only users, too."""
    supabase.rows("alter user mapping for postgres server odoo options (drop password_secret, add password 'in clear')")
    stolen = supabase.rows("select umoptions from pg_user_mapping", user="supabase_read_only_user")
    assert "password=in clear" in str(stolen)
    (row,) = supabase.rows("""select * from ipai.doctor() where "check" = 'password' and object = 'odoo'""")
    assert row["state"] == "problem" and "supabase_read_only_user" in row["finding"] and row["remedy"]


# The service key (E9) -----------------------------------------------------------------------------

REJECT = "insert into ipai.sync_rejects (mirror, odoo_id, refused, sqlstate, message{}) values ('metrics', 1, {})"

INSERT = "insert into ipai.run_log (mirror, mode, state, started_at, finished_at{}) values ('metrics', 'full', 'succeeded', {}, {}{})"
FORGED = {
    "a run that ends never": INSERT.format("", "now()", "'infinity'", ""),
    "a run that began before all times": INSERT.format("", "'-infinity'", "now()", ""),
    **{
        f"a run with an infinite {column}": INSERT.format(f", {column}", "now()", "now()", f", '{sign}infinity'")
        for column in ("bound", "odoo_clock", "newest", "cursor_before", "cursor_after")
        for sign in ("", "-")
    },
    "an infinite cursor": "update ipai.mirror_state set cursor = 'infinity'",
    "a cursor before all times": "update ipai.mirror_state set cursor = '-infinity'",
    "an infinite date of the company": "update ipai.mirror_state set filled_company = 'infinity'",
    "the last number of a run": """insert into ipai.run_log (run, mirror, mode, state, finished_at) overriding system value
        values (9223372036854775807, 'metrics', 'full', 'succeeded', now())""",
    "a chosen number of a run": """insert into ipai.run_log (run, mirror, mode, state, finished_at) overriding system value
        values (1000, 'metrics', 'full', 'succeeded', now())""",
    "another number of a run": "update ipai.run_log set run = 9223372036854775807",
    "another sequence": "select setval('ipai.run_log_run_seq', 9223372036854775807)",
    "since when a record is refused": REJECT.format(", since", "'insert', '23514', '', now()"),
    "what is refused": REJECT.format("", "'all', '23514', ''"),
    "a long message": REJECT.format("", "'insert', '23514', repeat('x', 10001)"),
    "a null alert": "update ipai.mirror_state set alerts = '{failing,NULL}'",
    "no alerts": "update ipai.mirror_state set alerts = null",
    "nested alerts": "update ipai.mirror_state set alerts = '{{a,b},{c,d}}'",
    "the mirror of another table": "update ipai.mirrors set target_table = 'metrics'",
    "the name of a mirror": "update ipai.mirror_state set mirror = 'x'",
}


def test_service_role_cannot_break_views_or_notifications(metrics: Supabase) -> None:
    accepted: dict[str, str | None] = {}
    for name, statement in FORGED.items():
        try:
            as_role(metrics, "service_role", statement)
            accepted[name] = None
        except psycopg.Error as error:
            # A privilege, a check, a generated column, or a value out of range.
            if error.sqlstate not in ("42501", "23514", "23502", "428C9", "22003"):
                accepted[name] = error.sqlstate
    assert accepted == {}
    for view in ("sync_runs", "sync_status", "sync_alerts", "sync_count_delta", "doctor()"):
        metrics.rows(f"select * from ipai.{view}")
    metrics.rows("select ipai.notify_alerts()")
    metrics.sync("metrics")


def test_service_role_still_syncs(metrics: Supabase) -> None:
    """The checks and privileges above must leave everything that a run writes."""
    metrics.rows("grant usage on foreign server odoo to service_role")
    metrics.rows("create user mapping for service_role server odoo options (user 'admin', password 'admin')")
    session = metrics.connect()
    execute(session, "set role service_role")
    for mode in ("auto", "incremental", "reconcile", "full"):
        execute(session, f"call ipai.run_sync('metrics', '{mode}')")
    (run,) = execute(session, "select * from ipai.sync_mirror('metrics')")
    assert run["delta"] == 0
    execute(session, "select * from ipai.refresh_counts('metrics')")


# Locks (E9) ---------------------------------------------------------------------------------------


def test_holder_of_the_lock_is_named(supabase: Supabase, erp: ScriptedOdoo, attacker: Attacker) -> None:
    """Any session can take any advisory lock. The operator must see which one to end."""
    create_shared_mirror(supabase)
    with supabase.connect(ATTACKER) as session:
        pid = session.info.backend_pid
        # The keys are public: the source of the extension has them, and pg_locks shows them.
        execute(session, "select pg_advisory_lock(hashtext('ipai_sync'), hashtext('metrics'))")
        for statement in (RUN, "select * from ipai.sync_mirror('metrics')"):
            found = expect_error(supabase, statement)
            detail = found.message_detail or ""
            assert found.sqlstate == "55P03" and ATTACKER in detail and str(pid) in detail, detail
    supabase.sync("metrics")


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
