"""Tests random operations on a real Odoo whose mirrors are followed.

    scripts/test --slow live_simulation    thousands of operations, as scripts/nightly does

Odoo has two workers, and reaches its Postgres through PgBouncer in transaction mode. Users change
metrics, contacts, tags and users, also by SQL; transactions with savepoints commit late; tables are
rewritten; the database is restored, its disk is reverted, and a standby takes over. The follower is
cancelled and killed. Soon after the operations pause, each mirror must equal Odoo.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from harness.odoo import MODULES, Odoo, generate_metrics
from support.comparison import MODEL, differences
from support.crashes import crash
from support.failures import PooledOdoo
from support.follower import ENDS, Follower
from support.model_comparison import compare
from support.program import ProgramSupabase
from support.supabase import Supabase
from support.users import Users

OPERATIONS, LONG = 300, 4_000
#: Operations between two pauses, and between two failures of Odoo's Postgres.
PAUSE, FAILURE = 20, 50
METRICS = 300
#: How soon a mirror must equal Odoo, in seconds: usually, and for some time after a failure, when
#: the follower waits before it tries again, and reads everything.
SOON, LATER = 10, 60

CONTACT, TAG = "res.partner", "res.partner.category"
RELATION = "res_partner_res_partner_category_rel"
#: Tables that operations rewrite.
TABLES = ("ipai_sample_metric", "res_partner", "res_partner_category", RELATION)

#: Mirrors of a model with fields, a domain, and the same domain in SQL.
MIRRORS: dict[str, tuple[str, list[str] | None, list[Any], str]] = {
    "positive": (MODEL, None, [["value", ">", 0]], "r.value > 0"),
    "of_life": (
        MODEL,
        ["name", "brand_id", "value"],
        [["brand_id.name", "like", "Life"]],
        "exists (select from res_partner p where p.id = r.brand_id and p.name like '%Life%')",
    ),
    "contacts": (CONTACT, ["name", "active", "email", "parent_id", "commercial_partner_id", "category_id", "properties"], [], "true"),
    "tags": (TAG, ["name", "color", "active", "partner_ids"], [], "true"),
}
#: Fields that `res.users` has from `res.partner`, which are not its own columns.
USERS = ["login", "name", "email"]
ODOO_USERS = "select u.id, u.login, p.name, p.email from res_users u join res_partner p on p.id = u.partner_id order by 1"


@pytest.fixture(scope="module")
def pooled() -> Iterator[PooledOdoo]:
    with PooledOdoo(MODULES) as pooled:
        generate_metrics(pooled.odoo, METRICS)
        for name in ("clerk", "manager"):
            pooled.odoo.create_user(name, f"{name} password")
        yield pooled


# Users --------------------------------------------------------------------------------------------


class Traffic:
    """Small transactions in Odoo's database, one after the other, with savepoints."""

    def __init__(self, erp: Odoo, seed: int) -> None:
        self.erp = erp
        self.commits = 0
        self._chance = random.Random(seed)
        #: Held while they must pause.
        self.lock = threading.Lock()
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._repeat)
        self._thread.start()

    def _repeat(self) -> None:
        while not self._is_stopped.is_set():
            with (
                self.lock,
                suppress(psycopg.OperationalError, psycopg.Rollback),
                psycopg.connect(self.erp.pg.dsn(self.erp.dbname)) as connection,
            ):
                for _ in range(5):
                    self._write(connection)
                    connection.commit()
                    self.commits += 1
            self._is_stopped.wait(0.05)

    def _write(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("set local lock_timeout = '100ms'")
        for depth in range(self._chance.randint(1, 4)):
            with connection.transaction():
                connection.execute(
                    """update ipai_sample_metric set value = %s where id in
                       (select id from ipai_sample_metric order by hashint8(id + %s) limit 1 for no key update skip locked)""",
                    [self._chance.choice([-1.0, 2.0, float(self.commits)]), self._chance.randrange(10**6)],
                )
                if self._chance.random() < 0.3:
                    raise psycopg.Rollback
            if depth == 2:
                time.sleep(self._chance.uniform(0, 0.2))

    @contextmanager
    def paused(self) -> Iterator[None]:
        with self.lock:
            yield

    def stop(self) -> None:
        self._is_stopped.set()
        self._thread.join()


class Company(Users):
    """Users of a followed Odoo, and what happens to its Postgres."""

    def __init__(self, supabase: Supabase, pooled: PooledOdoo, seed: int) -> None:
        super().__init__(pooled.odoo, seed)
        self.supabase = supabase
        self.pooled = pooled
        self.follower = Follower(supabase)
        self.traffic = Traffic(pooled.odoo, seed)
        self.slowest = 0.0
        #: When the follower or Odoo's Postgres last failed.
        self.failed = time.monotonic()
        #: The latest operations.
        self.trail: deque[str] = deque(maxlen=PAUSE)

    def close(self) -> None:
        self.traffic.stop()
        super().close()
        self.follower.stop()

    def sql(self, statement: str, *args: Any) -> None:
        """Executes a statement, unless it would wait for another transaction for long."""
        with psycopg.connect(self.erp.pg.dsn(self.erp.dbname), autocommit=True) as connection:
            connection.execute("set lock_timeout = '300ms'")
            with suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                connection.execute(statement, args or None)
                return
        self.done["skipped"] += 1

    # Metrics

    def update_by_sql(self) -> None:
        """Changes rows, also those at both sides of a domain, without a new write date."""
        self.sql("update ipai_sample_metric set value = -value, notes = %s where id = any (%s)", f"SQL {self._number}", self.some())

    def replace_by_sql(self) -> None:
        """Replaces rows by as many others."""
        self.sql(
            """with gone as (delete from ipai_sample_metric where id = any (%s) returning name, value)
               insert into ipai_sample_metric (name, code, unit, value, active) select name, 'SQL', 'count', value, true from gone""",
            self.some(),
        )

    def begin_late(self) -> None:
        super().begin_late()
        for connection in self._open:
            with connection.transaction():
                connection.execute("insert into ipai_sample_metric (name, code, unit, value) values ('Inner', 'LATE', 'count', 1)")
                if self.chance.random() < 0.3:
                    raise psycopg.Rollback

    def set_brand(self) -> None:
        if found := self._contacts():
            self._of(self.some(), "write", {"brand_id": self.chance.choice(found)})

    # Contacts, tags and users

    def _contacts(self) -> list[int]:
        found: list[int] = self.erp.rpc(CONTACT, "search", [("ref", "=", "LIFE")], limit=40)
        return found

    def _tags(self) -> list[int]:
        found: list[int] = self.erp.rpc(TAG, "search", [("name", "like", "Life")])
        return self.chance.sample(found, min(len(found), self.chance.randint(0, 4)))

    def create_contacts(self) -> None:
        tags = self._tags()
        values = [{"name": f"Contact {self._number}-{n}", "ref": "LIFE", "category_id": [(6, 0, tags)]} for n in range(3)]
        self._number += 1
        self.erp.rpc(CONTACT, "create", values)

    def write_contact(self) -> None:
        if found := self._contacts():
            self._number += 1
            name = f"{self.chance.choice(['Life', 'Contact'])} {self._number}"
            values: dict[str, Any] = {"name": name, "email": f"a{self._number}@example.com", "active": self.chance.random() < 0.9}
            parents = [parent for parent in found if parent < min(found) + 3]
            chosen = self.chance.choice(found)
            if chosen not in parents:
                values["parent_id"] = self.chance.choice([False, *parents])
            self.erp.rpc(CONTACT, "write", [chosen], values)

    def tag_contacts(self) -> None:
        if found := self._contacts():
            self.erp.rpc(CONTACT, "write", self.chance.sample(found, min(len(found), 3)), {"category_id": [(6, 0, self._tags())]})

    def tag_from_the_other_side(self) -> None:
        contacts = [(4, number) for number in self._contacts() if self.chance.random() < 0.3]
        if tags := self._tags():
            contacts = [(self.chance.choice([3, 4]), number) for _, number in contacts]
            self.erp.rpc(TAG, "write", tags[:1], {"partner_ids": contacts})
        else:
            self._number += 1
            self.erp.rpc(TAG, "create", {"name": f"Life {self._number}", "partner_ids": contacts})

    def tag_by_sql(self) -> None:
        self.sql(
            f"""with gone as (delete from {RELATION} where (partner_id, category_id) in (select partner_id, category_id from {RELATION}
                    order by hashint8(partner_id * 7 + %s) limit 2) returning partner_id, category_id)
                insert into {RELATION} (partner_id, category_id)
                select p.id, c.id from res_partner p, res_partner_category c where p.ref = 'LIFE' and hashint8(p.id * 31 + c.id + %s) %% 9 = 0
                limit (select count(*) from gone) on conflict do nothing""",
            *(self._number, self._number),
        )

    def delete_tag(self) -> None:
        if tags := self._tags():
            self.erp.rpc(TAG, "unlink", tags[:1])

    def _new_brands(self, count: int) -> list[int]:
        brands = [self.erp.rpc(CONTACT, "create", {"name": f"Life brand {n}", "is_company": True}) for n in range(count)]
        for brand in brands:
            self._of(self.some(), "write", {"brand_id": brand})
        return brands

    def delete_brand(self) -> None:
        """Deletes a contact. Odoo's database unsets the brand of its metrics."""
        self.erp.rpc(CONTACT, "unlink", self._new_brands(1))

    def merge_contacts(self) -> None:
        """Merges contacts. Odoo changes the foreign keys of all tables by SQL."""
        brands = self._new_brands(2)
        wizard = "base.partner.merge.automatic.wizard"
        merge = self.erp.rpc(wizard, "create", {"partner_ids": [(6, 0, brands)], "dst_partner_id": brands[0]})
        self.erp.rpc(wizard, "action_merge", [merge])
        self.erp.rpc(CONTACT, "write", brands[:1], {"ref": "LIFE"})

    def define_properties(self) -> None:
        (partner,) = self.erp.rpc(CONTACT, "read", [1], ["properties_base_definition_id"], load="")
        self._number += 1
        definition = [
            {"name": "a1", "type": "char", "string": f"Slogan {self._number}"},
            *([{"name": "b2", "type": "integer", "string": "Shops"}] if self.chance.random() < 0.7 else []),
        ]
        self.erp.rpc(
            "properties.base.definition", "write", [partner["properties_base_definition_id"]], {"properties_definition": definition}
        )

    def write_properties(self) -> None:
        if found := self._contacts():
            self._number += 1
            self.erp.rpc(CONTACT, "write", [self.chance.choice(found)], {"properties": {"a1": f"Slogan of {self._number}"}})

    def write_user(self) -> None:
        """Writes a user, whose name is in the table of contacts."""
        self._number += 1
        (user,) = self.erp.rpc("res.users", "search", [("login", "=", "clerk")])
        self.erp.rpc("res.users", "write", [user], {"name": f"Clerk {self._number}"})

    def write_user_by_sql(self) -> None:
        self._number += 1
        self.sql(
            "update res_partner p set email = %s from res_users u where u.partner_id = p.id and u.login = 'manager'", f"m{self._number}"
        )

    # Tables

    def vacuum_full(self) -> None:
        self.sql(f"vacuum full {self.chance.choice(TABLES)}")

    def vacuum_freeze(self) -> None:
        self.sql(f"vacuum freeze {self.chance.choice(TABLES)}")

    def rewrite(self) -> None:
        """Rewrites a table in a transaction of some polls, as an update of a module does."""
        table = self.chance.choice(TABLES)
        with psycopg.connect(self.erp.pg.dsn(self.erp.dbname)) as connection:
            connection.execute("set local lock_timeout = '300ms'")
            try:
                connection.execute(f"alter table {table} add column ipai_rewritten float8 default random()")
                connection.execute(f"alter table {table} drop column ipai_rewritten")
            except psycopg.errors.LockNotAvailable:
                self.done["skipped"] += 1
                return connection.rollback()
            time.sleep(self.chance.uniform(0, 1))

    # The follower

    def wait(self) -> None:
        time.sleep(self.chance.uniform(0, 0.4))

    def cancel(self) -> None:
        self.follower.cancel()
        self.failed = time.monotonic()

    def kill(self) -> None:
        self.follower.kill()
        self.failed = time.monotonic()

    # Failures of Odoo's Postgres

    def fail(self, failure: Callable[[], None]) -> None:
        with self.traffic.paused():
            super().close()
            failure()
        self.failed = time.monotonic()

    def restore_database(self) -> None:
        self.fail(self.pooled.restore_database)

    def revert_disk(self) -> None:
        self.fail(self.pooled.revert_disk)

    def crash(self) -> None:
        def crash_and_wait() -> None:
            crash(self.erp.pg)
            self.pooled.wait()

        self.fail(crash_and_wait)

    def fail_over(self) -> None:
        """Lets a standby take over, which may lack the latest transactions."""
        standby = self.pooled.start_standby()
        self.write()
        if self.chance.random() < 0.7:
            standby.psql("alter system set primary_conninfo = ''")
            standby.psql("select pg_reload_conf()")
            self.create()
            self.update_by_sql()
            self.pause()
        self.fail(lambda: self.pooled.fail_over(standby))

    # Checks

    def differences(self) -> dict[str, Any]:
        found: dict[str, Any] = {"sample_metrics": differences(self.supabase, self.erp)}
        for name, (_, _, _, where) in MIRRORS.items():
            found[name] = compare(self.supabase, self.erp, name, where=where).differences
        with psycopg.connect(self.erp.pg.dsn(self.erp.dbname)) as connection:
            users = connection.execute(ODOO_USERS).fetchall()
        found["definitions"] = self._different_properties()
        rows = [tuple(row.values()) for row in self.supabase.rows(f"select odoo_id, {', '.join(USERS)} from ipai.users_rows order by 1")]
        found["users"] = [] if rows == users else [pair for pair in zip(users, rows, strict=False) if pair[0] != pair[1]] or [users, rows]
        return {name: of_mirror[:3] for name, of_mirror in found.items() if of_mirror}

    def _different_properties(self) -> list[Any]:
        """Compares the properties with their definitions, which the API alone returns."""
        mirrored = {row["odoo_id"]: row["properties"] for row in self.supabase.rows("select odoo_id, properties from ipai.contacts_rows")}
        contacts = self.erp.rpc(CONTACT, "search_read", [], ["properties"], context={"active_test": False})
        return [(row, mirrored.get(row["id"])) for row in contacts if row["properties"] != (mirrored.get(row["id"]) or [])]

    def pause(self) -> None:
        """Ends all transactions; the mirrors must become equal to Odoo by themselves."""
        with self.traffic.paused():
            while self._open:
                self.commit_late()
            began = time.monotonic()
            limit = LATER if began - self.failed < LATER else SOON
            while found := self.differences():
                assert time.monotonic() - began < limit, (found, self.trail)
                time.sleep(0.1)
            self.slowest = max(self.slowest, time.monotonic() - began)

    def live(self, operations: int) -> None:
        weights: dict[Callable[[], None], int] = {
            **dict.fromkeys((self.create, self.write, self.update_by_sql, self.write_contact, self.tag_contacts), 6),
            **dict.fromkeys((self.begin_late, self.commit_late, self.delete, self.replace_by_sql, self.create_contacts), 4),
            **dict.fromkeys((self.tag_from_the_other_side, self.tag_by_sql, self.set_brand), 4),
            **dict.fromkeys((self.archive, self.unarchive, self.delete_tag, self.delete_brand, self.merge_contacts), 2),
            **dict.fromkeys((self.define_properties, self.write_properties, self.write_user, self.write_user_by_sql), 2),
            **dict.fromkeys((self.vacuum_full, self.vacuum_freeze, self.rewrite), 2),
            self.wait: 8,
            self.cancel: 1,
            self.kill: 1,
        }
        failures = [self.restore_database, self.revert_disk, self.fail_over, self.crash]
        # In each copy: values without a definition are invisible.
        self.define_properties()
        self.pooled.save_database()
        self.pooled.save_disk()
        for number in range(operations):
            if number % PAUSE == 0:
                self.pause()
            if number % FAILURE == FAILURE // 2:
                failure = failures[number // FAILURE % len(failures)]
                self.done[failure.__name__] += 1
                failure()
            (operation,) = self.chance.choices(list(weights), list(weights.values()))
            self.done[operation.__name__] += 1
            self.trail.append(operation.__name__)
            operation()
        self.pause()


def mirror(supabase: Supabase, pooled: PooledOdoo) -> None:
    supabase.server(pooled.odoo.url, dbname=pooled.odoo.dbname)
    supabase.register(page_size=50)
    for name, (model, fields, domain, _) in MIRRORS.items():
        supabase.create_mirror(model, name=name, target=f"ipai.{name}_rows", domain=domain, **({"fields": fields} if fields else {}))
    supabase.create_mirror("res.users", name="users", target="ipai.users_rows", fields=USERS)
    supabase.rows("select ipai.alter_mirror(name, max_delete_ratio => 1) from ipai.mirrors")
    supabase.rows("call ipai.run_sync()")


def simulate(supabase: Supabase, pooled: PooledOdoo, request: pytest.FixtureRequest, operations: int) -> None:
    seed = request.config.getoption("--seed")
    seed = random.randrange(10**6) if seed is None else seed
    # pytest shows it if the test fails.
    print(f"--seed {seed}")
    mirror(supabase, pooled)
    company = Company(supabase, pooled, seed)
    try:
        company.live(operations)
    finally:
        company.close()
        runs = {
            f"{row['mode']} {row['state']}": (row["n"], row["changes"])
            for row in supabase.rows(
                """select mode, state, count(*) as n, sum(inserted + updated + deleted)::int as changes
                   from ipai.sync_runs group by 1, 2 order by 1, 2"""
            )
        }
        print(f"operations {dict(company.done)}\nfollowers {dict(company.follower.ended)}\nruns and their changes {runs}")
        print(f"commits by SQL {company.traffic.commits}, slowest pause {company.slowest:.1f} s")
    # The log has one row for the live runs of a mirror within a minute.
    assert runs["live succeeded"][1] > operations
    assert set(company.follower.ended) <= ENDS


@pytest.mark.parametrize("operations", [OPERATIONS, pytest.param(LONG, marks=pytest.mark.slow)])
def test_followed_mirrors_equal_odoo_at_each_pause(
    supabase: Supabase, pooled: PooledOdoo, request: pytest.FixtureRequest, operations: int
) -> None:
    simulate(supabase, pooled, request, operations)


@pytest.mark.slow
def test_mirrors_that_the_program_follows_equal_odoo_at_each_pause(
    hosted_supabase: ProgramSupabase, pooled: PooledOdoo, request: pytest.FixtureRequest
) -> None:
    simulate(hosted_supabase, pooled, request, LONG // 4)
