"""Compares the speed of ipai_sync with alternatives; `scripts/bench` runs it.

    world        the servers: a real Odoo, Postgres, PostgREST, and a table for each competitor
    competitors  the competitors, and the measurement of one run
    rounds       the order of the measurements
    wire         requests to Odoo whose responses are discarded
    session      statements timed by psql, and memory
    decoder      the decoder alone
    tenants      the cost of row-level security for a query
    report       medians, tables and limits
    document     docs/reference/benchmarks.md
    scripts      the Python scripts among the competitors

Except for those scripts, the benchmark needs Python's standard library only.
"""
