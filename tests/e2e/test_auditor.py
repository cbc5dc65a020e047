"""Tests agents/custom_module_auditor.md.

The reference module passes each check, and each check can fail.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import paths, postgres, shell
from harness.odoo import MODEL, MODULE, Odoo, generate_metrics
from harness.postgres import Installation
from support.supabase import Supabase

PAGE = paths.PROJECT / "agents/custom_module_auditor.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
PARAMETERS = BLOCKS[0]
#: The commands by number. Each one begins with a comment like `# 1.1 What is checked.`
CHECKS = {
    match["number"]: match["command"]
    for match in re.finditer(
        r"^# (?P<number>\d\.\d) [^\n]*\n(?P<command>.*?)(?=^# \d\.\d |\Z)", "\n".join(BLOCKS[1:]), re.MULTILINE | re.DOTALL
    )
}
TABLE = "ipai.ipai_sample_metrics"
TABLE_MIGRATION = "migrations/202601130001_IPAI_SAMPLE_METRICS.sql"


class Site:
    """A checkout, an Odoo with the module, and a Supabase with the mirror."""

    def __init__(self, supabase: Supabase, odoo: Odoo) -> None:
        self.supabase = supabase
        self.odoo = odoo
        self.checkout = paths.run_dir()
        for folder in ("addons", "migrations", "supabase"):
            shutil.copytree(paths.PROJECT / folder, self.checkout / folder, symlinks=True)

    @property
    def addon(self) -> Path:
        """The module in the checkout."""
        return self.checkout / "addons/ipai" / MODULE

    @property
    def migration(self) -> Path:
        return self.checkout / TABLE_MIGRATION

    @property
    def odoo_command(self) -> str:
        """The command that runs Odoo.

        Its tests open a separate port, because the server uses its own.
        """
        install = self.odoo.install
        return f"{install.python} {install.program} -c {self.odoo.directory / 'odoo.conf'} --http-port {shell.free_port()}"

    def check(self, number: str, **parameters: str) -> subprocess.CompletedProcess[str]:
        """Runs one check."""
        cluster = self.supabase.cluster
        environment = postgres.client_environment() | {
            "PATH": f"{cluster.installation.bindir}:/usr/bin:/bin",
            "DATABASE_URL": cluster.dsn(user="postgres"),
            "SCRATCH_URL": cluster.dsn("scratch", user="postgres"),
            "ODOO": self.odoo_command,
            "ODOO_SCRATCH": "audit",
            # The environment in which the harness runs Odoo.
            "PYTHONPATH": str(self.odoo.install.libraries),
            "HOME": str(self.odoo.directory / "data"),
            **parameters,
        }
        command = ["bash", "-c", f"{PARAMETERS}\n{CHECKS[number]}"]
        # The service user owns Odoo and its database.
        return shell.run(command, cwd=self.checkout, env=environment, user=shell.SERVICE_USER, check=False, capture=True)

    def sql(self, *statements: str) -> None:
        for statement in statements:
            self.supabase.rows(statement)

    def write(self, model: str, domain: list[object], **values: object) -> None:
        """Changes all records that match the domain, also archived ones."""
        found = self.odoo.rpc(model, "search", domain, context={"active_test": False})
        assert found
        self.odoo.rpc(model, "write", found, values)


@pytest.fixture(scope="module")
def site(extension_pg: Installation) -> Iterator[Site]:
    """The file's own servers, because the tests break them."""
    with Odoo() as odoo, postgres.supabase_cluster(extension_pg) as cluster:
        generate_metrics(odoo, 300)
        cluster.psql("create extension ipai_sync; create extension pgtap with schema extensions")
        cluster.psql("create database scratch owner postgres")
        postgres.migrate(cluster)
        supabase = Supabase(cluster)
        supabase.server(odoo.url)
        supabase.rows("call ipai.run_sync('sample_metrics')")
        supabase.rows("select ipai.schedule_sync('sample_metrics', '0 3 1 1 *')")
        yield Site(supabase, odoo)


def test_every_check_of_the_page_is_parsed() -> None:
    assert len(re.findall(r"^# \d\.\d ", PAGE.read_text(), re.MULTILINE)) == len(CHECKS) > 15
    assert all(command.strip() for command in CHECKS.values())


@pytest.mark.parametrize("number", CHECKS)
def test_reference_module_passes_each_check(site: Site, number: str) -> None:
    done = site.check(number)
    assert done.returncode == 0, done.stdout + done.stderr


# Failing checks -----------------------------------------------------------------------------------


@dataclass
class Fault:
    """A mistake, and its correction."""

    number: str
    #: A part of the failing check's output.
    output: str
    cause: Callable[[Site], object]
    correct: Callable[[Site], object]


def sql(number: str, output: str, cause: str, *correct: str) -> Fault:
    return Fault(number, output, lambda site: site.sql(cause), lambda site: site.sql(*correct))


def odoo(number: str, output: str, model: str, domain: list[object], field: str, wrong: object, right: object) -> Fault:
    return Fault(
        number,
        output,
        lambda site: site.write(model, domain, **{field: wrong}),
        lambda site: site.write(model, domain, **{field: right}),
    )


def text(number: str, output: str, file: Callable[[Site], Path], change: Callable[[str], str]) -> Fault:
    kept: list[str] = []

    def cause(site: Site) -> None:
        kept.append(file(site).read_text())
        changed = change(kept[-1])
        assert changed != kept[-1]
        file(site).write_text(changed)

    return Fault(number, output, cause, lambda site: file(site).write_text(kept.pop()))


def manifest(site: Site) -> Path:
    return site.addon / "__manifest__.py"


RESYNC = "select ipai.sync_mirror('sample_metrics')"
MIGRATION = "\n".join(path.read_text() for path in sorted((paths.PROJECT / "migrations").glob("*.sql")))

FAULTS = {
    "a manifest without its access rights": text(
        "1.1", "not listed: security/access_rights.xml", manifest, lambda text: text.replace('"security/access_rights.xml",', "")
    ),
    "a manifest with a file that is not there": text(
        "1.1",
        "missing: views/other.xml",
        manifest,
        lambda text: text.replace('"data/ir_cron.xml"', '"data/ir_cron.xml", "views/other.xml"'),
    ),
    "a manifest without a license": text("1.1", "no license", manifest, lambda text: text.replace('"license": "LGPL-3",', "")),
    "a model without access rights": odoo(
        "1.3", "no group may read it", "ir.model.access", [("model_id.model", "=", MODEL)], "perm_read", False, True
    ),
    "a model without a list view": odoo(
        "1.4", "no view: list", "ir.ui.view", [("model", "=", MODEL), ("type", "=", "list")], "active", False, True
    ),
    "a field that Odoo does not have": sql(
        "2.1",
        "profit",
        'update ipai.mirrors set fields = replace(fields::text, \'"field": "value"\', \'"field": "profit"\')::jsonb',
        'update ipai.mirrors set fields = replace(fields::text, \'"field": "profit"\', \'"field": "value"\')::jsonb',
    ),
    "a column of another type": sql(
        "2.1", "value|real", f"alter table {TABLE} alter value type real", f"alter table {TABLE} alter value type double precision", RESYNC
    ),
    "a column that is missing": sql(
        "2.1", "notes|text|", f"alter table {TABLE} rename notes to remarks", f"alter table {TABLE} rename remarks to notes"
    ),
    "a column that takes no null": sql(
        "2.2",
        "notes",
        f"with filled as (update {TABLE} set notes = '-' where notes is null) select; alter table {TABLE} alter notes set not null",
        f"alter table {TABLE} alter notes drop not null",
        RESYNC,
    ),
    "a column that no migration makes so": sql(
        "3.1", "code|text|f", f"alter table {TABLE} alter code drop not null", f"alter table {TABLE} alter code set not null"
    ),
    "a policy that no migration makes": sql(
        "3.1",
        "ipai_sample_metrics_tenant|r|{authenticated}|true",
        f"alter policy ipai_sample_metrics_tenant on {TABLE} using (true)",
        MIGRATION,
    ),
    "a policy that was dropped": sql("3.1", "ipai_sample_metrics_tenant", f"drop policy ipai_sample_metrics_tenant on {TABLE}", MIGRATION),
    "a migration that runs only once": text(
        "3.2", "already exists", lambda site: site.migration, lambda text: text.replace("create table if not exists", "create table")
    ),
    "a mirror that is disabled": sql(
        "4.1",
        "not registered",
        "select ipai.alter_mirror('sample_metrics', enabled => false)",
        "select ipai.alter_mirror('sample_metrics', enabled => true)",
    ),
    "a mirror without a schedule": sql(
        "4.1",
        "not scheduled",
        "select ipai.unschedule_sync('sample_metrics')",
        "select ipai.schedule_sync('sample_metrics', '0 3 1 1 *')",
    ),
    "a table without its key": sql(
        "4.3",
        "no unique index",
        f"alter table {TABLE} drop constraint ipai_sample_metrics_odoo_id_key",
        f"alter table {TABLE} add constraint ipai_sample_metrics_odoo_id_key unique (odoo_id)",
        MIGRATION,
    ),
    "a row that is missing": sql("4.2", "sample_metrics|300|299|1", f"delete from {TABLE} where odoo_id = 7", RESYNC),
    "a value that differs": sql("4.3", "0|1|0", f"update {TABLE} set value = value + 1 where odoo_id = 7", RESYNC),
    "a table without row-level security": sql(
        "5.1",
        "row-level security is off",
        f"alter table {TABLE} disable row level security",
        f"alter table {TABLE} enable row level security",
    ),
    "a table without its policy": sql("5.1", "no policy", f"drop policy ipai_sample_metrics_tenant on {TABLE}", MIGRATION),
    "a policy for everybody": sql(
        "5.1", "ipai_sample_metrics_tenant", f"alter policy ipai_sample_metrics_tenant on {TABLE} to public", MIGRATION
    ),
    "a table that anon reads": sql("5.2", "anon|SELECT", f"grant select on {TABLE} to anon", f"revoke select on {TABLE} from anon"),
    "a table that users write": sql(
        "5.2", "authenticated|UPDATE", f"grant update on {TABLE} to authenticated", f"revoke update on {TABLE} from authenticated"
    ),
    "a claim that users write themselves": sql(
        "5.3",
        "ipai_sample_metrics_tenant|app_claim",
        """create or replace function ipai.app_claim(claim text) returns jsonb language sql stable as
           $$ select current_setting('request.jwt.claims', true)::jsonb -> 'user_metadata' -> claim $$""",
        MIGRATION,
    ),
    "a policy that shows all": sql(
        "5.4", "sees odoo_id", f"create policy wide on {TABLE} for select using (true)", f"drop policy wide on {TABLE}"
    ),
    "a table without one of its indexes": sql(
        "6.2",
        "FAIL",
        "drop index ipai.ipai_sample_metrics_date_idx",
        MIGRATION,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_check_detects_the_mistake(site: Site, name: str) -> None:
    fault = FAULTS[name]
    fault.cause(site)
    try:
        found = site.check(fault.number)
    finally:
        fault.correct(site)
    printed = found.stdout + found.stderr
    assert found.returncode != 0 and fault.output in printed, printed
    corrected = site.check(fault.number)
    assert corrected.returncode == 0, corrected.stdout + corrected.stderr


def test_check_detects_failing_module_tests(site: Site) -> None:
    tests = site.odoo.directory / "addons" / MODULE / "tests/test_sample_metric.py"
    kept = tests.read_text()
    broken = kept.replace("self.assertFalse(cron.active)", "self.assertTrue(cron.active)")
    assert broken != kept
    # Odoo runs the tests of an installed module only during an update.
    updating = {"ODOO": f"{site.odoo_command} -u {MODULE}"}
    tests.write_text(broken)
    try:
        found = site.check("6.1", **updating)
    finally:
        tests.write_text(kept)
    assert found.returncode != 0 and "1 failed, 0 error(s)" in found.stdout, found.stdout + found.stderr
    assert site.check("6.1", **updating).returncode == 0


@pytest.mark.parametrize(
    ("number", "parameter", "value", "output"),
    [
        ("1.1", "ADDON", "addons/ipai/none", "No such file"),
        ("1.2", "MODEL", "ipai.none", "ipai.none"),
        ("1.3", "MODEL", "ipai.none", "no group may read it"),
        ("2.1", "TABLE", "ipai.none", "does not exist"),
        ("4.2", "MIRROR", "none", "none"),
        # Odoo starts, but installs and tests no module.
        ("6.1", "MODULE", "no_such_module", "no_such_module"),
        ("6.2", "TABLE", "ipai.none", "no-test-of-this-table"),
    ],
)
def test_check_fails_without_anything_to_check(site: Site, number: str, parameter: str, value: str, output: str) -> None:
    done = site.check(number, **{parameter: value})
    assert done.returncode != 0 and output in done.stdout + done.stderr, done.stdout + done.stderr
