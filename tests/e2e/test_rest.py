"""Tests access to the mirror through a real PostgREST with tokens of users and the service role.

Also runs the blocks of docs/how-to/dashboard-queries.md unchanged, with the real supabase-js.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from harness import paths, shell
from harness.postgrest import PREFIX, PostgREST, run_script
from support.faulty import FaultyOdoo, Record, fault, metric, never_respond
from support.supabase import Supabase

pytestmark = pytest.mark.postgres17

PAGE = paths.PROJECT / "docs/how-to/dashboard-queries.md"
TABLE = "/ipai_sample_metrics"
SYNC = "/rpc/sync_sample_metrics"

#: The Odoo user's password. No response may contain it.
PASSWORD = "hush-4711"

CODES = ("SHELF_AVAILABILITY", "STORE_SALES", "FOOTFALL")
BRANDS = (False, 7, 8)
STORES = (False, False, 3, 4)


def records() -> list[Record]:
    """Returns 48 metrics: every code with every brand and store.

    One in five has no date, several share a day, and a few are archived or alerts.
    """
    return [
        metric(
            100 + n,
            name=f"Metric {n}",
            code=CODES[n // 12 % 3],
            brand_id=BRANDS[n % 3],
            store_id=STORES[n % 4],
            date=False if n % 5 == 0 else f"2026-01-{10 - n % 7:02}",
            value=n / 4,
            unit="percent",
            is_alert=n % 6 == 1,
            notes="1st line\n2nd ☕" if n % 9 == 0 else False,
            active=n % 8 != 3,
        )
        for n in range(48)
    ]


RECORDS = records()
ACTIVE = [record for record in RECORDS if record["active"]]
COMMON = [record for record in ACTIVE if not record["brand_id"] and not record["store_id"]]
#: app_metadata of a user who sees every brand and every store.
EVERYTHING: dict[str, Any] = {"ipai_brand_ids": "*", "ipai_store_ids": "*"}


def ids(found: list[Record]) -> list[int]:
    return sorted(record["id"] for record in found)


# The API ------------------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    headers: Message
    text: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.status in (200, 206), self.text
        return cast(list[dict[str, Any]], json.loads(self.text))

    @property
    def ids(self) -> list[int]:
        """The sorted ids in Odoo."""
        return sorted(row["odoo_id"] for row in self.rows)

    @property
    def range(self) -> str:
        """Content-Range, such as `0-9/40`: first row, last row, and the count if requested."""
        return self.headers["Content-Range"]

    @property
    def problem(self) -> tuple[int, str]:
        return self.status, json.loads(self.text)["code"]


class Caller:
    """A client of the API with this token, or without a token."""

    def __init__(self, api: PostgREST, token: str | None) -> None:
        self._api = api
        self.token = token

    def __call__(self, method: str, path: str, body: object = None, /, **headers: str) -> Answer:
        """Sends a request. The names of `headers` have underscores instead of hyphens."""
        sent = {"Accept-Profile": "ipai", "Content-Profile": "ipai", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection(self._api.host, self._api.port, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())
        finally:
            connection.close()

    def get(self, headers: dict[str, str] | None = None, /, **query: str) -> Answer:
        """Reads the metrics with PostgREST's query parameters."""
        return self("GET", f"{TABLE}?{urlencode(query)}", **(headers or {}))


COUNT = {"Prefer": "count=exact"}


@pytest.fixture(scope="module")
def api(_supabase: Supabase) -> Iterator[PostgREST]:
    with PostgREST(_supabase.cluster) as running:
        yield running


@pytest.fixture(autouse=True)
def _logged(api: PostgREST) -> Iterator[None]:
    """Prints PostgREST's log of each test; pytest shows it if the test fails."""
    before = api.log.stat().st_size
    yield
    print(api.log.read_bytes()[before:].decode(errors="replace"))


@pytest.fixture
def erp() -> Iterator[FaultyOdoo]:
    with FaultyOdoo(records(), password=PASSWORD) as server:
        yield server


@pytest.fixture
def mirrored(supabase: Supabase, erp: FaultyOdoo) -> Supabase:
    """A mirror that equals Odoo."""
    supabase.server(erp.url, password=PASSWORD)
    assert supabase.row("select * from ipai.sync_sample_metrics()")["inserted"] == len(RECORDS)
    return supabase


@pytest.fixture
def user(api: PostgREST) -> Callable[[object], Caller]:
    """Returns a function that creates a signed-in user with this app_metadata."""
    return lambda app_metadata: Caller(api, api.token(app_metadata=app_metadata))


@pytest.fixture
def manager(user: Callable[[object], Caller], mirrored: Supabase) -> Caller:
    """A user who sees every row of a mirror that equals Odoo."""
    return user(EVERYTHING)


@pytest.fixture
def service(api: PostgREST, mirrored: Supabase) -> Caller:
    """The service role, with its own user mapping for Odoo."""
    mirrored.rows("grant usage on foreign server odoo to service_role")
    mirrored.rows("create user mapping for service_role server odoo options (user 'admin', password_secret 'odoo_password')")
    return Caller(api, api.token("service_role"))


# Reading ------------------------------------------------------------------------------------------


def test_a_row_has_every_column_in_its_json_type(manager: Caller) -> None:
    (row,) = manager.get(odoo_id="eq.118").rows
    assert isinstance(row.pop("id"), int)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", row.pop("inserted_at"))
    assert row.pop("updated_at")
    assert row == {
        **{"odoo_id": 118, "name": "Metric 18", "code": "STORE_SALES", "date": "2026-01-06", "brand_id": None, "store_id": 3},
        **{"value": 4.5, "unit": "percent", "is_alert": False, "notes": "1st line\n2nd ☕", "active": True},
    }
    (undated,) = manager.get(odoo_id="eq.100").rows
    assert (undated["date"], undated["brand_id"], undated["store_id"]) == (None, None, None)


FILTERS: dict[str, tuple[dict[str, str], Callable[[Record], bool]]] = {
    "a code": ({"code": "eq.FOOTFALL"}, lambda r: r["code"] == "FOOTFALL"),
    "a period": ({"and": "(date.gte.2026-01-05,date.lt.2026-01-08)"}, lambda r: "2026-01-05" <= (r["date"] or "") < "2026-01-08"),
    "undated": ({"date": "is.null"}, lambda r: not r["date"]),
    "a brand": ({"brand_id": "eq.7"}, lambda r: r["brand_id"] == 7),
    "several stores": ({"store_id": "in.(3,4)"}, lambda r: bool(r["store_id"])),
    "no brand": ({"brand_id": "is.null"}, lambda r: not r["brand_id"]),
    "alerts": ({"is_alert": "is.true"}, lambda r: r["is_alert"]),
    "a value": ({"value": "gt.6.25"}, lambda r: r["value"] > 6.25),
    "part of a name": ({"name": "ilike.*IC 4*"}, lambda r: r["name"].startswith("Metric 4")),
    "either": ({"or": "(code.eq.STORE_SALES,brand_id.eq.8)"}, lambda r: r["code"] == "STORE_SALES" or r["brand_id"] == 8),
    "archived": ({"active": "is.false"}, lambda r: False),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_return_the_matching_rows(manager: Caller, name: str) -> None:
    query, holds = FILTERS[name]
    expected = [record for record in ACTIVE if holds(record)]
    assert bool(expected) == (name != "archived")
    answer = manager.get(COUNT, select="odoo_id", **query)
    assert answer.ids == ids(expected)
    assert answer.range.endswith(f"/{len(expected)}")


@pytest.mark.parametrize("descending", [True, False])
def test_nullslast_sorts_undated_rows_last_in_both_directions(manager: Caller, descending: bool) -> None:
    order = f"date.{'desc' if descending else 'asc'}.nullslast,odoo_id"
    dates = [row["date"] for row in manager.get(select="date", order=order).rows]
    dated = sorted((record["date"] for record in ACTIVE if record["date"]), reverse=descending)
    assert dates == dated + [None] * (len(ACTIVE) - len(dated))
    assert None in dates


def test_undated_rows_are_first_in_descending_order_by_default(manager: Caller) -> None:
    assert manager.get(select="date", order="date.desc", limit="1").rows == [{"date": None}]


@pytest.mark.parametrize("way", ["Range", "limit and offset"])
def test_pages_contain_every_row_once_and_the_total(manager: Caller, way: str) -> None:
    order = {"select": "odoo_id,date", "order": "date.desc.nullslast,id"}
    whole = manager.get(**order).rows
    paged = []
    for first in range(0, len(whole), 10):
        last = min(first + 9, len(whole) - 1)
        if way == "Range":
            answer = manager.get({**COUNT, "Range_Unit": "items", "Range": f"{first}-{first + 9}"}, **order)
        else:
            answer = manager.get(COUNT, limit="10", offset=str(first), **order)
        assert answer.range == f"{first}-{last}/{len(ACTIVE)}"
        paged += answer.rows
    assert paged == whole and len(whole) == len(ACTIVE)


def test_offset_after_the_last_row_returns_no_rows(manager: Caller) -> None:
    answer = manager.get(COUNT, offset="1000")
    assert answer.problem == (416, "PGRST103") and answer.range == f"*/{len(ACTIVE)}"
    # Without a count PostgREST does not know the number of rows.
    assert manager.get(offset="1000").rows == []


def test_head_request_returns_only_the_count(manager: Caller) -> None:
    answer = manager("HEAD", f"{TABLE}?is_alert=is.true", **COUNT)
    assert (answer.status, answer.text) == (200, "")
    assert answer.range.endswith(f"/{len([record for record in ACTIVE if record['is_alert']])}")


def test_max_rows_limits_the_rows_but_not_the_count(supabase: Supabase, manager: Caller) -> None:
    with PostgREST(supabase.cluster, db_max_rows=10) as limited:
        answer = Caller(limited, manager.token).get(COUNT, order="id")
        assert len(answer.rows) == 10 and answer.range == f"0-9/{len(ACTIVE)}"


def test_error_names_the_unknown_column(manager: Caller) -> None:
    answer = manager.get(select="odoo_id,valeu")
    assert answer.problem == (400, "42703") and "valeu" in answer.text


# Access -------------------------------------------------------------------------------------------


def unsigned(api: PostgREST) -> str:
    """Returns a token that declares itself unsigned."""
    _, payload, _ = api.token("service_role").split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{header}.{payload}."


UNAUTHORIZED: dict[str, tuple[Callable[[PostgREST], str | None], tuple[int, str]]] = {
    "without a token": (lambda api: None, (401, "42501")),
    "with the anon key": (lambda api: api.token("anon"), (401, "42501")),
    "with the anon key and claims": (lambda api: api.token("anon", app_metadata=EVERYTHING), (401, "42501")),
    "after it expired": (lambda api: api.token(lasts=-60), (401, "PGRST301")),
    "of another project": (lambda api: api.token("service_role", secret="another secret, of the right length"), (401, "PGRST301")),
    "unsigned": (unsigned, (401, "PGRST301")),
    "malformed": (lambda api: "eyJ", (401, "PGRST301")),
    "of the owner": (lambda api: api.token("postgres"), (403, "42501")),
    "of a superuser": (lambda api: api.token("supabase_admin"), (403, "42501")),
    "of an unknown role": (lambda api: api.token("nobody"), (400, "22023")),
}


@pytest.mark.parametrize("name", UNAUTHORIZED)
def test_unauthorized_callers_read_nothing(api: PostgREST, mirrored: Supabase, name: str) -> None:
    token, refusal = UNAUTHORIZED[name]
    caller = Caller(api, token(api))
    assert caller.get().problem == refusal
    assert caller("HEAD", TABLE, **COUNT).status == refusal[0]
    assert caller("GET", "/sync_status").problem == refusal
    assert caller("POST", SYNC, {}).problem == refusal


def test_other_schemas_are_not_exposed(manager: Caller) -> None:
    for schema in ("auth", "vault", "cron", "extensions"):
        assert manager("GET", "/users", Accept_Profile=schema).problem == (406, "PGRST106")


def test_users_read_neither_runs_nor_mirror_definitions(manager: Caller) -> None:
    for name in ("mirrors", "run_log", "odoo_logins", "sync_runs"):
        assert manager("GET", f"/{name}").problem == (403, "42501")


TENANTS: dict[str, tuple[dict[str, object], Callable[[Record], bool]]] = {
    "nothing listed": ({}, lambda r: False),
    "a brand": ({"ipai_brand_ids": [7]}, lambda r: r["brand_id"] == 7),
    "two brands": ({"ipai_brand_ids": [7, 8, 9]}, lambda r: r["brand_id"] in (7, 8)),
    "a store": ({"ipai_store_ids": [3]}, lambda r: r["store_id"] == 3),
    "a brand and a store": ({"ipai_brand_ids": [8], "ipai_store_ids": [4]}, lambda r: r["brand_id"] == 8 or r["store_id"] == 4),
    "every brand": ({"ipai_brand_ids": "*"}, lambda r: bool(r["brand_id"])),
    "every store": ({"ipai_store_ids": "*"}, lambda r: bool(r["store_id"])),
    "every brand, in a list": ({"ipai_brand_ids": [1, "*"]}, lambda r: bool(r["brand_id"])),
    "everything": (EVERYTHING, lambda r: True),
    "an unknown brand": ({"ipai_brand_ids": [99]}, lambda r: False),
}


@pytest.mark.parametrize("name", TENANTS)
def test_tenant_reads_only_its_rows(user: Callable[[object], Caller], mirrored: Supabase, name: str) -> None:
    app_metadata, holds = TENANTS[name]
    expected = [record for record in ACTIVE if record in COMMON or holds(record)]
    answer = user(app_metadata).get(COUNT, select="odoo_id")
    assert answer.ids == ids(expected)
    # Invisible rows are not counted.
    assert answer.range.endswith(f"/{len(expected)}")


def test_filter_does_not_reveal_rows_of_other_tenants(user: Callable[[object], Caller], mirrored: Supabase) -> None:
    tenant = user({"ipai_brand_ids": [7]})
    hidden_id = next(record["id"] for record in ACTIVE if record["brand_id"] == 8 and not record["store_id"])
    assert tenant.get(odoo_id=f"eq.{hidden_id}").rows == []
    assert tenant.get(COUNT, brand_id="eq.8", select="odoo_id", limit="1").range == "*/0"


#: Malformed app_metadata, which grants only the rows that every user sees.
MALFORMED: dict[str, object] = {
    "null": None,
    "a text": '{"ipai_brand_ids": "*"}',
    "a number": 7,
    "a list": ["*"],
    "claims of null": {"ipai_brand_ids": None, "ipai_store_ids": None},
    "an id for a list": {"ipai_brand_ids": 7, "ipai_store_ids": 3},
    "a text for a list": {"ipai_brand_ids": "7", "ipai_store_ids": "3,4"},
    "a Postgres array": {"ipai_brand_ids": "{7,8}"},
    "true": {"ipai_brand_ids": True, "ipai_store_ids": [True]},
    "an object": {"ipai_brand_ids": {"*": True, "7": 7}, "ipai_store_ids": {"0": 3}},
    "texts in the list": {"ipai_brand_ids": ["7", "8"], "ipai_store_ids": [" 3", "%"]},
    "lists in the list": {"ipai_brand_ids": [[7], ["*"]], "ipai_store_ids": [{"id": 3}]},
    "fractions": {"ipai_brand_ids": [7.5, 6.9999], "ipai_store_ids": [3.000001]},
    "out of range": {"ipai_brand_ids": [2**63, -7, 0, 10**300, 7 + 2**64], "ipai_store_ids": [-(2**63), 10**4000]},
    "other stars": {"ipai_brand_ids": ["**", "* ", ""], "ipai_store_ids": " *"},
    "a character that Postgres lacks": {"ipai_brand_ids": "*", "note": "\0"},
    "deep": {"ipai_brand_ids": json.loads("[" * 500 + "]" * 500)},
    "SQL": {"ipai_brand_ids": "') or true --", "ipai_store_ids": ["3) or (true"]},
    "another name": {"IPAI_BRAND_IDS": "*", "ipai_brand_id": [7], "brand_ids": [7]},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_claims_reveal_nothing_and_never_fail(user: Callable[[object], Caller], mirrored: Supabase, name: str) -> None:
    assert user(MALFORMED[name]).get(select="odoo_id").ids == ids(COMMON)


def test_claims_outside_app_metadata_are_ignored(api: PostgREST, mirrored: Supabase) -> None:
    token = api.token(user_metadata=EVERYTHING, **EVERYTHING)
    assert Caller(api, token).get(select="odoo_id").ids == ids(COMMON)


def test_valid_claim_applies_beside_a_malformed_claim(user: Callable[[object], Caller], mirrored: Supabase) -> None:
    expected = [record for record in ACTIVE if record in COMMON or record["store_id"] == 3]
    caller = user({"ipai_brand_ids": {"7": 7}, "ipai_store_ids": ["x", 3, None, 4.5]})
    assert caller.get(select="odoo_id").ids == ids(expected)


def test_last_id_of_a_long_claim_applies(user: Callable[[object], Caller], mirrored: Supabase) -> None:
    expected = [record for record in ACTIVE if record in COMMON or record["brand_id"] == 7]
    assert user({"ipai_brand_ids": [*range(1_000, 4_000), 7]}).get(select="odoo_id").ids == ids(expected)


def test_claims_do_not_apply_to_the_next_request(user: Callable[[object], Caller], mirrored: Supabase) -> None:
    """Requests of different users share PostgREST's connections."""
    for _ in range(20):
        assert len(user(EVERYTHING).get(select="id").rows) == len(ACTIVE)
        assert len(user({}).get(select="id").rows) == len(COMMON)


# Writing ------------------------------------------------------------------------------------------

ROW = {"name": "Mine", "code": "MINE", "unit": "count"}
WRITES: dict[str, tuple[str, str, object, dict[str, str]]] = {
    "insert": ("POST", TABLE, ROW, {}),
    "insert many": ("POST", TABLE, [ROW, ROW], {}),
    "upsert": ("POST", f"{TABLE}?on_conflict=odoo_id", {**ROW, "odoo_id": 101}, {"Prefer": "resolution=merge-duplicates"}),
    "put": ("PUT", f"{TABLE}?id=eq.1", {**ROW, "id": 1}, {}),
    "update": ("PATCH", f"{TABLE}?odoo_id=eq.100", {"value": 0}, {}),
    "update of all": ("PATCH", TABLE, {"value": 0}, {}),
    "delete": ("DELETE", f"{TABLE}?odoo_id=eq.100", None, {}),
    "delete of all": ("DELETE", TABLE, None, {}),
}


@pytest.mark.parametrize("name", WRITES)
def test_users_cannot_write(manager: Caller, api: PostgREST, mirrored: Supabase, name: str) -> None:
    method, path, body, headers = WRITES[name]
    before = mirrored.rows("select xmin::text, xmax::text, * from ipai.ipai_sample_metrics order by id")
    assert manager(method, path, body, **headers).problem == (403, "42501")
    assert Caller(api, None)(method, path, body, **headers).problem == (401, "42501")
    assert mirrored.rows("select xmin::text, xmax::text, * from ipai.ipai_sample_metrics order by id") == before


def test_service_role_writes_local_rows_that_syncs_keep(service: Caller, mirrored: Supabase) -> None:
    assert service("POST", TABLE, ROW).status == 201
    assert service("PATCH", f"{TABLE}?code=eq.MINE", {"value": 3}).status == 204
    assert [row["value"] for row in service.get(code="eq.MINE").rows] == [3]
    # A sync does not change or delete local rows.
    assert service("POST", SYNC, {}).rows[0]["deleted"] == 0
    assert service("DELETE", f"{TABLE}?code=eq.MINE").status == 204
    assert len(service.get(select="id").rows) == len(RECORDS)


# Syncing ------------------------------------------------------------------------------------------


def test_service_role_syncs_and_receives_the_report(service: Caller, erp: FaultyOdoo, mirrored: Supabase) -> None:
    erp.records = [{**erp.records[0], "name": "Renamed"}, *erp.records[2:], metric(200)]
    ((report),) = service("POST", SYNC, {}).rows
    assert 0 < report.pop("seconds") < 60
    assert report.pop("run") == mirrored.last_run()["run"]
    assert report == {
        **{"mirror": "sample_metrics", "mode": "full", "dry_run": False},
        **{"fetched": 48, "inserted": 1, "updated": 1, "unchanged": 46, "deleted": 1, "odoo_count": 48, "mirror_count": 48, "delta": 0},
    }
    assert [row["odoo_id"] for row in mirrored.mirror("odoo_id")] == ids(erp.records)


def test_sync_takes_named_arguments_and_can_return_one_object(service: Caller, erp: FaultyOdoo, mirrored: Supabase) -> None:
    single = {"Accept": "application/vnd.pgrst.object+json"}
    report = json.loads(service("POST", SYNC, {"dry_run": True}, **single).text)
    assert (report["run"], report["dry_run"], report["unchanged"]) == (None, True, 48)
    report = json.loads(service("POST", SYNC, {"since": "2026-01-06", "max_rows": 10}, **single).text)
    assert (report["mode"], report["fetched"], report["dry_run"]) == ("since", 0, False)
    report = json.loads(service("POST", "/rpc/sync_mirror", {"mirror": "sample_metrics"}, **single).text)
    assert (report["mode"], report["unchanged"]) == ("full", 48)


def test_get_request_cannot_sync(service: Caller, mirrored: Supabase) -> None:
    """PostgREST runs GET in a read-only transaction."""
    runs = mirrored.rows("select run from ipai.run_log")
    assert service("GET", SYNC).problem == (405, "25006")
    assert mirrored.rows("select run from ipai.run_log") == runs


def test_errors_contain_message_and_hint(service: Caller, erp: FaultyOdoo, mirrored: Supabase) -> None:
    def failed(status: int, code: str, message: str) -> None:
        answer = service("POST", SYNC, {})
        assert answer.problem == (status, code)
        result = json.loads(answer.text)
        assert message in result["message"] and result["hint"]
        assert PASSWORD not in answer.text

    erp.on("search_read", fault(4, "Sorry, you are not allowed to access this"))
    failed(403, "42501", "not allowed")
    erp.clear_faults()
    erp.password = "changed"
    failed(403, "28P01", "Odoo authentication failed")
    mirrored.rows("revoke usage on foreign server odoo from service_role")
    failed(403, "42501", 'permission denied for foreign server "odoo"')
    assert len(mirrored.mirror()) == len(RECORDS)


def test_other_roles_cannot_call_functions_of_the_extension(api: PostgREST, manager: Caller, mirrored: Supabase, erp: FaultyOdoo) -> None:
    functions = mirrored.rows(
        """select oid::regprocedure::text as signature, proname as name, prokind as kind, coalesce(proargnames[:pronargs], '{}') as arguments,
                  array(select role from unnest('{anon,authenticated}'::text[]) role where has_function_privilege(role, oid, 'execute')) as callers
           from pg_proc
           where oid in (select objid from pg_depend where deptype = 'e' and classid = 'pg_proc'::regclass
                         and refobjid = (select oid from pg_extension where extname = 'ipai_sync'))"""
    )
    names = {function["name"] for function in functions}
    assert names > {"sync_sample_metrics", "sync_mirror", "run_sync", "sync_now", "schedule_sync", "refresh_counts", "odoo_call"}
    # It reads no data, and each role that reads ipai.sync_alerts needs it.
    assert [function["signature"] for function in functions if function["callers"]] == ["ipai.command_hint(text,boolean)"]
    functions = [function for function in functions if not function["callers"]]
    erp.requests.clear()
    for function in functions:
        path = f"/rpc/{function['name']}"
        arguments = dict.fromkeys(function["arguments"])
        status, code = manager("POST", path, arguments).problem
        # PostgREST does not expose procedures and trigger functions.
        assert (status, code) in {(403, "42501"), (404, "PGRST202")}, path
        assert Caller(api, None)("POST", path, arguments).problem in {(401, "42501"), (404, "PGRST202")}, path
    for name in ("sync_sample_metrics", "sync_mirror", "sync_now", "refresh_counts"):
        assert manager("POST", f"/rpc/{name}", {} if name == "sync_sample_metrics" else {"mirror": "sample_metrics"}).problem == (
            403,
            "42501",
        )
    assert erp.requests == []


def test_api_does_not_expose_run_sync(service: Caller) -> None:
    assert service("POST", "/rpc/run_sync", {"mirror": "sample_metrics"}).problem == (404, "PGRST202")


# Time ---------------------------------------------------------------------------------------------

SYNC_FUNCTIONS = {
    "sync_sample_metrics": "ipai.sync_sample_metrics(date, integer, boolean)",
    "sync_mirror": "ipai.sync_mirror(text, timestamptz, integer, boolean, double precision)",
}
SYNC_TIMEOUT = "55s"


@contextmanager
def temporarily_changed(supabase: Supabase, change: str, back: str) -> Iterator[None]:
    """Runs `change` before the block and `back` after it, both as superuser."""
    supabase.cluster.psql(change)
    try:
        yield
    finally:
        supabase.cluster.psql(back)


def test_both_sync_functions_set_their_own_timeout(supabase: Supabase) -> None:
    for signature in SYNC_FUNCTIONS.values():
        settings = supabase.row("select proconfig from pg_proc where oid = %s::regprocedure", signature)["proconfig"]
        assert f"statement_timeout={SYNC_TIMEOUT}" in settings


@pytest.mark.parametrize("name", SYNC_FUNCTIONS)
def test_sync_may_take_longer_than_other_calls(supabase: Supabase, service: Caller, erp: FaultyOdoo, name: str) -> None:
    """The API's limit of 8 seconds is scaled to 0.3 seconds, and the response takes 1 second."""
    limit = "alter role authenticator set statement_timeout = '{}'"
    with temporarily_changed(supabase, limit.format("300ms"), limit.format("8s")), PostgREST(supabase.cluster) as short_limit:
        caller = Caller(short_limit, service.token)
        erp.on("search_read", delayed_answer := _Delayed(1.0), times=1)
        assert caller("POST", f"/rpc/{name}", {"mirror": "sample_metrics"} if name == "sync_mirror" else {}).rows[0]["unchanged"] == 48
        assert delayed_answer.answered
        # Other functions keep the API's time limit.
        erp.on("search_count", _Delayed(1.0))
        assert caller("POST", "/rpc/refresh_counts", {"mirror": "sample_metrics"}).problem == (500, "57014")
    erp.clear_faults()


class _Delayed:
    """Responds normally after a delay, and records that it did."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.answered = False

    def __call__(self, exchange: Any) -> None:
        if exchange.wait(self.seconds):
            exchange.send(200, {}, exchange.answer())
            self.answered = True


@pytest.mark.parametrize("name", SYNC_FUNCTIONS)
def test_sync_that_times_out_rolls_back_without_losing_data(supabase: Supabase, service: Caller, erp: FaultyOdoo, name: str) -> None:
    signature = SYNC_FUNCTIONS[name]
    arguments = {"mirror": "sample_metrics"} if name == "sync_mirror" else {}
    alter = f"alter function {signature} set statement_timeout = "
    supabase.register(page_size=10)
    before = supabase.rows("select xmin::text, * from ipai.ipai_sample_metrics order by id")
    runs = supabase.rows("select * from ipai.run_log order by run")
    erp.records = [{**record, "name": f"{record['name']} again"} for record in erp.records[:40]]
    with temporarily_changed(supabase, f"{alter}'1s'", f"{alter}'{SYNC_TIMEOUT}'"), PostgREST(supabase.cluster) as strict:
        caller = Caller(strict, service.token)
        # The sync has received the first pages; the fourth never arrives.
        erp.requests.clear()
        for _ in range(3):
            erp.on("search_read", lambda exchange: exchange.send(200, {}, exchange.answer()), times=1)
        erp.on("search_read", never_respond)
        answer = caller("POST", f"/rpc/{name}", arguments)
        assert answer.problem == (500, "57014")
        assert json.loads(answer.text)["message"] == "canceling statement due to statement timeout"
        assert len(erp.received("search_read")) >= 4
        assert supabase.rows("select xmin::text, * from ipai.ipai_sample_metrics order by id") == before
        assert supabase.rows("select * from ipai.run_log order by run") == runs
        # The sync has closed its request and holds no locks.
        shell.wait_until(lambda: erp.connections == 0, "the request given up", seconds=2)
        erp.clear_faults()
        (report,) = caller("POST", f"/rpc/{name}", arguments).rows
        assert (report["updated"], report["deleted"], report["delta"]) == (40, 8, 0)
    assert [row["odoo_id"] for row in supabase.mirror("odoo_id")] == ids(erp.records)
    settings = supabase.row("select proconfig from pg_proc where oid = %s::regprocedure", signature)["proconfig"]
    assert f"statement_timeout={SYNC_TIMEOUT}" in settings


# The page -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced code block of the page."""

    section: str
    language: str
    text: str


def blocks() -> list[Block]:
    found: list[Block] = []
    section = ""
    for match in re.finditer(
        r"^(?:#+ (?P<title>[^\n]+)|```(?P<language>\w*)\n(?P<text>.*?)^```)$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    ):
        if match["title"]:
            section = match["title"]
        else:
            found.append(Block(section, match["language"], match["text"]))
    return found


def block(section: str, language: str = "js") -> str:
    (found,) = [block.text for block in blocks() if (block.section, block.language) == (section, language)]
    return found


#: Prints the block's variables of these names as JSON.
PRINT_VARIABLES = "".join(f"{name}: typeof {name} === 'undefined' ? undefined : {name}, " for name in ("data", "count", "error", "rows"))
PRINT_VARIABLES = f"console.log(JSON.stringify({{ {PRINT_VARIABLES}}}))"


@pytest.fixture
def script(api: PostgREST, manager: Caller) -> Callable[..., dict[str, Any]]:
    """Returns a function that runs the page's client and the block of a section.

    The function returns the variables that the block has set.
    """

    def run(section: str, *, app_metadata: object = EVERYTHING, over: PostgREST = api, output: str = PRINT_VARIABLES) -> dict[str, Any]:
        printed = run_script(
            f"{block('The client')}\n{block(section)}\n{output}",
            SUPABASE_URL=over.url,
            SUPABASE_ANON_KEY=api.token("anon"),
            SUPABASE_SERVICE_ROLE_KEY=api.token("service_role"),
            ACCESS_TOKEN=api.token(app_metadata=app_metadata),
        )
        return cast(dict[str, Any], json.loads(printed.splitlines()[-1]))

    return run


def shown(record: Record) -> dict[str, Any]:
    return {
        "date": record["date"] or None,
        **{name: record[name] for name in ("name", "value", "unit", "is_alert")},
    }


SHELVES = [record for record in ACTIVE if record["code"] == "SHELF_AVAILABILITY"]


@pytest.fixture
def shelves(mirrored: Supabase) -> list[Record]:
    """Orders by date, newest first and undated last, then by the mirror's own id."""
    number = {row["odoo_id"]: row["id"] for row in mirrored.mirror("odoo_id, id")}
    found = sorted(SHELVES, key=lambda record: number[record["id"]])
    dated = [record for record in found if record["date"]]
    return sorted(dated, key=lambda record: record["date"], reverse=True) + [record for record in found if not record["date"]]


def test_every_block_of_the_page_is_tested() -> None:
    assert {block.section for block in blocks() if block.language == "js"} == {
        *("The client", "One metric over time", "Pages, with the total", "Everything", "How many", "Sync from a server", "Realtime")
    }
    assert [block.language for block in blocks() if block.language not in ("js", "sql", "json")] == []
    assert len([block for block in blocks() if block.language == "sql"]) == 3


def test_page_reads_one_metric_over_time(script: Callable[..., dict[str, Any]], shelves: list[Record]) -> None:
    result = script("One metric over time")
    assert result == {"data": [shown(record) for record in shelves], "error": None}
    assert result["data"][0]["date"] and not result["data"][-1]["date"]


def test_page_reads_only_metrics_of_the_tenant(script: Callable[..., dict[str, Any]], shelves: list[Record]) -> None:
    result = script("One metric over time", app_metadata={"ipai_brand_ids": [7]})
    assert result["data"] == [shown(record) for record in shelves if record in COMMON or record["brand_id"] == 7]


def test_page_reads_one_page_with_the_total(script: Callable[..., dict[str, Any]], shelves: list[Record]) -> None:
    result = script("Pages, with the total")
    assert result["error"] is None and result["count"] == len(shelves) > 10
    assert [row["odoo_id"] for row in result["data"]] == [record["id"] for record in shelves[5:10]]


def test_page_reads_all_rows_beyond_max_rows(script: Callable[..., dict[str, Any]], supabase: Supabase) -> None:
    with PostgREST(supabase.cluster, db_max_rows=7) as limited:
        rows = script("Everything", over=limited)["rows"]
    whole = supabase.rows("select id, code, date::text, value from ipai.ipai_sample_metrics where active order by id")
    assert rows == whole and len(rows) == len(ACTIVE)


def test_page_counts_the_alerts(script: Callable[..., dict[str, Any]]) -> None:
    result = script("How many")
    assert result["count"] == len([record for record in ACTIVE if record["is_alert"] and record["date"]]) > 0
    assert result["error"] is None


def test_page_syncs_from_a_server(script: Callable[..., dict[str, Any]], mirrored: Supabase, erp: FaultyOdoo) -> None:
    mirrored.rows("select vault.create_secret(%s, 'odoo_api_key', ipai.secret_binding('odoo'))", PASSWORD)
    mirrored.rows(block("Sync from a server", "sql").replace("api@example.com", "admin").partition(";")[0])
    refused = script("Sync from a server")
    assert refused["data"] is None and "user mapping" in refused["error"]["message"] and refused["error"]["hint"]
    mirrored.rows(block("Sync from a server", "sql").replace("api@example.com", "admin").partition(";")[2])
    result = script("Sync from a server")
    assert result["error"] is None
    assert (result["data"]["mode"], result["data"]["unchanged"], result["data"]["delta"]) == ("since", 48, 0)
    report = re.search(r"the run's report: (.*?)\.", PAGE.read_text(), re.DOTALL)
    assert report and set(re.findall(r"`(\w+)`", report[1])) <= set(result["data"])


def test_page_subscribes_to_the_published_table(script: Callable[..., dict[str, Any]], supabase: Supabase) -> None:
    """Without a Realtime server, checks that supabase-js accepts the subscription.

    The table that the subscription names must be published.
    """
    result = script("Realtime", output="console.log(JSON.stringify(channel.bindings.postgres_changes[0].filter)); process.exit()")
    assert result == {"event": "*", "schema": "ipai", "table": "ipai_sample_metrics"}
    assert supabase.rows(
        "select pubname from pg_publication_tables where pubname = 'supabase_realtime' and (schemaname, tablename) = (%s, %s)",
        *(result["schema"], result["table"]),
    )


def test_page_exposes_the_schema(supabase: Supabase, manager: Caller) -> None:
    # On Supabase the extension supautils allows `postgres` to set the parameter of the role.
    allowed = 'grant set on parameter "pgrst.db_schemas" to postgres; grant authenticator to postgres with admin option'
    back = (
        "alter role authenticator reset pgrst.db_schemas; revoke authenticator from postgres;"
        'revoke set on parameter "pgrst.db_schemas" from postgres'
    )
    with temporarily_changed(supabase, allowed, back), PostgREST(supabase.cluster, db_schemas="public") as hiding:
        caller = Caller(hiding, manager.token)
        assert caller.get().problem == (406, "PGRST106")
        supabase.cluster.psql(block("Once: expose the schema", "sql"), user="postgres")
        shell.wait_until(lambda: caller.get().status != 406, "PostgREST reading its configuration anew", seconds=10)
        assert len(caller.get(select="id").rows) == len(ACTIVE)


def test_page_lists_the_brands_of_a_user(supabase: Supabase, api: PostgREST, mirrored: Supabase) -> None:
    supabase.rows(
        """insert into auth.users (id, email, raw_app_meta_data)
           values (gen_random_uuid(), 'ana@example.com', '{"provider": "email"}'), (gen_random_uuid(), 'ben@example.com', '{}')"""
    )
    try:
        supabase.rows(block("What a user needs", "sql"))
        ana, ben = supabase.rows("select raw_app_meta_data as app_metadata from auth.users order by email")
    finally:
        supabase.rows("delete from auth.users where true")
    assert ana["app_metadata"] == {"provider": "email", "ipai_brand_ids": [7, 8]} and ben["app_metadata"] == {}
    expected = [record for record in ACTIVE if record in COMMON or record["brand_id"]]
    assert Caller(api, api.token(**ana)).get(select="odoo_id").ids == ids(expected)


def test_page_shows_valid_claims(api: PostgREST, mirrored: Supabase) -> None:
    token = api.token(**json.loads(block("What a user needs", "json")))
    expected = [record for record in ACTIVE if record in COMMON or record["brand_id"] or record["store_id"]]
    assert Caller(api, token).get(select="odoo_id").ids == ids(expected)


def test_script_without_a_user_token_reads_nothing(api: PostgREST, mirrored: Supabase) -> None:
    printed = run_script(
        f"{block('The client')}\n{block('One metric over time')}\n{PRINT_VARIABLES}",
        SUPABASE_URL=api.url,
        SUPABASE_ANON_KEY=api.token("anon"),
    )
    result = json.loads(printed.splitlines()[-1])
    assert result["data"] is None and result["error"]["code"] == "42501"


def test_client_proxy_provides_only_the_rest_api(api: PostgREST) -> None:
    """The test client's proxy to PostgREST provides no other endpoints."""
    port = int(api.url.rpartition(":")[2])
    for path, status in (("/", 404), ("/auth/v1/token", 404), (f"{PREFIX}{TABLE}", 401)):
        connection = http.client.HTTPConnection(api.host, port, timeout=10)
        connection.request("GET", path, headers={"Accept-Profile": "ipai"})
        assert connection.getresponse().status == status
        connection.close()
