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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
            # Unoptimised: built in half the time, and no slower at what it does here.
            shell.run(["cargo", "install", "--quiet", "--debug", "--locked", "--force", f"cargo-pgrx@{version}", "--root", _TOOLS])
    return program


def supported() -> list[int]:
    """The major versions of Postgres that the crate can be built for."""
    features = tomllib.loads((CRATE / "Cargo.toml").read_text())["features"]
    return sorted(int(name.removeprefix("pg")) for name in features if re.fullmatch(r"pg\d+", name))


def environment(pg: Installation) -> dict[str, str | None]:
    """What cargo needs to build the crate for this Postgres. Prepares it: the first call takes some seconds."""
    pg = pg.origin or pg
    home = paths.CACHE / f"pgrx-{pg.major}"

    def make() -> None:
        _configure(home, pg.relocated("postgres", under=home))

    # A newer minor version brings new headers.
    setup.once(home, paths.digest(pg.version, str(pg.pg_config), str(home)), make)
    return _settings(home)


def _environment_in_place(pg: Installation) -> dict[str, str | None]:
    """The same for a Postgres that is none of the project's: nothing of it is copied, and no build of the project's done anew for it."""
    home = paths.CACHE / f"pgrx-{pg.major}-{paths.digest(str(pg.pg_config))}"

    def make() -> None:
        home.mkdir()
        _configure(home, pg)

    setup.once(home, pg.version, make)
    return _settings(home)


def _configure(home: Path, pg: Installation) -> None:
    (home / "config.toml").write_text(f'[configs]\npg{pg.major} = "{pg.pg_config}"\n')


def _settings(home: Path) -> dict[str, str | None]:
    return {
        "PGRX_HOME": str(home),
        # It would be preferred to the configuration file.
        "PGRX_PG_CONFIG_PATH": None,
        "PATH": f"{_TOOLS / 'bin'}:{os.environ['PATH']}",
        # The server of the in-server tests inherits it, and would put a backtrace into every DETAIL.
        "RUST_BACKTRACE": None,
    }


def _configured(pg: Installation, settings: dict[str, str | None]) -> Installation:
    """The copy of this Postgres that the settings name."""
    configs = tomllib.loads((Path(settings["PGRX_HOME"] or "") / "config.toml").read_text())["configs"]
    return Installation(Path(configs[f"pg{pg.major}"]))


def build(pg: Installation, features: Sequence[str] = (), profile: str = "release") -> None:
    """Builds the extension for this Postgres and installs it there."""
    with packaged(pg, features, profile) as (libraries, extensions):
        place(libraries, extensions, pg.pkglibdir, pg.extension_dir)


@contextmanager
def packaged(
    pg: Installation, features: Sequence[str] = (), profile: str = "release", *, in_place: bool = False
) -> Iterator[tuple[Path, Path]]:
    """Builds the extension for this Postgres: the folders of the library, and of control file and SQL, for as long as the block lasts.

    in_place: from the Postgres itself, not from the copy of it that the cache keeps
    """
    ensure_cargo_pgrx()
    settings = _environment_in_place(pg) if in_place else environment(pg)
    source = _configured(pg, settings)
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
            env=settings,
            capture=True,
        )
        # The package has the paths of the installation that it was built for.
        yield package / source.pkglibdir.relative_to("/"), package / source.extension_dir.relative_to("/")


def copy(source: Installation, target: Installation) -> None:
    """Installs in `target` what is built and installed in `source`, another copy of the same Postgres."""
    place(source.pkglibdir, source.extension_dir, target.pkglibdir, target.extension_dir)


def place(libraries: Path, extensions: Path, into_libraries: Path, into_extensions: Path) -> list[Path]:
    """Puts the library, the control file and the SQL of one pair of folders into another; returns where they are then.

    What another version has left there goes.
    """
    files = [(libraries / f"{NAME}.so", into_libraries)]
    files += [(path, into_extensions) for pattern in (f"{NAME}.control", f"{NAME}--*.sql") for path in sorted(extensions.glob(pattern))]
    placed = []
    for path, folder in files:
        # Renamed into place: a running server keeps the library that it has mapped.
        temporary = folder / f".{path.name}.new"
        shutil.copyfile(path, temporary)
        temporary.chmod(0o755 if path.suffix == ".so" else 0o644)
        placed.append(temporary.replace(folder / path.name))
    for stale in set(into_extensions.glob(f"{NAME}--*.sql")) - set(placed):
        stale.unlink()
    return placed


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
