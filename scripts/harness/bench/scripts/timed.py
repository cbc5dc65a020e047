"""Runs one of the scripts beside this one and prints, as JSON, its seconds and the memory that it needed.

The time to start Python and to import libraries does not count.

    python timed.py practice|script [YYYY-MM-DD HH:MM:SS]
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time


def peak() -> int:
    """The most memory that this process has had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sync = importlib.import_module(sys.argv[1]).sync
    at_start = peak()
    began = time.perf_counter()
    fetched = sync(sys.argv[2] if len(sys.argv) > 2 else None)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "fetched": fetched, "peak": peak() - at_start}))
