"""Provides the servers, tools and builds that the demo, the tests and the benchmark share.

It needs a Rust toolchain and Python's standard library; it fetches, builds and starts everything
else: Debian packages, relocated Postgres installations, temporary clusters, Odoo and the extension.
The process that starts a server also stops it. Except for `install`, the modules write only to the
project's cache, a temporary folder and Debian's own packages.

    paths      locations of the project, the cache and temporary folders
    cleanup    stops servers and removes folders when the process ends
    shell      commands, servers, Debian packages, ports
    debian     packages of other Debian releases
    setup      system packages, the Python environment, the Node tools
    postgres   Postgres installations and clusters
    extension  builds and installs ipai_sync, and runs its in-server tests
    install    builds and installs ipai_sync for a Postgres of the user
    tap        the pgTAP tests
    postgrest  a real PostgREST, and scripts that use supabase-js
    pg_cron    pg_cron 1.6 for the demo
    odoo       a real Odoo
    prometheus Prometheus and its SQL exporter
    site       the docs site
    changelog  the form of the changelog, and the notes of a release
    bench      the benchmark
"""
