# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

"""Describes a snapshot of the database in a token, and decides which transactions are newer.

Each row has the number of the transaction that wrote it, ``xmin``. A snapshot lists the
transactions that were running. A row that became visible since was written by one of them that has
ended, or by a later transaction. Subtransactions have higher numbers than their transaction. So
these rows have an ``xmin`` from the lowest such number on: the bound. It does not depend on clocks,
and finds rows of transactions that commit late.
"""

import json
from typing import NamedTuple

from odoo.tools import SQL

# Postgres compares transaction numbers within 2^31 transactions.
MAX_AGE = 1_500_000_000

# A restored backup, a reverted disk and a failover all come with a start of Postgres. Numbers of
# transactions are only comparable between them. After a crash, Postgres recovers without a new
# start, and assigns numbers again of which it had written nothing to disk. It resets its statistics
# then.
MOMENT = """
    SELECT (SELECT oid::int8 FROM pg_database WHERE datname = current_database()),
        concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time())),
        CASE WHEN pg_is_in_recovery() THEN NULL ELSE txid_current_snapshot()::text END,
        extract(epoch FROM now())::int8
"""


class Moment(NamedTuple):
    """What the transaction sees: the server, its snapshot (``None`` on a standby) and its time.

    started: when Postgres started, and when it last recovered from a crash
    """

    database: int
    started: str
    snapshot: str | None
    time: int

    @classmethod
    def now(cls, env):
        return cls(*env.execute_query(SQL(MOMENT))[0])


class Token(NamedTuple):
    """What a mirror has been told.

    definition: a checksum of what the mirror reads
    time: when the tables were scanned
    changed: when a scan found a change
    activity: the sum of the statistics counters of the tables
    states: of each source, by key, the count of its rows; of pairs also the sum of their hashes,
        the sum of the parents, the sum of the parents' squares, and the highest child
    is_exact: 1 if the client has the records as this snapshot shows them, 0 if it reads them later
    """

    database: int
    started: str
    snapshot: str
    definition: int
    time: int
    changed: int
    activity: int
    states: dict
    is_exact: int

    @classmethod
    def parse(cls, text):
        """Return the token, or ``None`` if the text is none."""
        try:
            token = cls(*json.loads(text))
            _parse_snapshot(token.snapshot)
        except (TypeError, ValueError, AttributeError, RecursionError):
            return None
        numbers = (token.database, token.definition, token.time, token.changed, token.activity, token.is_exact)
        is_valid = (
            all(type(number) is int for number in numbers)
            and isinstance(token.states, dict)
            and all(isinstance(state, list) and all(type(number) is int for number in state) for state in token.states.values())
        )
        return token if is_valid else None

    def __str__(self):
        return json.dumps(self, separators=(",", ":"))

    @property
    def next_transaction(self):
        return _parse_snapshot(self.snapshot)[0]

    def is_comparable(self, moment, definition):
        """Return whether the token says anything about the database at this moment."""
        if (self.database, self.started, self.definition) != (moment.database, moment.started, definition):
            return False
        next_transaction = _parse_snapshot(moment.snapshot)[0]
        return _parse_snapshot(self.snapshot)[0] <= next_transaction <= self.bound(moment) + MAX_AGE

    def bound(self, moment):
        """Return the lowest transaction whose rows may have become visible since the token."""
        next_transaction, running = _parse_snapshot(self.snapshot)
        return min({next_transaction, *(running - _parse_snapshot(moment.snapshot)[1])})


def ages(env, bounds):
    """Return the age of each transaction number, as ``age(xmin)`` counts in this transaction."""
    bounds = sorted(bounds)
    if not bounds:
        return {}
    terms = [SQL("age(%s::text::xid)", str(bound % 2**32)) for bound in bounds]
    return dict(zip(bounds, env.execute_query(SQL("SELECT %s", SQL(", ").join(terms)))[0], strict=True))


def _parse_snapshot(snapshot):
    """Return the first number that was not assigned yet, and the running transactions."""
    _oldest, next_transaction, running = snapshot.split(":")
    return int(next_transaction), {int(number) for number in running.split(",") if number}
