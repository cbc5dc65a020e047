"""Tests `ipai.odoo_call`, `ipai.odoo_models` and `ipai.odoo_fields`.

A call that may change something in Odoo must never be sent twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from harness.odoo import Odoo, generate_metrics
from support.faulty import (
    Behaviour,
    FaultyOdoo,
    close_connection,
    close_within_headers,
    fault,
    metric,
    never_respond,
    recorded,
    status,
    truncated,
)
from support.model_comparison import COLUMN_TYPES
from support.supabase import Supabase

METRIC = "ipai.sample.metric"
CALL = "select ipai.odoo_call(%s, %s, %s, %s, %s) as result"


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    """The file's own Odoo, with a few metrics and a user with few rights."""
    with Odoo() as odoo:
        generate_metrics(odoo, 200)
        odoo.create_user("clerk", "clerk password")
        yield odoo


@pytest.fixture
def connected(supabase: Supabase, erp: Odoo) -> Supabase:
    supabase.server(erp.url, dbname=erp.dbname)
    return supabase


def call(
    supabase: Supabase, method: str, *args: Any, model: str = METRIC, server: str | None = "odoo", user: str = "postgres", **kwargs: Any
) -> Any:
    return supabase.row(CALL, server, model, method, Jsonb(list(args)), Jsonb(kwargs), user=user)["result"]


def refused(supabase: Supabase, method: str, *args: Any, **options: Any) -> psycopg.errors.Diagnostic:
    """Makes a call that must fail, and returns its error."""
    with pytest.raises(psycopg.Error) as error:
        call(supabase, method, *args, **options)
    return error.value.diag


# Methods of the sample module ---------------------------------------------------------------------


def test_odoo_call_calls_the_methods_of_the_module(connected: Supabase, erp: Odoo) -> None:
    payload = {
        "name": "Made in SQL é 🎉",
        "code": "FROM_SQL",
        "unit": "percent",
        "value": 99.5,
        "date": "2026-01-06",
        "notes": "<b>&amp;</b>\nline",
    }
    made = call(connected, "create_from_payload", payload)
    second = call(connected, "create_from_payload", payload={**payload, "date": False, "value": 0.1 + 0.2})
    assert isinstance(made, int) and second == made + 1
    found = call(connected, "get_metrics", [["code", "=", "FROM_SQL"]], limit=10)
    shown = {"name": payload["name"], "code": "FROM_SQL", "brand_id": False, "store_id": False, "unit": "percent"}
    assert sorted(found, key=lambda row: row["id"]) == [
        {**shown, "id": made, "date": "2026-01-06", "value": 99.5, "is_alert": True},
        {**shown, "id": second, "date": False, "value": 0.1 + 0.2, "is_alert": True},
    ]
    stored = erp.pg.psql(f"select notes, value from ipai_sample_metric where id = {second}", dbname=erp.dbname)
    assert stored == "<b>&amp;</b>\nline|0.30000000000000004"
    exported = call(connected, "export_to_supabase_payload", limit=5, after_id=made - 1)
    assert [row["odoo_id"] for row in exported][:2] == [made, second]
    counts = "select json_build_object('total', count(*), 'active', count(*) filter (where active), 'archived', count(*) filter (where not active), 'alerts', count(*) filter (where is_alert)) from ipai_sample_metric"
    assert call(connected, "get_sync_stats") == json.loads(erp.pg.psql(counts, dbname=erp.dbname))


def test_arguments_and_the_only_server_can_be_omitted(connected: Supabase, erp: Odoo) -> None:
    stats = connected.row("select ipai.odoo_call('odoo', 'ipai.sample.metric', 'get_sync_stats') as stats")["stats"]
    assert stats["total"] >= 200
    assert call(connected, "get_sync_stats", server=None) == stats
    connected.server(erp.url, name="second", dbname=erp.dbname)
    found = refused(connected, "get_sync_stats", server=None)
    assert found.sqlstate == "22023" or found.sqlstate == "42704", found.message_primary
    assert found.message_hint
    assert refused(connected, "get_sync_stats", server="nope").sqlstate == "42704"


def test_json_values_are_sent_and_returned_unchanged(connected: Supabase, erp: Odoo) -> None:
    value = {
        "text": "ünï 東京 🎉 <&> ]]> \\ \" ' \t \n end ",
        "numbers": [0, -1, 2**31 - 1, -(2**31), 0.1, 1e22, -1e-7, 123456.789],
        "flags": [True, False],
        "empty": ["", [], {}],
        "deep": {"er": [{"and": {"deeper": [1]}}]},
    }
    # The context is stored as JSON and returned unchanged.
    code = "action = {'back': env.context['value']}"
    model = erp.rpc("ir.model", "search", [("model", "=", "res.partner")])[0]
    action = erp.rpc("ir.actions.server", "create", {"name": "Echo", "model_id": model, "state": "code", "code": code})
    back = call(connected, "run", [action], model="ir.actions.server", context={"value": value})
    assert back == {"back": value}
    # In Python True equals 1, so the types are compared too.
    assert [type(flag) for flag in back["back"]["flags"]] == [bool, bool]


def test_method_that_returns_none_warns_and_runs_once(connected: Supabase, erp: Odoo) -> None:
    toggled = erp.rpc("res.partner", "create", [{"name": f"Toggled {i}"} for i in range(2)])
    connection = connected.connect()
    notices: list[tuple[str | None, ...]] = []
    connection.add_notice_handler(lambda notice: notices.append((notice.severity, notice.message_primary, notice.message_hint)))
    row = connection.execute("select ipai.odoo_call('odoo', 'res.partner', 'toggle_active', %s) as result", [Jsonb([toggled])]).fetchone()
    assert row == {"result": None}
    kind = connection.execute(
        "select jsonb_typeof(ipai.odoo_call('odoo', 'res.partner', 'toggle_active', %s)) as kind", [Jsonb([toggled[:1]])]
    ).fetchone()
    assert kind == {"kind": "null"}
    assert [severity for severity, _, _ in notices] == ["WARNING", "WARNING"]
    assert "toggle_active" in (notices[0][1] or "") and notices[0][2]
    # The first record was toggled twice and the second once. A repeated call would reverse the
    # states.
    states = erp.rpc("res.partner", "read", toggled, ["active"], load="")
    assert [state["active"] for state in states] == [True, False]


# Errors -------------------------------------------------------------------------------------------


def test_errors_of_odoo_have_specific_sqlstates(connected: Supabase, erp: Odoo) -> None:
    cases: list[tuple[str, tuple[Any, ...], dict[str, Any], str, str]] = [
        ("get_metrcs", (), {}, "42883", "get_metrcs"),
        ("_search", ([],), {}, "42501", "_search"),
        ("_cron_seed_sample_metrics", (), {}, "42501", "_cron_seed_sample_metrics"),
        ("search", ([],), {"model": "ipai.sample.metrics"}, "42704", "ipai.sample.metrics"),
        ("search", ([["nope", "=", 1]],), {}, "42703", "nope"),
        ("create_from_payload", ({"name": "x", "code": "lower case", "unit": "count"},), {}, "38000", "capital letters"),
        ("create_from_payload", ({"nmae": "x"},), {}, "38000", "nmae"),
        ("get_metrics", (), {"limit": -1}, "38000", "limit"),
        ("get_metrics", (), {"no_such_argument": 1}, "38000", "no_such_argument"),
        ("search", ([],), {"model": "ir.model.inherit"}, "42501", "ir.model.inherit"),
    ]
    for method, args, options, sqlstate, text in cases:
        found = refused(connected, method, *args, **options)
        context = (method, found.message_primary, found.message_detail)
        assert (found.sqlstate, found.severity) == (sqlstate, "ERROR"), context
        assert text in (found.message_primary or ""), context
        # The message contains the cause, without a traceback or paths of the server.
        assert "Traceback" not in (found.message_primary or "") and "\n  File" not in (found.message_primary or ""), context
        assert found.message_hint, context


def test_odoo_call_refuses_invalid_arguments_before_any_request(supabase: Supabase) -> None:
    with FaultyOdoo([metric(1)]) as odoo:
        supabase.server(odoo.url)
        for arguments, sqlstate in (
            ("'odoo', null, 'm'", "22023"),
            ("'odoo', 'x', null", "22023"),
            ("'odoo', 'x', 'm', '{}'", "22023"),
            ("'odoo', 'x', 'm', '1'", "22023"),
            ("'odoo', 'x', 'm', '[]', '[]'", "22023"),
            ("'odoo', 'x', 'm', '[]', '\"x\"'", "22023"),
            ("'nope', 'x', 'm'", "42704"),
        ):
            with pytest.raises(psycopg.Error) as error:
                supabase.rows(f"select ipai.odoo_call({arguments})")
            assert error.value.sqlstate == sqlstate, arguments
            assert error.value.diag.message_hint, arguments
        assert odoo.requests == []


def test_text_that_xml_cannot_carry_is_refused(supabase: Supabase) -> None:
    with FaultyOdoo([metric(1)]) as odoo:
        supabase.server(odoo.url)
        for value in ("bell \x07", {"key \x01": 1}, ["\ufffe"]):
            assert (value, refused(supabase, "create_from_payload", value).sqlstate) == (value, "22021")
        assert odoo.received("create_from_payload") == []


# Calls are not repeated ---------------------------------------------------------------------------

#: Failures after which the request may have reached Odoo, and their SQLSTATE.
LOST_RESPONSES: list[tuple[str, Behaviour, str]] = [
    ("the connection closes", close_connection, "08006"),
    ("the connection closes in the headers", close_within_headers, "08006"),
    ("the answer is cut", truncated(lambda body: len(body) // 2), "08006"),
    ("the answer is cut and does not say so", truncated(lambda body: len(body) // 2, announced=False), "08006"),
    ("no answer", never_respond, "08006"),
    ("502", status(502), "08006"),
    ("503 with Retry-After", status(503, retry_after=0), "08006"),
    ("504", status(504), "08006"),
    ("429", status(429, retry_after=0), "08006"),
    ("500", status(500), "08006"),
    ("access denied inside the method", recorded("object_wrong_password"), "42501"),
    ("access denied, said otherwise", fault(3, "Access Denied"), "42501"),
    ("the uid is no user any more", fault(2, "Record does not exist or has been deleted.\n(Record: res.users(2,), User: 2)"), "38000"),
    ("access error", fault(4, "You are not allowed to do this."), "42501"),
    ("another fault", fault(1, "Traceback (most recent call last):\n  File ...\nKeyError: 'x'"), "38000"),
]


@pytest.mark.parametrize("remembered", [False, True], ids=["first login", "remembered login"])
def test_call_that_may_have_arrived_is_never_repeated(supabase: Supabase, remembered: bool) -> None:
    with FaultyOdoo([metric(1)]) as odoo:
        supabase.server(odoo.url, timeout="2")
        for what, behaviour, sqlstate in LOST_RESPONSES:
            supabase.rows("delete from ipai.odoo_logins")
            if remembered:
                supabase.rows("insert into ipai.odoo_logins values (%s, 'odoo', 'admin', 2)", odoo.url)
            odoo.requests.clear()
            odoo.on("context_get", recorded("search_count"))
            odoo.on("action", behaviour)
            found = refused(supabase, "action")
            assert (what, len(odoo.received("action"))) == (what, 1)
            assert (what, found.sqlstate) == (what, sqlstate)
            odoo.clear_faults()


@pytest.mark.parametrize("behaviour", [close_connection, never_respond, status(502)], ids=["closed", "silent", "502"])
def test_error_of_a_lost_response_does_not_promise_safety(supabase: Supabase, behaviour: Behaviour) -> None:
    with FaultyOdoo([metric(1)]) as odoo:
        supabase.server(odoo.url, timeout="2")
        odoo.on("action", behaviour)
        hint = refused(supabase, "action").message_hint or ""
        assert "othing was lost" not in hint and "sync" not in hint
        # The hint tells the caller to check before repeating the call.
        assert hint


def test_call_is_retried_only_before_it_is_sent(supabase: Supabase) -> None:
    with FaultyOdoo([metric(1)]) as odoo:
        supabase.server(odoo.url)
        odoo.on("authenticate", status(503, retry_after=0), times=1)
        odoo.on("action", recorded("search_count"))
        assert isinstance(call(supabase, "action"), int)
        assert (len(odoo.received("authenticate")), len(odoo.received("action"))) == (2, 1)


def test_method_that_returns_none_is_called_once(supabase: Supabase) -> None:
    with FaultyOdoo([metric(1)]) as odoo:
        supabase.server(odoo.url)
        odoo.on("action", recorded("fault_method_returns_none"))
        assert call(supabase, "action") is None
        assert len(odoo.received("action")) == 1


def test_cancelled_call_is_not_repeated(supabase: Supabase) -> None:
    with FaultyOdoo([metric(1)]) as odoo:
        supabase.server(odoo.url)
        odoo.on("action", never_respond)
        with supabase.connect() as connection:
            connection.execute("set statement_timeout = '1s'")
            begun = time.monotonic()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute(CALL, ["odoo", METRIC, "action", Jsonb([]), Jsonb({})])
            assert time.monotonic() - begun < 3
            assert connection.execute("select 1 as one").fetchone() == {"one": 1}
        assert len(odoo.received("action")) == 1


@pytest.fixture
def counting_action(erp: Odoo) -> Iterator[int]:
    """A server action that draws a number from a sequence, and is then denied access.

    No rollback returns the number.
    """
    sequence = erp.rpc("ir.sequence", "create", {"name": "Calls", "code": "calls", "implementation": "standard"})
    model = erp.rpc("ir.model", "search", [("model", "=", "res.partner")])[0]
    code = "env['ir.sequence'].next_by_code('calls')\nenv['res.users'].change_password('wrong', 'new password')"
    action = erp.rpc("ir.actions.server", "create", {"name": "Denied", "model_id": model, "state": "code", "code": code})
    yield action
    erp.rpc("ir.sequence", "unlink", [sequence])


def drawn_numbers(erp: Odoo) -> int:
    (name,) = erp.pg.psql(
        "select 'ir_sequence_' || lpad(id::text, 3, '0') from ir_sequence where code = 'calls'", dbname=erp.dbname
    ).splitlines()
    return int(erp.pg.psql(f"select case when is_called then last_value else 0 end from {name}", dbname=erp.dbname))


@pytest.mark.parametrize("remembered", [False, True], ids=["first login", "remembered login"])
def test_method_that_is_denied_access_runs_once(connected: Supabase, erp: Odoo, counting_action: int, remembered: bool) -> None:
    if remembered:
        call(connected, "get_sync_stats")
        assert connected.row("select count(*) from ipai.odoo_logins") == {"count": 1}
    found = refused(connected, "run", [counting_action], model="ir.actions.server")
    assert drawn_numbers(erp) == 1
    assert found.sqlstate == "42501" and found.message_hint
    # The stored login stays valid.
    assert call(connected, "get_sync_stats")["total"] > 0
    assert drawn_numbers(erp) == 1


def test_outdated_login_is_renewed_before_the_call(connected: Supabase, erp: Odoo) -> None:
    call(connected, "get_sync_stats")
    connected.rows("update ipai.odoo_logins set uid = 999999")
    before = int(erp.pg.psql("select count(*) from ipai_sample_metric", dbname=erp.dbname))
    call(connected, "create_from_payload", {"name": "Once", "code": "ONCE", "unit": "count"})
    assert int(erp.pg.psql("select count(*) from ipai_sample_metric", dbname=erp.dbname)) == before + 1
    assert connected.row("select uid from ipai.odoo_logins") == {"uid": erp.uid("admin", "admin")}


def test_wrong_password_fails_before_the_method(supabase: Supabase, erp: Odoo) -> None:
    supabase.server(erp.url, dbname=erp.dbname, password="wrong password")
    found = refused(supabase, "create_from_payload", {"name": "Never", "code": "NEVER", "unit": "count"})
    assert found.sqlstate == "28P01"
    assert "wrong password" not in " ".join(str(text) for text in (found.message_primary, found.message_detail, found.message_hint))
    assert erp.pg.psql("select count(*) from ipai_sample_metric where code = 'NEVER'", dbname=erp.dbname) == "0"


# Privileges ---------------------------------------------------------------------------------------

RESTRICTED_FUNCTIONS = ("odoo_call", "odoo_models", "odoo_fields", "create_mirror", "alter_mirror", "drop_mirror", "refresh_mirror")


def test_only_the_owner_can_execute_by_default(connected: Supabase) -> None:
    functions = connected.rows(
        """select proname::text as name, count(*) over (partition by proname) as variants, prosecdef as definer,
                  proconfig @> '{"search_path=pg_catalog, pg_temp"}' as safe,
                  array(select role from unnest('{anon,authenticated,service_role,authenticator}'::text[]) role
                        where has_function_privilege(role, p.oid, 'execute')) as allowed,
                  has_function_privilege('postgres', p.oid, 'execute with grant option') as owner,
                  obj_description(p.oid) is not null as described
           from pg_proc p where pronamespace = 'ipai'::regnamespace and proname = any (%s)""",
        list(RESTRICTED_FUNCTIONS),
    )
    assert {row["name"] for row in functions} == set(RESTRICTED_FUNCTIONS)
    for row in functions:
        assert (row["variants"], row["definer"], row["safe"], row["allowed"], row["owner"], row["described"]) == (
            1,
            False,
            True,
            [],
            True,
            True,
        ), row
    with connected.connect("authenticator") as connection:
        for role in ("anon", "authenticated", "service_role"):
            connection.execute(f"set role {role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(CALL, ["odoo", METRIC, "get_sync_stats", Jsonb([]), Jsonb({})])


def test_role_with_execute_also_needs_usage_on_the_server(connected: Supabase) -> None:
    connected.rows("grant execute on function ipai.odoo_call to service_role")
    try:
        with connected.connect("authenticator") as connection:
            connection.execute("set role service_role")
            arguments = ["odoo", METRIC, "get_sync_stats", Jsonb([]), Jsonb({})]
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="server"):
                connection.execute(CALL, arguments)
            connected.rows("grant usage on foreign server odoo to service_role")
            connected.rows("create user mapping for service_role server odoo options (user 'clerk', password_secret 'odoo_password')")
            connected.rows("select vault.update_secret(id, 'clerk password') from vault.secrets where name = 'odoo_password'")
            row = connection.execute(CALL, arguments).fetchone()
            assert row and row["result"]["total"] > 0
            # Odoo applies the rights of the user in the mapping.
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(CALL, ["odoo", "ir.cron", "search", Jsonb([[]]), Jsonb({})])
    finally:
        connected.rows("revoke execute on function ipai.odoo_call from service_role")


# Models and fields --------------------------------------------------------------------------------


@pytest.mark.no_mirrors
def test_odoo_models_returns_the_readable_models(connected: Supabase, erp: Odoo) -> None:
    connected.create_mirror("res.currency")
    connected.create_mirror("res.currency", target="ipai.again")
    begun = time.monotonic()
    models = connected.rows("select * from ipai.odoo_models()")
    assert time.monotonic() - begun < 2
    assert list(models[0]) == ["model", "label", "mirrored_as"]
    names = [row["model"] for row in models]
    assert names == sorted(names) and len(names) == len(set(names)) > 50
    labels = dict(
        line.split("|", 1)
        for line in erp.pg.psql("select model, name ->> 'en_US' from ir_model where not transient", dbname=erp.dbname).splitlines()
    )
    assert {row["model"]: row["label"] for row in models}.items() <= labels.items()
    assert {"res.partner", "res.country", "ir.cron", METRIC} <= set(names)
    assert {row["model"]: row["mirrored_as"] for row in models if row["mirrored_as"]} == {"res.currency": ["again", "res_currency"]}


def test_user_who_cannot_list_the_models_gets_an_error(supabase: Supabase, erp: Odoo) -> None:
    """Without Odoo's module `web` only administrators can list the models."""
    supabase.server(erp.url, dbname=erp.dbname, user="clerk", password="clerk password")
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as error:
        supabase.rows("select model from ipai.odoo_models()")
    assert "ir.model" in (error.value.diag.message_primary or "") and error.value.diag.message_hint
    # The user sees exactly the fields that Odoo shows them.
    fields = {row["field"] for row in supabase.rows("select field from ipai.odoo_fields('odoo', 'res.users')")}
    assert fields == erp.rpc_as("clerk", "clerk password", "res.users", "fields_get", attributes=["type"]).keys()


@pytest.mark.no_mirrors
@pytest.mark.parametrize("model", ["res.partner", "res.users", "ir.cron", "ir.model.fields", "properties.base.definition", METRIC])
def test_odoo_fields_returns_the_fields_of_odoo(connected: Supabase, erp: Odoo, model: str) -> None:
    fields = connected.rows("select * from ipai.odoo_fields(model => %s, server => null)", model)
    assert list(fields[0])[:2] == ["field", "label"] and len(fields[0]) == 10
    names = [row["field"] for row in fields]
    assert names == sorted(names)
    expected = erp.rpc(model, "fields_get")
    assert set(names) == expected.keys()
    types = {"timestamp with time zone": "timestamptz"}
    for row in fields:
        field = expected[row["field"]]
        values = list(row.values())
        assert values[:6] == [row["field"], field["string"], field["type"], field["store"], field["required"], field.get("relation")]
        kind = "numeric" if field["type"] == "float" and field.get("digits") else COLUMN_TYPES[field["type"]]
        assert row["column_type"] == types.get(kind, kind)
        taken = field["store"] and field["type"] not in ("binary", "one2many") and row["field"] != "id"
        is_sensitive = taken and "looks like" in (row["note"] or "")
        assert (row["field"], row["by_default"]) == (row["field"], taken and not is_sensitive)
        assert (row["note"] is None) == row["by_default"]
        assert row["mirrored_as"] == []


def test_error_of_an_unknown_model_suggests_a_name(connected: Supabase) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject) as error:
        connected.rows("select * from ipai.odoo_fields('odoo', 'res.partnr')")
    assert "res.partner" in (error.value.diag.message_hint or "")
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        connected.rows("select * from ipai.odoo_fields('odoo', null)")
