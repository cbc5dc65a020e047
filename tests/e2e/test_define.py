"""Tests creating, altering, refreshing and dropping mirrors.

Also tests mirrors whose fields change in Odoo.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from harness import postgres
from harness.odoo import Odoo, generate_metrics
from harness.postgres import Installation
from support.comparison import assert_equal
from support.model_comparison import assert_mirrors, compare
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

METRIC = "ipai.sample.metric"
FRENCH = "fr_FR"


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    """The file's own Odoo, because tests add fields to its models and remove them."""
    with Odoo() as odoo:
        generate_metrics(odoo, 200)
        odoo.create_user("clerk", "clerk password")
        french = odoo.rpc("res.lang", "search", [("code", "=", FRENCH)], context={"active_test": False})
        odoo.rpc("res.lang", "write", french, {"active": True})
        yield odoo


@pytest.fixture
def connected(supabase: Supabase, erp: Odoo) -> Supabase:
    """A database with an Odoo server and no mirror."""
    supabase.server(erp.url, dbname=erp.dbname)
    return supabase


@pytest.fixture
def currencies(connected: Supabase) -> Supabase:
    """A mirror that equals Odoo and whose next run is incremental."""
    connected.create_mirror("res.currency")
    assert connected.sync("res_currency")["mode"] == "full"
    return connected


def refused(supabase: Supabase, sql: str, *args: Any, user: str = "postgres") -> psycopg.errors.Diagnostic:
    """Runs a statement that must fail, and returns its error."""
    with pytest.raises(psycopg.Error) as error:
        supabase.rows(sql, *args, user=user)
    return error.value.diag


def drift(supabase: Supabase, mirror: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = supabase.row("select drift from ipai.mirror_state where mirror = %s", mirror)["drift"]
    return found


def registered(supabase: Supabase, mirror: str) -> dict[str, Any]:
    return supabase.row("select * from ipai.mirrors where name = %s", mirror)


def test_user_with_one_read_only_group_can_sync(connected: Supabase, erp: Odoo) -> None:
    """The user of docs/how-to/odoo-user.md, without the role of an internal user."""
    group = erp.rpc("res.groups", "create", {"name": "Mirror (read only)"})
    (model,) = erp.rpc("ir.model", "search", [("model", "=", METRIC)])
    access = {"name": "mirror", "model_id": model, "group_id": group, "perm_read": True}
    erp.rpc("ir.model.access", "create", access | {"perm_write": False, "perm_create": False, "perm_unlink": False})
    user = {"name": "Mirror", "login": "mirror", "password": "mirror password", "group_ids": [(6, 0, [group])]}
    erp.rpc("res.users", "create", user, context={"no_reset_password": True})
    connected.server(erp.url, name="narrow", dbname=erp.dbname, user="mirror", password="mirror password")
    connected.create_mirror(METRIC, target="ipai.metrics", server="narrow")
    assert connected.sync("metrics")["fetched"] == erp.rpc(METRIC, "search_count", [], context={"active_test": False})
    assert refused(connected, "select * from ipai.create_mirror('res.partner', server => 'narrow')").sqlstate == "42501"
    write = f"select ipai.odoo_call('narrow', '{METRIC}', 'write', '[[1], {{\"unit\": \"x\"}}]')"
    assert refused(connected, write).sqlstate == "42501"


# The table ----------------------------------------------------------------------------------------


@pytest.fixture
def grants_by_default(supabase: Supabase) -> Iterator[None]:
    """Grants the API roles all new tables in public, as in projects from before May 2026."""
    change = "alter default privileges for role postgres in schema public {} all on {} {} anon, authenticated, service_role, public"
    for things in ("tables", "functions"):
        supabase.rows(change.format("grant", things, "to"))
    yield
    for things in ("tables", "functions"):
        supabase.rows(change.format("revoke", things, "from"))
    # By default PUBLIC may execute functions.
    supabase.rows("alter default privileges for role postgres in schema public grant execute on functions to public")


@pytest.mark.parametrize("target", ["ipai.res_currency", "public.currencies"])
def test_created_table_belongs_only_to_the_caller(connected: Supabase, grants_by_default: None, target: str) -> None:
    connected.create_mirror("res.currency", target=target)
    table = connected.row(
        """select relowner::regrole::text as owner, relrowsecurity as secured, relforcerowsecurity as forced,
                  exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e') as member,
                  (select array_agg(distinct grantee::regrole::text order by grantee::regrole::text) from aclexplode(relacl)) as grantees,
                  (select array_agg(privilege_type order by privilege_type) from aclexplode(relacl)
                   where grantee = 'service_role'::regrole) as granted,
                  (select count(*) from pg_policy where polrelid = c.oid) as policies
           from pg_class c where c.oid = %s::regclass""",
        target,
    )
    assert table == {
        "owner": "postgres",
        "secured": True,
        "forced": False,
        "member": False,
        "grantees": ["postgres", "service_role"],
        "granted": ["DELETE", "INSERT", "SELECT", "UPDATE"],
        "policies": 0,
    }
    columns = connected.rows("select attname::text from pg_attribute where attrelid = %s::regclass and attacl is not null", target)
    assert columns == []
    for role in ("anon", "authenticated"):
        with connected.connect("authenticator") as connection:
            connection.execute(f"set role {role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select from {target}")


@pytest.mark.parametrize("target", ["ipai.res_currency", "public.currencies"])
def test_created_trigger_function_belongs_only_to_the_caller(connected: Supabase, grants_by_default: None, target: str) -> None:
    connected.create_mirror("res.currency", target=target)
    functions = connected.rows(
        """select proowner::regrole::text as owner, prosecdef as definer,
                  exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') as member,
                  array(select distinct grantee::regrole::text from aclexplode(coalesce(proacl, acldefault('f', proowner)))) as grantees
           from pg_trigger t join pg_proc p on p.oid = tgfoid where tgrelid = %s::regclass""",
        target,
    )
    assert functions == [{"owner": "postgres", "definer": False, "member": False, "grantees": ["postgres"]}]


def test_separate_role_can_create_and_own_a_mirror(connected: Supabase, erp: Odoo) -> None:
    connected.cluster.psql(
        """create role analyst login;
           grant usage on schema vault to analyst; grant select on vault.decrypted_secrets to analyst""",
    )
    try:
        connected.rows("create schema analysis")
        connected.rows("grant usage, create on schema analysis to analyst; grant usage on schema ipai to analyst")
        connected.rows("grant usage on foreign server odoo to analyst")
        connected.rows("create user mapping for analyst server odoo options (user 'admin', password_secret 'odoo_password')")
        connected.rows("grant select, insert, update, delete on ipai.mirrors, ipai.mirror_state, ipai.mirror_objects to analyst")
        connected.rows("grant select, insert, update, delete on ipai.run_log, ipai.odoo_logins, ipai.sync_rejects to analyst")
        connected.rows("grant execute on all routines in schema ipai to analyst")
        connected.rows("select * from ipai.create_mirror('res.currency', 'analysis.currencies')", user="analyst")
        owner = connected.row("select relowner::regrole::text as owner from pg_class where oid = 'analysis.currencies'::regclass")
        assert owner == {"owner": "analyst"}
        connected.rows("call ipai.run_sync('currencies')", user="analyst")
        assert connected.last_run("currencies")["state"] == "succeeded"
        # Without CREATE on the schema, analyst gets an error and no mirror.
        found = refused(connected, "select * from ipai.create_mirror('res.currency', 'public.more')", user="analyst")
        assert found.sqlstate == "42501"
        assert connected.row("select count(*) from ipai.mirrors") == {"count": 1}
    finally:
        # Only postgres can revoke what postgres has granted.
        connected.rows("revoke all on schema ipai from analyst")
        connected.rows("revoke all on all tables in schema ipai from analyst")
        connected.rows("revoke all on all routines in schema ipai from analyst")
        connected.rows("drop schema analysis cascade")
        connected.rows("drop server odoo cascade")
        connected.cluster.psql("drop owned by analyst; drop role analyst")


def test_planted_trigger_function_does_not_run_as_the_mirror_owner(connected: Supabase, erp: Odoo) -> None:
    """A role with CREATE on the schema must not get its function run by those who sync."""
    connected.cluster.psql(
        """create role mallory login;
           create schema shared authorization postgres; grant usage, create on schema shared to mallory;
           set role mallory;
           create table shared.ran_as (who text); grant insert on shared.ran_as to public;
           create function shared.keep_updated_at() returns trigger language plpgsql as
               'begin insert into shared.ran_as values (current_user); return new; end';
           grant execute on function shared.keep_updated_at() to public"""
    )
    try:
        try:
            connected.create_mirror("res.currency", target="shared.currencies")
        except psycopg.errors.InsufficientPrivilege:
            return
        connected.sync("currencies")
        connected.rows("update shared.currencies set symbol = symbol || '!'")
        assert connected.rows("select distinct who from shared.ran_as") == []
    finally:
        connected.cluster.psql("drop schema shared cascade; drop role mallory")


def test_service_role_syncs_but_cannot_define_mirrors(connected: Supabase, erp: Odoo) -> None:
    connected.create_mirror("res.currency", target="public.currencies")
    connected.rows("grant usage on foreign server odoo to service_role")
    connected.rows("create user mapping for service_role server odoo options (user 'admin', password_secret 'odoo_password')")
    with connected.connect("authenticator") as connection:
        connection.execute("set role service_role")
        connection.execute("call ipai.run_sync('currencies')")
        assert_mirrors(connected, erp, "currencies", at_least=100)
        report = connection.execute("select * from ipai.sync_mirror('currencies')").fetchone()
        assert report and report["unchanged"] == report["fetched"] > 100
        for call in (
            "create_mirror('res.country')",
            "alter_mirror('currencies', page_size => 10)",
            "refresh_mirror('currencies')",
            "drop_mirror('currencies')",
            "odoo_call('odoo', 'res.currency', 'search_count', '[[]]')",
            "odoo_models()",
            "odoo_fields('odoo', 'res.currency')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from ipai.{call}")


def test_column_comments_contain_labels_and_help_from_odoo(connected: Supabase, erp: Odoo) -> None:
    made = connected.create_mirror(METRIC, target="ipai.metrics")
    labels = erp.rpc(METRIC, "fields_get", attributes=["string", "help"])
    comments = {
        row["name"]: row["comment"]
        for row in connected.rows(
            """select attname::text as name, col_description(attrelid, attnum) as comment from pg_attribute
               where attrelid = 'ipai.metrics'::regclass and attnum > 0"""
        )
    }
    for row in made:
        description = labels[row["field"]]
        assert row["label"] == description["string"]
        assert comments.pop(row["column"]) == (
            f"{description['string']}: {description['help']}" if description.get("help") else description["string"]
        )
    assert sum("help" in description for description in labels.values()) > 2
    # Odoo has no label for the mirror's own columns.
    assert comments.keys() == {"odoo_id", "inserted_at", "updated_at"} and all(comments.values())
    comment = connected.row("select obj_description('ipai.metrics'::regclass) as comment")["comment"]
    assert METRIC in comment and "IPAI Sample Metric" in comment


def test_create_mirror_returns_the_mirrored_fields(connected: Supabase) -> None:
    made = connected.create_mirror(METRIC, target="ipai.metrics", fields=["value", "brand_id", "write_date"], columns={"value": "amount"})
    assert [tuple(row.values())[:5] for row in made] == [
        ("metrics", "ipai.metrics", "value", "amount", "double precision"),
        ("metrics", "ipai.metrics", "brand_id", "brand_id", "bigint"),
        ("metrics", "ipai.metrics", "write_date", "write_date", "timestamptz"),
        ("metrics", "ipai.metrics", "active", "active", "boolean"),
    ]
    fields = connected.rows("select field, mirrored_as from ipai.odoo_fields('odoo', %s) where mirrored_as <> '{}'", METRIC)
    assert {row["field"]: row["mirrored_as"] for row in fields} == {
        "value": ["metrics.amount"],
        "brand_id": ["metrics.brand_id"],
        "write_date": ["metrics.write_date"],
        "active": ["metrics.active"],
    }
    assert connected.row("select mirrored_as from ipai.odoo_models() where model = %s", METRIC) == {"mirrored_as": ["metrics"]}


def test_table_keeps_ids_unique_and_updated_at_current(currencies: Supabase, erp: Odoo) -> None:
    assert refused(currencies, "insert into ipai.res_currency (odoo_id) select min(odoo_id) from ipai.res_currency").sqlstate == "23505"
    assert refused(currencies, "insert into ipai.res_currency (name) values ('x')").sqlstate == "23502"
    moment = "select inserted_at, updated_at from ipai.res_currency where odoo_id = 1"
    first = currencies.row(moment)
    assert first["inserted_at"] == first["updated_at"]
    assert currencies.sync("res_currency", "full")["updated"] == 0
    currencies.rows("update ipai.res_currency set symbol = symbol where odoo_id = 1")
    assert currencies.row(moment) == first
    currencies.rows("update ipai.res_currency set symbol = 'by hand' where odoo_id = 1")
    changed = currencies.row(moment)
    assert changed["inserted_at"] == first["inserted_at"] and changed["updated_at"] > first["updated_at"]
    assert currencies.sync("res_currency", "full")["updated"] == 1
    assert currencies.row(moment)["updated_at"] > changed["updated_at"]
    assert_mirrors(currencies, erp, "res_currency")


def test_computed_fields_are_mirrored_when_named(connected: Supabase, erp: Odoo) -> None:
    connected.create_mirror("res.country", fields=["display_name", "image_url", "code"])
    connected.sync("res_country")
    shown = erp.rpc("res.country", "search_read", [], ["display_name", "image_url", "code"], order="id")
    found = connected.rows(
        "select odoo_id as id, display_name, coalesce(image_url, '') as image_url, code from ipai.res_country order by 1"
    )
    assert found == [{**row, "image_url": row["image_url"] or ""} for row in shown]
    assert len(found) > 200


def test_rolled_back_create_mirror_leaves_nothing(connected: Supabase) -> None:
    with connected.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("select * from ipai.create_mirror('res.currency')")
        assert connection.execute("select from ipai.mirrors").fetchall()
    assert connected.rows("select from ipai.mirrors") == []
    assert connected.row("select to_regclass('ipai.res_currency') as found") == {"found": None}


def test_mirrors_keep_triggers_and_policies_after_the_extension_is_dropped(extension_pg: Installation, erp: Odoo) -> None:
    with postgres.supabase_cluster(extension_pg) as cluster:
        cluster.psql("create extension ipai_sync")
        supabase = Supabase(cluster)
        supabase.server(erp.url, dbname=erp.dbname)
        supabase.create_mirror("res.currency", target="public.currencies")
        supabase.create_mirror("res.country")
        supabase.rows("create policy all_of_it on public.currencies for select to authenticated using (active)")
        for name in ("currencies", "res_country"):
            supabase.sync(name)
        cluster.psql("drop extension ipai_sync cascade")
        for table in ("public.currencies", "ipai.res_country"):
            supabase.rows(f"update {table} set name = name || '!' where odoo_id = 1")
            moved = supabase.row(f"select updated_at > inserted_at as moved, count(*) over () from {table} where odoo_id = 1")
            assert moved["moved"]
        assert supabase.row("select count(*) from pg_policies where tablename = 'currencies'") == {"count": 1}


# Refused arguments --------------------------------------------------------------------------------

#: Arguments of create_mirror, the SQLSTATE, and a part of the HINT.
REFUSED: list[tuple[str, str, str]] = [
    ("'res.partne'", "42704", "res.partner"),
    ("'ipai.sample.metrc'", "42704", "ipai.sample.metric"),
    ("'no.such.thing.at.all'", "42704", "spelling"),
    ("null", "22023", "odoo_models"),
    ("''", "22023", ""),
    ("'res.partner', fields => '{emial}'", "42703", "email"),
    ("'res.partner', fields => '{name,parner_id}'", "42703", "parent_id"),
    ("'res.partner', fields => '{NAME}'", "42703", ""),
    ("'res.partner', fields => '{name,qqqqqqqq}'", "42703", "spelling"),
    ("'res.partner', fields => '{name,email,name}'", "22023", "once"),
    ("'res.partner', fields => '{id}'", "22023", "fields"),
    ("'res.partner', fields => '{}'", "22023", "fields"),
    ("'res.partner', fields => '{name,null}'", "22023", ""),
    ("'res.partner', fields => '{\"\"}'", "42703", ""),
    ("'res.partner', columns => '{\"name\": \"odoo_id\"}'", "22023", "column"),
    ("'res.partner', columns => '{\"name\": \"updated_at\"}'", "22023", "column"),
    ('\'res.partner\', columns => \'{"name": "same", "email": "same"}\'', "22023", "column"),
    ("'res.partner', columns => '{\"name\": \"email\"}'", "22023", "column"),
    ("'res.partner', fields => '{name}', columns => '{\"email\": \"mail\"}'", "22023", "fields"),
    ("'res.partner', columns => '[]'", "22023", "JSON object"),
    ("'res.partner', columns => '{\"name\": 1}'", "22023", "JSON object"),
    ("'res.partner', columns => '{\"name\": \"\"}'", "22023", "63"),
    (f"'res.partner', columns => '{{\"name\": \"{'x' * 64}\"}}'", "22023", "63"),
    ("'res.partner', constants => '{\"odoo_id\": \"acme\"}'", "22023", "JSON object"),
    ("'res.partner', constants => '{\"name\": \"acme\"}'", "22023", "column"),
    ("'res.partner', constants => '{\"tenant\": null}'", "22023", "text"),
    ("'res.partner', constants => '{\"tenant\": 1.5}'", "22023", "text"),
    ("'res.partner', constants => '[\"acme\"]'", "22023", "JSON object"),
    ("'res.partner', constants => '{\"\": \"acme\"}'", "22023", "JSON object"),
    ("'res.partner', domain => '{\"name\": \"x\"}'", "22023", "domain"),
    ("'res.partner', domain => '\"x\"'", "22023", "domain"),
    ("'res.partner', domain => '[[\"name\", \"=\"]]'", "22023", "domain"),
    ("'res.partner', domain => '[\"and\"]'", "22023", "domain"),
    ("'res.partner', domain => '[[\"nmae\", \"=\", 1]]'", "42703", ""),
    ("'res.partner', lang => 'fr FR'", "22023", "lang"),
    ("'res.partner', company_ids => '{0}'", "22023", "compan"),
    ("'res.partner', company_ids => '{1,null}'", "22023", ""),
    ("'res.partner', company_ids => '{999999}'", "42501", "use some of: 1."),
    # Odoo accepts these for the search, and fails or ignores them later.
    ("'res.country', lang => 'es_ES'", "22023", "use one of: en_US, fr_FR."),
    ("'res.country', company_ids => '{1,999999}'", "42501", "use some of: 1."),
    ("'res.partner', page_size => 0", "22023", "50000"),
    ("'res.partner', page_size => 50001", "22023", "50000"),
    ("'res.partner', max_delete_ratio => 1.01", "22023", "0 to 1"),
    ("'res.partner', max_delete_ratio => -0.01", "22023", "0 to 1"),
    ("'res.partner', max_delete_ratio => 'NaN'", "22023", "0 to 1"),
    ("'res.partner', overlap => '-1 second'", "22023", "interval"),
    ("'res.partner', overlap => '100 years'", "22023", "interval"),
    ("'res.partner', reconcile_every => '0'", "22023", "interval"),
    ("'res.partner', flag_field => 'name'", "22023", "boolean"),
    ("'res.partner', flag_field => 'nope'", "22023", "boolean"),
    ("'res.partner', fields => '{name}', flag_field => 'is_company'", "22023", "mirrored"),
    ("'res.partner', target => ''", "22023", "schema.table"),
    ("'res.partner', target => 'a.b.c'", "22023", "schema.table"),
    ("'res.partner', target => 'a b'", "22023", "schema.table"),
    ("'res.partner', target => 'nowhere.partners'", "3F000", ""),
    ("'res.partner', target => 'pg_catalog.partners'", "42501", ""),
    ("'res.partner', target => 'public.in_the_way'", "42P07", "columns"),
    ("'res.partner', target => 'public.a_view'", "42P07", "target"),
    ("'res.partner', target => 'public.a_sequence'", "42P07", "target"),
    ("'res.partner', target => 'ipai.ipai_sample_metrics'", "42P07", "columns"),
    ("'res.partner', name => ''", "22023", "40"),
    (f"'res.partner', name => '{'x' * 41}'", "22023", "40"),
    ("'res.partner', name => 'now running'", "22023", "name"),
    ("'res.country', name => 'taken'", "42710", "alter_mirror"),
    ("'res.country', target => 'ipai.taken'", "42710", ""),
    ("'res.partner', server => 'nope'", "42704", ""),
    # No user can read the first model, and clerk cannot read the second.
    ("'ir.model.inherit'", "42501", "access"),
    ("'ir.cron', server => 'as_clerk'", "42501", "access"),
]


@pytest.fixture
def existing_objects(connected: Supabase, erp: Odoo) -> Iterator[Supabase]:
    """Tables with the names of targets, a mirror, and a server as a user with few rights."""
    for statement in (
        "create table public.in_the_way (odoo_id bigint)",
        "create view public.a_view as select 1 as odoo_id",
        "create sequence public.a_sequence",
    ):
        connected.rows(statement)
    connected.create_mirror("res.currency", name="taken", target="public.currencies")
    connected.server(erp.url, name="as_clerk", dbname=erp.dbname, user="clerk", password="clerk password")
    yield connected
    connected.rows("drop view public.a_view; drop sequence public.a_sequence")


def all_objects(supabase: Supabase) -> list[dict[str, Any]]:
    """Returns all relations, functions and mirrors."""
    return supabase.rows(
        """select 'relation' as kind, oid::regclass::text as name from pg_class where relnamespace::regnamespace::text !~ '^pg_(toast|catalog)'
           union all select 'function', oid::regprocedure::text from pg_proc where pronamespace::regnamespace::text <> 'pg_catalog'
           union all select 'mirror', m::text from ipai.mirrors m
           union all select 'run', r::text from ipai.run_log r
           order by 1, 2"""
    )


def test_create_mirror_refuses_invalid_arguments_without_changes(existing_objects: Supabase) -> None:
    before = all_objects(existing_objects)
    for arguments, sqlstate, hint in REFUSED:
        server = "" if "server" in arguments else ", server => 'odoo'"
        found = refused(existing_objects, f"select * from ipai.create_mirror({arguments}{server})")
        context = (arguments, found.message_primary, found.message_hint)
        assert (found.sqlstate, found.severity) == (sqlstate, "ERROR"), context
        assert hint.lower() in (found.message_hint or "").lower(), context
        assert found.message_primary and "password" not in f"{found.message_primary} {found.message_detail}", context
        # Postgres's own errors about schemas and privileges have no hint.
        assert found.message_hint or sqlstate in ("3F000", "42501"), context
        assert all_objects(existing_objects) == before, context


def test_create_mirror_requires_a_server_if_there_are_several(existing_objects: Supabase) -> None:
    found = refused(existing_objects, "select * from ipai.create_mirror('res.country')")
    assert "server" in (found.message_hint or "")
    assert existing_objects.create_mirror("res.country", server="odoo")


def test_fields_that_the_user_cannot_read_are_not_mirrored(existing_objects: Supabase, erp: Odoo) -> None:
    model = erp.rpc("ir.model", "search", [("model", "=", "res.partner")])[0]
    assert model
    mirrored = {}
    for server in ("odoo", "as_clerk"):
        made = existing_objects.create_mirror("res.users", server=server, target=f"ipai.users_{server}")
        mirrored[server] = {row["field"] for row in made}
        existing_objects.sync(f"users_{server}")
    visible = erp.rpc_as("clerk", "clerk password", "res.users", "fields_get", attributes=["type"])
    assert mirrored["as_clerk"] == mirrored["odoo"] & visible.keys()
    assert_mirrors(existing_objects, erp, "users_odoo")


# Existing tables ----------------------------------------------------------------------------------


def test_reference_table_can_be_created_by_create_mirror(connected: Supabase, erp: Odoo) -> None:
    connected.create_mirror(METRIC, target="ipai.ipai_sample_metrics", columns={}, name="sample_metrics", flag_field="is_alert")
    run = connected.sync("sample_metrics")
    assert run["inserted"] == run["odoo_count"] >= 200
    assert_equal(connected, erp)
    found = compare(connected, erp, "sample_metrics")
    assert (found.differences, set(found.fields)) == (
        [],
        {"name", "code", "date", "brand_id", "store_id", "value", "unit", "is_alert", "notes", "active"},
    )
    explicit = registered(connected, "sample_metrics")
    connected.rows("delete from ipai.mirrors")
    connected.rows("select ipai.register_sample_metrics()")
    default = registered(connected, "sample_metrics")
    for column in ("model", "target_schema", "target_table", "flag_field", "page_size", "max_delete_ratio", "constants"):
        assert default[column] == explicit[column]
    assert {entry["field"]: entry for entry in default["fields"]} == {entry["field"]: entry for entry in explicit["fields"]}
    assert connected.sync("sample_metrics")["updated"] == 0


OWN_TABLE = """create table public.firms (
    id bigint generated always as identity primary key, odoo_id integer unique, title varchar, mail text, note text default 'ours',
    latitude double precision, labels bigint[], written timestamptz, tenant text default 'none', "is company" boolean, extras jsonb)"""
OWN_COLUMNS = {
    "name": "title",
    "email": "mail",
    "partner_latitude": "latitude",
    "category_id": "labels",
    "write_date": "written",
    "is_company": "is company",
    "color": "extras",
}


def test_existing_table_is_filled_by_a_map_of_columns(connected: Supabase, erp: Odoo) -> None:
    connected.rows(OWN_TABLE)
    connected.rows("insert into public.firms (title) values ('Local')")
    made = connected.create_mirror("res.partner", target="public.firms", columns=OWN_COLUMNS, overlap="0")
    assert {row["field"]: row["column"] for row in made} == OWN_COLUMNS
    before = connected.row("select relacl::text, relrowsecurity from pg_class where oid = 'public.firms'::regclass")
    assert before == {"relacl": None, "relrowsecurity": False}
    run = connected.sync("firms")
    records = erp.rpc(
        "res.partner", "search_read", [], ["name", "email", "partner_latitude", "category_id", "is_company", "color"], order="id"
    )
    rows = connected.rows(
        'select odoo_id, title, mail, latitude, labels, "is company", extras, note, tenant from public.firms where odoo_id > 0 order by 1'
    )
    shown = [
        (
            row["id"],
            row["name"],
            row["email"] or None,
            row["partner_latitude"],
            row["category_id"],
            row["is_company"],
            row["color"],
            "ours",
            "none",
        )
        for row in records
    ]
    # The mirror also has the archived records, which the call above omits.
    active = {row["id"] for row in records}
    assert [tuple(row.values()) for row in rows if row["odoo_id"] in active] == shown
    assert len(rows) == run["odoo_count"] > 100
    assert connected.sync("firms", "full")["updated"] == 0
    assert connected.row("select title from public.firms where odoo_id is null") == {"title": "Local"}


def test_value_that_violates_a_constraint_fails_the_run(connected: Supabase, erp: Odoo) -> None:
    connected.rows("create table public.short (odoo_id bigint primary key, name text check (length(name) < 4))")
    connected.create_mirror("res.partner", target="public.short", columns={}, max_rejects=0)
    with pytest.raises(psycopg.errors.CheckViolation):
        connected.sync("short")
    run = connected.last_run("short")
    assert (run["state"], run["sqlstate"]) == ("failed", "23514")
    assert connected.rows("select from public.short") == []


#: Columns of a table, the map of columns, the SQLSTATE, and a part of the HINT.
TABLES = [
    ("odoo_id bigint unique", "{}", "22023", "field"),
    ("odoo_id bigint unique, name text", '{"name": "nmae"}', "42703", "name"),
    ("odoo_id bigint unique, name text", '{"email": "mail"}', "42703", ""),
    ("odoo_id bigint unique, name varchar(200)", '{"name": "name"}', "22023", "text"),
    ("odoo_id bigint unique, name integer", '{"name": "name"}', "22023", "text"),
    ("odoo_id bigint unique, name char(10)", '{"name": "name"}', "22023", "text"),
    ("odoo_id bigint unique, color smallint", '{"color": "color"}', "22023", "integer"),
    ("odoo_id bigint unique, write_date timestamp", '{"write_date": "write_date"}', "22023", "timestamptz"),
    ("odoo_id bigint unique, write_date timestamptz(3)", '{"write_date": "write_date"}', "22023", "timestamptz"),
    ("odoo_id bigint unique, partner_latitude numeric(10, 2)", '{"partner_latitude": "partner_latitude"}', "22023", "numeric"),
    ("name text", "{}", "42703", ""),
]


def test_table_with_unsuitable_columns_is_refused(connected: Supabase, erp: Odoo) -> None:
    create = "select * from ipai.create_mirror('res.partner', 'public.firms', columns => %s::jsonb)"
    for columns, map_, sqlstate, hint in TABLES:
        connected.rows(f"create table public.firms ({columns})")
        before = all_objects(connected)
        found = refused(connected, create, map_)
        context = (columns, found.message_primary, found.message_hint)
        assert found.sqlstate == sqlstate, context
        assert found.message_hint and hint in found.message_hint, context
        assert all_objects(connected) == before, context
        connected.rows("drop table public.firms")


@pytest.mark.parametrize("constraint", ["check (odoo_id > 0)", "unique (odoo_id, name)", "unique (odoo_id) deferrable"])
def test_hint_creates_the_missing_key_of_a_table(connected: Supabase, erp: Odoo, constraint: str) -> None:
    connected.rows(f"create table public.firms (odoo_id bigint, name text, {constraint})")
    found = refused(connected, "select * from ipai.create_mirror('res.partner', 'public.firms', columns => '{}')")
    hint = "create unique index on public.firms (odoo_id);"
    if "deferrable" in constraint:
        hint = f"alter table public.firms drop constraint firms_odoo_id_key; {hint}"
    assert (found.sqlstate, found.message_hint) == ("42704", hint)
    # The hint is a statement that creates the missing index.
    connected.rows(found.message_hint or "")
    connected.create_mirror("res.partner", target="public.firms", columns={})
    connected.sync("firms")
    assert_mirrors(connected, erp, "firms", at_least=100)


def test_existing_table_requires_the_constant_columns_and_their_key(connected: Supabase, erp: Odoo) -> None:
    connected.rows("create table public.firms (odoo_id bigint, name text, tenant text, length varchar(20), unique (odoo_id))")
    create = "select * from ipai.create_mirror('res.partner', 'public.firms', columns => '{}', constants => '{\"%s\": \"acme\"}')"
    assert refused(connected, create % "client").sqlstate == "42703"
    assert refused(connected, create % "length").sqlstate == "22023"
    found = refused(connected, create % "tenant")
    assert (found.sqlstate, found.message_hint) == ("42704", "create unique index on public.firms (tenant, odoo_id);")
    connected.rows("alter table public.firms drop constraint firms_odoo_id_key, drop length")
    connected.rows(found.message_hint or "")
    connected.rows(create % "tenant")
    connected.sync("firms")
    assert_mirrors(connected, erp, "firms", at_least=100)
    assert connected.rows("select distinct tenant from public.firms") == [{"tenant": "acme"}]


def test_constants_are_compared_as_values_of_their_columns(connected: Supabase, erp: Odoo) -> None:
    """Different spellings of a value are the same constant."""
    connected.rows(
        """create table public.firms (odoo_id bigint, name text, "Key" uuid, since text, number smallint, is_test boolean,
                                      primary key ("Key", since, number, is_test, odoo_id))"""
    )
    first = {"Key": "8D5C1B6E-0000-4000-8000-00000000000A", "since": "2026-01-06", "number": "007", "is_test": "no"}
    for name, number in (("one", "007"), ("two", "8")):
        connected.create_mirror("res.partner", target="public.firms", name=name, columns={}, constants={**first, "number": number})
        connected.sync(name)
    same = {"Key": "8d5c1b6e-0000-4000-8000-00000000000a", "since": "2026-01-06", "number": 7, "is_test": False}
    assert registered(connected, "one")["constants"] == {key: str(value).lower() for key, value in same.items()}
    create = "select * from ipai.create_mirror('res.partner', 'public.firms', name => 'same', columns => '{}', constants => %s)"
    assert refused(connected, create, Jsonb(same)).sqlstate == "22023"
    assert refused(connected, create, Jsonb({**same, "number": "seven"})).sqlstate in ("22023", "22P02")
    for name in ("one", "two"):
        assert connected.sync(name, "full")["updated"] == 0
        assert_mirrors(connected, erp, name, at_least=100)
    assert connected.row("select count(distinct number) from public.firms") == {"count": 2}


def test_two_mirrors_of_one_table_need_different_constants(connected: Supabase) -> None:
    acme = {"target": "public.partners", "constants": {"tenant": "acme"}}
    connected.create_mirror("res.partner", **acme)
    before = all_objects(connected)
    create = "select * from ipai.create_mirror('res.partner', 'public.partners', name => 'second', constants => %s::jsonb)"
    for constants in ('{"tenant": "acme"}', "{}", None, '{"client": "globex"}', '{"tenant": "globex", "more": "x"}'):
        found = refused(connected, create, constants)
        assert found.sqlstate == "22023" and found.message_hint
        assert all_objects(connected) == before
    # Ids of another model would collide, so its column must be named.
    create = "select * from ipai.create_mirror('res.country', 'public.partners', name => 'second', constants => '{\"tenant\": \"x\"}')"
    assert refused(connected, create).sqlstate == "42P07"
    assert all_objects(connected) == before


# Options ------------------------------------------------------------------------------------------

#: Arguments of alter_mirror in this order, and whether the next run must be full.
ALTERED = [
    ("page_size => 100", False),
    ("overlap => '1 hour'", False),
    ("reconcile_every => '7 days'", False),
    ("max_delete_ratio => 0.9", False),
    ("enabled => false", False),
    ("flag_field => 'active'", False),
    ("flag_field => ''", False),
    ("late_after => '1 hour'", False),
    ("max_failures => 3", False),
    ("max_delta => 10", False),
    ("max_flagged_ratio => 0.75", False),
    ("max_rejects => 10", False),
    ("domain => null, lang => null, company_ids => null, page_size => null", False),
    # These are the current values.
    ("server => 'odoo', domain => '[]', lang => '', company_ids => '{}'", False),
    ("server => 'same_odoo'", True),
    ("server => 'same_odoo'", False),
    ('domain => \'[["id", ">", 5]]\'', True),
    ('domain => \'[["id",">",5]]\'', False),
    ("domain => '[]'", True),
    (f"lang => '{FRENCH}'", True),
    (f"lang => '{FRENCH}'", False),
    ("lang => ''", True),
    ("company_ids => '{1}'", True),
    ("company_ids => '{1}'", False),
    ("company_ids => '{}'", True),
]


def test_options_that_affect_rows_make_the_next_run_full(currencies: Supabase, erp: Odoo) -> None:
    currencies.server(erp.url, name="same_odoo", dbname=erp.dbname)
    had = registered(currencies, "res_currency")
    for change, full in ALTERED:
        currencies.rows(f"select ipai.alter_mirror('res_currency', {change})")
        has = registered(currencies, "res_currency")
        changed = {column for column in had if had[column] != has[column]} - {"cursor", "settled_id"}
        assert changed <= {change.split(" ")[0]} and (changed or not full), change
        run = currencies.sync("res_currency")
        assert run["mode"] == ("full" if full else "incremental"), change
        assert_mirrors(currencies, erp, "res_currency", where="r.id > 5" if has["domain"] else "true")
        # Only one run is full.
        assert currencies.sync("res_currency")["mode"] == "incremental", change
        had = registered(currencies, "res_currency")


REFUSED_OPTIONS = [
    ("server => 'nope'", "42704", ""),
    ("domain => '{}'", "22023", "domain"),
    ('domain => \'[["nmae", "=", 1]]\'', "42703", ""),
    ("lang => 'fr FR'", "22023", "lang"),
    ("company_ids => '{-1}'", "22023", "compan"),
    ("company_ids => '{999999}'", "42501", "use some of: 1."),
    ("lang => 'es_ES'", "22023", "use one of: en_US, fr_FR."),
    ("page_size => 0", "22023", "50000"),
    ("page_size => 50001", "22023", "50000"),
    ("overlap => '-1 second'", "22023", "interval"),
    ("reconcile_every => '0 seconds'", "22023", "interval"),
    ("max_delete_ratio => 2", "22023", "0 to 1"),
    ("max_delete_ratio => 'NaN'", "22023", "0 to 1"),
    ("flag_field => 'symbol'", "22023", "boolean"),
    ("flag_field => 'nope'", "22023", "boolean"),
    ("late_after => '-1 second'", "22023", "interval"),
    ("max_failures => -1", "22023", ""),
    ("max_delta => -1", "22023", ""),
    ("max_rejects => -1", "22023", "10000"),
    ("max_rejects => 10001", "22023", "10000"),
    ("max_flagged_ratio => 1.5", "22023", "0 to 1"),
    ("max_flagged_ratio => 'NaN'", "22023", "0 to 1"),
]


def test_alter_mirror_refuses_invalid_options(currencies: Supabase) -> None:
    before = registered(currencies, "res_currency")
    for change, sqlstate, hint in REFUSED_OPTIONS:
        # A refused call changes nothing, also not its valid option.
        found = refused(currencies, f"select ipai.alter_mirror('res_currency', {change}, enabled => false)")
        assert (change, found.sqlstate) == (change, sqlstate)
        assert found.message_hint and hint in found.message_hint, change
        assert registered(currencies, "res_currency") == before, change


@pytest.mark.parametrize("call", ["alter_mirror({})", "refresh_mirror({})", "drop_mirror({})"])
def test_error_of_an_unknown_mirror_lists_the_existing_mirrors(currencies: Supabase, call: str) -> None:
    found = refused(currencies, f"select * from ipai.{call.format(chr(39) + 'res_curency' + chr(39))}")
    assert found.sqlstate == "42704" and "res_currency" in (found.message_hint or "")
    assert refused(currencies, f"select * from ipai.{call.format('null')}").sqlstate == "22023"


def test_disabled_mirror_runs_only_by_name(currencies: Supabase) -> None:
    currencies.create_mirror("res.country", enabled=False)
    currencies.rows("call ipai.run_sync()")
    assert currencies.rows("select from ipai.sync_runs where mirror = 'res_country'") == []
    assert currencies.sync("res_country")["inserted"] > 200
    currencies.rows("select ipai.alter_mirror('res_country', enabled => true)")
    currencies.rows("call ipai.run_sync()")
    assert currencies.row("select count(*) from ipai.sync_runs where mirror = 'res_country'") == {"count": 2}


COUNTED = "select odoo_flagged, mirror_flagged from ipai.run_log where mirror = 'metrics' order by run desc limit 1"


def test_flag_field_is_counted(connected: Supabase, erp: Odoo) -> None:
    connected.create_mirror(METRIC, target="ipai.metrics", flag_field="is_alert")
    connected.sync("metrics")
    expected = int(erp.pg.psql("select count(*) from ipai_sample_metric where is_alert", dbname=erp.dbname))
    assert connected.row(COUNTED) == {"odoo_flagged": expected, "mirror_flagged": expected} and expected > 5


def test_changed_flag_field_is_counted_by_the_next_run(connected: Supabase, erp: Odoo) -> None:
    """A run without changed records also counts the new field."""
    connected.create_mirror(METRIC, target="ipai.metrics")
    connected.sync("metrics")
    for field in ("is_alert", "active", ""):
        connected.rows("select ipai.alter_mirror('metrics', flag_field => %s)", field)
        run = connected.sync("metrics")
        assert (run["mode"], run["updated"]) == ("incremental", 0)
        expected = int(erp.pg.psql(f"select count(*) from ipai_sample_metric where {field}", dbname=erp.dbname)) if field else None
        assert (field, connected.row(COUNTED)) == (field, {"odoo_flagged": expected, "mirror_flagged": expected})


# Dropping -----------------------------------------------------------------------------------------


def test_table_of_a_dropped_mirror_can_be_mirrored_again(currencies: Supabase, erp: Odoo) -> None:
    currencies.rows("select ipai.schedule_sync('res_currency', '0 3 * * *')")
    rows = "select odoo_id, xmin::text, updated_at from ipai.res_currency order by 1"
    before = currencies.rows(rows)
    currencies.rows("select ipai.drop_mirror('res_currency')")
    assert currencies.rows("select from ipai.mirrors union all select from ipai.run_log") == []
    assert currencies.rows("select from cron.job") == []
    assert currencies.rows(rows) == before
    assert refused(currencies, "call ipai.run_sync('res_currency')").sqlstate == "42704"
    # `columns => '{}'` mirrors every field that has a column, and the run updates no row.
    currencies.create_mirror("res.currency", columns={})
    run = currencies.sync("res_currency")
    assert (run["mode"], run["unchanged"], run["updated"]) == ("full", len(before), 0)
    assert currencies.rows(rows) == before
    assert_mirrors(currencies, erp, "res_currency")


def test_drop_mirror_can_drop_the_table(currencies: Supabase) -> None:
    currencies.rows("select ipai.drop_mirror('res_currency', drop_table => true)")
    assert currencies.row("select to_regclass('ipai.res_currency') as found") == {"found": None}
    assert currencies.rows("select from ipai.mirrors union all select from ipai.run_log") == []
    assert currencies.create_mirror("res.currency")


def test_table_with_dependent_objects_is_not_dropped(currencies: Supabase) -> None:
    currencies.rows("create view public.needs_it as select name from ipai.res_currency")
    try:
        found = refused(currencies, "select ipai.drop_mirror('res_currency', true)")
        assert found.sqlstate == "2BP01"
        assert currencies.row("select count(*) from ipai.mirrors") == {"count": 1}
    finally:
        currencies.rows("drop view public.needs_it")


def test_running_mirror_is_not_dropped(currencies: Supabase) -> None:
    with currencies.connect() as connection, connection.transaction():
        connection.execute("select * from ipai.sync_mirror('res_currency')")
        assert refused(currencies, "select ipai.drop_mirror('res_currency', true)").sqlstate == "55P03"
    currencies.rows("select ipai.drop_mirror('res_currency', true)")


# Fields that come and go --------------------------------------------------------------------------


@pytest.fixture
def field(erp: Odoo) -> Iterator[Callable[..., int]]:
    """Returns a function that adds a field to Odoo's metrics. The fixture removes the fields."""
    (model,) = erp.rpc("ir.model", "search", [("model", "=", METRIC)])

    def add(name: str, ttype: str = "char", **values: Any) -> int:
        described = {"model_id": model, "name": name, "ttype": ttype, "field_description": f"Label of {name}", **values}
        return int(erp.rpc("ir.model.fields", "create", described))

    yield add
    remove(erp, "x_%")


def remove(erp: Odoo, name: str) -> None:
    """Removes fields from Odoo's metrics."""
    found = erp.rpc("ir.model.fields", "search", [("model", "=", METRIC), ("name", "=like", name)])
    if found:
        erp.rpc("ir.model.fields", "unlink", found)


@pytest.fixture
def metrics(connected: Supabase, erp: Odoo) -> Supabase:
    """A mirror that equals Odoo's metrics.

    Their write_date is old, so an incremental run reads few of them.
    """
    connected.create_mirror(METRIC, target="ipai.metrics")
    erp.pg.psql("update ipai_sample_metric set write_date = timestamp '2025-01-01' + id * interval '1 hour'", dbname=erp.dbname)
    connected.sync("metrics")
    assert_mirrors(connected, erp, "metrics", at_least=200)
    return connected


def refresh(supabase: Supabase, *add: str) -> dict[str, dict[str, Any]]:
    """Calls refresh_mirror, and returns the rows of fields whose status is not `ok`."""
    rows = supabase.rows("select * from ipai.refresh_mirror('metrics', %s)", list(add) or None)
    return {row["field"]: row for row in rows if row["status"] != "ok"}


def alerts(supabase: Supabase) -> list[dict[str, Any]]:
    return supabase.rows("select kind, mirror, message, hint from ipai.sync_alerts where kind = 'drift'")


def test_refresh_of_a_matching_mirror_changes_nothing(metrics: Supabase, erp: Odoo) -> None:
    before = registered(metrics, "metrics")
    assert refresh(metrics) == {}
    rows = metrics.rows("select field, \"column\", status, note from ipai.refresh_mirror('metrics')")
    assert {row["field"] for row in rows} == {entry["field"] for entry in before["fields"]}
    assert all(row["status"] == "ok" and row["note"] is None and row["column"] == row["field"] for row in rows)
    assert registered(metrics, "metrics") == before
    assert metrics.sync("metrics")["mode"] == "incremental"


def test_added_field_is_filled_by_the_next_run(metrics: Supabase, erp: Odoo, field: Callable[..., int]) -> None:
    field("x_score", "float", help="What it scored.")
    field("x_word")
    erp.pg.psql("update ipai_sample_metric set x_score = id / 3.0, x_word = case when id % 2 = 0 then 'even ' || id end", dbname=erp.dbname)
    assert {name: (row["status"], row["column"]) for name, row in refresh(metrics).items()} == {
        "x_score": ("new", None),
        "x_word": ("new", None),
    }
    # A new field that is not added does not change the runs.
    assert metrics.sync("metrics")["mode"] == "incremental"
    added = refresh(metrics, "x_score")
    assert {name: (row["status"], row["column"]) for name, row in added.items()} == {
        "x_score": ("added", "x_score"),
        "x_word": ("new", None),
    }
    comment = metrics.row(
        "select col_description(attrelid, attnum) as text from pg_attribute where attrelid = 'ipai.metrics'::regclass and attname = 'x_score'"
    )
    assert comment == {"text": "Label of x_score: What it scored."}
    run = metrics.sync("metrics")
    assert (run["mode"], run["updated"]) == ("full", run["fetched"])
    found = assert_mirrors(metrics, erp, "metrics")
    assert "x_score" in found.fields and found.variety["x_score"] > 100
    assert metrics.sync("metrics")["mode"] == "incremental"


def test_refresh_adds_all_fields_or_none(metrics: Supabase, field: Callable[..., int]) -> None:
    field("x_score", "float")
    before = all_objects(metrics)
    columns = "select attname::text from pg_attribute where attrelid = 'ipai.metrics'::regclass and attnum > 0"
    had = metrics.rows(columns)
    for names, sqlstate in (
        ("x_score,x_scroe", "42703"),
        ("x_score,name", "42710"),
        ("x_score,id", "22023"),
        ("x_score,x_score", "22023"),
        ("x_score,null", "22023"),
    ):
        found = refused(metrics, f"select * from ipai.refresh_mirror('metrics', '{{{names}}}')")
        assert found.sqlstate == sqlstate and found.message_hint
        assert (all_objects(metrics), metrics.rows(columns)) == (before, had)
    assert "x_score" in (refused(metrics, "select * from ipai.refresh_mirror('metrics', '{x_scroe}')").message_hint or "")


def test_added_field_uses_an_existing_column(metrics: Supabase, erp: Odoo, field: Callable[..., int]) -> None:
    field("x_score", "float")
    erp.pg.psql("update ipai_sample_metric set x_score = id / 3.0", dbname=erp.dbname)
    metrics.rows("alter table ipai.metrics add x_score integer")
    assert refused(metrics, "select * from ipai.refresh_mirror('metrics', '{x_score}')").sqlstate == "22023"
    metrics.rows("alter table ipai.metrics alter x_score type double precision")
    assert refresh(metrics, "x_score")["x_score"]["status"] == "added"
    metrics.sync("metrics")
    assert_mirrors(metrics, erp, "metrics")


@pytest.mark.parametrize("function", ["run_sync", "sync_mirror"])
def test_field_removed_from_odoo_does_not_stop_the_runs(metrics: Supabase, erp: Odoo, field: Callable[..., int], function: str) -> None:
    field("x_score", "float")
    erp.pg.psql("update ipai_sample_metric set x_score = id / 3.0", dbname=erp.dbname)
    refresh(metrics, "x_score")
    metrics.sync("metrics")
    kept = metrics.rows("select odoo_id, x_score from ipai.metrics order by 1")
    remove(erp, "x_score")
    edited = erp.rpc(METRIC, "search", [], limit=3)
    erp.rpc(METRIC, "write", edited, {"name": "after the field went"})

    if function == "run_sync":
        connection = metrics.connect()
        notices: list[str | None] = []
        connection.add_notice_handler(lambda notice: notices.append(f"{notice.severity} {notice.message_primary}"))
        connection.execute("call ipai.run_sync('metrics')")
        run = metrics.last_run("metrics")
        assert (run["state"], run["updated"]) == ("succeeded", 3)
        assert [notice for notice in notices if notice and "x_score" in notice and notice.startswith("WARNING")]
    else:
        report = metrics.row("select * from ipai.sync_mirror('metrics')")
        assert (report["updated"], report["delta"]) == (3, 0)
    assert drift(metrics, "metrics") == [{"field": "x_score", "problem": "gone"}]
    (alert,) = alerts(metrics)
    assert alert["mirror"] == "metrics" and "x_score" in alert["message"] and "refresh_mirror" in alert["hint"]
    # The other fields are mirrored; the column keeps its values.
    found = assert_mirrors_except(metrics, erp, "x_score")
    assert "name" in found
    # Later runs are incremental.
    assert metrics.sync("metrics")["mode"] == "incremental"
    assert refresh(metrics)["x_score"]["status"] == "gone"
    assert metrics.rows("select odoo_id, x_score from ipai.metrics order by 1") == kept

    # The field returns without values: the drift is cleared, and a full run reads all rows.
    field("x_score", "float")
    assert refresh(metrics) == {}
    assert drift(metrics, "metrics") == [] and alerts(metrics) == []
    run = metrics.sync("metrics")
    assert (run["mode"], run["updated"]) == ("full", len(kept))
    assert_mirrors(metrics, erp, "metrics")


def assert_mirrors_except(supabase: Supabase, erp: Odoo, *without: str) -> tuple[str, ...]:
    """Checks that the mirror equals Odoo except for these drifted fields.

    Returns the compared fields.
    """
    found = compare(supabase, erp, "metrics")
    assert found.differences == [] and not set(without) & set(found.fields)
    assert set(found.fields) | set(without) == {entry["field"] for entry in registered(supabase, "metrics")["fields"]}
    return found.fields


def test_full_run_detects_a_field_that_returned(metrics: Supabase, erp: Odoo, field: Callable[..., int]) -> None:
    field("x_score", "float")
    refresh(metrics, "x_score")
    metrics.sync("metrics")
    remove(erp, "x_score")
    metrics.sync("metrics")
    assert alerts(metrics)
    field("x_score", "float")
    erp.pg.psql("update ipai_sample_metric set x_score = id", dbname=erp.dbname)
    run = metrics.sync("metrics", "full")
    assert drift(metrics, "metrics") == [] and alerts(metrics) == []
    assert run["updated"] == run["fetched"]
    assert_mirrors(metrics, erp, "metrics")


def test_field_with_a_changed_type_does_not_stop_the_runs(metrics: Supabase, erp: Odoo, field: Callable[..., int]) -> None:
    field("x_score", "float")
    erp.pg.psql("update ipai_sample_metric set x_score = id / 3.0", dbname=erp.dbname)
    refresh(metrics, "x_score")
    metrics.sync("metrics")
    kept = metrics.rows("select odoo_id, x_score from ipai.metrics order by 1")
    remove(erp, "x_score")
    field("x_score", "char")
    edited = erp.rpc(METRIC, "search", [], limit=3)
    erp.rpc(METRIC, "write", edited, {"x_score": "a word", "name": "after the type changed"})
    run = metrics.sync("metrics")
    assert run["updated"] == 3
    assert drift(metrics, "metrics") == [{"field": "x_score", "problem": "changed", "type": "char"}]
    (alert,) = alerts(metrics)
    assert "x_score" in alert["message"] and "char" in alert["message"]
    assert_mirrors_except(metrics, erp, "x_score")
    assert metrics.rows("select odoo_id, x_score from ipai.metrics order by 1") == kept
    row = refresh(metrics)["x_score"]
    assert (row["status"], "char" in row["note"]) == ("changed", True)
    remove(erp, "x_score")
    field("x_score", "float")
    assert refresh(metrics) == {} and alerts(metrics) == []
    metrics.sync("metrics")
    assert_mirrors(metrics, erp, "metrics")


def test_compatible_type_change_is_no_drift(metrics: Supabase, erp: Odoo, field: Callable[..., int]) -> None:
    field("x_word", "char")
    refresh(metrics, "x_word")
    metrics.sync("metrics")
    remove(erp, "x_word")
    field("x_word", "text")
    erp.pg.psql("update ipai_sample_metric set x_word = 'text ' || id", dbname=erp.dbname)
    metrics.sync("metrics", "full")
    assert drift(metrics, "metrics") == []
    assert_mirrors(metrics, erp, "metrics")


def test_field_that_becomes_unreadable_is_drift(metrics: Supabase, erp: Odoo) -> None:
    """This also happens when an update of a module adds groups to the field.

    Here the user changes.
    """
    metrics.create_mirror("res.users", fields=["login", "partner_id", "api_key_ids", "signature"])
    metrics.sync("res_users")
    visible = erp.rpc_as("clerk", "clerk password", "res.users", "fields_get", attributes=["type"]).keys()
    hidden = {"login", "partner_id", "api_key_ids", "signature"} - visible
    metrics.rows("alter user mapping for postgres server odoo options (set user 'clerk', set password_secret 'clerk_password')")
    metrics.rows("select ipai.set_odoo_password('odoo', 'clerk password')")
    metrics.rows("call ipai.run_sync('res_users', 'full', max_delete_ratio => 1)")
    assert {entry["field"] for entry in drift(metrics, "res_users")} == hidden


def test_run_fails_if_odoo_has_none_of_the_fields(connected: Supabase, erp: Odoo, field: Callable[..., int]) -> None:
    field("x_only")
    # A table without a column for the field that tells archived records.
    connected.rows("create table ipai.metrics (odoo_id bigint primary key, x_only text)")
    connected.create_mirror(METRIC, target="ipai.metrics", fields=["x_only"], columns={})
    connected.sync("metrics")
    before = connected.rows("select * from ipai.metrics order by odoo_id")
    remove(erp, "x_only")
    found = refused(connected, "call ipai.run_sync('metrics')")
    assert found.sqlstate == "42703" and found.message_hint
    assert connected.last_run("metrics")["state"] == "failed"
    assert connected.rows("select * from ipai.metrics order by odoo_id") == before


def test_field_removed_during_a_run(metrics: Supabase, erp: Odoo, field: Callable[..., int]) -> None:
    field("x_score", "float")
    refresh(metrics, "x_score")
    metrics.rows("select ipai.alter_mirror('metrics', page_size => 1)")
    errors: list[BaseException] = []

    def run() -> None:
        try:
            metrics.rows("call ipai.run_sync('metrics', 'full')")
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    remove(erp, "x_score")
    thread.join(timeout=120)
    assert not thread.is_alive()
    # The run either continues without the field or fails, and then the next run succeeds.
    metrics.rows("select ipai.alter_mirror('metrics', page_size => 5000)")
    metrics.sync("metrics", "full")
    assert [entry["field"] for entry in drift(metrics, "metrics")] == ["x_score"]
    assert_mirrors_except(metrics, erp, "x_score")
    assert len(errors) <= 1
