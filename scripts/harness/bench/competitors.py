"""Who is compared, and how one run of each is measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import postgres, setup, shell
from ..demo import literal
from ..odoo import MODEL, Odoo
from . import wire
from .session import Memory, Session
from .world import COLUMNS, World

_SCRIPTS = Path(__file__).with_name("scripts")


@dataclass(frozen=True)
class Measurement:
    """What a competitor tells of a run."""

    seconds: float
    #: How far the memory of the program that works rose, in bytes.
    memory: int | None = None


@dataclass(frozen=True)
class Run(Measurement):
    """A run, and what it did to the database."""

    rows_written: int = 0
    wal_bytes: int = 0
    wal_records: int = 0


class Competitor:
    """Brings a table of its own into step with Odoo."""

    name: str
    title: str
    #: Whether it does more than a first load.
    syncs = True
    #: Whether it notices that a record was deleted.
    deletes = True

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def table(self) -> str:
        return f"ipai.{table(self.name)}"

    def reset(self) -> None:
        """Back to an empty table."""
        self.world.cluster.psql(f"truncate {self.table}")

    def sync(self, since: str | None) -> Measurement:
        """Reads what was written since that moment (UTC), or everything."""
        raise NotImplementedError

    def run(self, since: str | None = None) -> Run:
        return measure(self.world.cluster, self.table, lambda: self.sync(since))


def table(name: str) -> str:
    """A competitor's table in schema ipai."""
    return f"bench_{name}"


def measure(cluster: postgres.Cluster, table: str, sync: Callable[[], Measurement]) -> Run:
    """Runs `sync` and looks at what it wrote. Whatever is asked of the database is asked outside of the time that counts."""
    # After a checkpoint the first change of a page is a whole page of WAL: for all of them alike.
    cluster.psql("checkpoint")
    transaction, rows, begin = cluster.psql(f"select pg_current_xact_id(), count(*), pg_current_wal_flush_lsn() from {table}").split("|")
    ran = sync()
    end = cluster.psql("select pg_current_wal_flush_lsn()")
    # The rows that are there say who wrote them last.
    written, left = cluster.psql(f"select count(*) filter (where xmin::text::bigint > {transaction}), count(*) from {table}").split("|")
    wal = f"pg_wal_lsn_diff('{end}', '{begin}')"
    wal_bytes, wal_records = cluster.psql(
        f"select {wal}, case when {wal} > 0 then (select sum(count) from extensions.pg_get_wal_stats('{begin}', '{end}')) else 0 end"
    ).split("|")
    cluster.psql(f"vacuum analyze {table}")
    deleted = max(0, int(rows) - int(left))
    return Run(ran.seconds, ran.memory, int(written) + deleted, int(wal_bytes), int(float(wal_records)))


class Script(Competitor):
    """One of the Python scripts, in a process of its own, as cron would start it."""

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
        told = json.loads(output)
        return Measurement(told["seconds"], told["peak"])


class Practice(Script):
    name = "practice"
    title = "(a) xmlrpc.client, supabase-py"
    deletes = False


class GoodScript(Script):
    name = "script"
    title = "(b) pages, COPY, guarded upsert"


class Floor(Competitor):
    """The pages that ipai_sync asks for, fetched and thrown away."""

    name = "floor"
    title = "(c) Odoo's answers thrown away"
    syncs = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._pages: list[bytes] = []

    def record(self, mirror: IpaiSync) -> None:
        """Lets ipai_sync run once, unmeasured, to see which pages those are."""
        self._pages = mirror.recorded()
        if not self._pages:
            raise RuntimeError("ipai_sync has asked Odoo for no page")

    def sync(self, since: str | None) -> Measurement:
        return Measurement(wire.fetch(self.world.odoo.port, self._pages))


class Copy(Competitor):
    """COPY of the same rows from a file."""

    name = "copy"
    title = "(d) COPY from a file"
    syncs = False

    def record(self, mirror: IpaiSync) -> None:
        """Takes the rows from a table that ipai_sync has filled."""
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

    def define(self, url: str | None = None) -> None:
        """Makes server and mirror."""
        odoo = self.odoo
        fields = ",".join(column for column in COLUMNS if column != "odoo_id")
        self.world.cluster.psql(
            f"""
            create server {self.name} foreign data wrapper ipai_odoo
                options (url {literal(url or odoo.url)}, dbname {literal(odoo.dbname)});
            create user mapping for postgres server {self.name}
                options (user {literal(odoo.admin_user)}, password {literal(odoo.admin_password)});
            select ipai.create_mirror({literal(MODEL)}, {literal(self.table)}, fields => '{{{fields}}}', columns => '{{}}',
                server => {literal(self.name)}, name => {literal(self.name)}, alert_field => 'is_alert');
            """,
            user="postgres",
        )

    def drop(self) -> None:
        """Takes them away; the table stays, empty."""
        self.world.cluster.psql(
            f"select ipai.drop_mirror({literal(self.name)}); drop server {self.name} cascade; truncate {self.table};", user="postgres"
        )

    def recorded(self) -> list[bytes]:
        """The calls of search_read and read in a first load, which is not measured; the table is empty again then."""
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
        # It knows itself what was written since its last run.
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


ALL: tuple[type[Competitor], ...] = (Practice, GoodScript, Floor, Copy, IpaiSync, IpaiSyncWithAddon)
