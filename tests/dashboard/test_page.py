"""The built page in Debian's Chromium, over a real PostgREST and 200,000 metrics: what each user sees, and what he can do with it."""

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
#: Rows of one metric that each of the four brands has.
ROWS = STORES // 4 * DAYS

Visit = Callable[..., Page]
#: Between two numbers, and in place of one.
EN_DASH = "\N{EN DASH}"


def become(page: Page, name: str) -> None:
    """Through the menu of users, once the page has come to rest."""
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Signed in as").click()
    page.get_by_role("menuitemradio", name=name).click()
    expect(page.get_by_role("button", name=f"Signed in as {name}")).to_be_visible()


def shown(first: int, last: int, total: str, what: str = "rows") -> str:
    return f"{first}{EN_DASH}{last} of {total} {what}"


def card(page: Page, code: str) -> Any:
    return page.locator(f'[data-code="{code}"]')


def amount(database: Cluster, where: str) -> str:
    """A sum of the database as the page writes it."""
    (total,) = database.psql(f"select round(sum(value)::numeric) from ipai.ipai_sample_metrics where {where}", user="postgres").splitlines()
    return f"₱{int(total):,}"


def newest_sales(brand: int) -> str:
    return f"code = 'STORE_SALES' and brand_id = {brand} and date = current_date"


@contextmanager
def changed(database: Cluster, change: str, back: str, user: str | None = "postgres") -> Iterator[None]:
    """The database with something changed in it, for a while; without a user, by a superuser."""
    database.psql(change, user=user)
    try:
        yield
    finally:
        database.psql(back, user=user)


# Who sees what --------------------------------------------------------------------------------------------------------------------------


def test_each_tenant_sees_its_own(visit: Visit, site: Dashboard, database: Cluster) -> None:
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


def test_who_has_no_brand_is_told_that_there_is_nothing(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    become(page, NORA)
    expect(page.get_by_text("No metrics yet")).to_be_visible()
    page.goto(f"{site.url}#/metric/STORE_SALES")
    expect(page.get_by_text("No such metric")).to_be_visible()
    page.goto(f"{site.url}#/alerts")
    expect(page.get_by_text("No alerts")).to_be_visible()


def test_the_key_of_the_server_is_refused(visit: Visit, api: PostgREST) -> None:
    with Dashboard(api, {"supabaseKey": api.token("service_role")}) as site:
        page = visit(site.url)
        expect(page.get_by_text("passes row-level security")).to_be_visible()


def test_the_policy_of_the_documentation_is_the_one_that_is_tested() -> None:
    text = (paths.PROJECT / "docs/dashboard.md").read_text()
    (written,) = re.findall(r"^default-src .*$", text, re.MULTILINE)
    rules = [rule for rule in written.split("; ") if not rule.startswith("connect-src ")]
    assert "; ".join(rules) == dashboard.POLICY and len(rules) == len(written.split("; ")) - 1


def test_a_token_that_has_expired_is_said(visit: Visit, api: PostgREST) -> None:
    with Dashboard(api, {"demoUsers": [{"name": "Late", "token": api.token(lasts=-60)}], "realtime": False}) as site:
        page = visit(site.url)
        expect(page.get_by_text("You are no longer signed in")).to_be_visible()


def test_signing_in_by_email(visit: Visit, api: PostgREST, database: Cluster) -> None:
    """Supabase Auth is played by the test, by its answers; the token is one that PostgREST believes."""
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
        expect(page.get_by_text("do not belong together")).to_be_visible()
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Sign in").click()
        expect(card(page, "STORE_SALES")).to_contain_text(amount(database, newest_sales(8)))
        page.reload()
        expect(card(page, "STORE_SALES")).to_be_visible()
        page.get_by_role("button", name="Signed in as ben@example.com").click()
        page.get_by_role("menuitem", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        expect(card(page, "STORE_SALES")).to_have_count(0)


# The overview ---------------------------------------------------------------------------------------------------------------------------


def requests_of(page: Page) -> list[str]:
    """Addresses that the page asks the API for, as they come."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if f"{PREFIX}/" in request.url else None)
    return asked


def test_the_overview_is_three_requests_at_most(visit: Visit, site: Dashboard) -> None:
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


def test_alerts_come_first_and_may_come_alone(visit: Visit, site: Dashboard, database: Cluster) -> None:
    alerting = set(
        database.psql(
            "select distinct code from ipai.ipai_sample_metrics where is_alert and date = current_date and brand_id = 7", user="postgres"
        ).splitlines()
    )
    assert 0 < len(alerting) < 24
    page = visit(site.url)
    expect(page.get_by_text(re.compile(rf"24 metrics, {len(alerting)} with alerts"))).to_be_visible()
    codes = [link.get_attribute("data-code") for link in page.locator("[data-code]").all()]
    assert set(codes[: len(alerting)]) == alerting and len(codes) == 24
    page.get_by_label("Alerts only").check()
    expect(page.locator("[data-code]")).to_have_count(len(alerting))


def test_a_search_finds_codes_and_names(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    search = page.get_by_label("Find a metric")
    # The name is "Sales to members", the code MEMBER_SHARE.
    for text in ("to MEMBERS", "member_s"):
        search.fill(text)
        expect(page.locator("[data-code]")).to_have_count(1)
        expect(card(page, "MEMBER_SHARE")).to_be_visible()
    search.fill("%")
    expect(page.get_by_text("Nothing found")).to_be_visible()


def test_metrics_are_copied_for_an_ai(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy for AI").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    assert len(text.encode()) <= 16_000
    context = json.loads(text)
    assert (context["metrics_total"], context["metrics_shown"], context["complete"]) == (24, 24, True)
    (sales,) = [metric for metric in context["metrics"] if metric["code"] == "STORE_SALES"]
    expect(card(page, "STORE_SALES")).to_contain_text(f"₱{round(sales['value']):,}")


def test_what_is_copied_is_what_is_looked_for_and_says_when_it_is_not_all(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/overview?search=shelf", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Alerts only").check()
    expect(page.locator("[data-code]")).to_have_count(1)
    page.get_by_role("button", name="Copy for AI").click()
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    context = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert [metric["code"] for metric in context["metrics"]] == ["SHELF_AVAILABILITY"] and context["complete"] is True
    page.get_by_label("Find a metric").fill("")
    alerting = page.locator("[data-code]")
    expect(page.get_by_text("24 metrics")).to_be_visible()
    page.get_by_role("button", name="Cop").click()
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    context = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert [metric["code"] for metric in context["metrics"]] == [link.get_attribute("data-code") for link in alerting.all()]
    assert 0 < len(context["metrics"]) < 24
    with changed(
        database,
        "insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit) select repeat('ñ', 99), 'MANY_' || i, current_date, 7, i, 'count' from generate_series(1, 100) as i",
        "delete from ipai.ipai_sample_metrics where code like 'MANY%'",
    ):
        page.get_by_label("Alerts only").uncheck()
        page.get_by_role("button", name="Cop").click()
        expect(page.get_by_role("button", name=re.compile(r"^Copied \d+ of 124 metrics$"))).to_be_visible()
        assert len(page.evaluate("navigator.clipboard.readText()").encode()) <= 16_000


def test_what_cannot_be_copied_says_why(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url, permissions=["clipboard-read", "clipboard-write"])
    page.route("**/rpc/metrics_context*", lambda route: route.abort("connectionrefused"))
    page.get_by_role("button", name="Copy for AI").click()
    expect(page.get_by_role("button", name="Not copied: The server cannot be reached")).to_be_visible()


def test_a_page_of_plain_http_copies_too(visit: Visit, site: Dashboard) -> None:
    page = visit("about:blank", permissions=["clipboard-read", "clipboard-write"])
    # As browsers have it for a page that came by plain http from another machine.
    page.add_init_script("globalThis.theirs = navigator.clipboard; Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto(site.url)
    page.get_by_role("button", name="Copy for AI").click()
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    assert json.loads(page.evaluate("theirs.readText()"))["complete"] is True


def test_what_is_looked_for_is_there_when_one_comes_back(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    asked = requests_of(page)
    page.get_by_label("Find a metric").press_sequentially("member", delay=20)
    expect(page.locator("[data-code]")).to_have_count(2)
    # Not letter by letter.
    assert len([url for url in asked if "metrics_overview" in url]) <= 2, asked
    card(page, "MEMBER_SHARE").click()
    expect(page.get_by_role("heading", name="Sales to members")).to_be_visible()
    page.go_back()
    expect(page.locator("[data-code]")).to_have_count(2)
    expect(page.get_by_label("Find a metric")).to_have_value("member")
    page.get_by_role("link", name="Overview", exact=True).click()
    expect(page.locator("[data-code]")).to_have_count(24)
    expect(page.get_by_label("Find a metric")).to_have_value("")


def test_a_value_after_zero_is_a_change_and_cards_say_what_makes_them(visit: Visit, site: Dashboard, database: Cluster) -> None:
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


def test_texts_of_odoo_are_texts(visit: Visit, site: Dashboard, database: Cluster) -> None:
    name = "<img src=x onerror=alert(1)> & co"
    with changed(
        database,
        f"insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit) values ('{name}', 'EVIL', current_date, 7, 'NaN', 'amount')",
        "delete from ipai.ipai_sample_metrics where code = 'EVIL'",
    ):
        page = visit(site.url)
        expect(card(page, "EVIL")).to_contain_text(name)
        # A value that is no number is none.
        expect(card(page, "EVIL")).to_contain_text(EN_DASH)
        assert page.locator("[data-code=EVIL] img").count() == 0


# A metric -------------------------------------------------------------------------------------------------------------------------------


def test_filters_reach_chart_table_and_address(visit: Visit, site: Dashboard, database: Cluster) -> None:
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
    # The address alone leads back to the same.
    again = visit(page.url)
    become(again, CARLA)
    expect(again.get_by_text(shown(1, 10, "10"))).to_be_visible()


def test_a_filter_that_is_no_choice_for_another_user_can_be_removed(visit: Visit, site: Dashboard) -> None:
    page = visit(f"{site.url}#/metric/STORE_SALES?brand=7&store=101")
    expect(page.get_by_text(f"of {DAYS} rows")).to_be_visible()
    become(page, BEN)
    expect(page.get_by_text("Nothing in this selection")).to_be_visible()
    expect(page.get_by_label("Brand", exact=True)).to_have_value("7")
    page.get_by_label("Brand", exact=True).select_option("All brands")
    expect(page.get_by_label("Brand", exact=True)).to_have_value("")
    expect(page.get_by_text("Nothing in this selection")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_text(f"of {ROWS:,} rows")).to_be_visible()
    expect(page.get_by_role("button", name="Clear filters")).to_have_count(0)


def test_an_address_with_nonsense_in_it_filters_by_nothing(visit: Visit, site: Dashboard) -> None:
    page = visit(f"{site.url}#/metric/STORE_SALES?brand=x&store=-1&since=yesterday&until=2026-02-31x&unit=furlong")
    expect(page.get_by_text(shown(1, 25, f"{ROWS:,}"))).to_be_visible()


def test_a_date_in_the_future_does_not_move_the_present(visit: Visit, site: Dashboard, database: Cluster) -> None:
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


def test_without_dates_there_is_no_period_to_choose(visit: Visit, site: Dashboard, database: Cluster) -> None:
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


def test_an_area_is_filled_from_zero_only(visit: Visit, site: Dashboard) -> None:
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


def test_sorting_and_paging_happen_in_the_database(visit: Visit, site: Dashboard, database: Cluster) -> None:
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
    # Another order begins with its first page.
    expect(page.get_by_text(shown(1, 25, f"{ROWS:,}"))).to_be_visible()
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()


def test_the_download_has_all_rows_of_the_filter_and_no_others(visit: Visit, site: Dashboard, database: Cluster) -> None:
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


def test_a_download_ends_with_the_page_of_its_user(visit: Visit, site: Dashboard) -> None:
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


def test_no_request_is_without_a_limit(visit: Visit, site: Dashboard) -> None:
    page = visit("about:blank")
    asked = requests_of(page)
    # The functions have limits of their own: supabase/tests, and test_database.
    functions = {"metrics_overview", "metric_series", "metric_facets", "metrics_context"}

    def settled(*names: str) -> None:
        """These and no others were asked for since last time, the tables among them with a limit."""
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
    page.get_by_role("link", name="Alerts", exact=True).click()
    expect(page.get_by_role("region", name="Alerts").locator("tbody tr")).to_have_count(25)
    settled("ipai_sample_metrics")
    page.get_by_role("link", name="Sync health").click()
    expect(page.get_by_text("Only operators see these")).to_be_visible()
    settled("sync_count_delta", "sync_status", "sync_alerts")
    page.get_by_role("link", name="Overview", exact=True).click()
    expect(card(page, "STORE_SALES")).to_be_visible()
    page.get_by_role("button", name="Copy for AI").click()
    settled("metrics_overview", "metrics_context")


# Alerts ---------------------------------------------------------------------------------------------------------------------------------


def test_the_alerts_are_those_of_the_database(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/alerts")
    count = int(database.psql("select count(*) from ipai.ipai_sample_metrics where is_alert and brand_id = 7", user="postgres"))
    expect(page.get_by_text(shown(1, 25, f"{count:,}", "alerts"))).to_be_visible()
    page.get_by_placeholder("Part of a code").fill("waste_r")
    waste = int(
        database.psql(
            "select count(*) from ipai.ipai_sample_metrics where is_alert and brand_id = 7 and code = 'WASTE_RATE'", user="postgres"
        )
    )
    assert waste > 0
    expect(page.get_by_text(re.compile(rf"of {waste:,} alerts?"))).to_be_visible()
    page.locator("tbody tr").first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Waste rate")).to_be_visible()
    page.go_back()
    expect(page.get_by_text(re.compile(rf"of {waste:,} alerts?"))).to_be_visible()


def test_alerts_are_sorted_by_the_name_that_is_shown(visit: Visit, site: Dashboard, database: Cluster) -> None:
    with changed(
        database,
        "insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit, is_alert) values ('Aardvarks', 'ZZZ', current_date, 7, 1, 'percent', true)",
        "delete from ipai.ipai_sample_metrics where code = 'ZZZ'",
    ):
        page = visit(f"{site.url}#/alerts")
        page.get_by_role("columnheader", name="Metric").get_by_role("button").click()
        expect(page.locator("tbody tr").first).to_contain_text("Aardvarks")
        names = page.locator("tbody tr td:nth-child(2) a").all_inner_texts()
        assert names == sorted(names)


def test_seven_days_of_alerts_are_seven(visit: Visit, site: Dashboard, database: Cluster) -> None:
    # Where the reader's day is that of the database.
    page = visit(f"{site.url}#/alerts", timezone_id="UTC")
    page.get_by_label("Period").select_option("Last 7 days")
    days = "is_alert and brand_id = 7 and date > current_date - "
    counts = [int(database.psql(f"select count(*) from ipai.ipai_sample_metrics where {days}{n}", user="postgres")) for n in (6, 7, 8)]
    expect(page.get_by_text(re.compile(rf"of {counts[1]:,} alerts?"))).to_be_visible()
    # Else this proves nothing.
    with changed(
        database,
        "update ipai.ipai_sample_metrics set is_alert = true where brand_id = 7 and code = 'FOOTFALL' and date in (current_date - 6, current_date - 7)",
        "update ipai.ipai_sample_metrics set is_alert = false where brand_id = 7 and code = 'FOOTFALL'",
    ):
        page.reload()
        expect(page.get_by_text(re.compile(rf"of {counts[1] + STORES // 4:,} alerts"))).to_be_visible()


# Errors ---------------------------------------------------------------------------------------------------------------------------------


def test_a_refused_request_is_said_and_tried_again(visit: Visit, site: Dashboard, database: Cluster) -> None:
    function = "function ipai.metrics_overview(text, boolean, integer, integer, integer)"
    with changed(database, f"revoke execute on {function} from authenticated", f"grant execute on {function} to authenticated"):
        page = visit(site.url)
        expect(page.get_by_text("You may not see this")).to_be_visible()
        page.get_by_text("Details").click()
        expect(page.get_by_text("42501: permission denied")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(card(page, "STORE_SALES")).to_be_visible()
    expect(page.get_by_text("You may not see this")).to_have_count(0)


def test_a_lost_connection_keeps_what_was_there_and_recovers_by_itself(visit: Visit, api: PostgREST, users: list[dict[str, str]]) -> None:
    with Dashboard(api, {"demoUsers": users, "pollSeconds": 1, "realtime": False}) as site:
        page = visit(site.url)
        expect(card(page, "STORE_SALES")).to_be_visible()
        page.route(f"**{PREFIX}/**", lambda route: route.abort("connectionrefused"))
        expect(page.get_by_text("The server cannot be reached")).to_be_visible()
        expect(page.get_by_text("What you see is from before.")).to_be_visible()
        expect(card(page, "STORE_SALES")).to_be_visible()
        page.unroute_all()
        expect(page.get_by_text("The server cannot be reached")).to_have_count(0)


def test_a_page_that_cannot_be_fetched_leaves_the_others(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(card(page, "STORE_SALES")).to_be_visible()
    page.route("**/assets/Health-*.js", lambda route: route.abort("connectionrefused"))
    page.get_by_role("link", name="Sync health").click()
    expect(page.get_by_text("This page cannot be shown")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("This page cannot be shown")).to_be_visible()
    page.get_by_role("link", name="Alerts", exact=True).click()
    expect(page.get_by_role("region", name="Alerts").locator("tbody tr")).to_have_count(25)
    page.get_by_role("link", name="Sync health").click()
    expect(page.get_by_text("This page cannot be shown")).to_be_visible()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Only operators see these")).to_be_visible()


def test_an_answer_that_cannot_be_shown_leaves_the_other_pages(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(card(page, "STORE_SALES")).to_be_visible()
    # Of a database of another version: what the page takes for a list is none.
    page.route(
        "**/rpc/metric_facets*", lambda route: route.fulfill(json=[{"name": "x", "unit": "count", "units": 5, "brands": 5, "stores": 5}])
    )
    card(page, "STORE_SALES").click()
    expect(page.get_by_text("This page cannot be shown")).to_be_visible()
    page.get_by_role("link", name="Overview", exact=True).first.click()
    expect(card(page, "STORE_SALES")).to_be_visible()


def test_who_may_not_see_counts_is_told_that_nobody_can_tell_the_age(visit: Visit, site: Dashboard, database: Cluster) -> None:
    views = "select on ipai.sync_count_delta, ipai.sample_metrics_count_delta"
    with changed(database, f"revoke {views} from authenticated", f"grant {views} to authenticated", user=None):
        page = visit(f"{site.url}#/health")
        expect(page.get_by_text("How old the numbers are cannot be told")).to_be_visible()
        expect(page.get_by_role("banner").get_by_text("Age not known")).to_be_visible()
        expect(page.get_by_text("Only operators see these")).to_be_visible()
        expect(page.get_by_text("The counts below are.")).to_have_count(0)
    page.reload()
    expect(page.get_by_text("The counts below are.")).to_be_visible()
    expect(page.get_by_role("banner").get_by_text("Never compared with Odoo")).to_be_visible()


def test_odd_units_and_dates_are_shown_all_the_same(visit: Visit, site: Dashboard) -> None:
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


# Live -----------------------------------------------------------------------------------------------------------------------------------


def test_a_change_told_by_realtime_arrives_at_once(visit: Visit, api: PostgREST, users: list[dict[str, str]], database: Cluster) -> None:
    realtime = FakeRealtime()
    with Dashboard(api, {"demoUsers": users, "pollSeconds": 3600}) as site:
        page = visit(site.url, realtime=realtime)
        expect(page.locator('[data-live="realtime"]')).to_have_text("Live")
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


def test_what_fails_while_realtime_tells_is_tried_again(visit: Visit, api: PostgREST, users: list[dict[str, str]]) -> None:
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


def test_without_realtime_it_says_that_it_polls(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(page.locator('[data-live="polling"]')).to_have_text("Polling, 3600 s")


# For everybody --------------------------------------------------------------------------------------------------------------------------

ADDRESSES = ["#/overview", "#/metric/SHELF_AVAILABILITY", "#/alerts", "#/health"]


def settled(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    expect(page.locator('[aria-label^="Loading"]')).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_axe_finds_nothing(visit: Visit, site: Dashboard, address: str, theme: str) -> None:
    # A policy that lets axe in: it is no part of the page.
    page = visit(f"{site.url}{address}", color_scheme=theme, bypass_csp=True)
    settled(page)
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert (
        found["passes"]
        and [(rule["id"], rule["impact"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found["violations"]] == []
    )


def test_axe_finds_nothing_on_the_sign_in(visit: Visit, api: PostgREST) -> None:
    with Dashboard(api, {}) as site:
        page = visit(site.url, bypass_csp=True)
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.add_script_tag(path=AXE)
        assert page.evaluate("axe.run(document).then((found) => found.violations.map((rule) => rule.id))") == []


@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_sticks_out_on_a_phone(visit: Visit, site: Dashboard, address: str) -> None:
    page = visit(f"{site.url}{address}", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    # What one presses is at the right, and not in the middle; the age stays to be seen. Nobody has counted in this database.
    user = page.get_by_role("button", name="Signed in as").bounding_box()
    assert user and user["x"] + user["width"] > 330
    expect(page.get_by_role("banner").get_by_text("Never compared with Odoo")).to_be_visible()
    # The navigation is where a thumb finds it.
    for name in ("Overview", "Alerts", "Sync health"):
        box = page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).bounding_box()
        assert box and box["height"] >= 40


def test_the_theme_is_the_system_s_until_one_chooses(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url, color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    expect(page.get_by_role("button", name="Switch to the light theme")).to_be_visible()
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Switch to the light theme").click()
    expect(page.get_by_role("button", name="Switch to the dark theme")).to_be_visible()
    assert page.evaluate(ground) != dark
    page.reload()
    expect(page.get_by_role("button", name="Switch to the dark theme")).to_be_visible()


def test_the_keyboard_is_enough(visit: Visit, site: Dashboard) -> None:
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


def test_the_keyboard_goes_on_where_the_page_has_changed(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(card(page, "STORE_SALES")).to_be_visible()
    # Where one has only just come, nothing has been moved.
    expect(page.locator("main")).not_to_be_focused()
    card(page, "STORE_SALES").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_label("Store", exact=True).select_option("Store 101")
    page.get_by_role("button", name="30 days").click()
    # A filter is no other page.
    expect(page.locator("main")).not_to_be_focused()
    expect(page.get_by_text(shown(1, 25, "30"))).to_be_visible()
    following = page.get_by_role("button", name="Next")
    following.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text(shown(26, 30, "30"))).to_be_visible()
    # It can do no more, but whoever pressed it is still there.
    expect(following).to_be_disabled()
    expect(following).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text(shown(26, 30, "30"))).to_be_visible()
    page.get_by_role("link", name="Alerts", exact=True).click()
    expect(page.locator("main")).to_be_focused()


def test_numbers_and_days_are_those_of_the_reader(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(site.url, locale="de-DE")
    total = amount(database, newest_sales(7)).removeprefix("₱").replace(",", ".")
    expect(card(page, "STORE_SALES")).to_contain_text(re.compile(rf"{re.escape(total)}\s₱"))
