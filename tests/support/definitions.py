"""Provides a scripted Odoo with changing fields, and sessions that block one another."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import psycopg
import pytest

from harness import shell
from support.faulty import MODEL, RECORDED, FaultyOdoo, Record, Request, result
from support.sessions import Connection, running_statement
from support.supabase import Supabase, fetch_rows

Row = TypeVar("Row")


class ScriptedOdoo(FaultyOdoo):
    """A scripted Odoo for `ipai.create_mirror`, whose fields may be missing."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        super().__init__(records)
        #: Fields that the model does not have at present.
        self.missing_fields: set[str] = set()
        #: Fields that the model has besides the recorded ones, with the attributes that differ from
        #: those of a stored char.
        self.extra_fields: dict[str, dict[str, Any]] = {}

    def answer(self, request: Request) -> bytes:
        if request.method == "get_available_models":
            return result([{"model": MODEL, "display_name": "Metric"}])
        if request.method == "search_read" and self.missing_fields & set(request.kwargs["fields"]):
            return (RECORDED / "fault_unknown_field_in_fields.xml").read_bytes()
        if request.method.startswith("search") and self.missing_fields & {term[0] for term in request.domain}:
            return (RECORDED / "fault_unknown_field_in_domain.xml").read_bytes()
        if (request.model, request.method) == (MODEL, "read"):
            names = ["id", *request.kwargs["fields"]]
            return result([{name: record[name] for name in names} for record in self.records if record["id"] in request.args[0]])
        body = super().answer(request)
        if request.method != "fields_get":
            return body
        (fields,), _ = cast(tuple[tuple[dict[str, Any]], Any], xmlrpc.client.loads(body))
        fields |= {name: {"type": "char", "string": name, "store": True} | changes for name, changes in self.extra_fields.items()}
        return result({name: field for name, field in fields.items() if name not in self.missing_fields})


def expect_error(supabase: Supabase, sql: str, *args: Any, user: str = "postgres") -> psycopg.errors.Diagnostic:
    """Runs a statement that must fail, and returns its error."""
    with pytest.raises(psycopg.Error) as error:
        supabase.rows(sql, *args, user=user)
    return error.value.diag


def catalog_snapshot(supabase: Supabase) -> list[dict[str, Any]]:
    """Returns all relations, columns, functions, mirrors and runs of the database."""
    return supabase.rows(
        """select 'relation' as kind, oid::regclass::text as name from pg_class where relnamespace::regnamespace::text !~ '^pg_(toast|catalog)'
           union all select 'column', attrelid::regclass || '.' || attname from pg_attribute
               where attnum > 0 and attrelid in (select oid from pg_class where relkind = 'r' and relnamespace::regnamespace::text !~ '^pg_')
           union all select 'function', oid::regprocedure::text from pg_proc where pronamespace::regnamespace::text <> 'pg_catalog'
           union all select 'mirror', m::text from ipai.mirrors m
           union all select 'run', r::text from ipai.run_log r
           order by 1, 2"""
    )


@contextmanager
def blocked_statement(supabase: Supabase, statement: str, holder: Connection) -> Iterator[Future[Any]]:
    """Runs a statement in its own session, and yields once it waits for a lock of `holder`."""
    connection = supabase.connect()
    waits = "select %s = any (pg_blocking_pids(%s)) as waits"

    def is_waiting() -> bool:
        assert not call.done(), call.exception() or call.result()
        return bool(supabase.row(waits, holder.info.backend_pid, connection.info.backend_pid)["waits"])

    with running_statement(supabase, connection, statement) as call:
        shell.wait_until(is_waiting, "a session that waits for another", seconds=10, every=0.02)
        yield call


def execute(connection: psycopg.Connection[Row], sql: str) -> list[Row]:
    """Runs a statement on this connection and returns its rows."""
    cursor = connection.execute(sql)
    return fetch_rows(cursor)


def create_statement(name: str, target: str, *, fields: str = "name,write_date", more: str = "") -> str:
    """Returns the statement that creates a mirror of the metrics."""
    return f"select * from ipai.create_mirror('{MODEL}', '{target}', '{{{fields}}}', name => '{name}'{more})"
