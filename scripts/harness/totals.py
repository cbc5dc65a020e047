"""What a test program reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Totals:
    """How many single tests passed and failed, and what the test program printed."""

    passed: int
    failed: int
    output: str
