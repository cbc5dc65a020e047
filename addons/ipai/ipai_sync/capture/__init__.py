# Copyright 2026 ipai_sync contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

"""Finds the records that changed since an earlier snapshot of Odoo's database."""

from . import mirror, scan, sources, tokens
