"""Manages Postgres installations and temporary clusters.

A server loads extensions from its own folders only. Tests therefore install extensions into
relocated copies of Debian's PostgreSQL and of those that `versions` provides, never into the
originals.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from . import paths, setup, shell

FIXTURE = paths.PROJECT / "tests/supabase/fixture.sql"


# Installations ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Installation:
    """A Postgres installation, identified by its pg_config."""

    pg_config: Path
    #: The installation that this one is a copy of. Extensions are built against the original, whose
    #: fixed path keeps cargo's build cache valid.
    origin: Installation | None = None

    @staticmethod
    def default() -> Installation:
        """Returns Debian's PostgreSQL 15, also Supabase's. `versions.target` has the tests' own."""
        return Installation(Path("/usr/lib/postgresql/15/bin/pg_config"))

    @functools.cached_property
    def _config(self) -> dict[str, str]:
        lines = shell.run([self.pg_config], capture=True).stdout.splitlines()
        return dict(line.split(" = ", 1) for line in lines if " = " in line)

    @property
    def full_version(self) -> str:
        """The version with its packager, such as `PostgreSQL 15.14 (Debian 15.14-0+deb12u1)`."""
        return self._config["VERSION"]

    @property
    def version(self) -> str:
        """The version number, such as `15.14`."""
        match = re.search(r"\d+(\.\d+)?", self._config["VERSION"])
        if not match:
            raise RuntimeError(f"{self.pg_config} has an unknown version: {self._config['VERSION']}")
        return match[0]

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    @property
    def bindir(self) -> Path:
        return Path(self._config["BINDIR"])

    @property
    def pkglibdir(self) -> Path:
        """The folder for shared libraries of extensions."""
        return Path(self._config["PKGLIBDIR"])

    @property
    def sharedir(self) -> Path:
        return Path(self._config["SHAREDIR"])

    @property
    def localedir(self) -> Path:
        """The folder for translated messages."""
        return Path(self._config["LOCALEDIR"])

    @property
    def extension_dir(self) -> Path:
        """The folder for control and SQL files of extensions."""
        return self.sharedir / "extension"

    @property
    def server_headers(self) -> Path:
        return Path(self._config["INCLUDEDIR-SERVER"])

    @property
    def build(self) -> str:
        """A string that is equal for copies of the same build."""
        return f"{self.full_version} {self._config.get('CONFIGURE')}"

    def same_build(self, other: Installation) -> bool:
        """Returns whether both come from the same build, so that one extension build fits both."""
        return self.build == other.build

    def relocated(self, name: str, under: Path | None = None) -> Installation:
        """Copies this installation to `under`/`name`, by default in a temporary folder.

        Programs find their libraries and data by relative paths. The copy keeps the relative
        layout, so its pg_config returns the new paths. Files are copied, not hard-linked, because
        installing an extension writes into existing files.
        """
        target = (under or paths.run_dir()) / name
        folders = [self.bindir, self.pkglibdir, self.sharedir]
        includes = Path(self._config["INCLUDEDIR"])
        root = Path(os.path.commonpath([*folders, includes]))
        for folder in folders:
            shutil.copytree(
                folder,
                target / folder.relative_to(root),
                # Bitcode for just-in-time compilation is most of the size. Manual pages and an
                # installed ipai_sync are not needed either.
                ignore=shutil.ignore_patterns("bitcode", "man", "doc", "locale", "ipai_sync*"),
                dirs_exist_ok=True,
            )
        # Headers are only read, so a link is sufficient.
        link = target / includes.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(includes)
        copy = Installation(target / self.pg_config.relative_to(root), origin=self)
        if copy.pkglibdir != target / self.pkglibdir.relative_to(root):
            raise RuntimeError(f"{self.pg_config} cannot be relocated: the copy reports its libraries in {copy.pkglibdir}")
        return copy


# Clusters ---------------------------------------------------------------------------------------

_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Cluster:
    """A Postgres server with an empty database `postgres`, which runs within a `with` block.

    It listens on 127.0.0.1 and on a Unix socket in its own folder, trusts every local connection,
    and runs as the service user. In all methods, `user=None` means its superuser.

    template: the initial data directory, by default a new one
    """

    host = "127.0.0.1"

    def __init__(
        self,
        installation: Installation,
        *,
        superuser: str = "postgres",
        settings: Mapping[str, object] | None = None,
        template: Path | None = None,
    ) -> None:
        self.installation = installation
        self.superuser = superuser
        self.port = shell.free_port()
        self.directory = paths.run_dir()
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self._template = template
        self._settings: dict[str, object] = {
            # The data is temporary, so durability is not needed.
            "fsync": "off",
            "timezone": "UTC",
            **(settings or {}),
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": self.directory,
        }
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Cluster:
        shutil.chown(self.directory, shell.SERVICE_USER)
        source = self._template or _empty_template(self.installation, self.superuser)
        # Another run, with other sources, may rebuild the template.
        with paths.lock(source.parent.name):
            shell.run(["cp", "-a", source, self.data])
        with open(self.data / _SETTINGS, "w") as config:
            for name, value in self._settings.items():
                escaped = str(value).replace("'", "''")
                config.write(f"{name} = '{escaped}'\n")
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Starts the server and returns once it accepts connections."""
        server = shell.start(
            [self.installation.bindir / "postgres", "-D", self.data],
            user=shell.SERVICE_USER,
            cwd=self.directory,
            env=_server_environment(),
            log=self.log,
            # Requests an immediate shutdown: SIGKILL would leave the backends running.
            killed_with="QUIT",
        )
        self._server = server
        pid_file = self.data / "postmaster.pid"

        def ready() -> bool:
            if server.poll() is not None:
                raise RuntimeError(f"Postgres did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            # As in pg_ctl: the first line is the server's pid (an old file has another), and the
            # last one its state.
            lines = pid_file.read_text().splitlines() if pid_file.exists() else []
            return len(lines) >= 8 and lines[0] == str(server.pid) and lines[7].strip() == "ready"

        shell.wait_until(ready, "Postgres to accept connections")

    def stop(self, mode: str = "fast") -> None:
        """Stops the server (smart, fast or immediate). Idempotent."""
        if self._server is not None:
            shell.stop(self._server, with_signal=_STOP_SIGNALS[mode])
            self._server = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def pids(self) -> list[int]:
        """Returns the pid of the running server; its backends are children of it."""
        pid_file = self.data / "postmaster.pid"
        return [int(pid_file.read_text().splitlines()[0])] if pid_file.exists() else []

    def dsn(self, dbname: str = "postgres", user: str | None = None) -> str:
        """Returns the URL that psql, psycopg, PostgREST and the Supabase CLI accept."""
        return f"postgresql://{user or self.superuser}@{self.host}:{self.port}/{dbname}?sslmode=disable"

    def psql(self, sql: str, *, dbname: str = "postgres", user: str | None = None) -> str:
        """Runs SQL and psql commands, and returns the rows with columns separated by `|`.

        The first error raises CommandFailed.
        """
        return self._psql(dbname, user, ["-f", "-"], sql)

    def psql_file(
        self, path: Path, *, dbname: str = "postgres", user: str | None = None, one_transaction: bool = False, **variables: str
    ) -> str:
        """Runs a file with psql; `variables` are set as psql variables."""
        options = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
        return self._psql(dbname, user, [*options, *(["--single-transaction"] if one_transaction else []), "-f", str(path)], None)

    def _psql(self, dbname: str, user: str | None, options: list[str], stdin: str | None) -> str:
        psql = str(self.installation.bindir / "psql")
        command = [psql, "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(dbname, user), *options]
        return shell.run(command, capture=True, env=client_environment(), stdin=stdin).stdout.rstrip("\n")


def migrate(cluster: Cluster, *, user: str | None = "postgres") -> None:
    """Applies the project's migrations in order, each in one transaction.

    A user without the Supabase CLI does the same.
    """
    for migration in sorted((paths.PROJECT / "migrations").glob("*.sql")):
        cluster.psql_file(migration, user=user, one_transaction=True)


def client_environment() -> dict[str, str | None]:
    """Removes the user's libpq settings (PGOPTIONS, ...), and sets untranslated messages."""
    return {**{name: None for name in os.environ if name.startswith("PG")}, "LC_ALL": "C.UTF-8"}


def _server_environment() -> dict[str, str | None]:
    # A backtrace would be part of DETAIL in the extension's error messages.
    return {**client_environment(), "RUST_BACKTRACE": None, "RUST_LIB_BACKTRACE": None}


# Templates --------------------------------------------------------------------------------------
# Copying a data directory takes 0.1 seconds; initdb and the fixture take several seconds.

_TEMPLATES = paths.CACHE / "clusters"
#: The configuration file in the data directory that each cluster writes itself.
_SETTINGS = "cluster.conf"


def template(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """Returns the data directory `kind` in the cache; `make` writes it if `key` has changed."""
    folder = _TEMPLATES / kind
    # This file contains the settings, so it is part of the key.
    key = paths.digest(key, Path(__file__))

    def rebuild() -> None:
        folder.mkdir(parents=True)
        shutil.chown(folder, shell.SERVICE_USER)
        make(folder / "data")

    setup.rebuild_if_changed(folder, key, rebuild)
    return folder / "data"


def save_template(cluster: Cluster, data: Path) -> None:
    """Stops the cluster and copies its data directory to `data` atomically."""
    cluster.stop("fast")
    shell.run(["cp", "-a", cluster.data, data.with_name("part")])
    data.with_name("part").rename(data)


def _empty_template(installation: Installation, superuser: str) -> Path:
    def initdb(data: Path) -> None:
        shell.run(
            [
                *(installation.bindir / "initdb", "-D", data, "--no-sync", "--no-instructions"),
                *("-U", superuser, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"),
            ],
            user=shell.SERVICE_USER,
            cwd=data.parent,
            env=_server_environment(),
            capture=True,
        )
        with open(data / "postgresql.conf", "a") as config:
            config.write(f"include = '{_SETTINGS}'\n")

    return template(f"empty-{installation.major}-{superuser}", installation.build, initdb)


@contextmanager
def supabase_cluster(
    installation: Installation, *, settings: Mapping[str, object] | None = None, auto_expose: bool = False
) -> Iterator[Cluster]:
    """Starts a cluster whose database `postgres` has Supabase's roles, grants and schemas.

    They are defined in tests/supabase/fixture.sql.

    auto_expose: with the default grants on `public` of projects created before May 2026
    """
    supabase: dict[str, object] = {"wal_level": "logical"}
    cron = installation.extension_dir / "pg_cron.control"
    if cron.exists():
        supabase |= {
            "shared_preload_libraries": "pg_cron",
            "cron.database_name": "postgres",
            # pg_cron's default, localhost, may resolve to an address that the server does not
            # listen on.
            "cron.host": Cluster.host,
        }
    exposed = "on" if auto_expose else "off"

    def apply_fixture(data: Path) -> None:
        with Cluster(installation, superuser="supabase_admin", settings=supabase) as cluster:
            cluster.psql_file(FIXTURE, auto_expose=exposed)
            save_template(cluster, data)

    kind = f"supabase-{installation.major}-expose-{exposed}{f'-{paths.digest(cron)}' if cron.exists() else ''}"
    ready = template(kind, paths.digest(installation.build, FIXTURE), apply_fixture)
    with Cluster(installation, superuser="supabase_admin", settings={**supabase, **(settings or {})}, template=ready) as cluster:
        yield cluster
