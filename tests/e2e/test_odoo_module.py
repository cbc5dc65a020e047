"""Tests the methods of the Odoo module over XML-RPC and JSON-RPC, with a real Odoo.

The module's own tests cover what needs no network (addons/ipai/ipai_sample_metrics/tests).
"""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from harness.odoo import MODEL, Odoo, generate_metrics

RECORDED = Path(__file__).resolve().parents[1] / "corpus"
REQUIRED_VALUES = {"name": "Made", "code": "MADE", "unit": "count"}
MANAGER = "ipai_sample_metrics.group_sample_metric_manager"

#: Calls a method of the model with positional and named arguments.
Call = Callable[..., Any]


class Refused(Exception):
    """An error of Odoo: the class of its exception, and the message for the user."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def over_xml(odoo: Odoo) -> Call:
    kinds = {1: "unexpected", 2: "UserError", 3: "AccessDenied", 4: "AccessError"}

    def call(method: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return odoo.rpc(MODEL, method, *args, **kwargs)
        except xmlrpc.client.Fault as fault:
            raise Refused(kinds[fault.faultCode], fault.faultString) from None

    return call


def over_json(odoo: Odoo) -> Call:
    def call(method: str, *args: Any, **kwargs: Any) -> Any:
        answer = odoo.json_rpc(MODEL, method, *args, **kwargs)
        if error := answer.get("error"):
            raise Refused(error["data"]["name"].rpartition(".")[2], error["data"]["message"])
        return answer["result"]

    return call


@pytest.fixture(scope="module", params=[False, True], ids=["odoo19", "changes_of_odoo20"])
def odoo(request: pytest.FixtureRequest) -> Iterator[Odoo]:
    """A real Odoo 19 with the module, with and without the changes of Odoo 20."""
    with Odoo(odoo20=request.param) as running:
        yield running


@pytest.fixture(params=[over_xml, over_json])
def call(request: pytest.FixtureRequest, odoo: Odoo) -> Call:
    """Calls a method of the model as administrator over XML-RPC or JSON-RPC."""
    return cast(Call, request.param(odoo))


@pytest.fixture(autouse=True)
def no_metrics(odoo: Odoo) -> None:
    sql(odoo, "delete from ipai_sample_metric")


@pytest.fixture
def metrics(odoo: Odoo) -> None:
    generate_metrics(odoo, 2500)


def sql(odoo: Odoo, query: str) -> list[str]:
    return odoo.pg.psql(query, dbname=odoo.dbname).splitlines()


def ids(odoo: Odoo, condition: str = "true") -> list[int]:
    return [int(row) for row in sql(odoo, f"select id from ipai_sample_metric where {condition} order by id")]


def pages(call: Call, limit: int, **kwargs: Any) -> Iterator[list[dict[str, Any]]]:
    after_id = 0
    while rows := call("export_to_supabase_payload", limit, after_id=after_id, **kwargs):
        yield rows
        after_id = rows[-1]["odoo_id"]


def recorded(name: str) -> Any:
    """Returns the response that an older version of the module gave in a real Odoo 18."""
    return xmlrpc.client.loads((RECORDED / "odoo18" / name).read_bytes())[0][0]


def keys_and_types(rows: list[dict[str, Any]]) -> list[tuple[str, type]]:
    return [(key, type(value)) for key, value in rows[0].items()]


# The data contract


def test_export_has_the_recorded_keys_and_types(odoo: Odoo, call: Call) -> None:
    partner = odoo.rpc("res.partner", "create", {"name": "A Brand"})
    call("create_from_payload", {**REQUIRED_VALUES, "brand_id": partner, "store_id": partner, "value": 1.5, "notes": "x"})
    assert keys_and_types(call("export_to_supabase_payload")) == keys_and_types(recorded("export_to_supabase_payload_2.xml"))


def test_get_metrics_has_the_recorded_keys_and_types(odoo: Odoo, call: Call) -> None:
    partner = odoo.rpc("res.partner", "create", {"name": "A Brand"})
    call("create_from_payload", {**REQUIRED_VALUES, "brand_id": partner, "store_id": partner, "value": 1.5})
    assert keys_and_types(call("get_metrics")) == keys_and_types(recorded("get_metrics_limit3.xml"))


def test_stats_have_the_recorded_keys(call: Call) -> None:
    assert call("get_sync_stats") == {"total": 0, "active": 0, "archived": 0, "alerts": 0}
    assert recorded("get_sync_stats.xml").keys() <= call("get_sync_stats").keys()


def test_unset_values_are_false(odoo: Odoo, call: Call) -> None:
    metric = call("create_from_payload", {**REQUIRED_VALUES, "date": False})
    # SQL can unset values that the module always sets.
    sql(odoo, f"update ipai_sample_metric set value = null, active = null, is_alert = null where id = {metric}")
    unset = {"date": False, "brand_id": False, "store_id": False, "value": 0.0, "is_alert": False}
    [row] = call("export_to_supabase_payload")
    assert row == {"odoo_id": metric, **REQUIRED_VALUES, **unset, "notes": False, "active": False}
    [row] = call("get_metrics", [["id", "=", metric], ["active", "=", False]])
    assert row == {"id": metric, **REQUIRED_VALUES, **unset}
    assert None not in row.values()


def test_text_is_returned_unchanged(call: Call) -> None:
    text = '🎉 ☕ 日本語 <b>&amp; "x"</b> ]]> \t\\ é'
    metric = call("create_from_payload", {**REQUIRED_VALUES, "name": text, "notes": text})
    [row] = call("export_to_supabase_payload")
    assert (row["odoo_id"], row["name"], row["notes"]) == (metric, text, text)


# create_from_payload


def test_create_accepts_every_key(odoo: Odoo, call: Call) -> None:
    partner = odoo.rpc("res.partner", "create", {"name": "A Brand"})
    payload = {
        "name": "Made",
        "code": "MADE_2",
        "date": "2026-01-06",
        "brand_id": partner,
        "store_id": partner,
        "value": 99.5,
        "unit": "percent",
        "notes": "two\nlines",
        "active": False,
    }
    metric = call("create_from_payload", payload)
    assert call("export_to_supabase_payload") == [{"odoo_id": metric, "is_alert": True, **payload}]


def test_create_accepts_json_nulls(odoo: Odoo) -> None:
    nothing = dict.fromkeys(["date", "brand_id", "store_id", "value", "notes", "active"])
    over_json(odoo)("create_from_payload", {**REQUIRED_VALUES, **nothing})
    [row] = over_json(odoo)("export_to_supabase_payload", since_date=None, limit=None, after_id=None)
    assert (row["date"], row["brand_id"], row["notes"], row["active"]) == (False, False, False, True)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"name": "Made"}, "Missing: code, unit."),
        ({**REQUIRED_VALUES, "vaule": 1}, "Unknown keys: vaule."),
        ({**REQUIRED_VALUES, "unit": "bogus"}, "unit must be one of percent, count, amount, not 'bogus'."),
        ({**REQUIRED_VALUES, "date": "06.01.2026"}, "date must be a date 'YYYY-MM-DD', not '06.01.2026'."),
        ({**REQUIRED_VALUES, "brand_id": 2**31 - 1}, "brand_id must be the id of an existing partner"),
        ({**REQUIRED_VALUES, "value": "many"}, "value must be a number, not 'many'."),
        ({**REQUIRED_VALUES, "code": "lower case"}, "Invalid code 'lower case'"),
        ({**REQUIRED_VALUES, "value": float("inf")}, "must be a finite number"),
    ],
)
def test_create_explains_invalid_payloads(odoo: Odoo, call: Call, payload: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        call("create_from_payload", payload)
    assert message in str(refused.value)
    assert "Traceback" not in str(refused.value)
    assert refused.value.kind in ("UserError", "ValidationError")
    assert ids(odoo) == []


@pytest.mark.parametrize("zone", ["Asia/Manila", "Pacific/Kiritimati", "Pacific/Niue"])
def test_default_date_is_today_in_the_users_time_zone(odoo: Odoo, zone: str) -> None:
    login = f"user of {zone}"
    odoo.create_user(login, "a password", groups=[MANAGER], tz=zone)
    # Midnight may pass between the call and the reading of the clock.
    days = {datetime.now(ZoneInfo(zone)).date().isoformat()}
    odoo.rpc_as(login, "a password", MODEL, "create_from_payload", REQUIRED_VALUES)
    days.add(datetime.now(ZoneInfo(zone)).date().isoformat())
    [row] = odoo.rpc(MODEL, "export_to_supabase_payload")
    assert row["date"] in days


# export_to_supabase_payload


@pytest.mark.parametrize("limit", [400, 2499, 2500, 5000])
def test_export_returns_every_record_in_pages(odoo: Odoo, call: Call, metrics: None, limit: int) -> None:
    rows = [row for page in pages(call, limit) for row in page]
    assert [row["odoo_id"] for row in rows] == ids(odoo)
    assert not any(None in row.values() for row in rows)
    assert [row["odoo_id"] for row in rows if not row["active"]] == ids(odoo, "not active")
    assert [row["odoo_id"] for row in rows if row["is_alert"]] == ids(odoo, "is_alert")
    assert [row["odoo_id"] for row in rows if not row["date"]] == ids(odoo, "date is null")


def test_export_is_complete_while_metrics_change(odoo: Odoo, call: Call, metrics: None) -> None:
    expected, seen = ids(odoo), []
    for page in pages(call, 500, since_date="2020-01-01"):
        seen += [row["odoo_id"] for row in page]
        # A changed metric is not returned again, and no other one is omitted.
        odoo.rpc(MODEL, "write", [seen[0], seen[-1], expected[-1]], {"value": 42.0})
    assert seen == expected


def test_export_since_a_moment(odoo: Odoo, call: Call) -> None:
    before, after = (call("create_from_payload", REQUIRED_VALUES) for _ in range(2))
    sql(odoo, f"update ipai_sample_metric set write_date = '2026-01-05 23:59:59.9' where id = {before}")
    sql(odoo, f"update ipai_sample_metric set write_date = '2026-01-06 00:00:00.1' where id = {after}")

    def since(moment: str) -> list[int]:
        return [row["odoo_id"] for row in call("export_to_supabase_payload", since_date=moment)]

    assert since("2026-01-05") == [before, after]
    for midnight in (
        "2026-01-06",
        "2026-01-06 00:00:00",
        "2026-01-06T00:00:00",
        "2026-01-06T00:00:00Z",
        "2026-01-06T00:00:00.123456Z",
        "2026-01-06T08:00:00+08:00",
        "2026-01-05 19:00:00-0500",
    ):
        assert since(midnight) == [after], midnight
    assert since("2026-01-06 00:00:01") == []
    assert since("2099-01-01") == []


@pytest.mark.parametrize("arguments", [{"since_date": "yesterday"}, {"since_date": "2026-02-30"}, {"since_date": 20260106}])
def test_export_refuses_invalid_moments(call: Call, arguments: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="Valid values are a date 'YYYY-MM-DD'") as refused:
        call("export_to_supabase_payload", **arguments)
    assert refused.value.kind == "UserError"


@pytest.mark.parametrize("limit", [0, -5, 50_001, 1.5, "many", True])
def test_invalid_limits_are_refused(call: Call, limit: Any) -> None:
    for method in ("export_to_supabase_payload", "get_metrics"):
        with pytest.raises(Refused, match="limit must be a whole number from 1 to 50000") as refused:
            call(method, limit=limit)
        assert refused.value.kind == "UserError"


def test_deleted_partner_is_unset(odoo: Odoo, call: Call) -> None:
    partner = odoo.rpc("res.partner", "create", {"name": "A Brand"})
    call("create_from_payload", {**REQUIRED_VALUES, "brand_id": partner})
    odoo.rpc("res.partner", "unlink", [partner])
    assert [row["brand_id"] for row in call("export_to_supabase_payload")] == [False]


# get_metrics and get_sync_stats


def test_get_metrics_is_newest_first_without_archived(odoo: Odoo, call: Call, metrics: None) -> None:
    rows = call("get_metrics", [["date", "!=", False]], 50)
    newest = sql(odoo, "select id from ipai_sample_metric where active and date is not null order by date desc, id desc limit 50")
    assert [row["id"] for row in rows] == [int(row) for row in newest]


def test_get_metrics_filters(odoo: Odoo, call: Call, metrics: None) -> None:
    rows = call("get_metrics", [["is_alert", "=", True], ["value", ">", 95]], 1000)
    assert sorted(row["id"] for row in rows) == ids(odoo, "active and is_alert and value > 95")
    with pytest.raises(Refused, match="Invalid filters") as refused:
        call("get_metrics", [["nope", "=", 1]])
    assert refused.value.kind == "UserError"


def test_stats_include_archived_metrics(odoo: Odoo, call: Call, metrics: None) -> None:
    [expected] = sql(
        odoo,
        """select count(*), count(*) filter (where active), count(*) filter (where not active), count(*) filter (where is_alert)
           from ipai_sample_metric""",
    )
    stats = call("get_sync_stats")
    assert [stats[key] for key in ("total", "active", "archived", "alerts")] == [int(count) for count in expected.split("|")]


# The generated metrics, which other tests use


def test_generated_metrics_equal_those_that_odoo_creates(odoo: Odoo, metrics: None) -> None:
    alerts = ids(odoo, "is_alert")
    # Odoo recomputes the alerts when a value is written.
    for percent in odoo.rpc(MODEL, "search_read", [("unit", "=", "percent")], ["value"], context={"active_test": False}, limit=200):
        odoo.rpc(MODEL, "write", [percent["id"]], {"value": percent["value"]})
    assert ids(odoo, "is_alert") == alerts
    next_id = odoo.rpc(MODEL, "create_from_payload", REQUIRED_VALUES)
    assert next_id == ids(odoo)[-1] > ids(odoo)[-2]
    [stamped] = sql(odoo, "select count(*) from ipai_sample_metric where create_date is null or write_date is null or create_uid is null")
    assert stamped == "0"


def test_demo_records() -> None:
    with Odoo(demo=True) as odoo:
        rows = odoo.rpc(MODEL, "export_to_supabase_payload")
    assert [(row["code"], row["date"], row["value"], row["unit"], row["is_alert"]) for row in rows] == [
        ("STORE_SALES", "2026-01-06", 125430.5, "amount", False),
        ("FOOTFALL", "2026-01-06", 1834.0, "count", False),
        ("SHELF_AVAILABILITY", "2026-01-06", 97.5, "percent", True),
    ]
    assert all(row["brand_id"] and row["active"] for row in rows)


# Access


def test_users_read_and_managers_write(odoo: Odoo) -> None:
    metric = odoo.rpc(MODEL, "create_from_payload", REQUIRED_VALUES)
    odoo.create_user("reader", "a password")
    odoo.create_user("manager", "a password", groups=[MANAGER])

    def call(login: str, method: str, *args: Any) -> Any:
        return odoo.rpc_as(login, "a password", MODEL, method, *args)

    assert call("reader", "export_to_supabase_payload")[0]["odoo_id"] == metric
    assert call("reader", "get_metrics")[0]["id"] == metric
    assert call("reader", "get_sync_stats")["total"] == 1
    writes: list[tuple[str, list[Any]]] = [
        ("create_from_payload", [REQUIRED_VALUES]),
        ("write", [[metric], {"value": 1}]),
        ("unlink", [[metric]]),
    ]
    for method, args in writes:
        with pytest.raises(xmlrpc.client.Fault) as refused:
            call("reader", method, *args)
        assert refused.value.faultCode == 4
    assert call("manager", "create_from_payload", REQUIRED_VALUES) > metric
    assert call("manager", "write", [metric], {"value": 1.0}) and call("manager", "unlink", [metric])


def test_portal_users_see_nothing(odoo: Odoo) -> None:
    odoo.rpc(MODEL, "create_from_payload", REQUIRED_VALUES)
    odoo.create_user("visitor", "a password", groups=["base.group_portal"])
    for method, args in [
        ("export_to_supabase_payload", []),
        ("get_metrics", []),
        ("get_sync_stats", []),
        ("create_from_payload", [REQUIRED_VALUES]),
    ]:
        with pytest.raises(xmlrpc.client.Fault) as refused:
            odoo.rpc_as("visitor", "a password", MODEL, method, *args)
        assert refused.value.faultCode == 4
