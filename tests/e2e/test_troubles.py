"""Tests random histories of a mirror in whose way something stays over several runs.

    scripts/test troubles --seed 17     one history

Foreign keys keep rows, constraints refuse rows, records exchange unique codes, the table is renamed
and moved, and Odoo cannot send large pages or some records. Every run must bring what can be read
and stored. Once the causes are gone, one run makes the mirror equal to Odoo.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from support.definitions import ScriptedOdoo, create_statement
from support.faulty import Behaviour, Exchange, Record, close_connection, fault, metric, respond_normally, status
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

HISTORIES = 300
#: Histories of one test, so that workers share them.
TOGETHER = 75
OPERATIONS = 8

MEMORY_ERROR = fault(1, 'Traceback (most recent call last):\n  File "a.py", line 1, in a\n    b()\nMemoryError\n')
#: What Odoo answers instead of a page that is too large.
TOO_LARGE = (MEMORY_ERROR, status(413), status(504))
SCHEMAS = ("first", "second")
COLUMNS = ("name", "code", "value", "notes")
REFUSED_VALUE = 13.0


class History:
    """An Odoo and its mirror, whose operations the seed determines."""

    def __init__(self, supabase: Supabase, erp: ScriptedOdoo, seed: int) -> None:
        self.supabase, self.erp = supabase, erp
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.number = 0
        self.connection = supabase.connect()
        self.schema, self.name = "first", "metrics"
        self.room, self.too_large = 1_000, MEMORY_ERROR
        self.unreadable: set[int] = set()
        self.drops = False
        erp.clear_faults()
        erp.records = []
        for method in ("search_read", "read", "export"):
            erp.on(method, self.answer)
        for _ in range(10):
            self.create()
        schemas = "".join(f"drop schema if exists {schema} cascade; create schema {schema};" for schema in SCHEMAS)
        self.execute("set client_min_messages = error; " + schemas)
        self.execute(create_statement("metrics", "first.metrics", fields=",".join(COLUMNS), more=", server => 'odoo', page_size => 8"))
        self.execute("create table first.notes (metric bigint)")
        self.execute("alter table first.metrics add constraint one_code unique (code)")
        self.execute("alter table first.notes add constraint metric foreign key (metric) references first.metrics (odoo_id)")

    def execute(self, statement: str) -> None:
        self.connection.execute(statement)

    @property
    def table(self) -> str:
        return f"{self.schema}.{self.name}"

    # Odoo

    def answer(self, exchange: Exchange) -> None:
        ids = self.erp.sent_ids(exchange.request)
        behave: Behaviour = respond_normally
        if self.unreadable & set(ids) or len(ids) > self.room:
            behave = self.too_large
        elif self.drops and self.chance.random() < 0.1:
            behave = close_connection
        behave(exchange)

    def stamp(self, record: Record, **changes: Any) -> None:
        record.update(changes, write_date=f"{datetime.now(UTC):%F %T}")

    def some(self) -> Record:
        return self.chance.choice(self.erp.records)

    def value(self) -> float:
        return self.chance.choice([REFUSED_VALUE, float(self.chance.randrange(100))])

    def create(self) -> None:
        self.number += 1
        record = metric(self.number, code=f"code {self.number}")
        self.stamp(record, value=self.value())
        self.erp.records.append(record)

    def write(self) -> None:
        self.number += 1
        self.stamp(self.some(), name=f"Name {self.number}", value=self.value())

    def delete(self) -> None:
        # Of an empty model, a run would wait for confirmations.
        if len(self.erp.records) > 5:
            self.erp.records.remove(self.some())

    def swap(self) -> None:
        one, other = self.some(), self.some()
        codes = one["code"], other["code"]
        self.stamp(other, code=codes[0])
        self.stamp(one, code=codes[1])

    def replace(self) -> None:
        gone = self.some()
        self.create()
        self.erp.records.remove(gone)
        self.erp.records[-1]["code"] = gone["code"]

    # Troubles

    def refer(self) -> None:
        self.execute(f"insert into first.notes select odoo_id from {self.table} order by md5(odoo_id::text || '{self.number}') limit 2")

    def check_values(self) -> None:
        self.execute(f"alter table {self.table} drop constraint if exists small")
        self.execute(f"alter table {self.table} add constraint small check (value <> {REFUSED_VALUE}) not valid")

    def rename(self) -> None:
        name = f"metrics_{self.number}_{self.chance.randrange(10**6)}"
        self.execute(f"alter table {self.table} rename to {name}")
        self.name = name

    def move(self) -> None:
        other = SCHEMAS[1 - SCHEMAS.index(self.schema)]
        self.execute(f"alter table {self.table} set schema {other}")
        self.schema = other

    def shrink(self) -> None:
        self.room, self.too_large = self.chance.randint(1, 6), self.chance.choice(TOO_LARGE)

    def grow(self) -> None:
        self.room = 1_000

    def hide(self) -> None:
        self.unreadable = {self.some()["id"] for _ in range(self.chance.randint(0, 2))}

    def remove_causes(self) -> None:
        self.grow()
        self.unreadable, self.drops = set(), False
        self.execute("truncate first.notes")
        self.execute(f"alter table {self.table} drop constraint if exists small")

    # Runs

    def run(self, mode: str | None = None) -> None:
        mode = mode or self.chance.choice(["auto", "incremental", "incremental", "reconcile", "full"])
        self.drops = self.chance.random() < 0.05
        self.execute(f"call ipai.run_sync('metrics', '{mode}')")
        # Nothing else is missing than what is named.
        rejects = {row["odoo_id"] for row in self.supabase.rows("select odoo_id from ipai.sync_rejects")}
        different = self.differences()
        assert different <= rejects, (mode, different, rejects)
        self.done["rejects"] += len(rejects)

    def differences(self) -> set[int]:
        rows = self.supabase.rows(f"select odoo_id, {', '.join(COLUMNS)} from {self.table}")
        mirror = {(row.pop("odoo_id"), *(row[name] for name in COLUMNS)) for row in rows}
        odoo = {(record["id"], *(record[name] or None for name in COLUMNS[:2]), record["value"], record["notes"] or None)
                for record in self.erp.records}  # fmt: skip
        return {row[0] for row in mirror ^ odoo}

    def live(self) -> None:
        weights: dict[Callable[[], None], int] = {
            self.create: 3,
            self.write: 4,
            self.delete: 3,
            self.swap: 2,
            self.replace: 2,
            self.refer: 2,
            self.check_values: 1,
            self.rename: 1,
            self.move: 1,
            self.shrink: 2,
            self.grow: 1,
            self.hide: 1,
            self.remove_causes: 1,
            self.run: 5,
        }
        for operation in self.chance.choices(list(weights), list(weights.values()), k=OPERATIONS):
            self.done[operation.__name__] += 1
            operation()
        self.remove_causes()
        self.run("incremental")
        assert (self.differences(), self.supabase.rows("select * from ipai.sync_rejects")) == (set(), [])


@pytest.fixture
def erp(supabase: Supabase) -> Iterator[ScriptedOdoo]:
    with ScriptedOdoo() as odoo:
        supabase.server(odoo.url, timeout="5")
        yield odoo
    supabase.rows("drop schema if exists first cascade; drop schema if exists second cascade")


@pytest.mark.parametrize("part", range(HISTORIES // TOGETHER))
def test_mirror_is_equal_once_the_troubles_are_gone(
    supabase: Supabase, erp: ScriptedOdoo, request: pytest.FixtureRequest, part: int
) -> None:
    chosen = request.config.getoption("--seed")
    seeds = range(part * TOGETHER, (part + 1) * TOGETHER) if chosen is None else [chosen]
    # Even parts read through the addon.
    erp.addon = part % 2 == 0
    done: Counter[str] = Counter()
    for seed in seeds:
        history = History(supabase, erp, seed)
        try:
            history.live()
        except (AssertionError, psycopg.Error) as error:
            raise AssertionError(f"--seed {seed}, {dict(history.done)}: {error}") from error
        finally:
            history.connection.close()
        supabase.rows("select ipai.drop_mirror('metrics')")
        done += history.done
    print(dict(done))
    # Every trouble occurred.
    assert chosen is not None or all(done[name] > 0 for name in ("refer", "check_values", "rename", "move", "shrink", "hide", "rejects"))
