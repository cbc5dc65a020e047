"""Measures the decoder alone, and compares it with quick-xml's bare events and xmlrpc.client.

All decode the same page of a real Odoo. `benches/decode.rs` measures the first two, and writes the
page to a file for the third.
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
#: The number of measurements of each, taken alternately.
_TIMES = 3


@dataclass(frozen=True)
class Decoder:
    """The size of the page in bytes, and the throughputs in bytes per second of processor time."""

    size: int
    ours: float
    events: float
    python: float

    def rates(self) -> dict[str, float]:
        return {"ipai_sync, into columns": self.ours, "quick-xml, bare events": self.events, "Python's xmlrpc.client": self.python}


def run() -> Decoder:
    shell.log_progress("Measuring the decoder alone: some minutes the first time, for the build")
    # A separate target directory: this library and the extension's have the same name, and would
    # replace each other.
    target = paths.PROJECT / "target/bench"
    command: list[str | Path] = ["cargo", "bench", "--quiet", "--manifest-path", "benches/Cargo.toml"]
    seconds: dict[str, list[float]] = {"columns": [], "events": [], "python": []}
    for _ in range(_TIMES):
        shell.run(
            [*command, "--", "--warm-up-time", "1", "--measurement-time", "3"],
            cwd=paths.PROJECT,
            env={"CARGO_TARGET_DIR": str(target)},
            capture=True,
        )
        body = (target / "tmp/decode-page.xml").read_bytes()
        for name in ("columns", "events"):
            seconds[name].append(seconds_of(target / "criterion", name))
        seconds["python"].append(_python(body))
    ours, events, python = (len(body) / median(seconds[name]) for name in ("columns", "events", "python"))
    return Decoder(len(body), ours, events, python)


def seconds_of(folder: Path, name: str) -> float:
    """Returns the median of a criterion measurement in seconds."""
    estimates = json.loads((folder / _GROUP / name / "new/estimates.json").read_text())
    return float(estimates["median"]["point_estimate"]) / 1e9


def _python(body: bytes) -> float:
    # As in Rust: processor time, which does not depend on the machine's load.
    began = time.process_time()
    (rows,), _ = xmlrpc.client.loads(body)
    seconds = time.process_time() - began
    if not isinstance(rows, list) or not rows:
        raise RuntimeError("the page has no rows")
    return seconds
