"""Provides the PostgreSQL of each supported major version, with its headers.

The tests' target, the database with the mirrors, can be of any of them (`target`). Odoo's own
database is always of the default version.

15 is Debian 12's own. Debian 13 has 17 and Debian sid 18; their sources are built here, because
their packages need a later glibc. 16 is in no Debian release; the Python package pgserver has it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from . import debian, paths, server_extensions, setup, shell
from .postgres import Installation
from .server_extensions import PG_CRON, WAL2JSON, ServerExtension

#: The environment variable with the major version of the tests' target; `scripts/test --postgres`
#: sets it. A variable also reaches pytest's workers.
TARGET = "IPAI_POSTGRES"


@dataclass(frozen=True)
class _Source:
    """A source package of Debian."""

    suite: str
    pinned: debian.PinnedFile
    #: What setup.py installs from packages for 15. The tests that need it run on 15 and 17 only.
    extensions: tuple[ServerExtension, ...] = ()


_SOURCES = {
    17: _Source(
        "trixie",
        debian.PinnedFile(
            "main/p/postgresql-17/postgresql-17_17.11.orig.tar.bz2", "dd27f2b3c59e73ed14aa3324901242bf69a032a6347805f274e6260322d42979"
        ),
        extensions=(PG_CRON, WAL2JSON),
    ),
    18: _Source(
        "sid",
        debian.PinnedFile(
            "main/p/postgresql-18/postgresql-18_18.6.orig.tar.bz2", "555610c24d53e4316da5b7d3fc25c279d96856d5e0e23ee308c328c5fa881d9f"
        ),
    ),
}

#: What the tests need: pgcrypto requires OpenSSL, and uuid-ossp a UUID library. Some tests use
#: collations of ICU, functions of XML, compressed dumps or German messages.
_OPTIONS = (
    *("--with-icu", "--with-libxml", "--with-zlib", "--with-ssl=openssl", "--with-uuid=e2fs"),
    *("--enable-nls=de", "--without-readline"),
)

_BUILD_PACKAGES = (
    *("bison", "flex", "gcc", "gettext", "libc6-dev", "libicu-dev", "libssl-dev", "libxml2-dev"),
    *("make", "perl", "pkg-config", "uuid-dev", "zlib1g-dev"),
)

#: Has PostgreSQL 16.2 without contrib.
_PGSERVER = "pgserver==0.1.4 --hash=sha256:d595789b47624a3d963aa9aa6359da9be31beb7e61f1a45541953242068b8813"


def target() -> Installation:
    """Returns the Postgres that the tests sync into: of the version in `TARGET`, by default 15."""
    return ensure(int(os.environ.get(TARGET, "15")))


def ensure(major: int) -> Installation:
    """Returns the Postgres of this version. 16 to 18 are made in the cache, once."""
    if major == 15:
        return Installation.default()
    prefix = prefix_of(major)
    if source := _SOURCES.get(major):
        setup.rebuild_if_changed(prefix, paths.digest(source.pinned.sha256, *_OPTIONS), lambda: _build(major, source, prefix))
    else:
        setup.rebuild_if_changed(prefix, paths.digest(_PGSERVER), lambda: _fetch_16(prefix))
    installation = Installation(prefix / "bin/pg_config")
    with paths.lock(prefix.name):
        # pgTAP consists of SQL only, so the packaged files for 15 serve every version.
        for path in Installation.default().extension_dir.glob("pgtap*"):
            shutil.copyfile(path, installation.extension_dir / path.name)
        for extension in source.extensions if source else ():
            if not (installation.pkglibdir / f"{extension.name}.so").exists():
                _install(extension, installation)
    return installation


def prefix_of(major: int) -> Path:
    """Returns the folder of the Postgres that `ensure` makes."""
    return paths.CACHE / f"pg{major}"


def _build(major: int, source: _Source, prefix: Path) -> None:
    shell.apt_install(*_BUILD_PACKAGES)
    shell.log_progress(f"Building PostgreSQL {major} from the source package of Debian {source.suite}: about 4 minutes, only once")
    work = paths.run_dir()
    archive = debian.Suite(source.suite, work / "apt").download_source(f"postgresql-{major}", work, source.pinned)
    folder = work / "source"
    folder.mkdir()
    shell.run(["tar", "-xf", archive, "-C", folder, "--strip-components=1"])
    log = work / "build.log"
    steps = [
        ["./configure", "--quiet", f"--prefix={prefix}", *_OPTIONS],
        ["make", "-s", f"-j{os.cpu_count() or 1}", "install"],
        ["make", "-s", f"-j{os.cpu_count() or 1}", "-C", "contrib", "install"],
    ]
    for step in steps:
        with open(log, "w") as output:
            # Variables of a calling make would change the build.
            clean = shell.environment({"MAKEFLAGS": None, "MAKELEVEL": None})
            status = subprocess.run(step, cwd=folder, env=clean, stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode
        if status != 0:
            raise shell.CommandFailed(step, status, "\n".join(log.read_text().splitlines()[-40:]))
    shutil.rmtree(work)


def _install(extension: ServerExtension, installation: Installation) -> None:
    """Installs the extension if the mirror has its source; otherwise the tests of it fail."""
    try:
        server_extensions.install(extension, installation)
    except (urllib.error.URLError, TimeoutError) as error:
        shell.log_progress(f"PostgreSQL {installation.major} stays without {extension.name}: {extension.source.path}: {error}")


def _fetch_16(prefix: Path) -> None:
    shell.apt_install("patchelf")
    shell.log_progress("Fetching PostgreSQL 16 from the Python package pgserver: seconds, only once")
    work = paths.run_dir()
    requirements = work / "requirements.txt"
    requirements.write_text(_PGSERVER + "\n")
    pip: list[str | Path] = [setup.ensure_venv(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Only this package: what its Python code depends on is not needed.
    options: list[str | Path] = [
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--target",
        work / "package",
        "-r",
        requirements,
    ]
    shell.run([*pip, *options], env={"PYTHONPATH": None})
    shutil.copytree(work / "package/pgserver/pginstall", prefix, symlinks=True)
    # The programs look for these libraries relative to the package's folders.
    for library in (work / "package/pgserver.libs").iterdir():
        shutil.copy(library, prefix / "lib")
    for program in (prefix / "bin").iterdir():
        shell.run(["patchelf", "--set-rpath", prefix / "lib", program])
    shutil.rmtree(work)
