"""Building and installing ipai_sync, and its in-server tests.

pgrx finds Postgres through a small configuration file in PGRX_HOME, and builds its bindings anew whenever that file changes. So each
major version has a PGRX_HOME of its own in the cache, whose only Postgres is a copy that stays where it is: builds and in-server tests
use that one, and everything else gets the built files copied.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tomllib
from collections.abc import Sequence
from pathlib import Path

from . import paths, setup, shell
from .postgres import Installation
from .totals import Totals

NAME = "ipai_sync"
CRATE = paths.PROJECT

_TOOLS = paths.CACHE / "tools"


def ensure_cargo_pgrx() -> Path:
    """cargo-pgrx, of exactly the version of pgrx that the crate uses, in the cache; returns the program."""
    manifest = tomllib.loads((CRATE / "Cargo.toml").read_text())
    version = manifest["dependencies"]["pgrx"]["version"].lstrip("=")
    program = _TOOLS / "bin/cargo-pgrx"
    with paths.lock("cargo-pgrx"):
        if not program.exists() or shell.run([program, "pgrx", "--version"], capture=True).stdout.split()[-1] != version:
            shell.say(f"Building cargo-pgrx {version}: a few minutes, only this once")
            shell.run(["cargo", "install", "--quiet", "--locked", "--force", f"cargo-pgrx@{version}", "--root", _TOOLS])
    return program


def environment(pg: Installation) -> dict[str, str | None]:
    """What cargo needs to build the crate for this Postgres. Prepares it: the first call takes some seconds."""
    pg = pg.origin or pg
    home = paths.CACHE / f"pgrx-{pg.major}"
    configuration = home / "config.toml"

    def make() -> None:
        copy = pg.relocated("postgres", under=home)
        configuration.write_text(f'[configs]\npg{pg.major} = "{copy.pg_config}"\n')

    # A newer minor version brings new headers.
    setup.once(home, paths.digest(pg.version, str(pg.pg_config), str(home)), make)
    return {
        "PGRX_HOME": str(home),
        # It would be preferred to the configuration file.
        "PGRX_PG_CONFIG_PATH": None,
        "PATH": f"{_TOOLS / 'bin'}:{os.environ['PATH']}",
        # The server of the in-server tests inherits it, and would put a backtrace into every DETAIL.
        "RUST_BACKTRACE": None,
    }


def _configured(pg: Installation) -> Installation:
    """The copy of this Postgres that `environment` names."""
    configs = tomllib.loads((Path(environment(pg)["PGRX_HOME"] or "") / "config.toml").read_text())["configs"]
    return Installation(Path(configs[f"pg{pg.major}"]))


def build(pg: Installation, features: Sequence[str] = (), profile: str = "release") -> None:
    """Builds the extension for this Postgres and installs it there."""
    ensure_cargo_pgrx()
    source = _configured(pg)
    shell.say(f"Building {NAME} for PostgreSQL {pg.major} ({profile}): minutes at first, then seconds")
    with paths.lock(f"package-{pg.major}"):
        package = paths.CACHE / f"package-{pg.major}"
        shutil.rmtree(package, ignore_errors=True)
        shell.run(
            [
                *("cargo", "pgrx", "package", "--pg-config", source.pg_config, "--profile", profile, "--out-dir", package),
                *("--no-default-features", "--features", " ".join([f"pg{pg.major}", *features])),
            ],
            cwd=CRATE,
            env=environment(pg),
            capture=True,
        )
        # The package has the paths of the installation that it was built for.
        libraries, extensions = (package / folder.relative_to("/") for folder in (source.pkglibdir, source.extension_dir))
        _copy_files(libraries, extensions, pg)


def copy(source: Installation, target: Installation) -> None:
    """Installs in `target` what is built and installed in `source`, another copy of the same Postgres."""
    _copy_files(source.pkglibdir, source.extension_dir, target)


def _copy_files(libraries: Path, extensions: Path, target: Installation) -> None:
    files = [(libraries / f"{NAME}.so", target.pkglibdir)]
    files += [(path, target.extension_dir) for pattern in (f"{NAME}.control", f"{NAME}--*.sql") for path in extensions.glob(pattern)]
    for stale in target.extension_dir.glob(f"{NAME}--*.sql"):
        stale.unlink()
    for path, folder in files:
        # Renamed into place: a running server keeps the library that it has mapped.
        temporary = folder / f".{path.name}.new"
        shutil.copyfile(path, temporary)
        temporary.chmod(0o755 if path.suffix == ".so" else 0o644)
        temporary.replace(folder / path.name)


def pg_test(pg: Installation, *, name: str | None = None) -> Totals:
    """Runs the crate's tests with this Postgres, those inside of the server among them; `name`: only tests whose names contain it."""
    ensure_cargo_pgrx()
    settings = environment(pg)
    directory = paths.run_dir()
    as_user: list[str] = []
    if os.geteuid() == 0:
        # Postgres refuses to run as root. pgrx then becomes the other user, through sudo, and lets that one make the folder.
        shell.apt_install("sudo")
        directory.chmod(0o1777)
        as_user = ["--runas", shell.SERVICE_USER]
    shell.say(f"Running the in-server tests on PostgreSQL {pg.major}: minutes at first, for the build")
    try:
        # pgrx installs the extension in the one copy that is configured.
        with paths.lock(f"pg_test-{pg.major}"):
            tests = shell.run(
                ["cargo", "pgrx", "test", f"pg{pg.major}", *([name] if name else []), *as_user, "--pgdata", directory],
                cwd=CRATE,
                env={**settings, "CARGO_TERM_COLOR": "never"},
                check=False,
                capture=True,
            )
    finally:
        # An interrupted test program leaves its server running.
        for pid_file in directory.glob("*/postmaster.pid"):
            _stop_server(pid_file)
    results = re.findall(r"^test result: .*?(\d+) passed; (\d+) failed", tests.stdout, re.MULTILINE)
    passed, failed = (sum(int(result[index]) for result in results) for index in (0, 1))
    if tests.returncode != 0:
        # What does not compile has no failed tests.
        failed = max(failed, 1)
    # The build's messages first: what failed is at the end.
    return Totals(passed, failed, tests.stderr + tests.stdout)


def _stop_server(pid_file: Path) -> None:
    try:
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)
    except (FileNotFoundError, IndexError, ProcessLookupError):
        return
    shell.wait_until(lambda: not pid_file.exists(), "the in-server tests' Postgres stopping")
