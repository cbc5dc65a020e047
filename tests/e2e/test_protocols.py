"""Tests which protocol the runs use, and how many requests they send in a second."""

from __future__ import annotations

from itertools import pairwise

import psycopg
import pytest

from harness.odoo import api_key
from support.faulty import FaultyOdoo, metric, respond_normally, status
from support.supabase import Supabase

RECORDS = [metric(number) for number in range(1, 6)]
KEY = api_key("admin", "admin")


def protocols(erp: FaultyOdoo) -> set[str]:
    """Returns the protocols of the requests since the last call of this function."""
    found = {"json2" if request.path.startswith("/json/") else "xmlrpc" for request in erp.requests}
    erp.requests.clear()
    return found


@pytest.mark.parametrize(
    ("option", "secret", "expected"),
    [
        ("auto", KEY, "json2"),
        ("auto", "admin", "xmlrpc"),
        ("json2", KEY, "json2"),
        ("xmlrpc", "admin", "xmlrpc"),
    ],
    ids=["auto with a key", "auto with a password", "json2", "xmlrpc"],
)
def test_option_and_secret_decide_the_protocol(supabase: Supabase, option: str, secret: str, expected: str) -> None:
    with FaultyOdoo(RECORDS) as erp:
        supabase.server(erp.url, password=secret)
        supabase.rows(f"alter server odoo options (add protocol '{option}')")
        supabase.register()
        for mode in ("full", "incremental", "reconcile"):
            assert supabase.run(f"'sample_metrics', '{mode}'")["state"] == "succeeded"
        assert protocols(erp) == {expected}
        found = supabase.row("select protocol, secret, odoo_version from ipai.check_connection()")
        assert found == {"protocol": expected, "secret": "API key" if secret == KEY else "password", "odoo_version": "19.0"}
        assert protocols(erp) == {expected}


def test_unknown_protocol_is_refused(supabase: Supabase) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        supabase.server("https://erp.example.com", protocol="json")
    assert "auto, xmlrpc and json2" in (refused.value.diag.message_hint or "")


def test_server_without_json2_is_remembered_for_a_day(supabase: Supabase) -> None:
    with FaultyOdoo(RECORDS, password=KEY, json2=False) as erp:
        supabase.server(erp.url, password=KEY)
        supabase.register()
        assert supabase.run()["state"] == "succeeded"
        assert protocols(erp) == {"xmlrpc"}
        remembered = "select xmlrpc_until > now() + interval '23 hours' as remembered from ipai.odoo_logins"
        assert supabase.row(remembered) == {"remembered": True}
        # The server is upgraded, and takes the secret as an API key.
        erp.json2, erp.api_key = True, KEY
        supabase.run()
        assert protocols(erp) == {"xmlrpc"}
        supabase.rows("update ipai.odoo_logins set xmlrpc_until = now() - interval '1 second'")
        supabase.run()
        assert protocols(erp) == {"json2"}
        assert supabase.row("select xmlrpc_until from ipai.odoo_logins") == {"xmlrpc_until": None}


def test_password_that_looks_like_a_key_is_sent_as_a_password(supabase: Supabase) -> None:
    with FaultyOdoo(RECORDS, password=KEY) as erp:
        supabase.server(erp.url, password=KEY)
        supabase.register()
        assert supabase.run()["state"] == "succeeded"
        assert protocols(erp) == {"json2", "xmlrpc"}
        supabase.run()
        assert protocols(erp) == {"xmlrpc"}


def test_expired_key_says_so(supabase: Supabase) -> None:
    with FaultyOdoo(RECORDS) as erp:
        supabase.server(erp.url, password=KEY)
        supabase.register()
        supabase.run()
        erp.api_key = "no longer"
        with pytest.raises(psycopg.errors.InvalidPassword) as refused:
            supabase.run()
        assert "may have expired" in (refused.value.diag.message_detail or "")
        assert KEY not in str(supabase.last_run())
        # Neither is the server taken for one without JSON-2.
        assert supabase.row("select xmlrpc_until from ipai.odoo_logins") == {"xmlrpc_until": None}
        erp.api_key = KEY
        assert supabase.run()["state"] == "succeeded"


def test_key_of_another_user_is_refused(supabase: Supabase) -> None:
    with FaultyOdoo(RECORDS, login="someone") as erp:
        erp.api_key = KEY
        supabase.server(erp.url, user="admin", password=KEY)
        supabase.register()
        with pytest.raises(psycopg.errors.InvalidPassword) as refused:
            supabase.run()
        assert '"someone"' in (refused.value.diag.message_detail or "")
        assert supabase.mirror() == []


def test_requests_of_all_mirrors_keep_their_distance(supabase: Supabase) -> None:
    with FaultyOdoo(RECORDS) as erp:
        supabase.server(erp.url, max_requests_per_second="5")
        supabase.register(page_size=2)
        supabase.add_mirror("second")
        supabase.rows("call ipai.run_sync()")
        supabase.row("select ipai.odoo_version()")
        moments = [request.received_at for request in erp.requests]
        assert len(moments) > 15
        # The network takes some milliseconds.
        assert min(later - earlier for earlier, later in pairwise(moments)) > 0.15
        for value in ("0", "-1", "x", "nan", "1001"):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                supabase.rows(f"alter server odoo options (set max_requests_per_second '{value}')")


def test_run_waits_as_long_as_odoo_asks(supabase: Supabase) -> None:
    with FaultyOdoo(RECORDS) as erp:
        supabase.server(erp.url, password=KEY)
        supabase.register()
        erp.on("search_read", status(429, retry_after=2), times=1)
        erp.on("search_read", respond_normally)
        assert supabase.run()["state"] == "succeeded"
        first, second, *_ = [request.received_at for request in erp.received("search_read")]
        assert 2 <= second - first < 10
