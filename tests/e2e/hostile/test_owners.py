"""Tests that no row of a tenant loses its owner, or is visible by another way than its policy.

A policy shows rows without an owner to every signed-in user. So a mirror must not leave the column
of the owner empty because it does not read it, or hides it.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import psycopg
import pytest

from support.definitions import ScriptedOdoo, create_statement, execute, expect_error
from support.faulty import Exchange, Record, fault, metric, respond_normally
from support.supabase import Supabase

TABLE = "ipai.metrics"
FIELDS = "name,notes,code,write_date"
LATER = "2026-02-01 00:00:00"
#: The tenant of a record is its field `notes`.
PROTECT = """select ipai.protect_mirror('{}', '{{"{}": "tenants"}}')"""
GLOBEX = metric(3, notes="globex", write_date=LATER)


def seen(supabase: Supabase, table: str = TABLE) -> list[int]:
    """Returns the ids of the rows that a user of the tenant acme sees."""
    session = supabase.connect("authenticator")
    with session.transaction():
        execute(session, "set local role authenticated")
        session.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps({"app_metadata": {"tenants": ["acme"]}})])
        return [row["odoo_id"] for row in execute(session, f"select odoo_id from {table} order by 1")]


def fill(supabase: Supabase, erp: ScriptedOdoo, constants: str = "{}") -> None:
    """Creates and fills the mirror `metrics`, with a row of acme and one of globex."""
    erp.records = [metric(1, notes="acme"), metric(2, notes="globex")]
    supabase.rows(create_statement("metrics", TABLE, fields=FIELDS, more=f", constants => '{constants}'"))
    supabase.sync("metrics")


@pytest.fixture
def protected(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    fill(supabase, erp)
    supabase.rows(PROTECT.format("metrics", "notes"))
    assert seen(supabase) == [1]
    return supabase


def refused(supabase: Supabase, statement: str) -> psycopg.errors.Diagnostic:
    """Runs a statement that would leave the column `notes` empty, and returns its error."""
    found = expect_error(supabase, statement)
    message = found.message_primary or ""
    assert found.sqlstate == "55000" and 'column "notes" of table' in message and "empty" in message, message
    assert found.message_detail and found.message_hint
    return found


UNCARRIED = "Traceback (most recent call last):\nTypeError: cannot marshal None unless allow_none is enabled\n"


# Runs ---------------------------------------------------------------------------------------------


def lose_the_field(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Odoo no longer has the field, or hides it from the user."""
    erp.missing_fields = {"notes"}


def change_its_type(supabase: Supabase, erp: ScriptedOdoo) -> None:
    erp.extra_fields = {"notes": {"type": "many2many"}}


def forge_drift(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """What the service key may do."""
    session = supabase.connect("authenticator")
    execute(session, "set role service_role")
    execute(session, """update ipai.mirror_state set drift = '[{"field": "notes", "problem": "gone"}]' where mirror = 'metrics'""")


def make_it_unreadable(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """XML-RPC cannot carry the values of the field."""

    def behave(exchange: Exchange) -> None:
        reads = "notes" in exchange.request.kwargs.get("fields", ())
        (fault(1, UNCARRIED) if reads else respond_normally)(exchange)

    erp.on("search_read", behave)
    erp.on("read", behave)


LOSSES = (lose_the_field, change_its_type, forge_drift, make_it_unreadable)


@pytest.mark.parametrize("mode", ["incremental", "full"])
@pytest.mark.parametrize("lose", LOSSES)
def test_run_without_the_field_of_owners_writes_no_row(
    protected: Supabase, erp: ScriptedOdoo, lose: Callable[[Supabase, ScriptedOdoo], None], mode: str
) -> None:
    lose(protected, erp)
    erp.records = [*erp.records, GLOBEX]
    try:
        protected.rows(f"call ipai.run_sync('metrics', '{mode}')")
    except psycopg.Error as error:
        assert error.sqlstate == "55000", error
    assert seen(protected) == [1]
    erp.clear_faults()
    erp.missing_fields, erp.extra_fields = set(), {}
    protected.rows("select * from ipai.refresh_mirror('metrics')")
    protected.sync("metrics", "full")
    assert seen(protected) == [1]
    assert protected.row(f"select notes from {TABLE} where odoo_id = 3") == {"notes": "globex"}


def test_run_names_the_column_of_owners_that_it_cannot_fill(protected: Supabase, erp: ScriptedOdoo) -> None:
    erp.missing_fields = {"notes"}
    erp.records = [*erp.records, GLOBEX]
    found = refused(protected, "call ipai.run_sync('metrics', 'full')")
    assert "protect_mirror" in (found.message_hint or "")
    assert protected.last_run("metrics")["sqlstate"] == "55000"
    # Without another field, the run goes on.
    erp.missing_fields = {"code"}
    assert protected.sync("metrics", "full")["inserted"] == 1
    assert seen(protected) == [1]


def test_run_without_a_column_that_a_trigger_changes_is_refused(protected: Supabase, erp: ScriptedOdoo) -> None:
    """From then on, runs do not write the column."""
    protected.rows(
        f"""create function ipai.lower_notes() returns trigger language plpgsql as 'begin new.notes := lower(new.notes); return new; end';
            create trigger lower_notes before insert or update on {TABLE} for each row execute function ipai.lower_notes()"""
    )
    try:
        erp.records[1].update(notes="Globex", write_date=LATER)
        protected.sync("metrics", "full")
        erp.records = [*erp.records, GLOBEX]
        refused(protected, "call ipai.run_sync('metrics', 'full')")
        assert seen(protected) == [1]
    finally:
        protected.rows("drop function ipai.lower_notes() cascade")


# Definitions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        """select ipai.alter_mirror('metrics', masks => '{"notes": "redact"}')""",
        "select * from ipai.refresh_mirror('metrics', drop_fields => '{notes}')",
    ],
)
def test_field_of_owners_can_be_neither_redacted_nor_dropped(protected: Supabase, erp: ScriptedOdoo, statement: str) -> None:
    refused(protected, statement)
    erp.records = [*erp.records, GLOBEX]
    protected.sync("metrics")
    assert seen(protected) == [1]
    # Other fields can.
    protected.rows(statement.replace("notes", "code"))


def test_column_of_owners_may_be_an_hmac(protected: Supabase) -> None:
    """Different texts stay different, so a token lists the HMACs."""
    protected.rows("select vault.create_secret('key', 'ipai_mask_key')")
    protected.rows("""select ipai.alter_mirror('metrics', masks => '{"notes": "hmac"}')""")
    protected.sync("metrics")
    assert seen(protected) == []


def test_column_that_runs_no_longer_fill_cannot_tell_owners(supabase: Supabase, erp: ScriptedOdoo) -> None:
    fill(supabase, erp)
    lose_the_field(supabase, erp)
    erp.records = [*erp.records, GLOBEX]
    supabase.sync("metrics", "full")
    refused(supabase, PROTECT.format("metrics", "notes"))


def test_redacted_column_cannot_tell_owners(supabase: Supabase, erp: ScriptedOdoo) -> None:
    fill(supabase, erp)
    supabase.rows("""select ipai.alter_mirror('metrics', masks => '{"notes": "redact"}')""")
    refused(supabase, PROTECT.format("metrics", "notes"))


SECOND = {
    "without the field": create_statement("second", TABLE, fields="name,write_date", more=""", constants => '{"part": "b"}'"""),
    "with the field redacted": create_statement(
        "second", TABLE, fields=FIELDS, more=""", constants => '{"part": "b"}', masks => '{"notes": "redact"}'"""
    ),
}


@pytest.mark.parametrize("create", SECOND.values(), ids=SECOND.keys())
@pytest.mark.parametrize("is_protected", [True, False])
def test_mirrors_of_one_table_all_fill_the_column_of_owners(supabase: Supabase, erp: ScriptedOdoo, create: str, is_protected: bool) -> None:
    fill(supabase, erp, '{"part": "a"}')
    if is_protected:
        supabase.rows(PROTECT.format("metrics", "notes"))
        refused(supabase, create)
    else:
        supabase.rows(create)
        supabase.sync("second")
        for mirror in ("metrics", "second"):
            found = refused(supabase, PROTECT.format(mirror, "notes"))
            assert 'mirror "second"' in (found.message_primary or "")
    # A constant has a value in every row.
    supabase.rows(PROTECT.format("metrics", "part"))


def test_policy_for_one_mirror_does_not_open_the_rows_of_another(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """A table has one policy for the owners of rows, and the last call decides which."""
    fill(supabase, erp, '{"part": "a"}')
    supabase.rows(f"alter table {TABLE} add unit text")
    supabase.rows(create_statement("second", TABLE, fields=f"{FIELDS},unit", more=""", columns => '{}', constants => '{"part": "b"}'"""))
    supabase.rows(PROTECT.format("metrics", "notes"))
    found = expect_error(supabase, PROTECT.format("second", "unit"))
    assert found.sqlstate == "55000" and 'mirror "metrics" leaves column "unit"' in (found.message_primary or "")
    assert seen(supabase) == [1]


def test_column_that_the_user_fills_may_tell_owners(supabase: Supabase, erp: ScriptedOdoo) -> None:
    fill(supabase, erp)
    supabase.rows(f"alter table {TABLE} add tenant text default 'globex'; update {TABLE} set tenant = 'acme' where odoo_id = 1")
    supabase.rows(PROTECT.format("metrics", "tenant"))
    erp.records = [*erp.records, GLOBEX]
    erp.missing_fields = {"code"}
    supabase.sync("metrics", "full")
    assert seen(supabase) == [1]


def test_mirror_into_a_protected_table_warns_of_the_column_that_nobody_fills(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """It may be the column of a mirror that was dropped, or one that the user fills later."""
    fill(supabase, erp)
    supabase.rows(PROTECT.format("metrics", "notes"))
    supabase.rows("select ipai.drop_mirror('metrics')")
    again = create_statement("metrics", TABLE, fields="name,write_date", more=", columns => '{}'")
    assert 'mirror "metrics" would leave column "notes" of table "ipai.metrics" empty' in supabase.warnings(again)
    supabase.rows(f"select ipai.drop_mirror('metrics'); alter table {TABLE} alter notes set default 'globex'")
    assert supabase.warnings(again) == []


# Masks of a shared table --------------------------------------------------------------------------


def masked_rows(supabase: Supabase, erp: ScriptedOdoo, more: str) -> list[Record]:
    """Creates a second mirror into a table whose first mirror redacts `code`. Returns its rows."""
    fill(supabase, erp, '{"part": "a"}')
    supabase.rows("""select ipai.alter_mirror('metrics', masks => '{"code": "redact"}')""")
    supabase.rows(
        f"""select * from ipai.create_mirror('ipai.sample.metric', '{TABLE}', name => 'second', constants => '{{"part": "b"}}'{more}"""
    )
    supabase.sync("second")
    return supabase.rows(f"select name, code from {TABLE} where part = 'b' order by odoo_id")


@pytest.mark.parametrize("more", [")", ", fields => '{name,code}')", ", columns => '{}', fields => '{name,code}')"])
def test_second_mirror_of_a_table_takes_over_the_masks(supabase: Supabase, erp: ScriptedOdoo, more: str) -> None:
    assert {row["code"] for row in masked_rows(supabase, erp, more)} == {None}
    assert supabase.row("select masks from ipai.mirrors where name = 'second'") == {"masks": {"code": "redact"}}


def test_field_that_is_added_later_takes_over_the_mask(supabase: Supabase, erp: ScriptedOdoo) -> None:
    masked_rows(supabase, erp, ", fields => '{name}')")
    supabase.rows("select * from ipai.refresh_mirror('second', add_fields => '{code,unit}')")
    supabase.sync("second")
    rows = supabase.rows(f"select code, unit from {TABLE} where part = 'b'")
    assert {(row["code"], row["unit"]) for row in rows} == {(None, "count")}


def test_second_mirror_may_name_its_own_masks(supabase: Supabase, erp: ScriptedOdoo) -> None:
    assert {row["code"] for row in masked_rows(supabase, erp, ", masks => '{}')")} == {"METRIC"}


def test_second_mirror_without_the_masked_field_needs_no_mask(supabase: Supabase, erp: ScriptedOdoo) -> None:
    masked_rows(supabase, erp, ", fields => '{name}')")
    assert supabase.row("select masks from ipai.mirrors where name = 'second'") == {"masks": {}}


# Partitions and parents ---------------------------------------------------------------------------

PARTITIONED = f"""
    create table {TABLE} (odoo_id bigint primary key, name text, notes text, active boolean, write_date timestamptz)
        partition by range (odoo_id);
    create table ipai.part partition of {TABLE} default
"""
INTO = f"""select * from ipai.create_mirror('ipai.sample.metric', '{TABLE}', '{{name,notes,write_date}}', name => 'metrics', columns => '{{}}')"""


def test_protect_mirror_reports_policies_of_partitions(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(PARTITIONED)
    supabase.rows(INTO)
    supabase.rows("create policy open on ipai.part for select to authenticated using (true); grant select on ipai.part to authenticated")
    warned = supabase.warnings(PROTECT.format("metrics", "notes"))
    assert 'policy "open" of table "ipai.part" still shows rows to API users' in warned, warned


def test_partitions_hide_marked_rows(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """A query that names a partition is subject to the policies of the partition alone."""
    supabase.rows(PARTITIONED)
    supabase.rows(INTO)
    supabase.rows(
        """alter table ipai.part enable row level security; grant select on ipai.part to authenticated;
           create policy open on ipai.part for select to authenticated using (true);
           select ipai.alter_mirror('metrics', on_delete => 'mark')"""
    )
    supabase.sync("metrics")
    erp.records = erp.records[1:]
    supabase.sync("metrics", "full")
    assert supabase.rows("select odoo_id from ipai.part where deleted_at is not null") == [{"odoo_id": 1}]
    assert seen(supabase, "ipai.part") == [2, 3, 4, 5, 6]


def test_parent_that_users_read_is_reported(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Postgres applies the policies of the table that a query names."""
    fill(supabase, erp)
    supabase.rows(
        f"""create table public.grandparent (name text); create table public.parent () inherits (public.grandparent);
            alter table {TABLE} inherit public.parent; grant select on public.grandparent to authenticated"""
    )
    warned = supabase.warnings(PROTECT.format("metrics", "notes"))
    assert 'API users have SELECT on table "ipai.metrics", granted to authenticated' in warned, warned
    rows = supabase.rows("select remedy from ipai.doctor() where state = 'problem'")
    assert {"remedy": "revoke select on table public.grandparent from authenticated;"} in rows, rows
