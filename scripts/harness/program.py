"""Builds the program ipai-sync."""

from __future__ import annotations

from pathlib import Path

from . import extension, paths, shell, versions
from .postgres import Installation

NAME = "ipai-sync"


def build(profile: str = extension.TEST_PROFILE) -> Path:
    """Builds the program and returns its path."""
    # A release is built with 15, a test with the target's version, which the tests build anyway.
    pg = Installation.default() if profile == "release" else versions.target()
    # With the features and the environment of the other builds, cargo compiles nothing twice.
    packages = ["--package", "ipai-cli"] if profile == "release" else ["--workspace", *extension.test_features(pg)]
    shell.log_progress(f"Building {NAME} (profile {profile})")
    with paths.lock(f"target-{profile}"):
        shell.run(
            ["cargo", "build", "--quiet", "--bin", NAME, "--profile", profile, *packages],
            cwd=extension.CRATE,
            env=extension.environment(pg),
            capture=True,
        )
    return extension.target_directory() / {"dev": "debug"}.get(profile, profile) / NAME
