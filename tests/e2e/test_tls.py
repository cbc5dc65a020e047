"""Tests certificates in real TLS handshakes.

Only a valid certificate of a trusted authority for this host is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from harness import shell
from support.faulty import FaultyOdoo, metric
from support.reliability import Section
from support.supabase import Supabase

SECTION = Section("Certificates")

SYNC = "select * from ipai.sync_sample_metrics()"
PASSWORD = "hunter2-Zq9"


class Authority:
    """A private certificate authority in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        self._folder = folder
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", self._key, "-out", self.certificate),
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
            *("ca", "-batch", "-notext", "-config", settings, "-cert", self.certificate, "-keyfile", self._key, "-extfile", extensions),
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
