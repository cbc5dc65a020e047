"""An upgraded extension is the same as a new one: every object, its columns, comments and privileges."""

from __future__ import annotations

import difflib
import shutil
import tomllib
from collections.abc import Iterator

import pytest

from harness import extension, paths, postgres
from harness.postgres import Cluster, Installation

VERSION = tomllib.loads((paths.PROJECT / "Cargo.toml").read_text())["workspace"]["package"]["version"]

SCRIPTS = paths.PROJECT / "tests/released"

#: The versions that have been released, by the scripts that installed them. Users get those of upgrades only.
RELEASED = sorted(path.stem.removeprefix("ipai_sync--") for path in SCRIPTS.glob("ipai_sync--*.sql"))

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
    installation = extension_pg.relocated("upgrade", under=paths.run_dir())
    extension.copy(extension_pg, installation)
    for script in SCRIPTS.glob("*.sql"):
        shutil.copy(script, installation.extension_dir)
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


def test_this_version_can_be_reached_from_every_released_one() -> None:
    assert RELEASED and VERSION not in RELEASED
    for version in RELEASED:
        assert (paths.PROJECT / f"sql/ipai_sync--{version}--{VERSION}.sql").is_file(), version


@pytest.mark.parametrize("version", RELEASED)
def test_an_upgraded_extension_equals_a_new_one(cluster: Cluster, version: str) -> None:
    fresh = catalog(cluster, "create extension ipai_sync")
    assert f"version {VERSION}" in fresh
    assert len(fresh) > 200
    upgraded = catalog(cluster, f"create extension ipai_sync version '{version}'", "alter extension ipai_sync update")
    assert list(difflib.unified_diff(fresh, upgraded, "new", "upgraded", lineterm="", n=0)) == []


@pytest.mark.parametrize("version", RELEASED)
def test_an_upgrade_keeps_mirrors_cursors_and_runs(cluster: Cluster, version: str) -> None:
    cluster.psql("create database probe template template0")
    try:
        cluster.psql(
            f"""
            create extension ipai_sync version '{version}';
            insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio, cursor, shape)
            values ('m', 's', 'x', 'public', 't', '[]', 100, 0.5, '2026-01-06', 'x');
            insert into ipai.run_log (mirror, mode, state, finished_at, complete, fetched) values ('m', 'full', 'succeeded', now(), true, 7);
            alter extension ipai_sync update;
            """,
            dbname="probe",
        )
        kept = cluster.psql(
            """select m.name, m.cursor::date, m.constants, m.has_write_date, m.drift, r.run, r.fetched
               from ipai.mirrors m join ipai.run_log r on r.mirror = m.name""",
            dbname="probe",
        )
        assert kept == "m|2026-01-06|{}|t|[]|1|7"
        assert cluster.psql("select mirror, state, failures from ipai.sync_status", dbname="probe") == "m|ok|0"
    finally:
        cluster.psql("drop database probe")
