"""Who may do what, object by object, and whom the extension trusts: nobody who can plant something where names are looked up.

`privileges.golden` is a reviewed file. After a change of privileges that is meant:

    UPDATE_GOLDEN=1 python -m pytest tests/e2e/test_privileges.py -k golden

writes it anew; read the difference line by line before it is committed.
"""

from __future__ import annotations

import json
import os
import re
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from psycopg.rows import dict_row

from harness import paths, postgres
from harness.postgres import Installation
from support.definitions import ScriptedOdoo, execute
from support.faulty import MODEL, Request, fault, metric, returning
from support.sessions import Connection
from support.supabase import Supabase

GOLDEN = Path(__file__).with_name("privileges.golden")
SECURITY = paths.PROJECT / "docs/explanation/security.md"
ROLES = ["public", "anon", "authenticated", "service_role", "postgres", "authenticator"]
HEAD = """\
Who may do what: effective privileges, also those that come by membership or ownership.

r SELECT  a INSERT  w UPDATE  d DELETE  D TRUNCATE  x REFERENCES  t TRIGGER  U USAGE  C CREATE  X EXECUTE  -  nothing
*  may grant it to others.  A column has a line of its own where something is granted on it: what may be done with it, the table's privileges included.

"""

#: Letter and name of each privilege, by what has it.
PRIVILEGES = {
    "schema": ["USAGE", "CREATE"],
    "foreign_data_wrapper": ["USAGE"],
    "server": ["USAGE"],
    "table": ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"],
    "column": ["SELECT", "INSERT", "UPDATE", "REFERENCES"],
    "sequence": ["SELECT", "UPDATE", "USAGE"],
    "function": ["EXECUTE"],
}
LETTERS = {
    **{"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d", "TRUNCATE": "D", "REFERENCES": "x", "TRIGGER": "t"},
    **{"USAGE": "U", "CREATE": "C", "EXECUTE": "X"},
}

#: What is looked at: the class of has_..._privilege, its arguments after the role, how it is called here, its owner, and notes.
OBJECTS = """
    select 1 as place, 'schema' as class, 'ipai' as object, null::smallint as attnum, 'schema ipai' as shown, nspowner::regrole::text as owner,
           '' as notes
    from pg_namespace where nspname = 'ipai'
    union all
    select 2, 'foreign_data_wrapper', fdwname, null, 'foreign-data wrapper ' || fdwname, fdwowner::regrole::text, ''
    from pg_foreign_data_wrapper where fdwname = 'ipai_odoo'
    union all
    select 3, 'server', srvname, null, 'server ' || srvname, srvowner::regrole::text, 'as docs/how-to/install-supabase.md makes one'
    from pg_foreign_server where srvname = 'odoo'
    union all
    select case relkind when 'v' then 5 when 'S' then 6 else 4 end, case relkind when 'S' then 'sequence' else 'table' end, c.oid::text, null,
           case relkind when 'v' then 'view ' when 'S' then 'sequence ' else 'table ' end || c.oid::regclass, relowner::regrole::text,
           concat_ws(', ', case when relrowsecurity then 'row-level security' end,
                     (select string_agg(format('policy for %s to %s', case polcmd when 'r' then 'select' when '*' then 'all' else polcmd::text end,
                                        array_to_string(polroles::regrole[], ' ')), ', ' order by polname) from pg_policy where polrelid = c.oid),
                     case when 'security_invoker=on' = any (reloptions) then 'security_invoker' end)
    from pg_class c where relnamespace = 'ipai'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 4, 'column', attrelid::text, attnum, 'table ' || attrelid::regclass || ' column ' || attname, '', ''
    from pg_attribute
    where attrelid in (select oid from pg_class where relnamespace = 'ipai'::regnamespace) and attacl is not null and not attisdropped
    union all
    select 7, 'function', p.oid::text, null,
           case prokind when 'p' then 'procedure ' else 'function ' end || p.oid::regprocedure, proowner::regrole::text,
           concat_ws(', ', case when prosecdef then 'SECURITY DEFINER' end,
                     case when not exists (select from unnest(proconfig) s where s like 'search_path=%') then 'no search_path of its own' end,
                     (select string_agg(s, ', ') from unnest(proconfig) s where s not like 'search_path=%'),
                     case when not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and deptype = 'e')
                          then 'made by the migration, or as a mirror was' end)
    from pg_proc p where pronamespace = 'ipai'::regnamespace
"""


def _privileges() -> str:
    """An expression for what `role` may do with `o`, as letters."""
    cases = []
    for kind, names in PRIVILEGES.items():
        call = f"has_{kind}_privilege(role, {'o.object' if kind in ('schema', 'foreign_data_wrapper', 'server') else 'o.object::oid'}"
        if kind == "column":
            call += ", o.attnum"
        letters = [
            f"case when {call}, '{name} WITH GRANT OPTION') then '{LETTERS[name]}*' when {call}, '{name}') then '{LETTERS[name]}' end"
            for name in names
        ]
        cases.append(f"when '{kind}' then concat({', '.join(letters)})")
    return f"coalesce(nullif(case o.class {' '.join(cases)} end, ''), '-')"


@pytest.fixture
def whole(supabase: Supabase) -> Iterator[Supabase]:
    """With a server as the documentation makes it, a mirror as create_mirror leaves it, and one that is protected."""
    with ScriptedOdoo([metric(1), metric(2)]) as odoo:
        supabase.server(odoo.url)
        supabase.rows("grant usage on foreign server odoo to service_role")
        supabase.create_mirror(MODEL, target="ipai.unprotected", fields=["name", "brand_id", "write_date"])
        supabase.create_mirror(MODEL, target="ipai.protected", fields=["name", "brand_id", "write_date"])
        supabase.rows("""select ipai.protect_mirror('protected', '{"brand_id": "ipai_brand_ids"}')""")
        yield supabase


def lines(supabase: Supabase) -> list[list[str]]:
    """A line an object: what it is, what each role may do, its owner, and notes."""
    cells = ", ".join(f"(select {_privileges()} from (values ('{role}'::name)) r (role)) as {role}" for role in ROLES)
    with psycopg.connect(supabase.cluster.dsn(), row_factory=dict_row) as connection:
        connection.execute("set search_path = pg_catalog")
        found = execute(connection, f'select shown, {cells}, owner, notes from ({OBJECTS}) o order by place, shown collate "C", attnum')
    return [[str(row[name]) for name in ("shown", *ROLES, "owner", "notes")] for row in found]


def table(rows: list[list[str]]) -> str:
    """As columns, without blanks at the end."""
    titles = ["object", "PUBLIC", *ROLES[1:], "owner", "notes"]
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in [titles, *rows])


# The golden file, and what it must say whoever regenerates it -------------------------------------------------------------------------


def test_privileges_are_those_of_the_golden_file(whole: Supabase) -> None:
    found = HEAD + table(lines(whole))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text(), (
        f"privileges have changed. If that is meant, see {Path(__file__).name} for how to write {GOLDEN.name} anew."
    )


def test_every_kind_of_object_of_the_extension_is_looked_at(supabase: Supabase) -> None:
    classes = supabase.rows(
        """select distinct classid::regclass::text as class from pg_depend
           where refclassid = 'pg_extension'::regclass and refobjid = (select oid from pg_extension where extname = 'ipai_sync') and deptype = 'e'
             -- A table's row type has no life of its own.
             and not (classid = 'pg_type'::regclass and exists (select from pg_type where oid = objid and (typrelid <> 0 or typelem <> 0)))"""
    )
    assert {row["class"] for row in classes} == {"pg_class", "pg_proc", "pg_foreign_data_wrapper"}
    others = supabase.rows(
        """select objid from pg_depend join pg_class on pg_class.oid = objid and classid = 'pg_class'::regclass
           where refobjid = (select oid from pg_extension where extname = 'ipai_sync') and relnamespace <> 'ipai'::regnamespace
           union all
           select objid from pg_depend join pg_proc on pg_proc.oid = objid and classid = 'pg_proc'::regclass
           where refobjid = (select oid from pg_extension where extname = 'ipai_sync') and pronamespace <> 'ipai'::regnamespace"""
    )
    assert others == []


def test_public_and_anon_have_nothing(whole: Supabase) -> None:
    for shown, public, anon, *_, authenticator, _owner, _notes in lines(whole):
        # PostgREST's own role can become the others, and may do nothing itself.
        assert (shown, public, anon, authenticator) == (shown, "-", "-", "-")


def test_a_signed_in_user_has_counts_claims_and_protected_mirrors(whole: Supabase) -> None:
    may = {row[0]: row[3] for row in lines(whole) if row[3] != "-"}
    counts = ["run", "mirror", "odoo_count", "odoo_active", "odoo_flagged", "mirror_count", "mirror_active", "mirror_flagged", "finished_at"]
    assert may == {
        "schema ipai": "U",
        "table ipai.ipai_sample_metrics": "r",
        "table ipai.protected": "r",
        **{f"table ipai.mirrors column {column}": "r" for column in ("name", "reconcile_every")},
        **{f"table ipai.run_log column {column}": "r" for column in counts},
        **{f"view ipai.{view}": "r" for view in ("sync_count_delta", "sample_metrics_count_delta")},
        **{
            f"function ipai.{name}(text)": "X"
            for name in ("app_claim", "claims_all", "claimed_id_ranges", "claimed_texts", "metric_facets")
        },
        "function ipai.metric_series(text,text,bigint,bigint,date,date,integer)": "X",
        "function ipai.metrics_context(integer,text,boolean)": "X",
        "function ipai.metrics_overview(text,boolean,integer,integer,integer)": "X",
    }


def test_what_users_of_the_api_read_is_under_row_level_security(whole: Supabase) -> None:
    for row in lines(whole):
        if row[0].startswith("table ") and " column " not in row[0] and row[3] != "-":
            assert row[-1] == "row-level security, policy for select to authenticated"


def test_service_role_defines_and_grants_nothing(whole: Supabase) -> None:
    may = {row[0]: row[4] for row in lines(whole)}
    assert not [shown for shown, letters in may.items() if "*" in letters or "C" in letters]
    assert may["table ipai.mirrors"] == "r" and may["foreign-data wrapper ipai_odoo"] == "-"
    for name in (
        "create_mirror",
        "alter_mirror",
        "drop_mirror",
        "refresh_mirror",
        "protect_mirror",
        "odoo_call",
        "schedule_sync",
        "expect_sync",
        "set_odoo_password",
    ):
        (letters,) = {letters for shown, letters in may.items() if shown.startswith(f"function ipai.{name}(")}
        assert (name, letters) == (name, "-")


def test_privileges_do_not_depend_on_what_comes_first(whole: Supabase, extension_pg: Installation) -> None:
    """The migrations before the extension, in a project that opens new tables to everybody by default: only the schema has another owner."""
    usual = {row[0]: row for row in lines(whole)}
    with postgres.supabase_cluster(extension_pg, auto_expose=True) as cluster:
        postgres.migrate(cluster)
        cluster.psql("create extension ipai_sync")
        found = {row[0]: row for row in lines(Supabase(cluster))}
    schema = found.pop("schema ipai")
    assert schema[1:-2] == usual["schema ipai"][1:-2] and schema[-2] == "postgres"
    assert found == {shown: usual[shown] for shown in found}
    made = (
        "server odoo",
        "table ipai.unprotected",
        "table ipai.protected",
        "function ipai.keep_updated_at()",
    )
    assert usual.keys() - found.keys() == {"schema ipai", *made}


# What functions and views are -----------------------------------------------------------------------------------------------------------


def test_no_function_is_a_definers_and_all_but_run_sync_have_a_fixed_search_path(whole: Supabase) -> None:
    """Those of the migration and of mirrors as well."""
    functions = whole.rows(
        """select proname::text as name, prosecdef as definer, (select s from unnest(proconfig) s where s like 'search_path=%%') as path
           from pg_proc where pronamespace = 'ipai'::regnamespace"""
    )
    assert len(functions) > 35
    assert not [row["name"] for row in functions if row["definer"]]
    # A procedure with a SET clause could not commit.
    assert [row["name"] for row in functions if row["path"] != "search_path=pg_catalog, pg_temp"] == ["run_sync"]


def test_every_view_reads_as_whoever_asks(supabase: Supabase) -> None:
    views = supabase.rows("select relname, reloptions from pg_class where relnamespace = 'ipai'::regnamespace and relkind = 'v'")
    assert len(views) == 5
    assert not [view for view in views if view["reloptions"] != ["security_invoker=on"]]
    assert not supabase.rows("select from pg_class where relnamespace = 'ipai'::regnamespace and relkind = 'm'")


def test_a_signed_in_user_reads_counts_and_no_errors(whole: Supabase) -> None:
    whole.rows(
        "insert into ipai.run_log (mirror, mode, state, finished_at, sqlstate, message) values ('protected', 'full', 'failed', now(), '08006', 'secret')"
    )
    whole.sync("protected")
    session = whole.connect("authenticator")
    execute(session, "set role authenticated")
    (counted,) = execute(session, "select * from ipai.sync_count_delta where mirror = 'protected'")
    assert (counted["odoo_total"], counted["mirror_total"], counted["verdict"]) == (2, 2, "ok")
    assert len(execute(session, "select * from ipai.sample_metrics_count_delta")) == 1
    for statement in (
        *(
            f"select {column} from ipai.run_log"
            for column in ("message", "detail", "hint", "sqlstate", "state", "pid", "cursor_after", "*")
        ),
        *(f"select {column} from ipai.mirrors" for column in ("server", "cursor", "schedule", "scheduled_by", "filled_as", "domain", "*")),
        *(f"select * from ipai.{name}" for name in ("sync_runs", "sync_status", "sync_alerts", "odoo_logins", "unprotected")),
        "select nextval('ipai.run_log_run_seq')",
        "update ipai.mirrors set name = name",
        "delete from ipai.protected",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(session, statement)


# A hostile Odoo -----------------------------------------------------------------------------------------------------------------------------

#: Ends whatever it may be pasted into.
EVIL = (
    """x'; drop table public.victim; --"; drop table public.victim; --$$; drop table public.victim; --\\'; drop table public.victim; --"""
)

#: The same, of a length that a column may have.
EVIL_NAME = """x'";drop table public.victim;--"""


class HostileOdoo(ScriptedOdoo):
    """One that sends SQL for labels, helps, values and the names of fields."""

    def answer(self, request: Request) -> bytes:
        body = super().answer(request)
        if request.method != "fields_get":
            return body
        (fields,), _ = cast(tuple[tuple[dict[str, Any]], Any], xmlrpc.client.loads(body))
        evil = {name: {**field, "string": EVIL, "help": EVIL} for name, field in fields.items()}
        return xmlrpc.client.dumps(({**evil, EVIL_NAME: evil["name"]},), methodresponse=True).encode()


def test_what_a_hostile_odoo_sends_is_data(supabase: Supabase) -> None:
    with HostileOdoo([metric(1, name=EVIL, notes=EVIL, **{EVIL_NAME: EVIL})]) as odoo:
        supabase.server(odoo.url)
        supabase.rows("create table public.victim (id bigint)")
        made = supabase.create_mirror(MODEL, target="public.m", fields=["name", "notes", EVIL_NAME, "write_date"])
        assert [row["column"] for row in made] == ["name", "notes", EVIL_NAME, "write_date"]
        for mode in ("full", "incremental", "reconcile"):
            supabase.sync("m", mode)
        supabase.rows("select * from ipai.refresh_mirror('m')")
        supabase.rows("select * from ipai.sync_mirror('m')")
        assert list(supabase.row("select * from public.m").values()).count(EVIL) == 3
        supabase.rows("select ipai.drop_mirror('m', true)")
        odoo.on("search_read", fault(1, EVIL))
        supabase.create_mirror(MODEL, target="public.m", fields=["name", "write_date"])
        with pytest.raises(psycopg.Error):
            supabase.rows("call ipai.run_sync('m')")
        assert EVIL in supabase.row("select message from ipai.sync_runs")["message"]
        assert supabase.rows("select * from public.victim") == []


# What is not protected ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(supabase: Supabase) -> Iterator[Connection]:
    """A role that was granted nothing."""
    supabase.cluster.psql("create role stranger login")
    session = supabase.connect("stranger")
    yield session
    session.close()
    supabase.cluster.psql("drop role stranger")


def test_everybody_reads_the_options_of_a_server(whole: Supabase, stranger: Connection) -> None:
    """Hence none of them may be secret. Who has mappings is seen, too, and not what is in them."""
    (server,) = execute(stranger, "select srvoptions from pg_foreign_server")
    assert "dbname=odoo" in server["srvoptions"]
    assert execute(stranger, "select usename, umoptions from pg_user_mappings") == [{"usename": "postgres", "umoptions": None}]


def test_whoever_listens_hears_no_errors(whole: Supabase, stranger: Connection) -> None:
    """Postgres has no privilege for LISTEN: whoever has a session hears which mirror fails, and not why. (Users of the API have none.)"""
    execute(stranger, "listen ipai_sync_alerts")
    whole.rows("alter server odoo options (set url 'http://127.0.0.1:9')")
    with pytest.raises(psycopg.errors.SqlclientUnableToEstablishSqlconnection):
        whole.rows("call ipai.run_sync('protected')")
    (heard,) = stranger.notifies(timeout=5, stop_after=1)
    assert json.loads(heard.payload) == {"raised": [{"mirror": "protected", "kind": "failing", "severity": 1}], "cleared": []}
    assert "127.0.0.1:9" in whole.row("select message from ipai.sync_alerts where mirror = 'protected'")["message"]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(stranger, "select * from ipai.sync_alerts")


def test_whoever_syncs_runs_what_the_tables_owner_made(whole: Supabase) -> None:
    """As with every write into a table of somebody else. Hence: the owner syncs, not a superuser."""
    whole.rows(
        """create function ipai.note() returns trigger language plpgsql as
               $$ begin new.name := current_user; return new; end $$;
           create trigger note before insert on ipai.unprotected for each row execute function ipai.note()"""
    )
    try:
        whole.cluster.psql("create user mapping for supabase_admin server odoo options (user 'admin', password_secret 'odoo_password')")
        whole.rows("call ipai.run_sync('unprotected')", user="supabase_admin")
        assert whole.rows("select distinct name from ipai.unprotected") == [{"name": "supabase_admin"}]
    finally:
        whole.rows("drop function ipai.note() cascade")


def test_a_superuser_trusts_whoever_may_create_in_the_schema(whole: Supabase) -> None:
    """As everywhere: a function for the type that is given goes before one for a type that it is converted to."""
    whole.rows("create function ipai.odoo_version(name) returns text language sql as 'select current_user::text'")
    try:
        version = "select ipai.odoo_version({}) as version from pg_foreign_server"
        assert whole.row(version.format("srvname"), user="supabase_admin") == {"version": "supabase_admin"}
        assert whole.row(version.format("srvname::text"))["version"].startswith("19")
    finally:
        whole.rows("drop function ipai.odoo_version(name)")


# Planted objects --------------------------------------------------------------------------------------------------------------------------

#: What tells is in the server's log, which no rollback takes back.
MARK = "called what was planted"

#: By a user who may create in `public`: namesakes of all that could be looked up there. Whatever is called tells, and gives null.
PLANT = """
    create function public.tell(what text) returns boolean language plpgsql set search_path = pg_catalog as
        $$ begin raise warning 'called what was planted: %', what; return true; end $$;
    create function public.plant(what text) returns void language plpgsql set search_path = pg_catalog as
        $$ begin execute what; exception when duplicate_function or invalid_function_definition then null; end $$;

    -- The same functions, and better matches for calls with a text or an unknown literal.
    select count(public.plant(format(
        'create function public.%I(%s) returns %s language plpgsql as $f$ begin perform public.tell(%L); return %s; end $f$',
        proname, pg_get_function_identity_arguments(oid), pg_get_function_result(oid), oid::regprocedure,
        case when proretset then '' else 'null' end)))
    from pg_proc
    where pronamespace = 'pg_catalog'::regnamespace and prokind = 'f' and provariadic = 0 and proargmodes is null
      and prorettype not in (select oid from pg_type where typtype = 'p')
      and not exists (select from unnest(proargtypes) t join pg_type on pg_type.oid = t where typtype = 'p');
    select count(public.plant(format(
        'create function public.%I(%s) returns text language plpgsql as $f$ begin perform public.tell(%L); return null; end $f$', name, args, name)))
    from unnest('{format,concat,concat_ws,coalesce,left,length,md5,to_regclass,to_regrole,jsonb_typeof,array_to_string,string_agg,unnest,count,max,min,
                  bool_and,array_agg,justify_interval,make_interval,greatest,least,hashtext,pg_try_advisory_lock,has_table_privilege}'::text[]) name,
         unnest('{"text","text, text","text, text, text","name","name, name","text, name","name, text","jsonb","bigint","oid, text","regclass, text"}'::text[]) args;

    -- Operators: those that there are, and those between types that Postgres would have to convert.
    select count(public.plant(format(
        'create function public.op_%s(%s) returns %s language plpgsql as $f$ begin perform public.tell(%L); return null; end $f$;
         create operator public.%s (%s function = public.op_%1$s)', number, concat_ws(', ', nullif(l, '-'), r), result,
        format('operator %s (%s, %s)', name, l, r), name, concat_ws(', ', 'leftarg = ' || nullif(l, '-'), 'rightarg = ' || r) || ',')))
    from (select row_number() over () as number, * from (
        select oprname::text as name, case when oprleft = 0 then '-' else oprleft::regtype::text end as l, oprright::regtype::text as r,
               oprresult::regtype::text as result
        from pg_operator
        where oprnamespace = 'pg_catalog'::regnamespace and oprcode <> 0
          and not exists (select from pg_type t where t.oid in (oprleft, oprright, oprresult) and typtype = 'p')
        union
        select name, l, r, case when name in ('+', '-', '*', '/', '||', '->', '->>') then l else 'boolean' end
        from unnest('{=,<>,<,>,<=,>=,~,!~,~~,!~~,@>,?,+,-,*,/,||,->,->>}'::text[]) name,
             unnest('{text,name,"character varying",oid,regclass,integer,bigint,"double precision",boolean,timestamptz,interval,jsonb,"text[]","name[]","oid[]"}'::text[]) l,
             unnest('{text,name,"character varying",oid,regclass,integer,bigint,"double precision",boolean,timestamptz,interval,jsonb,"text[]","name[]","oid[]"}'::text[]) r) pairs) o;

    -- Types, whose checks tell.
    select count(public.plant(format('create domain public.%I as pg_catalog.%1$I check (public.tell(%L))', name, 'type ' || name)))
    from unnest('{text,name,oid,regclass,regtype,int4,int8,float8,bool,timestamptz,timestamp,interval,jsonb,date,uuid}'::text[]) name;

    -- Relations, whose rows tell.
    select count(public.plant(format('create view public.%I as select c.* from (select null::text as name) c where public.tell(%L)', name, 'relation ' || name)))
    from (select relname as name from pg_class where relkind in ('r', 'v') and relnamespace in ('pg_catalog'::regnamespace, 'ipai'::regnamespace, 'cron'::regnamespace)
          union select 'decrypted_secrets') relations;

    -- Casts, with a type of one's own on one side.
    create type public.mine as enum ('mine');
    create function public.from_mine(public.mine) returns text language plpgsql as $$ begin perform public.tell('cast'); return null; end $$;
    create function public.to_mine(text) returns public.mine language plpgsql as $$ begin perform public.tell('cast'); return null; end $$;
    create cast (public.mine as text) with function public.from_mine as implicit;
    create cast (text as public.mine) with function public.to_mine as implicit;
"""

#: Every function that people call, in this order, with a mirror in a schema of the caller's own.
CALLS = f"""
    select ipai.odoo_version()
    select * from ipai.odoo_models()
    select * from ipai.odoo_fields('odoo', '{MODEL}')
    select * from ipai.odoo_fields(model => '{MODEL}')
    select ipai.odoo_call('odoo', '{MODEL}', 'action')
    select ipai.set_odoo_password('odoo', 'admin')
    select * from ipai.create_mirror('{MODEL}', 'own.planted', '{{name,brand_id,value,is_alert,date,write_date}}', '[["id", ">", 0]]', constants => '{{"tenant": "a"}}', flag_field => 'is_alert')
    select ipai.protect_mirror('planted', '{{"brand_id": "ipai_brand_ids", "tenant": "tenants"}}')
    select ipai.alter_mirror('planted', page_size => 2, overlap => '1 minute', late_after => '1 minute', max_flagged_ratio => 1)
    select ipai.alter_mirror('sample_metrics', 'odoo')
    select * from ipai.check_connection()
    call ipai.run_sync()
    call ipai.run_sync('planted', 'incremental')
    call ipai.run_sync('planted', 'reconcile')
    call ipai.run_sync('planted', 'full', 1)
    select * from ipai.sync_mirror('planted')
    select * from ipai.sync_mirror('planted', '2026-01-01', 10, true, 1)
    select * from ipai.sync_sample_metrics('2026-01-01')
    select * from ipai.refresh_counts()
    select * from ipai.refresh_mirror('planted', '{{notes}}', '{{value}}')
    call ipai.run_sync('planted')
    select * from ipai.sync_runs
    select * from ipai.sync_status
    select * from ipai.sync_alerts
    select * from ipai.sync_count_delta
    select * from ipai.sample_metrics_count_delta
    select ipai.notify_alerts()
    select ipai.schedule_sync('planted', '0 0 1 1 *')
    select * from ipai.restore_schedules()
    select * from ipai.doctor()
    select * from own.planted
    update own.planted set name = 'local'
    select ipai.sync_now('planted')
    select ipai.unschedule_sync('planted')
    select ipai.expect_sync('planted', '@hourly')
    select ipai.drop_mirror('planted', true)
"""

#: Functions that others call, of which each call above may be one, and the wrapper's own.
CALLED_BY_OTHERS = {
    *("has_cron", "require_cron", "require_mirror", "schedule_interval", "cron_gap", "register_sample_metrics", "has_vault", "create_claims_helpers"),
    *("mirror_tables", "password_state", "ipai_odoo_validator"),
}


@pytest.fixture(scope="module")
def planted(extension_pg: Installation) -> Iterator[Supabase]:
    """A cluster of its own, in whose `public` mallory may create, as in a database that comes from before PostgreSQL 15."""
    with postgres.supabase_cluster(extension_pg) as cluster:
        cluster.psql("create extension ipai_sync")
        postgres.migrate(cluster)
        supabase = Supabase(cluster)
        cluster.psql("create role mallory login; grant usage, create on schema public to mallory")
        # What the tests do besides is not to be caught.
        cluster.psql("alter role supabase_admin set search_path = pg_catalog")
        cluster.psql("set search_path = pg_catalog;" + PLANT, user="mallory")
        yield supabase


def told(planted: Supabase, after: int) -> list[str]:
    """What was called, by the server's log from a place on."""
    with open(planted.cluster.log, errors="replace") as log:
        log.seek(after)
        return re.findall(rf"{MARK}: (.*)", log.read())


def length(planted: Supabase) -> int:
    return planted.cluster.log.stat().st_size


def test_the_calls_are_of_every_function(supabase: Supabase) -> None:
    there = supabase.rows(
        """select proname::text as name from pg_proc join pg_depend on objid = pg_proc.oid and classid = 'pg_proc'::regclass and deptype = 'e'
           where refobjid = (select oid from pg_extension where extname = 'ipai_sync')"""
    )
    assert {row["name"] for row in there} - CALLED_BY_OTHERS == set(re.findall(r"ipai\.(\w+)\(", CALLS))


def test_what_is_planted_tells(planted: Supabase) -> None:
    """Else the next test would prove nothing."""
    counts = planted.row(
        """select (select count(*) from pg_catalog.pg_proc where pronamespace = 'public'::regnamespace) as functions,
                  (select count(*) from pg_catalog.pg_operator where oprnamespace = 'public'::regnamespace) as operators,
                  (select count(*) from pg_catalog.pg_class where relkind = 'v' and relnamespace = 'public'::regnamespace) as views"""
    )
    assert counts["functions"] > 3000 and counts["operators"] > 3000 and counts["views"] > 100
    usual, hostile = '"$user", public, extensions', "public, pg_catalog"
    for path, statement, what in (
        (usual, "select '1'::oid <> 1::integer", "operator <> (oid, integer)"),
        (usual, "select 'a'::name || 'b'::name", "operator || (name, name)"),
        (usual, "select format('x'::text, 'y'::text)", "format"),
        (usual, "select name from mirrors", "relation mirrors"),
        (usual, "select count('a'::text)", "count"),
        (hostile, "select now()", "now()"),
        (hostile, "select 1 = 1", "operator = (integer, integer)"),
        (hostile, "select 'a'::text", "type text"),
        (hostile, "select name from pg_class", "relation pg_class"),
    ):
        before = length(planted)
        with psycopg.connect(planted.cluster.dsn(user="postgres"), autocommit=True) as connection:
            connection.execute(f"set search_path = {path}".encode())
            connection.execute(statement.encode())
        assert what in told(planted, before), statement


def run_all(session: Connection, statements: list[str]) -> None:
    for statement in statements:
        try:
            execute(session, statement)
        except psycopg.Error as error:
            raise AssertionError(f"{statement}: {error}") from error


@pytest.mark.parametrize("path", ['"$user", public, extensions', "public, pg_catalog", "public, pg_catalog, pg_temp, ipai, vault, cron"])
@pytest.mark.parametrize("user", ["postgres", "supabase_admin"])
def test_what_a_hostile_user_plants_in_public_is_never_called(planted: Supabase, path: str, user: str) -> None:
    with ScriptedOdoo([metric(number) for number in range(1, 6)]) as odoo:
        odoo.on("action", returning(7))
        planted.server(odoo.url)
        planted.cluster.psql(f"create schema own authorization {user}")
        statements = [line.strip() for line in CALLS.strip().splitlines()]
        if user != "postgres":
            # The claims' functions are those of postgres, who ran the migrations: a superuser does not call them.
            statements = [statement for statement in statements if "protect_mirror" not in statement]
            planted.cluster.psql(f"create user mapping for {user} server odoo options (user 'admin', password_secret 'odoo_password')")
        session = planted.connect(user)
        execute(session, f"set search_path = {path}")
        before = length(planted)
        try:
            run_all(session, statements)
            assert told(planted, before) == []
        finally:
            planted.reset()
            planted.cluster.psql("drop schema own cascade")


def test_policies_call_nothing_that_is_planted(planted: Supabase) -> None:
    with ScriptedOdoo([metric(1), metric(2, brand_id=7), metric(3, brand_id=8)]) as odoo:
        planted.server(odoo.url)
        planted.sync("sample_metrics")
        session = planted.connect("authenticator")
        execute(session, "set role authenticated")
        execute(session, """set request.jwt.claims = '{"app_metadata": {"ipai_brand_ids": [7]}}'""")
        for path in ('"$user", public, extensions', "public, pg_catalog"):
            execute(session, f"set search_path = {path}")
            before = length(planted)
            assert {row["odoo_id"] for row in execute(session, "select odoo_id from ipai.ipai_sample_metrics")} == {1, 2}
            execute(session, "select * from ipai.sync_count_delta")
            execute(session, "select * from ipai.sample_metrics_count_delta")
            assert told(planted, before) == []
        planted.reset()


# The page -----------------------------------------------------------------------------------------------------------------------------------


def test_the_page_names_tests_that_there_are() -> None:
    written = SECURITY.read_text()
    named = set(re.findall(r"`(test_\w+)(?:\.py)?`", written))
    files = list(Path(__file__).parents[1].glob("*/test_*.py"))
    there = {file.stem for file in files}.union(*(re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE) for file in files))
    assert len(named) > 20
    assert named <= there


def test_the_page_s_way_to_take_the_counts_away(supabase: Supabase) -> None:
    (statement,) = re.findall(r"^ *(revoke .*;)$", SECURITY.read_text(), re.MULTILINE)
    session = supabase.connect("supabase_admin")
    execute(session, "begin")
    execute(session, statement)
    left = execute(
        session,
        """select oid::regclass::text as name from pg_class
           where relnamespace = 'ipai'::regnamespace and relkind in ('r', 'v') and has_any_column_privilege('authenticated', oid, 'select')""",
    )
    assert left == [{"name": "ipai.ipai_sample_metrics"}]
    execute(session, "rollback")
