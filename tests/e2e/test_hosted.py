"""Executes docs/how-to/hosted-supabase.md as a new user would, in a database without the extension.

After an intended change, UPDATE_GOLDEN=1 writes what the commands print into the page. Review the
difference before you commit it.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness import paths, postgres, shell, versions
from harness.odoo import Odoo, generate_metrics
from harness.postgres import Cluster, Installation
from support.documents import Block, blocks, build_program, tidy, write_shown
from support.internal import INTERNAL
from support.pages import printed
from support.supabase import Supabase

PAGE = paths.PROJECT / "docs/how-to/hosted-supabase.md"
SCRIPT = paths.PROJECT / "docs/how-to/from-the-script.md"
SQL = paths.PROJECT / "docs/reference/sql.md"
TROUBLESHOOTING = paths.PROJECT / "docs/how-to/troubleshooting.md"
REFERENCE = paths.PROJECT / "docs/reference/program.md"
METRICS = 300
#: What hosted projects set, and a plain PostgreSQL does not.
SETTINGS = {"output_plugin_libraries": "pgoutput, test_decoding, wal2json"}


class Project:
    """A hosted project, and the folder in which its owner works."""

    def __init__(self, cluster: Cluster, odoo: Odoo) -> None:
        self.cluster = cluster
        self.odoo = odoo
        self.folder = paths.run_dir()
        #: Texts of the page, and the values for the test.
        self.values = {
            "https://erp.example.com": odoo.url,
            "odoo_core": odoo.dbname,
            "api@example.com": odoo.admin_user,
            "the password or API key": odoo.admin_password,
        }

    def environment(self) -> dict[str, str | None]:
        """The folder's `.env` and `ipai-sync.toml` describe both ends, so no variable does."""
        path = f"{build_program().parent}:{self.cluster.installation.bindir}:/usr/bin:/bin"
        return {name: None for name in os.environ if name.startswith(("ODOO_", "DATABASE_", "SUPABASE_"))} | {
            "PATH": path,
            # The passwords that the page's ipai-sync.toml names.
            "ACME_PASSWORD": self.odoo.admin_password,
        }

    def run(self, block: Block) -> str:
        """Executes a block and returns what it prints."""
        match block.language:
            case "ini":
                self.write(".env", re.sub(r"^DATABASE_URL=.*", f"DATABASE_URL={self.cluster.dsn(user='postgres')}", block.text))
            case "toml":
                self.write("ipai-sync.toml", block.text)
                self.write("globex-password", f"{self.odoo.admin_password}\n")
            case "sql":
                text = printed(self.cluster, block.text)
                assert "ERROR" not in text, text
                return text
            case "sh":
                return self.shell(block.text)
            case language:
                raise AssertionError(f"no test runs blocks in {language}")
        return ""

    def write(self, name: str, text: str) -> None:
        for placeholder, value in self.values.items():
            text = text.replace(placeholder, value)
        (self.folder / name).write_text(text)

    def prepare(self) -> None:
        """Executes the page up to the first run."""
        for block in blocks(PAGE.read_text()):
            if block.section.startswith(("2.", "3.", "4.")):
                self.run(block)

    def json(self, arguments: str, *, status: int = 0) -> list[Any]:
        """Returns the values that a command prints with --json."""
        return [json.loads(line) for line in self.shell(f"ipai-sync {arguments} --json", status=status).splitlines()]

    def shell(self, commands: str, *, status: int = 0) -> str:
        """Runs commands, and returns what they print."""
        done = shell.run(["bash", "-e", "-c", commands], cwd=self.folder, env=self.environment(), capture=True, check=False)
        assert done.returncode == status, f"{commands}{done.stdout}{done.stderr}"
        return done.stderr + done.stdout

    def shown(self, text: str) -> str:
        """Replaces what differs between two executions, and the test's values by the page's."""
        text = unwrapped(text).replace(self.odoo.url, "https://erp.example.com")
        text = re.sub(r"database odoo, login admin with (.*), \d+ ms", r"database odoo_core, login api@example.com with \1, 45 ms", text)
        # Those of the last ten minutes, which depends on the age of the test's Odoo.
        text = re.sub(r"incremental, \d+ read", "incremental, 4 read", text)
        text = re.sub(r"\d+\.\d s\b", "0.4 s", text)
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "2026-01-06T12:00:00+00:00", text)
        return "".join(f"{line}\n" for line in wrapped(aligned(tidy(text))))


#: What `ipai-sync check` prints before the facts of a finding.
INDENT = " " * 9


def unwrapped(text: str) -> str:
    """Puts the facts of each finding in one line."""
    lines: list[str] = []
    for line in text.splitlines():
        if lines and line.startswith(INDENT) and lines[-1].startswith(INDENT):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def wrapped(lines: list[str]) -> list[str]:
    """Wraps the facts of each finding again, as the program does."""
    options: dict[str, Any] = {"subsequent_indent": INDENT, "break_long_words": False, "break_on_hyphens": False}
    return [part for line in lines for part in (textwrap.wrap(line, 80, **options) if line.startswith(INDENT) else [line])]


def aligned(lines: list[str]) -> list[str]:
    """Adjusts the widths of tables to their present content."""
    done: list[str] = []
    table: list[list[str]] = []
    for line in [*lines, ""]:
        if line.startswith("| ") or (table and line.startswith("|-")):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        widths = [max(len(cell) for cell in cells if not cell.startswith("--")) for cells in zip(*table, strict=True)]
        for number, row in enumerate(table):
            cells = ["-" * (width + 2) if number == 1 else f" {cell:{width}} " for cell, width in zip(row, widths, strict=True)]
            done.append(f"|{'|'.join(cells)}|")
        table = []
        done.append(line)
    return done[:-1]


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    with Odoo() as odoo:
        generate_metrics(odoo, METRICS)
        yield odoo


@contextmanager
def hosted(installation: Installation) -> Iterator[Cluster]:
    """Starts a cluster like that of a hosted project."""
    known = shell.run([installation.bindir / "postgres", "--describe-config"], user=shell.SERVICE_USER, capture=True).stdout
    settings = {name: value for name, value in SETTINGS.items() if re.search(rf"^{name}\t", known, re.MULTILINE)}
    with postgres.supabase_cluster(installation, settings=settings) as cluster:
        yield cluster


@pytest.fixture
def project(erp: Odoo) -> Iterator[Project]:
    """A project whose Postgres lacks the extension's files."""
    with hosted(versions.target()) as cluster:
        yield Project(cluster, erp)


def read(page: Path, project: Project) -> None:
    """Executes a page, and compares the shown output."""
    found = blocks(page.read_text())
    for block in found:
        try:
            text = project.shown(project.run(block))
        except (RuntimeError, AssertionError) as error:
            raise AssertionError(f"{page.name}:{block.line}: {error}") from error
        if block.shown is not None and os.environ.get("UPDATE_GOLDEN"):
            block.shown = text
        elif block.shown is not None:
            assert text == block.shown, f"{page.name}:{block.line}"
    if os.environ.get("UPDATE_GOLDEN"):
        write_shown(page, found)


def test_page_on_hosted_supabase_shows_the_real_output(project: Project) -> None:
    assert project.cluster.psql("select count(*) from pg_available_extensions where name = 'ipai_sync'") == "0"
    assert project.cluster.psql("select rolsuper from pg_roles where rolname = 'postgres'") == "f"
    read(PAGE, project)
    # The page ends with a mirror that equals Odoo's table.
    mirrored = project.cluster.psql("select odoo_id, name, coalesce(email, ''), active from ipai.res_partner order by odoo_id")
    expected = "select id, name, coalesce(email, ''), active from res_partner order by id"
    assert mirrored == project.odoo.pg.psql(expected, dbname=project.odoo.dbname)
    assert mirrored


def test_login_of_the_page_runs_mirrors_but_defines_none(project: Project) -> None:
    project.prepare()
    (created,) = [block for block in blocks(PAGE.read_text()) if block.section == "A login for the scheduler"]
    project.run(created)
    settings = (project.folder / ".env").read_text()
    (project.folder / ".env").write_text(settings.replace("postgresql://postgres@", "postgresql://odoo_sync@"))
    assert project.shell("ipai-sync run").startswith("res_partner: incremental, ")
    for command in ("status", "runs", "alerts"):
        project.shell(f"ipai-sync {command}")
    for command in ("check", "create-mirror res.country", "alter-mirror res_partner --enabled false", "drop-mirror res_partner"):
        assert re.search("permission denied|another role", project.shell(f"ipai-sync {command}", status=1)), command


# The JSON of the commands -------------------------------------------------------------------------


def documented(command: str) -> list[str]:
    """Returns the keys that the reference lists for a command."""
    (row,) = re.findall(rf"^\| `{command}`.*? \|.*? \| (.*) \|$", REFERENCE.read_text(), re.MULTILINE)
    # In parentheses: a key's values.
    return [name for name in re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", row)) if name != "error" or command == "runs"]


def test_json_has_the_keys_of_the_reference(project: Project) -> None:
    (settings,) = [block for block in blocks(PAGE.read_text()) if block.language == "ini"]
    project.run(settings)
    assert project.json("init") == [{"result": "created", "version": "1.0.0"}]
    assert documented("init") == ["result", "version"]
    assert "HINT:  Create one with ipai-sync create-mirror." in project.shell("ipai-sync run")
    (created,) = project.json("create-mirror res.partner --fields name,active")
    assert [*created, *created["fields"][0]] == documented("create-mirror")
    (ended,) = project.json("run")
    assert list(ended) == documented("run")[: len(ended)]
    assert project.json("run --dry-run --limit 1")[0]["run"] is None
    assert project.json("alter-mirror res_partner --late-after '1 hour'") == [{}]
    # An alert, and a mirror without a schedule, which is a problem for `check`.
    project.cluster.psql("update ipai.run_log set odoo_count = odoo_count + 1", user="postgres")
    for command, status in (("refresh-mirror res_partner", 0), ("status", 0), ("runs", 0), ("alerts", 1), ("check", 1)):
        (rows,) = project.json(command, status=status)
        assert list(rows[0]) == documented(command.split()[0]), command
    assert project.json("odoo-call res.partner search_count --args '[[]]'") == [149 - 3]
    assert project.json("drop-mirror res_partner") == [{}]
    assert project.json("uninstall --yes") == [{"result": "removed"}]


def test_guard_refuses_a_run_with_its_own_status(project: Project) -> None:
    project.prepare()
    project.shell('ipai-sync alter-mirror res_partner --domain \'[["id", "<", 2]]\'')
    refused = project.shell("ipai-sync run res_partner", status=3)
    assert "--max-delete-ratio 1" in refused, refused
    project.shell("ipai-sync run res_partner --max-delete-ratio 1")
    assert project.cluster.psql("select count(*) from ipai.res_partner") == "1"


# Other pages --------------------------------------------------------------------------------------


def test_commands_that_replace_the_script_succeed(project: Project) -> None:
    commands = list(dict.fromkeys(re.findall(r"`(ipai-sync [^`]+)`", SCRIPT.read_text())))
    assert "ipai-sync run sample_metrics --since 2026-01-06 --dry-run --verbose --limit 100" in commands
    (settings,) = [block for block in blocks(PAGE.read_text()) if block.language == "ini"]
    project.run(settings)
    commands.remove("ipai-sync init")
    project.shell("ipai-sync init")
    postgres.migrate(project.cluster)
    for command in commands:
        # A mirror without a schedule is a problem for `check`.
        project.shell(command, status=1 if command == "ipai-sync check" else 0)
    assert project.cluster.psql("select count(*) from ipai.ipai_sample_metrics") == str(METRICS)


def test_error_without_a_connection_string_is_that_of_the_page(project: Project) -> None:
    (shown,) = re.findall(r"^```\n\$ ipai-sync run\n(.*?)^```$", SCRIPT.read_text(), re.MULTILINE | re.DOTALL)
    keys = "SUPABASE_URL=https://x.supabase.co SUPABASE_SERVICE_ROLE_KEY=s3cret ODOO_URL=http://127.0.0.1:9 ODOO_DB=x ODOO_USER=x ODOO_PASSWORD=x"
    assert project.shell(f"{keys} ipai-sync run", status=2) == shown


def test_reference_lists_the_functions_of_a_database_without_the_extension(project: Project) -> None:
    project.prepare()
    (listed,) = re.findall(r"^A database that \[the program\].*?\n\n", SQL.read_text(), re.MULTILINE | re.DOTALL)
    there = project.cluster.psql("select proname from pg_proc where pronamespace = 'ipai'::regnamespace").splitlines()
    # `schema_version` is for the program, and triggers call the other.
    assert set(re.findall(r"`ipai\.(\w+)\(\)`", listed)) == set(there) - INTERNAL - {"schema_version", "keep_updated_at"}


def test_page_on_troubleshooting_has_the_errors_of_the_program(project: Project) -> None:
    listed = re.findall(r"^\| `([^`]+)`", TROUBLESHOOTING.read_text().split("## Errors of ipai-sync")[1], re.MULTILINE)
    assert len(listed) > 10
    (settings,) = [block for block in blocks(PAGE.read_text()) if block.language == "ini"]
    project.run(settings)
    url = project.cluster.dsn(user="postgres")
    commands = [
        ("ipai-sync status", 1),
        ("DATABASE_URL=host=localhost ipai-sync status", 2),
        (f"DATABASE_URL={url.replace('disable', 'verify-full')} ipai-sync status", 1),
    ]
    printed = [project.shell(command, status=status) for command, status in commands]
    (project.folder / ".env").rename(project.folder / "other")
    printed.append(project.shell("ipai-sync status", status=2))
    (project.folder / "other").rename(project.folder / ".env")
    project.prepare()
    printed.append(project.shell("ipai-sync check --server globex", status=2))
    project.cluster.psql(
        "create or replace function ipai.schema_version() returns text language sql immutable as $$ select '0.1.0' $$", user="postgres"
    )
    printed.append(project.shell("ipai-sync run", status=1))
    patterns = [re.escape(error).replace(r"\.\.\.", ".+") for error in listed]
    for text in printed:
        message = text.removeprefix("ERROR:  ").splitlines()[0]
        assert any(re.match(pattern, message) for pattern in patterns), message
        assert "HINT:  " in text


# The extension ------------------------------------------------------------------------------------


def test_mirrors_move_to_the_extension_and_back(extension_pg: Installation, erp: Odoo) -> None:
    with hosted(extension_pg) as cluster:
        project = Project(cluster, erp)
        project.prepare()
        extension = Supabase(cluster)
        with pytest.raises(psycopg.errors.DuplicateObject) as refused:
            extension.rows("create extension ipai_sync", user="supabase_admin")
        assert "ipai-sync uninstall --yes" in str(refused.value.diag.message_hint)

        project.shell("ipai-sync uninstall --yes")
        cluster.psql("create extension ipai_sync")
        extension.server(erp.url)
        extension.create_mirror("res.partner", target="res_partner", columns={}, fields=["name", "email", "country_id", "active"])
        moved = extension.sync("res_partner")
        assert (moved["unchanged"], moved["inserted"], moved["updated"], moved["deleted"]) == (149, 0, 0, 0)

        # The program runs the mirror of the extension, from its cursor.
        assert "It has the same tables and views" in project.shell("ipai-sync init", status=1)
        project.shell("ipai-sync run")
        run = extension.last_run("res_partner")
        assert (run["mode"], run["cursor_before"], run["updated"]) == ("incremental", moved["cursor_after"], 0)

        cluster.psql("drop extension ipai_sync cascade")
        project.shell("ipai-sync init")
        project.shell("ipai-sync create-mirror res.partner --target res_partner --columns '{}' --fields name,email,country_id,active")
        (back,) = project.json("run")
        assert (back["unchanged"], back["inserted"], back["updated"], back["deleted"]) == (149, 0, 0, 0)
