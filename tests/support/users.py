"""Random operations in a real Odoo, for simulations of users."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, cast

import psycopg

from harness.odoo import Odoo
from support.comparison import MODEL


class Users:
    """What users do with the metrics of an Odoo, and with SQL in its database."""

    def __init__(self, erp: Odoo, seed: int) -> None:
        self.erp = erp
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()
        #: Open transactions, and the ids of the records that they have changed.
        self._open: dict[psycopg.Connection[Any], list[int]] = {}
        self._number = 0

    def close(self) -> None:
        """Ends all transactions."""
        for connection in self._open:
            connection.close()
        self._open.clear()

    def ids(self, *domain: Any) -> list[int]:
        return cast(list[int], self.erp.rpc(MODEL, "search", list(domain), context={"active_test": False}))

    def some(self, *domain: Any) -> list[int]:
        # A write to a record of an open transaction would wait.
        locked = [number for numbers in self._open.values() for number in numbers]
        ids = self.ids(("id", "not in", locked), *domain)
        return sorted(self.chance.sample(ids, min(len(ids), self.chance.randint(1, 4))))

    def values(self) -> dict[str, Any]:
        self._number += 1
        return {
            "name": f"Life {self._number} ☕ <&>",
            "value": self.chance.choice([0.0, 0.1 + 0.2, -1.5, 1e22, float(self._number)]),
            "notes": self.chance.choice([False, "line\nline", f"note {self._number}"]),
            "date": self.chance.choice([False, "2026-01-05"]),
        }

    def create(self) -> None:
        self.erp.rpc(MODEL, "create", [{"code": "LIFE", "unit": "count", **self.values()} for _ in range(self.chance.randint(1, 5))])

    def write(self) -> None:
        self._of(self.some(), "write", self.values())

    def archive(self) -> None:
        self._of(self.some(("active", "=", True)), "write", {"active": False})

    def unarchive(self) -> None:
        self._of(self.some(("active", "=", False)), "write", {"active": True})

    def delete(self) -> None:
        self._of(self.some(), "unlink")

    def _of(self, ids: list[int], method: str, *args: Any) -> None:
        if ids:
            self.erp.rpc(MODEL, method, ids, *args)

    def begin_late(self) -> None:
        """Begins a transaction that writes now and commits later.

        Odoo's own transactions also set write_date to their start.
        """
        if len(self._open) >= 3:
            return self.commit_late()
        connection = psycopg.connect(self.erp.pg.dsn(self.erp.dbname))
        # Locked records are skipped, so the statement does not wait.
        number = f"Late {self._number}-{len(self._open)}"
        changed = connection.execute(
            """update ipai_sample_metric set name = %s || id, write_date = now() at time zone 'UTC'
               where id in (select id from ipai_sample_metric order by hashint8(id + %s) limit 3 for update skip locked) returning id""",
            [number, self.chance.randrange(10**6)],
        )
        self._open[connection] = [row[0] for row in changed]
        connection.execute(
            """insert into ipai_sample_metric (name, code, unit, active, create_date, write_date)
               values (%s, 'LATE', 'count', true, now() at time zone 'UTC', now() at time zone 'UTC')""",
            [number],
        )
        self._number += 1

    def commit_late(self) -> None:
        if self._open:
            connection = self.chance.choice(list(self._open))
            del self._open[connection]
            connection.rollback() if self.chance.random() < 0.2 else connection.commit()
            connection.close()
