{
    "name": "Test API Keys",
    "summary": "API keys that are created on request, as in later versions of Odoo 19",
    "version": "19.0.1.0.0",
    "license": "LGPL-3",
    "depends": ["base"],
    "installable": True,
}
