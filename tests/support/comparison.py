"""Compares the mirror with Odoo's own table row by row, with SQL in both databases."""

from __future__ import annotations

from typing import Any

import psycopg

from harness.odoo import Odoo
from support.supabase import Supabase

MODEL = "ipai.sample.metric"

#: SQL holds -0 equal to 0, so runs do not write it over 0; the sum has one text for both.
COLUMNS = "name, code, date::text, brand_id, store_id, (value + 0)::text as value, unit, is_alert, notes, active"

#: Odoo's table as its API returns it: NULL numbers are 0 and NULL booleans are false. XML-RPC
#: removes the characters that {removed} matches.
_ODOO_ROWS = """
    select id as odoo_id, regexp_replace(name, {removed}, '', 'g') as name, code, date::text, brand_id, store_id,
           (coalesce(value, 0) + 0)::text as value, unit, coalesce(is_alert, false) as is_alert,
           regexp_replace(notes, {removed}, '', 'g') as notes, coalesce(active, false) as active
    from ipai_sample_metric order by id
"""
CONTROL = r"E'[\x01-\x08\x0b\x0c\x0e-\x1f]'"
#: Matches nothing.
NOTHING = "'(?!)'"
#: As XML-RPC carries them.
ODOO_ROWS = _ODOO_ROWS.format(removed=CONTROL)


def odoo_rows(erp: Odoo, *, by_json2: bool = False) -> list[tuple[Any, ...]]:
    with psycopg.connect(erp.pg.dsn(erp.dbname)) as connection:
        return connection.execute(_ODOO_ROWS.format(removed=NOTHING) if by_json2 else ODOO_ROWS).fetchall()


def differences(supabase: Supabase, erp: Odoo, *, by_json2: bool | None = None) -> list[tuple[Any, Any]]:
    """Returns pairs of different rows, Odoo's first; None stands for a missing row.

    by_json2: the mirror was read over JSON-2; None is what the option of the server says
    """
    in_odoo = {row[0]: row for row in odoo_rows(erp, by_json2=supabase.uses_json2() if by_json2 is None else by_json2)}
    in_mirror = {row["odoo_id"]: tuple(row.values()) for row in supabase.mirror(f"odoo_id, {COLUMNS}")}
    return [
        (in_odoo.get(key), in_mirror.get(key))
        for key in sorted(in_odoo.keys() | in_mirror.keys())
        if in_odoo.get(key) != in_mirror.get(key)
    ]


def assert_equal(supabase: Supabase, erp: Odoo, *, by_json2: bool | None = None) -> None:
    found = differences(supabase, erp, by_json2=by_json2)
    assert not found, f"{len(found)} rows differ, Odoo's first: {found[:3]}"


def sql(erp: Odoo, statement: str) -> None:
    """Changes Odoo's database directly, bypassing Odoo."""
    erp.pg.psql(statement, dbname=erp.dbname)


def ids(erp: Odoo, condition: str, limit: int) -> list[int]:
    rows = erp.pg.psql(f"select id from ipai_sample_metric where {condition} order by id limit {limit}", dbname=erp.dbname)
    return [int(line) for line in rows.splitlines()]
