"""Lets tests of the engine run with the program `ipai-sync` in place of the extension.

The tests call the functions of the extension in SQL. In a database without the extension, a
connection of this module recognises these calls and runs the program with the same arguments. The
program's results become rows, and its errors become errors of psycopg.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import DiagnosticField
from psycopg.rows import dict_row

from harness import extension, paths, shell, versions
from harness.odoo import api_key
from harness.postgres import Cluster
from support.supabase import Supabase

#: Commands of the program by the functions of the extension.
COMMANDS = {
    "run_sync": "run",
    "sync_mirror": "run",
    "sync_sample_metrics": "run",
    "create_mirror": "create-mirror",
    "alter_mirror": "alter-mirror",
    "refresh_mirror": "refresh-mirror",
    "drop_mirror": "drop-mirror",
    "odoo_call": "odoo-call",
}
#: Arguments that the commands take without their names.
POSITIONAL = {"mirror", "odoo_model", "model", "method"}
_CALL = re.compile(rf"^(?P<before>\s*(?:call|select\b.*?)\s)ipai\.(?P<name>{'|'.join(COMMANDS)})\(", re.DOTALL)
_MESSAGE = re.compile(r"^(?P<level>NOTICE|WARNING):  (?P<text>.*)$", re.MULTILINE)


# The program --------------------------------------------------------------------------------------


def build() -> dict[str, Path]:
    """Builds the program `ipai-sync` and the test `session` of crates/cli, and returns both."""
    pg = versions.target()
    # As the layer `pure` builds them: with these features cargo compiles nothing twice.
    targets = ["--workspace", "--test", "session", "--bin", "ipai-sync", *extension.test_features(pg)]
    command = ["cargo", "build", "--quiet", "--message-format", "json", *targets]
    built = shell.run(command, cwd=paths.PROJECT, env=extension.environment(pg), capture=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return {message["target"]["name"]: Path(message["executable"]) for message in messages if message.get("executable")}


@dataclass
class Settings:
    """A folder with the file ipai-sync.toml and the passwords that it names."""

    folder: Path = field(default_factory=paths.run_dir)
    servers: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / "ipai-sync.toml"

    def set_password(self, server: str, password: str) -> None:
        (self.folder / f"{server}.password").write_text(f"{password}\n")

    def write(self) -> None:
        # A JSON string is a string of TOML, too.
        self.path.write_text(
            "".join(
                f"[servers.{json.dumps(name)}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in options.items())
                for name, options in self.servers.items()
            )
        )
        tomllib.loads(self.path.read_text())

    def clear(self) -> None:
        self.servers.clear()
        for path in self.folder.iterdir():
            path.unlink()
        self.write()


@dataclass(frozen=True)
class Ended:
    """A program that has ended."""

    status: int
    stdout: str
    stderr: str
    #: Its peak memory in bytes.
    memory: int


@dataclass
class Running:
    """A started program."""

    process: subprocess.Popen[bytes]
    _folder: Path

    @staticmethod
    def start(command: list[str | Path], env: Mapping[str, str | None], cwd: Path) -> Running:
        folder = Path(tempfile.mkdtemp())
        with open(folder / "stdout", "wb") as stdout, open(folder / "stderr", "wb") as stderr:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=shell.environment(env),
                cwd=cwd,
            )
        return Running(process, folder)

    def wait(self) -> Ended:
        peak = 0
        while self.process.poll() is None:
            # The peak that wait4() tells includes the process that has started this one.
            with suppress(OSError):
                found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{self.process.pid}/status").read_text(), re.MULTILINE)
                peak = int(found[1]) << 10 if found else peak
            time.sleep(0.005)
        stdout, stderr = ((self._folder / name).read_text() for name in ("stdout", "stderr"))
        shutil.rmtree(self._folder)
        return Ended(self.process.returncode, stdout, stderr, peak)


# Calls in SQL -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Declaration:
    """A function of the extension, as sql/extension declares it."""

    #: Names, types and defaults of the arguments.
    arguments: str
    #: Names and types of the columns of the result; empty if it returns no table.
    columns: str

    @property
    def types(self) -> dict[str, str]:
        described = (argument.lower().split() for argument in self.arguments.split(", "))
        return {name.strip('"'): kind for name, kind, *_ in described}


def declarations() -> dict[str, Declaration]:
    """Returns the declarations of the functions that COMMANDS names."""
    files = [extension.FUNCTIONS, extension.SQL / "extension/objects/30_functions.sql"]
    text = " ".join("\n".join(re.sub(r"--.*", "", file.read_text()) for file in files).split())
    pattern = re.compile(
        r'create or replace (?:function|procedure) (?:ipai\.)?"?(?P<name>\w+)"?\( ?(?P<arguments>.*?) ?\)'
        r"(?: returns (?:table ?\( ?(?P<columns>.*?) ?\)|\w+))? (?:set|language|strict)",
        re.IGNORECASE,
    )
    found = {
        match["name"]: Declaration(match["arguments"], match["columns"] or "")
        for match in pattern.finditer(text)
        if match["name"] in COMMANDS
    }
    assert found.keys() == COMMANDS.keys(), COMMANDS.keys() - found.keys()
    return found


@dataclass(frozen=True)
class Call:
    """A call of a function of the extension within a statement."""

    before: str
    name: str
    #: The list of arguments in SQL.
    arguments: str
    after: str

    @staticmethod
    def find(sql: str) -> Call | None:
        match = _CALL.match(sql)
        if match is None:
            return None
        end = _closing_bracket(sql, match.end())
        return Call(match["before"], match["name"], sql[match.end() : end], sql[end + 1 :])

    @property
    def is_row_source(self) -> bool:
        return self.before.rstrip().endswith("from")


def _closing_bracket(sql: str, start: int) -> int:
    depth, quoted = 1, False
    for position in range(start, len(sql)):
        character = sql[position]
        if character == "'":
            quoted = not quoted
        elif not quoted:
            depth += (character == "(") - (character == ")")
            if depth == 0:
                return position
    raise AssertionError(f"unbalanced brackets: {sql}")


def words(name: str, arguments: dict[str, Any]) -> list[str]:
    """Returns the command of the program for a call with these arguments."""
    arguments = {key: value for key, value in arguments.items() if value is not None}
    if name in ("sync_mirror", "sync_sample_metrics"):
        arguments.setdefault("mirror", "sample_metrics")
        arguments["limit"] = arguments.pop("max_rows", None)
        arguments["full"] = arguments["limit"] is None and "since" not in arguments
        if "since" in arguments:
            arguments["since"] = arguments["since"].removesuffix("+00:00")
    places = [arguments[key] for key in arguments if key in POSITIONAL]
    options: list[str] = []
    for key, value in arguments.items():
        if key in POSITIONAL or value is None:
            continue
        option = f"--{key.replace('_', '-')}"
        if key in ("dry_run", "full", "drop_table"):
            options += [option] * value
        elif isinstance(value, list):
            options.append(f"{option}={','.join(map(str, value))}")
        else:
            options.append(f"{option}={str(value).lower() if isinstance(value, bool) else value}")
    return [COMMANDS[name], *options, "--", *places]


class Arguments:
    """A database that evaluates the arguments of calls.

    It has functions of the same signatures, which return their arguments.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.declarations = declarations()
        cluster.psql("create database arguments")
        self._dsn = cluster.dsn("arguments")
        with self._connect() as connection:
            connection.execute("create schema ipai")
            for name, declared in self.declarations.items():
                # JSON as text: Python's numbers are not those of Postgres.
                pairs = ", ".join(f"""'{key}', "{key}"{"::text" * (kind == "jsonb")}""" for key, kind in declared.types.items())
                connection.execute(
                    f"create function ipai.{name}({declared.arguments}) returns jsonb language sql as $$ select jsonb_build_object({pairs}) $$"
                )

    def _connect(self) -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(self._dsn, autocommit=True, row_factory=dict_row)

    def of(self, call: Call, params: Any) -> dict[str, Any]:
        with self._connect() as connection:
            row = connection.execute(f"select ipai.{call.name}({call.arguments}) as arguments", params).fetchone()
        assert row
        found: dict[str, Any] = row["arguments"]
        return found


# The database -------------------------------------------------------------------------------------


class ProgramConnection(psycopg.Connection[dict[str, Any]]):
    """A connection that passes calls of the extension's functions to the program."""

    supabase: ProgramSupabase
    #: The program of the current call.
    running: Running | None = None
    #: The greatest peak memory of the programs, in bytes.
    memory = 0

    def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.Cursor[dict[str, Any]]:
        call = Call.find(query) if isinstance(query, str) else None
        if call is None:
            return super().execute(query, params, **options)
        idle = psycopg.pq.TransactionStatus.IDLE
        assert self.info.transaction_status == idle, "the program has transactions of its own: mark the test with extension_only"
        declared = self.supabase.arguments.declarations[call.name]
        lines = self._run(words(call.name, self.supabase.arguments.of(call, params)))
        if not call.is_row_source:
            value = json.dumps(lines[0]) if call.name == "odoo_call" else None
            return super().execute(f"select %s::jsonb as {call.name}", [value])
        source = f"jsonb_to_recordset(%s::jsonb) as f({declared.columns})"
        return super().execute(f"{call.before}{source}{call.after}", [json.dumps(_records(call.name, lines))])

    def _run(self, command: list[str]) -> list[Any]:
        self.running = self.supabase.start("--json", "--verbose", *command)
        ended = self.running.wait()
        self.running = None
        self.memory = max(self.memory, ended.memory)
        for message in _MESSAGE.finditer(ended.stderr):
            fields = {
                DiagnosticField.SEVERITY: message["level"],
                DiagnosticField.SEVERITY_NONLOCALIZED: message["level"],
                DiagnosticField.MESSAGE_PRIMARY: message["text"],
            }
            for handler in self._notice_handlers:
                handler(psycopg.errors.Diagnostic({key: text.encode() for key, text in fields.items()}))
        if ended.status < 0:
            raise psycopg.OperationalError(f"the program was ended by signal {-ended.status}")
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        if ended.status:
            raise _error(lines, ended)
        return lines


def _records(name: str, lines: list[Any]) -> list[dict[str, Any]]:
    """Returns the rows of a function from what the program prints."""
    if COMMANDS[name] == "run":
        # A run that follows a resumed one has a line of its own.
        return lines[:1]
    fields = lines[0]["fields"] if name == "create_mirror" else lines[0]
    mirror = {key: lines[0][key] for key in ("mirror", "target")} if name == "create_mirror" else {}
    return [{**mirror, **row, "column_type": row["type"]} for row in fields]


def _error(lines: list[Any], ended: Ended) -> psycopg.Error:
    """Returns the error that the program printed."""
    if lines and "error" in lines[-1]:
        found: dict[str, str | None] = lines[-1]["error"]
    else:
        # The program refuses its arguments in words.
        assert ended.status == 2, ended
        message, _, hint = ended.stderr.strip().partition("\n\n")
        found = {"sqlstate": "22023", "message": message.removeprefix("error: "), "detail": None, "hint": hint}
    fields = {
        DiagnosticField.SEVERITY: "ERROR",
        DiagnosticField.SQLSTATE: found["sqlstate"],
        DiagnosticField.MESSAGE_PRIMARY: found["message"],
        DiagnosticField.MESSAGE_DETAIL: found["detail"],
        DiagnosticField.MESSAGE_HINT: found["hint"],
    }
    try:
        kind = psycopg.errors.lookup(str(found["sqlstate"]))
    except KeyError:
        kind = psycopg.DatabaseError
    error = kind(str(found["message"]), info={key: text.encode() for key, text in fields.items() if text is not None})
    error.sqlstate = found["sqlstate"]
    return error


class ProgramSupabase(Supabase):
    """A database without the extension, whose mirrors the program runs."""

    lost_connection = "08006"
    #: The program commits after each page.
    syncs_in_transactions = False

    def __init__(self, cluster: Cluster, program: Path) -> None:
        self.program = program
        self.settings = Settings()
        self.arguments = Arguments(cluster)
        super().__init__(cluster)

    def _open(self, user: str, **options: Any) -> ProgramConnection:
        connection = ProgramConnection.connect(self.cluster.dsn(user=user), autocommit=True, row_factory=dict_row, **options)
        assert isinstance(connection, ProgramConnection)
        connection.supabase = self
        return connection

    def start(self, *arguments: str, env: Mapping[str, str | None] | None = None) -> Running:
        """Starts the program with these arguments."""
        command: list[str | Path] = [self.program, "--config", self.settings.path, *arguments]
        return Running.start(command, {"DATABASE_URL": self.cluster.dsn(user="postgres"), **(env or {})}, self.settings.folder)

    def server(
        self, url: str, *, name: str = "odoo", dbname: str = "odoo", user: str = "admin", password: str = "admin", **options: str
    ) -> None:
        options = {"protocol": self.protocol, **options} if self.protocol != "auto" else options
        if options.get("protocol") == "json2":
            password = api_key(user, password)
        self.settings.servers[name] = {"url": url, "dbname": dbname, **options, "user": user, "password_file": f"{name}.password"}
        self.settings.set_password(name, password)
        self.settings.write()

    def uses_json2(self, server: str = "odoo") -> bool:
        return self.settings.servers[server].get("protocol") == "json2"

    def set_url(self, url: str, server: str = "odoo") -> None:
        self.settings.servers[server]["url"] = url
        self.settings.write()

    def set_login(self, user: str, password: str = "admin", server: str = "odoo") -> None:
        self.settings.servers[server]["user"] = user
        self.settings.set_password(server, password)
        self.settings.write()

    def login(self, server: str = "odoo") -> str:
        return self.settings.servers[server]["user"]

    def hint(self, text: str) -> str:
        found: str = self.row("select ipai.command_hint(%s, true) as hint", text)["hint"]
        return found

    def cancel(self, connection: psycopg.Connection[Any]) -> None:
        self._signal(connection, signal.SIGINT)

    def kill(self, connection: psycopg.Connection[Any]) -> None:
        self._signal(connection, signal.SIGKILL)

    def terminate(self, connection: psycopg.Connection[Any]) -> None:
        self.rows("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ipai-sync'")

    def end(self, connection: psycopg.Connection[Any]) -> None:
        self.kill(connection)

    @contextmanager
    def peak_memory(self, connection: psycopg.Connection[Any]) -> Iterator[list[int]]:
        assert isinstance(connection, ProgramConnection)
        connection.memory = 0
        peak: list[int] = []
        yield peak
        peak.append(connection.memory)

    def reset(self) -> None:
        super().reset()
        self.settings.clear()

    @staticmethod
    def _signal(connection: psycopg.Connection[Any], number: signal.Signals) -> None:
        assert isinstance(connection, ProgramConnection) and connection.running
        connection.running.process.send_signal(number)
