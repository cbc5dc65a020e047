{
    "name": "IPAI Sample Metrics",
    "summary": "Metrics of brands and stores with alerts, as a source for mirrors in Postgres",
    # Without an Odoo series, because the same module installs on 18 and 19.
    "version": "1.0.0",
    "category": "Productivity",
    "author": "ipai_sync contributors",
    "license": "LGPL-3",
    # Only `base`, because the RPC methods do not need the web client.
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
