"""Tests mirrors that share a table, and concurrent definitions.

A run must not write rows of other mirrors. Definitions that would make mirrors indistinguishable
are refused.
"""

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

pytestmark = [pytest.mark.both_hosts, pytest.mark.no_mirrors]


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo([metric(number) for number in range(1, 6)]) as server:
        supabase.server(server.url)
        # Without a stored login the second of two sessions would wait for the first login.
        supabase.rows("insert into ipai.odoo_logins values (%s, 'odoo', 'admin', %s)", server.url, UID)
        yield server


def names(supabase: Supabase) -> list[str]:
    """Returns the names of all mirrors."""
    return [row["name"] for row in supabase.rows("select name from ipai.mirrors order by 1")]


def exists(supabase: Supabase, table: str) -> bool:
    return bool(supabase.row("select to_regclass(%s) is not null as found", table)["found"])


# Concurrent definitions ---------------------------------------------------------------------------


@pytest.fixture
def new_schema(supabase: Supabase, erp: ScriptedOdoo) -> Iterator[Supabase]:
    """A new schema `shared` without a mirror, and so without the trigger function."""
    supabase.rows("create schema shared")
    yield supabase
    supabase.rows("drop schema shared cascade")


@pytest.mark.extension_only("definitions in transactions of the caller")
def test_second_concurrent_mirror_of_a_name_is_refused(new_schema: Supabase) -> None:
    first = new_schema.connect()
    with first.transaction():
        execute(first, create_statement("metrics", "shared.one", more=", page_size => 7, lang => 'fr_FR'"))
        second = create_statement("metrics", "shared.two", more=", page_size => 9, lang => 'de_DE'")
        with blocked_statement(new_schema, second, first) as call:
            execute(first, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.errors.DuplicateObject), error
    assert error.diag.message_primary == 'mirror "metrics" already exists'
    assert error.diag.message_hint
    assert new_schema.rows("select name, target_table::text, page_size, lang from ipai.mirrors") == [
        {"name": "metrics", "target_table": "one", "page_size": 7, "lang": "fr_FR"}
    ]
    assert (exists(new_schema, "shared.one"), exists(new_schema, "shared.two")) == (True, False)


@pytest.mark.extension_only("definitions in transactions of the caller")
def test_name_is_free_after_a_concurrent_rollback(new_schema: Supabase) -> None:
    first = new_schema.connect()
    with first.transaction():
        execute(first, create_statement("metrics", "shared.one"))
        with blocked_statement(new_schema, create_statement("metrics", "shared.two", more=", page_size => 9"), first) as call:
            execute(first, "rollback")
            call.result(timeout=10)
    assert new_schema.rows("select name, target_table::text, page_size from ipai.mirrors") == [
        {"name": "metrics", "target_table": "two", "page_size": 9}
    ]
    assert (exists(new_schema, "shared.one"), exists(new_schema, "shared.two")) == (False, True)
    assert new_schema.sync("metrics")["inserted"] == 5


@pytest.mark.extension_only("definitions in transactions of the caller")
@pytest.mark.parametrize("constants", [False, True], ids=["without constants", "with constants"])
def test_second_concurrent_mirror_of_a_new_table_is_refused(new_schema: Supabase, constants: bool) -> None:
    def of(tenant: str) -> str:
        return f""", constants => '{{"tenant": "{tenant}"}}'""" if constants else ""

    first = new_schema.connect()
    second = create_statement("second", "shared.metrics", fields="name,code", more=of("globex"))
    with first.transaction():
        execute(first, create_statement("first", "shared.metrics", more=of("acme")))
        with blocked_statement(new_schema, second, first) as call:
            execute(first, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.Error), error
    assert (error.sqlstate, error.diag.severity) == ("42P07" if constants else "22023", "ERROR")
    assert "shared.metrics" in (error.diag.message_primary or "") and error.diag.message_hint
    assert names(new_schema) == ["first"]
    columns = new_schema.rows("select attname::text as name from pg_attribute where attrelid = 'shared.metrics'::regclass and attnum > 0")
    own = ["odoo_id", "name", "write_date", "active", "inserted_at", "updated_at"]
    assert [column["name"] for column in columns] == ["tenant"] * constants + own
    if constants:
        # The table exists now, so the mirror can share it.
        new_schema.rows(create_statement("second", "shared.metrics", more=of("globex")))
        assert names(new_schema) == ["first", "second"]


@pytest.mark.extension_only("definitions in transactions of the caller")
def test_concurrent_first_mirrors_of_a_schema_share_its_function(new_schema: Supabase) -> None:
    first = new_schema.connect()
    with first.transaction():
        execute(first, create_statement("first", "shared.first"))
        with blocked_statement(new_schema, create_statement("second", "shared.second"), first) as call:
            execute(first, "commit")
            call.result(timeout=10)
    for name in ("first", "second"):
        assert new_schema.sync(name)["inserted"] == 5
    functions = new_schema.rows("select count(*) from pg_proc where pronamespace = 'shared'::regnamespace")
    assert functions == [{"count": 1}]


def test_definition_waiting_for_odoo_blocks_no_other_definition(new_schema: Supabase, erp: ScriptedOdoo) -> None:
    erp.on("search_count", never_respond, times=1)
    with running_statement(new_schema, new_schema.connect(), create_statement("slow", "shared.slow")) as slow:
        shell.wait_until(lambda: erp.received("search_count"), "the question", seconds=10, every=0.02)
        new_schema.rows(create_statement("quick", "shared.quick"))
        assert names(new_schema) == ["quick"] and not slow.done()


# Concurrent drops ---------------------------------------------------------------------------------

ACME, GLOBEX = """, constants => '{"tenant": "acme"}'""", """, constants => '{"tenant": "globex"}'"""


@pytest.mark.extension_only("definitions in transactions of the caller")
def test_table_shared_by_a_concurrent_definition_is_not_dropped(new_schema: Supabase) -> None:
    new_schema.rows(create_statement("acme", "shared.metrics", more=ACME))
    new_schema.sync("acme")
    second = new_schema.connect()
    with second.transaction():
        execute(second, create_statement("globex", "shared.metrics", more=GLOBEX))
        with blocked_statement(new_schema, "select ipai.drop_mirror('acme', true)", second) as call:
            execute(second, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.errors.ObjectInUse), error
    assert "globex" in (error.diag.message_primary or "") and error.diag.message_hint
    assert names(new_schema) == ["acme", "globex"]
    assert new_schema.row("select count(*) from shared.metrics") == {"count": 5}
    for name in ("acme", "globex"):
        new_schema.sync(name)


@pytest.mark.extension_only("definitions in transactions of the caller")
def test_table_dropped_by_another_session_cannot_be_shared(new_schema: Supabase) -> None:
    new_schema.rows(create_statement("acme", "shared.metrics", more=ACME))
    first = new_schema.connect()
    with first.transaction():
        execute(first, "select ipai.drop_mirror('acme', true)")
        with blocked_statement(new_schema, create_statement("globex", "shared.metrics", more=GLOBEX), first) as call:
            execute(first, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.Error) and error.sqlstate == "42P07" and error.diag.message_hint, error
    assert names(new_schema) == [] and not exists(new_schema, "shared.metrics")


@pytest.mark.extension_only("a lock on Vault, which the program reads before its run")
def test_mirror_cannot_be_dropped_while_a_sync_reads_the_password(new_schema: Supabase, erp: ScriptedOdoo) -> None:
    new_schema.rows(create_statement("metrics", "shared.metrics"))
    blocker = new_schema.connect(user="supabase_admin")
    with blocker.transaction():
        execute(blocker, "lock table vault.secrets in access exclusive mode")
        with blocked_statement(new_schema, "select * from ipai.sync_mirror('metrics')", blocker) as call:
            assert expect_error(new_schema, "select ipai.drop_mirror('metrics')").sqlstate == "55P03"
            execute(blocker, "commit")
            assert call.exception(timeout=10) is None
    assert len(new_schema.rows("select from shared.metrics")) == 5


# Constants ----------------------------------------------------------------------------------------


@pytest.fixture
def citext(supabase: Supabase) -> Iterator[None]:
    supabase.rows("create extension citext schema extensions")
    yield
    supabase.rows("drop extension citext cascade")


@pytest.mark.program_nightly
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
def test_constant_of_an_ambiguous_type_is_refused(supabase: Supabase, erp: ScriptedOdoo, citext: None, kind: str) -> None:
    supabase.rows(f"create table public.metrics (tenant {kind}, odoo_id bigint, name text, unique (tenant, odoo_id))")
    requests, before = len(erp.requests), catalog_snapshot(supabase)
    found = expect_error(supabase, create_statement("metrics", "public.metrics", fields="name", more=ACME + ", columns => '{}'"))
    assert (found.sqlstate, found.message_hint is not None) == ("22023", True), found.message_primary
    assert "tenant" in (found.message_primary or "")
    assert catalog_snapshot(supabase) == before and len(erp.requests) == requests


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
def test_spellings_of_one_constant_are_equal(supabase: Supabase, erp: ScriptedOdoo, kind: str, one: str, same: str, other: str) -> None:
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


def test_numeric_constants_of_a_new_table_are_compared_as_numbers(supabase: Supabase, erp: ScriptedOdoo) -> None:
    def of(year: str) -> str:
        return f""", constants => '{{"year": {year}}}'"""

    supabase.rows(create_statement("first", "public.metrics", more=of("2026")))
    assert expect_error(supabase, create_statement("second", "public.metrics", more=of('"02026"'))).sqlstate == "22023"
    supabase.rows(create_statement("second", "public.metrics", more=of('"2025"')))
    assert supabase.rows("select constants from ipai.mirrors order by name") == [
        {"constants": {"year": "2026"}},
        {"constants": {"year": "2025"}},
    ]


def test_order_of_constants_does_not_matter(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """jsonb sorts shorter names first."""
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
    """Two Odoo databases that feed one table. The second has more records, and the same ids."""
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
    """Returns a tenant's rows with their row versions."""
    return supabase.rows(
        "select *, xmin::text as xmin, xmax::text as xmax, ctid::text as ctid from public.metrics where tenant = %s order by odoo_id",
        tenant,
    )


def test_runs_write_only_rows_of_their_tenant(supabase: Supabase, tenants: tuple[ScriptedOdoo, ScriptedOdoo]) -> None:
    erp, _ = tenants
    globex = versions(supabase, "globex")
    assert [row["odoo_id"] for row in globex] == list(range(1, 9))
    state = "select m::text from ipai.mirrors m where name = 'globex' union all select r::text from ipai.run_log r where mirror = 'globex'"
    other_state = supabase.rows(state)
    steps: list[tuple[str, Callable[[], None], tuple[int, int, int]]] = [
        ("full", lambda: None, (0, 0, 0)),
        ("incremental", lambda: erp.records.append(metric(6, name="New", write_date="2026-01-06 08:00:00")), (1, 0, 0)),
        ("incremental", lambda: change(erp, 2, name="Changed", write_date="2026-01-06 09:00:00"), (0, 1, 0)),
        # The counts of the whole table would be equal.
        ("incremental", lambda: remove(erp, 3), (0, 0, 1)),
        ("reconcile", lambda: remove(erp, 5), (0, 0, 1)),
        ("full", lambda: remove(erp, 1), (0, 0, 1)),
        ("full", lambda: erp.records.clear(), (0, 0, 3)),
    ]
    for mode, change_odoo, expected in steps:
        change_odoo()
        run = supabase.sync("acme", mode)
        assert (run["mode"], run["inserted"], run["updated"], run["deleted"]) == (mode, *expected)
        assert counts(supabase, run) == (len(erp.records), len(erp.records), 0)
        found = [(row["odoo_id"], row["name"]) for row in versions(supabase, "acme")]
        assert found == sorted((record["id"], record["name"]) for record in erp.records)
        assert versions(supabase, "globex") == globex
    report = supabase.row("select * from ipai.sync_mirror('acme')")
    assert (report["deleted"], report["mirror_count"]) == (0, 0)
    assert versions(supabase, "globex") == globex
    assert supabase.rows(state) == other_state


def counts(supabase: Supabase, run: dict[str, Any]) -> tuple[int, ...]:
    """Returns a run's counts: Odoo's records, the mirror's rows, and the rows with an alert."""
    row = supabase.row("select odoo_count, mirror_count, mirror_flagged from ipai.run_log where run = %s", run["run"])
    return tuple(row.values())


def change(erp: ScriptedOdoo, number: int, **changes: Any) -> None:
    (record,) = (record for record in erp.records if record["id"] == number)
    record.update(changes)


def remove(erp: ScriptedOdoo, number: int) -> None:
    erp.records = [record for record in erp.records if record["id"] != number]


@pytest.mark.extension_only("calls refresh_counts, which the program has no command for")
def test_tenants_are_counted_separately(supabase: Supabase, tenants: tuple[ScriptedOdoo, ScriptedOdoo]) -> None:
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


# Inheritance --------------------------------------------------------------------------------------


def test_run_keeps_rows_of_a_child_table(supabase: Supabase, erp: ScriptedOdoo) -> None:
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
                # The child table also has a row with this id.
                remove(erp, 4)
            run = supabase.sync("parent", mode)
            assert (run["mode"], run["deleted"], *counts(supabase, run)) == (mode, deleted, 5 - deleted, 5 - deleted, 0)
            assert supabase.rows(rows.format("child")) == child
        assert [row["odoo_id"] for row in supabase.rows(rows.format("parent"))] == [1, 2, 3, 5]
        assert supabase.row("select * from ipai.sync_mirror('parent')")["deleted"] == 0
        assert supabase.sync("child", "full")["unchanged"] == 10
        assert supabase.rows(rows.format("child")) == child


# Names --------------------------------------------------------------------------------------------

REFERENCE = "ipai.ipai_sample_metrics"


def test_reference_mirror_is_registered_if_name_and_table_are_free(supabase: Supabase, erp: ScriptedOdoo) -> None:
    register = "select ipai.register_sample_metrics() as registered"
    supabase.create_mirror(MODEL, target=REFERENCE, name="other", columns={})
    assert supabase.row(register) == {"registered": False}
    supabase.rows("select ipai.drop_mirror('other')")
    assert supabase.row(register) == {"registered": True}
    assert supabase.row(register) == {"registered": False}
    assert supabase.row("select * from ipai.sync_sample_metrics()")["mirror_count"] == 5
    found = expect_error(supabase, f"select * from ipai.create_mirror('{MODEL}', '{REFERENCE}', columns => '{{}}')")
    assert 'is the target of mirror "sample_metrics" already' in (found.message_primary or "")


@pytest.mark.parametrize("target", ["x" * 64, f"public.{'x' * 64}", f"{'x' * 64}.metrics", f'public."{"ä" * 32}"'])
def test_name_that_postgres_would_truncate_is_refused(supabase: Supabase, erp: ScriptedOdoo, target: str) -> None:
    before = catalog_snapshot(supabase)
    for more in ("", ", columns => '{}'"):
        found = expect_error(supabase, create_statement("metrics", target, more=more))
        assert found.sqlstate == "22023" and "63" in (found.message_hint or "")
        assert catalog_snapshot(supabase) == before


def test_longest_name_is_accepted(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(create_statement("metrics", f"public.{'x' * 63}"))
    assert supabase.sync("metrics")["inserted"] == 5
    assert supabase.row(f"select count(*) from public.{'x' * 63}") == {"count": 5}


def test_text_column_with_a_limited_length_is_refused(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows("create table public.metrics (odoo_id bigint unique, name varchar(5), notes varchar)")
    before = catalog_snapshot(supabase)
    found = expect_error(supabase, create_statement("metrics", "public.metrics", fields="name", more=", columns => '{}'"))
    assert found.sqlstate == "22023" and "character varying(5)" in (found.message_primary or "")
    assert "without a length" in (found.message_hint or "")
    assert catalog_snapshot(supabase) == before
    supabase.rows(create_statement("metrics", "public.metrics", fields="notes", more=", columns => '{}'"))
    assert supabase.sync("metrics")["inserted"] == 5
    # A field cannot be added with this column either.
    assert expect_error(supabase, "select * from ipai.refresh_mirror('metrics', '{name}')").sqlstate == "22023"


@pytest.mark.extension_only("calls odoo_fields, which the program has no command for")
def test_only_server_can_be_omitted(supabase: Supabase, erp: ScriptedOdoo) -> None:
    erp.on("fields_get", recorded("fields_get_partner"))
    fields = supabase.rows("select * from ipai.odoo_fields(model => 'res.partner')")
    assert {"name", "email", "category_id"} <= {row["field"] for row in fields}
    assert [request.model for request in erp.received("fields_get")] == ["res.partner"]
    assert expect_error(supabase, "select * from ipai.odoo_fields()").sqlstate == "22023"


# JSON ---------------------------------------------------------------------------------------------

#: Values that jsonb accepts: a number beyond a double, and lists that are nested too deeply.
UNREADABLE = {"1e400": "1e400", "200 lists": "[" * 200 + "]" * 200}


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_unreadable_json_is_refused(supabase: Supabase, erp: ScriptedOdoo, value: str) -> None:
    supabase.rows(create_statement("metrics", "public.metrics"))
    before, requests = catalog_snapshot(supabase), len(erp.requests)
    connection = supabase.connect()
    for statement in (
        create_statement("more", "public.more", more=""", domain => '[["value", "=", {}]]'"""),
        create_statement("more", "public.more", more=""", columns => '{{"name": {}}}'"""),
        create_statement("more", "public.more", more=""", constants => '{{"tenant": {}}}'"""),
        """select ipai.alter_mirror('metrics', domain => '[["value", "=", {}]]')""",
        "select ipai.odoo_call('odoo', 'ipai.sample.metric', 'action', args => '[{}]')",
        """select ipai.odoo_call('odoo', 'ipai.sample.metric', 'action', kwargs => '{{"value": {}}}')""",
    ):
        # The braces of the field list are escaped before the value is inserted.
        sql = statement.replace("{name,write_date}", "{{name,write_date}}").format(value)
        with pytest.raises(psycopg.Error) as error:
            execute(connection, sql)
        diag = error.value.diag
        assert (statement, diag.sqlstate, diag.severity) == (statement, "22023", "ERROR"), diag.message_primary
        assert diag.message_hint
        assert execute(connection, "select 1 as one") == [{"one": 1}]
    assert catalog_snapshot(supabase) == before
    assert len(erp.requests) == requests


def test_json_within_the_limits_is_sent(supabase: Supabase, erp: ScriptedOdoo) -> None:
    erp.on("action", returning(True))
    deep = "[" * 60 + "]" * 60
    supabase.rows(f"""select ipai.odoo_call('odoo', 'ipai.sample.metric', 'action', '[1e300, {deep}]')""")
    (request,) = erp.received("action")
    assert request.args[0] == 1e300
    assert str(request.args[1]) == deep


@pytest.mark.extension_only("definitions in transactions of the caller")
def test_second_concurrent_mirror_in_another_schema_is_refused(supabase: Supabase, erp: ScriptedOdoo) -> None:
    first = supabase.connect()
    with first.transaction():
        execute(first, create_statement("metrics", "ipai.one", more=", page_size => 7"))
        with blocked_statement(supabase, create_statement("metrics", "public.two", more=", page_size => 9"), first) as call:
            execute(first, "commit")
            error = call.exception(timeout=10)
    assert isinstance(error, psycopg.errors.DuplicateObject), error
    assert supabase.row("select to_regclass('public.two') as found") == {"found": None}


@pytest.mark.extension_only("definitions in transactions of the caller")
def test_existing_name_invisible_to_an_old_snapshot_is_refused(supabase: Supabase, erp: ScriptedOdoo) -> None:
    second = supabase.connect()
    execute(second, "begin isolation level repeatable read")
    execute(second, "select 1 from ipai.mirrors")
    supabase.rows(create_statement("metrics", "ipai.one"))
    with pytest.raises(psycopg.Error) as error:
        execute(second, create_statement("metrics", "ipai.two"))
    assert error.value.sqlstate in ("42710", "40001"), error.value


def test_constant_with_a_nondeterministic_collation_is_refused(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows("create collation public.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    try:
        supabase.rows("create table public.t (tenant text collate public.ci, odoo_id bigint, name text, unique (tenant, odoo_id))")
        found = expect_error(
            supabase, create_statement("m", "public.t", fields="name", more=", columns => '{}', constants => '{\"tenant\": \"acme\"}'")
        )
        assert found.sqlstate == "22023"
    finally:
        supabase.rows("drop table public.t; drop collation public.ci")


def test_new_trigger_function_is_not_executable_by_anon(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows("create schema shared")
    try:
        supabase.rows(create_statement("metrics", "shared.metrics"))
        may = "select has_function_privilege('anon', 'shared.keep_updated_at()', 'execute') as anon"
        assert supabase.row(may) == {"anon": False}
    finally:
        supabase.rows("drop schema shared cascade")


# Partitions ---------------------------------------------------------------------------------------


def test_partitioned_table_holds_a_mirror(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows("create table public.parts (odoo_id bigint primary key, name text, write_date timestamptz) partition by hash (odoo_id)")
    for part in range(3):
        supabase.rows(f"create table public.part_{part} partition of public.parts for values with (modulus 3, remainder {part})")
    supabase.rows("create unique index on public.part_0 (name)")
    supabase.rows(create_statement("parts", "public.parts", more=", columns => '{}'"))
    run = supabase.sync("parts")
    assert (run["inserted"], run["odoo_count"], run["mirror_count"]) == (5, 5, 5)
    versions = "select odoo_id, xmin::text from public.parts order by 1"
    before = supabase.rows(versions)
    for mode in ("full", "reconcile", "incremental"):
        run = supabase.sync("parts", mode)
        assert (run["inserted"], run["updated"], run["deleted"]) == (0, 0, 0)
    assert supabase.rows(versions) == before
    remove(erp, 4)
    erp.records[0] |= {"name": "renamed", "write_date": "2030-01-01 00:00:00"}
    erp.records.append(metric(6, write_date="2030-01-01 00:00:00"))
    run = supabase.sync("parts", "reconcile")
    assert (run["inserted"], run["updated"], run["deleted"], run["mirror_count"]) == (1, 1, 1, 5)


def test_tenants_have_partitions_of_their_own(supabase: Supabase, erp: ScriptedOdoo) -> None:
    supabase.rows(
        """create table public.parts (tenant text, odoo_id bigint, name text, write_date timestamptz, primary key (tenant, odoo_id))
           partition by list (tenant);
           create table public.acme partition of public.parts for values in ('acme');
           create table public.globex partition of public.parts for values in ('globex')"""
    )
    for tenant in ("acme", "globex"):
        more = f""", columns => '{{}}', constants => '{{"tenant": "{tenant}"}}'"""
        supabase.rows(create_statement(tenant, "public.parts", more=more))
        assert supabase.sync(tenant)["inserted"] == 5
    remove(erp, 4)
    erp.records[0] |= {"name": "renamed", "write_date": "2030-01-01 00:00:00"}
    run = supabase.sync("acme", "reconcile")
    assert (run["updated"], run["deleted"], run["mirror_count"]) == (1, 1, 4)
    found = supabase.rows("select tableoid::regclass::text as part, count(*) from public.parts group by 1 order by 1")
    assert [(row["part"], row["count"]) for row in found] == [("acme", 4), ("globex", 5)]


def test_partitions_show_nothing_past_the_policies_of_their_table(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """A query that names a partition uses the privileges and policies of the partition."""
    supabase.rows(
        """create table public.parts (tenant text, odoo_id bigint, name text, write_date timestamptz, active boolean,
               primary key (tenant, odoo_id)) partition by list (tenant);
           create table public.acme partition of public.parts for values in ('acme');
           grant select, insert, update, delete, truncate on public.acme to anon, authenticated"""
    )
    supabase.rows(create_statement("acme", "public.parts", more=""", columns => '{}', constants => '{"tenant": "acme"}'"""))
    assert supabase.sync("acme")["inserted"] == 5
    exposed = "select revoke from ipai.api_exposure('public.parts'::regclass)"
    assert "revoke delete, insert, select, truncate, update on table public.acme from anon;" in [
        row["revoke"] for row in supabase.rows(exposed)
    ]
    supabase.rows("""select ipai.protect_mirror('acme', '{"tenant": "tenants"}')""")
    with supabase.connect("supabase_admin") as session:
        execute(session, "set role authenticated")
        assert execute(session, "select * from public.acme") == []
    for row in supabase.rows(exposed):
        supabase.rows(row["revoke"])
    assert supabase.rows(exposed) == []


def test_partition_key_outside_of_the_key_is_refused(supabase: Supabase, erp: ScriptedOdoo) -> None:
    """Such a table has no unique index on odoo_id alone."""
    supabase.rows(
        "create table public.parts (odoo_id bigint, name text, write_date timestamptz, primary key (odoo_id, name)) partition by list (name)"
    )
    error = expect_error(supabase, create_statement("parts", "public.parts", more=", columns => '{}'"))
    assert error.message_primary == 'table "public.parts" has no unique index on odoo_id'
    assert (error.message_hint or "").startswith("Partition the table by these columns")
