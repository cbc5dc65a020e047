"""Tests runs without a connection to Odoo, or with a connection to another service.

The run must fail at once, and the run log must contain its error.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from support.faulty import FaultyOdoo, metric
from support.reliability import Section
from support.supabase import Supabase

SECTION = Section("Connections")
PASSWORD = "secret of the connection"


@contextmanager
def other_service(banner: bytes | None) -> Iterator[int]:
    """A port that refuses connections, or a server at it.

    The server sends `banner` after it has received data, and closes the connection.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if banner is None:
            yield listener.getsockname()[1]
            return
        listener.listen()

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    # Read everything, because a close with unread data resets the connection and
                    # could lose the banner.
                    connection.recv(65536)
                    connection.sendall(banner)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass

        threading.Thread(target=answer, daemon=True).start()
        yield listener.getsockname()[1]
        # Wakes the thread up.
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def erp() -> Iterator[FaultyOdoo]:
    with FaultyOdoo([metric(1)], password=PASSWORD) as server:
        yield server


CASES: dict[str, tuple[str, bytes | None]] = {
    "no server listens at the port": ("http://127.0.0.1:{port}", None),
    "the host's name is unknown": ("http://odoo.invalid", None),
    "the port speaks SSH": ("http://127.0.0.1:{port}", b"SSH-2.0-OpenSSH_9.2\r\n"),
    "https at a port that speaks http": ("https://127.0.0.1:{port}", b"HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("case", CASES)
def test_run_without_an_odoo_at_the_address_fails(supabase: Supabase, erp: FaultyOdoo, case: str) -> None:
    url, banner = CASES[case]
    supabase.server(erp.url, password=PASSWORD)
    supabase.run()
    before = supabase.mirror("odoo_id, xmin::text")
    with other_service(banner) as number:
        supabase.rows(f"alter server odoo options (set url '{url.format(port=number)}', add allow_insecure 'true')")
        supabase.bind(url.format(port=number))
        with SECTION.trial(case) as trial:
            with pytest.raises(psycopg.Error) as raised:
                supabase.rows("call ipai.run_sync('sample_metrics')")
            trial.record_outcome(raised.value)
    assert str(raised.value.sqlstate).startswith("08")
    assert PASSWORD not in str(raised.value)
    assert supabase.mirror("odoo_id, xmin::text") == before
    assert supabase.last_run()["sqlstate"] == raised.value.sqlstate
    supabase.set_url(erp.url)
    assert supabase.run()["state"] == "succeeded"


@pytest.mark.whole_file
def test_page_matches_the_recorded_outcomes() -> None:
    SECTION.compare()
