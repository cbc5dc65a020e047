"""Tests that names chosen by a hostile Odoo stay names, in statements and among functions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.definitions import ScriptedOdoo, catalog_snapshot, expect_error
from support.faulty import MODEL, metric
from support.hostile import ATTACKER, Attacker
from support.supabase import Supabase

TABLE = "public.metrics"
RUN = "call ipai.run_sync('metrics')"

#: Placeholders of the templates in `store/sql`, and what ends a name, a literal or a statement.
NAMES = (
    *("{others}", "{others_d}", "{live}", "{table}", "{mine}", "{marked}", "{changed}", "{sent}", "{key}", "{values}", "{"),
    *('"', "'", "''", "\\", "$1", "$$", "%s", "%I", "is_new", "--", "/*", "o.x"),
    'x" from (select 1) s; drop table public.victim; --',
    "x'; drop table public.victim; --",
)
LATER = "2026-02-01 00:00:00"


def record(number: int, turn: int = 0, **changes: Any) -> dict[str, Any]:
    values = {name: f"{number} {turn} {place}" for place, name in enumerate(NAMES)}
    return {**metric(number, code=f"C{number}", write_date=LATER if turn else "2026-01-05 08:00:00"), **values, **changes}


@pytest.fixture
def evil(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    """An Odoo whose model has fields with hostile names."""
    with ScriptedOdoo([record(number) for number in range(1, 5)]) as erp:
        erp.extra_fields = {name: {"string": name, "help": name} for name in NAMES}
        supabase.server(erp.url)
        supabase.rows("create table public.victim (id bigint); insert into public.victim values (1)")
        yield erp


def assert_equal(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Checks the rows, and that they are all of them."""
    rows = supabase.rows(f"select to_jsonb(m) as row from {TABLE} m where to_jsonb(m) ->> 'deleted_at' is null order by odoo_id")
    names = ("code", *NAMES)
    found = [{"id": row["row"]["odoo_id"], **{name: row["row"][name] for name in names}} for row in rows]
    assert found == [{"id": record["id"], **{name: record[name] for name in names}} for record in erp.records]
    assert supabase.rows("select id from public.victim") == [{"id": 1}]


def objects(supabase: Supabase) -> set[str]:
    return {row["name"] for row in catalog_snapshot(supabase) if row["kind"] in ("relation", "function")}


CREATE = """select * from ipai.create_mirror(%s, %s, %s, name => 'metrics', on_delete => %s, constants => %s)"""
FIELDS = ["code", "name", "write_date", *NAMES]


def create(supabase: Supabase, on_delete: str, constants: str = "{}") -> None:
    supabase.rows(CREATE, MODEL, TABLE, FIELDS, on_delete, constants)


@pytest.mark.parametrize("constants", ["{}", json.dumps({"{columns}": "{live}' or true; --", 'a"b': "\\'"})], ids=["none", "constants"])
@pytest.mark.parametrize("on_delete", ["delete", "mark"])
@pytest.mark.parametrize("standard", ["on", "off"])
def test_hostile_names_of_fields_are_only_names(
    supabase: Supabase, evil: ScriptedOdoo, on_delete: str, constants: str, standard: str
) -> None:
    supabase.rows(f"alter role postgres set standard_conforming_strings = {standard}", user="supabase_admin")
    try:
        before = objects(supabase)
        create(supabase, on_delete, constants)
        supabase.sync("metrics")
        assert_equal(supabase, evil)
        # Other values, a deletion, and unique keys that rows exchange, which deletes and inserts.
        supabase.rows(f"create unique index on {TABLE} (code); alter table {TABLE} add \"{{own}}\" text default 'mine'")
        evil.records = [record(1, 1, code="C2"), record(2, 1, code="C1"), record(3, 1)]
        run = supabase.sync("metrics", "full")
        assert (run["updated"], run["deleted"]) == (3, 1)
        assert_equal(supabase, evil)
        assert {row["own"] for row in supabase.rows(f'select "{{own}}" as own from {TABLE}')} == {"mine"}
        # The record comes back.
        evil.records = [*evil.records, record(4, 1)]
        for mode in ("incremental", "reconcile", "full"):
            supabase.sync("metrics", mode)
        assert_equal(supabase, evil)
        supabase.rows("select * from ipai.refresh_mirror('metrics')")
        assert {name for name in objects(supabase) - before if "metrics" not in name} <= {"keep_updated_at()"}
    finally:
        supabase.rows("alter role postgres reset standard_conforming_strings", user="supabase_admin")


def test_hostile_names_of_fields_in_a_partitioned_table(supabase: Supabase, evil: ScriptedOdoo) -> None:
    columns = ", ".join('"' + name.replace('"', '""') + '" text' for name in NAMES)
    supabase.rows(
        f"""create table {TABLE} (odoo_id bigint primary key, code text, name text, write_date timestamptz, active boolean, {columns})
                partition by hash (odoo_id);
            create table public.metrics_part partition of {TABLE} for values with (modulus 1, remainder 0)"""
    )
    supabase.rows(CREATE.replace("name =>", "columns => '{}', name =>"), MODEL, TABLE, FIELDS, "delete", "{}")
    supabase.sync("metrics")
    evil.records = [record(number, 1) for number in (1, 2, 5)]
    supabase.sync("metrics", "full")
    assert_equal(supabase, evil)


def test_hostile_names_of_references_are_only_names(supabase: Supabase, evil: ScriptedOdoo) -> None:
    evil.extra_fields = {f"{name}_id": {"type": "many2one", "relation": MODEL, "string": name} for name in NAMES}
    for each in evil.records:
        each.update({f"{name}_id": 2 for name in NAMES})
    supabase.rows(CREATE, MODEL, TABLE, ["name", "write_date", *evil.extra_fields], "delete", "{}")
    supabase.sync("metrics")
    related = supabase.rows("select field, function, kind from ipai.relate_mirrors()")
    assert {row["field"] for row in related} == set(evil.extra_fields)
    for row in related:
        found = supabase.rows(f"select r.odoo_id from {TABLE} m, {row['function']}(m) r where m.odoo_id = 1")
        assert found == ([{"odoo_id": 2}] if row["kind"] == "many2one" else []), row
    assert supabase.rows("select id from public.victim") == [{"id": 1}]


# Functions of related rows ------------------------------------------------------------------------


def test_reference_does_not_replace_a_function_of_postgres(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Postgres prefers a function for the rows of this very table."""
    names = ["count_id", "to_jsonb_id", "row_to_json_ids", "json_agg_id", "pg_typeof_id"]
    erp.extra_fields = {
        name: {"type": "many2many" if name.endswith("s") else "many2one", "relation": MODEL} for name in [*names, "friend_id"]
    }
    for each in erp.records:
        each.update({name: [1] if name.endswith("s") else 1 for name in erp.extra_fields})
    supabase.rows(CREATE, MODEL, TABLE, ["name", "write_date", *erp.extra_fields], "delete", "{}")
    supabase.sync("metrics")
    calls = f"select count(m)::text, json_agg(m)::text, min(pg_typeof(m)::text), min(to_jsonb(m)::text), min(row_to_json(m)::text) from {TABLE} m"
    before = supabase.rows(calls)
    functions = {row["function"] for row in supabase.rows("select function from ipai.relate_mirrors()")}
    assert supabase.rows(calls) == before
    assert {"public.friend", "public.count_id_row", "public.row_to_json_ids_rows"} <= functions
    assert "public.count" not in functions


SHARED = f"select * from ipai.create_mirror('{MODEL}', '{TABLE}', '{{{{name,friend_id}}}}', name => '{{}}', constants => '{{{{\"part\": \"{{}}\"}}}}'{{}})"
FRIENDS = f"select m.part, r.odoo_id as friend from {TABLE} m, public.friend(m) r order by 1, m.odoo_id"


@pytest.fixture
def related(supabase: Supabase, erp: ScriptedOdoo) -> Supabase:
    """A mirror whose records refer to record 1, with functions of related rows."""
    erp.extra_fields = {"friend_id": {"type": "many2one", "relation": MODEL}}
    for each in erp.records:
        each["friend_id"] = 1
    supabase.rows(SHARED.format("metrics", "a", ""))
    supabase.sync("metrics")
    supabase.rows("select * from ipai.relate_mirrors()")
    return supabase


def test_new_column_of_a_shared_table_renews_its_functions(related: Supabase) -> None:
    """The functions return the columns of the table, also that of a mirror which marks rows."""
    related.rows(SHARED.format("second", "b", ", on_delete => 'mark'"))
    related.sync("second")
    assert related.rows(FRIENDS) == [{"part": part, "friend": 1} for part in "ab" for _ in range(6)]
    related.rows("select * from ipai.refresh_mirror('second', add_fields => '{code}')")
    assert len(related.rows(FRIENDS)) == 12


def test_view_of_another_role_is_named_by_drop_mirror(related: Supabase, attacker: Attacker) -> None:
    """A role that may read the table may execute the function, and stop its deletion by a view."""
    related.rows(f"grant select on {TABLE} to {ATTACKER}; select * from ipai.relate_mirrors()")
    attacker.sql(f"create view lair.friends as select r.* from {TABLE} m, public.friend(m) r")
    found = expect_error(related, "select ipai.drop_mirror('metrics')")
    assert (found.sqlstate, found.message_primary) == ("2BP01", "other objects depend on function public.friend(public.metrics)")
    assert "view lair.friends" in (found.message_detail or "")
    hint = found.message_hint or ""
    assert hint.endswith("cascade;")
    related.rows(hint[hint.index("drop function") :])
    related.rows("select ipai.drop_mirror('metrics')")
    assert attacker.sql("select from pg_class where relname = 'friends'") == []
