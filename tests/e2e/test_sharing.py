"""Mirrors that share a table leave each other's rows alone, definitions wait for one another, and what could not be told apart later is
refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from harness import shell
from support.definitions import ScriptedOdoo, blocked_statement, catalog_snapshot, create_statement, execute, expect_error
from support.faulty import MODEL, UID, metric, never_respond, recorded, returning
from support.sessions import running_statement
from support.supabase import Supabase


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo([metric(number) for number in range(1, 6)]) as server:
        supabase.server(server.url)
        # Else the first login would make the second of two sessions wait.
        supabase.rows("insert into ipai.odoo_logins values (%s, 'odoo', 'admin', %s)", server.url, UID)
        yield server


def names(supabase: Supabase) -> list[str]:
    """The mirrors that there are."""
    return [row["name"] for row in supabase.rows("select name from ipai.mirrors order by 1")]


def exists(supabase: Supabase, table: str) -> bool:
    return bool(supabase.row("select to_regclass(%s) is not null as found", table)["found"])


# Definitions at the same time ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(supabase: Supabase, erp: ScriptedOdoo) -> Iterator[Supabase]:
    """With a schema `shared` that has no mirror yet, and so no trigger function."""
    supabase.rows("create schema shared")
    yield supabase
    supabase.rows("drop schema shared cascade")


def test_a_name_goes_to_the_first_of_two(fresh: Supabase) -> None:
    first = fresh.connect()
    with first.transaction():
        execute(first, create_statement("metrics", "shared.one", more=", page_size => 7, lang => 'fr_FR'"))
        second = create_statement("metrics", "shared.two", more=", page_size => 9, lang => 'de_DE'")
        with blocked_statement(fresh, second, first) as call:
            execute(first, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.errors.DuplicateObject), error
    assert error.diag.message_primary == 'mirror "metrics" already exists'
    assert error.diag.message_hint
    assert fresh.rows("select name, target_table::text, page_size, lang from ipai.mirrors") == [
        {"name": "metrics", "target_table": "one", "page_size": 7, "lang": "fr_FR"}
    ]
    assert (exists(fresh, "shared.one"), exists(fresh, "shared.two")) == (True, False)


def test_a_name_that_is_given_back_goes_to_the_second(fresh: Supabase) -> None:
    first = fresh.connect()
    with first.transaction():
        execute(first, create_statement("metrics", "shared.one"))
        with blocked_statement(fresh, create_statement("metrics", "shared.two", more=", page_size => 9"), first) as call:
            execute(first, "rollback")
            call.result(timeout=10)
    assert fresh.rows("select name, target_table::text, page_size from ipai.mirrors") == [
        {"name": "metrics", "target_table": "two", "page_size": 9}
    ]
    assert (exists(fresh, "shared.one"), exists(fresh, "shared.two")) == (False, True)
    assert fresh.sync("metrics")["inserted"] == 5


@pytest.mark.parametrize("constants", [False, True], ids=["without constants", "with constants"])
def test_a_table_goes_to_the_first_of_two(fresh: Supabase, constants: bool) -> None:
    def of(tenant: str) -> str:
        return f""", constants => '{{"tenant": "{tenant}"}}'""" if constants else ""

    first = fresh.connect()
    second = create_statement("second", "shared.metrics", fields="name,code", more=of("globex"))
    with first.transaction():
        execute(first, create_statement("first", "shared.metrics", more=of("acme")))
        with blocked_statement(fresh, second, first) as call:
            execute(first, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.Error), error
    assert (error.sqlstate, error.diag.severity) == ("42P07" if constants else "22023", "ERROR")
    assert "shared.metrics" in (error.diag.message_primary or "") and error.diag.message_hint
    assert names(fresh) == ["first"]
    columns = fresh.rows("select attname::text as name from pg_attribute where attrelid = 'shared.metrics'::regclass and attnum > 0")
    own = ["odoo_id", "name", "write_date", "inserted_at", "updated_at"]
    assert [column["name"] for column in columns] == ["tenant"] * constants + own
    if constants:
        # Now that the table is there, it is shared like any other.
        fresh.rows(create_statement("second", "shared.metrics", more=of("globex")))
        assert names(fresh) == ["first", "second"]


def test_the_first_mirrors_of_a_schema_are_made_one_after_the_other(fresh: Supabase) -> None:
    first = fresh.connect()
    with first.transaction():
        execute(first, create_statement("first", "shared.first"))
        with blocked_statement(fresh, create_statement("second", "shared.second"), first) as call:
            execute(first, "commit")
            call.result(timeout=10)
    for name in ("first", "second"):
        assert fresh.sync(name)["inserted"] == 5
    functions = fresh.rows("select count(*) from pg_proc where pronamespace = 'shared'::regnamespace")
    assert functions == [{"count": 1}]


def test_nobody_waits_for_a_definition_that_waits_for_odoo(fresh: Supabase, erp: ScriptedOdoo) -> None:
    erp.on("search_count", never_respond, times=1)
    with running_statement(fresh, fresh.connect(), create_statement("slow", "shared.slow")) as slow:
        shell.wait_until(lambda: erp.received("search_count"), "the question", seconds=10, every=0.02)
        fresh.rows(create_statement("quick", "shared.quick"))
        assert names(fresh) == ["quick"] and not slow.done()


# Dropping, meanwhile --------------------------------------------------------------------------------------------------------------------

ACME, GLOBEX = """, constants => '{"tenant": "acme"}'""", """, constants => '{"tenant": "globex"}'"""


def test_a_table_that_another_session_begins_to_share_is_not_dropped(fresh: Supabase) -> None:
    fresh.rows(create_statement("acme", "shared.metrics", more=ACME))
    fresh.sync("acme")
    second = fresh.connect()
    with second.transaction():
        execute(second, create_statement("globex", "shared.metrics", more=GLOBEX))
        with blocked_statement(fresh, "select ipai.drop_mirror('acme', true)", second) as call:
            execute(second, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.errors.ObjectInUse), error
    assert "globex" in (error.diag.message_primary or "") and error.diag.message_hint
    assert names(fresh) == ["acme", "globex"]
    assert fresh.row("select count(*) from shared.metrics") == {"count": 5}
    for name in ("acme", "globex"):
        fresh.sync(name)


def test_a_table_that_another_session_drops_is_not_shared(fresh: Supabase) -> None:
    fresh.rows(create_statement("acme", "shared.metrics", more=ACME))
    first = fresh.connect()
    with first.transaction():
        execute(first, "select ipai.drop_mirror('acme', true)")
        with blocked_statement(fresh, create_statement("globex", "shared.metrics", more=GLOBEX), first) as call:
            execute(first, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.Error) and error.sqlstate == "42P07" and error.diag.message_hint, error
    assert names(fresh) == [] and not exists(fresh, "shared.metrics")


def test_a_mirror_that_is_dropped_before_a_sync_has_its_lock_stays_dropped(fresh: Supabase, erp: ScriptedOdoo) -> None:
    """Held up where it looks for the password: after it knows the mirror, and before it has the lock."""
    fresh.rows(create_statement("metrics", "shared.metrics"))
    keeper = fresh.connect(user="supabase_admin")
    with keeper.transaction():
        execute(keeper, "lock table vault.secrets in access exclusive mode")
        with blocked_statement(fresh, "select * from ipai.sync_mirror('metrics')", keeper) as call:
            fresh.rows("select ipai.drop_mirror('metrics')")
            execute(keeper, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.errors.UndefinedObject), error
    assert fresh.rows("select from ipai.mirrors union all select from ipai.run_log") == []
    assert fresh.rows("select from shared.metrics") == []


# Constants ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def citext(supabase: Supabase) -> Iterator[None]:
    supabase.rows("create extension citext schema extensions")
    yield
    supabase.rows("drop extension citext cascade")


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "numeric",
            "numeric(5,2)",
            "real",
            "double precision",
            "interval",
            "timestamptz",
            "date",
            "timestamp",
            "time",
            "jsonb",
            "bytea",
            "text[]",
        ),
        *("varchar(3)", "char(3)", "bpchar", "name", "inet", "extensions.citext"),
    ],
)
def test_a_column_whose_values_have_several_spellings_tells_no_mirrors_apart(
    supabase: Supabase, erp: ScriptedOdoo, citext: None, kind: str
) -> None:
    supabase.rows(f"create table public.metrics (tenant {kind}, odoo_id bigint, name text, unique (tenant, odoo_id))")
    asked, before = len(erp.requests), catalog_snapshot(supabase)
    found = expect_error(supabase, create_statement("metrics", "public.metrics", fields="name", more=ACME + ", columns => '{}'"))
    assert (found.sqlstate, found.message_hint is not None) == ("22023", True), found.message_primary
    assert "tenant" in (found.message_primary or "")
    assert catalog_snapshot(supabase) == before and len(erp.requests) == asked


@pytest.mark.parametrize(
    ("kind", "one", "same", "other"),
    [
        ("integer", '"1"', '"01"', '"10"'),
        ("integer", "1", '" 1 "', "-1"),
        ("smallint", "7", '"+7"', "8"),
        ("bigint", "9223372036854775807", '"9223372036854775807"', "0"),
        ("boolean", "true", '"yes"', "false"),
        ("boolean", '"off"', "false", '"on"'),
        (
            "uuid",
            '"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"',
            '"{a0eebc999c0b4ef8bb6d6bb9bd380a11}"',
            '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"',
        ),
        ("text", '"acme"', '"acme"', '"ACME"'),
        ("varchar", '"acme"', '"acme"', '"acme "'),
    ],
)
def test_two_spellings_of_one_constant_are_one(supabase: Supabase, erp: ScriptedOdoo, kind: str, one: str, same: str, other: str) -> None:
    supabase.rows(f"create table public.metrics (tenant {kind}, odoo_id bigint, name text, unique (tenant, odoo_id))")

    def into(name: str, constant: str) -> str:
        return create_statement(
            name, "public.metrics", fields="name", more=f""", constants => '{{"tenant": {constant}}}', columns => '{{}}'"""
        )

    supabase.rows(into("first", one))
    found = expect_error(supabase, into("second", same))
    assert (found.sqlstate, found.message_primary) == ("22023", 'mirror "first" has the same constants')
    assert names(supabase) == ["first"]
    supabase.rows(into("second", other))
    for name in ("first", "second", "first"):
        run = supabase.sync(name, "full")
        assert (run["deleted"], run["mirror_count"]) == (0, 5)
    assert supabase.row("select count(*), count(distinct tenant) as tenants from public.metrics") == {"count": 10, "tenants": 2}


def test_a_new_tables_number_has_one_spelling(supabase: Supabase, erp: ScriptedOdoo) -> None:
    def of(year: str) -> str:
        return f""", constants => '{{"year": {year}}}'"""

    supabase.rows(create_statement("first", "public.metrics", more=of("2026")))
    assert expect_error(supabase, create_statement("second", "public.metrics", more=of('"02026"'))).sqlstate == "22023"
    supabase.rows(create_statement("second", "public.metrics", more=of('"2025"')))
    assert supabase.rows("select constants from ipai.mirrors order by name") == [
        {"constants": {"year": "2026"}},
        {"constants": {"year": "2025"}},
    ]


def test_constants_are_the_same_columns_in_whichever_order_they_are_kept(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """jsonb has the shorter name first."""
    for year in (2024, 2025, 2026):
        more = f""", constants => '{{"year": {year}, "tenant": "acme", "is_test": false}}'"""
        supabase.rows(create_statement(f"of {year}", "public.metrics", more=more))
        assert supabase.sync(f"of {year}")["inserted"] == 5
    assert expect_error(
        supabase,
        create_statement("again", "public.metrics", more=""", constants => '{"tenant": "acme", "is_test": false, "year": 2025}'"""),
    ).message_primary == ('mirror "of 2025" has the same constants')
    assert supabase.row("select count(*), count(distinct year) as years from public.metrics") == {"count": 15, "years": 3}


@pytest.fixture
def tenants(supabase: Supabase, erp: ScriptedOdoo) -> Iterator[tuple[ScriptedOdoo, ScriptedOdoo]]:
    """Two Odoo databases that have fed one table: the second has more records, the same ids among them."""
    with ScriptedOdoo([metric(number, name=f"Theirs {number}", is_alert=True) for number in range(1, 9)]) as other:
        supabase.server(other.url, name="other")
        for name, server, constants in (("acme", "odoo", ACME), ("globex", "other", GLOBEX)):
            supabase.rows(
                create_statement(
                    *(name, "public.metrics"),
                    fields="name,is_alert,write_date",
                    more=f"{constants}, server => '{server}', page_size => 2, flag_field => 'is_alert'",
                )
            )
        supabase.rows("call ipai.run_sync()")
        yield erp, other


def versions(supabase: Supabase, tenant: str) -> list[dict[str, Any]]:
    """A tenant's rows, and what shows that nobody has written them since."""
    return supabase.rows(
        "select *, xmin::text as xmin, xmax::text as xmax, ctid::text as ctid from public.metrics where tenant = %s order by odoo_id",
        tenant,
    )


def test_the_rows_of_tenants_are_their_own_whatever_runs(supabase: Supabase, tenants: tuple[ScriptedOdoo, ScriptedOdoo]) -> None:
    erp, _ = tenants
    globex = versions(supabase, "globex")
    assert [row["odoo_id"] for row in globex] == list(range(1, 9))
    state = "select m::text from ipai.mirrors m where name = 'globex' union all select r::text from ipai.run_log r where mirror = 'globex'"
    known = supabase.rows(state)
    steps: list[tuple[str, Callable[[], None], tuple[int, int, int]]] = [
        ("full", lambda: None, (0, 0, 0)),
        ("incremental", lambda: erp.records.append(metric(6, name="New", write_date="2026-01-06 08:00:00")), (1, 0, 0)),
        ("incremental", lambda: change(erp, 2, name="Changed", write_date="2026-01-06 09:00:00"), (0, 1, 0)),
        # Equal counts in the table would hide it.
        ("incremental", lambda: remove(erp, 3), (0, 0, 1)),
        ("reconcile", lambda: remove(erp, 5), (0, 0, 1)),
        ("full", lambda: remove(erp, 1), (0, 0, 1)),
        ("full", lambda: erp.records.clear(), (0, 0, 3)),
    ]
    for mode, happen, expected in steps:
        happen()
        run = supabase.sync("acme", mode)
        assert (run["mode"], run["inserted"], run["updated"], run["deleted"]) == (mode, *expected)
        assert counts(supabase, run) == (len(erp.records), len(erp.records), 0)
        ours = [(row["odoo_id"], row["name"]) for row in versions(supabase, "acme")]
        assert ours == sorted((record["id"], record["name"]) for record in erp.records)
        assert versions(supabase, "globex") == globex
    report = supabase.row("select * from ipai.sync_mirror('acme')")
    assert (report["deleted"], report["mirror_count"]) == (0, 0)
    assert versions(supabase, "globex") == globex
    assert supabase.rows(state) == known


def counts(supabase: Supabase, run: dict[str, Any]) -> tuple[int, ...]:
    """What a run counted: Odoo's records, the mirror's rows, those that are alerts."""
    row = supabase.row("select odoo_count, mirror_count, mirror_flagged from ipai.run_log where run = %s", run["run"])
    return tuple(row.values())


def change(erp: ScriptedOdoo, number: int, **changes: Any) -> None:
    (record,) = (record for record in erp.records if record["id"] == number)
    record.update(changes)


def remove(erp: ScriptedOdoo, number: int) -> None:
    erp.records = [record for record in erp.records if record["id"] != number]


def test_tenants_are_counted_apart(supabase: Supabase, tenants: tuple[ScriptedOdoo, ScriptedOdoo]) -> None:
    supabase.rows("delete from public.metrics where tenant = 'globex' and odoo_id > 6")
    counts = {row["mirror"]: row for row in supabase.rows("select * from ipai.refresh_counts()")}
    assert {name: (row["odoo_total"], row["mirror_total"], row["delta"]) for name, row in counts.items()} == {
        **{"acme": (5, 5, 0), "globex": (8, 6, 2)}
    }
    deltas = {row["mirror"]: (row["delta"], row["verdict"]) for row in supabase.rows("select * from ipai.sync_count_delta")}
    assert deltas == {"acme": (0, "ok"), "globex": (2, "drift")}
    acme = versions(supabase, "acme")
    assert supabase.sync("globex")["inserted"] == 2
    assert versions(supabase, "acme") == acme


# Inheritance ----------------------------------------------------------------------------------------------------------------------------


def test_a_table_that_inherits_from_a_mirror_keeps_its_rows(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows("create table public.parent (odoo_id bigint unique, name text, is_alert boolean, write_date timestamptz)")
    supabase.rows("create table public.child (unique (odoo_id)) inherits (public.parent)")
    with ScriptedOdoo([metric(number, name=f"Child {number}", is_alert=True) for number in range(4, 14)]) as other:
        supabase.server(other.url, name="other")
        for name, server in (("child", "other"), ("parent", "odoo")):
            more = f", columns => '{{}}', server => '{server}', flag_field => 'is_alert'"
            supabase.rows(create_statement(name, f"public.{name}", fields="name,is_alert,write_date", more=more))
        supabase.sync("child")
        rows = "select odoo_id, name, xmin::text, ctid::text from only public.{} order by 1"
        child = supabase.rows(rows.format("child"))
        assert len(child) == 10
        for mode, deleted in (("full", 0), ("full", 0), ("reconcile", 0), ("incremental", 1)):
            if deleted:
                # An id that the child has too.
                remove(erp, 4)
            run = supabase.sync("parent", mode)
            assert (run["mode"], run["deleted"], *counts(supabase, run)) == (mode, deleted, 5 - deleted, 5 - deleted, 0)
            assert supabase.rows(rows.format("child")) == child
        assert [row["odoo_id"] for row in supabase.rows(rows.format("parent"))] == [1, 2, 3, 5]
        assert supabase.row("select * from ipai.sync_mirror('parent')")["deleted"] == 0
        assert supabase.sync("child", "full")["unchanged"] == 10
        assert supabase.rows(rows.format("child")) == child


# Names --------------------------------------------------------------------------------------------------------------------------------

REFERENCE = "ipai.ipai_sample_metrics"


def test_the_mirror_into_the_reference_table_has_its_name(supabase: Supabase, erp: ScriptedOdoo) -> None:
    made = supabase.create_mirror(MODEL, target=REFERENCE, columns={})
    assert {row["mirror"] for row in made} == {"sample_metrics"} and {row["target"] for row in made} == {REFERENCE}
    report = supabase.row("select * from ipai.sync_sample_metrics()")
    assert (report["mirror"], report["mirror_count"]) == ("sample_metrics", 5)
    assert names(supabase) == ["sample_metrics"]


def test_the_name_of_the_reference_mirror_is_for_no_other_table(supabase: Supabase, erp: ScriptedOdoo) -> None:
    before = catalog_snapshot(supabase)
    for arguments in ("'public.metrics', name => 'sample_metrics'", "'public.sample_metrics'", "'sample_metrics'"):
        found = expect_error(supabase, f"select * from ipai.create_mirror('{MODEL}', {arguments}, fields => '{{name}}')")
        assert found.sqlstate == "22023" and REFERENCE in (found.message_primary or "") and found.message_hint
    assert catalog_snapshot(supabase) == before


def test_the_reference_table_mirrored_by_another_name_is_said_to_be(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.create_mirror(MODEL, target=REFERENCE, name="it's m", columns={})
    for statement in (
        "select * from ipai.sync_sample_metrics()",
        "select * from ipai.sync_mirror('sample_metrics')",
        "call ipai.run_sync('sample_metrics')",
        "select ipai.alter_mirror('sample_metrics')",
        "select ipai.alter_mirror('sample_metrics', 'odoo')",
        "select * from ipai.refresh_mirror('sample_metrics')",
        "select ipai.schedule_sync('sample_metrics', '0 3 * * *')",
    ):
        found = expect_error(supabase, statement)
        assert (statement, found.sqlstate) == (statement, "42710")
        assert "it's m" in (found.message_primary or "")
        assert "select ipai.drop_mirror('it''s m');" in (found.message_hint or "")
        assert names(supabase) == ["it's m"]
    assert supabase.mirror() == []
    # What the hint says.
    supabase.rows("select ipai.drop_mirror('it''s m')")
    assert supabase.row("select * from ipai.sync_sample_metrics()")["mirror_count"] == 5


@pytest.mark.parametrize("target", ["x" * 64, f"public.{'x' * 64}", f"{'x' * 64}.metrics", f'public."{"ä" * 32}"'])
def test_a_name_that_postgres_would_cut_is_refused(supabase: Supabase, erp: ScriptedOdoo, target: str) -> None:
    before = catalog_snapshot(supabase)
    for more in ("", ", columns => '{}'"):
        found = expect_error(supabase, create_statement("metrics", target, more=more))
        assert found.sqlstate == "22023" and "63" in (found.message_hint or "")
        assert catalog_snapshot(supabase) == before


def test_the_longest_name_is_one(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(create_statement("metrics", f"public.{'x' * 63}"))
    assert supabase.sync("metrics")["inserted"] == 5
    assert supabase.row(f"select count(*) from public.{'x' * 63}") == {"count": 5}


def test_a_text_of_a_limited_length_is_no_column_of_a_mirror(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows("create table public.metrics (odoo_id bigint unique, name varchar(5), notes varchar)")
    before = catalog_snapshot(supabase)
    found = expect_error(supabase, create_statement("metrics", "public.metrics", fields="name", more=", columns => '{}'"))
    assert found.sqlstate == "22023" and "character varying(5)" in (found.message_primary or "")
    assert "without a length" in (found.message_hint or "")
    assert catalog_snapshot(supabase) == before
    supabase.rows(create_statement("metrics", "public.metrics", fields="notes", more=", columns => '{}'"))
    assert supabase.sync("metrics")["inserted"] == 5
    # Nor by the way of a field that is added.
    assert expect_error(supabase, "select * from ipai.refresh_mirror('metrics', '{name}')").sqlstate == "22023"


def test_the_only_server_need_not_be_named(supabase: Supabase, erp: ScriptedOdoo) -> None:
    erp.on("fields_get", recorded("fields_get_partner"))
    fields = supabase.rows("select * from ipai.odoo_fields(model => 'res.partner')")
    assert {"name", "email", "category_id"} <= {row["field"] for row in fields}
    assert [request.model for request in erp.received("fields_get")] == ["res.partner"]
    assert expect_error(supabase, "select * from ipai.odoo_fields()").sqlstate == "22023"


# JSON -----------------------------------------------------------------------------------------------------------------------------------

#: What jsonb holds, and no double does; and what is too deep.
UNREADABLE = {"1e400": "1e400", "200 lists": "[" * 200 + "]" * 200}


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_json_that_cannot_be_read_is_refused(supabase: Supabase, erp: ScriptedOdoo, value: str) -> None:
    supabase.rows(create_statement("metrics", "public.metrics"))
    before, asked = catalog_snapshot(supabase), len(erp.requests)
    connection = supabase.connect()
    for statement in (
        create_statement("more", "public.more", more=""", domain => '[["value", "=", {}]]'"""),
        create_statement("more", "public.more", more=""", columns => '{{"name": {}}}'"""),
        create_statement("more", "public.more", more=""", constants => '{{"tenant": {}}}'"""),
        """select ipai.alter_mirror('metrics', domain => '[["value", "=", {}]]')""",
        "select ipai.odoo_call('odoo', 'ipai.sample.metric', 'action', args => '[{}]')",
        """select ipai.odoo_call('odoo', 'ipai.sample.metric', 'action', kwargs => '{{"value": {}}}')""",
    ):
        # The braces of the fields are no place for the value.
        sql = statement.replace("{name,write_date}", "{{name,write_date}}").format(value)
        with pytest.raises(psycopg.Error) as error:
            execute(connection, sql)
        diag = error.value.diag
        assert (statement, diag.sqlstate, diag.severity) == (statement, "22023", "ERROR"), diag.message_primary
        assert diag.message_hint
        assert execute(connection, "select 1 as one") == [{"one": 1}]
    assert catalog_snapshot(supabase) == before
    assert len(erp.requests) == asked


def test_json_within_the_limits_arrives(supabase: Supabase, erp: ScriptedOdoo) -> None:
    erp.on("action", returning(True))
    deep = "[" * 60 + "]" * 60
    supabase.rows(f"""select ipai.odoo_call('odoo', 'ipai.sample.metric', 'action', '[1e300, {deep}]')""")
    (request,) = erp.received("action")
    assert request.args[0] == 1e300
    assert str(request.args[1]) == deep


def test_a_name_goes_to_the_first_of_two_in_schemas_of_their_own(supabase: Supabase, erp: ScriptedOdoo) -> None:
    first = supabase.connect()
    with first.transaction():
        execute(first, create_statement("metrics", "ipai.one", more=", page_size => 7"))
        with blocked_statement(supabase, create_statement("metrics", "public.two", more=", page_size => 9"), first) as call:
            execute(first, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.errors.DuplicateObject), error
    assert supabase.row("select to_regclass('public.two') as found") == {"found": None}


def test_the_reference_mirror_is_registered_once(supabase: Supabase, erp: ScriptedOdoo) -> None:
    first = supabase.connect()
    register = "select ipai.alter_mirror('sample_metrics', 'odoo')"
    with first.transaction():
        execute(first, register)
        with blocked_statement(supabase, register, first) as call:
            execute(first, "commit")
            error = call.exception(timeout=10)
    assert error is None or (isinstance(error, psycopg.Error) and error.sqlstate == "42710"), error


def test_a_name_that_an_old_snapshot_does_not_show(supabase: Supabase, erp: ScriptedOdoo) -> None:
    second = supabase.connect()
    execute(second, "begin isolation level repeatable read")
    execute(second, "select 1 from ipai.mirrors")
    supabase.rows(create_statement("metrics", "ipai.one"))
    with pytest.raises(psycopg.Error) as error:
        execute(second, create_statement("metrics", "ipai.two"))
    assert error.value.sqlstate in ("42710", "40001"), error.value


def test_a_text_that_is_equal_to_another_is_no_constant(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows("create collation public.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    try:
        supabase.rows("create table public.t (tenant text collate public.ci, odoo_id bigint, name text, unique (tenant, odoo_id))")
        found = expect_error(
            supabase, create_statement("m", "public.t", fields="name", more=", columns => '{}', constants => '{\"tenant\": \"acme\"}'")
        )
        assert found.sqlstate == "22023"
    finally:
        supabase.rows("drop table public.t; drop collation public.ci")


def test_the_trigger_function_of_a_fresh_schema_is_for_nobody(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows("create schema shared")
    try:
        supabase.rows(create_statement("metrics", "shared.metrics"))
        may = "select has_function_privilege('anon', 'shared.keep_updated_at()', 'execute') as anon"
        assert supabase.row(may) == {"anon": False}
    finally:
        supabase.rows("drop schema shared cascade")
