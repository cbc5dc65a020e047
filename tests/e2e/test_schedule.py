"""Tests scheduling with pg_cron."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from harness import shell
from harness.odoo import Odoo, generate_metrics
from support.comparison import MODEL
from support.faulty import FaultyOdoo, delayed, metric
from support.supabase import Supabase

JOBS = "select jobid, jobname, schedule, command, database, username, active from cron.job order by jobname"
PASSWORD = "Geheim-§-123"
#: Seconds until the end of a run that starts at the next full minute.
A_MINUTE = 90


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[FaultyOdoo]:
    with FaultyOdoo([metric(1), metric(2)]) as server:
        supabase.server(server.url)
        yield server


# Runs of pg_cron ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class CronResults:
    """The results of three jobs of pg_cron: a successful run, a failed run, and sync_now."""

    created: int
    mirror: list[dict[str, Any]]
    runs: dict[str, dict[str, Any]]
    #: The last run of each job according to pg_cron, by mirror.
    details: dict[str, dict[str, Any]]
    #: The job of sync_now before and after its run.
    once_before: list[dict[str, Any]]
    once_after: list[dict[str, Any]]
    once_runs: int
    everything: str


@pytest.fixture(scope="module")
def cron_results(_supabase: Supabase, odoo: Odoo) -> CronResults:
    """Waits for all jobs at once, because pg_cron starts them only at full minutes."""
    supabase = _supabase
    slow = FaultyOdoo([metric(number) for number in range(1, 9)])
    slow.on("search_read", delayed(0.8))
    generate_metrics(odoo, 100)
    try:
        with slow:
            supabase.server(odoo.url, dbname=odoo.dbname)
            supabase.server(odoo.url, dbname=odoo.dbname, name="failing", password=PASSWORD)
            supabase.server(slow.url, name="slow")
            supabase.register()
            supabase.run()
            supabase.add_mirror("failing", server="failing")
            supabase.add_mirror("once", server="slow")
            # The run takes six seconds, in which pg_cron could repeat the job.
            supabase.rows("update ipai.mirrors set page_size = 1 where name = 'once'")
            created = odoo.rpc(MODEL, "create", {"name": "Picked up by itself", "code": "CRON", "value": 1, "unit": "count"})
            supabase.rows("select ipai.schedule_sync('sample_metrics', '* * * * *'), ipai.schedule_sync('failing', '* * * * *')")
            supabase.rows("select ipai.sync_now('once')")
            return collect_results(supabase, created)
    finally:
        supabase.reset()


def collect_results(supabase: Supabase, created: int) -> CronResults:
    once = f"select * from ({JOBS}) as jobs where jobname = 'ipai_sync now once'"
    once_before = supabase.rows(once)

    def states(mirror: str) -> set[str]:
        return {row["state"] for row in supabase.rows("select state from ipai.sync_runs where mirror = %s", mirror)}

    shell.wait_until(lambda: states("once"), "the run of sync_now", seconds=A_MINUTE)
    shell.wait_until(lambda: "running" not in states("once"), "the end of the run of sync_now", seconds=60)
    shell.wait_until(lambda: not supabase.rows(once), "the end of the job of sync_now", seconds=5)
    shell.wait_until(lambda: "failed" in states("failing"), "the failing run", seconds=A_MINUTE)
    mirror = "select odoo_id, name from ipai.ipai_sample_metrics where odoo_id = %s"
    shell.wait_until(lambda: supabase.rows(mirror, created), "the change in Odoo", seconds=A_MINUTE)
    details: dict[str, dict[str, Any]] = {}

    def is_recorded() -> bool:
        for row in supabase.rows("select * from cron.job_run_details where status in ('succeeded', 'failed') order by runid desc"):
            details[row["command"].split("'")[1]] = row
        return {"sample_metrics", "failing", "once"} <= details.keys()

    shell.wait_until(is_recorded, "pg_cron's record of the runs", seconds=10)
    return CronResults(
        created=created,
        mirror=supabase.rows(mirror, created),
        runs={name: supabase.last_run(name) for name in ("sample_metrics", "failing", "once")},
        details=details,
        once_before=once_before,
        once_after=supabase.rows(once),
        once_runs=supabase.row("select count(*) from ipai.sync_runs where mirror = 'once'")["count"],
        everything=str(supabase.rows("select * from ipai.run_log")) + str(supabase.rows("select * from cron.job_run_details")),
    )


def test_scheduled_run_copies_a_change_in_odoo(cron_results: CronResults) -> None:
    assert cron_results.mirror == [{"odoo_id": cron_results.created, "name": "Picked up by itself"}]
    run = cron_results.runs["sample_metrics"]
    assert (run["mode"], run["state"], run["odoo_count"] - run["mirror_count"]) == ("incremental", "succeeded", 0)
    assert cron_results.details["sample_metrics"]["status"] == "succeeded"
    assert cron_results.details["sample_metrics"]["username"] == "postgres"


def test_failed_scheduled_run_logs_its_error_twice(cron_results: CronResults) -> None:
    run, detail = cron_results.runs["failing"], cron_results.details["failing"]
    assert (run["state"], run["sqlstate"], run["message"]) == ("failed", "28P01", "Odoo authentication failed")
    assert detail["status"] == "failed"
    for text in (run["message"], run["detail"], run["hint"]):
        assert text in detail["return_message"]
    assert PASSWORD not in cron_results.everything


def test_sync_now_runs_once_and_removes_its_job(cron_results: CronResults) -> None:
    (job,) = cron_results.once_before
    assert (job["command"], job["username"]) == ("call ipai.run_sync('once')", "postgres")
    assert cron_results.once_after == []
    run = cron_results.runs["once"]
    assert (run["state"], run["message"], run["mirror_count"]) == ("succeeded", None, 8)
    assert cron_results.once_runs == 1
    assert cron_results.details["once"]["status"] == "succeeded"


# Schedules ----------------------------------------------------------------------------------------


def test_schedule_sync_creates_a_job_of_pg_cron(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.register()
    job = supabase.row("select ipai.schedule_sync('sample_metrics', '*/15 * * * *') as job")["job"]
    assert supabase.rows(JOBS) == [
        {
            **{"jobid": job, "jobname": "ipai_sync sample_metrics", "schedule": "*/15 * * * *"},
            **{"command": "call ipai.run_sync('sample_metrics')", "database": "postgres", "username": "postgres", "active": True},
        }
    ]


def test_second_schedule_sync_changes_the_schedule(supabase: Supabase, erp: FaultyOdoo) -> None:
    first = supabase.row("select ipai.schedule_sync('sample_metrics', '*/15 * * * *') as job")
    assert supabase.row("select ipai.schedule_sync('sample_metrics', '7 3 * * *') as job") == first
    (job,) = supabase.rows(JOBS)
    assert job["schedule"] == "7 3 * * *"


STORED_SCHEDULES = "select name as mirror, schedule, scheduled_at = now() as now from ipai.mirrors order by name"


def test_schedule_is_stored_with_its_mirror(supabase: Supabase, erp: FaultyOdoo) -> None:
    # The call also registers the built-in mirror.
    connection = supabase.connect()
    for schedule in ("*/15 * * * *", "@daily"):
        with connection.transaction():
            connection.execute("select ipai.schedule_sync('sample_metrics', %s)", [schedule])
            assert connection.execute(STORED_SCHEDULES).fetchall() == [{"mirror": "sample_metrics", "schedule": schedule, "now": True}]
    supabase.add_mirror("other")
    supabase.rows("select ipai.schedule_sync('other', '@weekly'), ipai.unschedule_sync('sample_metrics')")
    assert supabase.rows(STORED_SCHEDULES) == [
        {"mirror": "other", "schedule": "@weekly", "now": False},
        {"mirror": "sample_metrics", "schedule": None, "now": None},
    ]


def test_refused_schedule_keeps_the_previous_one(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.register()
    supabase.rows("select ipai.schedule_sync('sample_metrics', '@daily')")
    refusal(supabase.connect(), "select ipai.schedule_sync('sample_metrics', 'now and then')")
    refusal(supabase.connect(), "select ipai.schedule_sync('sample_metrics', '0 0 32 2 *')")
    assert supabase.row(STORED_SCHEDULES)["schedule"] == "@daily"
    (job,) = supabase.rows(JOBS)
    assert job["schedule"] == "@daily"


def test_restore_schedules_creates_the_missing_jobs(supabase: Supabase, erp: FaultyOdoo) -> None:
    """A dump does not contain pg_cron's jobs."""
    supabase.register()
    for name in ("it''s", "unscheduled"):
        supabase.add_mirror(name.replace("'", ""))
    supabase.rows("update ipai.mirrors set name = 'it''s' where name = 'its'")
    supabase.rows("select ipai.schedule_sync('sample_metrics', '7 3 * * *'), ipai.schedule_sync('it''s', '@daily')")
    jobs = supabase.rows(JOBS)
    supabase.rows("update ipai.mirrors set scheduled_at = scheduled_at - interval '1 year' where schedule is not null")
    supabase.rows("select cron.unschedule(jobid) from cron.job where jobname like '%%metrics'")
    restored = supabase.rows("select * from ipai.restore_schedules()")
    assert [(row["mirror"], row["schedule"]) for row in restored] == [("it's", "@daily"), ("sample_metrics", "7 3 * * *")]
    again = supabase.rows(JOBS)
    assert [row["job"] for row in restored] == [job["jobid"] for job in again]
    assert [{**job, "jobid": None} for job in again] == [{**job, "jobid": None} for job in jobs]
    # The remaining job was kept. No mirror is late because of the missing jobs.
    assert again[0] == jobs[0]
    assert supabase.rows("select mirror from ipai.sync_status where late") == []


def test_schedules_belong_to_the_role_that_created_them(supabase: Supabase, erp: FaultyOdoo) -> None:
    """The jobs run as the role that scheduled them, and other roles do not see them."""
    supabase.rows("select ipai.schedule_sync('sample_metrics', '@daily')")
    before = supabase.rows(STORED_SCHEDULES)
    other = supabase.cluster.superuser
    assert supabase.rows("select * from ipai.restore_schedules()", user=other) == []
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done", user=other) == {"done": False}
    assert supabase.rows(STORED_SCHEDULES) == before
    assert [job["username"] for job in supabase.rows(JOBS, user=other)] == ["postgres"]


def test_refused_schedule_does_not_stop_restoring_the_others(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.register()
    supabase.add_mirror("a_first")
    supabase.rows("select ipai.schedule_sync(name, '@daily') from ipai.mirrors")
    supabase.rows("select cron.unschedule(jobid) from cron.job")
    supabase.rows("update ipai.mirrors set schedule = 'never' where name = 'a_first'")
    first, second = supabase.rows("select * from ipai.restore_schedules()")
    assert (first["mirror"], first["job"], "rejects" in first["problem"]) == ("a_first", None, True)
    assert (second["mirror"], second["problem"]) == ("sample_metrics", None)
    assert second["job"]


def test_mirror_without_its_job_can_be_unscheduled(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select ipai.schedule_sync('sample_metrics', '@daily')")
    supabase.rows("select cron.unschedule(jobid) from cron.job")
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done") == {"done": True}
    assert supabase.rows("select * from ipai.restore_schedules()") == []
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done") == {"done": False}


def test_schedule_at_reboot_is_never_due(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select ipai.schedule_sync('sample_metrics', '@reboot')")
    assert supabase.row("select schedule, next_due, late from ipai.sync_status") == {"schedule": "@reboot", "next_due": None, "late": False}


def test_each_mirror_has_its_own_schedule(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.register()
    supabase.add_mirror("other")
    supabase.rows("update ipai.mirrors set name = 'it''s' where name = 'other'")
    supabase.rows("select ipai.schedule_sync('sample_metrics', '* * * * *'), ipai.schedule_sync('it''s', '@hourly')")
    jobs = {row["jobname"]: row["command"] for row in supabase.rows(JOBS)}
    assert jobs == {
        "ipai_sync it's": "call ipai.run_sync('it''s')",
        "ipai_sync sample_metrics": "call ipai.run_sync('sample_metrics')",
    }
    assert supabase.row("select ipai.unschedule_sync('it''s') as done") == {"done": True}
    assert [row["jobname"] for row in supabase.rows(JOBS)] == ["ipai_sync sample_metrics"]


def test_unschedule_sync_also_removes_a_waiting_sync_now(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select cron.schedule('ipai_sync_report', '0 0 * * *', 'select 1')")
    supabase.rows("select ipai.schedule_sync('sample_metrics', '0 0 1 1 *'), ipai.sync_now('sample_metrics')")
    assert len(supabase.rows(JOBS)) == 3
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done") == {"done": True}
    # The user's own jobs stay.
    assert [row["jobname"] for row in supabase.rows(JOBS)] == ["ipai_sync_report"]
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done") == {"done": False}
    assert supabase.row("select ipai.unschedule_sync('nope') as done") == {"done": False}


def test_run_removes_a_waiting_sync_now(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select ipai.sync_now('sample_metrics'), ipai.sync_now('sample_metrics')")
    assert [row["jobname"] for row in supabase.rows(JOBS)] == ["ipai_sync now sample_metrics"]
    supabase.run()
    assert supabase.rows(JOBS) == []


def test_sync_now_without_a_server_removes_its_job(supabase: Supabase) -> None:
    """Without a server no run is logged, but the job must be removed."""
    supabase.rows("select ipai.sync_now('sample_metrics')")
    with pytest.raises(psycopg.Error):
        supabase.rows("call ipai.run_sync('sample_metrics')")
    assert supabase.rows(JOBS) == []


# Refused calls ------------------------------------------------------------------------------------


def refusal(connection: psycopg.Connection[Any], statement: str) -> tuple[str | None, str, str]:
    """Runs a statement that must fail, and returns SQLSTATE, message and hint."""
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(statement)
    diag = raised.value.diag
    return raised.value.sqlstate, diag.message_primary or "", diag.message_hint or ""


@pytest.mark.parametrize("schedule", ["every day", "", "61 * * * *", "* * * *", "* * * * * * *", "*/15 * * * *; drop table x"])
def test_invalid_schedule_is_refused_immediately(supabase: Supabase, erp: FaultyOdoo, schedule: str) -> None:
    error = refusal(supabase.connect(), f"select ipai.schedule_sync('sample_metrics', '{schedule}')")
    assert error == (
        "22023",
        f'pg_cron rejects the schedule "{schedule}"',
        "Use five fields (minute hour day month weekday) in GMT. For example, */15 * * * * runs every 15 minutes.",
    )
    assert supabase.rows(JOBS) == []


def test_null_schedule_is_refused(supabase: Supabase, erp: FaultyOdoo) -> None:
    sqlstate, message, hint = refusal(supabase.connect(), "select ipai.schedule_sync('sample_metrics', null)")
    assert (sqlstate, message) == ("22023", "schedule must not be null")
    assert "*/15 * * * *" in hint


@pytest.mark.parametrize("call", ["schedule_sync('nope', '* * * * *')", "expect_sync('nope', '* * * * *')", "sync_now('nope')"])
def test_scheduling_an_unknown_mirror_is_refused(supabase: Supabase, erp: FaultyOdoo, call: str) -> None:
    error = refusal(supabase.connect(), f"select ipai.{call}")
    assert error == ("42704", 'mirror "nope" does not exist', "Use the name of a mirror: sample_metrics.")
    assert supabase.rows(JOBS) == []


@pytest.mark.parametrize("call", ["schedule_sync(null, '* * * * *')", "sync_now(null)"])
def test_scheduling_a_null_mirror_is_refused(supabase: Supabase, erp: FaultyOdoo, call: str) -> None:
    assert refusal(supabase.connect(), f"select ipai.{call}")[0] in ("22023", "42704")
    assert supabase.rows(JOBS) == []


# Another scheduler --------------------------------------------------------------------------------


def test_expect_sync_stores_the_schedule_of_another_scheduler(supabase: Supabase, erp: FaultyOdoo) -> None:
    """The schedule is stored, also for a mirror that is not registered yet. pg_cron gets no job."""
    stored = "select schedule, scheduled_by, scheduled_at is not null as since from ipai.mirrors"
    assert supabase.row("select ipai.expect_sync('sample_metrics', '*/15 * * * *') > now() as due") == {"due": True}
    assert supabase.row(stored) == {"schedule": "*/15 * * * *", "scheduled_by": None, "since": True}
    assert supabase.rows(JOBS) == []
    # restore_schedules and unschedule_sync do not affect the stored schedule.
    assert supabase.rows("select * from ipai.restore_schedules()") == []
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done") == {"done": False}
    assert supabase.row(stored)["schedule"] == "*/15 * * * *"
    # A schedule of pg_cron replaces the expectation.
    supabase.rows("select ipai.schedule_sync('sample_metrics', '@hourly')")
    sqlstate, message, hint = refusal(supabase.connect(), "select ipai.expect_sync('sample_metrics', '@daily')")
    assert (sqlstate, message) == ("55006", 'mirror "sample_metrics" has a schedule of pg_cron')
    assert supabase.row(stored)["schedule"] == "@hourly"
    supabase.rows(hint.rpartition(": ")[2])
    supabase.rows("select ipai.expect_sync('sample_metrics', '@daily')")
    assert (supabase.row(stored)["schedule"], supabase.rows(JOBS)) == ("@daily", [])
    supabase.rows("select ipai.expect_sync('sample_metrics', null)")
    assert supabase.row(stored) == {"schedule": None, "scheduled_by": None, "since": False}


@pytest.mark.parametrize(
    "schedule", ["every day", "", "61 * * * *", "* * * *", "* * * * * * *", "*/15 * * * *; drop table x", "0 0 32 2 *", "@reboot"]
)
def test_expect_sync_refuses_invalid_schedules(supabase: Supabase, erp: FaultyOdoo, schedule: str) -> None:
    sqlstate, message, hint = refusal(supabase.connect(), f"select ipai.expect_sync('sample_metrics', '{schedule}')")
    assert (sqlstate, message) == ("22023", f'the schedule "{schedule}" is invalid, or its interval cannot be estimated')
    assert "*/15 * * * *" in hint
    assert supabase.rows("select from ipai.mirrors where schedule is not null") == []


CALLS = (
    "schedule_sync('sample_metrics', '* * * * *')",
    "unschedule_sync('sample_metrics')",
    "sync_now('sample_metrics')",
    "restore_schedules()",
)


def test_schedules_work_without_standard_conforming_strings(supabase: Supabase, erp: FaultyOdoo) -> None:
    connection = supabase.connect()
    connection.execute("set standard_conforming_strings = off")
    connection.execute("select ipai.schedule_sync('sample_metrics', '0 0 1 1 *')")
    assert refusal(connection, "select ipai.schedule_sync('sample_metrics', '0 0 1 1')")[0] == "22023"


def test_error_without_pg_cron_explains_how_to_install_it(supabase: Supabase) -> None:
    supabase.cluster.psql("create database elsewhere")
    try:
        supabase.cluster.psql("create extension ipai_sync", dbname="elsewhere")
        with psycopg.connect(supabase.cluster.dsn("elsewhere", "postgres"), autocommit=True) as connection:
            for call in CALLS:
                sqlstate, message, hint = refusal(connection, f"select ipai.{call}")
                assert (sqlstate, message) == ("42704", "pg_cron is not installed in this database")
                assert hint.startswith("create extension pg_cron;")
            # expect_sync does not need pg_cron.
            connection.execute(
                """insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio)
                   values ('t', 's', 'x', 'public', 't', '[]', 100, 0.2)"""
            )
            connection.execute("select ipai.expect_sync('t', '@hourly')")
            assert connection.execute("select schedule, next_due > now() from ipai.sync_status").fetchall() == [("@hourly", True)]
    finally:
        supabase.cluster.psql("drop database elsewhere")


def test_api_roles_cannot_schedule(supabase: Supabase, erp: FaultyOdoo) -> None:
    for role in ("anon", "authenticated", "service_role"):
        connection = supabase.connect()
        connection.execute(f"set role {role}")
        for call in CALLS:
            assert refusal(connection, f"select ipai.{call}")[0] == "42501"


def test_role_without_access_to_pg_cron_gets_an_error(supabase: Supabase, erp: FaultyOdoo) -> None:
    signatures = (
        "ipai.schedule_sync(text, text), ipai.unschedule_sync(text), ipai.sync_now(text), ipai.restore_schedules(), "
        "ipai.require_cron(), ipai.has_cron(), ipai.require_mirror(text)"
    )
    supabase.rows(f"grant execute on routine {signatures} to service_role")
    try:
        connection = supabase.connect()
        connection.execute("set role service_role")
        for call in CALLS:
            assert refusal(connection, f"select ipai.{call}") == (
                "42501",
                "permission denied for pg_cron",
                "On Supabase, call this as postgres. Elsewhere: grant usage on schema cron to service_role;",
            )
    finally:
        supabase.rows(f"revoke execute on routine {signatures} from service_role")
