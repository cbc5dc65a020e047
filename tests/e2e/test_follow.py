"""Tests followers: they apply changes in a real Odoo within about a second."""

from __future__ import annotations

import itertools
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from harness import shell
from harness.odoo import MODULES, Odoo, generate_metrics
from support.changing import ChangingOdoo
from support.comparison import MODEL, assert_equal, differences, sql
from support.faulty import metric
from support.program import ProgramSupabase
from support.sessions import running_statement, statement_error, wait_for_pages
from support.supabase import ROWS, Supabase

#: Values that no record has.
NUMBERS = itertools.count(2_000_000)

#: What a simulated Odoo has.
RECORDS = [metric(number) for number in range(1, 20)]

SAMPLE = {"name": "Live ☕", "code": "LIVE", "unit": "count", "value": 4.5}


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    """An Odoo with the addon, and the metrics."""
    with Odoo(modules=MODULES) as odoo:
        generate_metrics(odoo, ROWS)
        yield odoo


@pytest.fixture
def mirrored(supabase: Supabase, erp: Odoo) -> Supabase:
    """A mirror that a full run has filled."""
    supabase.fill_from(erp)
    return supabase


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    shell.wait_until(condition, "what the test expects", seconds=seconds)


@pytest.fixture
def follower(mirrored: Supabase) -> Iterator[psycopg.Connection[Any]]:
    """A connection that follows the mirror until the end of the test."""
    connection = mirrored.connect()
    with ThreadPoolExecutor(1) as executor:
        following = executor.submit(connection.execute, "call ipai.follow_sync(during => null)")
        wait_for(lambda: following.done() or mirrored.rows("select from ipai.followers where polled_at is not null"))
        assert not following.done(), following.exception()
        yield connection
        mirrored.cancel(connection)
        with pytest.raises(psycopg.errors.QueryCanceled):
            following.result()


def names(supabase: Supabase, odoo_id: int) -> list[str]:
    return [row["name"] for row in supabase.rows("select name from ipai.ipai_sample_metrics where odoo_id = %s", odoo_id)]


def test_follower_applies_changes_at_once(mirrored: Supabase, erp: Odoo, follower: psycopg.Connection[Any]) -> None:
    created = erp.rpc(MODEL, "create", SAMPLE)
    wait_for(lambda: names(mirrored, created) == ["Live ☕"], 2)
    erp.rpc(MODEL, "write", [created], {"name": "Renamed"})
    wait_for(lambda: names(mirrored, created) == ["Renamed"], 2)
    erp.rpc(MODEL, "unlink", [created])
    wait_for(lambda: names(mirrored, created) == [], 2)
    assert_equal(mirrored, erp)
    run = mirrored.last_run()
    assert (run["mode"], run["state"], run["odoo_count"] - run["mirror_count"]) == ("live", "succeeded", 0)
    status = mirrored.row("select state, followed_since, last_poll, latency, late from ipai.sync_status where mirror = 'sample_metrics'")
    assert status["state"] == "ok" and not status["late"] and status["followed_since"] and status["last_poll"]
    assert 0 <= status["latency"].total_seconds() < 4


def test_poll_without_changes_writes_nothing(mirrored: Supabase, follower: psycopg.Connection[Any]) -> None:
    def written() -> tuple[Any, ...]:
        return tuple(
            mirrored.row(
                "select (select max(xmin::text::bigint) from ipai.mirror_state) as state, (select max(run) from ipai.run_log) as run"
            ).values()
        )

    before = written()
    time.sleep(3)
    assert written() == before


def test_stopped_follower_is_forgotten(mirrored: Supabase, erp: Odoo) -> None:
    mirrored.rows("call ipai.follow_sync(during => '2 seconds', every => '0.5 seconds')")
    (row,) = mirrored.rows("select server, mirrors, problem from ipai.followers")
    assert row == {"server": "odoo", "mirrors": ["sample_metrics"], "problem": None}
    # pg_cron starts the next one. If it does not, the mirror is late.
    alerts = "select kind, message from ipai.sync_alerts where mirror = 'sample_metrics'"
    assert mirrored.rows(alerts) == []
    mirrored.rows("update ipai.followers set polled_at = now() - interval '3 minutes'")
    (alert,) = mirrored.rows(alerts)
    assert alert["kind"] == "late" and "no follower has polled Odoo since" in alert["message"]
    mirrored.rows("call ipai.follow_sync(during => '1 second')")
    assert mirrored.rows(alerts) == []


def test_second_follower_waits_for_its_turn(mirrored: Supabase, erp: Odoo, follower: psycopg.Connection[Any]) -> None:
    before = mirrored.row("select since from ipai.followers")
    mirrored.rows("call ipai.follow_sync(during => '1 second')")
    assert mirrored.row("select since from ipai.followers") == before


def test_run_and_follower_respect_each_other(mirrored: Supabase, erp: Odoo, follower: psycopg.Connection[Any]) -> None:
    created = erp.rpc(MODEL, "create", SAMPLE)
    for _ in range(5):
        with suppress(psycopg.errors.LockNotAvailable):
            mirrored.rows("call ipai.run_sync('sample_metrics', 'full')")
        erp.rpc(MODEL, "write", [created], {"value": next(NUMBERS)})
    wait_for(lambda: not differences(mirrored, erp), 3)
    erp.rpc(MODEL, "unlink", [created])


def test_failing_mirror_does_not_hold_up_the_others(mirrored: Supabase, erp: Odoo) -> None:
    mirrored.add_mirror("broken")
    mirrored.rows("call ipai.run_sync()")
    mirrored.rows(
        "alter table ipai.broken_rows add constraint none check (name <> 'Never') not valid; update ipai.mirrors set max_rejects = 0 where name = 'broken'"
    )
    connection = mirrored.connect()
    with ThreadPoolExecutor(1) as executor:
        following = executor.submit(connection.execute, "call ipai.follow_sync(during => '6 seconds')")
        wait_for(lambda: bool(mirrored.rows("select from ipai.followers")))
        created = erp.rpc(MODEL, "create", {**SAMPLE, "name": "Never"})
        wait_for(lambda: names(mirrored, created) == ["Never"], 3)
        erp.rpc(MODEL, "write", [created], {"notes": "again"})
        wait_for(lambda: mirrored.rows("select from ipai.ipai_sample_metrics where odoo_id = %s and notes = 'again'", created) != [], 3)
        following.result()
    assert mirrored.row("select failures > 0 as failing from ipai.sync_status where mirror = 'broken'") == {"failing": True}
    # Pauses grow after each failure.
    assert mirrored.row("select count(*) as n from ipai.run_log where mirror = 'broken' and state = 'failed'")["n"] <= 3
    erp.rpc(MODEL, "unlink", [created])


@contextmanager
def follower_with_silent_server(supabase: Supabase) -> Iterator[threading.Event]:
    """Follows the server and a second one, which answers no poll before the event is set."""
    is_asked, answers = threading.Event(), threading.Event()

    def wait(_: list[str]) -> dict[str, Any]:
        is_asked.set()
        assert answers.wait(60)
        return {"state": "same", "token": "first"}

    with ChangingOdoo(RECORDS) as silent:
        supabase.server(silent.url, name="silent", timeout="60")
        supabase.add_mirror("of_silent", server="silent")
        supabase.run("'of_silent'")
        silent.reply = wait
        connection = supabase.connect()
        try:
            with running_statement(supabase, connection, "call ipai.follow_sync(during => null)") as following:
                assert is_asked.wait(10)
                yield answers
                supabase.cancel(connection)
                statement_error(following)
        finally:
            answers.set()


def test_silent_server_does_not_hold_up_the_others(mirrored: Supabase, erp: Odoo) -> None:
    with follower_with_silent_server(mirrored) as answers:
        created = erp.rpc(MODEL, "create", SAMPLE)
        wait_for(lambda: names(mirrored, created) == ["Live ☕"], 5)
        erp.rpc(MODEL, "write", [created], {"name": "Renamed"})
        wait_for(lambda: names(mirrored, created) == ["Renamed"], 2)
        assert mirrored.rows("select server from ipai.followers where polled_at is not null") == [{"server": "odoo"}]
        answers.set()
        wait_for(lambda: len(mirrored.rows("select from ipai.followers where polled_at is not null")) == 2)
    erp.rpc(MODEL, "unlink", [created])


def test_silent_server_is_left_for_its_new_address(mirrored: Supabase, erp: Odoo) -> None:
    with ChangingOdoo(RECORDS) as other, follower_with_silent_server(mirrored):
        mirrored.set_url(other.url, "silent")
        wait_for(lambda: other.requests, 20)


def test_unchanged_mirrors_cost_one_request_although_one_fails(mirrored: Supabase, erp: Odoo) -> None:
    def requests() -> int:
        return erp.log.read_text(errors="replace").count('"POST /')

    for number in range(3):
        mirrored.add_mirror(f"other{number}")
    for _ in range(2):
        mirrored.rows("call ipai.run_sync()")
        sql(erp, "select txid_current()")
    mirrored.rows("drop table ipai.other1_rows")
    before = requests()
    with pytest.raises(psycopg.errors.UndefinedTable):
        mirrored.rows("call ipai.run_sync()")
    wait_for(lambda: requests() > before)
    assert requests() == before + 1
    last = "select distinct on (mirror) mirror, state from ipai.run_log order by mirror, run desc"
    assert {row["mirror"]: row["state"] for row in mirrored.rows(last)} == {
        **dict.fromkeys(("other0", "other2", "sample_metrics"), "succeeded"),
        "other1": "failed",
    }


def test_follower_resumes_after_odoo_was_away(mirrored: Supabase, erp: Odoo, follower: psycopg.Connection[Any]) -> None:
    erp.restart()
    created = erp.rpc(MODEL, "create", SAMPLE)
    wait_for(lambda: names(mirrored, created) == ["Live ☕"], 20)
    erp.rpc(MODEL, "unlink", [created])


def test_running_follower_uses_a_changed_password(mirrored: Supabase, erp: Odoo, follower: psycopg.Connection[Any]) -> None:
    """Odoo still accepts the old password, which the connection of the follower holds."""
    mirrored.rows("select ipai.set_odoo_password('odoo', 'another')")
    wait_for(lambda: mirrored.rows("select from ipai.followers where problem like '%authentication failed%'"), 25)
    mirrored.rows("select ipai.set_odoo_password('odoo', 'admin')")
    created = erp.rpc(MODEL, "create", SAMPLE)
    wait_for(lambda: names(mirrored, created) == ["Live ☕"], 25)
    erp.rpc(MODEL, "unlink", [created])


def test_mirror_is_followed_at_once_after_an_interrupted_run(mirrored: Supabase, erp: Odoo) -> None:
    mirrored.rows("update ipai.mirrors set page_size = 20")
    connection = mirrored.connect()
    with running_statement(mirrored, connection, "call ipai.run_sync('sample_metrics', 'full')") as call:
        wait_for_pages(mirrored, 2)
        mirrored.cancel(connection)
        statement_error(call)
    with running_statement(mirrored, mirrored.connect(), "call ipai.follow_sync(during => '10 seconds')") as following:
        wait_for(lambda: mirrored.last_run()["resumes"] is None and mirrored.last_run()["state"] == "succeeded")
        created = erp.rpc(MODEL, "create", SAMPLE)
        wait_for(lambda: names(mirrored, created) == ["Live ☕"], 3)
        following.result()
    erp.rpc(MODEL, "unlink", [created])


def test_follow_sync_needs_its_own_transaction(mirrored: Supabase) -> None:
    with mirrored.connect().transaction(), pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        mirrored.connect().execute("begin; call ipai.follow_sync()")


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("'{null}'", "22023", "mirrors must not contain a null"),
        ("'{nothing}'", "42704", 'mirror "nothing" does not exist'),
        ("every => '0 seconds'", "22023", "every must be greater than zero"),
        ("during => '-1 second'", "22023", "during must be greater than zero"),
    ],
)
def test_wrong_arguments_are_refused(supabase: Supabase, arguments: str, sqlstate: str, message: str) -> None:
    with pytest.raises(psycopg.Error) as raised:
        supabase.rows(f"call ipai.follow_sync({arguments})")
    assert (raised.value.sqlstate, raised.value.diag.message_primary) == (sqlstate, message)
    assert raised.value.diag.message_hint


def test_long_pause_ends_with_the_call(mirrored: Supabase) -> None:
    mirrored.rows("call ipai.follow_sync(every => '290000 years', during => '1 second')")


def test_program_follows_until_it_is_stopped(hosted_supabase: ProgramSupabase, erp: Odoo) -> None:
    hosted_supabase.fill_from(erp)
    program = hosted_supabase.start("follow")
    try:
        wait_for(lambda: hosted_supabase.rows("select from ipai.followers where polled_at is not null"))
        created = erp.rpc(MODEL, "create", SAMPLE)
        wait_for(lambda: names(hosted_supabase, created) == ["Live ☕"], 2)
        erp.rpc(MODEL, "unlink", [created])
        wait_for(lambda: names(hosted_supabase, created) == [], 2)
    finally:
        program.process.send_signal(signal.SIGTERM)
        ended = program.wait()
    assert ended.status == 0, ended.stderr
    assert "sample_metrics: live, 1 read, 1 inserted" in ended.stdout
    # An operator has ended it.
    assert hosted_supabase.rows("select from ipai.followers") == []
    assert hosted_supabase.rows("select from pg_locks where locktype = 'advisory'") == []


def test_program_serves_figures_while_it_follows(hosted_supabase: ProgramSupabase, erp: Odoo) -> None:
    hosted_supabase.fill_from(erp)
    port = shell.free_port()
    program = hosted_supabase.start("follow", "--metrics", f"127.0.0.1:{port}")
    try:
        wait_for(lambda: hosted_supabase.rows("select from ipai.followers where polled_at is not null"))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            figures = answer.read().decode()
        assert f'ipai_mirror_rows{{mirror="sample_metrics"}} {len(hosted_supabase.mirror())}\n' in figures
        assert "# TYPE ipai_mirror_last_poll_timestamp_seconds gauge\n" in figures
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        taken = hosted_supabase.start("follow", "--metrics", f"127.0.0.1:{port}").wait()
        assert taken.status == 1 and f"cannot listen at 127.0.0.1:{port}" in taken.stderr
    finally:
        program.process.send_signal(signal.SIGTERM)
        ended = program.wait()
    assert ended.status == 0, ended.stderr
