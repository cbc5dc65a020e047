"""Failures of Odoo's Postgres: a restored database, a reverted disk, and a failover."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import TracebackType

import psycopg

from harness import paths, shell
from harness.odoo import Odoo
from harness.postgres import Cluster
from support.pgbouncer import PgBouncer


class PooledOdoo:
    """An Odoo with two workers, which reaches its Postgres through a pooler, within a `with` block.

    The pooler, in transaction mode, is the fixed address of a Postgres that is replaced.
    """

    def __init__(self, modules: tuple[str, ...]) -> None:
        port = shell.free_port()
        settings: dict[str, object] = {
            "db_port": port,
            "workers": 2,
            "gevent_port": shell.free_port(),
            # Zero would end each worker at once.
            "limit_time_real": 3_600,
            "limit_time_cpu": 3_600,
        }
        self.odoo = Odoo(modules, settings=settings, serve=False)
        self._port = port
        self._folder = paths.run_dir()
        #: The data directory and the database as they were before.
        self._disk = self._folder / "disk"
        self._copy = "earlier"
        shutil.chown(self._folder, shell.SERVICE_USER)

    def __enter__(self) -> PooledOdoo:
        self.odoo.__enter__()
        self._pooler = PgBouncer(self.odoo.pg, "transaction", port=self._port, users=("odoo",))
        self._pooler.__enter__()
        self.odoo.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.odoo.stop()
        self._pooler.__exit__(None, None, None)
        shutil.rmtree(self._folder, ignore_errors=True)

    def wait(self) -> None:
        """Waits until Odoo answers, and starts it again if it has ended, as systemd does.

        It ends if Postgres is away when it starts a worker.
        """

        def answers() -> bool:
            if not self.odoo.is_running:
                self.odoo.restart()
            try:
                return bool(self.odoo.rpc("res.users", "search", [], limit=1))
            except Exception:
                return False

        shell.wait_until(answers, "Odoo to respond", every=0.2)

    # A restored database

    def save_database(self) -> None:
        """Copies the database, for `restore_database`."""
        self._psql(f"drop database if exists {self._copy}")
        self._without_connections(f"create database {self._copy} owner odoo template {self.odoo.dbname}")
        self.wait()

    def restore_database(self) -> None:
        """Replaces the database with its copy, while Odoo runs."""
        if not self._psql(f"select from pg_database where datname = '{self._copy}'"):
            return self.save_database()
        self._without_connections(f"drop database {self.odoo.dbname} with (force)")
        self._without_connections(f"alter database {self._copy} rename to {self.odoo.dbname}")
        self.wait()

    def _without_connections(self, statement: str) -> None:
        """Executes a statement about the database, whose connections it ends first."""
        for _ in range(100):
            self._psql(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{self.odoo.dbname}'")
            try:
                self._psql(statement)
                return
            except psycopg.errors.ObjectInUse:
                time.sleep(0.05)
        raise TimeoutError(statement)

    def _psql(self, statement: str) -> bool:
        """Executes a statement, and returns whether it returns rows."""
        with psycopg.connect(self.odoo.pg.dsn(), autocommit=True) as connection:
            return bool(connection.execute(statement).rowcount)

    # A reverted disk

    def save_disk(self) -> None:
        """Copies the data directory, for `revert_disk`."""
        self._replace_disk(self.odoo.pg.data, self._disk)

    def revert_disk(self) -> None:
        """Replaces the data directory with its copy, while Odoo runs."""
        if not self._disk.exists():
            return self.save_disk()
        self._replace_disk(self._disk, self.odoo.pg.data)

    def _replace_disk(self, source: Path, target: Path) -> None:
        self.odoo.pg.stop("immediate")
        shutil.rmtree(target, ignore_errors=True)
        shell.run(["cp", "-a", source, target])
        self.odoo.pg.start()
        self.wait()

    # A failover

    def start_standby(self) -> Cluster:
        """Returns a started standby of the present Postgres."""
        primary = self.odoo.pg
        folder = self._folder / f"standby-{primary.port}"
        command: list[str | Path] = [primary.installation.bindir / "pg_basebackup", "-D", folder, "-R", "-c", "fast", "-d", primary.dsn()]
        shell.run(command, user=shell.SERVICE_USER, capture=True)
        standby = Cluster(primary.installation, superuser=primary.superuser, template=folder)
        standby.__enter__()
        shutil.rmtree(folder)
        return standby

    def fail_over(self, standby: Cluster) -> None:
        """Replaces Postgres with its standby, while Odoo runs."""
        old = self.odoo.pg
        old.stop("immediate")
        with psycopg.connect(standby.dsn(), autocommit=True) as connection:
            connection.execute("select pg_promote()")
        self.odoo.pg = standby
        self._pooler.redirect(standby)
        old.__exit__(None, None, None)
        shutil.rmtree(self._disk, ignore_errors=True)
        self.wait()
