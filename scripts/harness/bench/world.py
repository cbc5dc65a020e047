"""The servers of the benchmark, and what happens in Odoo between the runs."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import extension, paths, postgres, shell
from ..odoo import MODEL, MODULE, Odoo, generate_metrics
from ..postgres import Cluster, Installation
from ..postgrest import PostgREST

ADDON = "ipai_sync"

#: The reference table, whose definition each competitor's table has.
REFERENCE = "ipai.ipai_sample_metrics"
COLUMNS = ("odoo_id", "name", "code", "date", "brand_id", "store_id", "value", "unit", "is_alert", "notes", "active")

_SETTINGS = {
    # A checkpoint begins each run; none comes in the middle of one, or takes away WAL that is still to be counted.
    "checkpoint_timeout": "1d",
    "max_wal_size": "20GB",
    "wal_keep_size": "4GB",
    # Each run is followed by a vacuum of ours.
    "autovacuum": "off",
}


def addon_exists() -> bool:
    """Whether there is an addon for Odoo that makes syncs faster."""
    return (paths.PROJECT / "addons/ipai" / ADDON / "__manifest__.py").exists()


@functools.cache
def _installation() -> Installation:
    """A Postgres of our own with the release build of the extension."""
    installation = Installation.default().relocated("bench", under=paths.run_dir())
    extension.build(installation, "release")
    return installation


@contextmanager
def supabase() -> Iterator[Cluster]:
    """A Postgres like Supabase's, with the extension and the migrations."""
    installation = _installation()
    shell.log_progress("Starting a Postgres like Supabase's")
    with postgres.supabase_cluster(installation, settings=_SETTINGS) as cluster:
        cluster.psql("create extension ipai_sync; create extension pg_walinspect schema extensions")
        postgres.migrate(cluster)
        yield cluster


@contextmanager
def odoo_with(rows: int, modules: Sequence[str] = (MODULE,)) -> Iterator[Odoo]:
    """An Odoo whose metrics were written over the past months, one every 150 seconds, the last one an hour ago."""
    shell.log_progress(f"Starting a real Odoo 19 with {' and '.join(modules)}, and making {rows:,} metrics")
    with Odoo(modules) as odoo:
        generate_metrics(odoo, rows)
        _psql(odoo, "update ipai_sample_metric set write_date = date_trunc('second', now() at time zone 'UTC') - interval '1 hour'")
        settle(odoo)
        yield odoo


def settle(odoo: Odoo) -> None:
    """As if time went by: what was written in the last hours was written over months, but for the newest record.

    An incremental run begins a few minutes before the last record it saw, and would read again what was changed for the run before.
    """
    _psql(
        odoo,
        """
        with recent as (
            select id, max(write_date) over () as newest, row_number() over (order by write_date desc, id desc) - 1 as older
            from ipai_sample_metric where write_date > now() at time zone 'UTC' - interval '2 hours'
        )
        update ipai_sample_metric as metric set write_date = newest - older * interval '150 seconds'
        from recent where recent.id = metric.id and older > 0;
        """,
    )
    _psql(odoo, "vacuum analyze ipai_sample_metric")


def change(odoo: Odoo, count: int, text: str) -> None:
    """Writes another text into `count` records, evenly scattered."""
    odoo.rpc(MODEL, "write", _scattered(odoo, count), {"notes": text})


def delete(odoo: Odoo, count: int) -> None:
    """Deletes `count` records, evenly scattered. The newest is not among them: without it Odoo would look like restored from a backup."""
    odoo.rpc(MODEL, "unlink", _scattered(odoo, count))


def _scattered(odoo: Odoo, count: int) -> list[int]:
    newest = "(select id from ipai_sample_metric order by write_date desc, id desc limit 1)"
    ids = _psql(odoo, f"select id from ipai_sample_metric where id <> {newest} order by id").split()
    return [int(ids[index * len(ids) // count]) for index in range(count)]


def _psql(odoo: Odoo, sql: str) -> str:
    return odoo.pg.psql(sql, dbname=odoo.dbname, user="odoo")


def _own_table(cluster: Cluster, name: str) -> None:
    """Makes a table like the reference, empty."""
    cluster.psql(
        f"""
        create table ipai.{name} (like {REFERENCE} including all);
        create trigger set_updated_at before update on ipai.{name}
            for each row when (old.* is distinct from new.*) execute function ipai.set_updated_at();
        grant all on ipai.{name} to service_role;
        """,
        user="postgres",
    )


@dataclass(frozen=True)
class World:
    """All servers."""

    cluster: Cluster
    postgrest: PostgREST
    odoo: Odoo
    #: The same data with our addon installed; None where there is no addon, or nobody asks for it.
    with_addon: Odoo | None

    @property
    def odoos(self) -> list[Odoo]:
        return [self.odoo, *([self.with_addon] if self.with_addon else [])]

    def file(self, name: str) -> Path:
        """A file that Postgres may write and read."""
        return self.cluster.directory / name


@contextmanager
def servers(rows: int, tables: Sequence[str], *, addon: bool) -> Iterator[World]:
    """Starts them all; the tables are in schema ipai, each like the reference."""
    with ExitStack() as stack:
        cluster = stack.enter_context(supabase())
        for table in tables:
            _own_table(cluster, table)
        odoo = stack.enter_context(odoo_with(rows))
        with_addon = stack.enter_context(odoo_with(rows, (MODULE, ADDON))) if addon else None
        postgrest = stack.enter_context(PostgREST(cluster))
        yield World(cluster, postgrest, odoo, with_addon)
