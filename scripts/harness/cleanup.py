"""Runs registered cleanup actions in reverse order when the process ends.

Servers and temporary folders register their cleanup here. A normal end, an exception, Ctrl-C,
SIGTERM and SIGHUP all unwind the same stack. After the first signal, further signals are ignored,
so a second Ctrl-C cannot leave a server running. Every action must therefore end within a bounded
time and be idempotent.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

Action = Callable[[], object]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_stack = ExitStack()
_owner = os.getpid()
_deferring = False
_deferred: list[int] = []


def on_exit(action: Action) -> None:
    """Runs `action` when the process ends, before the actions registered earlier."""
    _stack.callback(action)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Delays signals until the block ends.

    Use it between starting a resource and registering its cleanup, for short blocks only.
    """
    global _deferring
    _deferring = True
    try:
        yield
    finally:
        _deferring = False
        if _deferred:
            _handle_signal(_deferred[0], None)


def run() -> None:
    """Runs all registered actions, last first; a failed action does not prevent the others."""
    # A forked process (multiprocessing, pytest plug-ins) inherits the stack but not the servers.
    if os.getpid() != _owner:
        return
    _ignore_signals()
    _stack.close()


def _ignore_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _handle_signal(number: int, _frame: FrameType | None) -> None:
    _ignore_signals()
    if _deferring:
        _deferred.append(number)
        return
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _install_handlers() -> None:
    atexit.register(run)
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            # nohup and background jobs of a shell ignore some of these signals on purpose.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _handle_signal)


_install_handlers()
