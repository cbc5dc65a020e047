"""Tests the page with a real Odoo and its sync, and takes the pictures for the documentation."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from harness import paths
from harness.dashboard import Dashboard
from harness.odoo import MODEL
from harness.shell import wait_until
from support.dashboard import Company, FakeRealtime, Follower

IMAGES = paths.PROJECT / "docs/images"
Visit = Callable[..., Page]


def open_as(visit: Visit, company: Company, beginning: str, address: str = "", **options: object) -> Page:
    """Opens the page as the user whose name starts with `beginning`."""
    page = visit(f"{company.site.url}{address}", **options)
    name = company.user(beginning)
    button = page.get_by_role("button", name="Signed in as")
    expect(button).to_be_visible()
    chosen = page.get_by_role("button", name=f"Signed in as {name}")
    if button.get_attribute("aria-label") != f"Signed in as {name}":
        button.click()
        item = page.get_by_role("menuitemradio", name=name)
        item.click()
        # The page may draw its menu anew in the moment of the click, and so lose it.
        with suppress(AssertionError):
            expect(chosen).to_be_visible(timeout=3000)
        if item.is_visible():
            item.click()
    expect(chosen).to_be_visible()
    return page


@contextmanager
def restored(company: Company, record: dict[str, Any]) -> Iterator[None]:
    """Gives a record in Odoo its value back."""
    try:
        yield
    finally:
        company.odoo.rpc(MODEL, "write", [record["id"]], {"value": record["value"]})


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
    with restored(company, record):
        company.odoo.rpc(MODEL, "write", [record["id"]], {"value": record["value"] + 7_000_000})
        company.sync()
        expect(card).to_contain_text("₱7,")
        assert page.evaluate("window.sameDocument") is True
        # The other tenant's page has not changed.
        expect(open_as(visit, company, "Ben").locator('[data-code="STORE_SALES"]')).not_to_contain_text("₱7,")
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


# Followed mirrors ---------------------------------------------------------------------------------


@pytest.fixture
def follower(company: Company) -> Iterator[Follower]:
    with Follower(company.cluster) as running:
        yield running


@contextmanager
def site_without_polls(company: Company, **settings: object) -> Iterator[Company]:
    """The page, which learns of changes by Realtime or from the follower only."""
    with Dashboard(company.api, {**company.site.config, "pollSeconds": 3600, **settings}) as site:
        yield Company(company.odoo, company.cluster, company.api, site)


@pytest.mark.parametrize("channel", ["polling", "realtime"])
def test_a_followed_change_appears_within_two_seconds(visit: Visit, company: Company, follower: Follower, channel: str) -> None:
    realtime = FakeRealtime() if channel == "realtime" else None
    brand = company.odoo.rpc("res.partner", "search", [["name", "=", company.user("Ana").partition(", ")[2]]])[0]
    (record,) = company.odoo.rpc(
        MODEL, "search_read", [["code", "=", "STORE_SALES"], ["brand_id", "=", brand]], ["value"], limit=1, order="date desc, id"
    )
    with restored(company, record), site_without_polls(company, realtime=realtime is not None) as followed:
        page = open_as(visit, followed, "Ana", realtime=realtime)
        expect(page.locator(f'[data-live="live"][data-changes="{channel}"]')).to_have_text("Live")
        expect(page.get_by_text(re.compile("Synced .*second|Synced now"))).to_be_visible()
        card = page.locator('[data-code="STORE_SALES"]')
        expect(card).to_contain_text("₱")

        def has_value(expected: float) -> bool:
            return float(company.cluster.psql(f"select value from ipai.ipai_sample_metrics where odoo_id = {record['id']}")) == expected

        seconds = []
        for millions in (7, 14, 21, 28, 35):
            changed_value = record["value"] + millions * 1_000_000
            company.odoo.rpc(MODEL, "write", [record["id"]], {"value": changed_value})
            committed = time.monotonic()
            if realtime:
                # The server of Realtime reads the row from the log of changes.
                wait_until(partial(has_value, changed_value), "the row", every=0.02)
                realtime.change()
            # Two seconds more, for a busy machine.
            expect(card).to_contain_text(f"₱{millions},", timeout=4000)
            seconds.append(round(time.monotonic() - committed, 2))
        print(f"From the commit in Odoo to the page, by {channel}: {seconds} s")
        company.odoo.rpc(MODEL, "write", [record["id"]], {"value": record["value"]})
        wait_until(partial(has_value, record["value"]), "the former value")


def test_the_page_says_when_the_follower_stops(visit: Visit, company: Company, follower: Follower) -> None:
    with site_without_polls(company, realtime=False) as followed:
        page = open_as(visit, followed, "Ana", "#/health")
        verdict = page.locator("dl div", has_text="Verdict")
        expect(page.locator('[data-live="live"]')).to_be_visible()
        expect(verdict).to_contain_text("last poll")
        expect(verdict).not_to_contain_text("not live")
        row = page.get_by_role("region", name="Counts").locator("tbody tr", has_text="sample_metrics")
        expect(row.locator("td").last).to_have_text("live")
        follower.stop()
        # The view calls a mirror live for 30 seconds after the last poll.
        expect(page.locator('[data-live="stopped"]')).to_have_text("Not live", timeout=45_000)
        expect(verdict).to_contain_text("not live")


def test_operators_see_polls_latency_and_a_stopped_follower(visit: Visit, company: Company, follower: Follower) -> None:
    record = company.odoo.rpc(MODEL, "search", [["code", "=", "FOOTFALL"]], limit=1)
    company.odoo.rpc(MODEL, "write", record, {"notes": "counted again"})
    page = open_as(visit, company, "Otto", "#/health")
    row = page.get_by_role("region", name="Mirrors").locator("tbody tr", has_text="sample_metrics")
    expect(row).to_contain_text(re.compile(r"[\d.]+ sec"))
    expect(page.get_by_text("All mirrors are healthy.")).to_be_visible()
    follower.stop()
    company.cluster.psql("update ipai.followers set polled_at = polled_at - interval '5 minutes'")
    alert = page.get_by_role("region", name="Mirror alerts").locator("tbody tr", has_text="late")
    expect(alert).to_contain_text("no follower has polled Odoo since")
    expect(row).to_contain_text("late")


def test_a_mirror_whose_last_run_failed_is_not_live(visit: Visit, company: Company, follower: Follower) -> None:
    page = open_as(visit, company, "Ana")
    expect(page.locator('[data-live="live"]')).to_be_visible()
    failed = (
        "insert into ipai.run_log (mirror, mode, state, finished_at, message) values ('sample_metrics', 'live', 'failed', now(), 'failed')"
    )
    with changed(company, failed, "delete from ipai.run_log where state = 'failed'"):
        expect(page.locator('[data-live="stopped"]')).to_be_visible()
    expect(page.locator('[data-live="live"]')).to_be_visible()


# Pictures -----------------------------------------------------------------------------------------

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
def test_each_page_shows_data(visit: Visit, company: Company, follower: Follower, name: str) -> None:
    """Each page has rows or cards. With SCREENSHOTS=1 its picture is saved."""
    user, address, options = PICTURES[name]
    settings = {key: value for key, value in company.site.config.items() if key != "pollSeconds"}
    with Dashboard(company.api, settings) as site:
        page = open_as(visit, Company(company.odoo, company.cluster, company.api, site), user, address, realtime=FakeRealtime(), **options)
        expect(page.locator('[data-live="live"][data-changes="realtime"]')).to_be_visible()
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
