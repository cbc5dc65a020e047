"""Tests the built page in Chromium with a real PostgREST and 200,000 metrics."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from harness import dashboard, paths
from harness.dashboard import Dashboard
from harness.postgres import Cluster
from harness.postgrest import PREFIX, PostgREST
from support.dashboard import ANA, BEN, CARLA, DAYS, NORA, STORES, FakeRealtime

AXE = dashboard.APP / "node_modules/axe-core/axe.min.js"
#: The rows of one metric for one of the four brands.
ROWS = STORES // 4 * DAYS

Visit = Callable[..., Page]
#: Stands between two numbers, and in place of a missing value.
EN_DASH = "\N{EN DASH}"


def become(page: Page, name: str) -> None:
    """Switches the user in the menu after the page has loaded."""
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Signed in as").click()
    page.get_by_role("menuitemradio", name=name).click()
    expect(page.get_by_role("button", name=f"Signed in as {name}")).to_be_visible()


def shown(first: int, last: int, total: str, what: str = "rows") -> str:
    return f"{first}{EN_DASH}{last} of {total} {what}"


def card(page: Page, code: str) -> Any:
    return page.locator(f'[data-code="{code}"]')


def amount(database: Cluster, where: str) -> str:
    """A sum from the database in the format of the page."""
    (total,) = database.psql(f"select round(sum(value)::numeric) from ipai.ipai_sample_metrics where {where}", user="postgres").splitlines()
    return f"₱{int(total):,}"


def newest_sales(brand: int) -> str:
    return f"code = 'STORE_SALES' and brand_id = {brand} and date = current_date"


@contextmanager
def changed(database: Cluster, change: str, back: str, user: str | None = "postgres") -> Iterator[None]:
    """Changes the database inside the block, and undoes the change.

    The change runs as `user`, or as a superuser if it is None.
    """
    database.psql(change, user=user)
    try:
        yield
    finally:
        database.psql(back, user=user)


# Users --------------------------------------------------------------------------------------------


def test_each_tenant_sees_its_own_metrics(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(site.url)
    seen = {}
    for name, brand in ((ANA, 7), (BEN, 8)):
        become(page, name)
        expect(page.get_by_text("24 metrics")).to_be_visible()
        expect(card(page, "STORE_SALES")).to_contain_text(amount(database, newest_sales(brand)))
        seen[name] = card(page, "STORE_SALES").inner_text()
        card(page, "STORE_SALES").click()
        expect(page.get_by_text(shown(1, 25, f"{ROWS:,}"))).to_be_visible()
        assert set(page.locator("tbody td:nth-child(3)").all_inner_texts()) == {f"Brand {brand}"}
        assert page.get_by_label("Brand", exact=True).locator("option").all_inner_texts() == ["All brands", f"Brand {brand}"]
        page.get_by_role("link", name="Overview", exact=True).first.click()
    assert seen[ANA] != seen[BEN]


def test_a_user_without_a_brand_sees_no_metrics(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    become(page, NORA)
    expect(page.get_by_text("No metrics yet")).to_be_visible()
    page.goto(f"{site.url}#/metric/STORE_SALES")
    expect(page.get_by_text("No such metric")).to_be_visible()
    page.goto(f"{site.url}#/flagged")
    expect(page.get_by_text("No flagged values")).to_be_visible()


def test_the_page_refuses_the_service_key(visit: Visit, api: PostgREST) -> None:
    with Dashboard(api, {"supabaseKey": api.token("service_role")}) as site:
        page = visit(site.url)
        expect(page.get_by_text("bypasses row-level security")).to_be_visible()


def test_the_documented_policy_is_the_tested_policy() -> None:
    text = (paths.PROJECT / "docs/how-to/dashboard.md").read_text()
    (written,) = re.findall(r"^default-src .*$", text, re.MULTILINE)
    rules = [rule for rule in written.split("; ") if not rule.startswith("connect-src ")]
    assert "; ".join(rules) == dashboard.POLICY and len(rules) == len(written.split("; ")) - 1


def test_an_expired_token_is_reported(visit: Visit, api: PostgREST) -> None:
    with Dashboard(api, {"demoUsers": [{"name": "Late", "token": api.token(lasts=-60)}], "realtime": False}) as site:
        page = visit(site.url)
        expect(page.get_by_text("Your session has expired")).to_be_visible()


def test_users_sign_in_with_email_and_password(visit: Visit, api: PostgREST, database: Cluster) -> None:
    """The test answers for Supabase Auth. PostgREST accepts the token."""
    with Dashboard(api, {"realtime": False}) as site:
        page = visit("about:blank")

        def auth(route: Route) -> None:
            if urlsplit(route.request.url).path.endswith("/logout"):
                route.fulfill(status=204)
                return
            sent = route.request.post_data_json
            assert sent is not None
            if sent.get("password") != "correct horse":
                route.fulfill(status=400, json={"code": "invalid_credentials", "message": "Invalid login credentials"})
                return
            user = {"id": "6a9c0e5e-0000-4000-8000-000000000001", "email": sent["email"], "aud": "authenticated", "app_metadata": {}}
            token = api.token(app_metadata={"ipai_brand_ids": [8]})
            route.fulfill(json={"access_token": token, "token_type": "bearer", "expires_in": 3600, "refresh_token": "x", "user": user})

        page.route("**/auth/v1/**", auth)
        page.goto(site.url)
        page.get_by_label("Email").fill("ben@example.com")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("The email or the password is wrong.")).to_be_visible()
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Sign in").click()
        expect(card(page, "STORE_SALES")).to_contain_text(amount(database, newest_sales(8)))
        page.reload()
        expect(card(page, "STORE_SALES")).to_be_visible()
        page.get_by_role("button", name="Signed in as ben@example.com").click()
        page.get_by_role("menuitem", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        expect(card(page, "STORE_SALES")).to_have_count(0)


def test_an_unknown_address_leads_to_the_overview(visit: Visit, site: Dashboard) -> None:
    page = visit(f"{site.url}#/unknown/address")
    expect(card(page, "STORE_SALES")).to_be_visible()
    expect(page.get_by_role("link", name="Overview", exact=True)).to_have_attribute("aria-current", "page")
    assert page.url.endswith("#/overview")


# The overview -------------------------------------------------------------------------------------


def requests_of(page: Page) -> list[str]:
    """A list that gets the address of each request to the API."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if f"{PREFIX}/" in request.url else None)
    return asked


def test_the_overview_needs_at_most_three_requests(visit: Visit, site: Dashboard) -> None:
    page = visit("about:blank")
    asked = requests_of(page)
    page.goto(site.url)
    expect(card(page, "STORE_SALES")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert 1 <= len(asked) <= 3, asked
    slowest = page.evaluate(
        f"Math.max(...performance.getEntriesByType('resource').filter((e) => e.name.includes('{PREFIX}/')).map((e) => e.duration))"
    )
    assert slowest < 1500


def test_flagged_metrics_come_first_or_alone(visit: Visit, site: Dashboard, database: Cluster) -> None:
    flagged = set(
        database.psql(
            "select distinct code from ipai.ipai_sample_metrics where is_alert and date = current_date and brand_id = 7", user="postgres"
        ).splitlines()
    )
    assert 0 < len(flagged) < 24
    page = visit(site.url)
    expect(page.get_by_text(re.compile(rf"24 metrics, {len(flagged)} flagged"))).to_be_visible()
    codes = [link.get_attribute("data-code") for link in page.locator("[data-code]").all()]
    assert set(codes[: len(flagged)]) == flagged and len(codes) == 24
    page.get_by_label("Flagged only").check()
    expect(page.locator("[data-code]")).to_have_count(len(flagged))


def test_the_search_finds_codes_and_names(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    search = page.get_by_label("Find a metric")
    # The metric MEMBER_SHARE has the name "Sales to members".
    for text in ("to MEMBERS", "member_s"):
        search.fill(text)
        expect(page.locator("[data-code]")).to_have_count(1)
        expect(card(page, "MEMBER_SHARE")).to_be_visible()
    search.fill("%")
    expect(page.get_by_text("No matching metrics")).to_be_visible()


def test_the_copy_for_an_ai_has_all_metrics(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy for AI").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    assert len(text.encode()) <= 16_000
    context = json.loads(text)
    assert (context["metrics_total"], context["metrics_shown"], context["complete"]) == (24, 24, True)
    (sales,) = [metric for metric in context["metrics"] if metric["code"] == "STORE_SALES"]
    expect(card(page, "STORE_SALES")).to_contain_text(f"₱{round(sales['value']):,}")


def test_the_copy_follows_the_search_and_says_if_incomplete(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/overview?search=shelf", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Flagged only").check()
    expect(page.locator("[data-code]")).to_have_count(1)
    page.get_by_role("button", name="Copy for AI").click()
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    context = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert [metric["code"] for metric in context["metrics"]] == ["SHELF_AVAILABILITY"] and context["complete"] is True
    page.get_by_label("Find a metric").fill("")
    cards = page.locator("[data-code]")
    expect(page.get_by_text("24 metrics")).to_be_visible()
    page.get_by_role("button", name="Cop").click()
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    context = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert [metric["code"] for metric in context["metrics"]] == [link.get_attribute("data-code") for link in cards.all()]
    assert 0 < len(context["metrics"]) < 24
    with changed(
        database,
        "insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit) select repeat('ñ', 99), 'MANY_' || i, current_date, 7, i, 'count' from generate_series(1, 100) as i",
        "delete from ipai.ipai_sample_metrics where code like 'MANY%'",
    ):
        page.get_by_label("Flagged only").uncheck()
        page.get_by_role("button", name="Cop").click()
        expect(page.get_by_role("button", name=re.compile(r"^Copied \d+ of 124 metrics$"))).to_be_visible()
        assert len(page.evaluate("navigator.clipboard.readText()").encode()) <= 16_000


def test_a_failed_copy_shows_the_reason(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url, permissions=["clipboard-read", "clipboard-write"])
    page.route("**/rpc/metrics_context*", lambda route: route.abort("connectionrefused"))
    page.get_by_role("button", name="Copy for AI").click()
    expect(page.get_by_role("button", name="Not copied: The server cannot be reached")).to_be_visible()


def test_copying_works_over_plain_http(visit: Visit, site: Dashboard) -> None:
    page = visit("about:blank", permissions=["clipboard-read", "clipboard-write"])
    # As in a browser that loads the page over plain HTTP from another machine.
    page.add_init_script("globalThis.clipboard = navigator.clipboard; Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto(site.url)
    page.get_by_role("button", name="Copy for AI").click()
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    assert json.loads(page.evaluate("clipboard.readText()"))["complete"] is True


def test_the_search_is_kept_when_the_user_goes_back(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    asked = requests_of(page)
    page.get_by_label("Find a metric").press_sequentially("member", delay=20)
    expect(page.locator("[data-code]")).to_have_count(2)
    # Not one request for each letter.
    assert len([url for url in asked if "metrics_overview" in url]) <= 2, asked
    card(page, "MEMBER_SHARE").click()
    expect(page.get_by_role("heading", name="Sales to members")).to_be_visible()
    page.go_back()
    expect(page.locator("[data-code]")).to_have_count(2)
    expect(page.get_by_label("Find a metric")).to_have_value("member")
    page.get_by_role("link", name="Overview", exact=True).click()
    expect(page.locator("[data-code]")).to_have_count(24)
    expect(page.get_by_label("Find a metric")).to_have_value("")


def test_cards_show_changes_from_zero_and_count_their_rows(visit: Visit, site: Dashboard, database: Cluster) -> None:
    with changed(
        database,
        """insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit)
           values ('Zero', 'ZERO', current_date - 1, 7, 0, 'count'), ('Zero', 'ZERO', current_date, 7, 2, 'count'), ('Zero', 'ZERO', current_date, 7, 3, 'count')""",
        "delete from ipai.ipai_sample_metrics where code = 'ZERO'",
    ):
        page = visit(site.url)
        expect(card(page, "ZERO")).to_contain_text("+5 since")
        expect(card(page, "ZERO")).to_contain_text("sum of 2 rows")
        expect(card(page, "SHELF_AVAILABILITY")).to_contain_text(f"average of {STORES // 4} rows")


def test_texts_from_odoo_are_not_html(visit: Visit, site: Dashboard, database: Cluster) -> None:
    name = "<img src=x onerror=alert(1)> & co"
    with changed(
        database,
        f"insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit) values ('{name}', 'EVIL', current_date, 7, 'NaN', 'amount')",
        "delete from ipai.ipai_sample_metrics where code = 'EVIL'",
    ):
        page = visit(site.url)
        expect(card(page, "EVIL")).to_contain_text(name)
        # NaN is shown as a missing value.
        expect(card(page, "EVIL")).to_contain_text(EN_DASH)
        assert page.locator("[data-code=EVIL] img").count() == 0


# The page of a metric -----------------------------------------------------------------------------


def test_filters_apply_to_chart_table_and_address(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/metric/STORE_SALES")
    become(page, CARLA)
    expect(page.get_by_text(f"of {4 * ROWS:,} rows")).to_be_visible()
    page.get_by_label("Brand", exact=True).select_option("Brand 9")
    expect(page.get_by_text(f"of {ROWS:,} rows")).to_be_visible()
    chart = page.get_by_role("slider", name="Day in the chart")
    expect(chart).to_have_attribute("aria-valuetext", re.compile(re.escape(amount(database, newest_sales(9)))))
    assert chart.get_attribute("aria-valuemax") == str(DAYS - 1)
    page.get_by_role("button", name="30 days").click()
    expect(page.get_by_text(f"of {STORES // 4 * 30:,} rows")).to_be_visible()
    expect(chart).to_have_attribute("aria-valuemax", "29")
    page.get_by_label("Store", exact=True).select_option("Store 103")
    expect(page.get_by_text(shown(1, 25, "30"))).to_be_visible()
    address = parse_qs(urlsplit(page.url).fragment.partition("?")[2])
    assert (address["brand"], address["store"]) == (["9"], ["103"])
    day = database.psql("select current_date - 9", user="postgres")
    page.get_by_label("From").fill(day)
    expect(page.get_by_text(shown(1, 10, "10"))).to_be_visible()
    # The address alone restores the selection.
    again = visit(page.url)
    become(again, CARLA)
    expect(again.get_by_text(shown(1, 10, "10"))).to_be_visible()


def test_another_user_can_remove_a_filter_without_matches(visit: Visit, site: Dashboard) -> None:
    page = visit(f"{site.url}#/metric/STORE_SALES?brand=7&store=101")
    expect(page.get_by_text(f"of {DAYS} rows")).to_be_visible()
    become(page, BEN)
    expect(page.get_by_text("No values in this selection")).to_be_visible()
    expect(page.get_by_label("Brand", exact=True)).to_have_value("7")
    page.get_by_label("Brand", exact=True).select_option("All brands")
    expect(page.get_by_label("Brand", exact=True)).to_have_value("")
    expect(page.get_by_text("No values in this selection")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_text(f"of {ROWS:,} rows")).to_be_visible()
    expect(page.get_by_role("button", name="Clear filters")).to_have_count(0)


def test_invalid_filters_in_the_address_are_ignored(visit: Visit, site: Dashboard) -> None:
    page = visit(f"{site.url}#/metric/STORE_SALES?brand=x&store=-1&since=yesterday&until=2026-02-31x&unit=furlong")
    expect(page.get_by_text(shown(1, 25, f"{ROWS:,}"))).to_be_visible()


def test_periods_ignore_dates_in_the_future(visit: Visit, site: Dashboard, database: Cluster) -> None:
    with changed(
        database,
        "insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit) values ('Footfall', 'FOOTFALL', '2226-01-02', 7, 1, 'count'), ('Footfall', 'FOOTFALL', 'infinity', 7, 1, 'count')",
        "delete from ipai.ipai_sample_metrics where code = 'FOOTFALL' and date > current_date",
    ):
        page = visit(f"{site.url}#/metric/FOOTFALL", timezone_id="UTC")
        expect(page.get_by_text(f"of {ROWS + 2:,} rows")).to_be_visible()
        page.get_by_role("button", name="30 days").click()
        expect(page.get_by_text(f"of {STORES // 4 * 30:,} rows")).to_be_visible()
        expect(page.get_by_role("button", name="30 days")).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_role("slider", name="Day in the chart")).to_have_attribute("aria-valuemax", "29")


def test_periods_are_disabled_without_dates(visit: Visit, site: Dashboard, database: Cluster) -> None:
    with changed(
        database,
        "insert into ipai.ipai_sample_metrics (name, code, brand_id, value, unit) values ('Undated', 'UNDATED', 7, 1, 'count')",
        "delete from ipai.ipai_sample_metrics where code = 'UNDATED'",
    ):
        page = visit(f"{site.url}#/metric/UNDATED")
        expect(page.get_by_text("No row of this metric has a date")).to_be_visible()
        expect(page.get_by_text("1 row, without a date")).to_be_visible()
        expect(page.get_by_role("button", name="All", exact=True)).to_have_attribute("aria-pressed", "true")
        for name in ("30 days", "90 days", "1 year"):
            expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "false")
            expect(page.get_by_role("button", name=name)).to_be_disabled()


def test_the_chart_fills_an_area_only_from_zero(visit: Visit, site: Dashboard) -> None:
    page = visit(f"{site.url}#/metric/SHELF_AVAILABILITY?since=2000-01-01")
    expect(page.get_by_role("slider", name="Day in the chart").locator("svg")).to_be_visible()
    labels = page.get_by_role("slider").locator("svg text").all_text_contents()
    assert "90%" in labels and "0%" not in labels
    expect(page.locator("[data-area]")).to_have_count(0)
    page.goto(f"{site.url}#/metric/OPEN_SHIFTS?store=101")
    expect(page.locator("[data-area]")).to_have_count(1)
    assert "0" in page.get_by_role("slider").locator("svg text").all_text_contents()


def values(page: Page) -> list[float]:
    return [float(re.sub(r"[^\d.]", "", text)) for text in page.locator("tbody td:nth-child(5)").all_inner_texts()]


def test_the_database_sorts_and_pages(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/metric/COMPLAINTS")
    expect(page.get_by_text(shown(1, 25, f"{ROWS:,}"))).to_be_visible()
    header = page.get_by_role("columnheader", name="Value")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    ours = [
        float(line)
        for line in database.psql(
            "select value from ipai.ipai_sample_metrics where code = 'COMPLAINTS' and brand_id = 7 order by value desc, id limit 50",
            user="postgres",
        ).splitlines()
    ]
    expect(page.locator("tbody tr").first.locator("td").nth(4)).to_have_text(f"{ours[0]:,.0f}")
    assert values(page) == ours[:25]
    first = page.locator("tbody").inner_text()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text(shown(26, 50, f"{ROWS:,}"))).to_be_visible()
    expect(page.locator("table")).to_have_attribute("aria-busy", "false")
    assert values(page) == ours[25:] and page.locator("tbody").inner_text() != first
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    # A new order starts with its first page.
    expect(page.get_by_text(shown(1, 25, f"{ROWS:,}"))).to_be_visible()
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()


def test_the_download_has_exactly_the_filtered_rows(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/metric/FOOTFALL")
    expect(page.get_by_text(f"of {ROWS:,} rows")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "FOOTFALL.csv"
    text = download.value.path().read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    theirs = database.psql(
        "select odoo_id from ipai.ipai_sample_metrics where code = 'FOOTFALL' and brand_id = 7 order by id", user="postgres"
    )
    assert [row["odoo_id"] for row in rows] == theirs.splitlines() and len(rows) == ROWS
    assert {row["brand_id"] for row in rows} == {"7"}


def test_a_download_has_no_formulas(visit: Visit, site: Dashboard, database: Cluster) -> None:
    names = ["=1+1", "\N{FULLWIDTH EQUALS SIGN}1+1", "\n=1+1", "plain"]
    rows = ", ".join(f"('{name}', 'FORMULAS', 7, 1, 'count')" for name in names)
    with changed(
        database,
        f"insert into ipai.ipai_sample_metrics (name, code, brand_id, value, unit) values {rows}",
        "delete from ipai.ipai_sample_metrics where code = 'FORMULAS'",
    ):
        page = visit(f"{site.url}#/metric/FORMULAS")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download CSV").click()
        with download.value.path().open(encoding="utf-8-sig", newline="") as file:
            assert [row["name"] for row in csv.DictReader(file)] == [*(f"'{name}" for name in names[:3]), "plain"]


def test_switching_the_user_cancels_a_download(visit: Visit, site: Dashboard) -> None:
    page = visit(f"{site.url}#/metric/FOOTFALL")
    expect(page.get_by_text(f"of {ROWS:,} rows")).to_be_visible()
    held: list[Route] = []
    downloads: list[object] = []
    page.on("download", lambda download: downloads.append(download))
    page.route("**/ipai_sample_metrics*id=gt.0*", lambda route: held.append(route))
    page.get_by_role("button", name="Download CSV").click()
    page.wait_for_timeout(200)
    assert len(held) == 1
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.get_by_role("button", name="Signed in as").click()
    page.get_by_role("menuitemradio", name=BEN).click()
    expect(page.get_by_text(f"of {ROWS:,} rows")).to_be_visible()
    assert [url for url in failed if "id=gt.0" in url] and downloads == []


def test_every_request_has_a_limit(visit: Visit, site: Dashboard) -> None:
    page = visit("about:blank")
    asked = requests_of(page)
    # The functions limit their rows themselves: see supabase/tests and test_database.py.
    functions = {"metrics_overview", "metric_series", "metric_facets", "metrics_context"}

    def settled(*names: str) -> None:
        """Asserts that the page has requested exactly these, and tables with a limit."""
        page.wait_for_load_state("networkidle")
        found = {urlsplit(url).path.rpartition("/")[2] for url in asked}
        assert found - {"sample_metrics_count_delta"} == set(names)
        limits = [parse_qs(urlsplit(url).query).get("limit") for url in asked if urlsplit(url).path.rpartition("/")[2] not in functions]
        assert all(limit and 1 <= int(limit[0]) <= 1000 for limit in limits), asked
        asked.clear()

    page.goto(f"{site.url}#/metric/STORE_SALES")
    expect(page.locator("tbody tr")).to_have_count(25)
    settled("metric_facets", "metric_series", "ipai_sample_metrics")
    with page.expect_download():
        page.get_by_role("button", name="Download CSV").click()
    settled("ipai_sample_metrics")
    page.get_by_role("link", name="Flagged", exact=True).click()
    expect(page.get_by_role("region", name="Flagged values").locator("tbody tr")).to_have_count(25)
    settled("ipai_sample_metrics")
    page.get_by_role("link", name="Sync health").click()
    expect(page.get_by_text("Only operators can see runs and errors")).to_be_visible()
    settled("sync_count_delta", "sync_status", "sync_alerts")
    page.get_by_role("link", name="Overview", exact=True).click()
    expect(card(page, "STORE_SALES")).to_be_visible()
    page.get_by_role("button", name="Copy for AI").click()
    settled("metrics_overview", "metrics_context")


# Flagged values -----------------------------------------------------------------------------------


def test_the_flagged_values_are_those_of_the_database(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/flagged")
    count = int(database.psql("select count(*) from ipai.ipai_sample_metrics where is_alert and brand_id = 7", user="postgres"))
    expect(page.get_by_text(shown(1, 25, f"{count:,}", "flagged values"))).to_be_visible()
    page.get_by_placeholder("Part of a code").fill("waste_r")
    waste = int(
        database.psql(
            "select count(*) from ipai.ipai_sample_metrics where is_alert and brand_id = 7 and code = 'WASTE_RATE'", user="postgres"
        )
    )
    assert waste > 0
    expect(page.get_by_text(re.compile(rf"of {waste:,} flagged values?"))).to_be_visible()
    page.locator("tbody tr").first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Waste rate")).to_be_visible()
    page.go_back()
    expect(page.get_by_text(re.compile(rf"of {waste:,} flagged values?"))).to_be_visible()


def test_flagged_values_are_sorted_by_name(visit: Visit, site: Dashboard, database: Cluster) -> None:
    with changed(
        database,
        "insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit, is_alert) values ('Aardvarks', 'ZZZ', current_date, 7, 1, 'percent', true)",
        "delete from ipai.ipai_sample_metrics where code = 'ZZZ'",
    ):
        page = visit(f"{site.url}#/flagged")
        page.get_by_role("columnheader", name="Metric").get_by_role("button").click()
        expect(page.locator("tbody tr").first).to_contain_text("Aardvarks")
        names = page.locator("tbody tr td:nth-child(2) a").all_inner_texts()
        assert names == sorted(names)


def test_seven_days_of_flagged_values_include_today(visit: Visit, site: Dashboard, database: Cluster) -> None:
    # The user has the time zone of the database.
    page = visit(f"{site.url}#/flagged", timezone_id="UTC")
    page.get_by_label("Period").select_option("Last 7 days")
    days = "is_alert and brand_id = 7 and date > current_date - "
    counts = [int(database.psql(f"select count(*) from ipai.ipai_sample_metrics where {days}{n}", user="postgres")) for n in (6, 7, 8)]
    expect(page.get_by_text(re.compile(rf"of {counts[1]:,} flagged values?"))).to_be_visible()
    # The days before and after have different counts.
    with changed(
        database,
        "update ipai.ipai_sample_metrics set is_alert = true where brand_id = 7 and code = 'FOOTFALL' and date in (current_date - 6, current_date - 7)",
        "update ipai.ipai_sample_metrics set is_alert = false where brand_id = 7 and code = 'FOOTFALL'",
    ):
        page.reload()
        expect(page.get_by_text(re.compile(rf"of {counts[1] + STORES // 4:,} flagged values"))).to_be_visible()


# Errors -------------------------------------------------------------------------------------------


def test_a_denied_request_is_reported_and_can_be_retried(visit: Visit, site: Dashboard, database: Cluster) -> None:
    function = "function ipai.metrics_overview(text, boolean, integer, integer, integer)"
    with changed(database, f"revoke execute on {function} from authenticated", f"grant execute on {function} to authenticated"):
        page = visit(site.url)
        expect(page.get_by_text("Access denied")).to_be_visible()
        page.get_by_text("Details").click()
        expect(page.get_by_text("42501: permission denied")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(card(page, "STORE_SALES")).to_be_visible()
    expect(page.get_by_text("Access denied")).to_have_count(0)


def test_the_page_keeps_its_data_without_connection_and_recovers(visit: Visit, api: PostgREST, users: list[dict[str, str]]) -> None:
    with Dashboard(api, {"demoUsers": users, "pollSeconds": 1, "realtime": False}) as site:
        page = visit(site.url)
        expect(card(page, "STORE_SALES")).to_be_visible()
        page.route(f"**{PREFIX}/**", lambda route: route.abort("connectionrefused"))
        expect(page.get_by_text("The server cannot be reached")).to_be_visible()
        expect(page.get_by_text("The page shows the data of its last successful request.")).to_be_visible()
        expect(card(page, "STORE_SALES")).to_be_visible()
        page.unroute_all()
        expect(page.get_by_text("The server cannot be reached")).to_have_count(0)


def test_a_page_that_fails_to_load_can_be_retried(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(card(page, "STORE_SALES")).to_be_visible()
    page.route("**/assets/Health-*.js", lambda route: route.abort("connectionrefused"))
    page.get_by_role("link", name="Sync health").click()
    expect(page.get_by_text("This page cannot be shown")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("This page cannot be shown")).to_be_visible()
    page.get_by_role("link", name="Flagged", exact=True).click()
    expect(page.get_by_role("region", name="Flagged values").locator("tbody tr")).to_have_count(25)
    page.get_by_role("link", name="Sync health").click()
    expect(page.get_by_text("This page cannot be shown")).to_be_visible()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Only operators can see runs and errors")).to_be_visible()


def test_an_invalid_answer_breaks_only_its_own_page(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(card(page, "STORE_SALES")).to_be_visible()
    # As from a database of another version: numbers instead of lists.
    page.route(
        "**/rpc/metric_facets*", lambda route: route.fulfill(json=[{"name": "x", "unit": "count", "units": 5, "brands": 5, "stores": 5}])
    )
    card(page, "STORE_SALES").click()
    expect(page.get_by_text("This page cannot be shown")).to_be_visible()
    page.get_by_role("link", name="Overview", exact=True).first.click()
    expect(card(page, "STORE_SALES")).to_be_visible()


def test_the_page_says_if_the_freshness_is_unknown(visit: Visit, site: Dashboard, database: Cluster) -> None:
    views = "select on ipai.sync_count_delta, ipai.sample_metrics_count_delta"
    with changed(database, f"revoke {views} from authenticated", f"grant {views} to authenticated", user=None):
        page = visit(f"{site.url}#/health")
        expect(page.get_by_text("The freshness of the data is unknown")).to_be_visible()
        expect(page.get_by_role("banner").get_by_text("Freshness unknown")).to_be_visible()
        expect(page.get_by_text("Only operators can see runs and errors")).to_be_visible()
        expect(page.get_by_text("You can see the counts below.")).to_have_count(0)
    page.reload()
    expect(page.get_by_text("You can see the counts below.")).to_be_visible()
    expect(page.get_by_role("banner").get_by_text("Never compared with Odoo")).to_be_visible()


def test_unknown_units_and_dates_are_shown(visit: Visit, site: Dashboard) -> None:
    page = visit("about:blank")
    odd = {
        "code": "ODD",
        "name": "Odd",
        "unit": "furlong",
        "date": "infinity",
        "value": 12,
        "records": 1,
        "alerts": 0,
        "total": 1,
        "alerting": 0,
    }
    odd |= {"previous_date": "-infinity", "previous_value": 6, "point_dates": [], "point_values": [], "newest_date": None, "complete": True}
    page.route("**/rpc/metrics_overview*", lambda route: route.fulfill(json=[odd]))
    page.goto(site.url)
    expect(card(page, "ODD")).to_contain_text("infinity")
    expect(card(page, "ODD")).to_contain_text("+100% since -infinity")


# Realtime -----------------------------------------------------------------------------------------


def test_a_change_reported_by_realtime_appears_immediately(
    visit: Visit, api: PostgREST, users: list[dict[str, str]], database: Cluster
) -> None:
    realtime = FakeRealtime()
    with Dashboard(api, {"demoUsers": users, "pollSeconds": 3600}) as site:
        page = visit(site.url, realtime=realtime)
        expect(page.locator('[data-live="realtime"]')).to_have_text("Realtime")
        expect(card(page, "STORE_SALES")).to_contain_text(amount(database, newest_sales(7)))
        where = f"{newest_sales(7)} and store_id = 101"
        with changed(
            database,
            f"update ipai.ipai_sample_metrics set value = value + 1000000 where {where}",
            f"update ipai.ipai_sample_metrics set value = value - 1000000 where {where}",
        ):
            realtime.change()
            expect(card(page, "STORE_SALES")).to_contain_text(amount(database, newest_sales(7)))
        realtime.close()
        expect(page.locator('[data-live="polling"]')).to_be_visible()


def test_a_failed_request_is_retried_while_realtime_is_connected(visit: Visit, api: PostgREST, users: list[dict[str, str]]) -> None:
    with Dashboard(api, {"demoUsers": users, "pollSeconds": 1}) as site:
        page = visit(site.url, realtime=FakeRealtime())
        expect(page.locator('[data-live="realtime"]')).to_be_visible()
        expect(card(page, "STORE_SALES")).to_be_visible()
        page.route("**/rpc/metrics_overview*", lambda route: route.abort("connectionrefused"))
        page.get_by_label("Find a metric").fill("sales")
        expect(page.get_by_text("The server cannot be reached")).to_be_visible()
        page.unroute_all()
        expect(page.get_by_text("The server cannot be reached")).to_have_count(0)
        expect(page.locator('[data-live="realtime"]')).to_be_visible()


def test_the_badge_says_polling_without_realtime(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(page.locator('[data-live="polling"]')).to_have_text("Polling, 3600 s")


# Accessibility, screens and languages -------------------------------------------------------------

ADDRESSES = ["#/overview", "#/metric/SHELF_AVAILABILITY", "#/flagged", "#/health"]


def settled(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    expect(page.locator('[aria-label^="Loading"]')).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_axe_finds_no_violations(visit: Visit, site: Dashboard, address: str, theme: str) -> None:
    # Without the policy, which forbids the script of axe.
    page = visit(f"{site.url}{address}", color_scheme=theme, bypass_csp=True)
    settled(page)
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert (
        found["passes"]
        and [(rule["id"], rule["impact"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found["violations"]] == []
    )


def test_axe_finds_no_violations_on_the_sign_in(visit: Visit, api: PostgREST) -> None:
    with Dashboard(api, {}) as site:
        page = visit(site.url, bypass_csp=True)
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.add_script_tag(path=AXE)
        assert page.evaluate("axe.run(document).then((found) => found.violations.map((rule) => rule.id))") == []


@pytest.mark.parametrize("address", ADDRESSES)
def test_each_page_fits_on_a_phone(visit: Visit, site: Dashboard, address: str) -> None:
    page = visit(f"{site.url}{address}", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    # The buttons are at the right edge, and the freshness stays visible. This database has no
    # comparison with Odoo.
    user = page.get_by_role("button", name="Signed in as").bounding_box()
    assert user and user["x"] + user["width"] > 330
    expect(page.get_by_role("banner").get_by_text("Never compared with Odoo")).to_be_visible()
    # The links are large enough for a thumb.
    for name in ("Overview", "Flagged", "Sync health"):
        box = page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).bounding_box()
        assert box and box["height"] >= 40


def test_the_theme_follows_the_system_until_the_user_chooses(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url, color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    expect(page.get_by_role("button", name="Switch to the light theme")).to_be_visible()
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Switch to the light theme").click()
    expect(page.get_by_role("button", name="Switch to the dark theme")).to_be_visible()
    assert page.evaluate(ground) != dark
    page.reload()
    expect(page.get_by_role("button", name="Switch to the dark theme")).to_be_visible()


def test_the_keyboard_reaches_cards_and_chart(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(card(page, "STORE_SALES")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    card(page, "STORE_SALES").focus()
    page.keyboard.press("Enter")
    chart = page.get_by_role("slider", name="Day in the chart")
    expect(chart).to_have_attribute("aria-valuenow", str(DAYS - 1))
    newest = chart.get_attribute("aria-valuetext")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(chart).to_have_attribute("aria-valuenow", str(DAYS - 2))
    assert chart.get_attribute("aria-valuetext") != newest
    page.keyboard.press("Home")
    expect(chart).to_have_attribute("aria-valuenow", "0")


def test_the_focus_moves_to_a_new_page(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(card(page, "STORE_SALES")).to_be_visible()
    # The first page leaves the focus where it is.
    expect(page.locator("main")).not_to_be_focused()
    card(page, "STORE_SALES").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_label("Store", exact=True).select_option("Store 101")
    page.get_by_role("button", name="30 days").click()
    # A filter does not move the focus.
    expect(page.locator("main")).not_to_be_focused()
    expect(page.get_by_text(shown(1, 25, "30"))).to_be_visible()
    following = page.get_by_role("button", name="Next")
    following.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text(shown(26, 30, "30"))).to_be_visible()
    # A disabled button keeps the focus.
    expect(following).to_be_disabled()
    expect(following).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text(shown(26, 30, "30"))).to_be_visible()
    page.get_by_role("link", name="Flagged", exact=True).click()
    expect(page.locator("main")).to_be_focused()


def test_numbers_follow_the_language_of_the_user(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(site.url, locale="de-DE")
    total = amount(database, newest_sales(7)).removeprefix("₱").replace(",", ".")
    expect(card(page, "STORE_SALES")).to_contain_text(re.compile(rf"{re.escape(total)}\s₱"))
