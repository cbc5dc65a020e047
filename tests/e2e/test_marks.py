"""Tests mirrors that mark the rows of deleted records in place of deleting them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.definitions import ScriptedOdoo, create_statement, expect_error
from support.faulty import metric
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

TABLE = "public.metrics"
ROWS = 5
MARK = ", on_delete => 'mark'"
CREATE = create_statement("metrics", TABLE, fields="name,code,brand_id", more=MARK)
#: Everything that a write or a row lock would change.
STATE = f"select odoo_id, name, deleted_at, xmin::text, xmax::text, ctid::text from {TABLE} order by odoo_id"


@pytest.fixture(params=["plain", "addon"])
def erp(supabase: Supabase, request: pytest.FixtureRequest) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo(map(metric, range(1, ROWS + 1))) as server:
        server.addon = request.param == "addon"
        supabase.server(server.url)
        yield server


@pytest.fixture
def marking(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    supabase.rows(CREATE)
    assert supabase.sync("metrics")["inserted"] == ROWS
    return supabase


def remove(erp: ScriptedOdoo, *ids: int) -> list[dict[str, Any]]:
    removed = [record for record in erp.records if record["id"] in ids]
    erp.records = [record for record in erp.records if record["id"] not in ids]
    return removed


def marked(supabase: Supabase, table: str = TABLE) -> list[int]:
    return [row["odoo_id"] for row in supabase.rows(f"select odoo_id from {table} where deleted_at is not null order by 1")]


def visible(supabase: Supabase) -> list[int]:
    """Returns the ids that a signed-in user of the API sees."""
    connection = supabase.connect()
    with connection.transaction():
        connection.execute("set local role authenticated")
        found = connection.execute(f"select odoo_id from {TABLE} order by 1").fetchall()
    return [row["odoo_id"] for row in found]


@pytest.mark.parametrize("mode", ["auto", "full", "reconcile"])
def test_row_of_a_deleted_record_is_marked_once(marking: Supabase, erp: ScriptedOdoo, mode: str) -> None:
    before = {row["odoo_id"]: row for row in marking.rows(STATE)}
    remove(erp, 2, ROWS)
    run = marking.sync("metrics", mode)
    assert (run["deleted"], run["updated"], run["odoo_count"], run["mirror_count"]) == (2, 0, ROWS - 2, ROWS - 2)
    after = {row["odoo_id"]: row for row in marking.rows(STATE)}
    assert [number for number in after if after[number] != before[number]] == marked(marking) == [2, ROWS]
    assert after[2]["name"] == "Metric 2"
    assert marking.row("select delta from ipai.sync_status") == {"delta": 0}
    state = marking.rows(STATE)
    for again in ("auto", "full", "reconcile"):
        run = marking.sync("metrics", again)
        assert (run["deleted"], run["updated"], run["inserted"], run["mirror_count"]) == (0, 0, 0, ROWS - 2)
    assert marking.rows(STATE) == state


def test_dry_run_counts_what_it_would_mark(marking: Supabase, erp: ScriptedOdoo) -> None:
    remove(erp, 2)
    dry = "select deleted, updated from ipai.sync_mirror('metrics', dry_run => true)"
    assert marking.row(dry) == {"deleted": 1, "updated": 0}
    assert marked(marking) == []
    (record,) = [metric(2)]
    marking.sync("metrics")
    erp.records.insert(1, record)
    assert marking.row(dry) == {"deleted": 0, "updated": 1}


@pytest.mark.parametrize("mode", ["auto", "full", "reconcile"])
def test_row_of_a_returned_record_is_revived(marking: Supabase, erp: ScriptedOdoo, mode: str) -> None:
    records = remove(erp, 2)
    marking.sync("metrics")
    assert marked(marking) == [2]
    # The record has the values and the write date that it had before.
    erp.records[1:1] = records
    run = marking.sync("metrics", mode)
    assert (run["updated"], run["inserted"], run["deleted"], run["mirror_count"]) == (1, 0, 0, ROWS)
    assert marked(marking) == []
    assert marking.row(f"select updated_at > inserted_at as moved from {TABLE} where odoo_id = 2") == {"moved": True}


def test_revived_rows_may_exchange_unique_values(marking: Supabase, erp: ScriptedOdoo) -> None:
    for record in erp.records:
        record.update(code=f"code {record['id']}", write_date="2026-01-07 08:00:00")
    marking.sync("metrics")
    marking.rows(f"create unique index on {TABLE} (code)")
    removed = remove(erp, 2)
    marking.sync("metrics")
    removed[0].update(code="code 3")
    erp.records[1].update(code="code 2")
    erp.records[1:1] = removed
    run = marking.sync("metrics", "full")
    assert (run["state"], run["updated"], marked(marking)) == ("succeeded", 2, [])
    assert marking.rows(f"select code from {TABLE} where odoo_id in (2, 3) order by odoo_id") == [{"code": "code 3"}, {"code": "code 2"}]


def test_guard_counts_only_rows_without_a_mark(marking: Supabase, erp: ScriptedOdoo) -> None:
    erp.records = [metric(number) for number in range(1, 301)]
    marking.sync("metrics", "full")
    erp.records = erp.records[:201]
    assert marking.sync("metrics")["deleted"] == 99
    erp.records = erp.records[:100]
    error = expect_error(marking, "call ipai.run_sync('metrics')")
    assert error.sqlstate == "55000" and "101 of the 201" in (error.message_primary or ""), error.message_primary
    assert len(marked(marking)) == 99


def test_trigger_that_keeps_a_row_unmarked_is_not_counted(marking: Supabase, erp: ScriptedOdoo) -> None:
    marking.rows("create function public.keep() returns trigger language plpgsql as 'begin return null; end'")
    marking.rows(f"create trigger keep before update on {TABLE} for each row when (new.odoo_id = 2) execute function public.keep()")
    try:
        remove(erp, 2, 3)
        run = marking.sync("metrics")
        assert (run["deleted"], run["mirror_count"], marked(marking)) == (1, ROWS - 1, [3])
    finally:
        marking.rows("drop function public.keep() cascade")


@pytest.mark.parametrize("protects_first", [True, False])
def test_users_of_the_api_never_see_marked_rows(supabase: Supabase, erp: ScriptedOdoo, protects_first: bool) -> None:
    protect = """select ipai.protect_mirror('metrics', '{"brand_id": "ipai_brand_ids"}')"""
    supabase.rows(create_statement("metrics", TABLE, fields="name,brand_id"))
    steps = [protect, "select ipai.alter_mirror('metrics', on_delete => 'mark')"]
    for step in steps if protects_first else reversed(steps):
        supabase.rows(step)
    supabase.sync("metrics")
    removed = remove(erp, 2)
    supabase.sync("metrics")
    assert (marked(supabase), visible(supabase)) == ([2], [1, 3, 4, 5])
    # Policies add up, but this one always holds.
    supabase.rows(f"create policy everything on {TABLE} for select to authenticated using (true)")
    assert visible(supabase) == [1, 3, 4, 5]
    erp.records[1:1] = removed
    supabase.sync("metrics")
    assert visible(supabase) == [1, 2, 3, 4, 5]


def test_altered_mirror_marks_and_then_deletes(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(create_statement("metrics", TABLE))
    supabase.sync("metrics")
    for _ in range(2):
        supabase.rows("select ipai.alter_mirror('metrics', on_delete => 'mark')")
    column = "select col_description(attrelid, attnum) is not null as found from pg_attribute where attrelid = %s::regclass and attname = 'deleted_at'"
    assert supabase.rows(column, TABLE) == [{"found": True}]
    remove(erp, 2)
    supabase.sync("metrics")
    before = [row for row in supabase.rows(STATE) if row["odoo_id"] != 2]
    supabase.rows("select ipai.alter_mirror('metrics', page_size => 100)")
    assert marked(supabase) == [2]
    supabase.rows("select ipai.alter_mirror('metrics', on_delete => 'delete')")
    assert supabase.rows(STATE) == before
    remove(erp, 3)
    assert supabase.sync("metrics")["deleted"] == 1
    assert [row["odoo_id"] for row in supabase.rows(STATE)] == [1, 4, 5]


def test_run_in_progress_blocks_a_change_of_on_delete(marking: Supabase) -> None:
    holder = marking.connect()
    with holder.transaction():
        holder.execute("select * from ipai.sync_mirror('metrics')")
        error = expect_error(marking, "select ipai.alter_mirror('metrics', on_delete => 'delete')")
    assert error.sqlstate == "55P03", error.message_primary


def test_existing_table_gets_the_column(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(f"create table {TABLE} (odoo_id bigint primary key, name text)")
    supabase.rows(create_statement("metrics", TABLE, fields="name", more=f", columns => '{{}}'{MARK}"))
    supabase.sync("metrics")
    remove(erp, 2)
    assert (supabase.sync("metrics")["deleted"], marked(supabase)) == (1, [2])
    supabase.rows(f"alter table {TABLE} drop column deleted_at cascade")
    error = expect_error(supabase, "call ipai.run_sync('metrics')")
    assert (error.sqlstate, error.message_primary) == ("42703", 'table "public.metrics" lacks the column deleted_at')


def test_column_of_another_type_is_refused(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(f"create table {TABLE} (odoo_id bigint primary key, name text, deleted_at date)")
    error = expect_error(supabase, create_statement("metrics", TABLE, fields="name", more=f", columns => '{{}}'{MARK}"))
    assert (error.sqlstate, error.message_primary) == ("42804", 'column "deleted_at" of table "public.metrics" has another type')
    assert supabase.rows("select from ipai.mirrors") == []
    error = expect_error(supabase, create_statement("metrics", "public.other", fields="name", more=", on_delete => 'archive'"))
    assert (error.sqlstate, error.message_hint) == ("22023", "It is delete or mark.")


def test_mirrors_of_one_table_mark_only_their_rows(supabase: Supabase, erp: ScriptedOdoo) -> None:
    for name, more in (("acme", MARK), ("globex", "")):
        supabase.rows(create_statement(name, TABLE, fields="name", more=f""", constants => '{{"tenant": "{name}"}}'{more}"""))
        supabase.sync(name)
    remove(erp, 2)
    assert [supabase.sync(name)["deleted"] for name in ("acme", "globex")] == [1, 1]
    of_record = f"select tenant, deleted_at is not null as marked from {TABLE} where odoo_id = 2"
    assert supabase.rows(of_record) == [{"tenant": "acme", "marked": True}]
    for on_delete in ("mark", "delete"):
        supabase.rows("select ipai.alter_mirror('globex', on_delete => %s)", on_delete)
    assert supabase.rows(of_record) == [{"tenant": "acme", "marked": True}]
