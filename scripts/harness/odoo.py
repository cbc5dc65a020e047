"""Runs a real Odoo 19 with the project's modules, for the demo, the tests and the benchmark.

Odoo comes from Debian's package `odoo-19`. The package is unpacked into the project's cache, not
installed, and has a separate Python environment. Each `Odoo` has its own Postgres cluster, listens
on 127.0.0.1 only and makes no outgoing connections.

    python3 -m harness.odoo serve                       runs an Odoo until Ctrl-C
    python3 -m harness.odoo test-modules [ipai_sync]    runs the modules' own tests inside Odoo
    python3 -m harness.odoo prepare                     prepares the first start
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
import xmlrpc.client
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import debian, paths, postgres, setup, shell
from .postgres import Cluster, Installation
from .totals import Totals

MODULE = "ipai_sample_metrics"
MODEL = "ipai.sample.metric"
MODULES = (MODULE, "ipai_sync")
#: Brings the changes of Odoo 20 that concern the modules into Odoo 19, for tests.
CHANGES_OF_20 = "ipai_odoo20"

_CACHE = paths.CACHE / "odoo19"
_REQUIREMENTS = Path(__file__).with_name("odoo_requirements.txt")
_WORKERS_REQUIREMENTS = Path(__file__).with_name("odoo_workers_requirements.txt")
#: Debian's own Python, because the service user cannot run a Python in a home folder.
_PYTHON = Path("/usr/bin/python3")

#: Files that Odoo without its web client never opens: 1 GB of 1.2 GB. Records have images of
#: `static/src/img` and `static/description`.
_NOT_UNPACKED = (
    *(f"*/addons/*/static/{folder}" for folder in ("src/[!i]*", "lib", "tests", "fonts")),
    *(f"*/addons/*/{folder}" for folder in ("i18n", "tests", "doc")),
)

# Installation ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OdooInstall:
    """An unpacked Odoo package with its Python environment."""

    root: Path

    @property
    def version(self) -> str:
        """The version of the Debian package, such as `19.0.0+dfsg-1`."""
        return (self.root / "version").read_text()

    @property
    def program(self) -> Path:
        return self.root / "package/usr/bin/odoo"

    @property
    def python(self) -> Path:
        return self.root / "venv/bin/python"

    @property
    def libraries(self) -> Path:
        """The folder that contains Odoo's Python package `odoo`."""
        return self.root / "package/usr/lib/python3/dist-packages"


def ensure_odoo() -> OdooInstall:
    """Returns Odoo 19 in the cache; the first call downloads and unpacks it."""
    install = OdooInstall(_CACHE)

    def make() -> None:
        shell.log_progress("Downloading Odoo 19 (Debian's package odoo-19, 120 MB) and its Python packages: about a minute, only once")
        install.root.mkdir(parents=True)
        _unpack_odoo(install)
        _make_venv(install)

    setup.rebuild_if_changed(_CACHE, paths.digest(_REQUIREMENTS, "\n".join(_NOT_UNPACKED)), make)
    return install


_PINNED_ODOO = debian.PinnedFile(
    "main/o/odoo/odoo-19_19.0.0+dfsg-1_all.deb", "9d2f598b0555db17e291d48ed24df184c70823c053c4c5ed53c467ca7f629bbf"
)


def _unpack_odoo(install: OdooInstall) -> None:
    work = paths.run_dir()
    package = debian.Suite("sid", work / "apt").download("odoo-19", work, _PINNED_ODOO)
    target = install.root / "package"
    target.mkdir()
    unpack = 'dpkg-deb --fsys-tarfile "$1" | tar -x --no-same-owner -C "$2" "${@:3}"'
    excluded = [f"--exclude={pattern}" for pattern in _NOT_UNPACKED]
    shell.run(["bash", "-o", "pipefail", "-c", unpack, "unpack", package, target, *excluded])
    version = shell.run(["dpkg-deb", "--field", package, "Version"], capture=True).stdout.strip()
    (install.root / "version").write_text(version)
    shutil.rmtree(work)


def _make_venv(install: OdooInstall) -> None:
    shell.apt_install("python3-venv")
    libraries = install.libraries / "odoo"
    addons = [libraries / "addons" / name for name in ("base", "rpc", "web")]
    steps: list[list[str | Path]] = [
        [_PYTHON, "-m", "venv", install.root / "venv"],
        [install.python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:", "-r", _REQUIREMENTS],
        # Compile the modules that every start imports: the service user cannot write bytecode here.
        [install.python, "-m", "compileall", "-q", "-x", "/addons/", libraries],
        [install.python, "-m", "compileall", "-q", *addons],
    ]
    for step in steps:
        shell.run(step, env={"PYTHONPATH": None})


def _packages_for_workers(install: OdooInstall) -> Path:
    """Returns a folder with the Python packages that a server with several workers needs."""
    folder = paths.CACHE / "odoo19-workers"

    def make() -> None:
        options = ["-q", "--disable-pip-version-check", "--only-binary", ":all:", "--target", str(folder)]
        shell.run([install.python, "-m", "pip", "install", *options, "-r", _WORKERS_REQUIREMENTS], env={"PYTHONPATH": None})

    setup.rebuild_if_changed(folder, paths.digest(_WORKERS_REQUIREMENTS), make)
    return folder


# A running Odoo ---------------------------------------------------------------------------------

#: Longer than any call takes: a test against a hanging server fails instead of hanging too.
_CALL_SECONDS = 600


def api_key(user: str, password: str) -> str:
    """Returns the API key that tests use for a user with this password."""
    return hashlib.sha1(f"{user}:{password}".encode()).hexdigest()


def _hashed(key: str) -> str:
    """Returns the hash of an API key in the form of passlib, as Odoo stores it."""
    rounds, salt = 6_000, b"salt of the tests"

    def encoded(data: bytes) -> str:
        return base64.b64encode(data, altchars=b"./").rstrip(b"=").decode()

    digest = hashlib.pbkdf2_hmac("sha512", key.encode(), salt, rounds)
    return f"$pbkdf2-sha512${rounds}${encoded(salt)}${encoded(digest)}"


class _Transport(xmlrpc.client.Transport):
    def make_connection(self, host: Any) -> Any:
        connection = super().make_connection(host)
        connection.timeout = _CALL_SECONDS
        return connection


class Odoo:
    """An Odoo server with its own database, which runs within a `with` block.

    The first start with a set of modules installs them (half a minute) and stores the cluster in
    the cache as a template. Later starts copy the template.

    modules: installed in addition to base and rpc
    demo: install the modules' demo records
    addons: the folder of the project's modules; the server gets a copy that its user can read
    odoo20: install the changes of Odoo 20 (tests/odoo20) before the modules
    settings: additional options of the server's configuration file
    serve: start the server; if false, only the database exists
    """

    admin_user = "admin"
    admin_password = "admin"

    def __init__(
        self,
        modules: Sequence[str] = (MODULE,),
        *,
        demo: bool = False,
        dbname: str = "odoo",
        addons: Path = paths.PROJECT / "addons/ipai",
        odoo20: bool = False,
        settings: dict[str, object] | None = None,
        serve: bool = True,
    ) -> None:
        self.install = ensure_odoo()
        self._serve = serve
        # Odoo loads modules with the same dependencies in the order of their names.
        self.modules = (*([CHANGES_OF_20] if odoo20 else []), *modules)
        self.demo = demo
        self.dbname = dbname
        self.directory = paths.run_dir()
        self.log = self.directory / "odoo.log"
        self.port = shell.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._data = self.directory / "data"
        self._addons = self.directory / "addons"
        self._config = self.directory / "odoo.conf"
        self._server: subprocess.Popen[bytes] | None = None
        self._uids: dict[tuple[str, str], int] = {}
        self._settings = settings or {}
        self._copy_addons(addons)

    def template(self) -> Path:
        """Returns the template with the modules installed; the first call makes it."""
        return postgres.template(self._kind(), self._key(), self._install_modules)

    def __enter__(self) -> Self:
        template = self.template()
        self.pg = Cluster(Installation.default(), superuser="pgadmin", template=template)
        self.pg.__enter__()
        try:
            self._write_config(self._settings)
            if (files := template.with_name("filestore")).exists():
                shutil.copytree(files, self._filestore)
                self._chown_to_service_user(self._data)
            if self._serve:
                self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server and returns once it responds for its database."""
        server = shell.start(self._command(), user=shell.SERVICE_USER, env=self._environment(), cwd=self.directory, log=self.log)
        self._server = server

        def answers() -> bool:
            if server.poll() is not None:
                raise RuntimeError(f"Odoo did not start:\n{self._log_tail()}")
            try:
                # Also loads the database's models, so that the first call need not wait for them.
                return bool(self._proxy("common").authenticate(self.dbname, self.admin_user, self.admin_password, {}))
            except OSError:
                return False

        shell.wait_until(answers, "Odoo to respond", every=0.1)
        self.add_key(self.admin_user, api_key(self.admin_user, self.admin_password))

    def restart(self) -> None:
        """Restarts the server at the same address."""
        self._stop_server()
        self.start()

    def stop(self) -> None:
        """Stops the server and its Postgres, and removes both. Idempotent."""
        self._stop_server()
        self.pg.__exit__(None, None, None)
        shutil.rmtree(self.directory, ignore_errors=True)

    def pids(self) -> list[int]:
        """Returns the pid of the running server; its workers are children of it."""
        return [self._server.pid] if self.is_running and self._server else []

    @property
    def is_running(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def _stop_server(self) -> None:
        if self._server is not None:
            shell.stop(self._server)
            self._server = None

    # RPC calls

    def rpc(self, model: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a model's method over XML-RPC as administrator."""
        return self.rpc_as(self.admin_user, self.admin_password, model, method, *args, **kwargs)

    def rpc_as(self, user: str, password: str, model: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a model's method over XML-RPC as `user`.

        An error of Odoo raises xmlrpc.client.Fault.
        """
        uid = self.uid(user, password)
        return self._proxy("object").execute_kw(self.dbname, uid, password, model, method, list(args), kwargs)

    def json_rpc(self, model: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Makes the same call over JSON-RPC and returns the whole response."""
        uid = self.uid(self.admin_user, self.admin_password)
        call = [self.dbname, uid, self.admin_password, model, method, list(args), kwargs]
        body = {"jsonrpc": "2.0", "id": 1, "params": {"service": "object", "method": "execute_kw", "args": call}}
        request = urllib.request.Request(f"{self.url}/jsonrpc", json.dumps(body).encode(), {"Content-Type": "application/json"})
        # Ignore proxies that the environment sets.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=_CALL_SECONDS) as response:
            return json.load(response)

    def uid(self, user: str, password: str) -> int:
        """Returns the user's id; authenticates once for each user."""
        if (user, password) not in self._uids:
            uid = self._proxy("common").authenticate(self.dbname, user, password, {})
            if not isinstance(uid, int) or not uid:
                raise PermissionError(f"Odoo rejected the login of {user}")
            self._uids[user, password] = uid
        return self._uids[user, password]

    def create_user(self, login: str, password: str, groups: Iterable[str] = ("base.group_user",), **values: Any) -> int:
        """Creates a user in exactly these groups (XML ids) with the given field values.

        Returns the user's id.
        """
        group_ids = [self._ref(group) for group in groups]
        user = {"name": login, "login": login, "password": password, "group_ids": [(6, 0, group_ids)], **values}
        uid = int(self.rpc("res.users", "create", user, context={"no_reset_password": True}))
        self.add_key(login, api_key(login, password))
        return uid

    def add_key(self, user: str, key: str, *, expires: str | None = None) -> None:
        """Adds an API key of a user, unless the user has it already.

        expires: the moment (UTC) at which it expires; None is never
        """
        self.pg.psql(
            f"""insert into res_users_apikeys (name, user_id, expiration_date, key, index)
                select 'Tests', id, {f"'{expires}'" if expires else "null"}, '{_hashed(key)}', '{key[:8]}'
                from res_users where login = '{user}'
                    and not exists (select from res_users_apikeys k where k.user_id = res_users.id and k.index = '{key[:8]}')""",
            dbname=self.dbname,
        )

    def _ref(self, xml_id: str) -> int:
        module, _, name = xml_id.partition(".")
        domain = [("module", "=", module), ("name", "=", name)]
        return int(self.rpc("ir.model.data", "search_read", domain, ["res_id"])[0]["res_id"])

    def _proxy(self, service: str) -> xmlrpc.client.ServerProxy:
        # A proxy for each call: creating one is cheap, Odoo closes the connection after each call,
        # and threads cannot share a proxy.
        return xmlrpc.client.ServerProxy(f"{self.url}/xmlrpc/2/{service}", transport=_Transport())

    # Set-up

    def _copy_addons(self, addons: Path) -> None:
        for folder in (addons, *([paths.PROJECT / "tests/odoo20"] if CHANGES_OF_20 in self.modules else [])):
            shutil.copytree(folder, self._addons, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        self._data.mkdir()
        self._chown_to_service_user(self._data)
        self.log.touch()

    def _write_config(self, settings: dict[str, object]) -> None:
        options: dict[str, object] = {
            "addons_path": f"{self.install.libraries / 'odoo/addons'},{self._addons}",
            "data_dir": self._data,
            "admin_passwd": "local-only",
            "db_host": self.pg.host,
            "db_port": self.pg.port,
            "db_user": "odoo",
            "db_name": self.dbname,
            "dbfilter": f"^{re.escape(self.dbname)}$",
            "list_db": "False",
            "http_interface": "127.0.0.1",
            "http_port": self.port,
            "server_wide_modules": "base,rpc,web",
            # Threads in one process, no scheduled actions, no time limits that would end a long
            # test.
            "workers": 0,
            "max_cron_threads": 0,
            "limit_time_cpu": 0,
            "limit_time_real": 0,
            # No process listens on port 9, so mails and licence checks do not leave the machine.
            "publisher_warranty_url": "http://127.0.0.1:9/",
            "smtp_server": "127.0.0.1",
            "smtp_port": 9,
            # Odoo 19 logs a deprecation warning for every XML-RPC request.
            "log_handler": ":INFO,odoo.addons.rpc.controllers:ERROR",
            **settings,
        }
        self._config.write_text("[options]\n" + "".join(f"{name} = {value}\n" for name, value in options.items()))

    @property
    def _filestore(self) -> Path:
        return self._data / "filestore" / self.dbname

    def _kind(self) -> str:
        return "-".join(["odoo19", self.dbname, *self.modules, *(["demo"] if self.demo else [])])

    def _key(self) -> str:
        """Returns a digest of all inputs of the database, such as the modules' files.

        The modules' tests and READMEs do not affect the database.
        """
        files = [
            path
            for module in self.modules
            for path in sorted((self._addons / module).rglob("*"))
            if path.is_file() and path.suffix != ".rst" and "tests" not in path.parts
        ]
        names = "\n".join(str(path.relative_to(self._addons)) for path in files)
        return paths.digest(self.install.version, Installation.default().build, names, *files, Path(__file__))

    def _install_modules(self, data: Path) -> None:
        """Makes the template: a cluster with the database, and the filestore next to it."""
        modules = ("base", "rpc", *self.modules)
        shell.log_progress(f"Installing {', '.join(modules)} into a new Odoo database: about half a minute, only once")
        with Cluster(Installation.default(), superuser="pgadmin") as self.pg:
            self._write_config({})
            # Odoo refuses to connect as the superuser postgres.
            self.pg.psql("create role odoo login createdb")
            self.pg.psql(f'create database "{self.dbname}" owner odoo template template0 lc_collate "C"')
            self.odoo("-i", ",".join(modules), "--skip-auto-install", "--with-demo" if self.demo else "--without-demo")
            if self._filestore.exists():
                shutil.move(self._filestore, data.with_name("filestore"))
            postgres.save_template(self.pg, data)

    def odoo(self, *options: str) -> None:
        """Runs Odoo's server until it exits, for instance to install modules.

        It logs to `self.log`.
        """
        self._run([*self._command(), *options, "--stop-after-init", "--no-http"])

    def translation_template(self, module: str) -> str:
        """Returns the terms of an installed module that translators translate, as a .pot file."""
        template = self._addons / module / "i18n" / f"{module}.pot"
        template.parent.mkdir(exist_ok=True)
        self._chown_to_service_user(template.parent)
        self._run([self.install.python, self.install.program, "i18n", "export", "-c", self._config, "-d", self.dbname, module])
        return template.read_text()

    def _run(self, command: list[str | Path]) -> None:
        process = shell.start(command, user=shell.SERVICE_USER, env=self._environment(), cwd=self.directory, log=self.log)
        try:
            status = process.wait()
        finally:
            shell.stop(process)
        if status != 0:
            raise RuntimeError(f"Odoo ended with status {status}:\n{self._log_tail()}")

    def _command(self) -> list[str | Path]:
        return [self.install.python, self.install.program, "-c", self._config]

    def _environment(self) -> dict[str, str | None]:
        """Removes the user's settings for Odoo, Postgres and Python, which Odoo 19 would read."""
        foreign = {name: None for name in os.environ if name.startswith(("ODOO", "OPENERP", "PG", "PYTHON"))}
        libraries = [self.install.libraries, *([_packages_for_workers(self.install)] if self._settings.get("workers") else [])]
        return {**foreign, "HOME": str(self._data), "TZ": "UTC", "PYTHONPATH": ":".join(map(str, libraries))}

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    @staticmethod
    def _chown_to_service_user(folder: Path) -> None:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, shell.SERVICE_USER)


# Data -------------------------------------------------------------------------------------------

_BRANDS = ("Kape Pilipinas", "Søns & Töchter", "Brand <One>", "東京マート", "Sari-Sari Express", "Golden Harvest", "Niña's", "Bazaar ☕")

#: The values of row i depend on i only, so two runs produce the same rows. The multipliers are
#: primes, so that columns do not correlate.
_GENERATE = r"""
insert into ipai_sample_metric (name, code, date, brand_id, store_id, value, unit, notes, active, is_alert,
                                create_uid, create_date, write_uid, write_date)
select 'Metric ' || i || ' ' || (array['Basket size', 'Footfall', 'Café sales', 'Shelf <A&B>', 'Loyalty 🎉', '売上'])[1 + i % 6],
       (array['BASKET', 'FOOTFALL', 'SALES', 'SHELF', 'LOYALTY', 'REVENUE'])[1 + i % 6] || '_' || i % 600,
       case when i % 17 > 0 then date '2024-01-01' + (i * 7 % 730)::int end,
       case when i % 7 > 0 then brands[1 + i * 31 % cardinality(brands)] end,
       case when i % 11 > 0 then stores[1 + i * 37 % cardinality(stores)] end,
       value,
       unit,
       case i % 12
           when 0 then null
           when 1 then 'Imported from feed ' || i % 20 || E'\nchecked by <auditor> & signed'
           when 2 then ''
           when 3 then E'first line\r\nsecond line\r\n'
           when 4 then '🎉 ☕ 👩🏽‍🍳 ñ é 日本語 العربية'
           when 5 then '<b>&amp; "quoted" & ''single''</b> ]]> <!-- -->'
           when 6 then E'\ttab, \x01 start, \x0b tab, \x1f unit'
           when 7 then '   spaces around   '
           when 8 then E'back\\slash, NUL as text: \\u0000, \\N'
           else 'Checked in cycle ' || i % 50
       end,
       i % 13 > 0,
       -- The same expression as in the module.
       unit = 'percent' and (value < 10 or value > 95),
       {uid}, now() at time zone 'UTC', {uid}, now() at time zone 'UTC'
from (
    select i, unit,
           case
               -- Some special values of a double.
               when i % 997 = 0 then (array[0, -1.5, 1e22, 1e-7, 0.1::float8 + 0.2::float8])[1 + i / 997 % 5]
               when unit = 'percent' then i * 7919 % 10001 / 100.0
               when unit = 'count' then i * 104729 % 6000
               else i * 15485863 % 100000007 / 301.0::float8
           end::float8 as value
    from (select i, (array['percent', 'count', 'amount'])[1 + i * 13 / 6 % 3] as unit from generate_series(1::bigint, {n}) as i) as units
) as metrics, (select '{{{brands}}}'::int[] as brands, '{{{stores}}}'::int[] as stores) as partners
order by i;
analyze ipai_sample_metric;
"""


def generate_metrics(odoo: Odoo, n: int) -> None:
    """Inserts `n` metrics of a retailer, about 20,000 in a second.

    Some metrics have no date, brand, store or notes, and some are archived. Texts contain emoji, CR
    LF, markup and control characters. The rows are inserted by SQL, with ids, users and times as
    Odoo sets them. Brands and stores are partners that Odoo creates.
    """
    brands = partners(odoo, [f"{_BRANDS[i % len(_BRANDS)]} {i:02}" for i in range(24)])
    stores = partners(odoo, [f"Store {i:03}" for i in range(120)])
    ids = {"brands": ",".join(map(str, brands)), "stores": ",".join(map(str, stores))}
    uid = odoo.uid(odoo.admin_user, odoo.admin_password)
    odoo.pg.psql(_GENERATE.format(n=int(n), uid=uid, **ids), dbname=odoo.dbname, user="odoo")


def partners(odoo: Odoo, names: Sequence[str]) -> list[int]:
    """Returns the ids of the companies with these names; creates missing ones."""
    found = {row["name"]: row["id"] for row in odoo.rpc("res.partner", "search_read", [("name", "in", names)], ["name"])}
    missing = [name for name in names if name not in found]
    created = odoo.rpc("res.partner", "create", [{"name": name, "is_company": True} for name in missing]) if missing else []
    found.update(zip(missing, created, strict=True))
    return [found[name] for name in names]


# The modules' own tests -------------------------------------------------------------------------

_RESULT = re.compile(r"(\d+) failed, (\d+) error\(s\) of (\d+) tests when loading database")
#: The start of a log record: `2026-01-06 08:00:00,123 <pid> <level> <database> <logger>: `.
_RECORD = re.compile(r"^(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ \d+ [A-Z]+ )", re.MULTILINE)


def run_module_tests(modules: Sequence[str] = MODULES, words: Sequence[str] = (), *, odoo20: bool = False) -> Totals:
    """Runs the modules' own tests in a new Odoo database.

    A module without tests counts as one failure, and so does a failed installation.

    words: run only the tests whose file or name contains one of these words
    odoo20: with the changes of Odoo 20
    """
    tags = _tags(modules, words) if words else [f"/{module}" for module in modules]
    if not tags:
        return Totals(0, 0, "")
    modules = [module for module in modules if any(tag.startswith(f"/{module}") for tag in tags)]
    with Odoo(modules=(), odoo20=odoo20, serve=False) as odoo:
        options = ("-i", ",".join(modules), "--skip-auto-install", "--without-demo", "--test-enable", f"--test-tags={','.join(tags)}")
        try:
            odoo.odoo(*options)
        except RuntimeError:
            # Odoo also exits with an error after a failed test; the log has the results.
            ended_well = False
        else:
            ended_well = True
        log = odoo.log.read_text(errors="replace")
    problems = list(_problems(log, modules))
    problems += [f"No test of {module} ran" for module in modules if not re.search(rf" odoo\.addons\.{module}\.tests\.\S+: Starting ", log)]
    output = "\n".join(problems)
    match = _RESULT.search(log)
    if not match:
        return Totals(0, 1, "\n".join([output, *log.splitlines()[-30:]]))
    failures, errors, total = map(int, match.groups())
    failed = failures + errors
    if failed == 0 and (problems or total == 0 or not ended_well):
        failed = 1
    return Totals(max(total - failures - errors, 0), failed, output)


def _tags(modules: Sequence[str], words: Sequence[str]) -> list[str]:
    """Returns Odoo's tags of the tests whose file or name contains one of the words."""
    tags = []
    for module in modules:
        for file in sorted((paths.PROJECT / "addons/ipai" / module / "tests").glob("test_*.py")):
            for case in ast.parse(file.read_text()).body:
                tests = [node.name for node in getattr(case, "body", ()) if isinstance(node, ast.FunctionDef)]
                tags += [
                    f"/{module}:{getattr(case, 'name', '')}.{test}"
                    for test in tests
                    if test.startswith("test_") and any(word in f"{file.name} {test}" for word in words)
                ]
    return tags


def _problems(log: str, modules: Sequence[str]) -> Iterator[str]:
    """Yields errors, and warnings of the modules, each with its following lines."""
    for record in _RECORD.split(log):
        level = record.split(" ", 4)[3:4]
        if level in (["ERROR"], ["CRITICAL"]) or (level == ["WARNING"] and any(module in record for module in modules)):
            yield record.rstrip()


# Command line -----------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m harness.odoo", description="A real Odoo 19 for development.")
    commands = parser.add_subparsers(dest="command", required=True)
    test = commands.add_parser("test-modules", help="run the modules' own tests inside Odoo")
    test.add_argument("modules", nargs="*", default=MODULES)
    test.add_argument("--odoo20", action="store_true", help="with the changes of Odoo 20")
    serve = commands.add_parser("serve", help="run an Odoo until Ctrl-C")
    serve.add_argument("--metrics", type=int, default=0, metavar="N", help="generate N metrics first")
    serve.add_argument("--no-demo", action="store_true", help="without the modules' demo records")
    prepare = commands.add_parser("prepare", help="download Odoo and install the modules, so that the next start is fast")
    prepare.add_argument("--demo", action="store_true", help="with the modules' demo records")
    options = parser.parse_args()
    setup.ensure_system()
    if options.command == "prepare":
        Odoo(demo=options.demo).template()
        return 0
    if options.command == "test-modules":
        result = run_module_tests(options.modules, odoo20=options.odoo20)
        print(f"{result.output}\n{result.passed} passed, {result.failed} failed")
        return 1 if result.failed else 0
    with Odoo(demo=not options.no_demo) as odoo:
        if options.metrics:
            generate_metrics(odoo, options.metrics)
        print(f"Odoo      {odoo.url}  database {odoo.dbname}, user {odoo.admin_user}, password {odoo.admin_password}")
        print(f"Postgres  {odoo.pg.dsn(odoo.dbname, 'odoo')}")
        print(f"Log       {odoo.log}")
        print("Press Ctrl-C to stop.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
