"""Measures the cost of row-level security: a tenant's query with a policy or an explicit filter."""

from __future__ import annotations

import json

from .. import shell
from ..demo import literal
from ..postgres import Cluster
from .session import Session
from .world import REFERENCE

#: The number of rows in the project's limit, independent of the other parts of the benchmark.
ROWS = 200_000
TIMES = 51

#: Typical queries of dashboards; `{}` stands for the table.
QUERIES = {
    "one metric over time": "select odoo_id, date, value from {} where code = 'CODE_3' and date between '2026-03-01' and '2026-03-31' order by date",
    "a metric's days": "select date, sum(value) from {} where code = 'CODE_7' and date >= '2026-06-01' and date < '2026-09-01' group by date",
    "a page": "select * from {} where code = 'CODE_3' and date between '2026-01-01' and '2026-12-31' order by date desc limit 50",
    "everything": "select count(*) from {}",
}
_BRANDS = [3, 4, 5, 6, 7, 8]
_STORES = [3, 4]
_CLAIMS = {"role": "authenticated", "app_metadata": {"ipai_brand_ids": _BRANDS, "ipai_store_ids": _STORES}}
_FILTERED = (
    f"(select * from {REFERENCE} where active and (brand_id is null and store_id is null"
    f" or brand_id = any ('{{{','.join(map(str, _BRANDS))}}}') or store_id = any ('{{{','.join(map(str, _STORES))}}}'))) as written_out"
)


def run(cluster: Cluster) -> dict[str, tuple[list[float], list[float]]]:
    """Returns the times of each query, taken alternately: as a tenant, and without a policy."""
    shell.log_progress(f"Measuring a tenant's queries on {ROWS:,} rows")
    # 20 metrics, 365 days, 50 brands and stores; a tenth of the rows without an owner, a fiftieth
    # archived.
    cluster.psql(
        f"""
        truncate {REFERENCE};
        insert into {REFERENCE} (odoo_id, name, code, unit, date, value, active, brand_id, store_id)
        select n, 'Metric ' || n, 'CODE_' || n % 20, 'count', date '2026-01-01' + n * 7 % 365, n / 3.0, n % 50 <> 0,
               case when n % 10 > 0 then n / 11 % 50 end, case when n % 10 > 5 then n / 13 % 50 end
        from generate_series(1, {ROWS}) n;
        """
    )
    cluster.psql(f"vacuum analyze {REFERENCE}")
    times: dict[str, tuple[list[float], list[float]]] = {}
    with Session(cluster, "authenticator") as tenant, Session(cluster, "supabase_admin") as superuser:
        for session in (tenant, superuser):
            # The number of available parallel workers varies between measurements.
            session.execute("set max_parallel_workers_per_gather = 0")
        for title, query in QUERIES.items():
            _compare(tenant, superuser, query)
            times[title] = ([], [])
            for _ in range(TIMES):
                times[title][0].append(_as_tenant(tenant, query))
                times[title][1].append(superuser.timed(query.format(_FILTERED)))
    return times


def _as_tenant(session: Session, query: str) -> float:
    """Runs the query like PostgREST; setting the role and the claims is not part of the time."""
    _begin(session)
    seconds = session.timed(query.format(REFERENCE))
    session.execute("commit")
    return seconds


def _begin(session: Session) -> None:
    for statement in (
        "begin",
        "set local role authenticated",
        f"select set_config('request.jwt.claims', {literal(json.dumps(_CLAIMS))}, true)",
    ):
        session.execute(statement)


def _compare(tenant: Session, superuser: Session, query: str) -> None:
    """Checks that both queries return the same number of rows, and more than zero."""
    counted = "select count(*) from ({}) as answer"
    _begin(tenant)
    theirs = tenant.query(counted.format(query.format(REFERENCE)))
    tenant.execute("commit")
    written_out = superuser.query(counted.format(query.format(_FILTERED)))
    if theirs != written_out or theirs == "0":
        raise RuntimeError(f"The policy returns {theirs} rows, the explicit filter {written_out}: {query}")
