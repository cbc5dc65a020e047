"""Tests reading through Odoo's addon `ipai_sync`.

A run with the addon needs fewer requests and has the same result. No fault of the addon may lose a
row.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator

import psycopg
import pytest

from support.faulty import Behaviour, FaultyOdoo, encode_export, fault, metric, never_respond, recorded, returning, status
from support.supabase import Supabase

pytestmark = pytest.mark.both_protocols

ROWS = 30


@pytest.fixture
def erp() -> Iterator[FaultyOdoo]:
    """A scripted Odoo with the addon."""
    with FaultyOdoo([metric(n) for n in range(1, ROWS + 1)], addon=True) as server:
        yield server


@pytest.fixture
def connected(supabase: Supabase, erp: FaultyOdoo) -> Supabase:
    """A database with an empty mirror in pages of ten records."""
    supabase.server(erp.url)
    supabase.register(page_size=10)
    return supabase


def assert_equal(supabase: Supabase, erp: FaultyOdoo) -> None:
    found = {row["odoo_id"]: (row["name"], float(row["value"]), row["active"]) for row in supabase.mirror()}
    assert found == {record["id"]: (record["name"], record["value"], record["active"]) for record in erp.records}


def notices(supabase: Supabase, statement: str) -> list[str]:
    """Runs a statement, and returns its warnings."""
    found: list[str] = []
    connection = supabase.connect()
    connection.add_notice_handler(lambda notice: found.append(f"{notice.severity}: {notice.message_primary}"))
    connection.execute(statement)
    return [notice for notice in found if notice.startswith("WARNING")]


def test_first_run_detects_and_uses_the_addon(connected: Supabase, erp: FaultyOdoo) -> None:
    run = connected.run()
    assert (run["mode"], run["pages"], run["inserted"], run["odoo_count"]) == ("full", 3, ROWS, ROWS)
    assert_equal(connected, erp)
    # The addon, the company, the keys of the user, the fields, the count, three pages and an empty
    # one, and the counts of all records, of active ones and of alerts.
    counts, pages = ["search_count"], ["export"] * 4
    by_key = connected.uses_json2()
    login, keys = (["context_get", "read"], ["search_read"]) if by_key else (["authenticate"], [])
    assert erp.take_calls() == [*login, "info", "read", *keys, "fields_get", *counts, *pages, *counts * 3]
    assert connected.row("select addon, database_uuid from ipai.odoo_logins") == {"addon": True, "database_uuid": erp.uuid}
    assert connected.row("select filled_from from ipai.mirror_state") == {"filled_from": erp.uuid}


def test_run_without_changes_needs_one_page_and_one_count(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.run()
    erp.take_calls()
    # The overlap window contains the last records; the run sends no further request.
    run = connected.run()
    assert (run["mode"], run["inserted"] + run["updated"] + run["deleted"]) == ("incremental", 0)
    for record in erp.records[:-1]:
        record["write_date"] = "2026-01-01 00:00:00"
    connected.run()
    erp.take_calls()
    run = connected.run()
    assert (run["fetched"], erp.take_calls()) == (1, ["export", "search_count"])


@pytest.mark.parametrize("mode", ["incremental", "reconcile", "full"])
def test_few_deletions_need_few_calls(connected: Supabase, erp: FaultyOdoo, mode: str) -> None:
    connected.run()
    erp.take_calls()
    erp.records = [record for record in erp.records if record["id"] not in (3, 4, 17)]
    run = connected.run(f"'sample_metrics', '{mode}'")
    assert (run["mode"], run["deleted"], run["odoo_count"], run["mirror_count"]) == (mode, 3, ROWS - 3, ROWS - 3)
    assert_equal(connected, erp)
    called = erp.take_calls()
    # One call for the digests, and one for the ids of the range that differs.
    assert (called.count("digest"), called.count("search")) == (1, 0)


def test_ids_are_requested_without_other_fields(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.rows("select ipai.alter_mirror('sample_metrics', page_size => 1000)")
    connected.run()
    erp.take_calls()
    erp.records.pop(7)
    run = connected.run()
    assert (run["mode"], run["deleted"]) == ("incremental", 1)
    assert_equal(connected, erp)
    requested_fields = [request.args[2] for request in erp.requests if request.method == "export"]
    assert len(requested_fields) == 2 and requested_fields[1] == ["id"]


def test_reconcile_detects_exchanged_ids(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.run()
    # The counts are equal: one record is deleted, and a new one has an old write_date.
    erp.records = [record for record in erp.records if record["id"] != 5] + [metric(99, write_date="2020-01-01 00:00:00")]
    run = connected.run("'sample_metrics', 'reconcile'")
    assert (run["mode"], run["deleted"], run["inserted"]) == ("reconcile", 1, 1)
    assert_equal(connected, erp)


def kinds_of_alerts(supabase: Supabase) -> list[str]:
    return [row["kind"] for row in supabase.rows("select kind from ipai.sync_alerts")]


def page(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode())).decode()


FAULTY_RESPONSES: dict[str, Behaviour] = {
    "a fault": fault(1, 'Traceback (most recent call last):\n  File "x"\nAttributeError: _field_to_sql'),
    "an error of its own": fault(2, "Not this one"),
    "no access": fault(4, "Sorry"),
    "another thing": returning(17),
    "no page": returning("x"),
    "a page without end": returning(page('{"columns": [["id", "i"]]}\n1\n')),
    "a page of another model": returning(page('{"columns": [["id", "i"], ["login", "s"]]}\n1\tadmin\n\\. 1\n')),
    "rows that were not asked for": returning(encode_export([metric(2), metric(1)], [*metric(1)])),
    "a value that does not fit": returning(encode_export([metric(1, value="much")], [*metric(1)])),
    "an HTML page": lambda exchange: exchange.send(200, {"Content-Type": "text/html"}, b"<html>"),
    "gone": recorded("fault_missing_model"),
}


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("wrong", FAULTY_RESPONSES.values(), ids=FAULTY_RESPONSES)
def test_run_continues_without_a_faulty_addon(connected: Supabase, erp: FaultyOdoo, wrong: Behaviour, at: int) -> None:
    if at > 1:
        erp.on("export", lambda exchange: exchange.send(200, {}, exchange.answer()), times=at - 1)
    erp.on("export", wrong)
    warnings = notices(connected, "call ipai.run_sync('sample_metrics')")
    assert len(warnings) == 1 and "this run stopped using the addon ipai_sync of Odoo" in warnings[0]
    run = connected.last_run()
    assert (run["state"], run["mode"], run["inserted"], run["mirror_count"]) == ("succeeded", "full", ROWS, ROWS)
    assert_equal(connected, erp)
    # Only a missing addon is not tried again before the next full run.
    missing = wrong is FAULTY_RESPONSES["gone"]
    assert kinds_of_alerts(connected) == ([] if missing else ["degraded"])
    assert connected.row("select addon from ipai.odoo_logins") == {"addon": not missing}
    erp.take_calls()
    assert len(notices(connected, "call ipai.run_sync('sample_metrics')")) == int(not missing)
    assert ("export" in erp.take_calls()) is not missing
    erp.clear_faults()
    erp.records[0]["name"] = "Renamed"
    assert notices(connected, "call ipai.run_sync('sample_metrics', 'full')") == []
    assert (connected.last_run()["updated"], "export" in erp.take_calls()) == (1, True)
    assert kinds_of_alerts(connected) == []
    assert connected.row("select addon from ipai.odoo_logins") == {"addon": True}


def test_run_continues_without_failing_digests(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.run()
    erp.records.pop(4)
    for wrong in (fault(1, "ValueError: no"), returning([[1, "2", "3"]]), returning([])):
        erp.on("digest", wrong, times=1)
        erp.records.pop(7)
        run = connected.run("'sample_metrics', 'full'")
        assert run["mirror_count"] == len(erp.records)
        assert_equal(connected, erp)


def test_network_errors_do_not_disable_the_addon(connected: Supabase, erp: FaultyOdoo) -> None:
    erp.on("export", status(503, retry_after=0), times=1)
    assert notices(connected, "call ipai.run_sync('sample_metrics')") == []
    assert_equal(connected, erp)
    assert connected.row("select addon from ipai.odoo_logins") == {"addon": True}
    connected.rows("alter server odoo options (add timeout '1')")
    erp.on("export", never_respond)
    # The run reads without the addon, and the next full run tries it again.
    assert connected.run("'sample_metrics', 'full'")["state"] == "succeeded"
    assert_equal(connected, erp)
    erp.take_calls()
    erp.clear_faults()
    connected.run("'sample_metrics', 'full'")
    assert "export" in erp.take_calls()


def test_operator_can_disable_the_addon(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.rows("alter server odoo options (add addon 'false')")
    connected.run()
    assert_equal(connected, erp)
    assert {"info", "export", "digest"}.isdisjoint(erp.take_calls())
    assert connected.row("select addon, database_uuid from ipai.odoo_logins") == {"addon": None, "database_uuid": None}
    connected.rows("alter server odoo options (drop addon)")
    run = connected.run("'sample_metrics', 'full'")
    assert (run["unchanged"], "export" in erp.take_calls()) == (ROWS, True)


# An addon that fails ------------------------------------------------------------------------------

LOGIN = "select addon, addon_problem, addon_tried_at from ipai.odoo_logins"

#: Responses to the first call of the addon, and a part of the problem that the operator sees.
FAILING: dict[str, tuple[Behaviour, str]] = {
    "Odoo 20 with an old addon": (
        fault(1, 'Traceback (most recent call last):\n  File "x"\nAttributeError: no attribute get_param'),
        "no attribute get_param",
    ),
    "no access": (fault(4, "Sorry"), "Sorry"),
    "another protocol": (returning({"protocol": 2, "uuid": "x"}), "it has protocol 2, and this version of ipai_sync reads protocol 1"),
    "no protocol": (returning(17), "it does not tell its protocol"),
    "an HTML page": (lambda exchange: exchange.send(200, {"Content-Type": "text/html"}, b"<html>"), ""),
}


@pytest.mark.parametrize(("wrong", "problem"), FAILING.values(), ids=FAILING)
def test_failing_addon_is_reported_until_it_works(connected: Supabase, erp: FaultyOdoo, wrong: Behaviour, problem: str) -> None:
    erp.on("info", wrong)
    connected.run()
    assert_equal(connected, erp)
    assert "export" not in erp.take_calls()
    login = connected.row(LOGIN)
    assert login["addon"] and problem in login["addon_problem"] and login["addon_tried_at"]
    [alert] = connected.rows("select * from ipai.sync_alerts")
    assert (alert["severity"], alert["kind"]) == (10, "degraded") and alert["since"]
    assert alert["message"] == f"bulk export is installed but not used, because it failed: {login['addon_problem']}"
    assert "select * from ipai.check_connection('odoo');" in alert["hint"]
    [finding] = connected.rows("""select * from ipai.doctor() where "check" = 'bulk export'""")
    assert (finding["object"], finding["state"]) == ("sample_metrics", "problem") and problem in finding["finding"]
    [checked] = connected.rows("select addon, addon_problem from ipai.check_connection()")
    assert checked == {"addon": True, "addon_problem": login["addon_problem"]}

    # The next incremental run does not try it, and so the alert stays.
    erp.take_calls()
    assert connected.run()["mode"] == "incremental"
    assert "info" not in erp.take_calls()
    assert connected.row("select message, since from ipai.sync_alerts") == {key: alert[key] for key in ("message", "since")}

    erp.clear_faults()
    [checked] = connected.rows("select addon, addon_problem from ipai.check_connection()")
    assert checked == {"addon": True, "addon_problem": None}
    erp.take_calls()
    connected.run()
    assert "export" in erp.take_calls()
    assert connected.row(LOGIN) == {"addon": True, "addon_problem": None, "addon_tried_at": None}
    assert kinds_of_alerts(connected) == []
    [finding] = connected.rows("""select * from ipai.doctor(include_ok => true) where "check" = 'bulk export'""")
    assert (finding["state"], finding["remedy"]) == ("ok", None)


def test_failing_addon_is_tried_again_each_day(connected: Supabase, erp: FaultyOdoo) -> None:
    erp.on("info", fault(1, "ValueError: broken"))
    connected.run()

    def run_a_day_later() -> list[str]:
        connected.rows("update ipai.odoo_logins set addon_tried_at = addon_tried_at - interval '25 hours'")
        erp.take_calls()
        assert connected.run()["mode"] == "incremental"
        return erp.take_calls()

    assert run_a_day_later().count("info") == 1
    assert connected.row("select addon_tried_at > now() - interval '1 hour' as is_now from ipai.odoo_logins") == {"is_now": True}
    connected.run()
    assert "info" not in erp.take_calls()
    erp.clear_faults()
    called = run_a_day_later()
    assert called[0] == "info" and "export" in called
    assert kinds_of_alerts(connected) == []


def test_addon_that_is_removed_is_no_failing_addon(connected: Supabase, erp: FaultyOdoo) -> None:
    erp.on("info", fault(1, "ValueError: broken"))
    connected.run()
    assert kinds_of_alerts(connected) == ["degraded"]
    erp.addon = False
    erp.clear_faults()
    connected.run("'sample_metrics', 'full'")
    assert connected.row(LOGIN) == {"addon": False, "addon_problem": None, "addon_tried_at": None}
    assert kinds_of_alerts(connected) == []


# Another database ---------------------------------------------------------------------------------


def test_database_with_another_uuid_is_refused(connected: Supabase, erp: FaultyOdoo) -> None:
    connected.run()
    before = connected.mirror("odoo_id, xmin::text")
    first, erp.uuid = erp.uuid, "5f0a2f5e-0000-11f1-8000-00000000000f"
    erp.records = [metric(n, name="Of another") for n in range(1, 8)]
    # With a stored login, an incremental run reads the database's uuid from the first page. Without
    # one it asks before it reads.
    for forget in ("false", "true"):
        connected.rows(f"delete from ipai.odoo_logins where {forget}")
        erp.requests.clear()
        with pytest.raises(psycopg.Error) as refused:
            connected.rows("call ipai.run_sync('sample_metrics', 'incremental')")
        assert refused.value.sqlstate == "55000"
        assert ("info" in erp.take_calls()) == (forget == "true")
        assert connected.mirror("odoo_id, xmin::text") == before
    for statement in ("call ipai.run_sync('sample_metrics', 'full')", "select * from ipai.sync_mirror('sample_metrics')"):
        with pytest.raises(psycopg.Error) as refused:
            connected.rows(statement)
        assert refused.value.sqlstate == "55000"
        assert 'is not the one that mirror "sample_metrics" was filled from' in str(refused.value)
        assert "max_delete_ratio => 1" in str(refused.value.diag.message_hint)
        assert connected.mirror("odoo_id, xmin::text") == before
    assert connected.row("select filled_from from ipai.mirror_state") == {"filled_from": first}
    # max_delete_ratio => 1 confirms the other database.
    run = connected.run("'sample_metrics', 'full', max_delete_ratio => 1")
    assert (run["updated"], run["deleted"]) == (7, ROWS - 7)
    assert connected.row("select filled_from from ipai.mirror_state") == {"filled_from": erp.uuid}
    assert connected.run("'sample_metrics', 'full'")["unchanged"] == 7
