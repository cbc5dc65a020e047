"""Scheduling over pg_cron: runs that begin by themselves, and errors that say what to do."""

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
#: A minute may have just begun, and runs take their time.
A_MINUTE = 90


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[FaultyOdoo]:
    with FaultyOdoo([metric(1), metric(2)]) as server:
        supabase.server(server.url)
        yield server


# What happens within a minute -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Minute:
    """What was found after pg_cron had run three jobs: one that works, one that fails, one of sync_now."""

    created: int
    mirror: list[dict[str, Any]]
    runs: dict[str, dict[str, Any]]
    #: pg_cron's own record of each job's last run, by mirror.
    details: dict[str, dict[str, Any]]
    #: The job of sync_now, before its run and after.
    once_before: list[dict[str, Any]]
    once_after: list[dict[str, Any]]
    once_runs: int
    everything: str


@pytest.fixture(scope="module")
def minute(_supabase: Supabase, odoo: Odoo) -> Minute:
    """All of it at once, because pg_cron begins on the minute only."""
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
            # Six seconds, in which pg_cron sees that the job is gone.
            supabase.rows("update ipai.mirrors set page_size = 1 where name = 'once'")
            created = odoo.rpc(MODEL, "create", {"name": "Picked up by itself", "code": "CRON", "value": 1, "unit": "count"})
            supabase.rows("select ipai.schedule_sync('sample_metrics', '* * * * *'), ipai.schedule_sync('failing', '* * * * *')")
            supabase.rows("select ipai.sync_now('once')")
            return observed(supabase, created)
    finally:
        supabase.reset()


def observed(supabase: Supabase, created: int) -> Minute:
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

    def detailed() -> bool:
        for row in supabase.rows("select * from cron.job_run_details where status in ('succeeded', 'failed') order by runid desc"):
            details[row["command"].split("'")[1]] = row
        return {"sample_metrics", "failing", "once"} <= details.keys()

    shell.wait_until(detailed, "pg_cron's record of the runs", seconds=10)
    return Minute(
        created=created,
        mirror=supabase.rows(mirror, created),
        runs={name: supabase.last_run(name) for name in ("sample_metrics", "failing", "once")},
        details=details,
        once_before=once_before,
        once_after=supabase.rows(once),
        once_runs=supabase.row("select count(*) from ipai.sync_runs where mirror = 'once'")["count"],
        everything=str(supabase.rows("select * from ipai.run_log")) + str(supabase.rows("select * from cron.job_run_details")),
    )


def test_a_change_in_odoo_arrives_by_itself(minute: Minute) -> None:
    assert minute.mirror == [{"odoo_id": minute.created, "name": "Picked up by itself"}]
    run = minute.runs["sample_metrics"]
    assert (run["mode"], run["state"], run["odoo_count"] - run["mirror_count"]) == ("incremental", "succeeded", 0)
    assert minute.details["sample_metrics"]["status"] == "succeeded"
    assert minute.details["sample_metrics"]["username"] == "postgres"


def test_a_failing_run_shows_in_both_logs_with_the_same_error(minute: Minute) -> None:
    run, detail = minute.runs["failing"], minute.details["failing"]
    assert (run["state"], run["sqlstate"], run["message"]) == ("failed", "28P01", "Odoo authentication failed")
    assert detail["status"] == "failed"
    for text in (run["message"], run["detail"], run["hint"]):
        assert text in detail["return_message"]
    assert PASSWORD not in minute.everything


def test_sync_now_runs_once_to_its_end_and_its_job_is_gone(minute: Minute) -> None:
    (job,) = minute.once_before
    assert (job["command"], job["username"]) == ("call ipai.run_sync('once')", "postgres")
    assert minute.once_after == []
    run = minute.runs["once"]
    assert (run["state"], run["message"], run["mirror_count"]) == ("succeeded", None, 8)
    assert minute.once_runs == 1
    assert minute.details["once"]["status"] == "succeeded"


# Schedules ----------------------------------------------------------------------------------------------------------------------------


def test_a_schedule_is_a_job_of_pg_cron(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.register()
    job = supabase.row("select ipai.schedule_sync('sample_metrics', '*/15 * * * *') as job")["job"]
    assert supabase.rows(JOBS) == [
        {
            **{"jobid": job, "jobname": "ipai_sync sample_metrics", "schedule": "*/15 * * * *"},
            **{"command": "call ipai.run_sync('sample_metrics')", "database": "postgres", "username": "postgres", "active": True},
        }
    ]


def test_scheduling_again_changes_the_schedule(supabase: Supabase, erp: FaultyOdoo) -> None:
    first = supabase.row("select ipai.schedule_sync('sample_metrics', '*/15 * * * *') as job")
    assert supabase.row("select ipai.schedule_sync('sample_metrics', '7 3 * * *') as job") == first
    (job,) = supabase.rows(JOBS)
    assert job["schedule"] == "7 3 * * *"


KEPT = "select name as mirror, schedule, scheduled_at = now() as now from ipai.mirrors order by name"


def test_a_schedule_is_kept_with_its_mirror(supabase: Supabase, erp: FaultyOdoo) -> None:
    # The built-in mirror is registered by it.
    connection = supabase.connect()
    for schedule in ("*/15 * * * *", "@daily"):
        with connection.transaction():
            connection.execute("select ipai.schedule_sync('sample_metrics', %s)", [schedule])
            assert connection.execute(KEPT).fetchall() == [{"mirror": "sample_metrics", "schedule": schedule, "now": True}]
    supabase.add_mirror("other")
    supabase.rows("select ipai.schedule_sync('other', '@weekly'), ipai.unschedule_sync('sample_metrics')")
    assert supabase.rows(KEPT) == [
        {"mirror": "other", "schedule": "@weekly", "now": False},
        {"mirror": "sample_metrics", "schedule": None, "now": None},
    ]


def test_a_schedule_that_is_not_taken_is_not_kept(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.register()
    supabase.rows("select ipai.schedule_sync('sample_metrics', '@daily')")
    refusal(supabase.connect(), "select ipai.schedule_sync('sample_metrics', 'now and then')")
    refusal(supabase.connect(), "select ipai.schedule_sync('sample_metrics', '0 0 31 2 *')")
    assert supabase.row(KEPT)["schedule"] == "@daily"
    (job,) = supabase.rows(JOBS)
    assert job["schedule"] == "@daily"


def test_one_call_makes_the_jobs_again(supabase: Supabase, erp: FaultyOdoo) -> None:
    """After a restore: pg_cron's jobs are not in the dump."""
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
    # The one that was still there stayed; none is late for what it could not do.
    assert again[0] == jobs[0]
    assert supabase.rows("select mirror from ipai.sync_status where late") == []


def test_schedules_belong_to_whoever_made_them(supabase: Supabase, erp: FaultyOdoo) -> None:
    """Their jobs run as that role, and no other one sees them."""
    supabase.rows("select ipai.schedule_sync('sample_metrics', '@daily')")
    kept = supabase.rows(KEPT)
    other = supabase.cluster.superuser
    assert supabase.rows("select * from ipai.restore_schedules()", user=other) == []
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done", user=other) == {"done": False}
    assert supabase.rows(KEPT) == kept
    assert [job["username"] for job in supabase.rows(JOBS, user=other)] == ["postgres"]


def test_a_schedule_that_is_refused_keeps_no_other_from_being_made_again(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.register()
    supabase.add_mirror("a_first")
    supabase.rows("select ipai.schedule_sync(name, '@daily') from ipai.mirrors")
    supabase.rows("select cron.unschedule(jobid) from cron.job")
    supabase.rows("update ipai.mirrors set schedule = 'never' where name = 'a_first'")
    first, second = supabase.rows("select * from ipai.restore_schedules()")
    assert (first["mirror"], first["job"], "rejects" in first["problem"]) == ("a_first", None, True)
    assert (second["mirror"], second["problem"]) == ("sample_metrics", None)
    assert second["job"]


def test_a_lost_job_can_be_unscheduled(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select ipai.schedule_sync('sample_metrics', '@daily')")
    supabase.rows("select cron.unschedule(jobid) from cron.job")
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done") == {"done": True}
    assert supabase.rows("select * from ipai.restore_schedules()") == []
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done") == {"done": False}


def test_a_run_when_the_server_starts_is_never_due(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select ipai.schedule_sync('sample_metrics', '@reboot')")
    assert supabase.row("select schedule, next_due, late from ipai.sync_status") == {"schedule": "@reboot", "next_due": None, "late": False}


def test_each_mirror_has_a_schedule_of_its_own(supabase: Supabase, erp: FaultyOdoo) -> None:
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


def test_unscheduling_takes_a_waiting_sync_now_too_and_says_whether_there_was_anything(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select cron.schedule('ipai_sync_report', '0 0 * * *', 'select 1')")
    supabase.rows("select ipai.schedule_sync('sample_metrics', '0 0 1 1 *'), ipai.sync_now('sample_metrics')")
    assert len(supabase.rows(JOBS)) == 3
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done") == {"done": True}
    # The user's own jobs stay.
    assert [row["jobname"] for row in supabase.rows(JOBS)] == ["ipai_sync_report"]
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done") == {"done": False}
    assert supabase.row("select ipai.unschedule_sync('nope') as done") == {"done": False}


def test_any_run_takes_a_waiting_sync_now_away(supabase: Supabase, erp: FaultyOdoo) -> None:
    supabase.rows("select ipai.sync_now('sample_metrics'), ipai.sync_now('sample_metrics')")
    assert [row["jobname"] for row in supabase.rows(JOBS)] == ["ipai_sync now sample_metrics"]
    supabase.run()
    assert supabase.rows(JOBS) == []


def test_a_sync_now_that_cannot_begin_is_not_tried_for_ever(supabase: Supabase) -> None:
    """Without any server there is no run to record, but the job must go all the same."""
    supabase.rows("select ipai.sync_now('sample_metrics')")
    with pytest.raises(psycopg.Error):
        supabase.rows("call ipai.run_sync('sample_metrics')")
    assert supabase.rows(JOBS) == []


# What is refused ----------------------------------------------------------------------------------------------------------------------


def refusal(connection: psycopg.Connection[Any], statement: str) -> tuple[str | None, str, str]:
    """SQLSTATE, message and hint of the error by which the statement fails."""
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(statement)
    diag = raised.value.diag
    return raised.value.sqlstate, diag.message_primary or "", diag.message_hint or ""


@pytest.mark.parametrize("schedule", ["every day", "", "61 * * * *", "* * * *", "* * * * * * *", "*/15 * * * *; drop table x"])
def test_a_bad_schedule_is_refused_when_it_is_typed(supabase: Supabase, erp: FaultyOdoo, schedule: str) -> None:
    error = refusal(supabase.connect(), f"select ipai.schedule_sync('sample_metrics', '{schedule}')")
    assert error == (
        "22023",
        f'pg_cron rejects the schedule "{schedule}"',
        "Use five fields (minute hour day month weekday) in GMT. For example, */15 * * * * runs every 15 minutes.",
    )
    assert supabase.rows(JOBS) == []


@pytest.mark.parametrize("schedule", ["0 0 31 2 *", "0 0 30 feb *"])
def test_a_schedule_that_never_comes_is_refused(supabase: Supabase, erp: FaultyOdoo, schedule: str) -> None:
    error = refusal(supabase.connect(), f"select ipai.schedule_sync('sample_metrics', '{schedule}')")
    assert error[:2] == ("22023", f'the schedule "{schedule}" has no run')
    assert supabase.rows(JOBS) == []


def test_a_null_schedule_is_refused(supabase: Supabase, erp: FaultyOdoo) -> None:
    sqlstate, message, hint = refusal(supabase.connect(), "select ipai.schedule_sync('sample_metrics', null)")
    assert (sqlstate, message) == ("22023", "schedule must not be null")
    assert "*/15 * * * *" in hint


@pytest.mark.parametrize("call", ["schedule_sync('nope', '* * * * *')", "expect_sync('nope', '* * * * *')", "sync_now('nope')"])
def test_a_mirror_that_does_not_exist_is_refused(supabase: Supabase, erp: FaultyOdoo, call: str) -> None:
    error = refusal(supabase.connect(), f"select ipai.{call}")
    assert error == ("42704", 'mirror "nope" does not exist', "Use the name of a mirror: sample_metrics.")
    assert supabase.rows(JOBS) == []


@pytest.mark.parametrize("call", ["schedule_sync(null, '* * * * *')", "sync_now(null)"])
def test_a_null_mirror_is_refused(supabase: Supabase, erp: FaultyOdoo, call: str) -> None:
    assert refusal(supabase.connect(), f"select ipai.{call}")[0] in ("22023", "42704")
    assert supabase.rows(JOBS) == []


# Another scheduler ---------------------------------------------------------------------------------------------------------------------


def test_what_is_expected_of_another_scheduler(supabase: Supabase, erp: FaultyOdoo) -> None:
    """It is kept, of a mirror that is not registered yet as well; pg_cron does nothing."""
    stored = "select schedule, scheduled_by, scheduled_at is not null as since from ipai.mirrors"
    assert supabase.row("select ipai.expect_sync('sample_metrics', '*/15 * * * *') > now() as due") == {"due": True}
    assert supabase.row(stored) == {"schedule": "*/15 * * * *", "scheduled_by": None, "since": True}
    assert supabase.rows(JOBS) == []
    # Nothing that a restore would have to make, or a role could take away.
    assert supabase.rows("select * from ipai.restore_schedules()") == []
    assert supabase.row("select ipai.unschedule_sync('sample_metrics') as done") == {"done": False}
    assert supabase.row(stored)["schedule"] == "*/15 * * * *"
    # pg_cron takes over, and one scheduler is enough.
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
    "schedule", ["every day", "", "61 * * * *", "* * * *", "* * * * * * *", "*/15 * * * *; drop table x", "0 0 31 2 *", "@reboot"]
)
def test_what_cannot_be_expected_is_refused(supabase: Supabase, erp: FaultyOdoo, schedule: str) -> None:
    sqlstate, message, hint = refusal(supabase.connect(), f"select ipai.expect_sync('sample_metrics', '{schedule}')")
    assert (sqlstate, message) == ("22023", f'the schedule "{schedule}" is invalid or has no run')
    assert "*/15 * * * *" in hint
    assert supabase.rows("select from ipai.mirrors where schedule is not null") == []


CALLS = (
    "schedule_sync('sample_metrics', '* * * * *')",
    "unschedule_sync('sample_metrics')",
    "sync_now('sample_metrics')",
    "restore_schedules()",
)


def test_without_pg_cron_the_error_says_how_to_get_it(supabase: Supabase) -> None:
    supabase.cluster.psql("create database elsewhere")
    try:
        supabase.cluster.psql("create extension ipai_sync", dbname="elsewhere")
        with psycopg.connect(supabase.cluster.dsn("elsewhere", "postgres"), autocommit=True) as connection:
            for call in CALLS:
                sqlstate, message, hint = refusal(connection, f"select ipai.{call}")
                assert (sqlstate, message) == ("42704", "pg_cron is not installed in this database")
                assert hint.startswith("create extension pg_cron;")
            # Another scheduler needs none.
            connection.execute(
                """insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio)
                   values ('t', 's', 'x', 'public', 't', '[]', 100, 0.2)"""
            )
            connection.execute("select ipai.expect_sync('t', '@hourly')")
            assert connection.execute("select schedule, next_due > now() from ipai.sync_status").fetchall() == [("@hourly", True)]
    finally:
        supabase.cluster.psql("drop database elsewhere")


def test_api_roles_may_not_schedule(supabase: Supabase, erp: FaultyOdoo) -> None:
    for role in ("anon", "authenticated", "service_role"):
        connection = supabase.connect()
        connection.execute(f"set role {role}")
        for call in CALLS:
            assert refusal(connection, f"select ipai.{call}")[0] == "42501"


def test_a_role_that_may_not_use_pg_cron_is_told_so(supabase: Supabase, erp: FaultyOdoo) -> None:
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
