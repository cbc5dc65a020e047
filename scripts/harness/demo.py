"""Runs the demo on temporary servers: mirrors Odoo, changes it and compares both sides.

`scripts/demo` runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
import urllib.error
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from . import dashboard, extension, paths, postgres, server_extensions, setup, shell
from .odoo import MODEL, Odoo, generate_metrics
from .postgres import Cluster, Installation
from .postgrest import PostgREST

METRICS = 20_000
#: For the dashboard: 24 metrics for each store and day.
STORES = 12
DAYS = 90


@dataclass(frozen=True)
class Erp:
    """The connection to the Odoo server that is mirrored."""

    url: str
    dbname: str
    user: str
    password: str
    #: The demo's own temporary server, which it may write to; None for the user's server.
    own: Odoo | None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Mirrors Odoo's ipai.sample.metric into a Supabase-like Postgres, on temporary servers. To mirror your own Odoo, set "
        "ODOO_URL, ODOO_DB, ODOO_USER and ODOO_PASSWORD (and ODOO_ALLOW_INSECURE=true for plain http). The demo only reads from it.",
    )
    parser.add_argument("--keep", action="store_true", help="leave the servers running until Ctrl-C")
    parser.add_argument("--dashboard", action="store_true", help="serve the Scout dashboard over the mirror until Ctrl-C")
    options = parser.parse_args()
    external = odoo_from_environment()
    setup.ensure_system()
    if not external:
        prepare_odoo()
    if options.dashboard:
        dashboard.build()
    installation = Installation.default().relocated("demo", under=paths.run_dir())
    extension.build(installation)
    # A mirror without the source leaves Debian's packaged version.
    with contextlib.suppress(urllib.error.URLError, TimeoutError):
        server_extensions.install(server_extensions.PG_CRON, installation)
    shell.log_progress("Starting a Supabase-like Postgres: seconds")
    with postgres.supabase_cluster(installation) as cluster:
        if external:
            return run(cluster, external, options)
        shell.log_progress("Starting a real Odoo 19 with the module ipai_sample_metrics: seconds, or up to 2 minutes the first time")
        with Odoo(demo=True) as odoo:
            if options.dashboard:
                shell.log_progress(f"Generating the metrics of {STORES} stores and {DAYS} days in Odoo: seconds")
                dashboard.fill_odoo(odoo, stores=STORES, days=DAYS)
            else:
                shell.log_progress(f"Generating {METRICS:,} metrics in Odoo: seconds")
                generate_metrics(odoo, METRICS)
                # As in a typical Odoo, most records are older than the overlap window.
                odoo.pg.psql("update ipai_sample_metric set write_date = write_date - interval '1 day'", dbname=odoo.dbname, user="odoo")
            return run(cluster, Erp(odoo.url, odoo.dbname, odoo.admin_user, odoo.admin_password, odoo), options)


def prepare_odoo() -> None:
    """Downloads Odoo and installs the module in the background, while cargo compiles.

    `Odoo` waits for the lock of the background process, and then makes what is still missing.
    """
    shell.log_progress("In the background: downloading Odoo 19 and installing its module, 1 to 2 minutes the first time")
    shell.start_module("harness.odoo", "prepare", "--demo")


def odoo_from_environment() -> Erp | None:
    """Returns the user's own Odoo from the environment variables, or None if none is set."""
    names = ("ODOO_URL", "ODOO_DB", "ODOO_USER", "ODOO_PASSWORD")
    values = [os.environ.get(name, "") for name in names]
    if not any(values):
        return None
    if missing := [name for name, value in zip(names, values, strict=True) if not value]:
        raise SystemExit(f"Also set {', '.join(missing)}, or unset all of {', '.join(names)}.")
    url, dbname, user, password = values
    return Erp(url.rstrip("/"), dbname, user, password, None)


def run(cluster: Cluster, erp: Erp, options: argparse.Namespace) -> int:
    screen = Screen(cluster)
    screen.title("1. Install, and connect to Odoo")
    screen.show("create extension ipai_sync", user="supabase_admin")
    for migration in sorted((paths.PROJECT / "migrations").glob("*.sql")):
        screen.print_line(f"$ psql -f migrations/{migration.name}")
        cluster.psql_file(migration, user="postgres", one_transaction=True)
    insecure = ", allow_insecure 'true'" if os.environ.get("ODOO_ALLOW_INSECURE") == "true" else ""
    screen.show(
        f"create server odoo foreign data wrapper ipai_odoo\n  options (url {literal(erp.url)}, dbname {literal(erp.dbname)}{insecure})"
    )
    screen.show(f"create user mapping for postgres server odoo\n  options (user {literal(erp.user)}, password_secret 'odoo_api_key')")
    screen.print_line("select ipai.set_odoo_password('odoo', '***');")
    cluster.psql(f"select ipai.set_odoo_password('odoo', {literal(erp.password)})", user="postgres")
    screen.show("select * from ipai.check_connection('odoo')", expanded=True)
    if cluster.psql("select bool_and(readable) from ipai.check_connection('odoo')", user="postgres") != "t":
        print("\nThe Odoo user cannot read the model: see problem and hint above.")
        return 1

    first_load(screen)
    screen.title("3. A sync as a function: no row has changed, so none is written")
    screen.sync()
    if erp.own:
        changes(screen, erp.own)
        scheduled_change(screen, erp.own)
    equal = counts(screen, erp)
    screen.title("Connect to the mirror")
    screen.print_line(f"$ psql '{cluster.dsn(user='postgres')}'")
    if options.dashboard:
        serve(screen, erp)
    elif options.keep:
        print(f"\nOdoo: {erp.url}  (database {erp.dbname}, user {erp.user})\nThe servers run until you press Ctrl-C.", flush=True)
        signal.pause()
    else:
        print("(The servers stop with the demo. scripts/demo --keep leaves them running; scripts/demo --dashboard serves the dashboard.)")
    return 0 if equal else 1


def first_load(screen: Screen) -> None:
    """Starts a first sync that commits after each page, kills it, and resumes it."""
    screen.title("2. The first sync: killed after some pages, then resumed")
    screen.query("select ipai.alter_mirror('sample_metrics', 'odoo'); update ipai.mirrors set page_size = 2000")
    screen.print_line("call ipai.run_sync('sample_metrics');")
    call = shell.start(
        screen.psql("-c", "call ipai.run_sync('sample_metrics')"), env=postgres.client_environment(), log=paths.run_dir() / "call.log"
    )
    # A small external Odoo may be read completely before the run can be killed.
    shell.wait_until(lambda: call.poll() is not None or screen.query(f"select 1 from ({RUNNING}) r where pages >= 3"), "the first pages")
    if screen.query(f"select pg_terminate_backend(pid) from ({RUNNING}) r"):
        screen.print_line("-- (from another session)  select pg_terminate_backend(...);")
    shell.wait_until(lambda: call.poll() is not None, "the run ending")
    shell.stop(call)
    screen.show("call ipai.run_sync('sample_metrics')")
    screen.show("select run, resumes, mode, state, pages, fetched, position from ipai.sync_runs order by run")
    screen.show("select odoo_id, code, date, value, unit, is_alert, active from ipai.ipai_sample_metrics order by odoo_id limit 3")


RUNNING = "select pid, pages from ipai.sync_runs where state = 'running'"


def changes(screen: Screen, odoo: Odoo) -> None:
    """Changes records in Odoo and syncs the changes."""
    screen.title("4. Odoo changes: an edit, an archived record, a deletion")
    edited, archived, deleted = odoo.rpc(MODEL, "search", [["unit", "=", "percent"]], limit=3, order="id")
    odoo.rpc(MODEL, "write", [edited], {"value": 99.5, "notes": "edited in Odoo"})
    odoo.rpc(MODEL, "write", [archived], {"active": False})
    odoo.rpc(MODEL, "unlink", [deleted])
    print(f"In Odoo: {edited} got another value, {archived} was archived, {deleted} was deleted.\n")
    screen.sync()
    screen.show(
        "select odoo_id, value, is_alert, active from ipai.ipai_sample_metrics\n"
        f"  where odoo_id in ({edited}, {archived}, {deleted}) order by odoo_id"
    )


def scheduled_change(screen: Screen, odoo: Odoo) -> None:
    """Changes a record in Odoo and waits until pg_cron has synced it."""
    screen.title("5. On a schedule: pg_cron syncs a change")
    # pg_cron 1.4 does not support intervals in seconds.
    has_seconds = screen.query("select 1 from pg_extension where extname = 'pg_cron' and extversion >= '1.5'")
    schedule = "5 seconds" if has_seconds else "* * * * *"
    screen.show(f"select ipai.schedule_sync('sample_metrics', '{schedule}')")
    (edited,) = odoo.rpc(MODEL, "search", [["unit", "=", "count"]], limit=1, order="id")
    odoo.rpc(MODEL, "write", [edited], {"value": 4711})
    print(f"In Odoo: {edited} got the value 4711. Waiting for pg_cron ...", flush=True)
    began = time.monotonic()
    arrived = f"select 1 from ipai.ipai_sample_metrics where odoo_id = {edited} and value = 4711"
    shell.wait_until(lambda: screen.query(arrived), "the scheduled run", seconds=150, every=0.5)
    print(f"It arrived after {time.monotonic() - began:.0f} s.\n", flush=True)
    # The run ends shortly after it has committed the page with the value.
    shell.wait_until(lambda: not screen.query(RUNNING), "the run ending")
    screen.show("select run, mode, state, fetched, updated, unchanged from ipai.sync_runs order by run desc limit 1")


def serve(screen: Screen, erp: Erp) -> None:
    """Serves the dashboard over the mirror, which pg_cron syncs, until Ctrl-C."""
    screen.title("The dashboard")
    screen.show("select ipai.schedule_sync('sample_metrics', '* * * * *')")
    with PostgREST(screen.cluster) as api, dashboard.Dashboard(api, dashboard.demo_config(screen.cluster, api)) as page:
        print(
            f"\n    {page.url}\n\nUsers of two tenants and an operator are in its menu at the top right. pg_cron syncs every full minute."
        )
        print(f"Odoo: {erp.url}  (database {erp.dbname}, user {erp.user}, XML-RPC)")
        if erp.own and sys.stdin.isatty():
            print("Press Enter to increase the sales of a store in Odoo, and watch the page. Ctrl-C stops the servers.", flush=True)
            while sys.stdin.readline():
                print(increase_sales(erp.own), flush=True)
        else:
            print("The servers run until you press Ctrl-C.", flush=True)
        # Without a terminal for input, keep the page available.
        signal.pause()


def increase_sales(odoo: Odoo) -> str:
    """Increases the newest sales in Odoo, and returns a description of the change."""
    (record,) = odoo.rpc(
        MODEL, "search_read", [["code", "=", "STORE_SALES"]], ["store_id", "value", "date"], limit=1, order="date desc, id"
    )
    value = round(record["value"] * 1.5, 2)
    odoo.rpc(MODEL, "write", [record["id"]], {"value": value})
    return f"In Odoo: the sales of {record['store_id'][1]} on {record['date']} are now {value:,.2f}, and were {record['value']:,.2f}."


def counts(screen: Screen, erp: Erp) -> bool:
    """Prints the counts of Odoo and of the mirror, and returns whether they are equal."""
    screen.title("The counts, side by side")
    mirror = dict(
        line.split("|")
        for line in screen.cluster.psql(
            """select unnest(array['total', 'active', 'archived', 'alerts']), unnest(array[count(*), count(*) filter (where active),
                      count(*) filter (where not active), count(*) filter (where is_alert)])
               from ipai.ipai_sample_metrics where odoo_id is not null""",
            user="postgres",
        ).splitlines()
    )
    screen.show(
        "select odoo_total, mirror_total, delta, odoo_alerts, mirror_alerts, alerts_delta, verdict\n  from ipai.sample_metrics_count_delta"
    )
    print("The same counts, queried directly on each side:\n")
    stats = sync_stats(erp)
    print(f"{'':10}{'Odoo':>10}{'mirror':>10}{'delta':>10}")
    for name, ours in mirror.items():
        print(f"{name:10}{stats[name]:>10,}{int(ours):>10,}{stats[name] - int(ours):>10,}")
    return all(stats[name] == int(ours) for name, ours in mirror.items())


def sync_stats(erp: Erp) -> dict[str, int]:
    """Returns Odoo's own counts, queried without the extension."""
    service = xmlrpc.client.ServerProxy(f"{erp.url}/xmlrpc/2/common")
    uid = service.authenticate(erp.dbname, erp.user, erp.password, {})
    service = xmlrpc.client.ServerProxy(f"{erp.url}/xmlrpc/2/object")
    return cast(dict[str, int], service.execute_kw(erp.dbname, uid, erp.password, MODEL, "get_sync_stats", []))


class Screen:
    """Prints each statement as a user would type it, and then psql's output."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def title(self, text: str) -> None:
        print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)

    def print_line(self, text: str) -> None:
        print(text, flush=True)

    def sync(self) -> None:
        self.show("select fetched, inserted, updated, unchanged, deleted, delta, seconds\n  from ipai.sync_sample_metrics()")

    def show(self, sql: str, *, user: str = "postgres", expanded: bool = False) -> None:
        self.print_line(f"{sql};")
        shell.run(self.psql(*(["-x"] if expanded else []), "-c", sql, user=user), env=postgres.client_environment())

    def query(self, sql: str) -> str:
        return self.cluster.psql(sql, user="postgres")

    def psql(self, *options: str, user: str = "postgres") -> list[str | Path]:
        program = self.cluster.installation.bindir / "psql"
        return [program, "-Xq", "-v", "ON_ERROR_STOP=1", "-P", "footer=off", "-d", self.cluster.dsn(user=user), *options]


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


if __name__ == "__main__":
    shell.run_main(main)
