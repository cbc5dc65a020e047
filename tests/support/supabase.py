"""Provides a Supabase-like database with the extension, and the calls that tests make on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from harness.odoo import Odoo, api_key
from harness.postgres import Cluster
from support.crashes import kill_backend, wait_for_recovery

Row = TypeVar("Row")

#: The number of metrics in Odoo for tests that compare the whole mirror.
ROWS = 2_000


class Supabase:
    """A Supabase-like cluster with extension, migrations and an empty mirror for each test."""

    #: The SQLSTATE of a call whose backend was terminated.
    lost_connection = "57P01"
    #: Whether ipai.sync_mirror() is one transaction.
    syncs_in_transactions = True

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        #: The wire format of the servers that the test creates: auto, or json2 with API keys.
        self.protocol = "auto"
        self._connections: list[psycopg.Connection[dict[str, Any]]] = []
        self._own_tables = self._tables()

    def connect(self, user: str = "postgres", **options: Any) -> psycopg.Connection[dict[str, Any]]:
        """Opens a connection in autocommit mode, which is closed after the test."""
        connection = self._open(user, **options)
        self._connections.append(connection)
        return connection

    def _open(self, user: str, **options: Any) -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(self.cluster.dsn(user=user), autocommit=True, row_factory=dict_row, **options)

    def rows(self, sql: str, *args: Any, user: str = "postgres") -> list[dict[str, Any]]:
        """Runs a statement and returns its rows as dictionaries."""
        with self._open(user) as connection:
            cursor = connection.execute(sql, args or None)
            return fetch_rows(cursor)

    def warnings(self, sql: str, *args: Any) -> list[str]:
        """Runs a statement, and returns the messages of its warnings."""
        found: list[str] = []
        connection = self.connect()
        connection.add_notice_handler(lambda notice: found.append(notice.message_primary or "") if notice.severity == "WARNING" else None)
        connection.execute(sql, args or None)
        return found

    def row(self, sql: str, *args: Any, user: str = "postgres") -> dict[str, Any]:
        """Runs a statement that returns one row."""
        (row,) = self.rows(sql, *args, user=user)
        return row

    def server(
        self, url: str, *, name: str = "odoo", dbname: str = "odoo", user: str = "admin", password: str = "admin", **options: str
    ) -> None:
        """Creates a foreign server, and a user mapping of role postgres with a secret in Vault.

        With the protocol json2, the secret is the API key of the user.
        """
        options = {"protocol": self.protocol, **options} if self.protocol != "auto" else options
        if options.get("protocol") == "json2":
            password = api_key(user, password)
        listed = ", ".join(f"{key} {_literal(value)}" for key, value in {"url": url, "dbname": dbname, **options}.items())
        self.rows(f"create server {name} foreign data wrapper ipai_odoo options ({listed})")
        self.rows(f"create user mapping for postgres server {name} options (user {_literal(user)}, password_secret '{name}_password')")
        self.rows("select ipai.set_odoo_password(%s, %s)", name, password)

    def uses_json2(self, server: str = "odoo") -> bool:
        """Returns whether the server was created for JSON-2 only."""
        options = "select from pg_foreign_server where srvname = %s and 'protocol=json2' = any (srvoptions)"
        return bool(self.rows(options, server))

    def set_url(self, url: str, server: str = "odoo") -> None:
        """Changes the address of a foreign server, and binds its secret to it."""
        self.rows(f"alter server {server} options (set url {_literal(url)})")
        self.bind(url, server)

    def bind(self, url: str, server: str = "odoo") -> None:
        """Binds the secret of a server to its present options."""
        self.rows("select ipai.bind_odoo_secret(%s, %s, %s)", server, f"{server}_password", url)

    def set_login(self, user: str, password: str = "admin", server: str = "odoo") -> None:
        """Changes the Odoo user of a server, and the user's password."""
        self.rows(f"alter user mapping for postgres server {server} options (set user {_literal(user)})")
        self.rows("select ipai.set_odoo_password(%s, %s)", server, password)

    def login(self, server: str = "odoo") -> str:
        """Returns the Odoo user of a server."""
        options = self.row("select umoptions from pg_user_mappings where srvname = %s and umoptions is not null limit 1", server)
        found: str = dict(option.split("=", 1) for option in options["umoptions"])["user"]
        return found

    def hint(self, text: str) -> str:
        """Returns a hint that names functions of the extension, in the words of this host."""
        return text

    def cancel(self, connection: psycopg.Connection[Any]) -> None:
        """Cancels the call that the connection is executing."""
        self.row("select pg_cancel_backend(%s)", connection.info.backend_pid)

    def kill(self, connection: psycopg.Connection[Any]) -> None:
        """Kills the process that executes the connection's call."""
        kill_backend(self.cluster, connection.info.backend_pid)

    def terminate(self, connection: psycopg.Connection[Any]) -> None:
        """Terminates the backend that executes the connection's call."""
        self.row("select pg_terminate_backend(%s)", connection.info.backend_pid)

    def end(self, connection: psycopg.Connection[Any]) -> None:
        """Ends the connection's call, as the cleanup of a test."""
        self.terminate(connection)

    @contextmanager
    def peak_memory(self, connection: psycopg.Connection[Any]) -> Iterator[list[int]]:
        """Yields a list that receives the peak memory in bytes of the calls in the block."""
        process = Path(f"/proc/{connection.info.backend_pid}")
        (process / "clear_refs").write_text("5")
        peak: list[int] = []
        yield peak
        (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", (process / "status").read_text(), re.MULTILINE)
        peak.append(int(kilobytes) << 10)

    def mirror(self, columns: str = "*") -> list[dict[str, Any]]:
        """Returns the mirrored rows, ordered by id."""
        return self.rows(f"select {columns} from ipai.ipai_sample_metrics where odoo_id is not null order by odoo_id")

    def add_mirror(self, name: str, *, server: str = "odoo", enabled: bool = True) -> str:
        """Registers a mirror of the same model into a new table, and returns the table's name."""
        table = f"ipai.{name}_rows"
        self.rows(f"create table {table} (like ipai.ipai_sample_metrics including all)")
        self.rows(
            """with registered as (
                   insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, flag_field, enabled)
                   select %s, %s, model, target_schema, %s, fields, page_size, flag_field, %s
                   from ipai.mirrors where name = 'sample_metrics'
                   returning name)
               insert into ipai.mirror_state (mirror) select name from registered""",
            *(name, server, f"{name}_rows", enabled),
        )
        return table

    def register(self, **columns: object) -> None:
        """Names the server of mirror sample_metrics, and sets columns of ipai.mirrors."""
        self.rows("select ipai.register_sample_metrics()")
        self.rows("select ipai.alter_mirror('sample_metrics', 'odoo')")
        for column, value in columns.items():
            self.rows(f"update ipai.mirrors set {column} = %s where name = 'sample_metrics'", value)

    def fill_from(self, erp: Odoo) -> None:
        """Connects mirror sample_metrics with a real Odoo, and fills it by a full run."""
        self.server(erp.url, dbname=erp.dbname)
        self.register()
        assert self.run()["mode"] == "full"

    def run(self, arguments: str = "'sample_metrics'", **options: Any) -> dict[str, Any]:
        """Calls ipai.run_sync and returns the row of the last run."""
        self.rows(f"call ipai.run_sync({arguments})", **options)
        return self.last_run()

    def last_run(self, mirror: str = "sample_metrics") -> dict[str, Any]:
        """Returns the row of a mirror's last run."""
        return self.row("select * from ipai.sync_runs where mirror = %s order by run desc limit 1", mirror)

    def resumed_run(self, mirror: str = "sample_metrics") -> dict[str, Any]:
        """Returns the run before the last one, which must have resumed an interrupted run.

        The last run must be the incremental run that followed it immediately.
        """
        followed = self.last_run(mirror)
        assert (followed["mode"], followed["state"], followed["resumes"]) == ("incremental", "succeeded", None)
        run = self.row("select * from ipai.sync_runs where mirror = %s and run < %s order by run desc limit 1", mirror, followed["run"])
        assert run["resumes"] is not None and run["state"] == "succeeded" and run["finished_at"] <= followed["started_at"]
        assert followed["cursor_before"] == run["cursor_after"]
        return run

    def create_mirror(self, model: str, **arguments: Any) -> list[dict[str, Any]]:
        """Calls ipai.create_mirror with named arguments and returns its rows.

        Dictionaries and the domain are passed as JSON.
        """
        named = "".join(f", {name} => %s" for name in arguments)
        values = [Jsonb(value) if isinstance(value, dict) or name == "domain" else value for name, value in arguments.items()]
        return self.rows(f"select * from ipai.create_mirror(%s{named})", model, *values)

    def sync(self, mirror: str, mode: str = "auto") -> dict[str, Any]:
        """Runs a mirror, asserts that the run succeeds, and returns the run's row."""
        self.rows(f"call ipai.run_sync({_literal(mirror)}, {_literal(mode)})")
        run = self.last_run(mirror)
        assert run["state"] == "succeeded"
        return run

    def reset(self) -> None:
        """Resets the database to its initial state."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        # A test that failed may have left a server that recovers from a crash.
        wait_for_recovery(self.cluster)
        tables = ", ".join(sorted(self._tables() - self._own_tables))
        self.cluster.psql(
            f"""
            set client_min_messages = warning;
            select cron.unschedule(jobid) from cron.job;
            delete from cron.job_run_details;
            {f"drop table {tables} cascade;" if tables else ""}
            select format('drop server %I cascade', srvname) from pg_foreign_server s
                join pg_foreign_data_wrapper w on w.oid = s.srvfdw where fdwname = 'ipai_odoo' \\gexec
            truncate ipai.ipai_sample_metrics, ipai.mirrors, ipai.mirror_state, ipai.mirror_objects, ipai.run_log, ipai.sync_rejects, ipai.odoo_logins, ipai.followers restart identity;
            select ipai.register_sample_metrics();
            delete from vault.secrets;
            """
        )

    def _tables(self) -> set[str]:
        """Returns all tables outside of system schemas.

        A test's own tables are dropped after it.
        """
        schemas = "nspname not like 'pg\\_%' and nspname <> 'information_schema'"
        tables = (
            f"select c.oid::regclass from pg_class c join pg_namespace n on n.oid = relnamespace where relkind in ('r', 'p') and {schemas}"
        )
        return set(self.cluster.psql(f"set search_path = ''; {tables}").splitlines())


def fetch_rows(cursor: psycopg.Cursor[Row]) -> list[Row]:
    """Returns the rows of an executed statement; none if it returns no result set."""
    # The status is checked, not the columns: a result may have no columns, as of `select from ...`.
    gives_rows = cursor.pgresult is not None and cursor.pgresult.status == psycopg.pq.ExecStatus.TUPLES_OK
    return cursor.fetchall() if gives_rows else []


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
