"""Tests that a table of the user's own holds exactly the values of Odoo, or is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from support.definitions import ScriptedOdoo, expect_error
from support.faulty import MODEL, metric
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

TABLE = "public.own"


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo([metric(number, value=number + 0.125, notes=f"note {number}") for number in (1, 2)]) as server:
        supabase.server(server.url)
        yield server


@pytest.fixture
def own(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    """A filled mirror into a table of the user's own."""
    supabase.rows(f"create table {TABLE} (odoo_id bigint primary key, value double precision, notes text, brand_id bigint)")
    supabase.create_mirror(MODEL, target=TABLE, columns={})
    assert supabase.sync("own")["inserted"] == 2
    return supabase


def values(supabase: Supabase) -> list[dict[str, Any]]:
    return supabase.rows(f"select value, notes from {TABLE} order by odoo_id")


@pytest.mark.parametrize(("kind", "accepted"), [("integer", True), ("text", False), ("uuid", False), ("numeric", False)])
def test_key_column_is_bigint_or_integer(supabase: Supabase, erp: ScriptedOdoo, kind: str, accepted: bool) -> None:
    supabase.rows(f"create table {TABLE} (odoo_id {kind} primary key, notes text)")
    create = f"select * from ipai.create_mirror('{MODEL}', '{TABLE}', columns => '{{}}')"
    if accepted:
        supabase.rows(create)
        assert (supabase.sync("own")["inserted"], supabase.sync("own", "full")["unchanged"]) == (2, 2)
        return
    found = expect_error(supabase, create)
    assert (found.sqlstate, found.message_primary) == ("42804", f'column "odoo_id" of table "{TABLE}" has another type')
    assert found.message_detail == f'Mirror "own" needs the type bigint. The column has the type {kind}.'
    assert supabase.rows("select from ipai.mirrors") == []


@pytest.mark.parametrize(
    ("column", "expected", "kind"),
    [
        ("value", "double precision", "numeric(10,2)"),
        ("value", "double precision", "real"),
        ("notes", "text", "character varying(40)"),
        ("brand_id", "bigint", "integer"),
    ],
)
def test_narrower_column_fails_a_full_run(own: Supabase, column: str, expected: str, kind: str) -> None:
    own.rows(f"alter table {TABLE} alter column {column} type {kind}")
    found = expect_error(own, "call ipai.run_sync('own', 'full')")
    assert (found.sqlstate, found.message_primary) == ("42804", f'column "{column}" of table "{TABLE}" has another type')
    assert found.message_detail == f'Mirror "own" needs the type {expected}. The column has the type {kind}.'
    own.rows(found.message_hint or "")
    own.sync("own", "full")
    assert values(own) == [{"value": number + 0.125, "notes": f"note {number}"} for number in (1, 2)]


def test_wider_column_is_accepted(own: Supabase) -> None:
    own.rows(f"alter table {TABLE} alter column brand_id type numeric, alter column notes type varchar")
    assert own.sync("own", "full")["unchanged"] == 2


@pytest.mark.parametrize("change", ["new.notes := upper(new.notes)", "if tg_op = 'UPDATE' then new.notes := old.notes; end if"])
def test_values_that_a_trigger_changes_are_drift(own: Supabase, erp: ScriptedOdoo, change: str) -> None:
    own.rows(f"create function public.normalize() returns trigger language plpgsql as $$ begin {change}; return new; end $$")
    own.rows(f"create trigger normalize before insert or update on {TABLE} for each row execute function public.normalize()")
    try:
        erp.records[0]["notes"] = "changed"
        warning = f'table "{TABLE}" changes the values of field "notes" as they are written'
        assert own.warnings("call ipai.run_sync('own', 'full')") == [warning]
        drift = own.row("select drift from ipai.mirror_state")["drift"]
        assert drift == [{"field": "notes", "problem": "altered"}]
        assert warning[:5] in own.row("select message from ipai.sync_alerts where kind = 'drift'")["message"]
        # The field is left out, so nothing is written again.
        for mode in ("auto", "full"):
            assert own.sync("own", mode)["updated"] == 0
        assert own.row("select drift from ipai.mirror_state")["drift"] == drift
    finally:
        own.rows(f"drop trigger normalize on {TABLE}; drop function public.normalize()")
    own.rows("select ipai.refresh_mirror('own')")
    assert (own.sync("own")["mode"], values(own)[0]["notes"]) == ("full", "changed")
    assert own.row("select drift from ipai.mirror_state")["drift"] == []


def test_change_of_case_arrives_under_any_collation(own: Supabase, erp: ScriptedOdoo) -> None:
    own.rows("create collation public.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    try:
        own.rows(f"alter table {TABLE} alter column notes type text collate public.ci")
        assert own.sync("own", "full")["unchanged"] == 2
        erp.records[0]["notes"] = "NOTE 1"
        assert own.sync("own", "full")["updated"] == 1
        assert values(own)[0]["notes"] == "NOTE 1"
        assert own.sync("own", "full")["updated"] == 0
    finally:
        own.rows(f"drop table {TABLE}; drop collation public.ci")


def test_database_that_is_not_utf8_is_refused(supabase: Supabase) -> None:
    supabase.cluster.psql("create database latin template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'")
    try:
        with psycopg.connect(supabase.cluster.dsn(user=supabase.cluster.superuser, dbname="latin"), autocommit=True) as connection:
            with pytest.raises(psycopg.errors.FeatureNotSupported) as error:
                connection.execute("create extension ipai_sync cascade")
            assert error.value.diag.message_detail == "The encoding of this database is LATIN1."
    finally:
        supabase.cluster.psql("drop database latin")
