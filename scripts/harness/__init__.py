"""What the demo, the tests and the benchmark stand on.

Everything the project needs beyond a Rust toolchain is fetched, built and started from here, with nothing but Python's standard
library: Debian packages, relocated Postgres installations, throw-away clusters, the extension itself. Whatever is started is stopped
again, and nothing outside the project's cache, a temporary folder and Debian's own packages is written, but by `install`.

    paths      where things are kept
    cleanup    undoing, in reverse order, however the process ends
    shell      commands, servers, Debian packages, ports
    debian     packages of other Debian releases
    setup      system packages, the Python environment, the Node tools
    postgres   installations and clusters
    extension  building and installing ipai_sync, its in-server tests
    install    the same into a Postgres of the user's
    tap        the pgTAP tests
    postgrest  a real PostgREST, and scripts with supabase-js
    odoo       a real Odoo
    bench      the benchmark
"""
