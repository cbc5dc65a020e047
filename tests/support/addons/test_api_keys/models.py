"""Adds the methods by which later versions of Odoo 19 create and revoke API keys on request."""

from odoo import api, fields, models
from odoo.addons.base.models.res_users import INDEX_SIZE, KEY_CRYPT_CONTEXT
from odoo.exceptions import AccessDenied, UserError


class ResUsersApikeys(models.Model):
    _inherit = "res.users.apikeys"

    def _require_permission(self):
        enabled = self.env["ir.config_parameter"].sudo().get_param("base.enable_programmatic_api_keys")
        if not self.env.is_system() and enabled != "True":
            raise UserError("Programmatic API keys are not enabled")

    @api.model
    def generate(self, key, scope, name, expiration_date):
        self._require_permission()
        if self._check_credentials(scope=scope or "rpc", key=key) != self.env.uid:
            raise AccessDenied("The provided API key is invalid or does not belong to the current user.")
        return self._generate(scope, name, fields.Datetime.from_string(expiration_date))

    @api.model
    def revoke(self, key):
        self._require_permission()
        self.env.cr.execute("select id, key from res_users_apikeys where index = %s", [key[:INDEX_SIZE]])
        for key_id, known in self.env.cr.fetchall():
            if KEY_CRYPT_CONTEXT.verify(key, known):
                self.browse(key_id)._remove()
                return True
        raise AccessDenied("The provided API key is invalid.")
