# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

"""Reads from tables which rows changed since a snapshot, with few statements."""

import time
from typing import NamedTuple

import psycopg2
from odoo.tools import SQL

# A scan that collects more ids returns MANY.
MAX_IDS = 5000
MANY = "many"

# One statement scans this many sources, or tables with this many rows.
BATCH_SOURCES = 50
BATCH_ROWS = 20_000

# A statement that waits longer for a lock, or takes longer, fails: its tables are left for a later
# call.
LOCK_TIMEOUT = "200ms"
STATEMENT_TIMEOUT = "60s"

# The file in which the snapshot shows a table. Postgres counts changes of rows with a delay.
TABLES = """
    SELECT name, c.oid::int8, c.relfilenode::int8, pg_stat_get_live_tuples(c.oid),
        pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid)
    FROM unnest(%s::text[]) AS name
    JOIN pg_class c ON c.oid = to_regclass(quote_ident(name))
    WHERE c.relkind = 'r'
"""

# `pg_relation_filenode` returns the file of now: another one if the table was rewritten, or NULL.
REWRITTEN = """
    SELECT name FROM unnest(%s::text[], %s::int8[], %s::int8[]) AS known (name, oid, filenode)
    WHERE pg_relation_filenode(oid::oid) IS DISTINCT FROM filenode::oid
"""

IS_CHANGED = "age(xmin) BETWEEN 0 AND %s"

# 0 stands for NULL, which a relation or the parent of a line may be.
SCAN = f"""
    SELECT %s, count(*), (array_agg(DISTINCT COALESCE(%s, 0)::int8) FILTER (WHERE {IS_CHANGED}))[:{MAX_IDS + 1}]
    FROM %s WHERE %s
"""


def _pair_state(condition=""):
    terms = ("count(*)", "sum(hash)", "sum(parent)", "sum(parent * parent)", "max(child)")
    # Text, because Odoo reads numeric as float.
    values = ", ".join(f"COALESCE({term}{condition}, 0)" for term in terms)
    return f"ARRAY[{values}]::text[]"


# The states (of Token) of all pairs, of the changed ones, and of those whose child is not new. The
# hash of one int8 with both ids would be that of their XOR, which many pairs share.
PAIRS = f"""
    SELECT {_pair_state()}, {_pair_state(" FILTER (WHERE is_changed)")},
        {_pair_state(" FILTER (WHERE is_changed AND child <= %s)")}
    FROM (
        SELECT parent, child, hashint8extended(child, hashint8extended(parent, 0)) AS hash, is_changed
        FROM (
            SELECT COALESCE(%s, 0)::int8 AS parent, COALESCE(%s, 0)::int8 AS child, {IS_CHANGED} AS is_changed
            FROM %s WHERE %s
        ) AS ids
    ) AS pairs
"""


# A limit of rows lets the client read the whole model instead.
LINKED = f"SELECT id FROM %s WHERE %s = ANY(%s) LIMIT {MAX_IDS + 1}"
ALL_IDS = f"SELECT id FROM %s LIMIT {MAX_IDS + 1}"


class Table(NamedTuple):
    oid: int
    filenode: int
    rows: int
    activity: int


class Found(NamedTuple):
    """The rows of a source: their count, and the ids of the changed ones or ``MANY``."""

    count: int
    ids: set | str


class Later(Exception):
    """A table cannot be read now."""


def limit_waiting(env):
    """Let statements of this transaction fail instead of waiting for long."""
    env.execute_query(
        SQL(
            "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
            LOCK_TIMEOUT,
            STATEMENT_TIMEOUT,
        )
    )


class Scanner:
    """Scans sources within the snapshot of the transaction, each of them once."""

    def __init__(self, env, names, deadline=float("inf")):
        self.env = env
        self.deadline = deadline
        self.tables = {name: Table(*row) for name, *row in env.execute_query(SQL(TABLES, sorted(names)))}
        self._found = {}
        self._pairs = {}
        self._batch = []
        self._batch_rows = 0

    def activity(self, names):
        """Return how many changes of rows Postgres has counted, which may be too few."""
        return sum(self.tables[name].activity for name in names)

    def found(self, source, age):
        """Return what the scan of a source has found, or raise its error."""
        found = self._found[source, age]
        if isinstance(found, Exception):
            raise found
        return found

    def pairs(self, source, age, child):
        """Return the states of all pairs, of changed ones, and of changed ones up to a child."""
        key = (source, age, child)
        if key not in self._pairs:
            columns = (SQL.identifier(source.parent), SQL.identifier(source.child))
            query = SQL(PAIRS, *[child] * PAIRS.count("child <= %s"), *columns, age, SQL.identifier(source.table), _where(source))
            self._pairs[key] = [[int(number) for number in state] for state in self._execute(query)[0]]
        return self._pairs[key]

    def linked(self, links, ids):
        """Return the ids to which the links lead from the given ids."""
        for table, column in links:
            if ids and ids != MANY:
                query = SQL(LINKED, SQL.identifier(table), SQL.identifier(column), list(ids))
                ids = _at_most(self._execute(query))
        return ids

    def all_ids(self, table):
        return _at_most(self._execute(SQL(ALL_IDS, SQL.identifier(table))))

    def rewritten(self):
        """Return the names of the tables that look empty, or as before, because they were rewritten.

        The check comes after the scans: a table that is rewritten between both is left out too.
        """
        tables = self.tables.items()
        names, oids, files = [name for name, _ in tables], [table.oid for _, table in tables], [table.filenode for _, table in tables]
        return {name for (name,) in self._execute(SQL(REWRITTEN, names, oids, files))}

    def add(self, source, age):
        """Scan a source for rows of at most this age, now or with others by ``flush``."""
        if (source, age) in self._found:
            return
        self._found[source, age] = None
        self._batch.append((source, age))
        self._batch_rows += self.tables[source.table].rows
        if len(self._batch) >= BATCH_SOURCES or self._batch_rows >= BATCH_ROWS:
            self.flush()

    def flush(self):
        batch, self._batch, self._batch_rows = self._batch, [], 0
        self._scan(batch)

    def _scan(self, batch):
        if not batch:
            return
        parts = [
            SQL(SCAN, place, _column(source.parent), age, SQL.identifier(source.table), _where(source))
            for place, (source, age) in enumerate(batch)
        ]
        try:
            rows = self._execute(SQL(" UNION ALL ").join(parts))
        except (Later, psycopg2.DatabaseError) as error:
            if len(batch) == 1:
                self._found[batch[0]] = error
                return
            for scan in batch:
                # Tables that a module's update locks would take the time of all others.
                self._found[scan] = Later()
                if time.monotonic() <= self.deadline:
                    self._scan([scan])
            return
        for place, count, ids in rows:
            ids = ids or ()
            self._found[batch[place]] = Found(count, MANY if len(ids) > MAX_IDS else set(ids))

    def _execute(self, query):
        """Return the rows of a query, and release its locks.

        Otherwise a call would lock hundreds of tables, with all their indexes, until its end.
        """
        cr = self.env.cr
        savepoint = cr.savepoint(flush=False)
        try:
            cr.execute(query, log_exceptions=False)
            return cr.fetchall()
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled) as error:
            raise Later from error
        finally:
            savepoint.close(rollback=True)


def _column(name):
    return SQL.identifier(name) if name else SQL("0")


def _where(source):
    terms = [
        SQL("%s IS NOT NULL", SQL.identifier(column)) if value is None else SQL("%s = %s", SQL.identifier(column), value)
        for column, value in source.where
    ]
    return SQL(" AND ").join(terms) if terms else SQL("TRUE")


def _at_most(rows):
    ids = {id_ for (id_,) in rows}
    return MANY if len(rows) > MAX_IDS else ids
