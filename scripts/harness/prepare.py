"""Builds what later layers of the tests need, while earlier layers wait for their servers.

`harness.test` starts it with the lowest priority and never waits for it: each layer builds what is still missing, and waits for the locks.
"""

from __future__ import annotations

import os

from . import extension, odoo, postgres, setup, shell


def start() -> None:
    """Begins in another process, which ends with ours."""
    shell.start_module("harness.prepare")


def main() -> int:
    os.nice(19)
    setup.ensure_system()
    setup.ensure_node_tools()
    odoo.ensure_odoo()
    extension.ensure_cargo_pgrx()
    postgres.ensure_pg17()
    with extension.built(postgres.Installation.default(), "release"):
        return 0


if __name__ == "__main__":
    shell.leave_with(main)
