"""Today's common practice: xmlrpc.client and the module's export, then supabase-py.

The export returns at most 50,000 rows in a call. It does not report deletions, and this script does
not look for them.
"""

from __future__ import annotations

import os
import xmlrpc.client
from typing import Any

from supabase import ClientOptions, create_client

PAGE = 50_000
BATCH = 1_000
BOOLEANS = ("active", "is_alert")


def sync(since: str | None) -> int:
    url, db, password = (os.environ[name] for name in ("ODOO_URL", "ODOO_DB", "ODOO_PASSWORD"))
    uid = xmlrpc.client.ServerProxy(f"{url}/xmlrpc/2/common").authenticate(db, os.environ["ODOO_USER"], password, {})
    odoo = xmlrpc.client.ServerProxy(f"{url}/xmlrpc/2/object")
    rows: list[dict[str, Any]] = []
    while True:
        after = rows[-1]["odoo_id"] if rows else 0
        page: Any = odoo.execute_kw(db, uid, password, "ipai.sample.metric", "export_to_supabase_payload", [PAGE, since or False, after])
        rows += page
        if len(page) < PAGE:
            break
    # XML-RPC has no null, so Odoo sends False for unset values.
    rows = [{name: None if value is False and name not in BOOLEANS else value for name, value in row.items()} for row in rows]

    options = ClientOptions(schema="ipai")
    supabase = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_ROLE_KEY"], options)
    for first in range(0, len(rows), BATCH):
        supabase.table(os.environ["MIRROR"]).upsert(rows[first : first + BATCH], on_conflict="odoo_id").execute()
    return len(rows)
