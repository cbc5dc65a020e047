"""Tests API keys of a real Odoo: what the database shows about them, and their rotation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness import paths
from harness.odoo import MODULE, Odoo, api_key, generate_metrics
from support.comparison import assert_equal, sql
from support.supabase import Supabase

#: An employee, whose keys expire.
READER, PASSWORD = "reader", "reader password"
KEY = api_key(READER, PASSWORD)


@pytest.fixture(scope="module")
def erp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Odoo]:
    """An Odoo that creates keys on request and logs each deprecated call."""
    addons = tmp_path_factory.mktemp("odoo") / "addons"
    shutil.copytree(paths.PROJECT / "addons/ipai", addons)
    shutil.copytree(Path(__file__).parents[1] / "support/addons", addons, dirs_exist_ok=True)
    with Odoo((MODULE, "test_api_keys"), addons=addons, settings={"log_handler": ":INFO"}) as odoo:
        generate_metrics(odoo, 200)
        sql(odoo, "insert into ir_config_parameter (key, value) values ('base.enable_programmatic_api_keys', 'True')")
        odoo.create_user(READER, PASSWORD)
        sql(odoo, "delete from res_users_apikeys where user_id in (select id from res_users where login = 'reader')")
        odoo.restart()
        yield odoo


@pytest.fixture
def connected(supabase: Supabase, erp: Odoo) -> Iterator[Supabase]:
    """A mirror that equals Odoo, read with a key that expires in ten days."""
    expires = datetime.now(UTC) + timedelta(days=10)
    erp.add_key(READER, KEY, expires=f"{expires:%Y-%m-%d %H:%M:%S}")
    supabase.server(erp.url, dbname=erp.dbname, user=READER, password=KEY)
    supabase.register()
    assert supabase.run()["state"] == "succeeded"
    yield supabase
    sql(erp, "delete from res_users_apikeys where user_id in (select id from res_users where login = 'reader')")


def keys(erp: Odoo) -> list[str]:
    """Returns the names of the reader's keys."""
    found = "select name from res_users_apikeys k join res_users u on u.id = k.user_id where login = 'reader' order by k.id"
    return erp.pg.psql(found, dbname=erp.dbname).splitlines()


def stored_key(supabase: Supabase) -> str:
    return str(supabase.row("select decrypted_secret as key from vault.decrypted_secrets where name = 'odoo_password'")["key"])


def alerts(supabase: Supabase) -> list[dict[str, Any]]:
    return supabase.rows("select kind, message, hint from ipai.sync_alerts")


def rotate(supabase: Supabase, arguments: str = "'odoo'") -> list[str]:
    """Rotates the key, and returns the notices and warnings."""
    notices: list[str] = []
    connection = supabase.connect()
    connection.add_notice_handler(lambda notice: notices.append(f"{notice.severity}: {notice.message_primary}"))
    connection.execute(f"call ipai.rotate_odoo_key({arguments})")
    return notices


def test_connection_shows_secret_protocol_and_expiry(connected: Supabase, erp: Odoo) -> None:
    query = "select protocol, secret, key_expires, odoo_version from ipai.check_connection()"
    row = connected.row(query)
    expires = row.pop("key_expires")
    assert row == {"protocol": "json2", "secret": "API key", "odoo_version": "19.0"}
    assert timedelta(days=9, hours=23) < expires - datetime.now(UTC) < timedelta(days=10)
    connected.rows("select ipai.set_odoo_password('odoo', %s)", PASSWORD)
    row = connected.row(query)
    assert (row["protocol"], row["secret"], row["key_expires"]) == ("xmlrpc", "password", None)


def test_alert_comes_two_weeks_before_the_key_expires(connected: Supabase, erp: Odoo) -> None:
    (alert,) = alerts(connected)
    assert alert["kind"] == "key" and "rotate_odoo_key('odoo')" in alert["hint"]
    sql(erp, "update res_users_apikeys set expiration_date = now() + interval '15 days' where expiration_date is not null")
    assert connected.run("'sample_metrics', 'full'")["state"] == "succeeded"
    assert alerts(connected) == []


def test_rotation_replaces_the_key(connected: Supabase, erp: Odoo) -> None:
    notices = rotate(connected)
    new = stored_key(connected)
    assert new != KEY and len(new) == 40
    assert len(notices) == 1 and notices[0].startswith("NOTICE") and new not in notices[0]
    (name,) = keys(erp)
    assert name.startswith("ipai_sync")
    # The alert is gone at once.
    assert alerts(connected) == []
    assert connected.run("'sample_metrics', 'full'")["state"] == "succeeded"
    assert_equal(connected, erp, by_json2=True)
    assert KEY not in (log := connected.cluster.log.read_text(errors="replace")) and new not in log
    # A second rotation replaces the new key.
    rotate(connected, "days => 30")
    assert len(keys(erp)) == 1 and stored_key(connected) != new


def test_rotation_that_cannot_store_the_key_keeps_the_old_one(connected: Supabase, erp: Odoo) -> None:
    connected.cluster.psql(
        """create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'vault is full'; end $$;
           create trigger refuse before update on vault.secrets for each row execute function public.refuse()"""
    )
    try:
        with pytest.raises(psycopg.errors.RaiseException, match="vault is full"):
            rotate(connected)
    finally:
        connected.cluster.psql("drop trigger refuse on vault.secrets; drop function public.refuse()")
    assert (stored_key(connected), keys(erp)) == (KEY, ["Tests"])
    assert connected.run()["state"] == "succeeded"


def test_rotation_that_cannot_revoke_the_old_key_warns(connected: Supabase, erp: Odoo) -> None:
    sql(
        erp,
        """create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no deletion'; end $$;
           create trigger refuse before delete on res_users_apikeys for each row execute function refuse()""",
    )
    try:
        notices = rotate(connected)
    finally:
        sql(erp, "drop trigger refuse on res_users_apikeys; drop function refuse()")
    assert [notice.split(":")[0] for notice in notices] == ["WARNING", "NOTICE"] and "not revoked" in notices[0]
    assert stored_key(connected) != KEY and len(keys(erp)) == 2
    assert connected.run()["state"] == "succeeded"


def test_rotation_explains_why_it_is_impossible(connected: Supabase, erp: Odoo) -> None:
    with connected.connect() as connection, connection.transaction(), pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        connection.execute("call ipai.rotate_odoo_key('odoo')")
    for arguments in ("'odoo', 0", "'odoo', null", "'odoo', 4000"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            rotate(connected, arguments)
    # Odoo limits the validity for employees.
    with pytest.raises(psycopg.Error, match="cannot exceed 90"):
        rotate(connected, "'odoo', 100")
    assert (stored_key(connected), keys(erp)) == (KEY, ["Tests"])
    connected.rows("select ipai.set_odoo_password('odoo', %s)", PASSWORD)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="not an API key"):
        rotate(connected)


def test_odoo_without_the_method_is_named(supabase: Supabase, odoo: Odoo) -> None:
    supabase.server(odoo.url, dbname=odoo.dbname, protocol="json2")
    with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:
        rotate(supabase)
    assert "set_odoo_password" in (refused.value.diag.message_hint or "")


def test_day_of_runs_logs_no_deprecation(connected: Supabase, erp: Odoo) -> None:
    def deprecations() -> int:
        return erp.log.read_text(errors="replace").count("deprecated")

    before = deprecations()
    # The tests' own calls use XML-RPC, so the log has such warnings.
    assert before > 0
    for hour in range(24):
        sql(erp, f"update ipai_sample_metric set value = {hour}, write_date = now() at time zone 'UTC' where id % 24 = {hour}")
        if hour % 6 == 5:
            sql(erp, f"delete from ipai_sample_metric where id = (select min(id) from ipai_sample_metric where id % 24 = {hour})")
        mode = "full" if hour == 3 else "reconcile" if hour % 8 == 0 else "auto"
        assert connected.run(f"'sample_metrics', '{mode}'")["state"] == "succeeded"
    connected.rows("select * from ipai.refresh_counts()")
    connected.rows("select * from ipai.check_connection()")
    connected.rows("select ipai.odoo_call('odoo', 'res.users', 'context_get')")
    connected.rows("select * from ipai.odoo_fields(model => 'ipai.sample.metric')")
    assert_equal(connected, erp, by_json2=True)
    assert deprecations() == before
