"""Tests records that the mirror's table refuses.

They become rejects, and the rest of their page arrives. With more rejects than the mirror allows,
the run fails with an error that names the record and, if known, the field.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest

from support.faulty import FaultyOdoo, fault, metric
from support.supabase import Supabase

pytestmark = pytest.mark.both_hosts

TABLE = "ipai.ipai_sample_metrics"
TRIGGER = f"""
    create function public.picky() returns trigger language plpgsql as $$
    begin
        if new.name = 'Metric 15' then raise exception 'nothing of the fifteenth'; end if;
        return new;
    end $$;
    create trigger picky before insert on {TABLE} for each row execute function public.picky();
"""
#: Statements that make the table refuse record 15, the SQLSTATE, and the message of the error.
REFUSALS = {
    "a check": (
        f"alter table {TABLE} add constraint small check (value < 15 or value > 15)",
        "23514",
        'record 15 of ipai.sample.metric does not fit into the mirror, field "value": new row for relation "ipai_sample_metrics" violates '
        'check constraint "small"',
    ),
    "a trigger": (
        TRIGGER,
        "P0001",
        'record 15 of ipai.sample.metric does not fit into the mirror, field "name": nothing of the fifteenth',
    ),
    "a value": (
        f"alter table {TABLE} alter notes set not null",
        "23502",
        'record 15 of ipai.sample.metric does not fit into the mirror, field "notes": null value in column "notes" of relation '
        '"ipai_sample_metrics" violates '
        "not-null constraint",
    ),
}


@pytest.fixture
def erp() -> Iterator[FaultyOdoo]:
    with FaultyOdoo([metric(n, notes=n != 15 and "there", code="TOO LONG" if n == 15 else "METRIC") for n in range(1, 31)]) as server:
        yield server


@pytest.fixture
def connected(supabase: Supabase, erp: FaultyOdoo) -> Iterator[Supabase]:
    supabase.server(erp.url)
    supabase.register(page_size=10)
    yield supabase
    supabase.cluster.psql(
        f"""
        set client_min_messages = warning;
        drop function if exists public.picky() cascade;
        alter table {TABLE} drop constraint if exists small, alter notes drop not null, alter code type text;
        """
    )


def rejects(supabase: Supabase) -> list[tuple[int, str, str | None, str]]:
    """Returns id, what is refused, field and SQLSTATE of all rejects."""
    rows = supabase.rows("select odoo_id, refused, field, sqlstate from ipai.sync_rejects order by 1")
    return [(row["odoo_id"], row["refused"], row["field"], row["sqlstate"]) for row in rows]


def alerts(supabase: Supabase) -> list[str]:
    return [row["kind"] for row in supabase.rows("select kind from ipai.sync_alerts order by severity")]


def change(erp: FaultyOdoo, odoo_id: int, second: int = 0, **values: object) -> None:
    """Writes a record, after all that were written before."""
    (record,) = (record for record in erp.records if record["id"] == odoo_id)
    record |= {**values, "write_date": f"2030-01-01 00:00:{second:02}"}


def remove(erp: FaultyOdoo, *ids: int) -> None:
    erp.records = [record for record in erp.records if record["id"] not in ids]


def assert_equal(supabase: Supabase, erp: FaultyOdoo) -> None:
    rows = {row["odoo_id"]: (row["name"], row["code"]) for row in supabase.mirror("odoo_id, name, code")}
    assert rows == {record["id"]: (record["name"], record["code"]) for record in erp.records}
    assert (rejects(supabase), alerts(supabase)) == ([], [])


# Records ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("demand", REFUSALS)
def test_refused_record_is_set_aside_until_it_fits(connected: Supabase, erp: FaultyOdoo, demand: str) -> None:
    made, sqlstate, message = REFUSALS[demand]
    field, cause = message.partition('field "')[2].split('": ', 1)
    connected.cluster.psql(f"{made};", user="postgres")
    run = connected.run()
    assert (run["state"], run["fetched"], run["inserted"], run["unchanged"]) == ("succeeded", 31, 29, 0)
    assert [row["odoo_id"] for row in connected.mirror()] == [number for number in range(1, 31) if number != 15]
    assert rejects(connected) == [(15, "insert", field, sqlstate)]
    reject = connected.row("select message, since, last_tried from ipai.sync_rejects")
    assert reject["message"] == cause
    assert connected.row("select state, rows, delta, rejects from ipai.sync_status") == {
        "state": "ok",
        "rows": 29,
        "delta": 1,
        "rejects": 1,
    }
    assert alerts(connected) == ["rejects"]
    # Later changes of others arrive, and the record is tried again, though it has not changed.
    change(erp, 3, name="Renamed")
    run = connected.run()
    assert (run["mode"], run["state"], run["updated"]) == ("incremental", "succeeded", 1)
    again = connected.row("select message, since, last_tried from ipai.sync_rejects")
    assert (again["message"], again["since"]) == (reject["message"], reject["since"]) and again["last_tried"] > reject["last_tried"]
    # The ids are not compared: the rejects explain the difference.
    assert not erp.received("search")
    change(erp, 15, 1, notes="there", value=16.0, code="METRIC", name="Metric of Odoo")
    connected.run()
    assert_equal(connected, erp)


def test_table_that_accepts_a_record_again_receives_it(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.rows(f"alter table {TABLE} add constraint small check (value < 15 or value > 15)")
    connected.run()
    # Its row has old values.
    change(erp, 20, value=15.0)
    connected.run()
    assert rejects(connected) == [(15, "insert", "value", "23514"), (20, "update", "value", "23514")]
    connected.rows(f"alter table {TABLE} drop constraint small")
    run = connected.run()
    assert (run["inserted"], run["updated"]) == (1, 1)
    assert_equal(connected, erp)


def test_reject_that_odoo_deletes_is_forgotten(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.rows(f"alter table {TABLE} add constraint small check (value < 15 or value > 15)")
    connected.run()
    change(erp, 20, value=15.0)
    connected.run()
    remove(erp, 15, 20)
    connected.run()
    assert_equal(connected, erp)


def test_dry_run_changes_no_reject(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.rows(f"alter table {TABLE} add constraint small check (value < 15 or value > 15)")
    connected.run()
    connected.rows(f"alter table {TABLE} drop constraint small")
    before = connected.rows("select * from ipai.sync_rejects")
    dry = connected.row("select * from ipai.sync_mirror('sample_metrics', dry_run => true)")
    assert (dry["inserted"], connected.rows("select * from ipai.sync_rejects")) == (1, before)


@pytest.mark.extension_only("roles and user mappings")
def test_service_role_sets_records_aside_too(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.rows("grant usage on foreign server odoo to service_role")
    connected.rows("create user mapping for service_role server odoo options (user 'admin', password 'admin')")
    session = connected.connect("authenticator")
    session.execute("set role service_role")
    erp.records[14]["value"] = 15.0
    connected.rows(f"alter table {TABLE} add constraint small check (value < 15 or value > 15)")
    for _ in range(2):
        session.execute("call ipai.run_sync('sample_metrics')")
        assert rejects(connected) == [(15, "insert", "value", "23514")]
    connected.rows(f"alter table {TABLE} drop constraint small")
    session.execute("call ipai.run_sync('sample_metrics')")
    assert_equal(connected, erp)


def test_dropped_mirror_leaves_no_reject(connected: Supabase) -> None:
    connected.rows(f"alter table {TABLE} add constraint small check (value < 15 or value > 15)")
    connected.run()
    connected.rows("select ipai.drop_mirror('sample_metrics')")
    assert rejects(connected) == []


@pytest.mark.parametrize("demand", REFUSALS)
def test_error_names_the_refused_record_and_field(connected: Supabase, erp: FaultyOdoo, demand: str) -> None:
    """Without rejects, the first refused record ends the run."""
    made, sqlstate, message = REFUSALS[demand]
    connected.rows("select ipai.alter_mirror('sample_metrics', max_rejects => 0)")
    connected.cluster.psql(f"{made};", user="postgres")
    with pytest.raises(psycopg.Error) as refused:
        connected.rows("call ipai.run_sync('sample_metrics')")
    assert (refused.value.sqlstate, refused.value.diag.message_primary) == (sqlstate, message)
    assert "Correct the record in Odoo" in str(refused.value.diag.message_hint)
    run = connected.last_run()
    assert (run["state"], run["sqlstate"], run["message"], run["position"]) == ("failed", sqlstate, message, 10)
    # The page before was committed, and this page was rolled back.
    assert [row["odoo_id"] for row in connected.mirror()] == list(range(1, 11))
    change(erp, 15, notes="there", value=16.0, code="METRIC", name="Metric of Odoo")
    assert connected.run()["mirror_count"] == 30
    assert connected.resumed_run()["fetched"] == 20


@pytest.mark.extension_only("transactions of the caller")
@pytest.mark.parametrize("demand", REFUSALS)
def test_sync_in_a_transaction_sets_records_aside(connected: Supabase, demand: str) -> None:
    made, sqlstate, message = REFUSALS[demand]
    connected.cluster.psql(f"{made};", user="postgres")
    assert connected.row("select * from ipai.sync_mirror('sample_metrics')")["inserted"] == 29
    assert [row[3] for row in rejects(connected)] == [sqlstate]
    connected.rows("select ipai.alter_mirror('sample_metrics', max_rejects => 0)")
    with pytest.raises(psycopg.Error) as refused:
        connected.rows("select * from ipai.sync_mirror('sample_metrics')")
    assert (refused.value.sqlstate, refused.value.diag.message_primary) == (sqlstate, message)


def test_more_rejects_than_allowed_fail_the_run(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.rows("select ipai.alter_mirror('sample_metrics', max_rejects => 2)")
    connected.rows(f"alter table {TABLE} add constraint small check (value < 15 or value > 17)")
    with pytest.raises(psycopg.errors.CheckViolation, match=r"record 15 of ipai\.sample\.metric does not fit") as refused:
        connected.run()
    assert "max_rejects" in str(refused.value.diag.message_hint)
    connected.rows("select ipai.alter_mirror('sample_metrics', max_rejects => 3)")
    connected.run()
    assert [row[0] for row in rejects(connected)] == [15, 16, 17]


def test_record_that_an_index_refuses_is_set_aside(connected: Supabase, erp: FaultyOdoo) -> None:
    """A btree index entry has at most 2,704 bytes."""
    erp.records[14]["notes"] = secrets.token_hex(10_000)
    connected.rows(f"create index long_notes on {TABLE} (notes)")
    try:
        connected.run()
        assert rejects(connected) == [(15, "insert", "notes", "54000")]
    finally:
        connected.rows("drop index ipai.long_notes")


def test_records_that_are_refused_only_together_arrive(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.cluster.psql(
        f"""
        create function public.picky() returns trigger language plpgsql as $$
        begin
            if (select count(*) from new_rows) > 7 then raise exception 'too many at a time'; end if;
            return null;
        end $$;
        create trigger picky after insert on {TABLE} referencing new table as new_rows for each statement execute function public.picky();
        """,
        user="postgres",
    )
    connected.run()
    assert_equal(connected, erp)


def test_errors_that_concern_no_record_fail_the_run(connected: Supabase) -> None:
    connected.cluster.psql(
        f"""
        create function public.picky() returns trigger language plpgsql as $$
        begin
            if new.odoo_id = 15 then perform 1 from public.nowhere; end if;
            return new;
        end $$;
        create trigger picky before insert on {TABLE} for each row execute function public.picky();
        """,
        user="postgres",
    )
    with pytest.raises(psycopg.errors.UndefinedTable):
        connected.run()
    assert rejects(connected) == []


# Deletions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "incremental", "reconcile"])
def test_refused_deletion_blocks_no_other_and_is_retried(connected: Supabase, erp: FaultyOdoo, mode: str) -> None:
    """A foreign key of the user refuses a deletion for as long as it references the row."""
    connected.run()
    connected.rows(
        f"create table public.invoices (metric bigint references {TABLE} (odoo_id)); insert into public.invoices values (7), (8)"
    )
    remove(erp, 5, 6, 7, 8, 9)
    change(erp, 1, name="renamed")
    run = connected.run(f"'sample_metrics', '{mode}'")
    assert (run["state"], run["deleted"], run["updated"], run["odoo_count"], run["mirror_count"]) == ("succeeded", 3, 1, 25, 27)
    assert rejects(connected) == [(7, "delete", None, "23503"), (8, "delete", None, "23503")]
    assert connected.row("select delta, rejects from ipai.sync_status") == {"delta": -2, "rejects": 2}
    assert alerts(connected) == ["rejects"]
    # An incremental run tries again, also if Odoo has not changed.
    connected.rows("delete from public.invoices where metric = 7")
    run = connected.run()
    assert (run["mode"], run["state"], run["deleted"]) == ("incremental", "succeeded", 1)
    connected.rows("drop table public.invoices")
    assert connected.run()["deleted"] == 1
    assert_equal(connected, erp)


def test_refused_deletion_fails_the_run_without_rejects(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.run()
    connected.rows("select ipai.alter_mirror('sample_metrics', max_rejects => 0)")
    connected.rows(f"create table public.invoices (metric bigint references {TABLE} (odoo_id)); insert into public.invoices values (7)")
    remove(erp, 7)
    for number in range(3):
        change(erp, number + 1, number, name=f"renamed {number}")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connected.run()
        run = connected.last_run()
        assert (run["state"], run["mode"], run["resumes"]) == ("failed", "incremental", None)
        row = connected.row(f"select name from {TABLE} where odoo_id = %s", number + 1)
        assert row == {"name": f"renamed {number}"}
        assert connected.row("select state, failures from ipai.sync_status") == {"state": "failing", "failures": number + 1}
    # The deletion is tried again by itself.
    connected.rows("drop table public.invoices")
    run = connected.run()
    assert (run["state"], run["deleted"], run["odoo_count"], run["mirror_count"]) == ("succeeded", 1, 29, 29)


# Unique keys --------------------------------------------------------------------------------------

UNIQUE = {
    "index": f"create unique index one_code on {TABLE} (code)",
    "expression": f"create unique index one_code on {TABLE} (lower(code))",
    "deferrable constraint": f"alter table {TABLE} add constraint one_code unique (code) deferrable",
    "deferred constraint": f"alter table {TABLE} add constraint one_code unique (code) deferrable initially deferred",
}


@pytest.fixture(params=UNIQUE)
def unique(connected: Supabase, erp: FaultyOdoo, request: pytest.FixtureRequest) -> Iterator[Supabase]:
    """A mirror of 30 records in pages of 10, whose codes are unique."""
    for record in erp.records:
        record["code"] = f"code {record['id']}"
    connected.rows(UNIQUE[request.param])
    connected.run()
    yield connected
    connected.rows(f"alter table {TABLE} drop constraint if exists one_code; drop index if exists ipai.one_code")


def exchange(erp: FaultyOdoo, *ids: int) -> None:
    """Gives each record the code of the next one, and the last one that of the first."""
    codes = {record["id"]: record["code"] for record in erp.records}
    for place, odoo_id in enumerate(ids):
        change(erp, odoo_id, code=codes[ids[(place + 1) % len(ids)]])


@pytest.mark.parametrize("mode", ["auto", "full"])
@pytest.mark.parametrize("ids", [(1, 2), (1, 30), (4, 14, 24), (11, 12, 13)], ids=str)
def test_records_that_exchange_unique_codes_arrive(unique: Supabase, erp: FaultyOdoo, ids: tuple[int, ...], mode: str) -> None:
    own = unique.rows(f"select id, odoo_id, inserted_at from {TABLE} order by odoo_id")
    unchanged = f"select odoo_id, xmin::text, ctid::text from {TABLE} where odoo_id <> all (%s) order by 1"
    others = unique.rows(unchanged, list(ids))
    exchange(erp, *ids)
    run = unique.run(f"'sample_metrics', '{mode}'")
    assert (run["state"], run["updated"], run["deleted"]) == ("succeeded", len(ids), 0)
    assert_equal(unique, erp)
    # What the mirror does not have of Odoo stays.
    assert unique.rows(f"select id, odoo_id, inserted_at from {TABLE} order by odoo_id") == own
    assert unique.rows(unchanged, list(ids)) == others
    moved = unique.rows(f"select odoo_id from {TABLE} where updated_at > inserted_at order by 1")
    assert [row["odoo_id"] for row in moved] == sorted(ids)


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_record_created_anew_with_the_same_code_arrives(unique: Supabase, erp: FaultyOdoo, mode: str) -> None:
    remove(erp, 7)
    erp.records.append(metric(31, code="code 7", write_date="2030-01-01 00:00:00"))
    run = unique.run(f"'sample_metrics', '{mode}'")
    assert (run["state"], run["inserted"], run["deleted"]) == ("succeeded", 1, 1)
    assert_equal(unique, erp)


def test_two_records_of_one_code_are_a_reject_until_one_changes(unique: Supabase, erp: FaultyOdoo) -> None:
    change(erp, 9, code="code 20")
    for _ in range(2):
        assert unique.run()["state"] == "succeeded"
        assert rejects(unique) == [(9, "update", "code", "23505")]
    change(erp, 20, 1, code="another code")
    unique.run()
    assert_equal(unique, erp)


def test_exchange_deletes_no_row_that_others_follow(connected: Supabase, erp: FaultyOdoo) -> None:
    """A foreign key with an action would delete the user's rows."""
    for record in erp.records:
        record["code"] = f"code {record['id']}"
    connected.rows(UNIQUE["index"])
    try:
        connected.run()
        connected.rows(
            f"create table public.invoices (metric bigint references {TABLE} (odoo_id) on delete cascade); "
            "insert into public.invoices values (1), (2)"
        )
        exchange(erp, 1, 2)
        connected.run()
        assert [row[0] for row in rejects(connected)] == [1, 2]
        assert len(connected.rows("select from public.invoices")) == 2
        # As the documentation advises.
        connected.rows("drop index ipai.one_code")
        connected.rows(UNIQUE["deferrable constraint"])
        connected.run()
        assert_equal(connected, erp)
        assert len(connected.rows("select from public.invoices")) == 2
    finally:
        connected.rows(f"alter table {TABLE} drop constraint if exists one_code; drop index if exists ipai.one_code")


# Counts -------------------------------------------------------------------------------------------


def test_missing_count_does_not_stop_the_mirror(connected: Supabase, erp: FaultyOdoo) -> None:
    """Odoo cannot count, for as long as the fault lasts."""
    connected.run()
    erp.on("search_count", fault(1, "Odoo cannot count"))
    for number in range(2):
        erp.records[number] |= {"name": f"renamed {number}", "write_date": f"2030-01-01 00:00:0{number}"}
        with pytest.raises(psycopg.Error):
            connected.run()
        run = connected.last_run()
        assert (run["state"], run["mode"], run["resumes"]) == ("failed", "incremental", None)
        row = connected.row(f"select name from {TABLE} where odoo_id = %s", erp.records[number]["id"])
        assert row == {"name": f"renamed {number}"}
