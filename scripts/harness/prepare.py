"""Builds what later test layers need, while earlier layers wait for their servers.

`harness.test` starts it in the background with the lowest priority. Each layer waits for the locks
and then builds what is still missing.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from . import clean_debian, extension, odoo, pgxn, postgres, prometheus, setup, shell, site, versions


def _release() -> None:
    with extension.built(postgres.Installation.default(), "release"):
        pass


#: The requirements of each layer, in build order.
_NEEDS: dict[str, tuple[Callable[[], object], ...]] = {
    "module": (odoo.ensure_odoo,),
    "e2e": (setup.ensure_node_tools, odoo.ensure_odoo, extension.ensure_cargo_pgrx, prometheus.ensure_prometheus, site.ensure_mdbook),
    "e2e17": (setup.ensure_node_tools, odoo.ensure_odoo, functools.partial(versions.ensure, 17)),
    "server15": (extension.ensure_cargo_pgrx,),
    "server17": (extension.ensure_cargo_pgrx, functools.partial(versions.ensure, 17)),
    "package": (_release, clean_debian.ensure_base, odoo.ensure_odoo, pgxn.ensure_validator),
}


def start(layers: Sequence[str]) -> None:
    """Starts the builds in a subprocess; a single layer builds its requirements itself."""
    if len(layers) > 1:
        shell.start_module("harness.prepare", *layers)


def _yield_to_others() -> None:
    """Takes the lowest priority among all processes.

    Linux groups processes by session, and nice applies within a session only.
    """
    os.nice(19)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")


def main() -> int:
    _yield_to_others()
    for build in dict.fromkeys(build for layer in sys.argv[1:] for build in _NEEDS.get(layer, ())):
        build()
    return 0


if __name__ == "__main__":
    shell.run_main(main)
