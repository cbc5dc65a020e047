{
    "name": "IPAI Sync",
    "summary": "Bulk export of any model, with the rights of the user who asks, for mirrors in Postgres",
    # No Odoo series in front: the same module installs on 18 and on 19.
    "version": "1.0.0",
    "category": "Technical",
    "author": "ipai_sync contributors",
    "license": "LGPL-3",
    # `base` only: the RPC methods need no web client.
    "depends": ["base"],
}
