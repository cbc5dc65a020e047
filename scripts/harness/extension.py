"""Builds ipai_sync with plain cargo, installs it, and runs its in-server tests.

pgrx finds Postgres through a configuration file in PGRX_HOME, and regenerates its bindings whenever
that file changes. Therefore each major version has a separate PGRX_HOME in the cache. Its file
names a copy of Postgres with a fixed path. Builds and in-server tests use this copy; the built
files are then installed into the other installations.

`cargo build` and `cargo pgrx` share one target directory, one set of flags and one environment, so
that cargo compiles each crate once.
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
#: The profile of the tests and the demo. Users and the benchmark get `release`.
TEST_PROFILE = "dev"
#: The module with the in-server tests. The crate's other tests need no server.
IN_SERVER = "in_server_tests"

#: sql/README.md says what its folders contain.
SQL = CRATE / "sql"
#: The declarations of the Rust functions, as pgrx generates them. A test compares them with the code.
FUNCTIONS = SQL / "extension/objects/10_rust_functions.sql"

_TOOLS = paths.CACHE / "tools"


def manifest() -> dict[str, Any]:
    return tomllib.loads((CRATE / "Cargo.toml").read_text())


def version() -> str:
    return str(manifest()["workspace"]["package"]["version"])


def ensure_cargo_pgrx() -> Path:
    """Builds the version of cargo-pgrx that matches the crate's pgrx, and returns the program.

    Only the in-server tests and the comparison of the generated SQL need it.
    """
    wanted = manifest()["workspace"]["dependencies"]["pgrx"].lstrip("=")
    program = _TOOLS / "bin/cargo-pgrx"
    with paths.lock("cargo-pgrx"):
        if not program.exists() or shell.run([program, "pgrx", "--version"], capture=True).stdout.split()[-1] != wanted:
            shell.log_progress(f"Building cargo-pgrx {wanted}: about 3 minutes, only once")
            # Unoptimised and without debug information: this halves the build time, and speed does
            # not matter here.
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
    """Returns the major versions of Postgres that the crate can be built for."""
    features = manifest()["features"]
    return sorted(int(name.removeprefix("pg")) for name in features if re.fullmatch(r"pg\d+", name))


# Building ---------------------------------------------------------------------------------------


def environment(pg: Installation) -> dict[str, str | None]:
    """Returns the environment in which cargo builds the crate for this Postgres.

    The first call copies the Postgres, which takes some seconds.
    """
    pg = pg.origin or pg
    home = paths.CACHE / f"pgrx-{pg.major}"

    def make() -> None:
        _configure(home, pg.relocated("postgres", under=home))

    # A new minor version has new headers.
    setup.rebuild_if_changed(home, paths.digest(pg.version, str(pg.pg_config), str(home)), make)
    return _settings(home)


def _environment_in_place(pg: Installation) -> dict[str, str | None]:
    """Returns the same for a Postgres outside of the project, without copying it."""
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
        # cargo sets these for the program that pgrx's tests run in, and pgrx calls cargo from
        # there. The build script of `ring` depends on them. Without fixed values, cargo would
        # compile TLS and HTTP again at each change between plain cargo and cargo-pgrx.
        "CARGO_MANIFEST_DIR": str(CRATE),
        "CARGO_PKG_NAME": NAME,
        "CARGO_PKG_VERSION_MAJOR": major,
        "CARGO_PKG_VERSION_MINOR": minor,
        "CARGO_PKG_VERSION_PATCH": patch,
        "CARGO_PKG_VERSION_PRE": "",
        "PGRX_HOME": str(home),
        # pgrx would prefer it to the configuration file.
        "PGRX_PG_CONFIG_PATH": None,
        # cargo-pgrx would pass a linker flag as a rustflag, and cargo would compile every crate a
        # second time. The linker keeps pgrx's section without the flag. A linker that removes it
        # makes the in-server tests and the comparison of the generated SQL fail.
        "CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND": "1",
        "PATH": f"{_TOOLS / 'bin'}:{os.environ['PATH']}",
        # The server of the in-server tests inherits it, and would add a backtrace to every DETAIL.
        "RUST_BACKTRACE": None,
    }


def build(pg: Installation, profile: str = TEST_PROFILE, *, with_tests: bool = False) -> None:
    """Builds the extension for this Postgres and installs it there."""
    with built(pg, profile, with_tests=with_tests) as library:
        place(library, pg.pkglibdir, pg.extension_dir)


@contextmanager
def built(pg: Installation, profile: str = TEST_PROFILE, *, with_tests: bool = False, in_place: bool = False) -> Iterator[Path]:
    """Builds the library for this Postgres. Yields its path, which is valid within the block.

    with_tests: include the in-server tests, so that all test layers share the compiled dependencies
    in_place: build against the Postgres itself instead of its copy in the cache
    """
    settings = _environment_in_place(pg) if in_place else environment(pg)
    duration = "about 5 minutes" if profile == "release" else "about 3 minutes"
    shell.log_progress(f"Building {NAME} for PostgreSQL {pg.major} (profile {profile}): {duration} the first time, then seconds")
    features = test_features(pg) if with_tests else ["--no-default-features", "--features", f"pg{pg.major}"]
    library = target_directory() / {"dev": "debug"}.get(profile, profile) / f"lib{NAME}.so"
    # Builds with different features write the library to the same path.
    with paths.lock(f"target-{profile}"):
        shell.run(["cargo", "build", "--quiet", "--lib", "--profile", profile, *features], cwd=CRATE, env=settings, capture=True)
        yield library


def test_features(pg: Installation) -> list[str]:
    """Returns cargo's options with the features of test builds; `cargo pgrx test` uses the same."""
    return ["--no-default-features", "--features", f"pg{pg.major} pg_test"]


def target_directory() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR") or CRATE / "target")


# Installing -------------------------------------------------------------------------------------


def script() -> str:
    """The SQL that `create extension` runs."""
    return _joined([*sorted((SQL / "core/tables").glob("*.sql")), *sorted((SQL / "extension/once").glob("*.sql")), *objects()])


def objects() -> list[Path]:
    """The idempotent files: `create extension` and every update run all of them, in this order."""
    return [
        FUNCTIONS,
        *sorted((SQL / "core/objects").glob("*.sql")),
        *(path for path in sorted((SQL / "extension/objects").glob("*.sql")) if path != FUNCTIONS),
    ]


def updates(steps: Path = SQL / "updates") -> dict[str, str]:
    """The SQL that `alter extension update` runs, by the version from which it starts.

    A file `<from>--<to>.sql` in the folder `steps` has what no idempotent file can do: changes of tables, and objects to drop. An update
    runs the steps of all versions in between, and then the idempotent files of this version.
    """
    after: dict[str, tuple[str, Path]] = {}
    for path in sorted(steps.glob("*--*.sql")):
        start, _, end = path.stem.partition("--")
        if start in after:
            raise ValueError(f"two updates start from version {start}: {after[start][1].name} and {path.name}")
        after[start] = (end, path)
    return {start: _joined([*_chain(start, after), *objects()]) for start in after}


def _chain(start: str, after: dict[str, tuple[str, Path]]) -> list[Path]:
    """The steps from a version to this one."""
    chain: list[Path] = []
    current = start
    while current != version():
        if current not in after or after[current][1] in chain:
            raise ValueError(f"no update leads from version {current} to {version()}")
        current, path = after[current]
        chain.append(path)
    return chain


def _joined(files: Sequence[Path]) -> str:
    return "\n".join(path.read_text() for path in files)


def place(library: Path, into_libraries: Path, into_extensions: Path) -> list[Path]:
    """Installs a library, the control file and the SQL, and removes SQL files of other versions.

    Returns the installed files.
    """
    control = (CRATE / f"{NAME}.control").read_text().replace("@CARGO_VERSION@", version())
    scripts = {f"{NAME}--{version()}.sql": script()}
    scripts |= {f"{NAME}--{start}--{version()}.sql": text for start, text in updates().items()}
    placed = [_replace(into_libraries / f"{NAME}.so", library.read_bytes(), 0o755)]
    for name, text in {f"{NAME}.control": control, **scripts}.items():
        placed.append(_replace(into_extensions / name, text.encode(), 0o644))
    for stale in set(into_extensions.glob(f"{NAME}--*.sql")) - set(placed):
        stale.unlink()
    return placed


def copy(source: Installation, target: Installation) -> None:
    """Copies the installed extension to `target`, another copy of the same Postgres."""
    _replace(target.pkglibdir / f"{NAME}.so", (source.pkglibdir / f"{NAME}.so").read_bytes(), 0o755)
    for pattern in (f"{NAME}.control", f"{NAME}--*.sql"):
        for path in source.extension_dir.glob(pattern):
            _replace(target.extension_dir / path.name, path.read_bytes(), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> Path:
    """Replaces the file by rename, so that a running server keeps its mapped library."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.chmod(mode)
    return temporary.replace(path)


# With cargo-pgrx --------------------------------------------------------------------------------


def generated_schema(pg: Installation) -> str:
    """Returns the extension's SQL as pgrx generates it from the built library."""
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


_HEADER = """\
-- The functions written in Rust, generated from their declarations. A test writes this file:
--     UPDATE_GOLDEN=1 scripts/test generated_schema

"""


def declarations(schema: str) -> str:
    """Extracts the declarations for the file `FUNCTIONS`: without comments, sorted by name."""
    blocks = re.findall(r"^/\* <begin connected objects> \*/\n-- src/(.*?):\d+\n(.*?)^/\* </end", schema, re.MULTILINE | re.DOTALL)
    found = []
    for file, block in blocks:
        if file in ("lib.rs", "in_server_tests.rs"):
            continue
        text = re.sub(r"^--.*\n", "", block, flags=re.MULTILINE)
        text = re.sub(r"[ \t]*/\*.*?\*/", "", text).replace("\t", "    ")
        # An update runs the declarations too.
        text = re.sub(r"^create\s+(function|procedure)", lambda found: f"create or replace {found[1].lower()}", text, flags=re.I | re.M)
        if text := re.sub(r"\n\s*\n", "\n", text).strip():
            found.append(text)
    return _HEADER + "\n\n".join(sorted(found, key=lambda text: re.split(r"[(]", text)[0].lower())) + "\n"


# The claims helpers ---------------------------------------------------------------------------------------------------------------

#: Defines the functions that policies call. They belong to the role that runs it, and stay when the extension is dropped.
CLAIMS_MIGRATION = CRATE / "migrations/202601140001_IPAI_SAMPLE_METRICS_CLAIMS.sql"
#: Has the generated copy, for databases without the migration.
CLAIMS_HELPERS = SQL / "core/objects/50_claims_helpers.sql"
_BEGIN, _END = "    -- Generated:\n", "    -- End of the generated part.\n"


def claims_helpers() -> str:
    """The file `CLAIMS_HELPERS` with the definitions of the migration, each created only where it is missing."""
    blocks = re.finditer(
        r"^create or replace (function ipai\.(\w+)\(claim text\).*?^\$\$;\ncomment on function .*?;\n)",
        CLAIMS_MIGRATION.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    generated = "".join(
        f"    if to_regprocedure('ipai.{block[2]}(text)') is null then\n"
        f"create {block[1]}"
        f"revoke all on function ipai.{block[2]}(text) from public;\n"
        "    end if;\n"
        for block in blocks
    )
    head, _, rest = CLAIMS_HELPERS.read_text().partition(_BEGIN)
    tail = rest.partition(_END)[2]
    assert generated and tail, CLAIMS_HELPERS
    return head + _BEGIN + generated + _END + tail


# The in-server tests --------------------------------------------------------------------------------------------------------------


def pg_test(pg: Installation, names: Sequence[str] = (IN_SERVER,)) -> Totals:
    """Runs the in-server tests whose names contain one of `names`; by default all of them."""
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
    # A compile error reports no failed test.
    return Totals(passed, max(len(results) - passed, 1 if broken else 0), "".join(outputs))


def _pg_test(pg: Installation, name: str, settings: dict[str, str | None]) -> subprocess.CompletedProcess[str]:
    directory = paths.run_dir()
    as_user: list[str] = []
    if os.geteuid() == 0:
        # Postgres refuses to run as root. pgrx runs it as another user through sudo, and that user
        # creates the data directory.
        shell.apt_install("sudo")
        directory.chmod(0o1777)
        as_user = ["--runas", shell.SERVICE_USER]
    try:
        # pgrx installs the extension into the configured copy.
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
