"""Tests that many mirrors without changes cost little: requests, connections, alerts and checks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.faulty import MODEL, Exchange, FaultyOdoo, delayed, metric, returning
from support.supabase import Supabase

#: More than check_connection counts one by one.
MIRRORS = 25


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[FaultyOdoo]:
    with FaultyOdoo([metric(1), metric(2)]) as server:
        supabase.server(server.url)
        yield server


@pytest.fixture
def mirrors(supabase: Supabase, erp: FaultyOdoo) -> Supabase:
    """Registers three mirrors that have never run."""
    supabase.register()
    for name in ("one", "two"):
        supabase.add_mirror(name)
    return supabase


def test_mirrors_of_a_server_share_login_and_identity_check(mirrors: Supabase, erp: FaultyOdoo) -> None:
    mirrors.rows("call ipai.run_sync()")
    calls = erp.take_calls()
    assert (calls.count("authenticate"), calls.count("info"), calls.count("read")) == (1, 1, 1)
    assert calls.count("fields_get") == 3


def test_idle_mirror_costs_two_requests(mirrors: Supabase, erp: FaultyOdoo) -> None:
    mirrors.rows("call ipai.run_sync()")
    erp.take_calls()
    mirrors.rows("call ipai.run_sync()")
    assert erp.take_calls() == ["search_read", "search_count"] * 3


def test_mirror_of_an_empty_model_costs_two_requests(mirrors: Supabase, erp: FaultyOdoo) -> None:
    erp.records = []
    mirrors.run()
    erp.take_calls()
    run = mirrors.run()
    assert (run["mode"], run["fetched"], erp.take_calls()) == ("incremental", 0, ["search_read", "search_count"])
    erp.records = [metric(7, write_date=f"{run['started_at']:%F %T}")]
    run = mirrors.run()
    assert (run["mode"], run["inserted"], run["mirror_count"]) == ("incremental", 1, 1)


def test_each_run_reads_its_own_clock_of_odoo(mirrors: Supabase, erp: FaultyOdoo) -> None:
    mirrors.rows("update ipai.mirrors set enabled = name <> 'sample_metrics'")
    erp.on("search_count", delayed(1.1))
    mirrors.rows("call ipai.run_sync()")
    assert mirrors.last_run("one")["odoo_clock"] < mirrors.last_run("two")["odoo_clock"]


def test_changed_password_reaches_the_next_mirror(mirrors: Supabase, erp: FaultyOdoo) -> None:
    """The second run looks up its connection anew, although it could share that of the first."""

    def change_password(exchange: Exchange) -> None:
        # Before the answer: the next run begins after it.
        mirrors.rows("select ipai.set_odoo_password('odoo', 'new')")
        body = exchange.answer()
        erp.password = "new"
        exchange.send(200, {}, body)

    mirrors.rows("call ipai.run_sync()")
    erp.on("search_count", change_password, times=1)
    mirrors.rows("call ipai.run_sync()")
    states = mirrors.rows("select distinct on (mirror) state from ipai.sync_runs order by mirror, run desc")
    assert states == [{"state": "succeeded"}] * 3


def test_alerts_are_evaluated_once_in_a_call(mirrors: Supabase) -> None:
    admin = mirrors.cluster
    admin.psql("alter database postgres set track_functions = 'pl'")
    try:
        with mirrors.connect() as connection:
            connection.execute("call ipai.run_sync()")
        calls = "select coalesce(max(calls), 0) as calls from pg_stat_user_functions where funcname = 'notify_alerts'"
        assert mirrors.row(calls) == {"calls": 1}
    finally:
        admin.psql("alter database postgres reset track_functions")


@pytest.fixture
def many(mirrors: Supabase, erp: FaultyOdoo) -> Supabase:
    for number in range(MIRRORS - 3):
        mirrors.add_mirror(f"m{number}")
    mirrors.rows("call ipai.run_sync()")
    erp.take_calls()
    return mirrors


def test_doctor_summarizes_what_is_well(many: Supabase) -> None:
    trust = """select object, state, finding, remedy from ipai.doctor({}) where "check" = 'trust'"""
    finding = f"{MIRRORS} objects are ok: runs execute only code of roles that they trust"
    assert many.rows(trust.format("")) == [{"object": None, "state": "ok", "finding": finding, "remedy": None}]
    assert len(many.rows(trust.format("include_ok => true"))) == MIRRORS
    many.rows("alter table ipai.one_rows enable row level security")
    rows = many.rows("""select object, state, finding from ipai.doctor() where "check" = 'row-level security' order by state""")
    assert rows[0] == {"object": None, "state": "ok", "finding": "2 objects are ok: on"}
    assert {row["object"] for row in rows[1:]} == {f"ipai.{name}_rows" for name in ("two", *(f"m{n}" for n in range(MIRRORS - 3)))}


def test_check_connection_summarizes_readable_models(many: Supabase, erp: FaultyOdoo) -> None:
    erp.on("get_available_models", returning([{"model": MODEL, "display_name": "Metric"}]))
    (row,) = many.rows("select * from ipai.check_connection()")
    assert (row["model"], row["readable"], row["problem"]) == (None, True, None)
    assert f"{MIRRORS} mirrors" in row["hint"]
    assert "search_count" not in erp.take_calls()


def test_check_connection_asks_for_models_that_odoo_does_not_list(many: Supabase, erp: FaultyOdoo) -> None:
    many.rows("update ipai.mirrors set model = 'x.gone' where name = 'one'")
    erp.on("get_available_models", returning([{"model": MODEL, "display_name": "Metric"}]))
    summary, missing = many.rows("select * from ipai.check_connection()")
    assert (summary["readable"], missing["model"], missing["readable"]) == (True, "x.gone", False)
    assert missing["problem"]
