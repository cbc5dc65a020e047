"""Tests that a dump restored on another server continues with its cursors and schedules."""

from __future__ import annotations

from pathlib import Path

from harness import shell
from harness.odoo import Odoo
from harness.postgres import Cluster, Installation, client_environment
from support.supabase import Supabase

PRELOADED = {"shared_preload_libraries": "pg_cron", "cron.database_name": "postgres", "cron.host": Cluster.host}

#: Queries whose results must be equal before and after.
RESTORED = {
    "mirrors": "select * from ipai.mirrors order by name",
    "runs": "select * from ipai.run_log order by run",
    "rows": "select * from ipai.res_currency order by odoo_id",
    "policies": "select schemaname, tablename, policyname, qual from pg_policies where schemaname = 'ipai' order by 1, 2, 3",
    "triggers": "select tgrelid::regclass, tgname, tgfoid::regprocedure from pg_trigger where not tgisinternal and tgrelid::regclass::text like 'ipai.%' order by 1, 2",
    "privileges": "select relname, (select array_agg(x::text order by x::text) from unnest(relacl) x) from pg_class where relnamespace = 'ipai'::regnamespace and relkind in ('r', 'v') order by 1",
}


def test_restored_database_keeps_mirrors_cursors_and_schedules(
    supabase: Supabase, odoo: Odoo, extension_pg: Installation, tmp_path: Path
) -> None:
    supabase.server(odoo.url, dbname=odoo.dbname)
    supabase.rows("select * from ipai.create_mirror('res.currency')")
    supabase.rows("select ipai.schedule_sync('res_currency', '0 3 * * *')")
    supabase.rows("call ipai.run_sync('res_currency')")
    supabase.run()
    before = {name: supabase.cluster.psql(sql) for name, sql in RESTORED.items()}
    assert all(before.values())
    cursor = supabase.row("select cursor from ipai.mirror_state where mirror = 'res_currency'")["cursor"]
    last = supabase.row("select max(run) as run from ipai.run_log")["run"]

    roles, dump = tmp_path / "roles.sql", tmp_path / "database.dump"

    def tool(name: str, *arguments: str | Path) -> str:
        return shell.run([str(extension_pg.bindir / name), *arguments], capture=True, env=client_environment()).stdout

    source = supabase.cluster
    roles.write_text(tool("pg_dumpall", "-d", source.dsn(), "--roles-only"))
    tool("pg_dump", "-d", source.dsn(), "-Fc", "-f", dump)
    # The new server already has its superuser.
    lines = [line for line in roles.read_text().splitlines() if line != "CREATE ROLE supabase_admin;"]
    roles.write_text("\n".join(lines))
    with Cluster(extension_pg, superuser="supabase_admin", settings=PRELOADED) as target:
        target.psql_file(roles)
        # Both servers have pg_cron in shared_preload_libraries.
        tool("pg_restore", "-d", target.dsn(), "--exit-on-error", dump)
        assert {name: target.psql(sql) for name, sql in RESTORED.items()} == before

        target.psql("delete from cron.job")
        made = target.psql("select mirror, schedule from ipai.restore_schedules()", user="postgres")
        assert made == "res_currency|0 3 * * *"
        assert target.psql("select schedule, command, username from cron.job") == "0 3 * * *|call ipai.run_sync('res_currency')|postgres"

        (currency, *_) = odoo.rpc("res.currency", "search", [("name", "=", "PHP")], context={"active_test": False})
        odoo.rpc("res.currency", "write", [currency], {"symbol": "PhP"})
        target.psql("call ipai.run_sync('res_currency')", user="postgres")
        newest = "select run, mode, cursor_before, updated from ipai.sync_runs where mirror = 'res_currency' order by run desc limit 1"
        run, mode, cursor_before, updated = target.psql(newest).split("|")
        assert (int(run), mode, updated) == (last + 1, "incremental", "1")
        assert cursor_before.startswith(f"{cursor:%Y-%m-%d %H:%M:%S}")
        assert target.psql(f"select symbol from ipai.res_currency where odoo_id = {currency}") == "PhP"


def test_created_tables_keep_triggers_and_policies(supabase: Supabase, odoo: Odoo, extension_pg: Installation) -> None:
    supabase.server(odoo.url, dbname=odoo.dbname)
    connection = supabase.connect(user="supabase_admin")
    with connection.transaction(force_rollback=True):
        connection.execute("set local role postgres")
        connection.execute("select * from ipai.create_mirror('res.currency')")
        connection.execute("select * from ipai.sync_mirror('res_currency')")
        connection.execute("create policy everybody on ipai.res_currency for select to authenticated using (true)")
        connection.execute("reset role")
        connection.execute("drop extension ipai_sync cascade")
        row = connection.execute("select count(*) as n from ipai.res_currency").fetchone()
        assert row and row["n"] > 100
        connection.execute("update ipai.res_currency set symbol = 'x', updated_at = '2000-01-01' where name = 'EUR'")
        row = connection.execute("select updated_at > '2001-01-01' as touched from ipai.res_currency where name = 'EUR'").fetchone()
        assert row and row["touched"]
        policies = connection.execute("select tablename from pg_policies where schemaname = 'ipai' order by 1").fetchall()
        assert [policy["tablename"] for policy in policies] == ["ipai_sample_metrics", "res_currency"]
        rls = connection.execute("select relrowsecurity from pg_class where oid = 'ipai.res_currency'::regclass").fetchone()
        assert rls and rls["relrowsecurity"]
