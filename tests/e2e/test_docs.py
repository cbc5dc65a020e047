"""Tests the documentation.

README and tutorial work as written, pages show what their commands print on real servers, and the
reference lists exactly the objects that exist.

After an intended change, UPDATE_GOLDEN=1 writes what the commands print into the pages. Review the
difference before you commit it.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from harness import paths, postgres, shell
from harness.odoo import Odoo, generate_metrics
from harness.postgres import Installation
from support.documents import Block, blocks, tidy, write_shown
from support.internal import INTERNAL
from support.supabase import Supabase

README = paths.PROJECT / "README.md"
TUTORIAL = paths.PROJECT / "docs/tutorial/first-mirror.md"
MODELS = paths.PROJECT / "docs/how-to/adding-fields-and-models.md"
REFERENCE = paths.PROJECT / "docs/reference/sql.md"
PAGES = sorted((paths.PROJECT / "docs").glob("**/*.md"))
METRICS = 300
#: Additional companies in the second Odoo, which the server `odoo_globex` names.
COMPANIES = ("Globex", "Initech")
#: Placeholders in the pages, and the values for the test's Odoo.
PLACEHOLDERS = {"odoo_core": "odoo", "api@example.com": "admin", "the password or API key": "admin"}


class Reader:
    """Executes the blocks of a page."""

    def __init__(self, supabase: Supabase, odoo: Odoo, globex: Odoo) -> None:
        self.supabase = supabase
        self.odoo = odoo
        self._globex = globex
        self._diff = ""

    def run(self, block: Block) -> str:
        """Executes a block and returns what it prints."""
        match block.language:
            case "sql":
                return self._sql(block.text)
            case "diff":
                self._diff = block.text
            case "sh":
                for line in block.text.splitlines():
                    self._command(shlex.split(line))
            case language:
                raise AssertionError(f"no test runs blocks in {language}")
        return ""

    def _sql(self, sql: str) -> str:
        if "odoo_globex" in sql and not self.supabase.rows("select from pg_foreign_server where srvname = 'odoo_globex'"):
            self.supabase.server(self._globex.url, name="odoo_globex")
        for placeholder, value in {"https://erp.example.com": self.odoo.url, **PLACEHOLDERS}.items():
            sql = sql.replace(placeholder, value)
        cluster = self.supabase.cluster
        user = "supabase_admin" if "create extension ipai_sync" in sql else "postgres"
        command: list[str | Path] = [
            cluster.installation.bindir / "psql",
            "-Xq",
            "-v",
            "ON_ERROR_STOP=1",
            "-P",
            "footer=off",
            "-d",
            cluster.dsn(user=user),
        ]
        # psql prints warnings to stderr.
        done = shell.run(command, stdin=sql, capture=True, env=postgres.client_environment())
        return done.stderr + done.stdout

    def _command(self, words: list[str]) -> None:
        match words:
            case ["git", "apply", *options, "week.diff"]:
                # Odoo runs a copy of the addons, without the folders above them.
                shell.run(["git", "apply", "-p3", *options, "-"], cwd=self.odoo.directory / "addons", stdin=self._diff, capture=True)
            case ["odoo", *options]:
                self.odoo.odoo(*options)
                self.odoo.restart()
            case _:
                raise AssertionError(f"no test runs this command: {shlex.join(words)}")

    def read(self, page: Path, checks: Mapping[str, Callable[[Reader, Block], None]]) -> None:
        """Executes a page, and compares the shown output.

        Calls the check of a section after each of its blocks.
        """
        checked = set()
        found = blocks(page.read_text())
        for block in found:
            try:
                printed = self.run(block)
            except (RuntimeError, AssertionError) as error:
                raise AssertionError(f"{page.name}:{block.line}: {error}") from error
            if block.shown is not None and os.environ.get("UPDATE_GOLDEN"):
                block.shown = "".join(f"{line}\n" for line in tidy(printed))
            elif block.shown is not None:
                assert tidy(printed) == tidy(block.shown), f"{page.name}:{block.line}"
            if check := checks.get(block.section):
                check(self, block)
                checked.add(block.section)
        assert checked == set(checks)
        if os.environ.get("UPDATE_GOLDEN"):
            write_shown(page, found)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Odoo, Odoo]]:
    """The file's own two Odoos, because a page changes the module and its table."""
    with Odoo() as odoo, Odoo(modules=()) as globex:
        generate_metrics(odoo, METRICS)
        globex.rpc("res.partner", "create", [{"name": name, "is_company": True} for name in COMPANIES])
        yield odoo, globex


@pytest.fixture
def new_database(extension_pg: Installation, servers: tuple[Odoo, Odoo]) -> Iterator[Reader]:
    """A database like Supabase's, without the extension."""
    with postgres.supabase_cluster(extension_pg) as cluster:
        yield Reader(Supabase(cluster), *servers)


@pytest.fixture
def reader(new_database: Reader) -> Reader:
    """A database after the quick start, with migrations and a first run of the sample metrics."""
    new_database.supabase.cluster.psql("create extension ipai_sync")
    postgres.migrate(new_database.supabase.cluster)
    new_database.supabase.server(new_database.odoo.url)
    new_database.supabase.rows("call ipai.run_sync('sample_metrics')")
    return new_database


def test_quick_start_of_the_readme_creates_a_scheduled_mirror(new_database: Reader) -> None:
    (schedule,) = re.findall(r"`(select ipai\.schedule_sync\(.*?\);)`", README.read_text())
    found = blocks(README.read_text())
    statements = [len(re.findall(r";(?= *(?:--.*)?$)", block.text, re.MULTILINE)) for block in found if block.language == "sql"]
    assert statements == [1, 5, 3]
    for block in found:
        if block.language == "sql":
            new_database.run(block)
    new_database.run(Block(0, "", "sql", schedule, None, (0, 0)))
    status = new_database.supabase.row(
        "select state, schedule, rows > 0 as filled, delta from ipai.sync_status where mirror = 'res_partner'"
    )
    assert status == {"state": "ok", "schedule": "*/15 * * * *", "filled": True, "delta": 0}
    assert new_database.supabase.rows("select * from ipai.sync_alerts") == []


def test_tutorial_shows_the_real_output(new_database: Reader) -> None:
    new_database.read(TUTORIAL, {})


def test_page_on_fields_and_models_shows_the_real_output(reader: Reader) -> None:
    reader.read(MODELS, CHECKS)


# Checks beyond the shown output -------------------------------------------------------------------


def check_weeks_are_filled(reader: Reader, block: Block) -> None:
    if "run_sync('sample_metrics')" not in block.text:
        return
    expected = reader.odoo.pg.psql("select id, week from ipai_sample_metric order by id", dbname=reader.odoo.dbname).splitlines()
    found = [f"{row['odoo_id']}|{row['week'] or ''}" for row in reader.supabase.mirror("odoo_id, week")]
    assert found == expected and len(found) == METRICS
    assert len({line.partition("|")[2] for line in found}) > 50


def check_view_shows_week(reader: Reader, block: Block) -> None:
    if block.language == "sh":
        (view,) = reader.odoo.rpc("ir.ui.view", "search_read", [("name", "=", "ipai.sample.metric.list")], ["arch"])
        assert 'name="week"' in view["arch"]


def check_weeks_are_kept(reader: Reader, block: Block) -> None:
    """The column keeps its values while Odoo lacks the field."""
    if "call ipai.run_sync" in block.text:
        assert "week" not in reader.odoo.rpc("ipai.sample.metric", "fields_get", [], ["type"])
        assert len([row for row in reader.supabase.mirror("week") if row["week"]]) > METRICS / 2


def check_tenants_are_separate(reader: Reader, block: Block) -> None:
    """A run of one mirror keeps the rows of the other."""
    if block.shown is None:
        return
    before = reader.supabase.rows("select xmin::text, * from ipai.companies where tenant = 'acme' order by odoo_id")
    names = {row["name"] for row in reader.supabase.rows("select name from ipai.companies where tenant = 'globex'")}
    assert names > set(COMPANIES)
    reader.supabase.rows("call ipai.run_sync('companies_globex', 'full')")
    assert reader.supabase.rows("select xmin::text, * from ipai.companies where tenant = 'acme' order by odoo_id") == before


def check_table_is_private(reader: Reader, block: Block) -> None:
    if "create_mirror" not in block.text:
        return
    row = reader.supabase.row(
        """select relrowsecurity as secured, has_table_privilege('anon', oid, 'select') as anon,
                  has_table_privilege('authenticated', oid, 'select') as signed_in, has_table_privilege('service_role', oid, 'select') as service
           from pg_class where oid = 'ipai.res_country_state'::regclass"""
    )
    assert row == {"secured": True, "anon": False, "signed_in": False, "service": True}


CHECKS = {
    "Mirror a model": check_table_is_private,
    "Mirror several Odoo databases into one table": check_tenants_are_separate,
    "1. Add it to the Odoo module": check_view_shows_week,
    "2. Add it to the mirror": check_weeks_are_filled,
    "When a field is removed or changes its type": check_weeks_are_kept,
}


# The reference ------------------------------------------------------------------------------------

MEMBERS = "select objid from pg_depend where refobjid = (select oid from pg_extension where extname = 'ipai_sync') and deptype = 'e'"


def test_reference_contains_every_function_with_its_arguments(supabase: Supabase) -> None:
    written = REFERENCE.read_text()
    documented = {
        name: [argument for argument in arguments.split(", ") if argument]
        for name, arguments in re.findall(r"`(?:call )?ipai\.(\w+)\(([\w, ]*)\)`", written)
    }
    there = supabase.rows(
        f"""select proname::text as name, coalesce(proargnames, '{{}}') as names, proargmodes::text[] as modes
            from pg_proc where oid in ({MEMBERS})"""
    )
    functions = {
        row["name"]: [name for name, mode in zip(row["names"], row["modes"] or ["i"] * len(row["names"]), strict=True) if mode in "ib"]
        for row in there
    }
    assert len(functions) == len(there) > 20
    assert {name: arguments for name, arguments in documented.items() if name in functions} == {
        name: arguments for name, arguments in functions.items() if name not in INTERNAL
    }


def test_reference_contains_every_view_with_its_columns(supabase: Supabase) -> None:
    written = REFERENCE.read_text()
    views = supabase.rows(
        f"""select relname::text as name, array_agg(attname::text) as columns from pg_class join pg_attribute on attrelid = pg_class.oid
            where pg_class.oid in ({MEMBERS}) and relkind = 'v' and attnum > 0 group by relname"""
    )
    assert len(views) == 5
    lacking = [f"{view['name']}.{column}" for view in views for column in view["columns"] if f"`{column}`" not in written]
    assert not lacking
    assert all(f"`ipai.{view['name']}`" in written for view in views)


def test_commands_of_the_reference_succeed(supabase: Supabase) -> None:
    supabase.server("http://127.0.0.1:9")
    commands = re.findall(r"^```sql\n(.*?)^```$", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(commands) == 3
    for command in commands:
        supabase.rows(command)


def test_objects_named_by_pages_exist(supabase: Supabase) -> None:
    """The extension, the migrations or a page must create every object `ipai.…` in a page."""
    there = {
        row["name"]
        for row in supabase.rows(
            """select relname::text as name from pg_class where relnamespace = 'ipai'::regnamespace
               union select proname from pg_proc where pronamespace = 'ipai'::regnamespace"""
        )
    }
    #: `sync` is a part of the name of an Odoo model.
    created_by_pages = {"brands", "companies", "customers", "res_country_state", "res_partner", "sync"}
    # These pages contain names of tables in their tests.
    others = {"reliability.md", "related-rows.md"}
    for page in (README, *(page for page in PAGES if page.name not in others)):
        named = set(re.findall(r"(?<![\w/.'])ipai\.([a-z]\w*)(?![\w.])", page.read_text()))
        assert named - created_by_pages <= there, page.name


def test_links_lead_to_existing_pages_and_sections() -> None:
    others = [*(paths.PROJECT / "agents").glob("*.md"), *(paths.PROJECT / "examples").glob("*/*.md")]
    pages = [*paths.PROJECT.glob("*.md"), *PAGES, *others]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
            file, _, anchor = target.partition("#")
            other = (page.parent / file).resolve() if file else page
            assert other.exists(), f"{page.name}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor in anchors, f"{page.name}: {target}"


def test_index_links_every_page() -> None:
    index = paths.PROJECT / "docs/README.md"
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#]+)\)", index.read_text())}
    assert set(PAGES) - {index} <= linked


def test_readme_has_at_most_150_lines() -> None:
    assert len(README.read_text().splitlines()) <= 150
