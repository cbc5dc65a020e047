"""Compares docs/reference/program.md with the program.

UPDATE_GOLDEN=1 writes the generated parts of the page: the commands and their options.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import paths
from support.documents import build_program

PAGE = paths.PROJECT / "docs/reference/program.md"
#: A connection string without a database behind it.
NOWHERE = "postgresql://postgres@127.0.0.1:9/postgres"


@pytest.fixture
def folder() -> Path:
    """The empty folder in which the program runs."""
    return paths.run_dir()


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the program with these variables alone."""
    command: list[str | Path] = [build_program(), *arguments]
    return subprocess.run(command, cwd=folder, env=variables, text=True, capture_output=True, stdin=subprocess.DEVNULL)


def section(title: str) -> str:
    """Returns a section of the page with the sections below it."""
    (found,) = re.finditer(rf"^(#+) {re.escape(title)}$", PAGE.read_text(), re.MULTILINE)
    level = len(found[1])
    return re.split(rf"^#{{1,{level}}} ", PAGE.read_text()[found.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """Returns the names in the first column of all tables."""
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


# Commands -----------------------------------------------------------------------------------------


def entries(text: str, title: str) -> dict[str, str]:
    """Returns the arguments or options of a help text, with their descriptions."""
    found = re.search(rf"^{title}:\n(.*?)(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    lines = found[1].splitlines() if found else []
    return dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in lines)


def table(rows: dict[str, str]) -> str:
    escaped = {name: re.sub(r"([|<>])", r"\\\1", text) for name, text in rows.items()}
    return "| | |\n|---|---|\n" + "".join(f"| `{name}` | {text} |\n" for name, text in escaped.items()) + "\n"


def generated(folder: Path) -> tuple[str, str]:
    """Returns the tables of the common options and of the commands."""
    common = entries(run(folder, "-h").stdout, "Options")
    assert {"-h, --help", "--json"} <= set(common)
    common |= {"-h, --help": "Print help"}
    commands = [command for command in entries(run(folder, "-h").stdout, "Commands") if command != "help"]
    text = ""
    for command in commands:
        shown = run(folder, command, "-h").stdout
        about, usage = re.findall(r"\A(.*)\n\nUsage: (.*)$", shown, re.MULTILINE)[0]
        own = {name: text for name, text in entries(shown, "Options").items() if name not in common}
        rows = {**entries(shown, "Arguments"), **own}
        text += f"### `{command}`\n\n{about}.\n\n```\n{usage}\n```\n\n{table(rows) if rows else ''}"
    return f"\n{table(common)}", f"\n{text}"


def test_commands_and_options_are_those_of_the_program(folder: Path) -> None:
    page = PAGE.read_text()
    for mark, text in zip(("options", "commands"), generated(folder), strict=True):
        pattern = re.compile(rf"(?<=^<!-- {mark} -->\n).*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL)
        found = pattern.search(page)
        assert found
        written = found[0]
        if os.environ.get("UPDATE_GOLDEN"):
            page = page.replace(f"<!-- {mark} -->\n{written}", f"<!-- {mark} -->\n{text}")
        else:
            assert written == text
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page)


# Settings -----------------------------------------------------------------------------------------


def valid_names(printed: str, what: str) -> list[str]:
    """Returns the names that the hint of an error lists."""
    (names,) = re.findall(rf"Valid {what} are (.*)\.", printed)
    return sorted(names.split(", "))


def test_page_has_every_key_of_the_file(folder: Path) -> None:
    top, servers = section("`ipai-sync.toml`").split("The keys of a server")
    (folder / "ipai-sync.toml").write_text("wrong = 1\n")
    assert valid_names(run(folder, "status").stderr, "keys") == sorted(first_cells(top))
    (folder / "ipai-sync.toml").write_text("[servers.erp]\nwrong = 1\n")
    assert valid_names(run(folder, "status").stderr, "keys") == sorted(first_cells(servers))


def test_page_has_every_parameter_of_the_connection_string(folder: Path) -> None:
    refused = run(folder, "status", DATABASE_URL=f"{NOWHERE}?wrong=1")
    assert valid_names(refused.stderr, "parameters") == sorted(first_cells(section("Connection string")))


def test_page_has_every_variable_of_the_program() -> None:
    """The variables that only cause an error, `SUPABASE_*`, are no settings."""
    source = "".join(path.read_text() for path in (paths.PROJECT / "crates/cli/src").glob("*.rs") if not path.stem.endswith("_tests"))
    used = set(re.findall(r'"((?:ODOO|DATABASE)_[A-Z]+)"', source))
    assert used == set(first_cells(section("Environment").split("###")[0]))


def test_example_of_the_file_is_accepted(folder: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (folder / "url").write_text(NOWHERE)
    (folder / "ipai-sync.toml").write_text(example.replace("/run/secrets/database_url", "url"))
    failed = run(folder, "status", ERP_PASSWORD="x")
    assert (failed.returncode, failed.stderr.splitlines()[0]) == (1, "ERROR:  could not connect to the database")


# Exit status --------------------------------------------------------------------------------------

ODOO = {"ODOO_URL": "http://127.0.0.1:9", "ODOO_DB": "odoo", "ODOO_USER": "api", "ODOO_PASSWORD": "x"}


@pytest.mark.parametrize(
    ("arguments", "variables", "status"),
    [
        (["init", "--print-sql"], {}, 0),
        (["--version"], {}, 0),
        (["status"], {"DATABASE_URL": NOWHERE}, 1),
        (["run"], ODOO | {"DATABASE_URL": NOWHERE}, 1),
        (["uninstall"], {"DATABASE_URL": NOWHERE}, 2),
        (["run", "--limt", "3"], ODOO | {"DATABASE_URL": NOWHERE}, 2),
        (["run", "--limit", "0"], ODOO | {"DATABASE_URL": NOWHERE}, 2),
        (["run"], ODOO, 2),
        (["run"], {"DATABASE_URL": NOWHERE}, 2),
        (["check"], {"DATABASE_URL": NOWHERE}, 2),
        (["check", "--server", "other"], ODOO | {"DATABASE_URL": NOWHERE}, 2),
        (["odoo-call", "res.partner", "read"], {"DATABASE_URL": NOWHERE}, 2),
        (["status"], {"DATABASE_URL": "host=127.0.0.1"}, 2),
        (["status", "--config", "missing.toml"], {"DATABASE_URL": NOWHERE}, 2),
    ],
)
def test_exit_status_is_that_of_the_page(folder: Path, arguments: list[str], variables: dict[str, str], status: int) -> None:
    ended = run(folder, *arguments, **variables)
    assert ended.returncode == status, ended.stderr
    # clap names the usage itself, the program the next action.
    assert status == 0 or re.search(r"^(?:HINT: |Usage|For more)", ended.stderr, re.MULTILINE), ended.stderr


def test_page_lists_each_exit_status() -> None:
    assert re.findall(r"^\| (\d+) \|", section("Exit status"), re.MULTILINE) == ["0", "1", "2", "3", "130"]


def test_errors_are_json_with_the_keys_of_the_page(folder: Path) -> None:
    failed = run(folder, "status", "--json", DATABASE_URL=NOWHERE)
    error = json.loads(failed.stdout)["error"]
    assert list(error) == ["sqlstate", "message", "detail", "hint"]
    assert (error["sqlstate"], failed.stderr) == ("08001", "")
