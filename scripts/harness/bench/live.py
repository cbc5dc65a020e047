"""Measures a follower: how late changes arrive, and what polling costs Odoo."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from .. import shell
from ..demo import literal
from ..odoo import MODULE, Odoo, generate_metrics
from ..postgres import Cluster
from .session import Session
from .world import ADDON, supabase

SMALL, LARGE = 100, 450
METRICS = 2_000
#: Seconds of each measurement, and writes in Odoo per second.
SECONDS, RATE = 60, 5
#: Tables in Odoo that the load writes, a text column of each, and the model.
WRITTEN = [("ipai_sample_metric", "notes", "ipai.sample.metric"), ("res_country_state", "code", "res.country.state")]
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Following:
    """A measurement of one number of mirrors."""

    mirrors: int
    #: From each commit in Odoo to its commit in the mirror, in seconds.
    latencies: list[float]
    #: Share of a core that Odoo and its Postgres used: with writes and the follower, with the
    #: writes alone, and with an idle follower.
    busy: float
    load: float
    idle: float
    #: Requests to Odoo per poll of the idle follower.
    requests: float

    @property
    def median(self) -> float:
        return median(self.latencies)

    @property
    def late(self) -> float:
        """The 95th percentile of the latencies."""
        return quantiles(self.latencies, n=20)[-1]

    @property
    def polling(self) -> float:
        """What the follower itself costs while Odoo is written."""
        return self.busy - self.load


@dataclass(frozen=True)
class Unchanged:
    """Runs of all mirrors without a change in Odoo: with tokens, and by write dates."""

    mirrors: int
    #: Seconds of each `call ipai.run_sync()`.
    seconds: tuple[list[float], list[float]]
    #: Processor seconds of Odoo, its Postgres and the backend, in all of these calls.
    processor: tuple[float, float]

    @property
    def ratio(self) -> float:
        """The time with tokens against the time by write dates."""
        with_tokens, by_dates = map(median, self.seconds)
        return with_tokens / by_dates

    @property
    def processor_ratio(self) -> float:
        """The same of the processor time."""
        return self.processor[0] / self.processor[1]


@dataclass(frozen=True)
class Live:
    """All measurements."""

    following: list[Following]
    unchanged: list[Unchanged]


def run() -> Live:
    """Returns the measurements."""
    with (
        Odoo((MODULE, ADDON), settings={"workers": 2, "limit_time_cpu": 600, "limit_time_real": 1200}) as odoo,
        supabase(track_commit_timestamp="on") as cluster,
    ):
        generate_metrics(odoo, METRICS)
        with Session(cluster) as session:
            _connect(session, odoo)
            _mirror(session, odoo, SMALL)
            unchanged = [_unchanged(session, odoo, SMALL)]
            following = [_follow(cluster, session, odoo, SMALL)]
            _mirror(session, odoo, LARGE)
            unchanged.append(_unchanged(session, odoo, LARGE))
            following.append(_follow(cluster, session, odoo, LARGE))
    return Live(following, unchanged)


def _connect(session: Session, odoo: Odoo) -> None:
    session.execute(f"create server odoo foreign data wrapper ipai_odoo options (url '{odoo.url}', dbname '{odoo.dbname}')")
    session.execute("create user mapping for postgres server odoo options (user 'admin', password_secret 'odoo_password')")
    session.execute("select ipai.set_odoo_password('odoo', 'admin')")
    session.execute("delete from ipai.mirrors")


def _mirror(session: Session, odoo: Odoo, number: int) -> None:
    """Creates and fills mirrors until there are so many. Several may read the same model."""
    shell.log_progress(f"Creating {number} mirrors")
    models = odoo.pg.psql(
        """select m.model from ir_model m join pg_class c on c.relname = replace(m.model, '.', '_') and c.relkind = 'r'
           where not m.transient and m.model not like 'ir.%' order by m.model <> all ('{ipai.sample.metric,res.country.state}'), m.model""",
        dbname=odoo.dbname,
        user="odoo",
    ).split()
    there = int(session.query("select count(*) from ipai.mirrors"))
    for place in range(there, number):
        # The models that the load writes have one mirror each.
        model = models[place] if place < len(models) else models[len(WRITTEN) + place % (len(models) - len(WRITTEN))]
        session.execute(f"select ipai.create_mirror({literal(model)}, 'ipai.m{place}', name => 'm{place}')")
    session.execute("call ipai.run_sync()")
    session.execute("create table if not exists public.seen (value text)")
    session.execute(
        """create or replace function public.note() returns trigger language plpgsql as $$
           begin insert into public.seen values (to_jsonb(new) ->> tg_argv[0]); return new; end $$"""
    )
    if there == 0:
        for _table, column, model in WRITTEN:
            target = session.query(f"select min(target_table) from ipai.mirrors where model = {literal(model)}")
            session.execute(
                f"create trigger note before update on ipai.{target} for each row when (old.{column} is distinct from new.{column})"
                f" execute function public.note('{column}')"
            )


def _unchanged(session: Session, odoo: Odoo, mirrors: int) -> Unchanged:
    """Runs all mirrors without a change in Odoo, alternately with and without tokens."""
    shell.log_progress("Timing runs without changes")
    times: tuple[list[float], list[float]] = ([], [])
    used = [0.0, 0.0]

    def run(place: int) -> None:
        before = _processor_seconds(odoo, session.backend)
        times[place].append(session.timed("call ipai.run_sync()"))
        used[place] += _processor_seconds(odoo, session.backend) - before

    session.execute("call ipai.run_sync()")
    for _ in range(5):
        run(0)
        session.execute("create temporary table kept as select mirror, token from ipai.mirror_state")
        session.execute("update ipai.mirror_state set token = null")
        run(1)
        session.execute("update ipai.mirror_state s set token = k.token from kept k where k.mirror = s.mirror")
        session.execute("drop table kept")
    measured = Unchanged(mirrors, times, (used[0], used[1]))
    shell.log_progress(f"{mirrors} mirrors: {measured.ratio:.3f} of the time, {measured.processor_ratio:.3f} of the processor time")
    return measured


def _follow(cluster: Cluster, session: Session, odoo: Odoo, mirrors: int) -> Following:
    shell.log_progress(f"Following {mirrors} mirrors: about four minutes")
    load = _used(odoo, lambda: _write(odoo))
    with _follower(cluster, session):
        before = _requests(odoo)
        idle = _used(odoo, lambda: time.sleep(SECONDS))
        requests = (_requests(odoo) - before) / SECONDS
        session.execute("truncate public.seen")
        busy = _used(odoo, lambda: _write(odoo))
        time.sleep(5)
    delays = session.query(
        "select string_agg((extract(epoch from pg_xact_commit_timestamp(xmin)) - split_part(value, ' ', 2)::float8)::text, ' ') from public.seen"
    )
    latencies = [float(delay) for delay in delays.split()]
    if len(latencies) < SECONDS * RATE * 0.98:
        raise RuntimeError(f"only {len(latencies)} of {SECONDS * RATE} changes arrived")
    measured = Following(mirrors, latencies, busy, load, idle, requests)
    shell.log_progress(
        f"{mirrors} mirrors: {measured.median:.2f} s, 95 %: {measured.late:.2f} s; {busy:.3f} of a core, {load:.3f}, {idle:.3f}"
    )
    return measured


@contextmanager
def _follower(cluster: Cluster, session: Session) -> Iterator[None]:
    with Session(cluster) as follower:
        thread = threading.Thread(target=lambda: _ignoring(follower, "call ipai.follow_sync(during => null)"))
        thread.start()
        # Longer than the time for which recently changed tables are scanned first.
        time.sleep(75)
        try:
            yield
        finally:
            session.execute(f"select pg_terminate_backend({follower.backend})")
            thread.join()


def _ignoring(session: Session, statement: str) -> None:
    try:
        session.execute(statement)
    except RuntimeError:
        return


def _write(odoo: Odoo) -> None:
    """Writes in Odoo's tables at an even rate, each time another record.

    Each value has the moment of its commit.
    """
    with Session(odoo.pg, "odoo", dbname=odoo.dbname) as writer:
        ids = {
            table: writer.query(f"select string_agg(id::text, ' ' order by id) from {table}").split() for table, _column, _model in WRITTEN
        }
        began = time.monotonic()
        for number in range(SECONDS * RATE):
            table, column, _model = WRITTEN[number % len(WRITTEN)]
            writer.execute(
                f"update {table} set {column} = 'live ' || extract(epoch from clock_timestamp()), write_date = now() at time zone 'UTC' where id = {ids[table][number]}"
            )
            time.sleep(max(0.0, began + (number + 1) / RATE - time.monotonic()))


def _requests(odoo: Odoo) -> int:
    return odoo.log.read_text().count('"POST /')


def _used(odoo: Odoo, work: Callable[[], object]) -> float:
    """Returns the share of a core that Odoo and its Postgres used during the work."""
    began, before = time.monotonic(), _processor_seconds(odoo)
    work()
    return (_processor_seconds(odoo) - before) / (time.monotonic() - began)


def _processor_seconds(odoo: Odoo, *backends: int) -> float:
    """Returns the processor time of Odoo, its Postgres and other processes."""
    children: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(process.name))
            used[int(process.name)] = sum(map(int, fields[11:15]))
    pending = [*odoo.pids(), *odoo.pg.pids(), *backends]
    total = 0
    while pending:
        process_id = pending.pop()
        total += used.get(process_id, 0)
        pending += children.get(process_id, [])
    return total / _TICKS
