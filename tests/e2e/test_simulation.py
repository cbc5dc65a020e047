"""Tests random operations on a real Odoo and its mirror.

    scripts/test --slow simulation    thousands of operations, as scripts/nightly does

The mirror may contain only rows that were in Odoo, and must equal Odoo at the end. Users create,
write, archive and delete records and partners; transactions commit late; a proxy interrupts runs,
and runs are cancelled and killed. The seed determines the operations, but not their timing relative
to the runs.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from harness.odoo import MODULES, Odoo, generate_metrics
from support.comparison import COLUMNS, ODOO_ROWS, assert_equal, sql
from support.crashes import kill_backend, wait_for_recovery
from support.proxy import Proxy
from support.reliability import Section
from support.supabase import Supabase
from support.users import Users

SECTION = Section("Random operations")

OPERATIONS, LONG = 320, 5_000
#: Operations between two checks at rest.
CHECK_INTERVAL = 80
METRICS = 400

#: Records every committed version of a record, by a trigger in Odoo's database.
HISTORY = """
    create table if not exists history (like ipai_sample_metric);
    truncate history;
    create or replace function remember() returns trigger language plpgsql as $$
        begin insert into history select new.*; return new; end $$;
    create or replace trigger remember after insert or update on ipai_sample_metric for each row execute function remember();
    insert into history select * from ipai_sample_metric;
    grant insert on history to odoo;
"""

#: Errors that a run may have: network errors, a cancel, a shutdown, a concurrent run, and an
#: unavailable Postgres.
EXPECTED = {"08001", "08006", "57014", "57P01", "57P02", "57P03", "55P03", None}


@pytest.fixture(scope="module")
def erp() -> Iterator[Odoo]:
    with Odoo(modules=MODULES) as odoo:
        generate_metrics(odoo, METRICS)
        yield odoo


class Simulation(Users):
    def __init__(self, supabase: Supabase, erp: Odoo, proxy: Proxy, seed: int) -> None:
        super().__init__(erp, seed)
        self.supabase = supabase
        self.proxy = proxy
        self.ended: Counter[str] = Counter()
        self._history: set[tuple[Any, ...]] = set()
        self._odoo = psycopg.connect(erp.pg.dsn(erp.dbname), autocommit=True)
        self._executor = ThreadPoolExecutor(1)
        self._run: Future[str | None] | None = None
        self._pid = 0
        #: Whether a partner was deleted since the last check at rest.
        self._unnoticed = False

    def close(self) -> None:
        super().close()
        self._odoo.close()
        if self._run and not self._run.done():
            self.cancel()
        self._executor.shutdown()

    # Operations in Odoo

    def delete_partner(self) -> None:
        """Deletes a partner.

        Odoo's database unsets the brand of its metrics, without a change of write_date.
        """
        self._unnoticed = True
        partner = self.erp.rpc("res.partner", "create", {"name": "Brand for a while", "is_company": True})
        self._of(self.some(), "write", {"brand_id": partner})
        if self.chance.random() < 0.5:
            self.start("auto")
            time.sleep(self.chance.uniform(0, 0.3))
        self.erp.rpc("res.partner", "unlink", [partner])

    # Operations on the mirror

    def start(self, mode: str | None = None) -> None:
        """Starts a run, unless one is running."""
        if self._run and not self._run.done():
            return
        self.take()
        kind = mode or self.chance.choice(["auto", "auto", "incremental", "reconcile", "full", "sync_mirror"])
        statement = (
            "select * from ipai.sync_mirror('sample_metrics')"
            if kind == "sync_mirror"
            else f"call ipai.run_sync('sample_metrics', '{kind}')"
        )
        self._run = self._executor.submit(self._execute, statement)

    def _execute(self, statement: str) -> str | None:
        try:
            with psycopg.connect(self.supabase.cluster.dsn(user="postgres"), autocommit=True) as connection:
                self._pid = connection.info.backend_pid
                connection.execute(statement)
        except psycopg.Error as error:
            assert error.sqlstate in EXPECTED, error
            return error.sqlstate or "gone"
        finally:
            self._pid = 0
        return "well"

    def take(self) -> None:
        """Records the outcome of the previous run, which may be any expected error."""
        if self._run:
            self.ended[str(self._run.result(timeout=120))] += 1
            self._run = None

    def wait(self) -> None:
        time.sleep(self.chance.uniform(0, 0.2))

    def cancel(self) -> None:
        if pid := self._pid:
            self._signal("pg_cancel_backend", pid)

    def terminate(self) -> None:
        if pid := self._pid:
            self._signal("pg_terminate_backend", pid)

    def _signal(self, function: str, pid: int) -> None:
        try:
            self.supabase.rows(f"select {function}(%s)", pid)
        except psycopg.OperationalError:
            wait_for_recovery(self.supabase.cluster)

    def kill(self) -> None:
        if pid := self._pid:
            try:
                kill_backend(self.supabase.cluster, pid)
            except ProcessLookupError:
                return
            wait_for_recovery(self.supabase.cluster)

    # Checks

    def check(self) -> None:
        """Checks that each row equals a committed version of its record in Odoo."""
        try:
            found = self.supabase.mirror(f"odoo_id, {COLUMNS}")
        except psycopg.OperationalError:
            wait_for_recovery(self.supabase.cluster)
            found = self.supabase.mirror(f"odoo_id, {COLUMNS}")
        rows = {tuple(row.values()) for row in found}
        if rows <= self._history:
            return
        # Reads the whole history, because it has no order by commit.
        self._history = {tuple(row) for row in self._odoo.execute(ODOO_ROWS.replace("from ipai_sample_metric", "from history"))}
        never = rows - self._history
        assert not never, sorted(never)[:3]

    def calm(self) -> None:
        """Ends all transactions; one run must make the mirror equal to Odoo."""
        self.proxy.faults = 0
        self.take()
        while self._open:
            self.commit_late()
        self.check()
        # Only a full run detects changes without a new write_date.
        mode = "full" if self._unnoticed else "reconcile"
        self._unnoticed = False
        self.supabase.rows(f"call ipai.run_sync('sample_metrics', '{mode}')")
        assert_equal(self.supabase, self.erp)
        assert self.supabase.rows("select from pg_locks where locktype = 'advisory'") == []

    def live(self, operations: int) -> None:
        sql(self.erp, HISTORY)
        weights: dict[Callable[[], None], int] = {
            self.create: 5,
            self.write: 8,
            self.archive: 3,
            self.unarchive: 3,
            self.delete: 3,
            self.delete_partner: 2,
            self.begin_late: 4,
            self.commit_late: 4,
            self.start: 16,
            self.wait: 12,
            self.cancel: 2,
            self.terminate: 1,
            self.kill: 1,
        }
        for number in range(operations):
            if number % CHECK_INTERVAL == 0:
                self.calm()
                self.proxy.faults = self.chance.choice([0.05, 0.15, 0.3])
            (operation,) = self.chance.choices(list(weights), list(weights.values()))
            self.done[operation.__name__] += 1
            operation()
            self.check()
        self.calm()


@pytest.mark.parametrize("addon", [False, True], ids=["plain", "addon"])
@pytest.mark.parametrize("operations", [OPERATIONS, pytest.param(LONG, marks=pytest.mark.slow)])
def test_random_operations_leave_the_mirror_equal(
    supabase: Supabase, erp: Odoo, request: pytest.FixtureRequest, operations: int, addon: bool
) -> None:
    seed = request.config.getoption("--seed")
    seed = random.randrange(10**6) if seed is None else seed
    # pytest shows it if the test fails.
    print(f"--seed {seed}")
    with (
        Proxy(erp.port, seed) as proxy,
        SECTION.trial(
            f"random operations, {'with the addon' if addon else 'without the addon'}{', long' if operations == LONG else ''}"
        ) as trial,
    ):
        supabase.server(proxy.url, **({} if addon else {"addon": "false"}))
        supabase.register(page_size=50)
        simulation = Simulation(supabase, erp, proxy, seed)
        try:
            simulation.live(operations)
        finally:
            simulation.close()
            print(f"operations {dict(simulation.done)}\nruns {dict(simulation.ended)}\nconnections {proxy.outcomes}")
        trial.record_outcome("the mirror contains only rows that were in Odoo; at the end one run makes it equal")
    assert sum(simulation.done.values()) == operations
    assert simulation.ended["well"] and len(simulation.ended) > 1


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
