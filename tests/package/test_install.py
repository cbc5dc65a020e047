"""Tests scripts/install on its own copy of PostgreSQL 15, and docs/how-to/install-supabase.md."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from harness import extension, paths, postgres, shell, supabase
from harness.postgres import Cluster, Installation
from support.faulty import FaultyOdoo, metric

SCRIPT = paths.PROJECT / "scripts/install"
PAGE = paths.PROJECT / "docs/how-to/install-supabase.md"
VERSION = tomllib.loads((paths.PROJECT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
EXTENSION_FILES = {
    "ipai_sync.control",
    f"ipai_sync--{VERSION}.sql",
    *(f"ipai_sync--{start}--{VERSION}.sql" for start in extension.updates()),
}
#: Calls a function of the library, and needs no server.
VALIDATE = "select ipai.ipai_odoo_validator('{}', 'pg_foreign_data_wrapper'::regclass)::text"


def install(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return shell.run([SCRIPT, *arguments], check=False, capture=True)


def files(root: Path) -> dict[Path, tuple[int, int, int]]:
    """Returns every file below the folder with values that change if the file is replaced."""
    found = {}
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            found[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def expected(pg: Installation) -> set[Path]:
    return {pg.pkglibdir / "ipai_sync.so", *(pg.extension_dir / name for name in EXTENSION_FILES)}


@dataclass(frozen=True)
class Installed:
    pg: Installation
    #: All files of the Postgres before the installation.
    before: dict[Path, tuple[int, int, int]]
    after: dict[Path, tuple[int, int, int]]
    result: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def installed() -> Installed:
    """Runs the script once."""
    root = paths.run_dir()
    pg = Installation.default().relocated("pg", under=root)
    before = files(root)
    done = install(pg.pg_config)
    assert done.returncode == 0, done.stderr
    return Installed(pg, before, files(root), done)


# Installation -----------------------------------------------------------------------------------


def test_install_writes_only_its_own_files(installed: Installed) -> None:
    assert {path for path, state in installed.after.items() if installed.before.get(path) != state} == expected(installed.pg)
    assert not installed.before.keys() - installed.after.keys()
    for path in expected(installed.pg):
        assert path.stat().st_mode & 0o777 == (0o755 if path.suffix == ".so" else 0o644)


def test_install_reports_files_requirements_and_next_steps(installed: Installed) -> None:
    output = installed.result.stdout
    assert f"{installed.pg.full_version}, {installed.pg.pg_config}" in output
    assert {Path(line.strip()) for line in output.splitlines() if line.startswith("    /")} == expected(installed.pg)
    assert re.search(
        r"^The library requires glibc 2\.\d\d or later, and the libraries libgcc_s\.so\.1, libc\.so\.6, ", output, re.MULTILINE
    )
    assert "create extension ipai_sync;" in output and "alter extension ipai_sync update;" in output
    assert not installed.result.stderr


def test_copy_of_a_postgres_shares_the_build(installed: Installed) -> None:
    """A copy uses the original's build; another build would have its own entry in the cache."""
    copied = Installation(installed.pg.pg_config)
    assert copied.same_build(Installation.default())
    homes = [path.name for path in paths.CACHE.glob("pgrx-15-*") if str(installed.pg.pg_config) in (path / "config.toml").read_text()]
    assert not homes


def test_installed_extension_can_be_created(installed: Installed) -> None:
    with Cluster(installed.pg) as cluster:
        cluster.psql("create extension ipai_sync")
        assert cluster.psql("select extversion from pg_extension where extname = 'ipai_sync'") == VERSION
        assert cluster.psql(VALIDATE) == ""


def test_second_run_keeps_the_loaded_library_and_removes_old_scripts(installed: Installed) -> None:
    pg = installed.pg
    stale = pg.extension_dir / "ipai_sync--0.0.1.sql"
    stale.write_text("select 'of a version that is no longer installed';\n")
    library = (pg.pkglibdir / "ipai_sync.so").stat().st_ino
    with Cluster(pg) as cluster:
        cluster.psql("create extension ipai_sync")
        with psycopg.connect(cluster.dsn()) as session:
            session.execute(VALIDATE)
            done = install(pg.pg_config)
            assert done.returncode == 0, done.stderr
            assert (pg.pkglibdir / "ipai_sync.so").stat().st_ino != library
            assert session.execute(VALIDATE).fetchone() == ("",)
            mapped = Path(f"/proc/{session.info.backend_pid}/maps").read_text()
            assert re.search(r"/ipai_sync\.so \(deleted\)$", mapped, re.MULTILINE)
        # New sessions load the new library.
        assert cluster.psql(VALIDATE) == ""
    assert not stale.exists()
    assert files(pg.pkglibdir).keys() | files(pg.extension_dir).keys() == {
        path for path in installed.after if path.parent in (pg.pkglibdir, pg.extension_dir) or pg.pkglibdir in path.parents
    }


def test_package_contains_library_and_extension_files(installed: Installed, tmp_path: Path) -> None:
    before = files(installed.pg.pkglibdir) | files(installed.pg.extension_dir)
    for _ in range(2):
        done = install(installed.pg.pg_config, "--to", tmp_path / "new/package")
        assert done.returncode == 0, done.stderr
        written = {path.relative_to(tmp_path / "new/package").as_posix() for path in files(tmp_path)}
        assert written == {"lib/ipai_sync.so", *(f"extension/{name}" for name in EXTENSION_FILES)}
    assert "For PostgreSQL 15: copy lib/*" in done.stdout
    assert files(installed.pg.pkglibdir) | files(installed.pg.extension_dir) == before


# Refusals ---------------------------------------------------------------------------------------


def other_pg_config(**answers: str) -> Path:
    """Creates a pg_config that answers like Debian's, except for some values."""
    lines = shell.run([Installation.default().pg_config], capture=True).stdout.splitlines()
    values = {**dict(line.split(" = ", 1) for line in lines), **answers}
    program = paths.run_dir() / "pg_config"
    program.write_text("#!/bin/sh\ncat <<'END'\n" + "".join(f"{name} = {value}\n" for name, value in values.items()) + "END\n")
    program.chmod(0o755)
    return program


def refused(*arguments: str | Path) -> tuple[int, str]:
    """Runs the script, which must fail before the build; returns its exit status and message."""
    done = install(*arguments)
    assert "Building" not in done.stdout
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.strip()


def test_help_lists_the_exit_statuses() -> None:
    done = shell.run([SCRIPT, "--help"], capture=True)
    for text in ("PG_CONFIG", "--to DIR", "--profile", "exit status:", "no permission"):
        assert text in done.stdout


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("/nowhere/pg_config", "/nowhere/pg_config does not exist or is not executable. Pass the path of the program pg_config"),
        ("/usr/lib/postgresql/15", "/usr/lib/postgresql/15 is a folder. Pass the path of the program pg_config"),
        ("/etc/passwd", "/etc/passwd does not exist or is not executable. Pass the path of the program pg_config"),
        ("/bin/true", "/bin/true is not a pg_config program. Pass the path of the program pg_config"),
        ("/bin/false", "/bin/false is not a pg_config program. Pass the path of the program pg_config"),
        ("/usr/lib/postgresql/15/bin/psql", "/usr/lib/postgresql/15/bin/psql is not a pg_config program."),
    ],
)
def test_invalid_pg_config_is_refused(argument: str, message: str) -> None:
    status, refusal = refused(argument)
    assert status == 2
    assert refusal.startswith(message)


def test_missing_and_unknown_arguments_are_refused() -> None:
    assert shell.run([SCRIPT], check=False, capture=True).returncode == 2
    status, message = refused(Installation.default().pg_config, "--form", "x")
    assert status == 2 and message.startswith("usage: scripts/install ")


def test_unsupported_version_is_refused() -> None:
    assert refused(other_pg_config(VERSION="PostgreSQL 14.9")) == (
        2,
        "PostgreSQL 14.9 is not supported: ipai_sync can be built for PostgreSQL 15, 16, 17, 18.",
    )


def test_missing_headers_are_reported_with_their_package() -> None:
    status, message = refused(other_pg_config(**{"INCLUDEDIR-SERVER": "/nowhere/server"}), "--to", paths.run_dir())
    assert status == 3
    assert message == (
        "The build needs the server's headers (/nowhere/server/postgres.h). On Debian:\n    sudo apt install postgresql-server-dev-15"
    )


def test_missing_extension_folder_is_reported() -> None:
    status, message = refused(other_pg_config(PKGLIBDIR="/nowhere/lib"))
    assert status == 2
    assert "names /nowhere/lib as a folder for extensions, but it does not exist" in message


def test_package_in_an_impossible_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, message = refused(Installation.default().pg_config, "--to", tmp_path / "file")
    assert status == 2
    assert message == f"Cannot create {tmp_path}/file/lib: Not a directory."


@pytest.fixture
def another_user() -> Iterator[Path]:
    """Creates a copy of the scripts for a user who may only read it."""
    root = paths.run_dir()
    shutil.copytree(paths.PROJECT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(paths.PROJECT / "Cargo.toml", root)
    cache = root / "cache"
    cache.mkdir()
    shutil.chown(cache, shell.SERVICE_USER)
    yield root


def as_another_user(root: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # Without the bootstrap, because that user has no Rust.
    return shell.run(
        ["/usr/bin/python3", "-m", "harness.install", *arguments],
        user=shell.SERVICE_USER,
        env={"PYTHONPATH": str(root / "scripts"), "IPAI_CACHE": str(root / "cache")},
        cwd=root,
        check=False,
        capture=True,
    )


def test_missing_permission_prints_the_commands_that_need_root(another_user: Path, installed: Installed, tmp_path: Path) -> None:
    pg = Installation.default().relocated("readonly", under=paths.run_dir())
    for folder in (pg.pkglibdir, pg.extension_dir):
        folder.chmod(0o555)
    done = as_another_user(another_user, pg.pg_config)
    for folder in (pg.pkglibdir, pg.extension_dir):
        folder.chmod(0o755)
    assert done.returncode == 4
    first, *commands = done.stderr.strip().splitlines()
    assert first == f"No permission to write into {pg.pkglibdir}. Only copying the files needs root:"
    # Run the printed commands without sudo, because the folders are writable now.
    words = [shlex.split(command) for command in commands]
    assert words[0] == ["scripts/install", str(pg.pg_config), "--to", "package"]
    assert install(pg.pg_config, "--to", tmp_path / "package").returncode == 0
    for command in commands[1:]:
        assert command.startswith("    sudo install ")
        shell.run(["sh", "-c", command.replace("sudo ", "")], cwd=tmp_path)
    assert {path for path in files(pg.pkglibdir) | files(pg.extension_dir) if "ipai" in path.name} == expected(pg)
    with Cluster(pg) as cluster:
        cluster.psql("create extension ipai_sync")


def test_readme_lists_the_same_commands(another_user: Path) -> None:
    debian = Installation.default().pg_config
    message = as_another_user(another_user, debian).stderr
    (block,) = re.findall(r"^Or compile it.*?^```\n(.*?)^```$", (paths.PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    packages, *commands = [line.partition("#")[0].strip().removeprefix("./") for line in block.splitlines()]
    assert commands == [line.strip() for line in message.splitlines()[1:]]
    # The packages that the script reports as missing.
    _, missing = refused(other_pg_config(**{"INCLUDEDIR-SERVER": "/nowhere/server"}), "--to", paths.run_dir())
    assert set(missing.splitlines()[-1].split()) <= set(packages.split())


def test_package_without_permission_is_refused(another_user: Path) -> None:
    done = as_another_user(another_user, Installation.default().pg_config, "--to", another_user / "package")
    assert (done.returncode, done.stderr.strip()) == (4, f"No permission to create {another_user}/package/lib.")


# The page ---------------------------------------------------------------------------------------

#: Commands that need a container engine, change this machine's packages, or build for another
#: Postgres.
NOT_RUN = ("docker ", "sudo apt install ", "sudo /usr/share/postgresql-common/pgdg/", "./scripts/install /usr/lib/postgresql/17/")


class Reader:
    """Executes the page: commands in a folder, SQL in a cluster of the installed Postgres."""

    def __init__(self, odoo: FaultyOdoo) -> None:
        self.folder = paths.run_dir()
        self.pg = Installation.default().relocated("image", under=paths.run_dir())
        self.odoo = odoo
        self.cluster: Cluster | None = None
        self.users: list[str] = []

    def run(self, language: str, text: str) -> str:
        match language:
            case "sh":
                return "".join(self._command(line) for line in text.splitlines() if not line.startswith(NOT_RUN))
            case "sql":
                return self._sql(text)
            case "dockerfile":
                self._dockerfile(text)
            case "ini":
                pass
            case _:
                raise AssertionError(f"no test runs blocks of language {language!r}")
        return ""

    def _command(self, line: str) -> str:
        if line == "mkdir package":
            (self.folder / "package").mkdir()
            return ""
        if line.startswith("tar "):
            shell.run([paths.PROJECT / "scripts/package", "--only", "extension-15", "--to", self.folder], capture=True)
            shell.run(shlex.split(line), cwd=self.folder)
            return ""
        if line.startswith("./scripts/install "):
            assert install(*shlex.split(line)[1:-1], self.folder / "package").returncode == 0
            return ""
        if line.startswith("readelf "):
            return shell.run(["sh", "-c", line], cwd=self.folder, capture=True).stdout
        if line == 'supabase db push --remote="$DATABASE_URL"':
            assert self.cluster
            supabase.push(self.cluster, seed=False)
            return ""
        raise AssertionError(f"no test runs this command: {line}")

    def _dockerfile(self, text: str) -> None:
        """Runs the commands of the RUN instruction, with a wrapper for /usr/bin/postgres."""
        assert text == (paths.PROJECT / "packaging/supabase/Dockerfile").read_text()
        wrapper = self.folder / "postgres"
        wrapper.write_text(f"#! /nix/store/bash/bin/bash -e\nexport NIX_PGLIBDIR='{self.pg.pkglibdir}'\nexec -a \"$0\" .postgres-wrapped\n")
        copied = re.findall(r"^COPY (\S+) /tmp/package/(\S+)$", text, re.MULTILINE)
        (run,) = re.findall(r"^RUN (.*?[^\\])$", text, re.MULTILINE | re.DOTALL)
        for source, target in copied:
            shutil.copytree(self.folder / "package" / source, self.folder / "copied" / target)
        run = run.replace("/usr/bin/postgres", str(wrapper)).replace("/tmp/package", str(self.folder / "copied"))
        shell.run(["sh", "-c", run], env={"PATH": f"{self.pg.bindir}:/usr/bin:/bin"})
        assert not (self.folder / "copied").exists()
        with pytest.raises(shell.CommandFailed):
            shell.run(["sh", "-c", run.replace(str(wrapper), "/dev/null")], env={"PATH": f"{self.pg.bindir}:/usr/bin:/bin"}, capture=True)

    def _sql(self, text: str) -> str:
        assert self.cluster
        (user,) = re.findall(r"\A-- as (\w+)\n", text)
        self.users.append(user)
        text = text.replace("https://erp.example.com", self.odoo.url)
        if user == "service_role":
            # As in PostgREST: service_role cannot log in.
            return self.cluster.psql(f"set role {user};\n{text}", user="authenticator")
        return self.cluster.psql(text, user=user)


def blocks() -> Iterator[tuple[int, str, str, str | None]]:
    """Yields line, language and text of each block, and its output.

    The output is a block without a language that follows immediately.
    """
    page = PAGE.read_text()
    found = re.finditer(r"^```(\w+)\n(.*?)^```\n(?:```\n(.*?)^```\n)?", page, re.MULTILINE | re.DOTALL)
    for match in found:
        yield page.count("\n", 0, match.start()) + 1, match[1], match[2], match[3]


def test_page_works_as_written() -> None:
    listed = "address_standardizer, hstore, pg_cron"
    more = paths.run_dir()
    settings = {"supautils.privileged_extensions": listed, "include_dir": more}
    with FaultyOdoo([metric(1), metric(2)], dbname="odoo_core", login="api@example.com", password="the password or API key") as odoo:
        reader = Reader(odoo)
        printed: dict[str, str] = {}
        with postgres.supabase_cluster(reader.pg, settings=settings) as cluster:
            reader.cluster = cluster
            for line, language, text, shown in blocks():
                try:
                    result = reader.run(language, text)
                except (shell.CommandFailed, AssertionError, ValueError) as error:
                    raise AssertionError(f"{PAGE.name}:{line}: {error}") from error
                if shown is not None:
                    assert result == shown, f"{PAGE.name}:{line}"
                printed[text] = result
            check_promises(cluster, printed, listed, more)
            assert reader.users.count("postgres") == 5 and {"supabase_admin", "service_role"} < set(reader.users)


def check_promises(cluster: Cluster, printed: dict[str, str], listed: str, more: Path) -> None:
    """Checks promises of the page whose output it does not show."""
    assert cluster.psql("select extversion, extowner::regrole from pg_extension where extname = 'ipai_sync'") == f"{VERSION}|supabase_admin"
    # The server finds libraries where the Dockerfile has copied them.
    assert printed["-- as supabase_admin\nselect setting from pg_config where name = 'PKGLIBDIR';\n"] == str(cluster.installation.pkglibdir)
    assert "sample_metrics|ok|*/15 * * * *|" in "\n".join(printed.values())
    assert printed["-- as service_role\nselect fetched, unchanged, delta from ipai.sync_sample_metrics();\n"] == "2|2|0"
    assert cluster.psql("select username, command from cron.job") == "postgres|call ipai.run_sync('sample_metrics')"
    assert cluster.psql("set role authenticated; select count(*) from ipai.ipai_sample_metrics", user="authenticator") == "2"
    with pytest.raises(shell.CommandFailed, match="permission denied for schema ipai"):
        cluster.psql("set role anon; select count(*) from ipai.ipai_sample_metrics", user="authenticator")
    schemas = cluster.psql("select unnest(rolconfig) from pg_roles where rolname = 'authenticator'").splitlines()
    assert "pgrst.db_schemas=public, storage, graphql_public, ipai" in schemas
    # The only copy of the password is in Vault.
    assert not cluster.psql("select * from pg_user_mappings where umoptions::text like '%the password%'")
    # The command with docker prints the same line for supautils, which works in a separate file.
    (asked,) = (text for text in printed if "current_setting('supautils" in text and text.startswith("-- as"))
    (statement,) = re.findall(r"^(select .*);$", asked, re.MULTILINE)
    (command,) = (text for text in printed if text.startswith("docker compose exec -T"))
    assert shlex.split(command.splitlines()[0].partition(" > ")[0])[-1] == statement
    (more / "99-ipai_sync.conf").write_text(printed[asked] + "\n")
    cluster.restart()
    assert cluster.psql("show supautils.privileged_extensions", user="postgres") == f"{listed}, ipai_sync"
