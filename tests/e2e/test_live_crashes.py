"""Tests followers that are killed with what they connect, at random moments: no change is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from harness import shell
from harness.odoo import MODULES, Odoo, generate_metrics
from support.comparison import MODEL, differences, sql
from support.crashes import crash, kill_backend, wait_for_recovery
from support.follower import ENDS, Follower
from support.program import ProgramSupabase
from support.supabase import ROWS, Supabase

#: How often something is killed, in scripts/test and in scripts/nightly.
KILLS, MANY = 20, 200
#: The same where pg_cron starts the follower, which takes up to a minute.
CRON_KILLS, MANY_CRON = 1, 20
#: How soon a mirror is equal again, in seconds. pg_cron starts jobs at full minutes.
SOON, A_MINUTE = 40, 75


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    with Odoo(modules=MODULES) as odoo:
        generate_metrics(odoo, ROWS)
        yield odoo


def fill(supabase: Supabase, erp: Odoo) -> None:
    supabase.fill_from(erp)
    supabase.rows("update ipai.mirrors set max_delete_ratio = 1")


class Life:
    """Changes in Odoo, and deaths of the follower, of Odoo, and of both servers of Postgres."""

    def __init__(self, supabase: Supabase, erp: Odoo, seed: int) -> None:
        self.supabase = supabase
        self.erp = erp
        self.chance = random.Random(seed)
        self._number = 0

    def change(self) -> None:
        """Edits, deletes and creates records, also past their write dates."""
        self._number += 1
        number = self.chance.randrange(10**6)
        sql(
            self.erp,
            f"""update ipai_sample_metric set name = 'Edit {self._number} ' || id where id in
                    (select id from ipai_sample_metric order by hashint8(id + {number}) limit 40);
                delete from ipai_sample_metric where id in
                    (select id from ipai_sample_metric order by hashint8(id * 7 + {number}) limit 5);
                insert into ipai_sample_metric (name, code, unit, value, active)
                select 'New {self._number}', 'NEW', 'count', n, true from generate_series(1, 5) as n""",
        )

    def kill_follower(self) -> None:
        """Kills the follower. Postgres ends all its sessions if a backend dies so."""
        for backend in self.backends()[:1]:
            kill_backend(self.supabase.cluster, backend)
        wait_for_recovery(self.supabase.cluster)

    def backends(self) -> list[int]:
        """Returns the backends that follow."""
        found = self.supabase.rows("select pid from pg_locks where locktype = 'advisory' and classid = hashtext('ipai_sync follow')::oid")
        return [row["pid"] for row in found]

    def terminate_follower(self) -> None:
        self.supabase.rows("select pg_terminate_backend(%s)", *self.backends()[:1] or [0])

    def stop_postgres(self) -> None:
        self.supabase.cluster.stop("immediate")
        self.supabase.cluster.start()

    def kill_odoo(self) -> None:
        for pid in self.erp.pids():
            os.kill(pid, signal.SIGKILL)
        time.sleep(self.chance.uniform(0, 1))
        self.erp.restart()

    def stop_odoos_postgres(self) -> None:
        self.erp.pg.stop("immediate")
        time.sleep(self.chance.uniform(0, 1))
        self.erp.pg.start()

    def crash_odoos_postgres(self) -> None:
        crash(self.erp.pg)

    def wait_until_equal(self, seconds: float) -> float:
        """Waits until the mirror equals Odoo, and returns the seconds that took."""
        began = time.monotonic()

        def is_equal() -> bool:
            try:
                return not differences(self.supabase, self.erp)
            except psycopg.OperationalError:
                return False

        shell.wait_until(is_equal, "an equal mirror", seconds=seconds, every=0.1)
        return time.monotonic() - began


def kill(supabase: Supabase, erp: Odoo, request: pytest.FixtureRequest, kills: int) -> None:
    seed = request.config.getoption("--seed")
    seed = random.randrange(10**6) if seed is None else seed
    print(f"--seed {seed}")
    fill(supabase, erp)
    life = Life(supabase, erp, seed)
    follower = Follower(supabase)
    deaths = [follower.kill, follower.kill, life.stop_postgres, life.kill_odoo, life.stop_odoos_postgres, life.crash_odoos_postgres]
    slowest = 0.0
    try:
        for number in range(kills):
            life.wait_until_equal(SOON)
            life.change()
            # A poll and its run take about this time.
            time.sleep(life.chance.uniform(0, 0.6))
            deaths[number % len(deaths)]()
            life.change()
            slowest = max(slowest, life.wait_until_equal(SOON))
            created = erp.rpc(MODEL, "create", {"name": "Followed again", "code": "LIVE", "unit": "count"})
            life.wait_until_equal(SOON)
            assert supabase.rows("select from ipai.ipai_sample_metrics where odoo_id = %s", created)
    finally:
        follower.stop()
        print(f"followers {dict(follower.ended)}, slowest {slowest:.1f} s")
    assert set(follower.ended) <= ENDS
    wait_for_no_locks(supabase)


def wait_for_no_locks(supabase: Supabase) -> None:
    shell.wait_until(
        lambda: not supabase.rows("select from pg_locks where locktype = 'advisory'"), "the end of all locks", seconds=10, every=0.1
    )


@pytest.mark.parametrize("kills", [KILLS, pytest.param(MANY, marks=pytest.mark.slow)])
def test_killed_followers_lose_no_change(supabase: Supabase, erp: Odoo, request: pytest.FixtureRequest, kills: int) -> None:
    kill(supabase, erp, request, kills)


@pytest.mark.slow
def test_killed_programs_lose_no_change(hosted_supabase: ProgramSupabase, erp: Odoo, request: pytest.FixtureRequest) -> None:
    kill(hosted_supabase, erp, request, MANY // 4)


@pytest.mark.parametrize("kills", [CRON_KILLS, pytest.param(MANY_CRON, marks=pytest.mark.slow)])
def test_pg_cron_starts_the_next_follower_within_a_minute(
    supabase: Supabase, erp: Odoo, request: pytest.FixtureRequest, kills: int
) -> None:
    fill(supabase, erp)
    life = Life(supabase, erp, 7)
    supabase.rows("select ipai.schedule_sync('sample_metrics', 'live')")
    shell.wait_until(life.backends, "the first follower", seconds=A_MINUTE)
    deaths: list[Any] = [life.stop_postgres, life.terminate_follower, life.kill_follower, life.kill_odoo]
    for number in range(kills):
        life.change()
        time.sleep(life.chance.uniform(0, 1))
        deaths[number % len(deaths)]()
        life.change()
        took = life.wait_until_equal(A_MINUTE)
        print(f"{deaths[number % len(deaths)].__name__}: equal after {took:.1f} s")
        status = supabase.row("select state, late, problem from ipai.sync_status, ipai.followers where mirror = 'sample_metrics'")
        assert status == {"state": "ok", "late": False, "problem": None}
    supabase.rows("select ipai.unschedule_sync('sample_metrics')")
    life.terminate_follower()
    wait_for_no_locks(supabase)
