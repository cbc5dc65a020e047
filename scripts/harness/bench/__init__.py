"""How fast ipai_sync is, beside what one would use without it; what `scripts/bench` runs.

    world        the servers: a real Odoo, Postgres, PostgREST, and a table for each competitor
    competitors  who is compared, and how one run of each is measured
    rounds       what is measured, of each competitor in turn
    wire         Odoo's answers without reading them
    session      statements timed by psql, and memory
    decoder      the decoder alone
    tenants      what row-level security costs a query
    report       medians, the table, the limits
    document     docs/reference/benchmarks.md
    scripts      the Python scripts that are compared

Everything but those scripts needs Python's standard library only.
"""
