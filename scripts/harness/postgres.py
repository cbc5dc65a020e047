"""Postgres installations and throw-away clusters.

A server reads extensions only from its own folders, so everything that installs one gets an installation of its own, a relocated copy:
Debian's and the PostgreSQL 17 built here are never written to.
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

from . import debian, paths, setup, shell

FIXTURE = paths.PROJECT / "tests/supabase/fixture.sql"


# Installations ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Installation:
    """A Postgres, known by its pg_config."""

    pg_config: Path
    #: The installation that this one is a copy of. Extensions are built against that one: its path stays, and so does cargo's work.
    origin: Installation | None = None

    @staticmethod
    def default() -> Installation:
        """Debian's PostgreSQL 15, which is Supabase's version too."""
        return Installation(Path("/usr/lib/postgresql/15/bin/pg_config"))

    @functools.cached_property
    def _config(self) -> dict[str, str]:
        lines = shell.run([self.pg_config], capture=True).stdout.splitlines()
        return dict(line.split(" = ", 1) for line in lines if " = " in line)

    @property
    def full_version(self) -> str:
        """Such as `PostgreSQL 15.14 (Debian 15.14-0+deb12u1)`."""
        return self._config["VERSION"]

    @property
    def version(self) -> str:
        """Such as `15.14`."""
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
        """Where extensions' shared libraries are."""
        return Path(self._config["PKGLIBDIR"])

    @property
    def sharedir(self) -> Path:
        return Path(self._config["SHAREDIR"])

    @property
    def extension_dir(self) -> Path:
        """Where extensions' control and SQL files are."""
        return self.sharedir / "extension"

    @property
    def server_headers(self) -> Path:
        return Path(self._config["INCLUDEDIR-SERVER"])

    @property
    def build(self) -> str:
        """The same for installations that come from the same build, as copies do."""
        return f"{self.full_version} {self._config.get('CONFIGURE')}"

    def same_build(self, other: Installation) -> bool:
        """Whether the other comes from the same build, as a copy does: then what is built for one of them is right for both."""
        return self.build == other.build

    def relocated(self, name: str, under: Path | None = None) -> Installation:
        """A copy of this installation in the folder `under`/`name`; by default in a temporary one.

        Programs find their libraries and data relative to themselves, as long as the folders keep their places relative to one another,
        and so its pg_config answers with the new paths. Copied, not hard-linked: installing an extension writes into existing files.
        """
        target = (under or paths.run_dir()) / name
        folders = [self.bindir, self.pkglibdir, self.sharedir]
        includes = Path(self._config["INCLUDEDIR"])
        root = Path(os.path.commonpath([*folders, includes]))
        for folder in folders:
            shutil.copytree(
                folder,
                target / folder.relative_to(root),
                # Just-in-time bitcode is most of the size; Debian's manual pages and an extension of ours have no business there.
                ignore=shutil.ignore_patterns("bitcode", "man", "doc", "locale", "ipai_sync*"),
                dirs_exist_ok=True,
            )
        # Headers are only read.
        link = target / includes.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(includes)
        copy = Installation(target / self.pg_config.relative_to(root), origin=self)
        if copy.pkglibdir != target / self.pkglibdir.relative_to(root):
            raise RuntimeError(f"{self.pg_config} cannot be relocated: the copy's libraries are said to be in {copy.pkglibdir}")
        return copy


def ensure_pg17() -> Installation:
    """PostgreSQL 17, built once from Debian 13's source package into the cache."""
    shell.apt_install("bison", "flex", "gcc", "libc6-dev", "libssl-dev", "make", "perl", "uuid-dev")
    prefix = paths.CACHE / "pg17"
    stamp = prefix / "complete"
    with paths.lock("pg17"):
        if not stamp.exists():
            shell.log_progress("Building PostgreSQL 17 from Debian 13's source package: about 3 minutes, only this once")
            shutil.rmtree(prefix, ignore_errors=True)
            _build_pg17(prefix)
            stamp.touch()
    return Installation(prefix / "bin/pg_config")


_PINNED_PG17 = debian.PinnedFile(
    "main/p/postgresql-17/postgresql-17_17.11.orig.tar.bz2", "dd27f2b3c59e73ed14aa3324901242bf69a032a6347805f274e6260322d42979"
)


def _build_pg17(prefix: Path) -> None:
    work = paths.run_dir()
    archive = debian.Suite("trixie", work / "apt").download_source("postgresql-17", work, _PINNED_PG17)
    source = work / "source"
    source.mkdir()
    shell.run(["tar", "-xf", archive, "-C", source, "--strip-components=1"])
    # The least that tests need: pgcrypto wants OpenSSL, and uuid-ossp a UUID library.
    options = ["--without-icu", "--without-readline", "--without-zlib", "--with-ssl=openssl", "--with-uuid=e2fs"]
    log = work / "build.log"
    steps = [
        ["./configure", "--quiet", f"--prefix={prefix}", *options],
        ["make", "-s", f"-j{os.cpu_count() or 1}", "install"],
        ["make", "-s", "-C", "contrib/pgcrypto", "install"],
        ["make", "-s", "-C", "contrib/uuid-ossp", "install"],
    ]
    for step in steps:
        with open(log, "w") as output:
            # Make's own variables, as when a Makefile called us, would change what is built.
            clean = shell.environment({"MAKEFLAGS": None, "MAKELEVEL": None})
            status = subprocess.run(step, cwd=source, env=clean, stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode
        if status != 0:
            raise shell.CommandFailed(step, status, "\n".join(log.read_text().splitlines()[-40:]))
    shutil.rmtree(work)


# Clusters ---------------------------------------------------------------------------------------

_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Cluster:
    """A Postgres server with an empty database `postgres`, for as long as the `with` block lasts.

    It listens on 127.0.0.1 and on a Unix socket in a folder of its own, trusts everybody who gets there, and runs as the service user.
    `user=None` means its superuser everywhere.

    template: a data directory to start from, by default a new one
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
            # Nothing here outlives its process.
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
        shell.run(["cp", "-a", self._template or _empty_template(self.installation, self.superuser), self.data])
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
        """Starts the server and returns once it takes connections."""
        server = shell.start(
            [self.installation.bindir / "postgres", "-D", self.data],
            user=shell.SERVICE_USER,
            cwd=self.directory,
            env=_server_environment(),
            log=self.log,
            # An immediate shutdown: a killed server would leave its backends behind.
            killed_with="QUIT",
        )
        self._server = server
        pid_file = self.data / "postmaster.pid"

        def ready() -> bool:
            if server.poll() is not None:
                raise RuntimeError(f"Postgres did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            # As pg_ctl does it: the first line is the server's pid (an old file has another), the last one its state.
            lines = pid_file.read_text().splitlines() if pid_file.exists() else []
            return len(lines) >= 8 and lines[0] == str(server.pid) and lines[7].strip() == "ready"

        shell.wait_until(ready, "Postgres taking connections")

    def stop(self, mode: str = "fast") -> None:
        """Stops the server (smart, fast or immediate). Stopping twice is fine."""
        if self._server is not None:
            shell.stop(self._server, with_signal=_STOP_SIGNALS[mode])
            self._server = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def dsn(self, dbname: str = "postgres", user: str | None = None) -> str:
        """The address, as a URL that psql, psycopg, PostgREST and the Supabase CLI understand."""
        return f"postgresql://{user or self.superuser}@{self.host}:{self.port}/{dbname}?sslmode=disable"

    def psql(self, sql: str, *, dbname: str = "postgres", user: str | None = None) -> str:
        """Runs SQL and psql commands up to the first error (CommandFailed); returns the rows, columns separated by `|`."""
        return self._psql(dbname, user, ["-f", "-"], sql)

    def psql_file(
        self, path: Path, *, dbname: str = "postgres", user: str | None = None, one_transaction: bool = False, **variables: str
    ) -> str:
        """Runs a file, as `psql` does; `variables` become psql's."""
        options = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
        return self._psql(dbname, user, [*options, *(["--single-transaction"] if one_transaction else []), "-f", str(path)], None)

    def _psql(self, dbname: str, user: str | None, options: list[str], stdin: str | None) -> str:
        psql = str(self.installation.bindir / "psql")
        command = [psql, "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(dbname, user), *options]
        return shell.run(command, capture=True, env=client_environment(), stdin=stdin).stdout.rstrip("\n")


def migrate(cluster: Cluster, *, user: str | None = "postgres") -> None:
    """Applies the project's migrations in their order, as a user does without the Supabase CLI: each in one transaction."""
    for migration in sorted((paths.PROJECT / "migrations").glob("*.sql")):
        cluster.psql_file(migration, user=user, one_transaction=True)


def client_environment() -> dict[str, str | None]:
    """Takes the user's own libpq settings (PGOPTIONS, PGSERVICE, ...) away, and messages in other languages."""
    return {**{name: None for name in os.environ if name.startswith("PG")}, "LC_ALL": "C.UTF-8"}


def _server_environment() -> dict[str, str | None]:
    # A backtrace would end up in the DETAIL of the extension's error messages.
    return {**client_environment(), "RUST_BACKTRACE": None, "RUST_LIB_BACKTRACE": None}


# Templates --------------------------------------------------------------------------------------
# Copying a data directory takes a tenth of a second; initdb and the fixture take several.

_TEMPLATES = paths.CACHE / "clusters"
#: The file of the data directory that each cluster writes for itself.
_SETTINGS = "cluster.conf"


def template(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The data directory `kind` in the cache. `make` writes it when there is none that was made from the same `key`."""
    folder = _TEMPLATES / kind
    # The settings are in the code.
    key = paths.digest(key, Path(__file__))

    def make_anew() -> None:
        folder.mkdir(parents=True)
        shutil.chown(folder, shell.SERVICE_USER)
        make(folder / "data")

    setup.rebuild_if_changed(folder, key, make_anew)
    return folder / "data"


def save_template(cluster: Cluster, data: Path) -> None:
    """Stops the cluster and keeps its data directory as `data`. The copy appears only when it is complete."""
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
    """A cluster whose database `postgres` has Supabase's roles, grants and schemas (tests/supabase/fixture.sql).

    auto_expose: with the default grants on `public` of projects made before May 2026
    """
    supabase: dict[str, object] = {"wal_level": "logical"}
    has_cron = (installation.pkglibdir / "pg_cron.so").exists()
    if has_cron:
        supabase |= {
            "shared_preload_libraries": "pg_cron",
            "cron.database_name": "postgres",
            # pg_cron's default, localhost, may be an address that the server does not listen on.
            "cron.host": Cluster.host,
        }
    exposed = "on" if auto_expose else "off"

    def apply_fixture(data: Path) -> None:
        with Cluster(installation, superuser="supabase_admin", settings=supabase) as cluster:
            cluster.psql_file(FIXTURE, auto_expose=exposed)
            save_template(cluster, data)

    kind = f"supabase-{installation.major}-expose-{exposed}{'-cron' if has_cron else ''}"
    ready = template(kind, paths.digest(installation.build, FIXTURE), apply_fixture)
    with Cluster(installation, superuser="supabase_admin", settings={**supabase, **(settings or {})}, template=ready) as cluster:
        yield cluster
