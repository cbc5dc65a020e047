"""An upgraded extension equals a new one: every object, its columns, comments and privileges."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import extension, paths, postgres
from harness.postgres import Cluster, Installation
from support import earlier

VERSION = extension.version()

#: All that the extension has put into the catalogs, one line each, without oids. Members first; then what hangs on them.
CATALOG = """
    with members as (
        select d.classid, d.objid from pg_depend d join pg_extension e on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass
        where e.extname = 'ipai_sync' and d.deptype = 'e'
    ), relations as (
        select c.* from pg_class c join members m on m.objid = c.oid and m.classid = 'pg_class'::regclass
    ), functions as (
        select p.* from pg_proc p join members m on m.objid = p.oid and m.classid = 'pg_proc'::regclass
    )
    select line from (
        select 'member ' || pg_describe_object(classid, objid, 0) from members
      union all
        select format('column %s.%s %s %s %s default %s acl %s comment %s', c.oid::regclass, a.attname, a.attnum,
                      format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
                      (select array_agg(x::text order by x::text) from unnest(a.attacl) x), col_description(c.oid, a.attnum))
        from relations c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        where c.relkind in ('r', 'v')
      union all
        select format('relation %s %s %s acl %s comment %s definition %s', c.oid::regclass, c.relkind, c.reloptions,
                      (select array_agg(x::text order by x::text) from unnest(c.relacl) x), obj_description(c.oid, 'pg_class'),
                      case c.relkind when 'v' then pg_get_viewdef(c.oid) end)
        from relations c
      union all
        select format('constraint %s %s %s', t.conrelid::regclass, t.conname, pg_get_constraintdef(t.oid))
        from pg_constraint t join relations c on c.oid = t.conrelid
      union all
        select pg_get_indexdef(i.indexrelid) from pg_index i join relations c on c.oid = i.indrelid
      union all
        select format('function %s owner %s acl %s comment %s', pg_get_functiondef(p.oid), p.proowner::regrole,
                      (select array_agg(x::text order by x::text) from unnest(p.proacl) x), obj_description(p.oid, 'pg_proc'))
        from functions p
      union all
        select format('wrapper %s validator %s acl %s comment %s', w.fdwname, w.fdwvalidator::regprocedure,
                      (select array_agg(x::text order by x::text) from unnest(w.fdwacl) x), obj_description(w.oid, 'pg_foreign_data_wrapper'))
        from pg_foreign_data_wrapper w join members m on m.objid = w.oid and m.classid = 'pg_foreign_data_wrapper'::regclass
      union all
        select format('dumped %s where %s', x.table::regclass, x.condition)
        from pg_extension e, unnest(e.extconfig, e.extcondition) x ("table", condition) where e.extname = 'ipai_sync'
      union all
        select format('schema %s acl %s', n.nspname, (select array_agg(x::text order by x::text) from unnest(n.nspacl) x))
        from pg_namespace n where n.nspname = 'ipai'
      union all
        select format('version %s', extversion) from pg_extension where extname = 'ipai_sync'
    ) as lines (line)
    order by line collate "C"
"""


@pytest.fixture(scope="module")
def cluster(extension_pg: Installation) -> Iterator[Cluster]:
    """A cluster in which the earlier versions can be installed too."""
    installation = extension_pg.relocated("upgrade", under=paths.run_dir())
    extension.copy(extension_pg, installation)
    earlier.install(installation)
    with postgres.supabase_cluster(installation) as cluster:
        yield cluster


def catalog(cluster: Cluster, *statements: str) -> list[str]:
    """What the extension consists of after these statements, in a database of its own."""
    cluster.psql("create database probe template template0")
    try:
        for statement in statements:
            cluster.psql(statement, dbname="probe")
        return cluster.psql(CATALOG, dbname="probe").splitlines()
    finally:
        cluster.psql("drop database probe")


def difference(fresh: list[str], upgraded: list[str]) -> list[str]:
    return list(difflib.unified_diff(fresh, upgraded, "new", "upgraded", lineterm="", n=0))


@pytest.mark.parametrize("version", [earlier.OLDEST, earlier.EARLIER])
def test_an_upgraded_extension_equals_a_new_one(cluster: Cluster, version: str) -> None:
    fresh = catalog(cluster, "create extension ipai_sync")
    assert f"version {VERSION}" in fresh
    assert len(fresh) > 200
    before = catalog(cluster, f"create extension ipai_sync version '{version}'")
    # Of each kind something differs before.
    kinds = {line[1:].split()[0] for line in difference(fresh, before)[2:] if not line.startswith("@@")}
    assert kinds >= {"member", "column", "relation", "function", "version"}
    upgraded = catalog(cluster, f"create extension ipai_sync version '{version}'", "alter extension ipai_sync update")
    assert difference(fresh, upgraded) == []


def test_running_the_idempotent_files_again_changes_nothing(cluster: Cluster) -> None:
    """Every update runs them, whether they have changed or not."""
    fresh = catalog(cluster, "create extension ipai_sync")
    script = cluster.installation.extension_dir / f"ipai_sync--{VERSION}--{VERSION}.again.sql"
    script.write_text("\n".join(path.read_text() for path in extension.objects()))
    again = catalog(cluster, "create extension ipai_sync", f"alter extension ipai_sync update to '{VERSION}.again'")
    changed = [line for line in difference(fresh, again)[2:] if not line.startswith("@@")]
    assert changed == [f"-version {VERSION}", f"+version {VERSION}.again"]


@pytest.mark.parametrize("version", [earlier.OLDEST, earlier.EARLIER])
def test_an_upgrade_keeps_mirrors_cursors_runs_and_logins(cluster: Cluster, version: str) -> None:
    cluster.psql("create database probe template template0")
    try:
        cluster.psql(
            f"""
            create extension ipai_sync version '{version}';
            insert into ipai.mirrors (name, server, model, target_schema, target_table, fields) values ('m', 's', 'x', 'public', 't', '[]');
            insert into ipai.mirror_state (mirror, cursor, fingerprint) values ('m', '2026-01-06', 'x');
            insert into ipai.run_log (mirror, mode, state, finished_at, complete, fetched) values ('m', 'full', 'succeeded', now(), true, 7);
            insert into ipai.odoo_logins (url, dbname, login, uid) values ('https://erp.example.com', 'odoo', 'admin', 2);
            alter extension ipai_sync update;
            """,
            dbname="probe",
        )
        kept = cluster.psql(
            """select m.name, s.cursor::date, m.constants, s.has_write_date, s.active_field, r.run, r.fetched, l.uid
               from ipai.mirrors m join ipai.mirror_state s on s.mirror = m.name join ipai.run_log r on r.mirror = m.name
               cross join ipai.odoo_logins l""",
            dbname="probe",
        )
        assert kept == "m|2026-01-06|{}|t||1|7|2"
        assert cluster.psql("select mirror, state, failures from ipai.sync_status", dbname="probe") == "m|ok|0"
    finally:
        cluster.psql("drop database probe")


def test_an_upgrade_keeps_grants_and_views_of_the_user(cluster: Cluster) -> None:
    cluster.psql("create database probe template template0")
    cluster.psql("create role reader")
    try:
        cluster.psql(f"create extension ipai_sync version '{earlier.EARLIER}'", dbname="probe")
        cluster.psql(
            "grant select on ipai.sync_status to reader; grant execute on function ipai.notify_alerts() to reader",
            dbname="probe",
            user="postgres",
        )
        cluster.psql("create view public.late as select mirror from ipai.sync_status where late", dbname="probe")
        cluster.psql("alter extension ipai_sync update", dbname="probe")
        kept = cluster.psql(
            """select has_table_privilege('reader', 'ipai.sync_status', 'select'),
                      has_function_privilege('reader', 'ipai.notify_alerts()', 'execute'), count(*) from public.late""",
            dbname="probe",
        )
        assert kept == "t|t|0"
    finally:
        cluster.psql("drop database probe")
        cluster.psql("drop role reader")


def test_an_update_runs_the_steps_in_their_order_and_the_idempotent_files_once() -> None:
    updates = extension.updates(earlier.steps())
    assert set(updates) == {earlier.OLDEST, earlier.EARLIER}
    found = [
        updates[earlier.OLDEST].index(step) for step in ("odoo_logins add column", "mirror_state add column", "notify_alerts() returns")
    ]
    assert found == sorted(found)
    assert "odoo_logins add column" not in updates[earlier.EARLIER]
    for text in updates.values():
        assert text.count("create or replace function ipai.notify_alerts()") == 1
        assert "create table" not in text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0.0.1--0.0.2"], f"no update leads from version 0.0.2 to {VERSION}"),
        ([f"0.0.1--{VERSION}", "0.0.1--0.0.2"], "two updates start from version 0.0.1"),
        (["0.0.1--0.0.2", "0.0.2--0.0.1"], f"to {VERSION}"),
    ],
)
def test_steps_that_do_not_lead_to_this_version_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / f"{name}.sql").write_text("select 1;\n")
    with pytest.raises(ValueError, match=message):
        extension.updates(tmp_path)


def test_every_step_of_the_project_leads_to_this_version() -> None:
    extension.updates()
