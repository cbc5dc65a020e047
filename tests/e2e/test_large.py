"""Tests a mirror with more records than one list of ids contains, without the addon."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from support.faulty import FaultyOdoo, metric
from support.supabase import Supabase

TABLE = "ipai.ipai_sample_metrics"
#: Ids with many short gaps and a long one.
IDS = [number for number in range(1, 60_001) if number % 100 and not 20_000 < number <= 25_000]


@pytest.fixture(scope="module")
def odoo() -> Iterator[FaultyOdoo]:
    with FaultyOdoo(metric(number) for number in IDS) as server:
        yield server


@pytest.fixture
def erp(odoo: FaultyOdoo, supabase: Supabase) -> FaultyOdoo:
    """An Odoo whose records are all in the mirror."""
    odoo.records = [metric(number) for number in IDS]
    supabase.server(odoo.url)
    assert supabase.run()["inserted"] == len(IDS)
    odoo.requests.clear()
    return odoo


def mirrored(supabase: Supabase) -> list[int]:
    return [row["odoo_id"] for row in supabase.rows(f"select odoo_id from {TABLE} order by odoo_id")]


def lists_of_ids(erp: FaultyOdoo) -> list[int]:
    """Returns the lengths of the requested lists of ids."""
    return [len(erp._search(request)) for request in erp.received("search")]


def test_reconcile_reads_the_ids_in_windows(supabase: Supabase, erp: FaultyOdoo) -> None:
    run = supabase.run("'sample_metrics', 'reconcile'")
    assert (run["mode"], run["odoo_count"], run["mirror_count"]) == ("reconcile", len(IDS), len(IDS))
    assert lists_of_ids(erp) == [50_000, len(IDS) - 50_000, 0]


def test_deleted_records_and_missing_rows_are_both_detected(supabase: Supabase, erp: FaultyOdoo) -> None:
    # As many deleted records as missing rows, close to each other and at both ends.
    deleted, missing = {1, 41, 30_001, 59_999}, {2, 42, 12_345, 59_998}
    erp.records = [record for record in erp.records if record["id"] not in deleted]
    supabase.rows(f"delete from {TABLE} where odoo_id = any (%s)", [*missing])
    run = supabase.run("'sample_metrics', 'reconcile'")
    assert (run["inserted"], run["deleted"], run["odoo_count"]) == (4, 4, len(IDS) - 4)
    assert mirrored(supabase) == [number for number in IDS if number not in deleted]


def test_reconcile_reads_only_the_missing_records(supabase: Supabase, erp: FaultyOdoo) -> None:
    # New records with old dates, in gaps and after all others.
    new_ids = [100, 22_222, 60_001]
    erp.records = sorted([*erp.records, *map(metric, new_ids)], key=lambda record: record["id"])
    run = supabase.run("'sample_metrics', 'reconcile'")
    assert (run["inserted"], run["updated"], run["deleted"]) == (3, 0, 0)
    assert mirrored(supabase) == sorted([*IDS, *new_ids])


def test_reconcile_refuses_another_database_without_newer_records(supabase: Supabase, erp: FaultyOdoo) -> None:
    new_record = metric(60_001)
    erp.records = [*erp.records, new_record]
    erp.company = "2020-02-02 02:02:02"
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is not the one that mirror"):
        supabase.run("'sample_metrics', 'reconcile'")
    erp.company = "2026-01-01 08:00:00"
    assert mirrored(supabase) == IDS


def test_reconcile_keeps_local_rows(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows(f"insert into {TABLE} (name, code, unit) values ('local', 'LOCAL', 'count')")
    assert supabase.run("'sample_metrics', 'reconcile'")["deleted"] == 0
    assert supabase.row(f"select count(*) from {TABLE} where odoo_id is null")["count"] == 1
