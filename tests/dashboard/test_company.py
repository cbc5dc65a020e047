"""Tests the page with a real Odoo and its sync, and takes the pictures for the documentation."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from harness import paths
from harness.dashboard import Dashboard
from harness.odoo import MODEL
from support.dashboard import Company, FakeRealtime

IMAGES = paths.PROJECT / "docs/images"
Visit = Callable[..., Page]


def open_as(visit: Visit, company: Company, beginning: str, address: str = "", **options: object) -> Page:
    """Opens the page as the user whose name starts with `beginning`."""
    page = visit(f"{company.site.url}{address}", **options)
    name = company.user(beginning)
    button = page.get_by_role("button", name="Signed in as")
    expect(button).to_be_visible()
    if button.get_attribute("aria-label") != f"Signed in as {name}":
        button.click()
        page.get_by_role("menuitemradio", name=name).click()
    expect(page.get_by_role("button", name=f"Signed in as {name}")).to_be_visible()
    return page


@contextmanager
def changed(company: Company, change: str, back: str) -> Iterator[None]:
    company.cluster.psql(change)
    try:
        yield
    finally:
        company.cluster.psql(back)


def test_a_change_in_odoo_appears_on_the_open_page(visit: Visit, company: Company) -> None:
    page = open_as(visit, company, "Ana")
    card = page.locator('[data-code="STORE_SALES"]')
    expect(card).to_contain_text("₱")
    (before,) = re.findall(r"₱[\d,]+", card.inner_text())
    brand = company.odoo.rpc("res.partner", "search", [["name", "=", company.user("Ana").partition(", ")[2]]])[0]
    (record,) = company.odoo.rpc(
        MODEL, "search_read", [["code", "=", "STORE_SALES"], ["brand_id", "=", brand]], ["value"], limit=1, order="date desc, id"
    )
    page.evaluate("window.sameDocument = true")
    company.odoo.rpc(MODEL, "write", [record["id"]], {"value": record["value"] + 7_000_000})
    company.sync()
    expect(card).to_contain_text("₱7,")
    assert page.evaluate("window.sameDocument") is True
    # The other tenant's page has not changed.
    expect(open_as(visit, company, "Ben").locator('[data-code="STORE_SALES"]')).not_to_contain_text("₱7,")
    company.odoo.rpc(MODEL, "write", [record["id"]], {"value": record["value"]})
    company.sync()
    expect(card).to_contain_text(before)


def test_brands_and_stores_have_names(visit: Visit, company: Company) -> None:
    page = open_as(visit, company, "Ana", "#/metric/STORE_SALES")
    brand = company.user("Ana").partition(", ")[2]
    options = page.get_by_label("Brand", exact=True).locator("option")
    expect(options).to_have_text(["All brands", brand])
    expect(page.get_by_label("Store", exact=True).locator("option")).to_have_text(
        ["All stores", *[f"{brand} {city}" for city in ("Makati", "Cebu", "Davao")]]
    )


def test_users_see_counts_but_not_runs(visit: Visit, company: Company) -> None:
    page = open_as(visit, company, "Ana", "#/health")
    expect(page.get_by_text("Only operators can see runs and errors")).to_be_visible()
    row = page.get_by_role("region", name="Counts").locator("tbody tr", has_text="sample_metrics")
    total = int(company.cluster.psql("select count(*) from ipai.ipai_sample_metrics"))
    assert row.locator("td").all_inner_texts()[:4] == ["sample_metrics", f"{total:,}", f"{total:,}", "0"]
    expect(row).to_contain_text("ok")
    expect(page.get_by_role("region", name="Mirrors")).to_have_count(0)


def test_operators_see_runs_and_alerts(visit: Visit, company: Company) -> None:
    page = open_as(visit, company, "Otto", "#/health")
    expect(page.get_by_text("All mirrors are healthy.")).to_be_visible()
    row = page.get_by_role("region", name="Mirrors").locator("tbody tr", has_text="sample_metrics")
    expect(row).to_contain_text("0 3 * * *")
    broken = "insert into ipai.run_log (mirror, mode, state, finished_at, sqlstate, message, hint) values ('sample_metrics', 'full', 'failed', now(), '08001', 'could not connect to Odoo', 'Start it.')"
    with changed(company, broken, "delete from ipai.run_log where state = 'failed'"):
        # The page shows it without a reload.
        expect(page.get_by_role("region", name="Mirror alerts")).to_contain_text("could not connect to Odoo")
        expect(row).to_contain_text("failing")
    expect(page.get_by_text("All mirrors are healthy.")).to_be_visible()


def test_stale_data_has_a_warning(visit: Visit, company: Company) -> None:
    later = "update ipai.run_log set finished_at = finished_at {} interval '3 hours', started_at = started_at {} interval '3 hours'"
    page = open_as(visit, company, "Ana")
    expect(page.get_by_text("Synced")).to_be_visible()
    expect(page.get_by_text("The data may be stale")).to_have_count(0)
    with changed(company, later.format("-", "-"), later.format("+", "+")):
        expect(page.get_by_text("The data may be stale")).to_be_visible()
        expect(page.get_by_text("The mirror was last compared with Odoo 3 hours ago.")).to_be_visible()
    expect(page.get_by_text("The data may be stale")).to_have_count(0)


#: The user, the address and the browser's options of each picture.
PICTURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "overview": ("Carla", "", {}),
    "overview-dark": ("Carla", "", {"color_scheme": "dark"}),
    "overview-phone": (
        "Carla",
        "",
        {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True},
    ),
    "metric": ("Carla", "#/metric/SHELF_AVAILABILITY", {"viewport": {"width": 1280, "height": 1060}}),
    "alerts": ("Ana", "#/flagged", {}),
    "health": ("Otto", "#/health", {}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_each_page_shows_data(visit: Visit, company: Company, name: str) -> None:
    """Each page has rows or cards. With SCREENSHOTS=1 its picture is saved."""
    user, address, options = PICTURES[name]
    settings = {key: value for key, value in company.site.config.items() if key != "pollSeconds"}
    with Dashboard(company.api, settings) as site:
        page = open_as(visit, Company(company.odoo, company.cluster, company.api, site), user, address, realtime=FakeRealtime(), **options)
        expect(page.locator('[data-live="realtime"]')).to_be_visible()
        page.wait_for_load_state("networkidle")
        expect(page.locator('[aria-label^="Loading"]')).to_have_count(0)
        expect(page.locator("[data-code], tbody tr").first).to_be_visible()
        # Below the closed menu may be an element with a tooltip.
        page.mouse.move(0, 400)
        # The menu may have scrolled a small page.
        page.evaluate("window.scrollTo(0, 0)")
        expect(page.get_by_role("tooltip")).to_have_count(0)
        if os.environ.get("SCREENSHOTS"):
            IMAGES.mkdir(exist_ok=True)
            page.screenshot(path=IMAGES / f"dashboard-{name}.png")
