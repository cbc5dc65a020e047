"""Tests the count-delta views, which compare stored counts of Odoo and of the mirror."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from harness import shell
from support.faulty import FaultyOdoo, metric, recorded, respond_normally
from support.supabase import Supabase

pytestmark = pytest.mark.both_protocols

DELTA = "select * from ipai.sync_count_delta"
METRICS_DELTA = "select * from ipai.sample_metrics_count_delta"
REFRESH = "select * from ipai.refresh_counts('sample_metrics')"
RECORDS = [
    metric(1),
    metric(2, unit="percent", value=99.0, is_alert=True),
    metric(3, unit="percent", value=5.0, is_alert=True),
    metric(4, active=False),
]


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[FaultyOdoo]:
    with FaultyOdoo(RECORDS) as server:
        supabase.server(server.url)
        yield server


@pytest.fixture
def mirrored(supabase: Supabase, erp: FaultyOdoo) -> Supabase:
    """A mirror that equals Odoo."""
    supabase.run()
    return supabase


def verdicts(supabase: Supabase) -> tuple[Any, Any]:
    return supabase.row(DELTA)["verdict"], supabase.row(METRICS_DELTA)["verdict"]


# Verdicts -----------------------------------------------------------------------------------------


def test_verdict_before_the_first_count_is_never(supabase: Supabase, erp: FaultyOdoo) -> None:
    row = supabase.row(METRICS_DELTA)
    assert row.pop("verdict") == "never"
    assert set(row.values()) == {None}
    supabase.register()
    assert verdicts(supabase) == ("never", "never")
    row = supabase.row(DELTA)
    assert (row["mirror"], row["odoo_total"], row["mirror_total"], row["delta"], row["checked_at"]) == (
        *("sample_metrics", None, None, None),
        None,
    )


def test_counts_are_equal_after_a_run(mirrored: Supabase) -> None:
    run = mirrored.last_run()
    row = mirrored.row(DELTA)
    assert row.pop("checked_at") == run["finished_at"]
    assert row == {
        **{"mirror": "sample_metrics", "delta": 0, "verdict": "ok", "last_poll": None, "live": None},
        **{"odoo_total": 4, "odoo_active": 3, "odoo_archived": 1, "mirror_total": 4, "mirror_active": 3, "mirror_archived": 1},
    }
    row = mirrored.row(METRICS_DELTA)
    assert row.pop("checked_at") == run["finished_at"]
    assert row == {
        **{"delta": 0, "alerts_delta": 0, "verdict": "ok", "last_poll": None, "live": None},
        **{"odoo_total": 4, "odoo_active": 3, "odoo_archived": 1, "odoo_alerts": 2},
        **{"mirror_total": 4, "mirror_active": 3, "mirror_archived": 1, "mirror_alerts": 2},
    }


def test_mirror_is_live_while_a_follower_polls_and_no_run_fails(mirrored: Supabase) -> None:
    def live() -> tuple[object, object]:
        rows = [mirrored.row(f"select live, last_poll from ipai.{view}") for view in ("sync_count_delta", "sample_metrics_count_delta")]
        assert rows[0] == rows[1]
        polled = mirrored.row("select max(polled_at) as at from ipai.followers where 'sample_metrics' = any (mirrors)")["at"]
        return rows[0]["live"], rows[0]["last_poll"] == polled

    def poll(age: str) -> None:
        mirrored.rows(f"update ipai.followers set polled_at = now() - interval '{age}'")

    mirrored.rows("insert into ipai.followers (server, mirrors, since) values ('odoo', '{sample_metrics}', now())")
    assert live() == (None, True)
    poll("20 seconds")
    assert live() == (True, True)
    poll("40 seconds")
    assert live() == (False, True)
    poll("1 second")
    mirrored.rows("insert into ipai.run_log (mirror, mode, state, finished_at) values ('sample_metrics', 'live', 'failed', now())")
    assert live() == (False, True)
    mirrored.rows(
        """insert into ipai.run_log (mirror, mode, state, finished_at, odoo_count, mirror_count)
           values ('sample_metrics', 'live', 'succeeded', now(), 4, 4)"""
    )
    assert live() == (True, True)
    mirrored.rows("update ipai.followers set mirrors = '{brands}'")
    assert live() == (None, True)


def test_sync_in_a_transaction_stores_counts(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select * from ipai.sync_sample_metrics()")
    assert verdicts(supabase) == ("ok", "ok")
    assert supabase.row(METRICS_DELTA)["mirror_alerts"] == 2


def test_partial_sync_shows_the_missing_rows(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select * from ipai.sync_sample_metrics(max_rows => 1)")
    row = supabase.row(DELTA)
    assert (row["odoo_total"], row["mirror_total"], row["delta"], row["verdict"]) == (4, 1, 3, "drift")


def test_different_counts_are_drift_until_the_next_run(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [*RECORDS[:3], metric(5), metric(6)]
    # The views use stored counts, so the change is not visible yet.
    assert verdicts(mirrored) == ("ok", "ok")
    refreshed = mirrored.row(REFRESH)
    assert refreshed == {"mirror": "sample_metrics", "odoo_total": 5, "mirror_total": 4, "delta": 1}
    assert mirrored.row(DELTA)["delta"] == mirrored.row(METRICS_DELTA)["delta"] == 1
    assert verdicts(mirrored) == ("drift", "drift")
    mirrored.run()
    assert verdicts(mirrored) == ("ok", "ok")
    assert mirrored.row(DELTA)["odoo_total"] == 5


def test_different_counts_of_archived_records_are_drift(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(1, active=False), *RECORDS[1:]]
    mirrored.row(REFRESH)
    row = mirrored.row(DELTA)
    assert (row["delta"], row["odoo_archived"], row["mirror_archived"], row["verdict"]) == (0, 2, 1, "drift")


def test_different_counts_of_alerts_are_drift_of_the_metrics(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.records = [metric(1, is_alert=True), *RECORDS[1:]]
    mirrored.row(REFRESH)
    row = mirrored.row(METRICS_DELTA)
    assert (row["delta"], row["alerts_delta"], row["odoo_alerts"], row["mirror_alerts"]) == (0, 1, 3, 2)
    assert verdicts(mirrored) == ("ok", "drift")


def test_old_counts_are_stale(mirrored: Supabase, erp: FaultyOdoo) -> None:
    mirrored.rows("update ipai.mirrors set reconcile_every = '10 milliseconds'")
    shell.wait_until(lambda: verdicts(mirrored) == ("stale", "stale"), "old counts", seconds=5)
    mirrored.rows("update ipai.mirrors set reconcile_every = '1 day'")
    assert verdicts(mirrored) == ("ok", "ok")


def test_old_different_counts_are_drift(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.records = RECORDS[:2]
    mirrored.row(REFRESH)
    mirrored.rows("update ipai.run_log set finished_at = finished_at - interval '3 days', started_at = started_at - interval '3 days'")
    assert verdicts(mirrored) == ("drift", "drift")


def test_resumed_run_counts_changes_of_the_interrupted_run(mirrored: Supabase, erp: FaultyOdoo) -> None:
    """The resumed run changes no row, but the counts stored before are outdated."""
    mirrored.rows("update ipai.mirrors set page_size = 1")
    mirrored.rows("update ipai.mirror_state set settled_id = null")
    erp.records = [metric(1, active=False, is_alert=True, write_date="2026-01-06 09:00:00"), *RECORDS[1:]]
    erp.on("search_read", respond_normally, times=4)
    erp.on("search_read", recorded("fault_access_error_read_portal"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        mirrored.run()
    erp.clear_faults()
    assert (mirrored.run()["updated"], mirrored.resumed_run()["updated"]) == (0, 0)
    row = mirrored.row(METRICS_DELTA)
    assert (row["odoo_archived"], row["mirror_archived"], row["odoo_alerts"], row["mirror_alerts"]) == (2, 2, 3, 3)
    assert verdicts(mirrored) == ("ok", "ok")


def test_run_without_changes_counts_both_sides_once(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.requests.clear()
    before = mirrored.row(DELTA)["checked_at"]
    mirrored.run()
    # The active records and those with an alert are counted again once a row has changed.
    assert len(erp.received("search_count")) == 1
    assert mirrored.row(DELTA)["checked_at"] > before
    flags = "select odoo_active, mirror_active, odoo_alerts, mirror_alerts from ipai.sample_metrics_count_delta"
    assert mirrored.row(flags) == {"odoo_active": 3, "mirror_active": 3, "odoo_alerts": 2, "mirror_alerts": 2}
    erp.records = [*RECORDS[:2], metric(3, active=False, write_date="2026-01-06 09:00:00"), RECORDS[3]]
    mirrored.run()
    assert len(erp.received("search_count")) == 4
    assert mirrored.row(flags) == {"odoo_active": 2, "mirror_active": 2, "odoo_alerts": 1, "mirror_alerts": 1}


def test_removed_flag_is_no_longer_counted(mirrored: Supabase) -> None:
    mirrored.rows("select ipai.alter_mirror('sample_metrics', flag_field => '')")
    mirrored.run()
    flags = "select odoo_active, mirror_active, odoo_alerts, mirror_alerts from ipai.sample_metrics_count_delta"
    assert mirrored.row(flags) == {"odoo_active": 3, "mirror_active": 3, "odoo_alerts": None, "mirror_alerts": None}


# Odoo is down -------------------------------------------------------------------------------------


def test_views_work_while_odoo_is_down(mirrored: Supabase) -> None:
    before = (mirrored.row(DELTA), mirrored.row(METRICS_DELTA))
    mirrored.set_url("http://127.0.0.1:9")
    with pytest.raises(psycopg.errors.SqlclientUnableToEstablishSqlconnection):
        mirrored.run()
    # A failed run does not count.
    assert (mirrored.row(DELTA), mirrored.row(METRICS_DELTA)) == before
    mirrored.rows("drop server odoo cascade")
    with pytest.raises(psycopg.errors.UndefinedObject):
        mirrored.row(REFRESH)
    assert (mirrored.row(DELTA), mirrored.row(METRICS_DELTA)) == before


# refresh_counts -----------------------------------------------------------------------------------


def test_counting_writes_only_the_counts(mirrored: Supabase, erp: FaultyOdoo) -> None:
    erp.records = []
    erp.requests.clear()
    mirror, runs = mirrored.mirror("*, xmin::text"), mirrored.rows("select * from ipai.sync_runs")
    registered = mirrored.rows("select * from ipai.mirrors")
    mirrored.row(REFRESH)
    assert {request.method for request in erp.requests} == {"search_count"}
    assert mirrored.mirror("*, xmin::text") == mirror
    # Counting is not logged as a run.
    assert mirrored.rows("select * from ipai.sync_runs") == runs
    assert mirrored.rows("select * from ipai.mirrors") == registered


def test_counting_does_not_wait_for_a_sync(mirrored: Supabase) -> None:
    connection = mirrored.connect()
    with connection.transaction():
        connection.execute("select * from ipai.sync_sample_metrics()")
        assert mirrored.row(REFRESH)["delta"] == 0


def test_refresh_counts_without_a_name_counts_every_enabled_mirror(mirrored: Supabase, erp: FaultyOdoo) -> None:
    mirrored.add_mirror("empty")
    mirrored.add_mirror("disabled", enabled=False)
    rows = mirrored.rows("select * from ipai.refresh_counts()")
    assert [(row["mirror"], row["odoo_total"], row["mirror_total"], row["delta"]) for row in rows] == [
        ("empty", 4, 0, 4),
        ("sample_metrics", 4, 4, 0),
    ]
    assert {row["mirror"]: row["verdict"] for row in mirrored.rows(DELTA)} == {
        **{"disabled": "never", "empty": "drift"},
        **{"sample_metrics": "ok"},
    }


def test_counting_an_unknown_mirror_is_refused(mirrored: Supabase) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject) as raised:
        mirrored.rows("select * from ipai.refresh_counts('nope')")
    assert (raised.value.diag.message_primary, raised.value.diag.message_hint) == (
        'mirror "nope" does not exist',
        "Use the name of a mirror: sample_metrics.",
    )


# Privileges ---------------------------------------------------------------------------------------


def test_authenticated_reads_counts_and_service_role_also_runs(mirrored: Supabase) -> None:
    connection = mirrored.connect()
    views = ("sync_count_delta", "sample_metrics_count_delta", "sync_runs")
    for role, visible in (("anon", 0), ("authenticated", 2), ("service_role", 3)):
        connection.execute(f"set role {role}")
        for view in views[visible:]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from ipai.{view}")
        for view in views[:visible]:
            assert len(connection.execute(f"select * from ipai.{view}").fetchall()) == 1
