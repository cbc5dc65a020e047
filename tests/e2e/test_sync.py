"""Tests that the mirror equals Odoo's table after a sync, row by row."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from harness.odoo import Odoo
from support.comparison import MODEL, assert_equal, ids, odoo_rows, sql
from support.supabase import ROWS, Supabase

pytestmark = [pytest.mark.both_hosts, pytest.mark.both_protocols, pytest.mark.postgres17]


@pytest.fixture
def mirrored(supabase: Supabase, erp: Odoo) -> Supabase:
    """A mirror that equals Odoo."""
    supabase.server(erp.url, dbname=erp.dbname)
    sync(supabase)
    assert_equal(supabase, erp)
    return supabase


def sync(supabase: Supabase, arguments: str = "") -> dict[str, Any]:
    return supabase.row(f"select * from ipai.sync_sample_metrics({arguments})")


def test_generated_metrics_contain_every_special_value(erp: Odoo) -> None:
    """The comparisons below are meaningful only with these values."""
    (counts,) = erp.pg.psql(
        rf"""select count(*) filter (where date is null) > 0, count(*) filter (where brand_id is null) > 0,
                   count(*) filter (where store_id is null) > 0, count(*) filter (where notes is null) > 0,
                   count(*) filter (where not active) > 0, count(*) filter (where notes like E'%\r\n%') > 0,
                   count(*) filter (where name || coalesce(notes, '') ~ '[<&>]') > 0,
                   count(*) filter (where name || coalesce(notes, '') ~ '[\U0001F300-\U0001FAFF]') > 0,
                   count(*) filter (where notes ~ E'[\x01-\x08]') > 0, count(*) >= {ROWS}
            from ipai_sample_metric""",
        dbname=erp.dbname,
    ).splitlines()
    assert counts == "|".join("t" * 10)


def test_first_sync_copies_every_record(supabase: Supabase, erp: Odoo) -> None:
    supabase.server(erp.url, dbname=erp.dbname)
    report = sync(supabase)
    assert_equal(supabase, erp)
    total = len(odoo_rows(erp))
    assert (report["mode"], report["fetched"], report["inserted"], report["updated"], report["deleted"]) == ("full", total, total, 0, 0)
    assert (report["odoo_count"], report["mirror_count"], report["delta"]) == (total, total, 0)
    assert supabase.row("select count(*) filter (where not active) > 0 as archived from ipai.ipai_sample_metrics")["archived"]


def test_second_sync_writes_no_row(mirrored: Supabase) -> None:
    before = mirrored.mirror("xmin::text, xmax::text, ctid::text, updated_at, id")
    report = sync(mirrored)
    assert (report["inserted"], report["updated"], report["deleted"]) == (0, 0, 0)
    assert report["unchanged"] == report["fetched"] >= ROWS
    assert mirrored.mirror("xmin::text, xmax::text, ctid::text, updated_at, id") == before


def test_sync_updates_only_edited_rows(mirrored: Supabase, erp: Odoo) -> None:
    edited = ids(erp, "active and unit = 'percent' and value <> 99.5", 7)
    erp.rpc(MODEL, "write", edited, {"value": 99.5, "notes": "über <b>&amp;</b> \n 🚀"})
    report = sync(mirrored)
    assert (report["updated"], report["inserted"], report["deleted"]) == (7, 0, 0)
    assert_equal(mirrored, erp)
    row = mirrored.row("select value, is_alert, notes from ipai.ipai_sample_metrics where odoo_id = %s", edited[0])
    assert row == {"value": 99.5, "is_alert": True, "notes": "über <b>&amp;</b> \n 🚀"}


def test_unset_values_become_null(mirrored: Supabase, erp: Odoo) -> None:
    (edited,) = ids(erp, "date is not null and brand_id is not null and store_id is not null and notes is not null", 1)
    erp.rpc(MODEL, "write", [edited], {"date": False, "brand_id": False, "store_id": False, "notes": False})
    assert sync(mirrored)["updated"] == 1
    row = mirrored.row("select date, brand_id, store_id, notes from ipai.ipai_sample_metrics where odoo_id = %s", edited)
    assert set(row.values()) == {None}
    assert_equal(mirrored, erp)


def test_sync_copies_archiving_and_unarchiving(mirrored: Supabase, erp: Odoo) -> None:
    archived, revived = ids(erp, "active", 3), ids(erp, "not active", 2)
    erp.rpc(MODEL, "write", archived, {"active": False})
    erp.rpc(MODEL, "write", revived, {"active": True})
    assert sync(mirrored)["updated"] == 5
    states = mirrored.rows("select odoo_id, active from ipai.ipai_sample_metrics where odoo_id = any (%s)", archived + revived)
    assert {row["odoo_id"]: row["active"] for row in states} == {**dict.fromkeys(archived, False), **dict.fromkeys(revived, True)}
    assert_equal(mirrored, erp)


def test_sync_deletes_rows_of_deleted_records(mirrored: Supabase, erp: Odoo) -> None:
    deleted = ids(erp, "id % 50 = 0", 10)
    erp.rpc(MODEL, "unlink", deleted)
    report = sync(mirrored)
    assert (report["deleted"], report["delta"]) == (len(deleted), 0)
    assert_equal(mirrored, erp)


def test_full_sync_unsets_a_deleted_brand(mirrored: Supabase, erp: Odoo) -> None:
    """Odoo clears the field without a change of write_date, so only a full run detects it."""
    brand = erp.rpc("res.partner", "create", {"name": "Brand to be deleted"})
    edited = ids(erp, "active", 4)
    erp.rpc(MODEL, "write", edited, {"brand_id": brand})
    sync(mirrored)
    erp.rpc("res.partner", "unlink", [brand])
    report = sync(mirrored)
    assert report["updated"] == 4
    assert mirrored.row("select count(*) from ipai.ipai_sample_metrics where brand_id = %s", brand)["count"] == 0
    assert_equal(mirrored, erp)


def test_record_committed_late_is_copied(mirrored: Supabase, erp: Odoo) -> None:
    """The transaction began before the last sync and commits after it.

    Its record has an older write_date and a lower id.
    """
    with psycopg.connect(erp.pg.dsn(erp.dbname)) as transaction:
        transaction.execute(
            """insert into ipai_sample_metric
                   (name, code, date, value, unit, active, is_alert, create_uid, write_uid, create_date, write_date)
               values ('Late', 'LATE', '2026-01-06', 5, 'percent', true, true, 1, 1, now() at time zone 'UTC', now() at time zone 'UTC')"""
        )
        newer = erp.rpc(MODEL, "create", {"name": "Newer", "code": "NEWER", "value": 1, "unit": "count"})
        sync(mirrored)
        assert mirrored.rows("select from ipai.ipai_sample_metrics where code = 'LATE'") == []
        transaction.commit()
    report = sync(mirrored)
    row = mirrored.row("select odoo_id from ipai.ipai_sample_metrics where code = 'LATE'")
    assert row["odoo_id"] < newer
    assert report["inserted"] == 1
    assert_equal(mirrored, erp)
    # The next host finds Odoo without it.
    sql(erp, "delete from ipai_sample_metric where code = 'LATE'")


def test_since_reads_only_later_records(mirrored: Supabase, erp: Odoo) -> None:
    sql(erp, "update ipai_sample_metric set write_date = '2025-06-01 00:00:00'")
    edited = ids(erp, "active and value <> 42", 3)
    erp.rpc(MODEL, "write", edited, {"value": 42})
    report = sync(mirrored, "(now() - interval '2 days')::date")
    assert (report["mode"], report["fetched"], report["updated"]) == ("since", 3, 3)
    assert_equal(mirrored, erp)


@pytest.mark.extension_only("a time zone of the caller's session")
def test_since_means_midnight_utc_in_any_time_zone(mirrored: Supabase, erp: Odoo) -> None:
    first, second = ids(erp, "active", 2)
    sql(erp, "update ipai_sample_metric set write_date = '2025-06-01 00:00:00'")
    sql(erp, f"update ipai_sample_metric set write_date = '2026-01-05 23:59:59.9' where id = {first}")
    sql(erp, f"update ipai_sample_metric set write_date = '2026-01-06 00:00:00' where id = {second}")
    with mirrored.connect() as connection:
        connection.execute("set time zone 'Asia/Manila'")
        report = connection.execute("select * from ipai.sync_sample_metrics('2026-01-06')").fetchone()
    assert report and report["fetched"] == 1


def test_since_reconciles_deleted_and_missing_records(mirrored: Supabase, erp: Odoo) -> None:
    sql(erp, "update ipai_sample_metric set write_date = '2025-06-01 00:00:00'")
    (deleted,) = ids(erp, "active", 1)
    erp.rpc(MODEL, "unlink", [deleted])
    missing = ids(erp, "not active", 2)
    mirrored.rows("delete from ipai.ipai_sample_metrics where odoo_id = any (%s)", missing)
    report = sync(mirrored, "'2026-01-06'")
    assert (report["inserted"], report["deleted"], report["delta"]) == (2, 1, 0)
    assert_equal(mirrored, erp)


def test_dry_run_predicts_the_changes(mirrored: Supabase, erp: Odoo) -> None:
    edited, deleted = ids(erp, "active and value <> 77.25", 2), ids(erp, "not active", 3)
    erp.rpc(MODEL, "write", edited, {"value": 77.25})
    erp.rpc(MODEL, "unlink", deleted)
    erp.rpc(MODEL, "create", {"name": "New", "code": "NEW", "value": 1, "unit": "count"})
    before = mirrored.mirror()
    report = sync(mirrored, "dry_run => true")
    assert (report["run"], report["inserted"], report["updated"], report["deleted"]) == (None, 1, 2, 3)
    assert mirrored.mirror() == before
    real = sync(mirrored)
    assert (real["inserted"], real["updated"], real["deleted"]) == (1, 2, 3)
    assert_equal(mirrored, erp)


def test_max_rows_limits_the_records_and_deletes_nothing(mirrored: Supabase, erp: Odoo) -> None:
    deleted = ids(erp, "active", 1)
    erp.rpc(MODEL, "unlink", deleted)
    report = sync(mirrored, "max_rows => 123")
    assert (report["fetched"], report["deleted"], report["delta"]) == (123, 0, -1)
    assert sync(mirrored)["deleted"] == 1


def test_sync_keeps_local_rows(mirrored: Supabase, erp: Odoo) -> None:
    mirrored.rows("insert into ipai.ipai_sample_metrics (name, code, value, unit) values ('Local', 'LOCAL', 1, 'count') returning id")
    report = sync(mirrored)
    assert (report["deleted"], report["delta"]) == (0, 0)
    assert mirrored.row("select odoo_id from ipai.ipai_sample_metrics where code = 'LOCAL'") == {"odoo_id": None}
    assert_equal(mirrored, erp)


def test_mass_deletion_requires_permission(mirrored: Supabase, erp: Odoo) -> None:
    sql(erp, "delete from ipai_sample_metric where id % 3 = (select min(id) % 3 from ipai_sample_metric)")
    before = mirrored.mirror("odoo_id")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        sync(mirrored)
    assert mirrored.hint("max_delete_ratio => 1") in (refused.value.diag.message_hint or "")
    assert mirrored.mirror("odoo_id") == before
    report = mirrored.row("select * from ipai.sync_mirror('sample_metrics', max_delete_ratio => 1)")
    assert report["deleted"] > ROWS / 4
    assert_equal(mirrored, erp)
