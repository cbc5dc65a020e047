"""Tests attacks that were tried and found harmless, and that no other file tests."""

from __future__ import annotations

import json

import pytest

from support.definitions import ScriptedOdoo, create_statement, execute, expect_error
from support.faulty import Exchange, FaultyOdoo, metric, respond_normally
from support.supabase import Supabase

SERVER = "create server evil foreign data wrapper ipai_odoo options (url '{}', dbname 'odoo')"
CHECK = "select * from ipai.check_connection('odoo')"
LATER = "2026-02-01 00:00:00"


# Requests -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [
        "url 'http://127.0.0.1:9\r\nX-Evil: 1', dbname 'odoo'",
        "url 'http://127.0.0.1:9/\r\nX-Evil: 1', dbname 'odoo'",
        "url 'http://127.0.0.1:9', dbname 'odoo', proxy 'http://127.0.0.1:9\r\nX-Evil: 1', allow_insecure 'true'",
    ],
)
def test_address_cannot_add_a_header(supabase: Supabase, option: str) -> None:
    found = expect_error(supabase, f"create server evil foreign data wrapper ipai_odoo options ({option})")
    assert found.sqlstate == "22023"


def test_names_cannot_add_a_header(supabase: Supabase) -> None:
    """The names of database and user, and the password, are only in the body of a request."""
    evil = "x\r\nX-Evil: 1\r\n\r\n<value>&]]>"
    headers: list[str] = []

    def record(exchange: Exchange) -> None:
        headers.append(str(exchange.handler.headers) + exchange.handler.path)
        respond_normally(exchange)

    with FaultyOdoo([metric(1)], dbname=evil, login=evil, password=evil) as odoo:
        odoo.on(None, record)
        supabase.server(odoo.url, dbname=evil, user=evil, password=evil)
        supabase.rows(CHECK)
        assert {request.dbname for request in odoo.requests if request.dbname} == {evil}
    assert len(headers) > 2 and not [text for text in headers if "evil" in text.lower()]


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "2852039166", "0xa9.254.169.254", "metadata.google.internal"),
        *("0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "10.0.0.1", "127.0.0.1.nip.io"),
    ],
)
def test_plain_http_reaches_only_this_machine(supabase: Supabase, address: str) -> None:
    """Services of a cloud that trust every machine in their network listen at such addresses."""
    found = expect_error(supabase, SERVER.format(f"http://{address}"))
    assert found.sqlstate == "22023" and "allow_insecure" in (found.message_hint or "")


# Poisoned tables: what the service key may write --------------------------------------------------


@pytest.fixture
def filled(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    supabase.register()
    supabase.run()
    return supabase


def as_service_role(supabase: Supabase, statement: str) -> None:
    session = supabase.connect("authenticator")
    execute(session, "set role service_role")
    execute(session, statement)


def assert_equal(supabase: Supabase, erp: ScriptedOdoo) -> None:
    assert [(row["odoo_id"], row["name"]) for row in supabase.mirror("odoo_id, name")] == [
        (record["id"], record["name"]) for record in erp.records
    ]


def test_poisoned_login_is_renewed(filled: Supabase, erp: ScriptedOdoo) -> None:
    """Odoo checks the password with each call, so another user's id gains nothing."""
    as_service_role(filled, "update ipai.odoo_logins set uid = 1, addon = true, database_uuid = 'forged'")
    erp.records = [metric(number, name=f"Edited {number}", write_date=LATER) for number in range(1, 7)]
    filled.run()
    assert_equal(filled, erp)


@pytest.mark.parametrize(
    "poison",
    [
        "update ipai.mirror_state set cursor = '9999-01-01'",
        "update ipai.mirror_state set cursor = '0001-01-01'",
        "update ipai.mirror_state set settled_id = 9223372036854775807",
        "update ipai.mirror_state set fingerprint = 'forged'",
        "update ipai.mirror_state set filled_as = 'forged', filled_from = null",
        'update ipai.mirror_state set drift = \'[{"field": "name", "problem": "gone"}]\'',
        """insert into ipai.run_log (mirror, mode, state, finished_at, fingerprint, position, newest)
               select 'sample_metrics', 'full', 'failed', now(), fingerprint, 4, now() from ipai.mirror_state;
           update ipai.run_log set pages = 1, fetched = 4 where position = 4""",
        "delete from ipai.run_log",
        """insert into ipai.sync_rejects (mirror, odoo_id, refused, sqlstate, message)
               select 'sample_metrics', id, refused, '23514', repeat('x', 10000)
               from unnest('{2,99,-9223372036854775808,9223372036854775807}'::bigint[], '{delete,update,delete,insert}'::text[]) r (id, refused)""",
    ],
)
def test_full_run_repairs_a_poisoned_state(filled: Supabase, erp: ScriptedOdoo, poison: str) -> None:
    as_service_role(filled, poison)
    erp.records = [metric(number, name=f"Edited {number}", write_date=LATER) for number in range(1, 7)]
    # An incremental run may miss changes, but deletes nothing that Odoo has.
    filled.rows("call ipai.run_sync('sample_metrics')")
    assert [row["odoo_id"] for row in filled.mirror("odoo_id")] == [1, 2, 3, 4, 5, 6]
    filled.run("'sample_metrics', 'full'")
    filled.run("'sample_metrics', 'full'")
    assert_equal(filled, erp)
    assert filled.rows("select from ipai.sync_rejects") == []


def test_records_from_the_future_hide_no_later_change(filled: Supabase, erp: ScriptedOdoo) -> None:
    """The cursor is never later than Odoo's own clock."""
    erp.records = [metric(number, write_date="9999-12-31 23:59:59") for number in range(1, 7)]
    filled.run()
    erp.records = [*erp.records[1:], metric(7, name="Later", write_date="2099-01-01 00:00:00")]
    filled.run()
    assert_equal(filled, erp)


# SQL in claims ------------------------------------------------------------------------------------

EVIL = """x'; drop table public.victim; --"; drop table public.victim; --$$; drop table public.victim; --\\'"""


def test_sql_in_claims_and_columns_is_not_executed(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows("create table public.victim (id bigint)")
    supabase.rows(create_statement("metrics", "ipai.metrics", fields="name,notes,write_date"))
    erp.records = [metric(1, notes=EVIL), metric(2, notes="acme")]
    supabase.sync("metrics")
    supabase.rows("select ipai.protect_mirror('metrics', %s)", json.dumps({"notes": EVIL}))
    session = supabase.connect("authenticator")
    for claimed, seen in ((EVIL, [1]), ("acme", [2])):
        with session.transaction():
            execute(session, "set local role authenticated")
            session.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps({"app_metadata": {EVIL: [claimed]}})])
            assert [row["odoo_id"] for row in execute(session, "select odoo_id from ipai.metrics")] == seen
    found = expect_error(supabase, "select ipai.protect_mirror('metrics', %s)", json.dumps({EVIL: "x"}))
    assert found.sqlstate == "42703"
    assert supabase.rows("select from public.victim") == []
