"""Runs the tests of the session over the wire protocol, which need a Postgres."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import shell
from harness.postgres import Cluster


@pytest.mark.parametrize("transport", ["tcp", "socket"])
def test_session_passes_its_own_tests(programs: dict[str, Path], hosted: Cluster, transport: str) -> None:
    address = f"host={hosted.host if transport == 'tcp' else hosted.directory} port={hosted.port} user=postgres dbname=postgres"
    tests = shell.run(
        [programs["session"], "--include-ignored"],
        env={"IPAI_TEST_DATABASE": f"{address} sslmode=disable", "RUST_BACKTRACE": None},
        check=False,
        capture=True,
    )
    assert tests.returncode == 0 and " 0 ignored;" in tests.stdout, tests.stdout + tests.stderr
