"""Provides a company's Odoo: business modules with demo data, and a day of work in them."""

from __future__ import annotations

import time
from typing import Any

from harness.odoo import Odoo

#: The modules of the starter in `examples/mirrors`.
STARTER = ("sale_management", "stock", "account", "crm")
#: The modules of the nightly tests.
MODULES = (*STARTER, "purchase", "project", "hr", "mrp", "point_of_sale")


def company(modules: tuple[str, ...] = MODULES) -> Odoo:
    """Returns an Odoo with these modules, their demo data and the addon."""
    return Odoo((*modules, "ipai_sync"), demo=True)


class Work:
    """What people do in a company's Odoo, through its API."""

    def __init__(self, odoo: Odoo) -> None:
        self.odoo = odoo

    def call(self, model: str, method: str, *args: Any, **kwargs: Any) -> Any:
        return self.odoo.rpc(model, method, *args, **kwargs)

    def find(self, model: str, *domain: Any, limit: int = 1) -> list[int]:
        found: list[int] = self.call(model, "search", list(domain), limit=limit, order="id")
        assert found, f"no {model} with {domain}"
        return found

    def customer(self, name: str, **values: Any) -> int:
        return int(self.call("res.partner", "create", {"name": name, "email": f"{name.split()[0].lower()}@example.com", **values}))

    def order(self, partner: int, quantity: int = 3) -> int:
        """Creates a quotation with two lines and confirms it."""
        products = self.find("product.product", ("sale_ok", "=", True), ("type", "=", "consu"), limit=2)
        lines = [(0, 0, {"product_id": product, "product_uom_qty": quantity, "price_unit": 10.5 * product}) for product in products]
        order = int(self.call("sale.order", "create", {"partner_id": partner, "order_line": lines}))
        self.call("sale.order", "action_confirm", [order])
        return order

    def delivery(self, partner: int) -> int:
        """Moves a product from stock to a customer, and validates the transfer."""
        (kind,) = self.find("stock.picking.type", ("code", "=", "outgoing"))
        (product,) = self.find("product.product", ("type", "=", "consu"))
        (values,) = self.call("stock.picking.type", "read", [kind], ["default_location_src_id", "default_location_dest_id"], load="")
        places = {"location_id": values["default_location_src_id"], "location_dest_id": values["default_location_dest_id"]}
        move = {"product_id": product, "product_uom_qty": 2, **places}
        picking = int(
            self.call("stock.picking", "create", {"picking_type_id": kind, "partner_id": partner, **places, "move_ids": [(0, 0, move)]})
        )
        self.call("stock.picking", "action_confirm", [picking])
        moves = self.find("stock.move", ("picking_id", "=", picking))
        self.call("stock.move", "write", moves, {"quantity": 2, "picked": True})
        self.call("stock.picking", "button_validate", [picking])
        return picking

    def invoice(self, partner: int, amount: float = 120.0) -> int:
        """Creates an invoice and posts it, which changes the customer's rank by SQL."""
        line = {"name": "Service", "quantity": 1, "price_unit": amount}
        move = int(
            self.call("account.move", "create", {"move_type": "out_invoice", "partner_id": partner, "invoice_line_ids": [(0, 0, line)]})
        )
        self.call("account.move", "action_post", [move])
        return move

    def payment(self, invoice: int) -> None:
        """Pays an invoice."""
        context = {"active_model": "account.move", "active_ids": [invoice]}
        wizard = self.call("account.payment.register", "create", {}, context=context)
        self.call("account.payment.register", "action_create_payments", [wizard], context=context)

    def lead(self, partner: int) -> int:
        """Creates an opportunity with tags, moves it to another stage, and deletes a tag."""
        # Odoo refuses two tags of the same name.
        number = self.call("crm.tag", "search_count", [])
        tags = [int(self.call("crm.tag", "create", {"name": f"{name} {number}"})) for name in ("Urgent", "Wholesale")]
        lead = int(
            self.call("crm.lead", "create", {"name": "Big deal", "type": "opportunity", "partner_id": partner, "tag_ids": [(6, 0, tags)]})
        )
        self.call("crm.lead", "write", [lead], {"stage_id": self.find("crm.stage", limit=2)[-1], "expected_revenue": 9999.5})
        self.call("crm.tag", "unlink", tags[:1])
        return lead

    def merge(self, partners: list[int]) -> None:
        """Merges contacts. Odoo changes the foreign keys of all tables by SQL."""
        wizard = self.call(
            "base.partner.merge.automatic.wizard", "create", {"partner_ids": [(6, 0, partners)], "dst_partner_id": partners[0]}
        )
        self.call("base.partner.merge.automatic.wizard", "action_merge", [wizard])

    def prepare(self) -> None:
        """Creates what the day changes."""
        names = ("Ada Lovelace", "Bob Byte", "Ada L.", "Carl Code")
        self.ada, self.bob, self.twin, self.carl = (self.customer(name) for name in names)
        self.orders = [self.order(self.ada), self.order(self.bob, 1), self.order(self.twin, 2)]
        self.lead(self.twin)
        # An incremental run reads the second of the newest record again.
        time.sleep(2)
        self.customer("Newest")
        self.draft = int(self.call("sale.order", "create", {"partner_id": self.bob}))

    def day(self) -> None:
        """Lives a day: orders, deliveries, invoices, payments, tags, deletions and a merge."""
        self.order(self.ada)
        self.delivery(self.ada)
        self.payment(self.invoice(self.ada))
        self.invoice(self.carl, 77.7)
        self.lead(self.bob)
        self.merge([self.ada, self.twin])
        # A tag written from the other side of the relation.
        tag = self.call("res.partner.category", "create", {"name": "Key account", "partner_ids": [(6, 0, [self.ada, self.bob])]})
        self.call("res.partner.category", "write", [tag], {"partner_ids": [(3, self.ada)]})
        # Archived, translated and deleted records.
        self.call("product.template", "write", self.find("product.template", ("sale_ok", "=", True)), {"active": False})
        self.call("res.country", "write", self.find("res.country"), {"name": "Renamed"})
        self.call("sale.order", "action_cancel", [self.orders[1]])
        self.call("sale.order", "unlink", [self.orders[1], self.draft])
        self.call("crm.lead", "unlink", self.find("crm.lead"))
