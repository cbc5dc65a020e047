"""Builds PGXN's own validator of META.json."""

from __future__ import annotations

from pathlib import Path

from . import paths, setup, shell

_VERSION = "0.7.0"


def ensure_validator() -> Path:
    """Returns the program `pgxn_meta`, built once."""
    folder = paths.CACHE / "pgxn"

    def make() -> None:
        shell.log_progress("Building PGXN's validator: about a minute, only once")
        # Without debug information, as for cargo-pgrx.
        command: list[str | Path] = ["cargo", "install", "--quiet", "--debug", "--locked", f"pgxn_meta@{_VERSION}", "--root", folder]
        shell.run(command, env={"CARGO_PROFILE_DEV_DEBUG": "0"})

    setup.rebuild_if_changed(folder, _VERSION, make)
    return folder / "bin/pgxn_meta"
