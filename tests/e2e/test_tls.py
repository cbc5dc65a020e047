"""Tests certificates in real TLS handshakes.

Only a valid certificate of a trusted authority for this host is accepted.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from harness import paths, shell, versions
from harness.postgres import Cluster
from support.definitions import ScriptedOdoo
from support.faulty import FaultyOdoo, metric, never_respond
from support.program import Ended, Running
from support.reliability import Section
from support.sessions import PROMPT_SECONDS
from support.supabase import Supabase

SECTION = Section("Certificates")

SYNC = "select * from ipai.sync_sample_metrics()"
PASSWORD = "hunter2-Zq9"


class Authority:
    """A private certificate authority in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        self._folder = folder
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", self.key, "-out", self.certificate),
        )

    def sign(
        self, name: str, *, host: str = "IP:127.0.0.1", begin: str = "20200101000000Z", end: str = "20991231235959Z"
    ) -> tuple[Path, Path]:
        """Returns the certificate and key of a new server."""
        certificate, key, request = (self._folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", key, "-out", request),
        )
        database, settings, extensions = (self._folder / f"{name}.{kind}" for kind in ("db", "cnf", "ext"))
        database.touch()
        # Only the subcommand `ca` of openssl accepts dates.
        settings.write_text(
            f"[ca]\ndefault_ca = own\n[own]\ndatabase = {database}\nnew_certs_dir = {self._folder}\nrand_serial = yes\n"
            "default_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n"
        )
        extensions.write_text(f"subjectAltName = {host}\nbasicConstraints = critical, CA:FALSE\nextendedKeyUsage = serverAuth\n")
        openssl(
            *("ca", "-batch", "-notext", "-config", settings, "-cert", self.certificate, "-keyfile", self.key, "-extfile", extensions),
            *("-startdate", begin, "-enddate", end, "-in", request, "-out", certificate),
        )
        return certificate, key


def openssl(*arguments: str | Path) -> None:
    shell.run(["openssl", *arguments], capture=True)


@dataclass(frozen=True)
class Case:
    certificate: tuple[Path, Path]
    trusted: Path | None
    #: A part of the error's DETAIL, or None if the run succeeds.
    detail: str | None


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("certificates")
    trusted, other = Authority(folder), Authority(folder, "other")
    own = folder / "own.pem", folder / "own.key"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=erp"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", own[1], "-out", own[0]),
    )
    right = trusted.sign("right")
    return {
        "of the private authority in ca_cert": Case(right, trusted.certificate, None),
        "of an unknown private authority": Case(right, None, "UnknownIssuer"),
        "of another authority than that in ca_cert": Case(other.sign("others"), trusted.certificate, "UnknownIssuer"),
        "self-signed": Case(own, None, "invalid peer certificate"),
        "expired": Case(trusted.sign("expired", end="20210101000000Z"), trusted.certificate, "expired"),
        "not valid yet": Case(trusted.sign("early", begin="20900101000000Z"), trusted.certificate, "not valid yet"),
        "for another host": Case(trusted.sign("elsewhere", host="DNS:erp.example.com"), trusted.certificate, "not valid for name"),
        "for another address": Case(trusted.sign("address", host="IP:127.0.0.2"), trusted.certificate, "not valid for name"),
    }


NAMES = [
    "of the private authority in ca_cert",
    "of an unknown private authority",
    "of another authority than that in ca_cert",
    "self-signed",
    "expired",
    "not valid yet",
    "for another host",
    "for another address",
]


@pytest.fixture(params=NAMES)
def named(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Iterator[tuple[str, Case]]:
    assert list(cases) == NAMES
    yield request.param, cases[request.param]


def test_only_valid_certificates_are_accepted(supabase: Supabase, named: tuple[str, Case]) -> None:
    name, case = named
    with FaultyOdoo([metric(1)], password=PASSWORD, tls=case.certificate) as erp:
        options = {"ca_cert": case.trusted.read_text()} if case.trusted else {}
        supabase.server(erp.url, password=PASSWORD, **options)
        with SECTION.trial(f"a certificate {name}") as trial:
            if case.detail is None:
                assert supabase.row(SYNC)["delta"] == 0
                trial.record_outcome("the run completes")
                return
            with pytest.raises(psycopg.Error) as raised:
                supabase.row(SYNC)
            diag = raised.value.diag
            trial.record_outcome(f"{raised.value.sqlstate}: {diag.message_primary} ({str(diag.message_detail).split(':')[0]})")
        assert raised.value.sqlstate == "08001"
        assert case.detail in str(diag.message_detail), diag.message_detail
        assert "ca_cert" in str(diag.message_hint)
        assert PASSWORD not in str(raised.value)
        # The run sent no request and did not retry.
        assert erp.requests == []
        assert supabase.mirror() == []


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()


# The database of the program ----------------------------------------------------------------------


class EncryptedDatabase:
    """A database in which the role `syncer` needs TLS and a password."""

    def __init__(self, cluster: Cluster, program: Path) -> None:
        self.cluster = cluster
        self._program = program
        self._folder = paths.run_dir()

    def present(self, certificate: tuple[Path, Path] | None) -> None:
        """Lets new connections get this certificate, or no TLS."""
        if certificate:
            for source, name in zip(certificate, ("server.crt", "server.key"), strict=True):
                shutil.copy(source, self.cluster.data / name)
                shutil.chown(self.cluster.data / name, shell.SERVICE_USER)
                (self.cluster.data / name).chmod(0o600)
        self.cluster.psql(f"alter system set ssl = {'on' if certificate else 'off'}")
        self.cluster.psql("select pg_reload_conf()")
        shell.wait_until(lambda: self.cluster.psql("show ssl") == ("on" if certificate else "off"), "the new certificate")

    def url(self, parameters: str) -> str:
        return f"postgresql://syncer:{quote(PASSWORD)}@{self.cluster.host}:{self.cluster.port}/postgres?{parameters}"

    def start(self, parameters: str, erp: FaultyOdoo, *arguments: str) -> Running:
        login = {"ODOO_URL": erp.url, "ODOO_DB": erp.dbname, "ODOO_USER": erp.login, "ODOO_PASSWORD": erp.password}
        return Running.start([self._program, *arguments], {**login, "DATABASE_URL": self.url(parameters)}, self._folder)

    def run(self, parameters: str, erp: FaultyOdoo, *arguments: str) -> Ended:
        return self.start(parameters, erp, *arguments).wait()

    def pid(self) -> str:
        """Returns the encrypted session of the program, or nothing."""
        return self.cluster.psql(
            "select pid from pg_stat_activity join pg_stat_ssl using (pid) where application_name = 'ipai-sync' and ssl"
        )


@pytest.fixture(scope="module")
def encrypted(programs: dict[str, Path]) -> Iterator[EncryptedDatabase]:
    with Cluster(versions.target()) as cluster:
        cluster.psql(f"create role syncer login password '{PASSWORD}'; grant create on database postgres to syncer")
        rules = cluster.data / "pg_hba.conf"
        rules.write_text(f"hostssl all syncer 127.0.0.1/32 scram-sha-256\nhost all syncer 127.0.0.1/32 reject\n{rules.read_text()}")
        yield EncryptedDatabase(cluster, programs["ipai-sync"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> tuple[Path, Path]:
    """The right certificate of the database, with its key."""
    return authority.sign("database")


def test_program_mirrors_into_a_database_with_a_private_authority(
    encrypted: EncryptedDatabase, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    encrypted.present(certificate)
    trusting = f"sslmode=verify-full&sslrootcert={quote(str(authority.certificate))}"
    with ScriptedOdoo([metric(number) for number in range(1, 6)]) as erp:
        erp.password = PASSWORD
        for arguments in ("init", "create-mirror ipai.sample.metric --target metrics --fields name", "run"):
            ended = encrypted.run(trusting, erp, *arguments.split())
            assert ended.status == 0, ended
        assert encrypted.cluster.psql("select count(*) from ipai.metrics") == "5"
        # A cancel has a connection of its own.
        with psycopg.connect(encrypted.cluster.dsn()) as holder:
            holder.execute("lock table ipai.metrics")
            running = encrypted.start(trusting, erp, "--json", "run", "--full")
            blocked = "select pid from pg_locks where not granted and relation = 'ipai.metrics'::regclass"
            shell.wait_until(lambda: encrypted.cluster.psql(blocked) == encrypted.pid() != "", "the lock of the table")
            began = time.monotonic()
            running.process.send_signal(signal.SIGINT)
            assert error_of(running.wait())["sqlstate"] == "57014"
            assert time.monotonic() - began < PROMPT_SECONDS
        assert encrypted.cluster.psql("select state from ipai.sync_runs order by run desc limit 1") == "cancelled"
        # The program learns that its session ended, even if Odoo is silent.
        erp.on("search_read", never_respond)
        erp.requests.clear()
        running = encrypted.start(trusting, erp, "--json", "run", "--full")
        shell.wait_until(lambda: erp.received("search_read"), "the first page")
        began = time.monotonic()
        encrypted.cluster.psql(f"select pg_terminate_backend({encrypted.pid()})")
        assert error_of(running.wait())["sqlstate"] == "08006"
        assert time.monotonic() - began < PROMPT_SECONDS


def error_of(ended: Ended) -> dict[str, Any]:
    assert ended.status != 0 and PASSWORD not in ended.stdout + ended.stderr, ended
    error: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])["error"]
    return error


#: What is wrong with the connection, and parts of DETAIL (or of the message) and HINT.
REFUSED = {
    "another authority": ("UnknownIssuer", "not signed by an authority in the file that sslrootcert names"),
    "only public authorities": ("UnknownIssuer", "add sslrootcert=PATH to DATABASE_URL"),
    "another host": ("not valid for name", "for another host"),
    "another address": ("not valid for name", "for another host"),
    "expired": ("expired", "has expired. Renew it."),
    "not valid yet": ("not valid yet", "Check the clocks of both machines"),
    "certificate of an authority": ("CaUsedAsEndEntity", "that of an authority"),
    "no TLS": ("server does not support TLS", "Check host and port"),
    "not encrypted": ("no encryption", "remove sslmode=disable"),
    "no file": ("No such file", "a file with certificates in PEM form"),
    "file without a certificate": ("it has no certificate", "a file with certificates in PEM form"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_connection_to_the_database_has_a_hint(
    encrypted: EncryptedDatabase, authority: Authority, certificate: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    trusted, mode = authority.certificate, "verify-full"
    presented: tuple[Path, Path] | None = certificate
    match name:
        case "another authority":
            trusted = Authority(tmp_path, "other").certificate
        case "another host":
            presented = authority.sign("elsewhere", host="DNS:db.example.com")
        case "another address":
            presented = authority.sign("address", host="IP:127.0.0.2")
        case "expired":
            presented = authority.sign("expired", end="20210101000000Z")
        case "not valid yet":
            presented = authority.sign("early", begin="20900101000000Z")
        case "certificate of an authority":
            presented = authority.certificate, authority.key
        case "no TLS":
            presented = None
        case "not encrypted":
            mode = "disable"
        case "no file":
            trusted = tmp_path / "missing.pem"
        case "file without a certificate":
            trusted = tmp_path / "empty.pem"
            trusted.touch()
    encrypted.present(presented)
    parameters = f"sslmode={mode}" + ("" if name == "only public authorities" else f"&sslrootcert={quote(str(trusted))}")
    with FaultyOdoo(password=PASSWORD) as erp:
        error = error_of(encrypted.run(parameters, erp, "--json", "status"))
        detail, hint = REFUSED[name]
        assert detail in f"{error['message']} {error['detail']}" and hint in error["hint"], error
        assert str(authority.key) not in str(error)
