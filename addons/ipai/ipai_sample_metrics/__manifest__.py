{
    "name": "IPAI Sample Metrics",
    "summary": "Brand and store metrics with alerts, ready to be mirrored into Postgres",
    # No Odoo series in front: the same module installs on 18 and on 19.
    "version": "1.0.0",
    "category": "Productivity",
    "author": "ipai_sync contributors",
    "license": "LGPL-3",
    # `base` only: the RPC methods need no web client.
    "depends": ["base"],
    "data": [
        "security/sample_metric_groups.xml",
        "security/ir.model.access.csv",
        "views/sample_metric_views.xml",
        "data/ir_cron.xml",
    ],
    "demo": ["demo/sample_metric_demo.xml"],
    "application": True,
}
