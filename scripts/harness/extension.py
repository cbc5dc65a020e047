"""Builds ipai_sync with plain cargo, installs it, and runs its in-server tests.

pgrx finds Postgres through a configuration file in PGRX_HOME, and generates its bindings again whenever that file changes. So each
major version has a PGRX_HOME of its own in the cache. Its only Postgres is a copy that never moves: builds and in-server tests use
that copy, and every other installation gets the built files.

`cargo build` and `cargo pgrx` share one target directory, one set of flags and one environment, so nothing is compiled twice.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import paths, setup, shell
from .postgres import Installation
from .totals import Totals

NAME = "ipai_sync"
CRATE = paths.PROJECT
#: The one profile of the tests and the demo. `release` is for users and for the benchmark.
TEST_PROFILE = "dev"
#: Where the in-server tests are. The crate's other tests need no server.
IN_SERVER = "pg::in_server_tests"

_TOOLS = paths.CACHE / "tools"


def manifest() -> dict[str, Any]:
    return tomllib.loads((CRATE / "Cargo.toml").read_text())


def version() -> str:
    """The version of the extension."""
    return str(manifest()["package"]["version"])


def ensure_cargo_pgrx() -> Path:
    """cargo-pgrx, of exactly the version of pgrx that the crate uses, in the cache. Returns the program.

    Only the in-server tests and the comparison of the generated SQL need it.
    """
    wanted = manifest()["dependencies"]["pgrx"]["version"].lstrip("=")
    program = _TOOLS / "bin/cargo-pgrx"
    with paths.lock("cargo-pgrx"):
        if not program.exists() or shell.run([program, "pgrx", "--version"], capture=True).stdout.split()[-1] != wanted:
            shell.log_progress(f"Building cargo-pgrx {wanted}: about 3 minutes, only once")
            # Unoptimised and without debug information: built in half the time, and no slower at what it does here.
            command: list[str | Path] = [
                "cargo",
                "install",
                "--quiet",
                "--debug",
                "--locked",
                "--force",
                f"cargo-pgrx@{wanted}",
                "--root",
                _TOOLS,
            ]
            shell.run(command, env={"CARGO_PROFILE_DEV_DEBUG": "0"})
    return program


def supported() -> list[int]:
    """The major versions of Postgres that the crate can be built for."""
    features = manifest()["features"]
    return sorted(int(name.removeprefix("pg")) for name in features if re.fullmatch(r"pg\d+", name))


# Building -------------------------------------------------------------------------------------------------------------------------


def environment(pg: Installation) -> dict[str, str | None]:
    """What cargo needs to build the crate for this Postgres. The first call takes some seconds: it copies the Postgres."""
    pg = pg.origin or pg
    home = paths.CACHE / f"pgrx-{pg.major}"

    def make() -> None:
        _configure(home, pg.relocated("postgres", under=home))

    # A newer minor version brings new headers.
    setup.rebuild_if_changed(home, paths.digest(pg.version, str(pg.pg_config), str(home)), make)
    return _settings(home)


def _environment_in_place(pg: Installation) -> dict[str, str | None]:
    """The same for a Postgres that is none of the project's: nothing of it is copied."""
    home = paths.CACHE / f"pgrx-{pg.major}-{paths.digest(str(pg.pg_config))}"

    def make() -> None:
        home.mkdir()
        _configure(home, pg)

    setup.rebuild_if_changed(home, pg.version, make)
    return _settings(home)


def _configure(home: Path, pg: Installation) -> None:
    (home / "config.toml").write_text(f'[configs]\npg{pg.major} = "{pg.pg_config}"\n')


def _settings(home: Path) -> dict[str, str | None]:
    major, minor, patch = version().split(".")
    return {
        # pgrx's tests call cargo from a program that cargo runs, which has these. The build script of `ring` watches them: with other
        # values, cargo would compile TLS and HTTP again at each change between plain cargo and cargo-pgrx.
        "CARGO_MANIFEST_DIR": str(CRATE),
        "CARGO_PKG_NAME": NAME,
        "CARGO_PKG_VERSION_MAJOR": major,
        "CARGO_PKG_VERSION_MINOR": minor,
        "CARGO_PKG_VERSION_PATCH": patch,
        "CARGO_PKG_VERSION_PRE": "",
        "PGRX_HOME": str(home),
        # pgrx would prefer it to the configuration file.
        "PGRX_PG_CONFIG_PATH": None,
        # cargo-pgrx would pass a linker flag as a rustflag, and cargo would compile every crate a second time. The linker keeps pgrx's
        # section without it; where it does not, the in-server tests and the comparison of the generated SQL fail.
        "CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND": "1",
        "PATH": f"{_TOOLS / 'bin'}:{os.environ['PATH']}",
        # The server of the in-server tests inherits it, and would put a backtrace into every DETAIL.
        "RUST_BACKTRACE": None,
    }


def build(pg: Installation, profile: str = TEST_PROFILE, *, with_tests: bool = False) -> None:
    """Builds the extension for this Postgres and installs it there."""
    with built(pg, profile, with_tests=with_tests) as library:
        place(library, pg.pkglibdir, pg.extension_dir)


@contextmanager
def built(pg: Installation, profile: str = TEST_PROFILE, *, with_tests: bool = False, in_place: bool = False) -> Iterator[Path]:
    """Builds the library for this Postgres. Yields its path, which is valid for as long as the block lasts.

    with_tests: with the in-server tests in it, so that all layers of the tests compile the dependencies once
    in_place: build against the Postgres itself, not against the copy of it in the cache
    """
    settings = _environment_in_place(pg) if in_place else environment(pg)
    duration = "about 5 minutes" if profile == "release" else "about 3 minutes"
    shell.log_progress(f"Building {NAME} for PostgreSQL {pg.major} (profile {profile}): {duration} the first time, then seconds")
    features = test_features(pg) if with_tests else ["--no-default-features", "--features", f"pg{pg.major}"]
    library = target_directory() / {"dev": "debug"}.get(profile, profile) / f"lib{NAME}.so"
    # Every set of features writes the library to the same path.
    with paths.lock(f"target-{profile}"):
        shell.run(["cargo", "build", "--quiet", "--lib", "--profile", profile, *features], cwd=CRATE, env=settings, capture=True)
        yield library


def test_features(pg: Installation) -> list[str]:
    """The features of every build for tests, as options of cargo; `cargo pgrx test` passes the same."""
    return ["--no-default-features", "--features", f"pg{pg.major} pg_test"]


def target_directory() -> Path:
    """Where cargo builds."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or CRATE / "target")


# Installing -----------------------------------------------------------------------------------------------------------------------


def script() -> str:
    """The SQL that `create extension` runs: the numbered files of sql/, in their order."""
    return "\n".join(path.read_text() for path in sorted((CRATE / "sql").glob("[0-9]*.sql")))


def place(library: Path, into_libraries: Path, into_extensions: Path) -> list[Path]:
    """Installs a built library with the control file and the SQL. Returns the files, and removes those of other versions."""
    control = (CRATE / f"{NAME}.control").read_text().replace("@CARGO_VERSION@", version())
    scripts = {f"{NAME}--{version()}.sql": script()}
    scripts |= {path.name: path.read_text() for path in sorted((CRATE / "sql").glob(f"{NAME}--*.sql"))}
    placed = [_replace(into_libraries / f"{NAME}.so", library.read_bytes(), 0o755)]
    for name, text in {f"{NAME}.control": control, **scripts}.items():
        placed.append(_replace(into_extensions / name, text.encode(), 0o644))
    for stale in set(into_extensions.glob(f"{NAME}--*.sql")) - set(placed):
        stale.unlink()
    return placed


def copy(source: Installation, target: Installation) -> None:
    """Installs in `target` what is installed in `source`, another copy of the same Postgres."""
    _replace(target.pkglibdir / f"{NAME}.so", (source.pkglibdir / f"{NAME}.so").read_bytes(), 0o755)
    for pattern in (f"{NAME}.control", f"{NAME}--*.sql"):
        for path in source.extension_dir.glob(pattern):
            _replace(target.extension_dir / path.name, path.read_bytes(), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> Path:
    """Renames the new file into place: a running server keeps the library that it has mapped."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.chmod(mode)
    return temporary.replace(path)


# What needs cargo-pgrx ------------------------------------------------------------------------------------------------------------


def generated_schema(pg: Installation) -> str:
    """The SQL of the extension as pgrx generates it from the built library."""
    ensure_cargo_pgrx()
    file = paths.run_dir() / "schema.sql"
    with paths.lock(f"target-{TEST_PROFILE}"):
        shell.run(
            ["cargo", "pgrx", "schema", f"pg{pg.major}", "--out", file, "--features", "pg_test"],
            cwd=CRATE,
            env=environment(pg),
            capture=True,
        )
    return file.read_text()


#: The declarations of the Rust functions, as pgrx generates them. A test compares them with the code.
FUNCTIONS = CRATE / "sql/15_rust_functions.sql"
_HEADER = """\
-- The functions that are written in Rust. Generated from src/pg; a test writes this file:
--     UPDATE_GOLDEN=1 scripts/test generated_schema

"""


def declarations(schema: str) -> str:
    """The declarations in a generated schema, in the form of the file `FUNCTIONS`: without comments, by name."""
    blocks = re.findall(r"^/\* <begin connected objects> \*/\n-- src/(.*?):\d+\n(.*?)^/\* </end", schema, re.MULTILINE | re.DOTALL)
    found = []
    for file, block in blocks:
        if file in ("lib.rs", "pg/in_server_tests.rs"):
            continue
        text = re.sub(r"^--.*\n", "", block, flags=re.MULTILINE)
        text = re.sub(r"[ \t]*/\*.*?\*/", "", text).replace("\t", "    ").replace("CREATE  FUNCTION", "CREATE FUNCTION")
        if text := re.sub(r"\n\s*\n", "\n", text).strip():
            found.append(text)
    return _HEADER + "\n\n".join(sorted(found, key=lambda text: re.split(r"[(]", text)[0].lower())) + "\n"


def pg_test(pg: Installation, names: Sequence[str] = (IN_SERVER,)) -> Totals:
    """Runs the in-server tests with this Postgres: all, or those whose names contain one of `names`."""
    ensure_cargo_pgrx()
    settings = environment(pg)
    shell.log_progress(f"Running the in-server tests on PostgreSQL {pg.major}: 2 minutes of compiling the first time, then seconds")
    outputs, broken = [], False
    for name in names:
        tests = _pg_test(pg, name, settings)
        outputs.append(tests.stderr + tests.stdout)
        broken |= tests.returncode != 0
    results = dict(re.findall(rf"^test ({IN_SERVER}::\S+)(?: - should panic)? \.\.\. (ok|FAILED)", "".join(outputs), re.MULTILINE))
    passed = sum(result == "ok" for result in results.values())
    # Code that does not compile has no failed tests.
    return Totals(passed, max(len(results) - passed, 1 if broken else 0), "".join(outputs))


def _pg_test(pg: Installation, name: str, settings: dict[str, str | None]) -> subprocess.CompletedProcess[str]:
    directory = paths.run_dir()
    as_user: list[str] = []
    if os.geteuid() == 0:
        # Postgres refuses to run as root. pgrx switches to the other user through sudo, who then creates the data directory.
        shell.apt_install("sudo")
        directory.chmod(0o1777)
        as_user = ["--runas", shell.SERVICE_USER]
    try:
        # pgrx installs the extension in the one copy that is configured.
        with paths.lock(f"target-{TEST_PROFILE}"):
            return shell.run(
                ["cargo", "pgrx", "test", f"pg{pg.major}", name, *as_user, "--pgdata", directory],
                cwd=CRATE,
                env={**settings, "CARGO_TERM_COLOR": "never"},
                check=False,
                capture=True,
            )
    finally:
        # An interrupted test program leaves its server running.
        for pid_file in directory.glob("*/postmaster.pid"):
            _stop_server(pid_file)


def _stop_server(pid_file: Path) -> None:
    try:
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)
    except (FileNotFoundError, IndexError, ProcessLookupError):
        return
    shell.wait_until(lambda: not pid_file.exists(), "the in-server tests' Postgres stopping")
