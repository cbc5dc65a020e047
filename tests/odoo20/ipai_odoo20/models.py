"""Brings the changes of Odoo 20 that concern this project's modules into Odoo 19.

Odoo itself goes on as in 19: a removed method is refused to this project's modules only, and access
rights are enforced by the models of 19.
"""

import base64
import sys
from itertools import combinations

from odoo import api, fields, models
from odoo.api import Environment

OWN_MODULES = ("odoo.addons.ipai_sync.", "odoo.addons.ipai_sample_metrics.")

#: The letters of an operation, in the order of Odoo 20, with the permission of Odoo 19.
PERMISSIONS = {"c": "perm_create", "r": "perm_read", "u": "perm_write", "d": "perm_unlink"}


def _refuse_own_modules(method):
    """Raises the error of a method that does not exist, if this project's modules called it."""
    caller = sys._getframe(2).f_globals.get("__name__", "")
    if f"{caller}.".startswith(OWN_MODULES):
        raise AttributeError(f"Odoo 20 has no {method}")


def _flush_query(self, query, _flush_query=Environment.flush_query):
    _refuse_own_modules("flush_query")
    return _flush_query(self, query)


def _binary_to_read(self, value, record, use_display_name=True):
    value = super(fields.Binary, self).convert_to_read(value, record, use_display_name)
    # A computed field may hold a structure.
    return {"content": value.decode(), "size": len(base64.b64decode(value))} if isinstance(value, bytes) else value


def _binary_to_write(self, value, record):
    # Odoo 19 would write what it reads.
    return self.convert_to_record(self.convert_to_cache(value, record, validate=False), record)


Environment.flush_query = _flush_query
fields.Binary.convert_to_write = _binary_to_write
fields.Binary.convert_to_read = _binary_to_read


class IrConfigParameter(models.Model):
    _inherit = "ir.config_parameter"

    @api.model
    def get_str(self, key):
        self.browse().check_access("read")
        return self._get_param(key) or ""

    @api.model
    def get_param(self, key, default=False):
        _refuse_own_modules("get_param")
        return super().get_param(key, default)


class IrAccess(models.Model):
    _name = "ir.access"
    _description = "Access"

    name = fields.Char()
    model_id = fields.Many2one("ir.model", required=True, ondelete="cascade")
    group_id = fields.Many2one("res.groups")
    operation = fields.Selection([("".join(letters), "".join(letters)) for n in range(1, 5) for letters in combinations(PERMISSIONS, n)])
    domain = fields.Char()
    permission_id = fields.Many2one("ir.model.access")
    rule_id = fields.Many2one("ir.rule")

    @api.model_create_multi
    def create(self, vals_list):
        accesses = super().create(vals_list)
        accesses._enforce()
        return accesses

    def write(self, vals):
        result = super().write(vals)
        if not {"permission_id", "rule_id"} & vals.keys():
            self._enforce()
        return result

    def unlink(self):
        permissions, rules = self.permission_id, self.rule_id
        result = super().unlink()
        (permissions.unlink(), rules.unlink())
        return result

    def _enforce(self):
        """Enforces the access with the models of Odoo 19."""
        for access in self:
            (access.permission_id.unlink(), access.rule_id.unlink())
            values = {"name": access.name, "model_id": access.model_id.id}
            values |= {permission: letter in (access.operation or "") for letter, permission in PERMISSIONS.items()}
            if access.group_id:
                access.permission_id = self.env["ir.model.access"].create({**values, "group_id": access.group_id.id})
            if access.domain:
                groups = [fields.Command.set(access.group_id.ids)]
                access.rule_id = self.env["ir.rule"].create({**values, "domain_force": access.domain, "groups": groups})
