"""Fixtures of the end-to-end tests: real servers, started once for all of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from harness.odoo import Odoo  # noqa: E402


@pytest.fixture(scope="session")
def odoo() -> Iterator[Odoo]:
    """A real Odoo 19 with the module, without demo records."""
    with Odoo() as running:
        yield running
