"""Format and lint, of everything; what `scripts/check` runs. Imports between the rooms are checked by `tests/architecture.rs`."""

from __future__ import annotations

import sys

from . import extension, paths, postgres, setup, shell


def main() -> int:
    setup.ensure_system()
    python = setup.ensure_venv()
    extension.ensure_cargo_pgrx()
    pg15 = postgres.Installation.default()
    deny = ["--", "-D", "warnings"]
    failed = []
    for what, command, env in [
        ("format of the Rust code", ["cargo", "fmt", "--check"], {}),
        ("lint of the pure rooms", ["cargo", "clippy", "-q", "--no-default-features", "--all-targets", *deny], {}),
        (
            "lint of the extension",
            ["cargo", "clippy", "-q", "--all-targets", "--features", "pg_test", *deny],
            extension.environment(pg15),
        ),
        ("imports between the rooms", ["cargo", "test", "-q", "--no-default-features", "--test", "architecture"], {}),
        ("format of the fuzz targets", ["cargo", "fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"], {}),
        ("format of the Python code", [python, "-m", "ruff", "format", "--check", "-q", "."], {}),
        ("lint of the Python code", [python, "-m", "ruff", "check", "-q", "."], {}),
    ]:
        shell.say(f"Checking the {what}")
        if shell.run(command, cwd=paths.PROJECT, env=env, check=False).returncode != 0:
            failed.append(what)
    for what in failed:
        print(f"not in order: the {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
