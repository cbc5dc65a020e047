"""Tests that a run executes no code of roles that its own role does not trust.

Each attack plants code that a write to the mirror's table would execute as the role that syncs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from harness import shell
from support.definitions import ScriptedOdoo, blocked_statement, create_statement, execute, expect_error
from support.faulty import MODEL, Exchange, metric, respond_normally
from support.hostile import ATTACKER, Attacker, create_shared_mirror
from support.supabase import Supabase

TABLE = "shared.metrics"
RUN = "call ipai.run_sync('metrics')"
REGISTER = "select ipai.register_mirror('metrics');"


@pytest.fixture
def target(supabase: Supabase, erp: ScriptedOdoo, attacker: Attacker) -> Supabase:
    """A database with the filled mirror `metrics` of postgres, in the schema `shared`."""
    create_shared_mirror(supabase)
    assert supabase.sync("metrics")["inserted"] == 6
    # The next run must write, or it would execute nothing.
    erp.records = [metric(number, name=f"Changed {number}", write_date="2026-01-06 08:00:00") for number in (2, 3, 4, 5, 6, 7)]
    return supabase


# Planted code -------------------------------------------------------------------------------------


INSERT = f"insert into {TABLE} (odoo_id, name) values (99, 'x'::text)"
UPDATE = f"update {TABLE} set name = 'x' where odoo_id = 2"
DELETE = f"delete from {TABLE} where odoo_id = 2"


@dataclass(frozen=True)
class Plant:
    """Code of the attacker, in or beside the mirror's table."""

    statement: str
    #: The object that the error names.
    object: str
    #: A statement that executes the planted code as its own role. None: as no role that may sync.
    proof: str | None = INSERT
    #: The role that plants it.
    by: str = "postgres"
    #: Statements of a superuser before and after.
    before: str = ""
    after: str = ""
    #: The owner that the error names.
    owner: str = ATTACKER


def by_privilege(privilege: str, statement: str, object: str, proof: str, **more: str) -> Plant:
    """Code planted with a privilege on the table, which was revoked afterwards."""
    before = f"grant usage on schema shared to {ATTACKER}; grant {privilege} on {TABLE} to {ATTACKER}"
    return Plant(statement, object, proof, ATTACKER, before, f"revoke all on {TABLE} from {ATTACKER}", **more)


def by_past_owner(statement: str, object: str, proof: str | None = INSERT, *, after: str = "", **more: str) -> Plant:
    """Code planted by a past owner of the table."""
    before = f"grant usage, create on schema shared to {ATTACKER}; alter table {TABLE} owner to {ATTACKER}"
    given = f"alter table {TABLE} owner to postgres; revoke all on schema shared from {ATTACKER}; {after}"
    return Plant(statement, object, proof, ATTACKER, before, given, **more)


#: A built-in function that executes a text. An expression that calls it has no owner.
EXECUTED = "query_to_xml('select lair.note()', true, false, '')"
WHEN = f"""create trigger planted before update on {TABLE} for each row when ({{}})
    execute function suppress_redundant_updates_trigger()"""


def by_oid(call: str, object: str) -> Plant:
    """A condition that calls a built-in function with the number of an object."""
    statement = WHEN.format(f"({call}) is not null").replace("'", "''").replace("%s", "%s", 1)
    name = call.partition("(")[0]
    return by_privilege("trigger", f"do $$ begin execute format('{statement}', '{object}::oid); end $$", name, UPDATE, owner="public")


PLANTS = {
    "a trigger by a privilege that is still held": Plant(
        f"create trigger planted before insert on {TABLE} for each row execute function lair.trigger()",
        "the privilege TRIGGER on table shared.metrics",
        by=ATTACKER,
        before=f"grant usage on schema shared to {ATTACKER}; grant trigger on {TABLE} to {ATTACKER}",
    ),
    "a trigger": by_privilege(
        "trigger", f"create trigger planted before insert on {TABLE} for each row execute function lair.trigger()", "lair.trigger", INSERT
    ),
    "a statement's trigger": Plant(f"create trigger planted after insert on {TABLE} execute function lair.trigger()", "lair.trigger"),
    "a trigger that always fires": Plant(
        f"""create trigger planted before insert on {TABLE} for each row execute function lair.trigger();
            alter table {TABLE} enable always trigger planted""",
        "lair.trigger",
    ),
    "the condition of a trigger": by_privilege("trigger", WHEN.format("lair.holds(new.name)"), "lair.holds", UPDATE),
    "a condition that executes a text": by_privilege(
        "trigger", WHEN.format(f"{EXECUTED} is not null"), "trigger planted on table shared.metrics", UPDATE, owner="public"
    ),
    "a condition that rewrites a search": by_privilege(
        "trigger",
        WHEN.format("ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery where lair.note()') is not null"),
        "ts_rewrite",
        UPDATE,
        owner="public",
    ),
    "a condition that names a type by its number": by_privilege(
        "trigger",
        f"""do $$ begin execute format('{WHEN.format("domain_in(''x''::cstring, %s, -1) is not null")}', 'lair.checked'::regtype::oid); end $$""",
        "domain_in",
        UPDATE,
        owner="public",
    ),
    "a condition with a type without a dependency": by_privilege(
        "trigger",
        WHEN.format("""(jsonb_populate_record((array[]::lair.comp[])[1], '{"a": "x"}'::jsonb)) is not null"""),
        "lair.holds",
        UPDATE,
    ),
    "a condition that reads a partition's constraint": by_oid("pg_get_partition_constraintdef(%s)", "lair.range'::regclass"),
    "a condition that computes a partition": by_oid("satisfies_hash_partition(%s, 1, 0, 'x'::text)", "lair.hashed'::regclass"),
    "a condition that validates a function": by_oid("fmgr_sql_validator(%s)", "lair.parsed'::regproc"),
    "a default": Plant(f"alter table {TABLE} add planted text default lair.make()", "lair.make"),
    "a default that executes a text": by_past_owner(
        f"alter table {TABLE} add planted text; alter table {TABLE} alter planted set default {EXECUTED}::text",
        "default value for column planted",
        owner="public",
    ),
    "the default of a domain": Plant(f"alter table {TABLE} add planted lair.filled", "lair.make"),
    "the check of a domain": Plant(f"alter table {TABLE} alter name type lair.checked", "lair.holds"),
    "a default that reads a file": by_past_owner(
        f"alter table {TABLE} add planted text; alter table {TABLE} alter planted set default pg_read_file('global/pg_control', 0, 1)",
        "default value for column planted",
        None,
        owner="public",
    ),
    "the check of a domain that executes a text": by_past_owner(
        f"create domain lair.text as text check ({EXECUTED} is not null); alter table {TABLE} alter name type lair.text",
        "query_to_xml",
        after="alter domain lair.text owner to postgres",
        owner="public",
    ),
    "a cast of a type": by_past_owner(
        f"alter table {TABLE} alter name type lair.box using row(name)::lair.box",
        "lair.boxed",
        after="alter type lair.box owner to postgres",
    ),
    "a generated column": Plant(f"alter table {TABLE} add planted text generated always as (lair.same(name)) stored", "lair.same"),
    "a check": Plant(f"alter table {TABLE} add check (lair.holds(name))", "lair.holds"),
    "the expression of an index": Plant(f"create index on {TABLE} (lair.same(name))", "lair.same"),
    "the predicate of an index": Plant(f"create index on {TABLE} (name) where lair.holds(name)", "lair.holds"),
    "the operator of an exclusion constraint": Plant(
        f"alter table {TABLE} add exclude using hash (name lair.operators with operator(lair.===))",
        "lair.",
        before="create operator class lair.operators for type text using hash as operator 1 lair.===, function 1 lair.hash(text)",
    ),
    "extended statistics": by_past_owner(
        f"create statistics lair.planted on (name || lair.same('x')), code from {TABLE}",
        "lair.same",
        DELETE,
        after="alter statistics lair.planted owner to postgres",
    ),
    "a default that stores a setting": by_past_owner(
        f"alter table {TABLE} add planted text; alter table {TABLE} alter planted set default current_setting('request.headers', true)",
        "default value for column planted",
        None,
        owner="public",
    ),
    "the negator of an operator that is a built-in function": by_past_owner(
        f"""create function lair.yes(integer, bigint) returns boolean language sql immutable as 'select true';
            create operator lair.=~= (leftarg = integer, rightarg = bigint, function = lair.yes, negator = operator(lair.!~=));
            create operator lair.!~= (leftarg = integer, rightarg = bigint, function = pg_terminate_backend,
                negator = operator(lair.=~=));
            alter table {TABLE} add constraint planted check (not (1 operator(lair.=~=) odoo_id)) not valid""",
        "operator lair.!~=(integer,bigint)",
        None,
        after="""alter function lair.yes(integer, bigint) owner to postgres; alter operator lair.=~= (integer, bigint) owner to postgres;
            alter operator lair.!~= (integer, bigint) owner to postgres""",
        owner="public",
    ),
    "the negator of an operator": by_past_owner(
        f"""create function lair.same_text(text, text) returns boolean language plpgsql immutable strict as
                $$ begin return $1 = $2; end $$;
            create function lair.other_text(text, text) returns boolean language plpgsql immutable strict as
                $$ begin perform lair.note(); return $1 <> $2; end $$;
            create operator lair.=~= (leftarg = text, rightarg = text, function = lair.same_text, negator = operator(lair.!~=));
            create operator lair.!~= (leftarg = text, rightarg = text, function = lair.other_text, negator = operator(lair.=~=));
            alter table {TABLE} add constraint planted check (not (name operator(lair.=~=) 'zz')) not valid""",
        "lair.other_text",
        after="alter function lair.same_text(text, text) owner to postgres; alter operator lair.=~= (text, text) owner to postgres",
    ),
    "a policy that reads a view": by_past_owner(
        f"""create view lair.view as select lair.note() as noted; grant select on lair.view to public;
            create policy planted on {TABLE} as restrictive for select to authenticated using (exists (select from lair.view where noted))""",
        "lair.note",
        None,
    ),
    "a policy": Plant(f"create policy planted on {TABLE} using (lair.holds(name))", "lair.holds", None),
    "a rule": Plant(
        f"create rule planted as on delete to {TABLE} do also select lair.holds(old.name)", "rule planted", DELETE, owner="postgres"
    ),
    "a rule that writes into a table of the operator": by_past_owner(
        f"""create table lair.log (name text);
            create trigger planted before insert on lair.log for each row execute function lair.trigger();
            create rule planted as on delete to {TABLE} do also insert into lair.log values (old.name)""",
        "rule planted",
        DELETE,
        after="alter table lair.log owner to postgres",
        owner="postgres",
    ),
    "the key of a partitioned table": by_past_owner(
        f"""create table lair.parent (like {TABLE}) partition by hash (lair.same(name));
            alter table lair.parent attach partition {TABLE} for values with (modulus 1, remainder 0)""",
        "lair.same",
    ),
    "the key of a partitioned table that was given away": by_past_owner(
        f"""do $$ begin execute format('create table lair.parent (like {TABLE}) partition by range
                ((odoo_id + satisfies_hash_partition(%s, 1, 0, ''x''::text)::int))', 'lair.hashed'::regclass::oid); end $$;
            alter table lair.parent attach partition {TABLE} default""",
        "satisfies_hash_partition",
        after="alter table lair.parent owner to postgres",
        owner="public",
    ),
    "a foreign key to the table": by_privilege(
        "references",
        f"""create table lair.child (odoo_id bigint references {TABLE} (odoo_id));
            create index on lair.child (odoo_id) where lair.queued()""",
        "lair.child",
        DELETE,
    ),
    "a foreign key of the table": by_past_owner(
        f"""create table lair.parent (id bigint primary key);
            insert into lair.parent values (1);
            alter table {TABLE} add planted bigint default 1 references lair.parent (id);
            create index on lair.parent (id) where lair.queued()""",
        "lair.parent",
    ),
    "an index of a table that references the table": by_past_owner(
        f"""create table lair.child (odoo_id bigint references {TABLE} (odoo_id));
            create index on lair.child (odoo_id) where lair.holds('x')""",
        "lair.holds",
        DELETE,
        after="alter table lair.child owner to postgres",
    ),
    "an index of a table that the table references": by_past_owner(
        f"""create table lair.parent (id bigint primary key);
            insert into lair.parent values (1);
            alter table {TABLE} add planted bigint default 1 references lair.parent (id);
            create index on lair.parent (id) where lair.holds('x')""",
        "lair.holds",
        after="alter table lair.parent owner to postgres",
    ),
    "a cascading foreign key": by_privilege(
        "references",
        f"""create table lair.child (odoo_id bigint references {TABLE} (odoo_id) on delete cascade);
            insert into lair.child select n from generate_series(1, 6) n;
            create trigger planted after delete on lair.child for each row execute function lair.trigger()""",
        "lair.trigger",
        DELETE,
    ),
    "a foreign key that sets null": by_privilege(
        "references",
        f"""create table lair.child (odoo_id bigint references {TABLE} (odoo_id) on delete set null);
            insert into lair.child select n from generate_series(1, 6) n;
            create trigger planted after update on lair.child for each row execute function lair.trigger()""",
        "lair.trigger",
        DELETE,
    ),
    "the owner of the table": Plant(f"alter table {TABLE} owner to {ATTACKER}", TABLE, None, by="supabase_admin"),
    "the owner of the schema": Plant(f"alter schema shared owner to {ATTACKER}", "shared", None, by="supabase_admin"),
}


@pytest.fixture(params=PLANTS.values(), ids=list(PLANTS))
def planted(request: pytest.FixtureRequest, target: Supabase) -> Plant:
    plant: Plant = request.param
    if plant.before:
        target.cluster.psql(plant.before)
    target.cluster.psql(plant.statement, user=plant.by)
    if plant.after:
        target.cluster.psql(plant.after)
    return plant


def test_run_refuses_code_of_an_untrusted_role(target: Supabase, attacker: Attacker, planted: Plant) -> None:
    before = target.rows(f"select odoo_id, name from {TABLE} order by 1")
    found = attacker.refused(RUN)
    untrusted = target.rows("select object, owner from ipai.untrusted_code(%s::regclass)", TABLE)
    assert {row["owner"] for row in untrusted} == {planted.owner} and any(planted.object in row["object"] for row in untrusted), untrusted
    message = found.message_primary or ""
    # An expression has no owner.
    assert planted.owner in message or planted.owner == "public"
    assert any(row["object"] in message for row in untrusted), message
    assert target.rows(f"select odoo_id, name from {TABLE} order by 1") == before
    run = target.last_run("metrics")
    assert (run["state"], run["sqlstate"]) == ("failed", "42501")
    problems = target.rows("""select object, finding from ipai.doctor() where "check" = 'trust' and state = 'problem'""")
    assert any("metrics" in row["object"] or planted.object in row["finding"] for row in problems), problems


def test_planted_code_would_run_as_the_syncing_role(target: Supabase, attacker: Attacker, planted: Plant) -> None:
    """Proves that the test above plants code that a write executes."""
    if planted.proof is None:
        # A policy does not apply to roles that may sync, a built-in function is no code of the
        # attacker, and an owner is no code by itself.
        built_in = "select from pg_attrdef where adrelid = %s::regclass and adbin ~ ':funcid'"
        assert (
            target.rows("select from pg_policy where polname = 'planted'")
            or target.rows("select from pg_operator where oprnegate <> 0 and oprcode = 'pg_terminate_backend'::regproc")
            or target.rows(built_in, TABLE)
            or target.rows(
                "select from pg_class where oid = %s::regclass and (relowner = %s::regrole or relnamespace::regnamespace::text = 'shared')",
                *(TABLE, ATTACKER),
            )
        )
        return
    with attacker.planted_calls() as roles:
        target.rows(planted.proof)
    assert set(roles) == {"postgres"}


def test_run_of_a_mirror_without_planted_code_succeeds(target: Supabase, attacker: Attacker) -> None:
    """The attacker's own objects beside the table are no reason to refuse."""
    target.rows(f"grant usage on schema shared to {ATTACKER}; grant select, insert, update, delete, truncate on {TABLE} to {ATTACKER}")
    attacker.sql("create table lair.beside (name text); create table public.beside (name text)")
    # Usual defaults, and a type that anyone may cast to a type of their own.
    target.rows(
        f"""create type shared.state as enum ('new'); grant usage on schema shared to {ATTACKER};
            alter table {TABLE} add key uuid default gen_random_uuid(), add made timestamptz default clock_timestamp(),
                add number serial, add made_by text default current_user, add state shared.state default 'new'"""
    )
    attacker.sql(
        """create type lair.seen as (state text);
           create function lair.see(shared.state) returns lair.seen language sql as $$ select row($1::text)::lair.seen $$;
           create cast (shared.state as lair.seen) with function lair.see(shared.state) as assignment"""
    )
    assert target.rows("select * from ipai.untrusted_code(%s::regclass)", TABLE) == []
    with attacker.planted_calls() as roles:
        run = target.sync("metrics")
    assert (run["inserted"], run["updated"], run["deleted"], roles) == (1, 5, 1, [])


def test_parent_of_another_role_reads_no_new_row(target: Supabase, attacker: Attacker) -> None:
    """Postgres checks no privilege on the children of a table that is read."""
    plant = by_past_owner(f"create table lair.parent (name text); alter table {TABLE} inherit lair.parent", "lair.parent")
    target.cluster.psql(plant.before)
    attacker.sql(plant.statement)
    target.cluster.psql(plant.after)
    before = attacker.sql("select name from lair.parent")
    assert len(before) == 6
    assert plant.object in (attacker.refused(RUN).message_primary or "")
    assert attacker.sql("select name from lair.parent") == before


def test_run_refuses_expressions_that_change_a_secret(target: Supabase, attacker: Attacker) -> None:
    """Functions of extensions have a trusted owner, and check the rights of their caller."""
    secrets = "select decrypted_secret from vault.decrypted_secrets order by name"
    before = target.rows(secrets)
    target.cluster.psql(f"grant usage on schema ipai, shared to {ATTACKER}; grant trigger on {TABLE} to {ATTACKER}")
    attacker.sql(WHEN.format("ipai.set_odoo_password('odoo', 'planted') is not null"))
    target.cluster.psql(f"revoke all on {TABLE} from {ATTACKER}; revoke usage on schema ipai, shared from {ATTACKER}")
    found = attacker.refused(RUN)
    assert "set_odoo_password" in (found.message_primary or "")
    assert target.rows(secrets) == before


OVERLOADS = {
    "require_trusted": "ipai.require_trusted(regclass) returns void",
    "lock_table": "ipai.lock_table(text, text, oid, text) returns void",
    "untrusted_code": "ipai.untrusted_code(oid, name) returns table (object text, owner text, problem text, remedy text)",
    "api_exposure": "ipai.api_exposure(regclass) returns table (grantee text, privileges text, revoke text)",
}


@pytest.mark.parametrize("overload", OVERLOADS.values(), ids=OVERLOADS.keys())
def test_overloads_of_the_extension_are_refused(target: Supabase, attacker: Attacker, overload: str) -> None:
    target.cluster.psql(f"grant usage, create on schema ipai to {ATTACKER}")
    attacker.sql(f"create function {overload} language plpgsql as $$ begin perform lair.note(); return; end $$")
    target.cluster.psql(f"revoke all on schema ipai from {ATTACKER}")
    attacker.refused(RUN)
    attacker.refused("""select ipai.protect_mirror('metrics', '{"code": "codes"}')""")
    with attacker.planted_calls() as roles:
        (row,) = target.rows("""select state, finding from ipai.doctor() where "check" = 'trust' and object = 'metrics'""")
    assert (row["state"], roles) == ("problem", []) and ATTACKER in row["finding"]


def test_protect_mirror_refuses_an_old_snapshot(target: Supabase) -> None:
    """It would not see how the table has changed."""
    with target.connect() as session:
        execute(session, "begin isolation level repeatable read")
        with pytest.raises(psycopg.errors.InvalidTransactionState):
            execute(session, """select ipai.protect_mirror('metrics', '{"code": "codes"}')""")


PLANTED_BEFORE_PROTECTION = {
    "extended statistics": f"create statistics shared.planted on (name || lair.same('x')), code from {TABLE}",
    "a policy": f"create policy planted on {TABLE} as restrictive for select to authenticated using (lair.holds(name))",
}


@pytest.mark.parametrize("statement", PLANTED_BEFORE_PROTECTION.values(), ids=PLANTED_BEFORE_PROTECTION.keys())
def test_protect_mirror_refuses_planted_code(target: Supabase, attacker: Attacker, statement: str) -> None:
    """An index is built with statistics, and policies see rows that a user does not."""
    target.cluster.psql(f"grant usage, create on schema shared to {ATTACKER}; alter table {TABLE} owner to {ATTACKER}")
    attacker.sql(statement)
    target.cluster.psql(f"alter table {TABLE} owner to postgres; revoke all on schema shared from {ATTACKER}")
    policies = "select polname from pg_policy where polrelid = %s::regclass"
    before = target.rows(policies, TABLE)
    attacker.refused("""select ipai.protect_mirror('metrics', '{"code": "codes"}')""")
    assert target.rows(policies, TABLE) == before


# Privileges to plant code -------------------------------------------------------------------------


@pytest.mark.parametrize("grantee", [ATTACKER, "public"])
@pytest.mark.parametrize("privilege", ["trigger", "references", "references (odoo_id)", "all"])
def test_privilege_to_plant_code_stops_a_run(target: Supabase, erp: ScriptedOdoo, attacker: Attacker, grantee: str, privilege: str) -> None:
    """With the privilege, code could be planted between the pages of a run."""
    target.rows(f"grant {privilege} on {TABLE} to {grantee}")
    erp.requests.clear()
    found = attacker.refused(RUN)
    assert [request for request in erp.requests if request.method == "search_read"] == []
    revoke = f"revoke trigger, references on table {TABLE} from {grantee} cascade;"
    assert found.message_hint == revoke
    (row,) = target.rows("""select state, remedy from ipai.doctor() where "check" = 'trust' and object = 'metrics'""")
    assert (row["state"], row["remedy"]) == ("problem", revoke)
    target.rows(revoke)
    target.sync("metrics")


@pytest.mark.parametrize("entry", [RUN, "select * from ipai.sync_mirror('metrics')"])
def test_run_waits_for_a_trigger_that_is_not_committed(target: Supabase, attacker: Attacker, entry: str) -> None:
    """No other session sees the trigger before the commit, which may follow the run's checks."""
    planted = f"create trigger {{}} before insert or update on {TABLE} for each row execute function {{}}()"
    target.rows(planted.format("harmless", "suppress_redundant_updates_trigger"))
    target.rows(f"grant usage on schema shared to {ATTACKER}; grant trigger on {TABLE} to {ATTACKER}")
    with target.connect(ATTACKER) as session, attacker.planted_calls() as roles:
        execute(session, "begin")
        execute(session, planted.format("planted", "lair.trigger"))
        target.rows(f"revoke trigger on {TABLE} from {ATTACKER}")
        assert target.rows("select * from ipai.untrusted_code(%s::regclass)", TABLE) == []
        with blocked_statement(target, entry, session) as run:
            execute(session, "commit")
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"lair\.trigger"):
                run.result()
    assert roles == []


# Every function that writes or reads a mirror's table ---------------------------------------------

ENTRIES = (
    "select * from ipai.sync_mirror('metrics')",
    "select * from ipai.sync_mirror('metrics', since => '2026-01-01', max_rows => 10)",
    "select * from ipai.refresh_counts('metrics')",
    "select * from ipai.refresh_mirror('metrics')",
    "call ipai.run_sync('metrics', 'full')",
    "call ipai.run_sync('metrics', 'incremental')",
    "call ipai.run_sync('metrics', 'reconcile')",
    "call ipai.run_sync()",
)


def test_every_entry_refuses_a_planted_trigger(target: Supabase, attacker: Attacker) -> None:
    """Includes pg_cron, which starts jobs at full minutes."""
    target.rows(f"create trigger planted before insert on {TABLE} for each row execute function lair.trigger()")
    with attacker.planted_calls() as roles:
        for entry in ENTRIES:
            found = expect_error(target, entry)
            assert (entry, found.sqlstate) == (entry, "42501"), found.message_primary
        target.rows("select ipai.sync_now('metrics')")
        first = target.last_run("metrics")["run"]
        shell.wait_until(
            lambda: target.last_run("metrics")["run"] > first and target.last_run("metrics")["state"] != "running",
            "the run of pg_cron",
            seconds=90,
        )
    assert (target.last_run("metrics")["sqlstate"], roles) == ("42501", [])


def test_sample_metrics_refuse_a_planted_trigger(supabase: Supabase, erp: ScriptedOdoo, attacker: Attacker) -> None:
    supabase.rows("create trigger planted before insert on ipai.ipai_sample_metrics for each row execute function lair.trigger()")
    found = attacker.refused("select * from ipai.sync_sample_metrics()")
    assert "lair.trigger" in (found.message_primary or "")


@pytest.mark.parametrize("role", ["service_role", "supabase_admin"])
def test_other_syncing_roles_refuse_a_planted_trigger(target: Supabase, attacker: Attacker, role: str) -> None:
    target.cluster.psql(
        f"""create trigger planted before insert on {TABLE} for each row execute function lair.trigger();
            grant usage on schema shared to service_role;
            grant usage on foreign server odoo to service_role;
            create user mapping for {role} server odoo options (user 'admin', password 'admin')"""
    )
    session = target.connect("supabase_admin")
    execute(session, f"set role {role}")
    with attacker.planted_calls() as roles, pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        execute(session, RUN)
    assert roles == []
    assert role != "service_role" or "lair.trigger" in (refused.value.diag.message_primary or "")


@pytest.mark.parametrize("place", ["an existing table", "a schema"])
def test_create_mirror_refuses_objects_of_an_untrusted_role(supabase: Supabase, erp: ScriptedOdoo, attacker: Attacker, place: str) -> None:
    attacker.sql("grant usage, create on schema lair to postgres")
    if place == "an existing table":
        attacker.sql(
            """create table public.metrics (odoo_id bigint unique, name text, write_date timestamptz, active boolean);
               create trigger planted before insert on public.metrics for each row execute function lair.trigger();
               grant all on public.metrics to postgres"""
        )
        statement = f"""select * from ipai.create_mirror('{MODEL}', 'public.metrics', '{{name,write_date}}',
            columns => '{{"name": "name", "write_date": "write_date"}}')"""
    else:
        statement = create_statement("metrics", "lair.metrics")
    found = attacker.refused(statement)
    assert "lair" in (found.message_primary or "") and ATTACKER in (found.message_primary or "")
    assert supabase.rows("select from ipai.mirrors where name = 'metrics'") == []


# Trusted roles ------------------------------------------------------------------------------------


def test_superuser_trusts_only_superusers(target: Supabase, attacker: Attacker) -> None:
    """A superuser that syncs the table of postgres would execute the code of postgres."""
    untrusted = "select owner from ipai.untrusted_code(%s::regclass, %s)"
    assert target.rows(untrusted, TABLE, "postgres") == []
    assert {row["owner"] for row in target.rows(untrusted, TABLE, "supabase_admin")} == {"postgres"}
    target.cluster.psql("create user mapping for supabase_admin server odoo options (user 'admin', password 'admin')")
    found = attacker.refused(RUN, user="supabase_admin")
    assert TABLE in (found.message_primary or "") or "shared" in (found.message_primary or "")


def test_names_of_supabase_services_are_trusted_only_on_supabase(target: Supabase) -> None:
    """Elsewhere a role with CREATEROLE may take them."""
    trusted = "select ipai.is_trusted('supabase_storage_admin'::regrole, 'postgres') as trusted"
    assert target.row(trusted)["trusted"]
    with target.connect("supabase_admin") as session:
        execute(session, "begin")
        # In a cluster of its own, supabase_admin is the user that initdb made.
        execute(session, "create role admin superuser; set session authorization admin; alter role supabase_admin rename to services")
        assert execute(session, trusted) == [{"trusted": False}]
        execute(session, "rollback")


def test_role_trusts_the_roles_that_may_act_as_it(target: Supabase, erp: ScriptedOdoo) -> None:
    """postgres is a member of service_role, so it may do everything that service_role may do."""
    target.cluster.psql(
        f"""grant usage on schema shared to service_role; grant all on {TABLE} to service_role;
            set role postgres;
            grant usage on foreign server odoo to service_role;
            create user mapping for service_role server odoo options (user 'admin', password 'admin')"""
    )
    session = target.connect()
    execute(session, "set role service_role")
    (run,) = execute(session, "select * from ipai.sync_mirror('metrics')")
    assert run["inserted"] == 1


def test_owner_of_the_database_owns_schema_public(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """`public` belongs to pg_database_owner, which is postgres here."""
    supabase.rows(create_statement("metrics", "public.metrics"))
    assert supabase.sync("metrics")["inserted"] == 6
    assert supabase.rows("select * from ipai.untrusted_code('public.metrics')") == []


# Another table of the same name -------------------------------------------------------------------


def remake(name: str = TABLE, trigger: bool = True) -> str:
    planted = f"create trigger planted before insert on {name} for each row execute function lair.trigger();" if trigger else ""
    return f"create table {name} (odoo_id bigint unique, name text, code text, active boolean, write_date timestamptz); {planted} grant select, insert, update, delete on {name} to public;"


def test_run_refuses_the_table_of_another_role(supabase: Supabase, erp: ScriptedOdoo, attacker: Attacker) -> None:
    """Any role with CREATE on the schema can take the name of a dropped table."""
    supabase.rows(create_statement("metrics", "public.metrics", fields="name,code,write_date"))
    supabase.sync("metrics")
    supabase.rows("drop table public.metrics")
    attacker.sql(remake("public.metrics"))
    attacker.refused(RUN)
    assert supabase.rows("select from public.metrics") == []
    # The registration refuses it, too.
    attacker.refused("select ipai.register_mirror('metrics')")
    attacker.refused(RUN)


def test_run_refuses_a_table_that_the_owner_of_the_schema_made(target: Supabase, attacker: Attacker) -> None:
    target.cluster.psql(f"alter schema shared owner to {ATTACKER}")
    attacker.sql(f"drop table {TABLE}; {remake()}")
    attacker.refused(RUN)
    assert target.rows(f"select from {TABLE}") == []


@pytest.mark.parametrize("way", ["made anew", "renamed"])
def test_run_refuses_another_table_until_it_is_registered(target: Supabase, erp: ScriptedOdoo, way: str) -> None:
    """Also if its owner is trusted: the mirror's rows, policies and grants are gone."""
    gone = f"drop table {TABLE}" if way == "made anew" else f"alter table {TABLE} rename to earlier"
    target.rows(f"{gone}; {remake(trigger=False)}")
    found = expect_error(target, RUN)
    assert found.sqlstate == "42501" and REGISTER in (found.message_hint or "")
    assert target.rows(f"select from {TABLE}") == []
    (row,) = target.rows("""select state, remedy from ipai.doctor() where "check" = 'trust' and state <> 'ok'""")
    assert (row["state"], row["remedy"]) == ("problem", REGISTER)
    target.rows(REGISTER)
    target.sync("metrics", "full")
    assert target.row(f"select count(*) from {TABLE}") == {"count": 6}


def test_run_refuses_a_table_that_changed_its_owner(target: Supabase, attacker: Attacker) -> None:
    target.cluster.psql(f"alter table {TABLE} owner to {ATTACKER}")
    attacker.refused(RUN)


SWAPS = {
    "by its owner": ("", "postgres"),
    "by the owner of the schema": (f"alter schema shared owner to {ATTACKER}", ATTACKER),
}


@pytest.fixture
def paged(supabase: Supabase, erp: ScriptedOdoo, attacker: Attacker) -> Iterator[Supabase]:
    """A database with the empty mirror `metrics`, whose pages have two rows."""
    create_shared_mirror(supabase)
    supabase.rows("update ipai.mirrors set page_size = 2 where name = 'metrics'")
    yield supabase


@pytest.mark.parametrize(("before", "role"), SWAPS.values(), ids=SWAPS.keys())
@pytest.mark.parametrize("page", [1, 2])
def test_table_replaced_during_a_run_receives_no_row(
    paged: Supabase, erp: ScriptedOdoo, attacker: Attacker, before: str, role: str, page: int
) -> None:
    """The run holds no lock between its pages, so the table can be replaced there."""
    errors: list[Exception] = []

    def replace() -> None:
        try:
            if before:
                paged.cluster.psql(before)
            # The run may just write the page before.
            paged.cluster.psql(f"begin; drop table {TABLE}; {remake()}; commit", user=role)
        except Exception as error:
            errors.append(error)

    def swap(exchange: Exchange) -> None:
        replace()
        respond_normally(exchange)

    erp.on("search_read", respond_normally, times=page)
    erp.on("search_read", swap, times=1)
    attacker.refused(RUN)
    assert not errors
    assert paged.rows(f"select from {TABLE}") == []


def test_table_given_away_during_a_run_receives_no_further_row(paged: Supabase, erp: ScriptedOdoo, attacker: Attacker) -> None:
    def give(exchange: Exchange) -> None:
        paged.cluster.psql(f"alter table {TABLE} owner to {ATTACKER}")
        respond_normally(exchange)

    erp.on("search_read", respond_normally, times=1)
    erp.on("search_read", give, times=1)
    assert ATTACKER in (attacker.refused(RUN).message_primary or "")
    assert len(paged.rows(f"select from {TABLE}")) <= 2


def test_services_of_supabase_are_trusted(target: Supabase) -> None:
    """A database webhook is a trigger with a function of such a role."""
    target.cluster.psql(
        f"""create function shared.hook() returns trigger language plpgsql as 'begin return new; end';
            alter function shared.hook() owner to supabase_auth_admin;
            create trigger hook after update on {TABLE} for each row execute function shared.hook()"""
    )
    target.sync("metrics")
    (row,) = target.rows("select object from ipai.untrusted_code(%s::regclass, 'supabase_admin') where object ~ 'hook'", TABLE)
    assert row["object"] == "function shared.hook()"


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_sync_with_a_snapshot_of_its_caller_is_refused(target: Supabase, level: str) -> None:
    """The snapshot would hide a trigger that another session has created since."""
    with pytest.raises(psycopg.errors.InvalidTransactionState) as refused, target.connect() as session:
        session.execute(f"begin isolation level {level}")
        session.execute("select * from ipai.sync_mirror('metrics')")
    assert refused.value.diag.message_primary == "a sync needs the isolation level read committed"
