{
    "name": "IPAI Sync",
    "summary": "Bulk export of any model with the caller's access rights, for mirrors in Postgres",
    # Without an Odoo series, because the same module installs on 18 and 19.
    "version": "1.0.0",
    "category": "Technical",
    "author": "ipai_sync contributors",
    "license": "LGPL-3",
    # Only `base`, because the RPC methods do not need the web client.
    "depends": ["base"],
}
