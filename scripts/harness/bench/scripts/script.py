"""A good script: keyset pagination, COPY into a temporary table and one upsert.

The upsert writes only rows that differ. If the counts differ, the script compares all ids and
deletes rows.
"""

from __future__ import annotations

import os
import xmlrpc.client
from typing import Any

import psycopg

MODEL = "ipai.sample.metric"
PAGE = 5_000
FIELDS = ["name", "code", "date", "brand_id", "store_id", "value", "unit", "is_alert", "notes", "active"]
BOOLEANS = ("active", "is_alert")


def sync(since: str | None) -> int:
    url, db, password, table = (os.environ[name] for name in ("ODOO_URL", "ODOO_DB", "ODOO_PASSWORD", "MIRROR"))
    uid = xmlrpc.client.ServerProxy(f"{url}/xmlrpc/2/common").authenticate(db, os.environ["ODOO_USER"], password, {})
    odoo = xmlrpc.client.ServerProxy(f"{url}/xmlrpc/2/object")

    def call(method: str, domain: list[Any], **kwargs: Any) -> Any:
        return odoo.execute_kw(db, uid, password, MODEL, method, [domain], {"context": {"active_test": False}, **kwargs})

    columns = ", ".join(["odoo_id", *FIELDS])
    mine, theirs = (", ".join(f"{row}.{name}" for name in FIELDS) for row in ("mirror", "excluded"))
    written = [["write_date", ">=", since]] if since else []
    count = last = 0
    with psycopg.connect(os.environ["DATABASE_URL"]) as pg:
        pg.execute(f"create temporary table incoming on commit drop as select {columns} from ipai.{table} with no data")
        with pg.cursor().copy(f"copy incoming ({columns}) from stdin") as copy:
            while page := call("search_read", [["id", ">", last], *written], fields=FIELDS, order="id", limit=PAGE, load=""):
                for row in page:
                    values = [None if row[name] is False and name not in BOOLEANS else row[name] for name in FIELDS]
                    copy.write_row([row["id"], *values])
                count, last = count + len(page), page[-1]["id"]
        pg.execute(
            f"""insert into ipai.{table} as mirror ({columns}) select {columns} from incoming
                on conflict (odoo_id) do update set ({", ".join(FIELDS)}) = ({theirs})
                where ({mine}) is distinct from ({theirs})"""
        )
        if pg.execute(f"select count(*) from ipai.{table}").fetchone() != (call("search_count", []),):
            pg.execute(
                f"delete from ipai.{table} where not exists (select from unnest(%s::bigint[]) as odoo (id) where odoo.id = odoo_id)",
                [call("search", [])],
            )
    return count
