{
    "name": "Changes of Odoo 20",
    "summary": "For tests in Odoo 19: what Odoo 20 changed and this project's modules use",
    "version": "1.0.0",
    "author": "ipai_sync contributors",
    "license": "LGPL-3",
    "depends": ["base"],
    "data": ["security/ir.model.access.csv"],
}
