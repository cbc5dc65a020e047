"""Runs one of the other scripts and prints its duration and memory as JSON.

The start of Python and the import of libraries are not measured.

    python timed.py practice|script [YYYY-MM-DD HH:MM:SS]
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time


def peak() -> int:
    """Returns the peak of this process's memory so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sync = importlib.import_module(sys.argv[1]).sync
    at_start = peak()
    began = time.perf_counter()
    fetched = sync(sys.argv[2] if len(sys.argv) > 2 else None)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "fetched": fetched, "peak": peak() - at_start}))
