"""Defines the competitors and measures one run of each."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import postgres, setup, shell
from ..demo import literal
from ..odoo import MODEL, Odoo, api_key
from . import wire, world
from .session import Memory, Session
from .world import COLUMNS, World

_SCRIPTS = Path(__file__).with_name("scripts")


@dataclass(frozen=True)
class Measurement:
    """The measurement that a competitor reports for a run."""

    seconds: float
    #: The growth of the working program's memory, in bytes.
    memory: int | None = None


@dataclass(frozen=True)
class Run(Measurement):
    """A measurement with the run's effects on the database."""

    rows_written: int = 0
    wal_bytes: int = 0
    wal_records: int = 0


class Competitor:
    """A method of synchronising its own table with Odoo."""

    name: str
    title: str
    #: Whether it supports more than a first sync.
    syncs = True
    #: Whether it detects deleted records.
    detects_deletions = True

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def table(self) -> str:
        return f"ipai.{table(self.name)}"

    def reset(self) -> None:
        """Empties the table."""
        self.world.cluster.psql(f"truncate {self.table}")

    def sync(self, since: str | None) -> Measurement:
        """Reads the records written since that time (UTC), or all records."""
        raise NotImplementedError

    def run(self, since: str | None = None) -> Run:
        return measure(self.world.cluster, self.table, lambda: self.sync(since))


def table(name: str) -> str:
    """Returns the name of a competitor's table in schema ipai."""
    return f"bench_{name}"


def measure(cluster: postgres.Cluster, table: str, sync: Callable[[], Measurement]) -> Run:
    """Runs `sync`, and queries its effects on the database outside of the measured time."""
    # After a checkpoint, the first change of each page writes the whole page to WAL. Starting each
    # run with a checkpoint makes the figures comparable.
    cluster.psql("checkpoint")
    transaction, rows, begin = cluster.psql(f"select pg_current_xact_id(), count(*), pg_current_wal_flush_lsn() from {table}").split("|")
    ran = sync()
    end = cluster.psql("select pg_current_wal_flush_lsn()")
    # Each row's xmin shows which transaction wrote it last.
    written, left = cluster.psql(f"select count(*) filter (where xmin::text::bigint > {transaction}), count(*) from {table}").split("|")
    wal = f"pg_wal_lsn_diff('{end}', '{begin}')"
    wal_bytes, wal_records = cluster.psql(
        f"select {wal}, case when {wal} > 0 then (select sum(count) from extensions.pg_get_wal_stats('{begin}', '{end}')) else 0 end"
    ).split("|")
    cluster.psql(f"vacuum analyze {table}")
    deleted = max(0, int(rows) - int(left))
    return Run(ran.seconds, ran.memory, int(written) + deleted, int(wal_bytes), int(float(wal_records)))


class Script(Competitor):
    """One of the Python scripts, in a separate process as cron would start it."""

    def sync(self, since: str | None) -> Measurement:
        world = self.world
        output = shell.run(
            [setup.ensure_bench_venv(), _SCRIPTS / "timed.py", self.name, *([since] if since else [])],
            capture=True,
            env={
                **postgres.client_environment(),
                "PYTHONPATH": None,
                "ODOO_URL": world.odoo.url,
                "ODOO_DB": world.odoo.dbname,
                "ODOO_USER": world.odoo.admin_user,
                "ODOO_PASSWORD": world.odoo.admin_password,
                "SUPABASE_URL": world.postgrest.url,
                "SUPABASE_SERVICE_ROLE_KEY": world.postgrest.token("service_role"),
                "DATABASE_URL": world.cluster.dsn(user="postgres"),
                "MIRROR": table(self.name),
            },
        ).stdout
        result = json.loads(output)
        return Measurement(result["seconds"], result["peak"])


class Practice(Script):
    name = "practice"
    title = "(a) xmlrpc.client, supabase-py"
    detects_deletions = False


class GoodScript(Script):
    name = "script"
    title = "(b) pages, COPY, guarded upsert"


class Floor(Competitor):
    """Fetches the pages that ipai_sync requests, and discards them."""

    name = "floor"
    title = "(c) Odoo's responses, discarded"
    syncs = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._pages: list[bytes] = []

    def record(self, mirror: IpaiSync) -> None:
        """Records the page requests of an unmeasured run of ipai_sync."""
        self._pages = mirror.recorded()
        if not self._pages:
            raise RuntimeError("ipai_sync has requested no page from Odoo")

    def sync(self, since: str | None) -> Measurement:
        return Measurement(wire.fetch(self.world.odoo.port, self._pages))


class Copy(Competitor):
    """COPY of the same rows from a file."""

    name = "copy"
    title = "(d) COPY from a file"
    syncs = False

    def record(self, mirror: IpaiSync) -> None:
        """Exports the rows of a table that ipai_sync has filled."""
        self._psql(f"copy {mirror.table} ({', '.join(COLUMNS)}) to {literal(str(self._file))}")

    def sync(self, since: str | None) -> Measurement:
        with Session(self.world.cluster, "supabase_admin") as session:
            return Measurement(session.timed(f"copy {self.table} ({', '.join(COLUMNS)}) from {literal(str(self._file))}"))

    @property
    def _file(self) -> Path:
        return self.world.file("rows")

    def _psql(self, sql: str) -> None:
        self.world.cluster.psql(sql)


class IpaiSync(Competitor):
    name = "ipai_sync"
    title = "(e) ipai_sync"

    @property
    def odoo(self) -> Odoo:
        return self.world.odoo

    @property
    def secret(self) -> str:
        """The password or API key, which decides the protocol."""
        return self.odoo.admin_password

    def define(self, url: str | None = None) -> None:
        """Creates the server and the mirror."""
        odoo = self.odoo
        fields = ",".join(column for column in COLUMNS if column != "odoo_id")
        self.world.cluster.psql(
            f"""
            create server {self.name} foreign data wrapper ipai_odoo
                options (url {literal(url or odoo.url)}, dbname {literal(odoo.dbname)});
            create user mapping for postgres server {self.name}
                options (user {literal(odoo.admin_user)}, password {literal(self.secret)});
            select ipai.create_mirror({literal(MODEL)}, {literal(self.table)}, fields => '{{{fields}}}', columns => '{{}}',
                server => {literal(self.name)}, name => {literal(self.name)}, flag_field => 'is_alert');
            """,
            user="postgres",
        )

    def drop(self) -> None:
        """Drops the server and the mirror, and empties the table."""
        self.world.cluster.psql(
            f"select ipai.drop_mirror({literal(self.name)}); drop server {self.name} cascade; truncate {self.table};", user="postgres"
        )

    def recorded(self) -> list[bytes]:
        """Returns the page requests of an unmeasured first sync, and empties the table."""
        with wire.Recorder(self.odoo) as recorder:
            self.define(recorder.url)
            recorder.forget()
            self.sync(None)
        self.drop()
        return recorder.pages

    def reset(self) -> None:
        if self.world.cluster.psql(f"select 1 from pg_foreign_server where srvname = {literal(self.name)}"):
            self.drop()
        self.define()

    def sync(self, since: str | None) -> Measurement:
        # ipai_sync keeps its own cursor.
        mode = "incremental" if since else "full"
        with Session(self.world.cluster) as session, Memory(session.backend) as memory:
            seconds = session.timed(f"call ipai.run_sync({literal(self.name)}, '{mode}')")
        return Measurement(seconds, memory.rise)


class IpaiSyncWithAddon(IpaiSync):
    name = "addon"
    title = "(f) ipai_sync, with its addon in Odoo"

    @property
    def odoo(self) -> Odoo:
        assert self.world.with_addon
        return self.world.with_addon


class IpaiSyncByKey(IpaiSync):
    name = "json2"
    title = "(g) ipai_sync, over JSON-2"

    @property
    def secret(self) -> str:
        return api_key(self.odoo.admin_user, self.odoo.admin_password)


class Program(IpaiSync):
    """The same engine outside of the server; its time includes the start of the program."""

    name = "program"
    title = "(h) ipai-sync, the program"

    def sync(self, since: str | None) -> Measurement:
        odoo = self.odoo
        env = {
            "DATABASE_URL": self.world.cluster.dsn(user="postgres"),
            "ODOO_SERVER": self.name,
            "ODOO_URL": odoo.url,
            "ODOO_DB": odoo.dbname,
            "ODOO_USER": odoo.admin_user,
            "ODOO_PASSWORD": odoo.admin_password,
        }
        command: list[str | Path] = [world.program(), "run", self.name, "--mode", "incremental" if since else "full", "--json"]
        began = time.monotonic()
        process = subprocess.Popen(command, env=shell.environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with Memory(process.pid) as memory:
            output, errors = process.communicate()
        seconds = time.monotonic() - began
        if process.returncode != 0:
            raise RuntimeError(f"{output}{errors}")
        return Measurement(seconds, memory.rise)


class ProgramWithAddon(Program):
    name = "program_addon"
    title = "(i) ipai-sync, with the addon in Odoo"

    @property
    def odoo(self) -> Odoo:
        assert self.world.with_addon
        return self.world.with_addon


ALL: tuple[type[Competitor], ...] = (
    Practice,
    GoodScript,
    Floor,
    Copy,
    IpaiSync,
    IpaiSyncWithAddon,
    IpaiSyncByKey,
    Program,
    ProgramWithAddon,
)

#: The competitors that need an Odoo with the addon.
WITH_ADDON = (IpaiSyncWithAddon.name, ProgramWithAddon.name)
