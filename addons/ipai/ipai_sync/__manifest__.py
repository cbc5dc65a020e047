# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "IPAI Bulk Export",
    "summary": "Bulk export of any model with the caller's access rights, for mirrors in Postgres",
    # Without a series of Odoo: the same folder installs on 18, 19 and 20. scripts/addons adds it.
    "version": "1.0.0",
    "category": "Technical",
    "author": "ipai_sync contributors",
    "website": "https://github.com/ipai-sync/ipai_sync",
    "maintainers": ["ipai-sync"],
    "development_status": "Beta",
    "license": "LGPL-3",
    # Only `base`, because the RPC methods do not need the web client.
    "depends": ["base"],
}
