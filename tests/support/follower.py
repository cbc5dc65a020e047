"""Keeps a follower running in the background of a test."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from contextlib import suppress

import psycopg

from support.crashes import kill_backend, wait_for_recovery
from support.program import ProgramSupabase, Running
from support.supabase import Supabase

#: How a follower may end: as asked, killed, cancelled, by a shutdown, or in a crash. The program
#: ends with a status.
ENDS = {"well", "gone", "57014", "57P01", "57P02", "57P03", "08006", "0", "1", "-9"}


class Follower:
    """A follower that is started again whenever it ends, like one of pg_cron or systemd."""

    def __init__(self, supabase: Supabase) -> None:
        self.supabase = supabase
        self.ended: Counter[str] = Counter()
        self._is_stopped = threading.Event()
        self._pid = 0
        self._running: Running | None = None
        self._thread = threading.Thread(target=self._repeat)
        self._thread.start()

    def _repeat(self) -> None:
        while not self._is_stopped.wait(0.1):
            if isinstance(self.supabase, ProgramSupabase):
                self._running = self.supabase.start("follow", "--every", "0.3")
                self.ended[str(self._running.wait().status)] += 1
            else:
                self.ended[str(self._call())] += 1

    def _call(self) -> str:
        try:
            with psycopg.connect(self.supabase.cluster.dsn(user="postgres"), autocommit=True) as connection:
                self._pid = connection.info.backend_pid
                connection.execute("call ipai.follow_sync(every => '0.3 seconds', during => '15 seconds')")
        except psycopg.Error as error:
            return error.sqlstate or "gone"
        finally:
            self._pid = 0
        return "well"

    def cancel(self) -> None:
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        if self._running:
            self._signal(signal.SIGKILL)
        elif pid := self._pid:
            with suppress(ProcessLookupError):
                kill_backend(self.supabase.cluster, pid)
            wait_for_recovery(self.supabase.cluster)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if self._running:
                self._running.process.send_signal(number)
            elif pid := self._pid:
                os.kill(pid, number)

    def stop(self) -> None:
        self._is_stopped.set()
        while self._thread.is_alive():
            self.cancel()
            self._thread.join(0.5)
