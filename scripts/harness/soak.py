"""Checks that memory and tables do not grow in a long session with a run every second.

Odoo's records change each second. With `--live`, a follower applies the changes in place of runs.
`scripts/soak` runs this module. It prints a table, and exits with status 1 if a value has grown.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

from . import extension, paths, postgres, setup, shell
from .bench.session import Session, anonymous
from .odoo import MODULES, Odoo, generate_metrics
from .postgres import Cluster, Installation

METRICS = 20_000
#: The changes between two runs: edited, archived, unarchived and deleted records, and as many new
#: ones as deleted ones.
CHANGE = """
    update ipai_sample_metric set name = 'Soak {n} ' || id, active = (id + {n}) % 13 > 0, write_date = now() at time zone 'UTC'
        where id in (select id from ipai_sample_metric order by hashint8(id + {n}) limit 50);
    delete from ipai_sample_metric where id in (select id from ipai_sample_metric order by hashint8(id * 7 + {n}) limit 5);
    insert into ipai_sample_metric (name, code, unit, value, active, is_alert, create_date, write_date)
        select 'New {n}', 'SOAK', 'count', {n}, true, false, now() at time zone 'UTC', now() at time zone 'UTC' from generate_series(1, 5);
    -- Make changes older than a minute an hour older, so that the overlap window does not fill
    -- during the first ten minutes.
    update ipai_sample_metric set write_date = write_date - interval '1 hour'
        where write_date between (now() at time zone 'UTC') - interval '50 minutes' and (now() at time zone 'UTC') - interval '1 minute';
"""
#: Ages the log by 90 days each minute, because the extension deletes runs after some weeks.
AGE = """
    update ipai.run_log set started_at = started_at - interval '90 days', finished_at = finished_at - interval '90 days'
        where finished_at < now() - interval '1 minute';
"""


#: The growth since half time that is not considered a leak.
SLACK = {
    "memory": 4_096,
    "threads": 0,
    "descriptors": 0,
    "advisory_locks": 0,
    "own_tables": 1_024,
    "mirror": 4_096,
    # After a checkpoint, Postgres writes whole pages.
    "wal": 1_024,
    # Odoo's pool opens one more when requests overlap.
    "odoo_connections": 1,
}
#: A sample may show a follower in the middle of a poll or of a run.
LIVE_SLACK = SLACK | {"threads": 2, "descriptors": 4, "advisory_locks": 1}


@dataclass(frozen=True)
class Sample:
    runs: int
    #: The backend's private memory in kB.
    memory: int
    threads: int
    descriptors: int
    advisory_locks: int
    #: The size of the extension's own tables in kB.
    own_tables: int
    #: The size of the mirror's table in kB.
    mirror: int
    #: The write-ahead log of each run, in kB.
    wal: int
    odoo_connections: int
    #: The end of the write-ahead log, in kB.
    wal_end: int

    @staticmethod
    def take(session: Session, cluster: Cluster, odoo: Odoo, runs: int, previous: Sample | None) -> Sample:
        process = Path(f"/proc/{session.backend}")
        # Postgres opens and closes table files at its own discretion.
        links = [os.readlink(link) for link in process.glob("fd/*")]
        sizes = cluster.psql(
            """select (select sum(pg_total_relation_size(c.oid)) / 1024 from pg_class c
                       join pg_depend d on d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e'
                       join pg_extension e on e.oid = d.refobjid and extname = 'ipai_sync' where relkind = 'r')::bigint,
                      pg_total_relation_size('ipai.ipai_sample_metrics') / 1024,
                      (select count(*) from pg_locks where locktype = 'advisory'),
                      (pg_current_wal_lsn() - '0/0') / 1024"""
        ).split("|")
        own, mirror, locks, wal_end = (int(float(size)) for size in sizes)
        connections = odoo.pg.psql("select count(*) from pg_stat_activity where usename = 'odoo'")
        return Sample(
            runs=runs,
            memory=anonymous((process / "status").read_text()) // 1024,
            threads=len(list(process.glob("task/*"))),
            descriptors=sum(not link.startswith("/") for link in links),
            advisory_locks=locks,
            own_tables=own,
            mirror=mirror,
            wal=(wal_end - previous.wal_end) // max(runs - previous.runs, 1) if previous else 0,
            odoo_connections=int(connections),
            wal_end=wal_end,
        )

    def grown(self, since: Sample, slack: Mapping[str, int]) -> list[str]:
        """Returns the values that have grown by more than their slack."""
        return [name for name, growth in slack.items() if getattr(self, name) > getattr(since, name) + growth]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, metavar="N", help="duration (default 10)")
    parser.add_argument("--no-addon", action="store_true", help="without the bulk export of Odoo's addon")
    parser.add_argument("--live", action="store_true", help="with a follower")
    options = parser.parse_args()
    setup.ensure_system()
    installation = Installation.default().relocated("soak", under=paths.run_dir())
    extension.build(installation, "release")
    settings = {"autovacuum_naptime": "5s"}
    shell.log_progress(f"Starting Postgres and a real Odoo 19 with {METRICS:,} metrics")
    with postgres.supabase_cluster(installation, settings=settings) as cluster, Odoo(MODULES) as odoo:
        generate_metrics(odoo, METRICS)
        cluster.psql("create extension ipai_sync")
        postgres.migrate(cluster)
        addon = ", addon 'false'" if options.no_addon else ""
        cluster.psql(
            f"""create server odoo foreign data wrapper ipai_odoo options (url '{odoo.url}', dbname '{odoo.dbname}'{addon});
                create user mapping for postgres server odoo options (user '{odoo.admin_user}', password_secret 'odoo_password');
                select ipai.set_odoo_password('odoo', '{odoo.admin_password}');
                select ipai.alter_mirror('sample_metrics', 'odoo')""",
            user="postgres",
        )
        with Session(cluster) as session:
            soak = _soak_live if options.live else _soak
            samples = soak(session, cluster, odoo, options.minutes * 60)
            delta = cluster.psql("call ipai.run_sync('sample_metrics', 'full'); select delta from ipai.sync_count_delta", user="postgres")
    _print(samples)
    # Compare with half time: until then the allocator reaches its peak in steps. A leak continues
    # to grow.
    grown = samples[-1].grown(samples[len(samples) // 2], LIVE_SLACK if options.live else SLACK)
    print(f"\n{samples[-1].runs} runs; grown: {', '.join(grown) or 'nothing'}; Odoo and mirror differ by {delta}", flush=True)
    return 1 if grown or delta != "0" else 0


def _soak(session: Session, cluster: Cluster, odoo: Odoo, seconds: float) -> list[Sample]:
    """Starts a run after each change."""

    def run(number: int) -> None:
        mode = "full" if number % 60 == 1 else "reconcile" if number % 20 == 5 else "auto"
        session.execute(f"call ipai.run_sync('sample_metrics', '{mode}')")

    return _sample(session, cluster, odoo, seconds, run)


def _soak_live(session: Session, cluster: Cluster, odoo: Odoo, seconds: float) -> list[Sample]:
    """Lets a follower apply the changes."""
    session.execute("call ipai.run_sync('sample_metrics')")
    with Session(cluster) as follower, ThreadPoolExecutor(1) as executor:
        following = executor.submit(follower.execute, f"call ipai.follow_sync(during => '{seconds + 30} seconds')")

        def check(_number: int) -> None:
            if following.done():
                following.result()
                raise RuntimeError("the follower has ended")

        samples = _sample(follower, cluster, odoo, seconds, check)
        following.result()
    session.execute("call ipai.run_sync('sample_metrics', 'full')")
    missed = session.query("select inserted + updated + deleted from ipai.sync_runs order by run desc limit 1")
    if missed != "0":
        raise RuntimeError(f"the follower has missed {missed} changes")
    return samples


def _sample(session: Session, cluster: Cluster, odoo: Odoo, seconds: float, run: Callable[[int], None]) -> list[Sample]:
    """Changes Odoo and calls `run` each second.

    It takes ten samples: at the start, after a tenth of the time, and eight more.
    """
    began = time.monotonic()
    samples: list[Sample] = []
    aged = 0.0
    runs = 0
    shell.log_progress(f"Changing Odoo every second for {seconds / 60:g} minutes")
    while (now := time.monotonic() - began) < seconds or len(samples) < 10:
        due = [0, *(seconds * part / 9 for part in (0.9, *range(2, 10)))]
        if len(samples) < len(due) and now >= min(due[len(samples)], seconds):
            samples.append(Sample.take(session, cluster, odoo, runs, samples[-1] if samples else None))
        odoo.pg.psql(CHANGE.format(n=runs), dbname=odoo.dbname)
        if now - aged > 60:
            cluster.psql(AGE)
            aged = now
        run(runs)
        runs += 1
        # Wait for the next second, unless the run took longer.
        time.sleep(max(0.0, 1 - (time.monotonic() - began - now)))
    return samples


def _print(samples: list[Sample]) -> None:
    names = [field.name for field in fields(Sample) if field.name != "wal_end"]
    units = {"memory": "memory kB", "own_tables": "own tables kB", "mirror": "mirror kB", "wal": "WAL kB a run"}
    print()
    print("".join(f"{units.get(name, name.replace('_', ' ')):>16}" for name in names))
    for sample in samples:
        print("".join(f"{getattr(sample, name):>16,}" for name in names))


if __name__ == "__main__":
    shell.run_main(main)
