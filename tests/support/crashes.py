"""Kills backends of Postgres, and waits until Postgres has recovered from that."""

from __future__ import annotations

import os
import signal

import psycopg

from harness import shell
from harness.postgres import Cluster


def kill_backend(cluster: Cluster, pid: int) -> None:
    """Kills a backend, and returns once Postgres ends all others because of that.

    Until then, Postgres accepts connections that it ends a moment later.
    """
    witness = psycopg.connect(cluster.dsn(), autocommit=True)

    def has_ended() -> bool:
        try:
            witness.execute("select 1")
        except psycopg.OperationalError:
            return True
        return False

    try:
        os.kill(pid, signal.SIGKILL)
        shell.wait_until(has_ended, "Postgres to notice the crash", seconds=60, every=0.02)
    finally:
        witness.close()


def wait_for_recovery(cluster: Cluster) -> None:
    """Waits until Postgres accepts connections after a crash, which has ended all backends."""

    def answers() -> bool:
        try:
            psycopg.connect(cluster.dsn()).close()
        except psycopg.OperationalError:
            return False
        return True

    shell.wait_until(answers, "Postgres to accept connections again", seconds=120)


def crash(cluster: Cluster) -> None:
    """Kills a backend, and waits until Postgres has recovered from that."""
    victim = psycopg.connect(cluster.dsn(), autocommit=True)
    kill_backend(cluster, victim.info.backend_pid)
    wait_for_recovery(cluster)
