"""Tests the privileges of every role on every object, and that planted objects are not called.

`privileges.golden` is a reviewed file. After an intended change of privileges, run

    UPDATE_GOLDEN=1 python -m pytest tests/e2e/test_privileges.py -k golden

to rewrite it, and review each changed line before the commit.
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
from harness.odoo import api_key
from harness.postgres import Installation
from support.definitions import ScriptedOdoo, execute
from support.faulty import MODEL, Request, fault, metric, returning
from support.internal import INTERNAL
from support.sessions import Connection
from support.supabase import Supabase

pytestmark = pytest.mark.postgres17

GOLDEN = Path(__file__).with_name("privileges.golden")
SECURITY = paths.PROJECT / "docs/explanation/security.md"
THREAT_MODEL = paths.PROJECT / "docs/explanation/threat-model.md"
ROLES = ["public", "anon", "authenticated", "service_role", "postgres", "authenticator"]
HEAD = """\
Who may do what: effective privileges, also those that come by membership or ownership.

r SELECT  a INSERT  w UPDATE  d DELETE  D TRUNCATE  x REFERENCES  t TRIGGER  U USAGE  C CREATE  X EXECUTE  -  nothing
*  may grant it to others.  A column has a line of its own where something is granted on it: what may be done with it, the table's privileges included.

"""

#: The privileges of each class of objects, and the letter of each privilege.
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

#: Selects the objects: the class of has_..._privilege, its arguments after the role, the name, the
#: owner and notes.
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
    """Returns an SQL expression for the letters of the privileges that `role` has on `o`."""
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
def documented(supabase: Supabase) -> Iterator[Supabase]:
    """A database with a documented server, an unprotected mirror and a protected mirror."""
    with ScriptedOdoo([metric(1), metric(2)]) as odoo:
        supabase.server(odoo.url)
        supabase.rows("grant usage on foreign server odoo to service_role")
        supabase.create_mirror(MODEL, target="ipai.unprotected", fields=["name", "brand_id", "write_date"])
        supabase.create_mirror(MODEL, target="ipai.protected", fields=["name", "brand_id", "write_date"])
        supabase.rows("""select ipai.protect_mirror('protected', '{"brand_id": "ipai_brand_ids"}')""")
        yield supabase


def lines(supabase: Supabase) -> list[list[str]]:
    """Returns a row for each object: its name, each role's privileges, its owner and notes."""
    cells = ", ".join(f"(select {_privileges()} from (values ('{role}'::name)) r (role)) as {role}" for role in ROLES)
    with psycopg.connect(supabase.cluster.dsn(), row_factory=dict_row) as connection:
        connection.execute("set search_path = pg_catalog")
        found = execute(connection, f'select shown, {cells}, owner, notes from ({OBJECTS}) o order by place, shown collate "C", attnum')
    return [[str(row[name]) for name in ("shown", *ROLES, "owner", "notes")] for row in found]


def unlisted(supabase: Supabase) -> list[dict[str, Any]]:
    """Returns grants of privileges without a letter, such as MAINTAIN of PostgreSQL 17."""
    return supabase.rows(
        """select c.relname::text, x.grantee::regrole::text, x.privilege_type
           from pg_class c, aclexplode(c.relacl) x
           where c.relnamespace = 'ipai'::regnamespace and x.grantee <> c.relowner and x.privilege_type <> all (%s)""",
        list(LETTERS),
    )


def table(rows: list[list[str]]) -> str:
    """Formats the rows as aligned columns, without trailing blanks."""
    titles = ["object", "PUBLIC", *ROLES[1:], "owner", "notes"]
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in [titles, *rows])


# The golden file, and properties that every version of it must have -------------------------------


def test_privileges_match_the_golden_file(documented: Supabase) -> None:
    found = HEAD + table(lines(documented))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text(), (
        f"privileges have changed. If that is meant, see {Path(__file__).name} for how to write {GOLDEN.name} anew."
    )


def test_golden_file_covers_every_privilege(documented: Supabase) -> None:
    assert unlisted(documented) == []
    documented.rows("grant all on ipai.unprotected to authenticated")
    assert {row["privilege_type"] for row in unlisted(documented)} == (
        {"MAINTAIN"} if documented.cluster.installation.major >= 17 else set()
    )


def test_golden_file_covers_every_kind_of_object(supabase: Supabase) -> None:
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


def test_public_and_anon_have_no_privileges(documented: Supabase) -> None:
    for name, public, anon, *_, authenticator, _owner, _notes in lines(documented):
        # PostgREST's login role can switch to the other roles, and has no privileges itself.
        # command_hint reads no data, and each role that reads ipai.sync_alerts needs it.
        held = "X" if name == "function ipai.command_hint(text,boolean)" else "-"
        assert (name, public, anon, authenticator) == (name, held, held, held)


def test_authenticated_reads_only_counts_claims_and_protected_mirrors(documented: Supabase) -> None:
    may = {row[0]: row[3] for row in lines(documented) if row[3] != "-"}
    counts = [
        "run",
        "mirror",
        "odoo_count",
        "odoo_active",
        "odoo_flagged",
        "mirror_count",
        "mirror_active",
        "mirror_flagged",
        "flags",
        "finished_at",
    ]
    assert may == {
        "schema ipai": "U",
        "function ipai.command_hint(text,boolean)": "X",
        "table ipai.ipai_sample_metrics": "r",
        "table ipai.protected": "r",
        **{f"table ipai.mirrors column {column}": "r" for column in ("name", "reconcile_every")},
        **{f"table ipai.run_log column {column}": "r" for column in counts},
        **{f"table ipai.followers column {column}": "r" for column in ("mirrors", "polled_at")},
        **{f"view ipai.{view}": "r" for view in ("sync_count_delta", "sample_metrics_count_delta")},
        **{
            f"function ipai.{name}(text)": "X"
            for name in ("app_claim", "claims_all", "claimed_id_ranges", "claimed_texts", "metric_facets")
        },
        "function ipai.metric_series(text,text,bigint,bigint,date,date,integer)": "X",
        "function ipai.metrics_context(integer,text,boolean)": "X",
        "function ipai.metrics_overview(text,boolean,integer,integer,integer)": "X",
    }


def test_tables_readable_by_users_have_row_level_security(documented: Supabase) -> None:
    for row in lines(documented):
        if row[0].startswith("table ") and " column " not in row[0] and row[3] != "-":
            assert row[-1] == "row-level security, policy for select to authenticated"


def test_service_role_cannot_define_mirrors_or_grant_privileges(documented: Supabase) -> None:
    may = {row[0]: row[4] for row in lines(documented)}
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


def test_privileges_do_not_depend_on_the_installation_order(documented: Supabase, extension_pg: Installation) -> None:
    """Applies the migrations before the extension, in a project that grants new tables by default.

    Only the schema's owner may differ.
    """
    usual = {row[0]: row for row in lines(documented)}
    with postgres.supabase_cluster(extension_pg, auto_expose=True) as cluster:
        postgres.migrate(cluster)
        cluster.psql("create extension ipai_sync")
        exposed = Supabase(cluster)
        found = {row[0]: row for row in lines(exposed)}
        assert unlisted(exposed) == []
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


# Properties of functions and views ----------------------------------------------------------------


def test_functions_are_no_security_definers_and_fix_their_search_path(documented: Supabase) -> None:
    """Includes the functions of the migrations and of mirrors."""
    functions = documented.rows(
        """select proname::text as name, prosecdef as definer, (select s from unnest(proconfig) s where s like 'search_path=%%') as path
           from pg_proc where pronamespace = 'ipai'::regnamespace"""
    )
    assert len(functions) > 35
    assert not [row["name"] for row in functions if row["definer"]]
    # A procedure with a SET clause could not commit.
    without_path = {row["name"] for row in functions if row["path"] != "search_path=pg_catalog, pg_temp"}
    assert without_path == {"follow_sync", "rotate_odoo_key", "run_sync"}


def test_every_view_is_a_security_invoker(supabase: Supabase) -> None:
    views = supabase.rows("select relname, reloptions from pg_class where relnamespace = 'ipai'::regnamespace and relkind = 'v'")
    assert len(views) == 5
    assert not [view for view in views if view["reloptions"] != ["security_invoker=on"]]
    assert not supabase.rows("select from pg_class where relnamespace = 'ipai'::regnamespace and relkind = 'm'")


def test_authenticated_reads_counts_but_no_errors(documented: Supabase) -> None:
    documented.rows(
        "insert into ipai.run_log (mirror, mode, state, finished_at, sqlstate, message) values ('protected', 'full', 'failed', now(), '08006', 'secret')"
    )
    documented.sync("protected")
    session = documented.connect("authenticator")
    execute(session, "set role authenticated")
    (counted,) = execute(session, "select * from ipai.sync_count_delta where mirror = 'protected'")
    assert (counted["odoo_total"], counted["mirror_total"], counted["verdict"]) == (2, 2, "ok")
    assert len(execute(session, "select * from ipai.sample_metrics_count_delta")) == 1
    for statement in (
        *(
            f"select {column} from ipai.run_log"
            for column in ("message", "detail", "hint", "sqlstate", "state", "pid", "cursor_after", "*")
        ),
        *(f"select {column} from ipai.mirrors" for column in ("server", "schedule", "scheduled_by", "domain", "*")),
        "select mirror from ipai.mirror_state",
        *(f"select {column} from ipai.followers" for column in ("server", "since", "problem", "*")),
        *(f"select * from ipai.{name}" for name in ("sync_runs", "sync_status", "sync_alerts", "odoo_logins", "unprotected")),
        "select nextval('ipai.run_log_run_seq')",
        "update ipai.mirrors set name = name",
        "delete from ipai.protected",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(session, statement)


# What service_role writes -------------------------------------------------------------------------

#: Values that the views could not show, or that would mute an alert.
INVALID_VALUES = {
    "ipai.run_log": [
        *(f"{column} = '{value}'" for column in ("finished_at", "bound", "cursor_after") for value in ("infinity", "-infinity")),
        *("odoo_clock = '10000-01-02'", "newest = 'infinity'", "position = -1", "total = -1", "deleted = -1", "mirror_count = -1"),
        *(f"{column} = '{value}'" for column in ("seconds_waiting", "seconds_writing") for value in ("NaN", "infinity", "-1")),
        *("flags = '{null}'", "flags = '{a,b,c}'", "sqlstate = 'broken'", "fingerprint = repeat('f', 65)"),
        *(f"{column} = repeat('x', 100001)" for column in ("message", "detail", "hint")),
    ],
    "ipai.mirror_state": [
        *("cursor = 'infinity'", "cursor = '10000-01-02'", "filled_company = '-infinity'", "settled_id = -1", "safe_page_size = 0"),
        *("degraded = repeat('x', 1001)", "degraded_since = 'infinity'"),
        *("alerts = '{null}'", "alerts = '{failing,null}'", "alerts = '{other}'", "alerts = array_fill('late'::text, '{12}')"),
    ],
    "ipai.sync_rejects": [
        *("last_tried = 'infinity'", "last_tried = '10000-01-02'", "refused = 'other'", "sqlstate = 'broken'"),
        *("message = repeat('x', 10001)", "field = repeat('x', 1001)"),
    ],
}
VIEWS = ("sync_runs", "sync_status", "sync_alerts", "sync_count_delta", "sample_metrics_count_delta")


@pytest.fixture
def service(supabase: Supabase) -> Connection:
    """A session of service_role, and a mirror with one run and one reject."""
    session = supabase.connect()
    execute(session, "set role service_role")
    execute(session, "insert into ipai.run_log (mirror, mode, state, finished_at) values ('sample_metrics', 'full', 'failed', now())")
    reject = "('sample_metrics', 1, 'delete', '23503', 'referenced')"
    execute(session, f"insert into ipai.sync_rejects (mirror, odoo_id, refused, sqlstate, message) values {reject}")
    return session


def test_service_role_writes_nothing_that_breaks_the_views(supabase: Supabase, service: Connection) -> None:
    for table, changes in INVALID_VALUES.items():
        for change in changes:
            with pytest.raises(psycopg.errors.CheckViolation):
                execute(service, f"update {table} set {change}")
                raise AssertionError(change)
    # The greatest and smallest values that the checks admit. The lock marks a run in progress.
    greatest = 2**63 - 1
    counts = ("position", "pages", "fetched", "inserted", "updated", "unchanged", "deleted")
    totals = ("odoo_count", "odoo_active", "odoo_flagged", "mirror_count", "mirror_active", "mirror_flagged")
    # The greatest difference of the counts.
    execute(service, "insert into ipai.run_log (mirror, mode, state, finished_at) values ('sample_metrics', 'full', 'failed', now())")
    execute(service, f"update ipai.run_log set odoo_count = {greatest}, mirror_count = 0")
    assert supabase.rows("select * from ipai.sync_alerts where kind = 'delta'")
    execute(service, "select pg_advisory_lock(hashtext('ipai_sync'), hashtext('sample_metrics'))")
    for moment in ("0001-01-01 00:00:00+00", "9999-12-31 23:59:59+00"):
        for total, flags in ((greatest, "{active,is_alert}"), (0, "{is_alert}")):
            execute(service, "insert into ipai.run_log (mirror, mode, state) values ('sample_metrics', 'full', 'running')")
            changes = [*(f"{column} = {greatest}" for column in counts), *(f"{column} = {total}" for column in totals)]
            moments = [f"{column} = '{moment}'" for column in ("bound", "odoo_clock", "newest", "cursor_after")]
            execute(service, f"update ipai.run_log set total = 1, flags = '{flags}', {', '.join([*changes, *moments])}")
            execute(service, f"update ipai.run_log set finished_at = '{moment}' where finished_at is not null")
            execute(service, """update ipai.mirror_state set drift = '[1, null, [], {"field": {}}]', alerts = '{late,late}'""")
            for view in VIEWS:
                assert supabase.rows(f"select * from ipai.{view}"), view
            assert supabase.rows("select * from ipai.doctor()")
            assert supabase.row("select state from ipai.sync_status")["state"] == "running"
            execute(service, f"update ipai.run_log set state = 'succeeded', complete = true, finished_at = '{moment}'")
            for view in VIEWS:
                assert supabase.rows(f"select * from ipai.{view}"), view


def test_service_role_cannot_choose_or_change_the_number_of_a_run(service: Connection) -> None:
    greatest = 2**63 - 1
    for statement in (
        f"insert into ipai.run_log (run, mirror, mode, state) overriding system value values ({greatest}, 'm', 'full', 'running')",
        "insert into ipai.run_log (started_at, mirror, mode, state) values ('2000-01-01', 'm', 'full', 'running')",
        "insert into ipai.run_log (pid, mirror, mode, state) values (1, 'm', 'full', 'running')",
        *(f"update ipai.run_log set {change}" for change in ("run = default", "mirror = 'm'", "started_at = now()", "pid = 1")),
        "select setval('ipai.run_log_run_seq', 1)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(service, statement)
            raise AssertionError(statement)
    execute(service, "delete from ipai.run_log")


# A hostile Odoo -----------------------------------------------------------------------------------

#: SQL that would escape from any quoting around it.
EVIL = (
    """x'; drop table public.victim; --"; drop table public.victim; --$$; drop table public.victim; --\\'; drop table public.victim; --"""
)

#: The same within the length limit of a column's name.
EVIL_NAME = """x'";drop table public.victim;--"""


class HostileOdoo(ScriptedOdoo):
    """An Odoo that sends SQL as labels, helps, values and field names."""

    def answer(self, request: Request) -> bytes:
        body = super().answer(request)
        if request.method != "fields_get":
            return body
        (fields,), _ = cast(tuple[tuple[dict[str, Any]], Any], xmlrpc.client.loads(body))
        evil = {name: {**field, "string": EVIL, "help": EVIL} for name, field in fields.items()}
        return xmlrpc.client.dumps(({**evil, EVIL_NAME: evil["name"]},), methodresponse=True).encode()


def test_sql_from_a_hostile_odoo_is_not_executed(supabase: Supabase) -> None:
    with HostileOdoo([metric(1, name=EVIL, notes=EVIL, **{EVIL_NAME: EVIL})]) as odoo:
        supabase.server(odoo.url)
        supabase.rows("create table public.victim (id bigint)")
        made = supabase.create_mirror(MODEL, target="public.m", fields=["name", "notes", EVIL_NAME, "write_date"])
        assert [row["column"] for row in made] == ["name", "notes", EVIL_NAME, "write_date", "active"]
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


def test_mirror_into_an_exposed_table_warns(supabase: Supabase) -> None:
    """A table from before its mirror may have Supabase's earlier default privileges."""
    supabase.rows(
        """create table public.m (odoo_id bigint primary key, name text);
           grant all on public.m to anon, authenticated, service_role"""
    )
    grants = "revoke trigger, references on table public.m from anon, authenticated, service_role cascade;"
    session = supabase.connect()
    warnings: list[tuple[str | None, ...]] = []
    session.add_notice_handler(lambda notice: warnings.append((notice.severity, notice.message_primary, notice.message_hint)))
    create = f"select * from ipai.create_mirror('{MODEL}', 'public.m', '{{name}}', columns => '{{}}')"
    with ScriptedOdoo([metric(1)]) as odoo:
        supabase.server(odoo.url)
        # These privileges would let a role have its code run by a sync.
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
            execute(session, create)
        assert refused.value.diag.message_hint == grants
        execute(session, grants)
        execute(session, create)
        assert [(severity, (message or "").rpartition(" ")[2]) for severity, message, _ in warnings] == [
            ("WARNING", "anon"),
            ("WARNING", "authenticated"),
        ]
        # anon may also read the rows.
        assert "SELECT" in str(warnings[0]) and "SELECT" not in str(warnings[1])
        for _, _, hint in warnings:
            supabase.rows(hint or "")
        may = "select has_table_privilege(r, 'public.m', 'select, insert, update, delete, truncate') as may from unnest('{anon,authenticated}'::name[]) r"
        assert supabase.rows(may) == [{"may": False}, {"may": True}]
        supabase.rows("select ipai.drop_mirror('m')")
        warnings.clear()
        execute(session, create)
        # A table that create_mirror creates has no such privileges.
        supabase.rows(f"select * from ipai.create_mirror('{MODEL}', 'public.created')")
        assert warnings == []


# Documented limits of the protection --------------------------------------------------------------


@pytest.fixture
def stranger(supabase: Supabase) -> Iterator[Connection]:
    """A session of a role without any granted privilege."""
    supabase.cluster.psql("create role stranger login")
    session = supabase.connect("stranger")
    yield session
    session.close()
    supabase.cluster.psql("drop role stranger")


def test_every_role_reads_the_options_of_a_server(documented: Supabase, stranger: Connection) -> None:
    """An option of a server must not be secret.

    Every role sees who has a user mapping, but not its options.
    """
    (server,) = execute(stranger, "select srvoptions from pg_foreign_server")
    assert "dbname=odoo" in server["srvoptions"]
    assert execute(stranger, "select usename, umoptions from pg_user_mappings") == [{"usename": "postgres", "umoptions": None}]


def test_notifications_contain_no_error_messages(documented: Supabase, stranger: Connection) -> None:
    """Postgres has no privilege for LISTEN.

    Every session can receive the names of failing mirrors, but not the errors. Users of the API
    have no session.
    """
    execute(stranger, "listen ipai_sync_alerts")
    documented.set_url("http://127.0.0.1:9")
    with pytest.raises(psycopg.errors.SqlclientUnableToEstablishSqlconnection):
        documented.rows("call ipai.run_sync('protected')")
    (notification,) = stranger.notifies(timeout=5, stop_after=1)
    assert json.loads(notification.payload) == {"raised": [{"mirror": "protected", "kind": "failing", "severity": 1}], "cleared": []}
    assert "127.0.0.1:9" in documented.row("select message from ipai.sync_alerts where mirror = 'protected'")["message"]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(stranger, "select * from ipai.sync_alerts")


def test_superuser_can_call_functions_planted_in_the_schema(documented: Supabase) -> None:
    """Postgres prefers a function for the exact argument type.

    This holds for every schema in which another role can create functions.
    """
    documented.rows("create function ipai.odoo_version(name) returns text language sql as 'select current_user::text'")
    try:
        version = "select ipai.odoo_version({}) as version from pg_foreign_server"
        assert documented.row(version.format("srvname"), user="supabase_admin") == {"version": "supabase_admin"}
        assert documented.row(version.format("srvname::text"))["version"].startswith("19")
    finally:
        documented.rows("drop function ipai.odoo_version(name)")


# Planted functions, operators, types and relations ------------------------------------------------

#: Planted objects write this to the server's log, which survives a rollback.
PLANTED_MARK = "called what was planted"

#: Planted by a role that may create in `public`: namesakes of everything that could be looked up. A
#: planted object reports its call and returns null.
PLANTED_OBJECTS = """
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

#: Calls every function that users call, in this order, with a mirror in the caller's own schema.
CALLS = f"""
    select ipai.odoo_version()
    select * from ipai.odoo_models()
    select * from ipai.odoo_fields('odoo', '{MODEL}')
    select * from ipai.odoo_fields(model => '{MODEL}')
    select ipai.odoo_call('odoo', '{MODEL}', 'action')
    select ipai.set_odoo_password('odoo', 'admin')
    select ipai.bind_odoo_secret('odoo', 'odoo_password', '{{URL}}')
    select * from ipai.create_mirror('{MODEL}', 'own.planted', '{{name,brand_id,value,is_alert,date,write_date}}', '[["id", ">", 0]]', constants => '{{"tenant": "a"}}', flag_field => 'is_alert')
    select ipai.protect_mirror('planted', '{{"brand_id": "ipai_brand_ids", "tenant": "tenants"}}')
    select ipai.alter_mirror('planted', page_size => 2, overlap => '1 minute', late_after => '1 minute', max_flagged_ratio => 1)
    select ipai.register_sample_metrics()
    select ipai.register_mirror('planted')
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
    update ipai.mirrors set relations = '{{"brand_id": "{MODEL}"}}' where name operator(pg_catalog.=) 'planted'
    select * from ipai.relate_mirrors()
    select r.name from own.planted p cross join lateral own.brand(p) r
    call ipai.run_sync('planted')
    call ipai.follow_sync('{{planted}}', during => '1 millisecond')
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
    select ipai.set_odoo_password('odoo', '{api_key("admin", "admin")}')
    call ipai.rotate_odoo_key('odoo')
    select ipai.drop_mirror('planted', true)
"""


@pytest.fixture(scope="module")
def planted(extension_pg: Installation) -> Iterator[Supabase]:
    """A cluster in whose `public` the role mallory has planted objects.

    mallory may create there, as in a database from before PostgreSQL 15.
    """
    with postgres.supabase_cluster(extension_pg) as cluster:
        cluster.psql("create extension ipai_sync")
        postgres.migrate(cluster)
        supabase = Supabase(cluster)
        cluster.psql("create role mallory login; grant usage, create on schema public to mallory")
        # The superuser's own statements in the tests must not call planted objects.
        cluster.psql("alter role supabase_admin set search_path = pg_catalog")
        cluster.psql("set search_path = pg_catalog;" + PLANTED_OBJECTS, user="mallory")
        yield supabase


def planted_calls(planted: Supabase, after: int) -> list[str]:
    """Returns the planted objects that were called after this position of the server's log."""
    with open(planted.cluster.log, errors="replace") as log:
        log.seek(after)
        return re.findall(rf"{PLANTED_MARK}: (.*)", log.read())


def log_size(planted: Supabase) -> int:
    return planted.cluster.log.stat().st_size


def test_calls_include_every_function_of_the_extension(supabase: Supabase) -> None:
    there = supabase.rows(
        """select proname::text as name from pg_proc join pg_depend on objid = pg_proc.oid and classid = 'pg_proc'::regclass and deptype = 'e'
           where refobjid = (select oid from pg_extension where extname = 'ipai_sync')"""
    )
    assert {row["name"] for row in there} - INTERNAL == set(re.findall(r"ipai\.(\w+)\(", CALLS))


def test_planted_objects_report_their_calls(planted: Supabase) -> None:
    """Proves that the planted objects would be noticed in the next tests."""
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
        before = log_size(planted)
        with psycopg.connect(planted.cluster.dsn(user="postgres"), autocommit=True) as connection:
            connection.execute(f"set search_path = {path}".encode())
            connection.execute(statement.encode())
        assert what in planted_calls(planted, before), statement


def run_all(session: Connection, statements: list[str]) -> None:
    for statement in statements:
        try:
            execute(session, statement)
        except psycopg.Error as error:
            raise AssertionError(f"{statement}: {error}") from error


@pytest.mark.parametrize("path", ['"$user", public, extensions', "public, pg_catalog", "public, pg_catalog, pg_temp, ipai, vault, cron"])
@pytest.mark.parametrize("user", ["postgres", "supabase_admin"])
def test_objects_planted_in_public_are_never_called(planted: Supabase, path: str, user: str) -> None:
    with ScriptedOdoo([metric(number) for number in range(1, 6)]) as odoo:
        odoo.on("action", returning(7))
        planted.server(odoo.url)
        planted.cluster.psql(f"create schema own authorization {user}")
        statements = [line.strip().replace("{URL}", odoo.url) for line in CALLS.strip().splitlines()]
        if user != "postgres":
            # The migrations ran as postgres, whose code a superuser does not call.
            postgres_only = ("protect_mirror", "sync_sample_metrics", "refresh_counts")
            statements = [statement for statement in statements if not any(name in statement for name in postgres_only)]
            statements.insert(statements.index("call ipai.run_sync()"), "select ipai.alter_mirror('sample_metrics', enabled => false)")
            planted.cluster.psql(f"create user mapping for {user} server odoo options (user 'admin', password_secret 'odoo_password')")
        session = planted.connect(user)
        execute(session, f"set search_path = {path}")
        before = log_size(planted)
        try:
            run_all(session, statements)
            assert planted_calls(planted, before) == []
        finally:
            planted.reset()
            planted.cluster.psql("drop schema own cascade")


def test_policies_call_no_planted_objects(planted: Supabase) -> None:
    with ScriptedOdoo([metric(1), metric(2, brand_id=7), metric(3, brand_id=8)]) as odoo:
        planted.server(odoo.url)
        planted.sync("sample_metrics")
        session = planted.connect("authenticator")
        execute(session, "set role authenticated")
        execute(session, """set request.jwt.claims = '{"app_metadata": {"ipai_brand_ids": [7]}}'""")
        for path in ('"$user", public, extensions', "public, pg_catalog"):
            execute(session, f"set search_path = {path}")
            before = log_size(planted)
            assert {row["odoo_id"] for row in execute(session, "select odoo_id from ipai.ipai_sample_metrics")} == {1, 2}
            execute(session, "select * from ipai.sync_count_delta")
            execute(session, "select * from ipai.sample_metrics_count_delta")
            assert planted_calls(planted, before) == []
        planted.reset()


# The page -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [SECURITY, THREAT_MODEL], ids=lambda page: page.name)
def test_tests_named_by_the_page_exist(page: Path) -> None:
    named = set(re.findall(r"`(test_\w+)(?:\.py)?`", page.read_text()))
    files = list(Path(__file__).parents[1].glob("**/test_*.py"))
    there = {file.stem for file in files}.union(*(re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE) for file in files))
    assert len(named) > 20
    assert sorted(named - there) == []


def test_page_revokes_the_counts(supabase: Supabase) -> None:
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
