"""Checks and builds the Scout dashboard, and serves it together with PostgREST.

python3 -m harness.dashboard types    regenerates src/types/database.ts
"""

from __future__ import annotations

import argparse
import json
import mimetypes
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from . import extension, paths, postgres, setup, shell, supabase
from .odoo import Odoo, partners
from .postgres import Cluster, Installation
from .postgrest import PREFIX, Gateway, GatewayHandler, PostgREST
from .totals import Totals

APP = paths.PROJECT / "apps/scout-dashboard"
TYPES = APP / "src/types/database.ts"
OPERATOR = APP / "sql/operator.sql"
DIST = APP / "dist"


# The application --------------------------------------------------------------------------------


def ensure_packages() -> None:
    """Installs the packages of the lock file into the application's node_modules."""
    tools = setup.ensure_node_tools()
    folder = APP / "node_modules"
    inputs = [APP / "package.json", APP / "package-lock.json"]

    def make() -> None:
        shell.log_progress("Fetching the packages of the dashboard: up to a minute, only once")
        shell.run([tools.node, tools.npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=APP, env=_environment())

    setup.rebuild_if_changed(folder, paths.digest(*inputs), make)


def build() -> Path:
    """Builds the page if its sources have changed, and returns the folder to serve."""
    ensure_packages()
    # Compare names below the application's folder only: the project's own path may contain "tests".
    ignored = {"node_modules", "dist", "tests"}
    sources = [path for path in sorted(APP.rglob("*")) if path.is_file() and not ignored & set(path.relative_to(APP).parts)]
    names = "\n".join(str(path.relative_to(APP)) for path in sources)

    def make() -> None:
        shell.log_progress("Building the dashboard: about half a minute")
        print(_npm("run", "--silent", "build").stdout, flush=True)

    setup.rebuild_if_changed(DIST, paths.digest(names, *sources), make)
    return DIST


def check(words: Sequence[str] = ()) -> Totals:
    """Runs the type check, ESLint, Prettier, the build with its limit on the first load, Vitest.

    Type check, lint and build count only when they fail.

    words: run only the Vitest tests whose file or name contains one of these words
    """
    ensure_packages()
    if words:
        return _vitest(words)
    failed = 0
    output = ""
    for what, step in (("types", "typecheck"), ("lint", "lint"), ("format", "format")):
        shell.log_progress(f"Dashboard: {what}")
        result = _npm("run", "--silent", step, check=False)
        failed += result.returncode != 0
        output += result.stdout + result.stderr if result.returncode else ""
    try:
        shutil.rmtree(DIST, ignore_errors=True)
        build()
    except shell.CommandFailed as failure:
        failed += 1
        output += failure.output
    return Totals(0, failed, output) + _vitest()


def _vitest(words: Sequence[str] = ()) -> Totals:
    shell.log_progress("Dashboard: Vitest")
    report = paths.run_dir() / "vitest.xml"
    files = [str(path.relative_to(APP)) for path in sorted(APP.rglob("*.test.ts*")) if any(word in path.name for word in words)]
    chosen = [*files, "--passWithNoTests"] if files else ["--testNamePattern", "|".join(map(re.escape, words))] if words else []
    tests = _npm("test", "--", "--reporter=default", "--reporter=junit", f"--outputFile.junit={report}", *chosen, check=False)
    totals = Totals.of_junit(report, tests.returncode, tests.stdout + tests.stderr)
    # Vitest reports tests that do not match the pattern as skipped.
    return Totals(totals.passed, totals.failed if tests.returncode else 0, totals.output) if words else totals


def _npm(*command: str, check: bool = True) -> Any:
    tools = setup.ensure_node_tools()
    return shell.run([tools.node, tools.npm, *command], cwd=APP, env=_environment(), check=check, capture=True)


def _environment() -> dict[str, str | None]:
    """Puts the required Node version first in PATH."""
    path = shell.environment()["PATH"]
    return {"PATH": f"{setup.ensure_node_tools().node.parent}:{path}", "NODE_OPTIONS": None, "CI": "true", "NO_COLOR": "1"}


def ensure_browser() -> Path:
    """Installs Debian's Chromium, and the packaged font that the page's font list prefers."""
    shell.apt_install("chromium", "fonts-roboto-unhinted")
    return Path("/usr/bin/chromium")


# Serving ----------------------------------------------------------------------------------------

#: The page loads scripts and data from its own origin only. Fluent UI needs inline styles.
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class Dashboard:
    """Serves the built page, its config.json and the REST API at one address."""

    def __init__(self, api: PostgREST, config: dict[str, Any], *, folder: Path | None = None) -> None:
        self.config = {"supabaseUrl": "./", "supabaseKey": api.token("anon", lasts=86_400), **config}
        self._api = api
        self._folder = folder or build()
        self._server: Gateway | None = None

    def __enter__(self) -> Dashboard:
        files = {f"/{path.relative_to(self._folder)}": path.read_bytes() for path in self._folder.rglob("*") if path.is_file()}
        dashboard = self

        class Handler(GatewayHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                if path.startswith(f"{PREFIX}/"):
                    self._forward()
                    return
                path = "/index.html" if path == "/" else path
                content = json.dumps(dashboard.config).encode() if path == "/config.json" else files.get(path)
                self.close_connection = True
                if content is None:
                    self.send_error(404)
                    return
                self.send_response_only(200)
                self.send_header("Content-Type", mimetypes.guess_type(path)[0] or "application/octet-stream")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Content-Security-Policy", POLICY)
                self.send_header("X-Content-Type-Options", "nosniff")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(content)

        self._server = Gateway(self._api.port, Handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://{PostgREST.host}:{self._server.server_port}/"


def demo_user(api: PostgREST, name: str, *, brands: object = (), stores: object = (), role: str = "authenticated") -> dict[str, str]:
    """Returns an entry of `demoUsers` in config.json, with a token that is valid for a day."""
    claims = {"ipai_brand_ids": brands, "ipai_store_ids": stores}
    return {"name": name, "token": api.token(role, lasts=86_400, app_metadata=claims)}


def demo_config(cluster: Cluster, api: PostgREST) -> dict[str, Any]:
    """Returns a config.json for a database whose mirror of the metrics is up to date.

    Names of brands and stores come from mirrors of their own. Each user may read the brands and
    stores of their metrics. The users are one user for each of the two brands with the most
    metrics, a user who sees all metrics, and an operator.
    """
    users = []
    for kind in ("brand", "store"):
        ids = cluster.psql(
            f"select {kind}_id from ipai.ipai_sample_metrics where {kind}_id is not null group by 1 order by 1 limit 1000", user="postgres"
        )
        domain = json.dumps([["id", "in", [int(line) for line in ids.splitlines()]]])
        cluster.psql(
            f"select ipai.create_mirror('res.partner', 'ipai.{kind}s', fields => '{{name}}', domain => '{domain}')", user="postgres"
        )
        cluster.psql(f"call ipai.run_sync('{kind}s')", user="postgres")
        cluster.psql(f"""select ipai.protect_mirror('{kind}s', '{{"odoo_id": "ipai_{kind}_ids"}}')""", user="postgres")
    cluster.psql_file(OPERATOR, user="postgres")
    brands = cluster.psql(
        """select json_build_object('brand', b.odoo_id, 'name', b.name, 'stores', coalesce(array_agg(distinct m.store_id) filter (where m.store_id is not null), '{}'))
           from ipai.ipai_sample_metrics m join ipai.brands b on b.odoo_id = m.brand_id
           group by b.odoo_id, b.name order by count(*) desc, b.odoo_id limit 2""",
        user="postgres",
    )
    # JSON, because a name may contain the characters that psql uses as separators.
    for person, line in zip(("Ana", "Ben"), brands.splitlines(), strict=False):
        tenant = json.loads(line)
        users.append(demo_user(api, f"{person}, {tenant['name']}", brands=[tenant["brand"]], stores=tenant["stores"]))
    users += [
        demo_user(api, "Carla, head office", brands="*", stores="*"),
        demo_user(api, "Otto, operator", brands="*", stores="*", role="ipai_operator"),
    ]
    return {"demoUsers": users, "brandTable": "brands", "storeTable": "stores"}


# Sample metrics ---------------------------------------------------------------------------------

BRANDS = ("Kape Pilipinas", "Golden Harvest", "Sari-Sari Express", "Bazaar Manila")
CITIES = ("Makati", "Cebu", "Davao", "Quezon City", "Iloilo", "Baguio", "Taguig", "Bacolod", "Pasig", "Cagayan de Oro", "Naga", "Zamboanga")

#: Metrics by day and store: totals vary by season and weekday, and percentages rarely leave their
#: range. All values depend on code, store and day only, so two runs on one day produce the same
#: rows.
_RETAIL = """
with metrics (code, name, unit, base) as (values
    ('STORE_SALES', 'Store sales', 'amount', 84000), ('ONLINE_SALES', 'Online sales', 'amount', 21000),
    ('DELIVERY_SALES', 'Delivery sales', 'amount', 12500), ('DISCOUNTS', 'Discounts given', 'amount', 4200),
    ('REFUNDS', 'Refunds', 'amount', 1900), ('SHRINKAGE', 'Shrinkage', 'amount', 650),
    ('LABOUR_COST', 'Labour cost', 'amount', 14800), ('WASTE_COST', 'Cost of waste', 'amount', 980),
    ('FOOTFALL', 'Footfall', 'count', 1340), ('TRANSACTIONS', 'Transactions', 'count', 610),
    ('NEW_MEMBERS', 'New loyalty members', 'count', 14), ('ONLINE_ORDERS', 'Online orders', 'count', 96),
    ('COMPLAINTS', 'Complaints', 'count', 3), ('OUT_OF_STOCK', 'Items out of stock', 'count', 22),
    ('OPEN_SHIFTS', 'Open shifts', 'count', 2), ('PRICE_CHANGES', 'Price changes', 'count', 41),
    ('SHELF_AVAILABILITY', 'Shelf availability', 'percent', 89.5), ('CONVERSION', 'Conversion', 'percent', 46),
    ('ON_TIME_DELIVERY', 'On-time delivery', 'percent', 84), ('MEMBER_SHARE', 'Sales to members', 'percent', 38),
    ('STOCK_ACCURACY', 'Stock accuracy', 'percent', 88), ('PROMOTION_SHARE', 'Sales on promotion', 'percent', 19),
    ('ATTENDANCE', 'Staff attendance', 'percent', 89), ('WASTE_RATE', 'Waste rate', 'percent', 14.5)
), stores as (
    select store, brand, n from unnest({stores}, {brands}) with ordinality as s (store, brand, n)
), drawn as (
    select m.*, s.store, s.brand, s.n, current_date - d as date, d,
           (hashtext(m.code || s.n || d) & 65535) / 65536.0 as chance, 0.75 + (hashtext(m.code || s.n) & 65535) / 131072.0 as size,
           1 + 0.15 * sin(d / 14.0 + hashtext(m.code) % 7) + case when extract(isodow from current_date - d) >= 6 then 0.2 else 0 end as season
      from metrics as m, stores as s, generate_series({days} - 1, 0, -1) as d
), valued as (
    select *, (case
               -- Today always has some alerts, independent of the random values.
               when d = 0 and n in (1, 6) and code = 'SHELF_AVAILABILITY' then 96.4
               when d = 0 and (n, code) in ((1, 'WASTE_RATE'), (2, 'ON_TIME_DELIVERY')) then 7.5
               when unit = 'percent' then round(greatest(0.4, base * (0.98 + 0.04 * size) + (chance - 0.5) * 8 - case when chance < 0.0012 then base * 0.93 else 0 end)::numeric, 1)
               when unit = 'count' then round((base * size * season * (0.8 + 0.4 * chance))::numeric)
               else round((base * size * season * (0.85 + 0.3 * chance))::numeric, 2)
               end)::float8 as value
      from drawn
)
select name, code, date, brand, store, value, unit,
       case when unit = 'percent' and value < 10 then 'Check the sensor and the entry.' end as notes, unit = 'percent' and (value < 10 or value > 95) as is_alert
  from valued
 order by date, code, store
"""


def _retail(stores: Sequence[int], brands: Sequence[int], days: int) -> str:
    arrays = {name: f"array[{','.join(map(str, ids))}]::bigint[]" for name, ids in (("stores", stores), ("brands", brands))}
    return _RETAIL.format(days=int(days), **arrays)


def fill_mirror(cluster: Cluster, *, stores: int, days: int) -> None:
    """Inserts metrics directly into the mirror: 24 for each store and day.

    Brand ids are 7 to 10; store ids start at 101; each store belongs to one brand.
    """
    ids = range(101, 101 + stores)
    rows = _retail(ids, [7 + n % 4 for n in range(stores)], days)
    cluster.psql(
        f"""insert into ipai.ipai_sample_metrics (odoo_id, name, code, date, brand_id, store_id, value, unit, notes, is_alert)
            select row_number() over (), rows.* from ({rows}) as rows;
            analyze ipai.ipai_sample_metrics""",
        user="postgres",
    )


def fill_odoo(odoo: Odoo, *, stores: int, days: int) -> tuple[list[int], list[int]]:
    """Inserts the same metrics into Odoo, and returns the ids of brands and stores."""
    brands = partners(odoo, BRANDS)
    names = [f"{BRANDS[n % len(BRANDS)]} {CITIES[n // len(BRANDS) % len(CITIES)]}" for n in range(stores)]
    store_ids = partners(odoo, names)
    rows = _retail(store_ids, [brands[n % len(BRANDS)] for n in range(stores)], days)
    uid = odoo.uid(odoo.admin_user, odoo.admin_password)
    odoo.pg.psql(
        f"""insert into ipai_sample_metric (name, code, date, brand_id, store_id, value, unit, notes, is_alert, active,
                                            create_uid, create_date, write_uid, write_date)
            select rows.*, true, {uid}, now() at time zone 'UTC', {uid}, now() at time zone 'UTC' from ({rows}) as rows;
            analyze ipai_sample_metric""",
        dbname=odoo.dbname,
        user="odoo",
    )
    return brands, store_ids


# Command line -----------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m harness.dashboard", description="The Scout dashboard.")
    parser.add_subparsers(dest="command", required=True).add_parser("types", help="regenerate the database types")
    parser.parse_args()
    setup.ensure_system()
    installation = Installation.default().relocated("types", under=paths.run_dir())
    extension.build(installation)
    with postgres.supabase_cluster(installation) as cluster:
        cluster.psql("create extension ipai_sync")
        postgres.migrate(cluster)
        TYPES.write_text(supabase.types(cluster))
    return 0


if __name__ == "__main__":
    sys.exit(main())
