"""How fast ipai_sync is, beside what one would use without it; what `scripts/bench` runs.

world        the servers: a real Odoo, Postgres, PostgREST, and a table for each competitor
competitors  who is compared, and how one run of each is measured
rounds       what is measured: the same things of each competitor, in turns
wire         Odoo's answers without reading them
session      statements timed by psql
decoder      the decoder alone
tenants      what row-level security costs a query
report       medians, the table, the limits
scripts      the Python scripts that are compared
"""
