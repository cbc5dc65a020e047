"""Starts the benchmark's servers, and changes records in Odoo between the runs."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import extension, paths, postgres, shell
from .. import program as built_program
from ..odoo import MODEL, MODULE, Odoo, generate_metrics
from ..postgres import Cluster, Installation
from ..postgrest import PostgREST

ADDON = "ipai_sync"

#: The table whose definition all competitors' tables copy.
REFERENCE = "ipai.ipai_sample_metrics"
COLUMNS = ("odoo_id", "name", "code", "date", "brand_id", "store_id", "value", "unit", "is_alert", "notes", "active")

_SETTINGS = {
    # Each run starts with a checkpoint. A checkpoint during a run would distort the figures, or
    # remove WAL that is still to be counted.
    "checkpoint_timeout": "1d",
    "max_wal_size": "20GB",
    "wal_keep_size": "4GB",
    # The benchmark runs a vacuum after each run.
    "autovacuum": "off",
}


def addon_exists() -> bool:
    """Returns whether the project contains the addon that makes syncs faster."""
    return (paths.PROJECT / "addons/ipai" / ADDON / "__manifest__.py").exists()


@functools.cache
def _installation() -> Installation:
    """Returns a copy of Postgres with the release build of the extension."""
    installation = Installation.default().relocated("bench", under=paths.run_dir())
    extension.build(installation, "release")
    return installation


@functools.cache
def program() -> Path:
    """Returns the release build of the program."""
    return built_program.build("release")


@contextmanager
def supabase(**settings: str) -> Iterator[Cluster]:
    """Starts a Supabase-like Postgres with the extension and the migrations."""
    installation = _installation()
    shell.log_progress("Starting a Supabase-like Postgres")
    with postgres.supabase_cluster(installation, settings=_SETTINGS | settings) as cluster:
        cluster.psql("create extension ipai_sync; create extension pg_walinspect schema extensions")
        postgres.migrate(cluster)
        yield cluster


@contextmanager
def odoo_with(rows: int, modules: Sequence[str] = (MODULE,)) -> Iterator[Odoo]:
    """Starts an Odoo whose metrics were written in the past months.

    The records' write dates are 150 seconds apart; the last one is an hour ago.
    """
    shell.log_progress(f"Starting a real Odoo 19 with {' and '.join(modules)}, and generating {rows:,} metrics")
    with Odoo(modules) as odoo:
        generate_metrics(odoo, rows)
        _psql(odoo, "update ipai_sample_metric set write_date = date_trunc('second', now() at time zone 'UTC') - interval '1 hour'")
        settle(odoo)
        yield odoo


def settle(odoo: Odoo) -> None:
    """Spreads the write dates of the last hours over months, except for the newest record.

    An incremental run starts some minutes before its cursor (the overlap window), and would
    otherwise read the changes of the previous measurement again.
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
    """Writes `text` into `count` records, evenly distributed by id."""
    odoo.rpc(MODEL, "write", _scattered(odoo, count), {"notes": text})


def delete(odoo: Odoo, count: int) -> None:
    """Deletes `count` records, evenly distributed by id, but not the newest one.

    Without the newest record, Odoo would look as if restored from a backup.
    """
    odoo.rpc(MODEL, "unlink", _scattered(odoo, count))


def _scattered(odoo: Odoo, count: int) -> list[int]:
    newest = "(select id from ipai_sample_metric order by write_date desc, id desc limit 1)"
    ids = _psql(odoo, f"select id from ipai_sample_metric where id <> {newest} order by id").split()
    return [int(ids[index * len(ids) // count]) for index in range(count)]


def _psql(odoo: Odoo, sql: str) -> str:
    return odoo.pg.psql(sql, dbname=odoo.dbname, user="odoo")


def _own_table(cluster: Cluster, name: str) -> None:
    """Creates an empty table with the reference table's definition."""
    cluster.psql(
        f"""
        create table ipai.{name} (like {REFERENCE} including all);
        create trigger set_updated_at before update on ipai.{name}
            for each row when (old.* is distinct from new.*) execute function ipai.set_updated_at();
        grant select, insert, update, delete on ipai.{name} to service_role;
        """,
        user="postgres",
    )


@dataclass(frozen=True)
class World:
    """All servers of the benchmark."""

    cluster: Cluster
    postgrest: PostgREST
    odoo: Odoo
    #: An Odoo with the same data and the addon; None if the addon is missing or not measured.
    with_addon: Odoo | None

    @property
    def odoos(self) -> list[Odoo]:
        return [self.odoo, *([self.with_addon] if self.with_addon else [])]

    def file(self, name: str) -> Path:
        """Returns the path of a file that Postgres may read and write."""
        return self.cluster.directory / name


@contextmanager
def servers(rows: int, tables: Sequence[str], *, addon: bool) -> Iterator[World]:
    """Starts all servers, with one table in schema ipai for each of `tables`."""
    with ExitStack() as stack:
        cluster = stack.enter_context(supabase())
        for table in tables:
            _own_table(cluster, table)
        odoo = stack.enter_context(odoo_with(rows))
        with_addon = stack.enter_context(odoo_with(rows, (MODULE, ADDON))) if addon else None
        postgrest = stack.enter_context(PostgREST(cluster))
        yield World(cluster, postgrest, odoo, with_addon)
