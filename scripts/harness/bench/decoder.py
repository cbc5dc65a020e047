"""The decoder alone, on a page of a real Odoo: beside quick-xml's bare events, and Python's xmlrpc.client.

`benches/decode.rs` measures the first two, and leaves the page for the third.
"""

from __future__ import annotations

import json
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .. import paths, shell

_GROUP = "decode"
_PYTHON_TIMES = 5


@dataclass(frozen=True)
class Decoder:
    """Bytes of the page, and bytes a second."""

    size: int
    ours: float
    events: float
    python: float

    def rates(self) -> dict[str, float]:
        return {"ipai_sync, into columns": self.ours, "quick-xml, bare events": self.events, "Python's xmlrpc.client": self.python}


def run() -> Decoder:
    shell.say("The decoder alone: some minutes at first, for the build")
    target = paths.PROJECT / "target"
    command = ["cargo", "bench", "--quiet", "--no-default-features", "--bench", "decode", "--target-dir", target]
    shell.run(command, cwd=paths.PROJECT, env={"CARGO_TERM_COLOR": "never"}, capture=True)
    body = (target / "tmp/decode-page.xml").read_bytes()
    return Decoder(
        len(body),
        ours=len(body) / seconds_of(target / "criterion", "columns"),
        events=len(body) / seconds_of(target / "criterion", "events"),
        python=len(body) / _python(body),
    )


def seconds_of(folder: Path, name: str) -> float:
    """The median of one of criterion's measurements."""
    estimates = json.loads((folder / _GROUP / name / "new/estimates.json").read_text())
    return float(estimates["median"]["point_estimate"]) / 1e9


def _python(body: bytes) -> float:
    def once() -> float:
        began = time.perf_counter()
        (rows,), _ = xmlrpc.client.loads(body)
        seconds = time.perf_counter() - began
        assert isinstance(rows, list) and rows
        return seconds

    return median(once() for _ in range(_PYTHON_TIMES))
