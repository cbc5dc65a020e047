"""Tests records that the mirror's table refuses.

The error names the record and, if known, the field. The committed pages stay.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest

from support.faulty import FaultyOdoo, fault, metric
from support.supabase import Supabase

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
    "a shorter text": (
        f"alter table {TABLE} alter code type varchar(6)",
        "22001",
        'record 15 of ipai.sample.metric does not fit into the mirror, field "code": value too long for type character varying(6)',
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


@pytest.mark.parametrize("demand", REFUSALS)
def test_error_names_the_refused_record_and_field(connected: Supabase, erp: FaultyOdoo, demand: str) -> None:
    made, sqlstate, message = REFUSALS[demand]
    connected.cluster.psql(f"{made};", user="postgres")
    with pytest.raises(psycopg.Error) as refused:
        connected.rows("call ipai.run_sync('sample_metrics')")
    assert (refused.value.sqlstate, refused.value.diag.message_primary) == (sqlstate, message)
    assert "Correct the record in Odoo" in str(refused.value.diag.message_hint)
    run = connected.last_run()
    assert (run["state"], run["sqlstate"], run["message"], run["position"]) == ("failed", sqlstate, message, 10)
    # The page before was committed, and this page was rolled back.
    assert [row["odoo_id"] for row in connected.mirror()] == list(range(1, 11))
    erp.records[14].update(notes="there", value=16.0, code="METRIC", name="Metric of Odoo", write_date="2026-01-06 08:00:00")
    assert connected.run()["mirror_count"] == 30
    assert connected.resumed_run()["fetched"] == 20


@pytest.mark.parametrize("demand", REFUSALS)
def test_sync_in_a_transaction_has_the_same_error(connected: Supabase, demand: str) -> None:
    made, sqlstate, message = REFUSALS[demand]
    connected.cluster.psql(f"{made};", user="postgres")
    with pytest.raises(psycopg.Error) as refused:
        connected.rows("select * from ipai.sync_mirror('sample_metrics')")
    assert (refused.value.sqlstate, refused.value.diag.message_primary) == (sqlstate, message)
    assert connected.mirror() == []


def test_error_names_the_record_that_an_index_refuses(connected: Supabase, erp: FaultyOdoo) -> None:
    """A btree index entry has at most 2,704 bytes."""
    erp.records[14]["notes"] = secrets.token_hex(10_000)
    connected.rows(f"create index long_notes on {TABLE} (notes)")
    try:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded) as refused:
            connected.rows("call ipai.run_sync('sample_metrics')")
        message = refused.value.diag.message_primary or ""
        assert message.startswith('record 15 of ipai.sample.metric does not fit into the mirror, field "notes": index row')
        assert "indexes" in str(refused.value.diag.message_hint)
    finally:
        connected.rows("drop index ipai.long_notes")


def test_error_of_a_whole_page_is_that_of_postgres(connected: Supabase) -> None:
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
    with pytest.raises(psycopg.Error, match=r"^too many at a time"):
        connected.rows("call ipai.run_sync('sample_metrics')")
    assert (connected.last_run()["state"], connected.mirror()) == ("failed", [])


@pytest.mark.parametrize("mode", ["full", "incremental", "reconcile"])
def test_refused_deletion_does_not_stop_the_mirror(connected: Supabase, erp: FaultyOdoo, mode: str) -> None:
    """A foreign key of the user refuses a deletion for as long as it references the row."""
    connected.run()
    connected.rows(f"create table public.invoices (metric bigint references {TABLE} (odoo_id)); insert into public.invoices values (7)")
    erp.records = [record for record in erp.records if record["id"] != 7]
    for number in range(3):
        erp.records[number] |= {"name": f"renamed {number}", "write_date": f"2030-01-01 00:00:0{number}"}
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connected.run(f"'sample_metrics', '{mode if number == 0 else 'auto'}'")
        run = connected.last_run()
        expected = ("failed", mode if number == 0 else "incremental", None)
        assert (run["state"], run["mode"], run["resumes"]) == expected
        row = connected.row(f"select name from {TABLE} where odoo_id = %s", erp.records[number]["id"])
        assert row == {"name": f"renamed {number}"}
        assert connected.row("select state, failures from ipai.sync_status") == {"state": "failing", "failures": number + 1}
    # The deletion is tried again by itself.
    connected.rows("drop table public.invoices")
    run = connected.run()
    assert (run["state"], run["deleted"], run["odoo_count"], run["mirror_count"]) == ("succeeded", 1, 29, 29)


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
