"""Writes docs/reference/benchmarks.md from the results of a whole run."""

from __future__ import annotations

import datetime
import os
import platform
import re
from pathlib import Path

from .. import extension, odoo, paths, setup, shell
from ..postgres import Installation
from . import report
from .report import Results

FILE = paths.PROJECT / "docs/reference/benchmarks.md"

_TEXT = """# Benchmarks

```
./scripts/bench              # {rows:,} records: about half an hour
./scripts/bench --quick      # 20,000 records: some minutes
./scripts/bench --rows 1000000 --only floor ipai_sync
```

`./scripts/bench --write` writes this page. A run starts a real Odoo, Postgres and PostgREST, and
changes nothing else on the machine. It compares a sync with the scripts that are written for the
same purpose, with what Odoo and Postgres need alone, and with the project's own limits. It also
measures the decoder, what row-level security costs a tenant's query, and followers: how late a
change arrives, and what polling costs Odoo.

{tables}

## Competitors

| | |
|---|---|
| (a) | the usual practice, `practice.py`: Python's xmlrpc.client calls the module's export, 50,000 rows per call, its maximum; supabase-py upserts them through PostgREST, 1,000 per request |
| (b) | a good script, `script.py`: xmlrpc.client reads pages of 5,000 by id, psycopg copies them into a temporary table, one upsert writes what differs; all ids are compared if the counts differ |
| (c) | the floor: the pages that ipai_sync requests from Odoo, read over a plain socket and discarded; also the single calls |
| (d) | the lower floor: `copy` of the same rows from a file |
| (e) | `call ipai.run_sync(...)`, Odoo without an addon of this project except the model's |
| (f) | the same with the addon `ipai_sync` in Odoo |
| (g) | (e) with an API key, so over JSON-2 |
| (h) | `ipai-sync run`: the same engine outside of the server, Odoo as in (e); the start of the program counts |
| (i) | the same with the addon `ipai_sync` in Odoo |

The scripts are in `scripts/harness/bench/scripts`, written as users write them. (a) does not detect
deletions.

## Method

- All figures come from one run on the same data. Each round takes every competitor through every
  measure, and each round begins with another competitor. Figures are medians of {rounds} rounds;
  memory is the maximum of any round.
- Each competitor has a table like `ipai.ipai_sample_metrics`, with its indexes and its trigger.
  After a first load and after the deletions, the tables are compared with one another and with
  Odoo's count.
- The start of Python or psql and the import of libraries do not count. A checkpoint precedes each
  run and a vacuum follows it; autovacuum and fsync are off.
- Odoo's records were written over months. Between the incremental measures, the changed records are
  made older: a run begins ten minutes before the last record that it saw, and would read it again.
- Memory is RssAnon, sampled 100 times a second: of the backend, above its value before the call; of
  the program, above its value at its start; of a script, the peak of all its memory after the
  imports.
- Rows written are counted by the rows' `xmin`, WAL by `pg_get_wal_stats`.
- The decoder and its competitors are measured in processor time.
  `cargo bench --manifest-path benches/Cargo.toml` runs `benches/decode.rs` alone.
- A tenant's query runs on 200,000 rows as PostgREST runs it. The query without a policy has the
  filter in its text.

## Environment

| | |
|---|---|
{machine}
"""


def text(results: Results, rounds: int) -> str:
    machine = "\n".join(f"| {name} | {value} |" for name, value in _machine().items())
    return _TEXT.format(rows=results.rows, tables=report.tables(results), rounds=rounds, machine=machine)


def _machine() -> dict[str, str]:
    def output_of(*command: str | Path) -> str:
        return shell.run(command, cwd=paths.PROJECT, capture=True).stdout.strip()

    pins = setup.BENCH_REQUIREMENTS.read_text()
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return {
        "date": datetime.date.today().isoformat(),
        "ipai_sync": f"{extension.version()}, commit {output_of('git', 'rev-parse', '--short', 'HEAD')}",
        "processor": f"{os.cpu_count()} of {field(Path('/proc/cpuinfo').read_text(), 'model name')}",
        "memory": f"{int(field(Path('/proc/meminfo').read_text(), 'MemTotal').split()[0]) / (1 << 20):.0f} GiB",
        "system": f"{system}, Linux {platform.release()}",
        "Odoo": odoo.ensure_odoo().version,
        "Postgres": Installation.default().full_version,
        "PostgREST": output_of(setup.ensure_node_tools().postgrest, "--version"),
        "Rust": output_of("rustc", "--version"),
        "Python": f"{platform.python_version()}, supabase {pinned(pins, 'supabase')}, psycopg {pinned(pins, 'psycopg')}",
    }


def field(text: str, name: str) -> str:
    """Returns the first value of this name in the text of a file in /proc."""
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", text, re.MULTILINE)
    if not match:
        raise ValueError(f"no {name}")
    return match[1]


def pinned(requirements: str, package: str) -> str:
    """Returns the version of a package in the text of a requirements file."""
    match = re.search(rf"^{re.escape(package)}==(.+)$", requirements, re.MULTILINE)
    if not match:
        raise ValueError(f"no {package}")
    return match[1]
